"""A stand-in that speaks the protocol of a language model's server and is none.

It lets the whole road run where no model is installed. Every answer has the asked-for shape and says in plain words
that no language model is connected; the worker knows its model id and never shows the answer as a reading. It listens
on loopback only and refuses anything that is not one small JSON question.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from appliance.core.drafting.question import NO_MODEL_ID, NO_MODEL_NOTICE
from appliance.errors import Misconfigured

HOST = "127.0.0.1"
REQUEST_BYTES_MAX = 768 * 1024  # a case with its pictures, and the schema of its answer
REQUEST_TIMEOUT_S = 10.0
DEPTH_MAX = 20
ITEMS_MAX = 50


def instance_of(schema: Any, depth: int = 0) -> Any:
    """A value of a JSON Schema, the plainest there is: first word of an enumeration, the notice for free text.

    raises  ValueError: a schema that is nested too deeply or is no object
    """
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        raise ValueError("no schema of ours")
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            required = schema.get("required") or list(properties)
            return {name: instance_of(properties.get(name), depth + 1) for name in required}
        case "array":
            count = min(int(schema.get("minItems", 0)), ITEMS_MAX)
            return [instance_of(schema.get("items"), depth + 1) for _ in range(count)]
        case "string":
            return NO_MODEL_NOTICE[: int(schema.get("maxLength", len(NO_MODEL_NOTICE)))]
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
    return None


def completion(request: Any) -> dict[str, Any]:
    """The reply to one chat completion request. Raises ValueError for what it does not speak."""
    if not isinstance(request, dict) or not isinstance(request.get("messages"), list) or request.get("stream"):
        raise ValueError("no chat completion request")
    wanted = request.get("response_format") or {}
    if not isinstance(wanted, dict):
        raise ValueError("no response format")
    content = NO_MODEL_NOTICE
    if wanted.get("type") == "json_schema":
        content = json.dumps(instance_of((wanted.get("json_schema") or {}).get("schema")))
    elif wanted.get("type") == "json_object":
        content = json.dumps({"notice": NO_MODEL_NOTICE})
    message = {"role": "assistant", "content": content}
    return {
        "id": NO_MODEL_ID,
        "object": "chat.completion",
        "created": 0,
        "model": NO_MODEL_ID,
        "system_fingerprint": got(request["messages"]),
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }


def got(messages: list[Any]) -> str:
    """What a question consisted of: the one thing a stand-in can honestly say of it."""
    parts = [part for message in messages if isinstance(message.get("content"), list) for part in message["content"]]
    images = sum(part.get("type") == "image_url" for part in parts)
    return f"was-asked-in-{len(messages)}-messages-with-{images}-images"


class _Speaker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = NO_MODEL_ID
    sys_version = ""
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        if self.path == "/health":
            self._say(200, {"status": "ok", "model": NO_MODEL_ID, "notice": NO_MODEL_NOTICE})
        elif self.path == "/v1/models":
            model = {"id": NO_MODEL_ID, "object": "model", "created": 0, "owned_by": "nobody"}
            self._say(200, {"object": "list", "data": [model]})
        else:
            self._refuse(404, "no such path")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > REQUEST_BYTES_MAX:
            self._refuse(413, "say the length of a small body")
            return
        data = self.rfile.read(int(length))
        if self.path != "/v1/chat/completions":
            self._refuse(404, "no such path")
            return
        try:
            reply = completion(json.loads(data))
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            self._refuse(400, "no chat completion request of a kind spoken here")
            return
        self._say(200, reply)

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True  # what is left of the body is not read
        self._say(status, {"error": {"message": message, "type": "invalid_request_error", "code": status}})

    def _say(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: a request line may be anything."""


class NoModel(ThreadingHTTPServer):
    """The server, listening once it is made; port 0 takes a free one."""

    daemon_threads = True
    # A quick restart must find its port free.
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        try:
            super().__init__((HOST, port), _Speaker)
        except OSError:
            raise Misconfigured("port-taken", f"port {port}") from None

    @property
    def url(self) -> str:
        """The endpoint as the worker wants it."""
        return f"http://{HOST}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller who hangs up is no fault of ours."""

    def serve(self) -> threading.Thread:
        """Serves in a thread until `shutdown`."""
        thread = threading.Thread(target=self.serve_forever, args=(0.1,), name=NO_MODEL_ID, daemon=True)
        thread.start()
        return thread
