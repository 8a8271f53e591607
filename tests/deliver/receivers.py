"""Receivers of HL7 v2 and FHIR: hl7apy's own MLLP server, and an HTTP server that believes what fhir.resources does."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from fhir.resources.R4B.imagingstudy import ImagingStudy
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message
from hl7apy.mllp import AbstractHandler, MLLPServer
from hl7apy.parser import parse_message

MODELS: dict[str, Any] = {"DiagnosticReport": DiagnosticReport, "ImagingStudy": ImagingStudy}


class Ris:
    """Takes each control id once, as a RIS does. answers: (MSA-1, ERR-3) of the next ones, the last of all further."""

    def __init__(self) -> None:
        self.took: dict[str, str] = {}
        self.heard: list[str] = []
        self.answers: list[tuple[str, str]] = [("AA", "")]
        self.before = ""  # sent ahead of the answer, in a frame of its own
        self.silent = 0  # so many messages get no answer at all

        ris = self

        class Hearing(AbstractHandler):  # type: ignore[misc]
            def reply(self) -> str:
                return ris.answer(self.incoming_message)

        self.server = MLLPServer("127.0.0.1", 0, {"ORU^R01^ORU_R01": (Hearing,)})
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, text: str) -> str:
        made = parse_message(text, validation_level=VALIDATION_LEVEL.STRICT)
        control = str(made.msh.msh_10.value)
        self.heard.append(text)
        if self.silent:
            self.silent -= 1
            raise ValueError("hang up")
        code, error = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if code == "AA":
            self.took.setdefault(control, text)
        return self.before + acknowledged(control, code, error)

    def target(self, **told: Any) -> dict[str, Any]:
        return {"name": "ris", "kind": "hl7", "host": "127.0.0.1", "port": self.port, **told}

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def acknowledged(control: str, code: str, error: str = "") -> str:
    ack = Message("ACK", version="2.5.1")
    ack.msh.msh_9, ack.msh.msh_10, ack.msh.msh_11 = "ACK^R01^ACK", "1", "P"
    ack.add_segment("MSA")
    ack.msa.msa_1, ack.msa.msa_2 = code, control
    if error:
        ack.add_segment("ERR")
        ack.err.err_3, ack.err.err_4 = error, "E"
    return str(ack.to_mllp())


class Fhir:
    """A FHIR server of two types: versions, ETags, If-Match. versions: what was put under each name, in order."""

    def __init__(self) -> None:
        self.versions: dict[str, list[dict[str, Any]]] = {}
        self.statuses: list[int] = []  # of the next writes, instead of what would be said
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.etags = True
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(("GET", self.path[1:]))
                self.tell(*server.read(self.path[1:]))

            def do_PUT(self) -> None:
                server.asked.append(("PUT", self.path[1:]))
                server.tokens.add(self.headers.get("Authorization", ""))
                data = self.rfile.read(int(self.headers["Content-Length"]))
                self.tell(*server.write(self.path[1:], data, dict(self.headers)))

            def tell(self, status: int, made: dict[str, Any], version: int = 0) -> None:
                data = json.dumps(made).encode()
                self.send_response(status)
                if version and server.etags:
                    self.send_header("ETag", f'W/"{version}"')
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *told: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def read(self, name: str) -> tuple[int, dict[str, Any], int]:
        held = self.versions.get(name, [])
        return (200, held[-1], len(held)) if held else (404, {"resourceType": "OperationOutcome"}, 0)

    def write(self, name: str, data: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if self.statuses:
            return self.statuses.pop(0), {}
        kind, _, own = name.partition("/")
        made = json.loads(data)
        MODELS[kind].model_validate_json(data)
        if made["id"] != own:
            return 400, {}
        held = self.versions.setdefault(name, [])
        now = f'W/"{len(held)}"'
        if (headers.get("If-None-Match") == "*" and held) or headers.get("If-Match", now) != now:
            return 412, {}
        held.append(made)
        return (200 if len(held) > 1 else 201), made

    def target(self, **told: Any) -> dict[str, Any]:
        return {"name": "fhir", "kind": "fhir", "url": self.url, **told}

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
