"""Cases, answers and edges for the tests of the centre."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from appliance.core.case import Case, Finding, Model, Opinion, Sealed, seal
from central.question import Answer

DEVICE = "appliance-1"


def case_number(number: int) -> str:
    return f"{number:032x}"


def a_case(number: int = 1, **changes: Any) -> Case:
    fields: dict[str, Any] = {
        "case_id": case_number(number),
        "revision": 1,
        "urgency": "routine",
        "modality": "CR",
        "body_part": "CHEST",
        "view": "AP",
        "images": 1,
        "reasons": ("score-between",),
        "would_be": "escalated",
        "findings": (Finding(id="F1", label="pneumonia", logit=0.62, probability=0.874),),
        "gates": {"entropy_bits": 5.25},
        "model": Model(name="cxr-paediatric", version="1.0.0", sha256="5" * 64, certificate="7" * 64),
    }
    return Case(**{**fields, **changes})


def sealed(number: int = 1, **changes: Any) -> Sealed:
    return seal(a_case(number, **changes))


def an_answer(**changes: Any) -> Answer:
    fields: dict[str, Any] = {
        "opinions": (Opinion(label="pneumonia", assessment="present", evidence=("F1",)),),
        "impression": "The score speaks for pneumonia at 87 %. This study needs a reader.",
        "urgency": "urgent",
        "limitations": ("One score only.",),
    }
    return Answer(**{**fields, **changes})


class ScriptedServer(ThreadingHTTPServer):
    """An OpenAI-compatible server that does what its script says, one entry a request; the last entry for ever."""

    daemon_threads = True

    def __init__(self, *script: Callable[["Scripted"], None]) -> None:
        self.script = list(script)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.released = threading.Event()
        super().__init__(("127.0.0.1", 0), Scripted)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up on a hostile server did well."""


class Scripted(BaseHTTPRequestHandler):
    server: ScriptedServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(json.loads(body))
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.paths.append(self.path)
        script = self.server.script
        (script.pop(0) if len(script) > 1 else script[0])(self)

    def say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""


def status(code: int, **headers: str) -> Callable[[Scripted], None]:
    return lambda scripted: scripted.say(code, b"{}", **headers)


def content(said: Any, *, model: str = "some-model", finish: str = "stop") -> Callable[[Scripted], None]:
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": finish}
    envelope = {"id": "1", "object": "chat.completion", "model": model, "choices": [choice], "usage": {"x": 1}}
    return lambda scripted: scripted.say(200, json.dumps(envelope).encode())


def answered(**changes: Any) -> Callable[[Scripted], None]:
    return content(an_answer(**changes).model_dump_json())
