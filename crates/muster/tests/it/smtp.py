"""A mail server: aiosmtpd, with TLS and a sign-in.

smtp.py PORT FOLDER OPTIONS: OPTIONS is JSON: `tls` (none, starttls, implicit), `certificate` and `key` (PEM files), `user` and
`password`. What it takes is appended to FOLDER/mails.ndjson. FOLDER/mode says how it behaves: `ok`; `greylist` (451 to every
recipient), `busy` (421), `refuse` (550), `close` (ends the connection in DATA), `stall` (never answers DATA).
"""

import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

port, folder, options = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])


def mode():
    with open(os.path.join(folder, "mode")) as file:
        return file.read().strip()


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        refusal = {
            "greylist": "451 4.7.1 Greylisted, come back later",
            "busy": "421 4.3.2 Too many connections",
            "refuse": "550 5.1.1 No such user here",
        }.get(mode())
        if refusal and not (mode() == "refuse" and "right" in address):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if mode() == "close":
            server.transport.abort()
            return "451 gone"
        if mode() == "stall":
            await asyncio.sleep(3600)
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None or options["tls"] == "implicit",
            "user": getattr(session, "login_name", None),
            "data": envelope.content.decode("ascii"),
        }
        with open(os.path.join(folder, "mails.ndjson"), "a") as file:
            file.write(json.dumps(mail) + "\n")
        return "250 2.0.0 Queued as 4711"


def authenticator(server, session, envelope, mechanism, data):
    session.login_name = data.login.decode()
    right = (data.login.decode(), data.password.decode()) == (options.get("user"), options.get("password"))
    return AuthResult(success=right, handled=right)


def server(context):
    return SMTP(
        Handler(),
        hostname="mail.example",
        tls_context=context if options["tls"] == "starttls" else None,
        require_starttls=options["tls"] == "starttls",
        authenticator=authenticator if options.get("user") else None,
        auth_required=bool(options.get("user")),
        auth_require_tls=options["tls"] == "starttls",
    )


async def main():
    context = None
    if options["tls"] != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options["certificate"], options["key"])
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: server(context), "127.0.0.1", port, ssl=context if options["tls"] == "implicit" else None
    )
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


asyncio.run(main())
