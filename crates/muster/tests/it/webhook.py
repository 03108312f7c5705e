"""A webhook's receiver: Python's own HTTP server, and Standard Webhooks' own library for the signatures.

webhook.py PORT FOLDER SECRET: takes what is signed, appends each body to FOLDER/taken.ndjson and each id to FOLDER/ids, and does what
FOLDER/mode says: `ok`, `poison` (422 for one record in twenty-five), or a status for everything, with the path that was asked for.
"""

import hashlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

port, folder, secret = int(sys.argv[1]), sys.argv[2], sys.argv[3]
webhook, lock = Webhook(secret), threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, said=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def do_HEAD(self):
        self.answer(405)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(os.path.join(folder, "mode")) as file:
            mode = file.read().strip()
        try:
            event = webhook.verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            return self.answer(401, str(error).encode())
        if mode.isdigit():
            return self.answer(int(mode), self.path.encode())
        if mode == "poison" and hashlib.sha256(event["id"].encode()).digest()[0] % 25 == 0:
            return self.answer(422, b"not this one")
        with lock:
            with open(os.path.join(folder, "taken.ndjson"), "ab") as file:
                file.write(json.dumps(event).encode() + b"\n")
            with open(os.path.join(folder, "ids"), "a") as file:
                file.write(self.headers["webhook-id"] + "\n")
            with open(os.path.join(folder, "paths"), "a") as file:
                file.write(self.path + "\n")
        self.answer(204)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
