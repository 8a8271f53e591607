"""A repository of updates as plain files over HTTPS. It reads one folder, lists nothing and writes nothing.

Any web server does the same; this one is for tests and small sites.
"""

import signal
import ssl
import threading
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from appliance.errors import Misconfigured

TIMEOUT_S = 60


class Files(SimpleHTTPRequestHandler):
    """GET of a file, or of the rest of one from a byte on (RFC 9110, 14.1.2)."""

    timeout = TIMEOUT_S
    start = 0

    def list_directory(self, path: Any) -> None:  # noqa: ARG002 - the library's signature
        self.send_error(HTTPStatus.NOT_FOUND)

    def send_head(self) -> Any:
        path = Path(self.translate_path(self.path))
        asked = self.headers.get("Range", "")
        first = asked.removeprefix("bytes=").removesuffix("-")
        if not asked.startswith("bytes=") or not first.isdecimal() or not path.is_file():
            return super().send_head()
        size, start = path.stat().st_size, int(first)
        if start >= size:
            self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            return None
        file = path.open("rb")
        file.seek(start)
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        return file

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: who asked is the web server's of a larger site."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or shows no TLS, is no fault of ours."""


def server(folder: Path, certificate: Path, host: str, port: int) -> Server:
    """A server that is not running yet. Raises Misconfigured("publish-serve")."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate)
        made = Server((host, port), partial(Files, directory=str(folder)))
    except OSError as error:
        raise Misconfigured("publish-serve", certificate.name) from error
    made.socket = context.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
    return made


def serve(folder: Path, certificate: Path, host: str, port: int) -> int:
    """Serves until a stop signal comes."""
    made = server(folder, certificate, host, port)
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    threading.Thread(target=made.serve_forever, name="updates", daemon=True).start()
    print(f"central: {folder} at https://{host}:{made.server_address[1]}/", flush=True)
    stop.wait()
    made.shutdown()
    made.server_close()
    return 0
