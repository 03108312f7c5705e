"""A collector's side: Python's own HTTP server, and OpenTelemetry's own messages for what comes.

otlp.py PORT FOLDER TOKEN: appends the body of each log record to FOLDER/taken.ndjson and what its attributes say to FOLDER/versions,
and does what FOLDER/mode says: `ok`, `poison` (400 for requests with one record in twenty-five), `partial` (the next request of
several is taken but for its first log record), or a status for everything. An empty TOKEN lets everybody in.
"""

import gzip
import hashlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

port, folder, token = int(sys.argv[1]), sys.argv[2], sys.argv[3]
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, message=None):
        said = b"" if message is None else message.SerializeToString()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v1/logs" or self.headers["Content-Type"] != "application/x-protobuf":
            return self.answer(404)
        if token and self.headers["Authorization"] != token:
            return self.answer(401)
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        request = ExportLogsServiceRequest()
        request.ParseFromString(body)
        records = [
            (dict((a.key, a.value.string_value) for a in resource.resource.attributes), record)
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
            if scope.scope.name == "muster"
        ]
        with lock:
            with open(os.path.join(folder, "mode")) as file:
                mode = file.read().strip()
            response = ExportLogsServiceResponse()
            if mode.isdigit():
                return self.answer(int(mode))
            ids = [json.loads(record.body.string_value)["id"] for _, record in records]
            if mode == "poison" and any(hashlib.sha256(id.encode()).digest()[0] % 25 == 0 for id in ids):
                return self.answer(400)
            if mode == "partial" and len(records) > 1:
                records = records[1:]
                response.partial_success.rejected_log_records = 1
                response.partial_success.error_message = "one is too old"
                with open(os.path.join(folder, "mode"), "w") as file:
                    file.write("ok")
            with open(os.path.join(folder, "taken.ndjson"), "ab") as bodies, open(
                os.path.join(folder, "versions"), "a"
            ) as versions:
                for resource, record in records:
                    assert resource["service.name"] == "muster" and record.observed_time_unix_nano > 0
                    own = dict((a.key, a.value.string_value) for a in record.attributes)
                    assert own["muster.tenant.id"] == resource["muster.tenant.id"]
                    bodies.write(record.body.string_value.encode() + b"\n")
                    versions.write(" ".join((own["muster.tenant.id"], own["muster.source"], own["muster.record.id"], own["muster.record.version"])) + "\n")
        self.answer(200, response)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
