"""`central fleet`: one page, metrics and JSON about every appliance, for whoever looks after many. It only reads.

Who looks proves it with the token of a file. On loopback by default, for the centre's own reverse proxy; elsewhere only
over TLS. What it shows is made in central.fleet.view from statuses alone: no document of a case is opened.
"""

import argparse
import logging
import os
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import Engine

from appliance.errors import Misconfigured, Unavailable
from appliance.world.sqlite import open_reader
from central import store
from central.fleet.page import app
from central.fleet.view import fleet_now
from central.registry import enrolled
from central.store import looking

VERBS = ("fleet",)
TOKEN_CHARACTERS_MIN, TOKEN_BYTES_MAX = 32, 1024
CONNECTIONS_MAX = 64
KEEP_ALIVE_S, SHUTDOWN_S = 30, 5
OTHERS = stat.S_IRWXO | stat.S_IWGRP


def arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb's place on the command line."""
    said = "serve a page, metrics and JSON of how every appliance stands; it only reads"
    fleet = commands.add_parser("fleet", help=said, description=__doc__)
    fleet.add_argument("--state", type=Path, required=True, help="folder of the centre's database")
    fleet.add_argument("--store", default="", metavar="URL", help="PostgreSQL instead, as for `central run`")
    fleet.add_argument("--keys", type=Path, help="the centre's key folder: shows devices that were never heard, too")
    fleet.add_argument(
        "--listen", type=_address, default=("127.0.0.1", 8790), metavar="HOST:PORT", help="default 127.0.0.1:8790"
    )
    fleet.add_argument(
        "--token-file", type=Path, required=True, help=f"what whoever looks must show, {TOKEN_CHARACTERS_MIN} or more"
    )
    fleet.add_argument("--tls-certificate", type=Path, help="PEM, with its chain; needed unless HOST is loopback")
    fleet.add_argument("--tls-key", type=Path, help="PEM")


def run(options: argparse.Namespace) -> int:
    """Serves until a stop signal. Raises Misconfigured; what fails later is told on the page that was asked for."""
    token, context = read_token(options.token_file), _tls(options)
    path: Path = options.state / "central.db"
    if not options.store and not path.exists():
        raise Misconfigured("state-folder", "--state")
    engine: Engine = store.open_server(options.store) if options.store else open_reader(path)
    try:
        with _listening(*options.listen) as listener:
            host, port = listener.getsockname()[:2]
            scheme, shown = "http" if context is None else "https", f"[{host}]" if ":" in host else host
            print(f"central: fleet at {scheme}://{shown}:{port}/", flush=True)
            _serve(app(lambda: looked(engine, options.keys), token), listener, context)
    finally:
        engine.dispose()
    return 0


def looked(engine: Engine, keys: Path | None) -> dict[str, Any]:
    """One look, in one transaction. Raises Unavailable("store-away")."""
    names = enrolled(keys) if keys else None
    with store.transaction(engine) as c:
        if not looking.is_made(c):
            raise Unavailable("store-away")
        return fleet_now(c, names, time.time())


def read_token(path: Path) -> str:
    """Raises Misconfigured("fleet-token"): not there, too short, or anybody may read or change it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            token = file.read(TOKEN_BYTES_MAX + 1).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise Misconfigured("fleet-token", "--token-file") from None
    plain = token.isprintable() and " " not in token and len(token) <= TOKEN_BYTES_MAX
    if mode & OTHERS or not plain or len(token) < TOKEN_CHARACTERS_MIN:
        raise Misconfigured("fleet-token", "--token-file")
    return token


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    """Raises Misconfigured: "fleet-open" in clear for others than this machine, "fleet-tls"."""
    if options.tls_certificate is None and options.tls_key is None:
        if not _is_loopback(options.listen[0]):
            raise Misconfigured("fleet-open", "--listen")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(options.tls_certificate or "", options.tls_key or "", password="")
    except OSError:  # ssl.SSLError is one
        raise Misconfigured("fleet-tls", "--tls-certificate") from None
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise argparse.ArgumentTypeError("an address is HOST:PORT; port 0 takes a free one")
    return host.strip("[]"), int(port)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError:
        raise Misconfigured("fleet-port", "--listen") from None
    with listener:
        yield listener


def _serve(page: Any, listener: socket.socket, context: ssl.SSLContext | None) -> None:
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    settings = uvicorn.Config(
        page,
        interface="asgi3",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        ssl_context_factory=None if context is None else lambda _config, _default: context,
    )
    uvicorn.Server(settings).run(sockets=[listener])
