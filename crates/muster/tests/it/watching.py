"""Watches `muster status --watch` through a real pseudo-terminal: presses keys, and reads what then stands on the screen.

Its arguments are the program and its settings. Prints a line of JSON with what was on the screen, and how the terminal was
left. Says on standard error what it waited for in vain.
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

PATIENCE = 60


class Screen:
    """The cells of a terminal, as far as the program uses it."""

    CONTROL = re.compile(rb"\x1b\[([?0-9;]*)([A-Za-z])")

    def __init__(self, columns, rows):
        self.resize(columns, rows)
        self.alternate = self.hidden = False
        self.alternated = 0
        self.unknown = set()
        self.left = b""

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.column = self.row = 0

    def feed(self, data):
        data, self.left = self.left + data, b""
        at = 0
        while at < len(data):
            if data[at] == 0x1B:
                found = self.CONTROL.match(data, at)
                if not found:
                    self.left = data[at:]
                    return
                self.control(found[1].decode(), found[2].decode())
                at = found.end()
                continue
            length = 1 if data[at] < 0x80 else 2 if data[at] < 0xE0 else 3 if data[at] < 0xF0 else 4
            if at + length > len(data):
                self.left = data[at:]
                return
            self.put(data[at : at + length].decode())
            at += length

    def put(self, letter):
        if letter == "\r":
            self.column = 0
        elif letter == "\n":
            self.row = min(self.row + 1, self.rows - 1)
        elif ord(letter) < 0x20:
            self.unknown.add(repr(letter))
        elif self.column < self.columns:
            self.cells[self.row][self.column] = letter
            self.column += 1

    def control(self, values, letter):
        if letter == "H":
            row, column = (values.split(";") + ["1", "1"])[:2] if values else ("1", "1")
            self.row, self.column = min(int(row), self.rows) - 1, min(int(column), self.columns) - 1
        elif letter == "J":
            self.cells = [[" "] * self.columns for _ in range(self.rows)]
        elif values in ("?1049",):
            self.alternate = letter == "h"
            self.alternated += 1
        elif values == "?25":
            self.hidden = letter == "l"
        elif letter not in "mhlK":
            self.unknown.add(values + letter)

    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)


def main():
    program, settings = sys.argv[1:3]
    master, slave = pty.openpty()
    screen = Screen(80, 24)
    size(slave, 80, 24)
    before = termios.tcgetattr(slave)
    child = os.fork()
    if child == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for descriptor in (0, 1, 2):
            os.dup2(slave, descriptor)
        os.execv(program, [program, "--config", settings, "status", "--watch"])
    seen = {}

    def wait(what, holds):
        until = time.monotonic() + PATIENCE
        # A screen is read when it stands: not in the middle of its being drawn.
        is_drawing = True
        while is_drawing or not holds(screen.text()):
            if time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
                sys.exit(f"{what} never stood on the screen:\n{screen.text()}")
            is_drawing = bool(select.select([master], [], [], 0.2)[0])
            if is_drawing:
                screen.feed(os.read(master, 65536))
        seen[what] = screen.text()

    def press(keys):
        os.write(master, keys.encode())

    wait("list", lambda text: "tenants 1–" in text and "TENANT" in text)
    raw = termios.tcgetattr(slave) != before
    press("3")
    wait("sinks", lambda text: "OLDEST" in text and "splunk" in text)
    press("5m")
    wait("live", lambda text: "[masked]" in text and "titles hidden" in text)
    press("m")
    wait("titles", lambda text: "[masked]" not in text and "records as they pass" in text)
    press("1/nobody\r")
    wait("filter", lambda text: "none of" in text)
    press("\x1b")
    wait("all", lambda text: "tenants 1–" in text)
    press("\r")
    wait("page", lambda text: "OWED TO SINKS" in text)
    size(slave, 120, 40)
    screen.resize(120, 40)
    os.kill(child, signal.SIGWINCH)
    wait("wide", lambda text: "SEEN UP TO" in text)
    # The store goes away, and comes back.
    store = os.path.join(os.path.dirname(settings), "muster.db")
    os.rename(store, store + ".away")
    wait("gone", lambda text: "NOT KNOWN how it is now" in text and "cannot be looked at" in text)
    os.rename(store + ".away", store)
    wait("back", lambda text: "NOT KNOWN" not in text and "OWED TO SINKS" in text)
    if len(sys.argv) > 3:
        os.kill(child, getattr(signal, sys.argv[3]))
    else:
        press("q")
    until = time.monotonic() + PATIENCE
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if select.select([master], [], [], 0.1)[0]:
            screen.feed(os.read(master, 65536))
        elif done:
            break
        if time.monotonic() > until:
            sys.exit("it does not end")
    print(
        json.dumps(
            {
                "status": os.waitstatus_to_exitcode(status),
                "raw": raw,
                "restored": termios.tcgetattr(slave) == before,
                "alternate": screen.alternate,
                "alternated": screen.alternated,
                "hidden": screen.hidden,
                "unknown": sorted(screen.unknown),
                "seen": seen,
            }
        )
    )


def size(descriptor, columns, rows):
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


main()
