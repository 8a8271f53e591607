"""The command line of the centre: `central run`, `no-model`, `status`; other rooms add theirs."""

import argparse
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sqlalchemy import Engine

from appliance.core.drafting.question import NO_MODEL_ID, NO_MODEL_NOTICE
from appliance.core.messages import PARTITIONS
from appliance.errors import Misconfigured, Quarantined, Unavailable
from appliance.loop import Step, run
from appliance.world.mqtt import Link
from central import (
    balancing,
    corrections,
    enrol,
    fleet,
    local_model,
    overview,
    publishing,
    series,
    simulating,
    store,
)
from central.asking import Asking, Gate
from central.llm import STRUCTURED, Endpoint, read_key
from central.no_model import NoModel
from central.registry import Registry
from central.spool import Spool
from central.worker import Line, Worker

EX_CONFIG = 78  # sysexits.h
KEEPALIVE_S = 30
SESSION_EXPIRY_S = 2_592_000
SHARES = 4
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
WAIT_S = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 when a service failed, 78 for a wrong set-up."""
    given = sys.argv[1:] if argv is None else list(argv)
    parser = _parser()
    # The simulation has a command line of its own: everything behind its verb is its.
    told = given[:1] if given[:1] == list(simulating.VERBS) else given
    options = parser.parse_args(told)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        match options.command:
            case "run":
                return _run(options)
            case "no-model":
                return _no_model(options.port)
            case verb if verb in series.VERBS:
                return series.run(options)
            case verb if verb in corrections.VERBS:
                return corrections.run(options)
            case verb if verb in enrol.VERBS:
                return enrol.run(options)
            case verb if verb in publishing.VERBS:
                return publishing.run(options)
            case verb if verb in fleet.VERBS:
                return fleet.run(options)
            case verb if verb in balancing.VERBS:
                return balancing.run(options)
            case verb if verb in simulating.VERBS:
                return simulating.run(given[1:])
            case verb if verb in local_model.VERBS:
                return local_model.run(options)
            case _:
                return overview.run(options)
    except (Unavailable, Quarantined) as fault:
        print(f"central: {fault}: {fault.text}. {fault.hint}", file=sys.stderr)
        return 1
    except Misconfigured as fault:
        print(f"central: {fault}: {fault.text}. {fault.hint}", file=sys.stderr)
        return EX_CONFIG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="central", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="take cases from the broker, ask the language model, send verdicts")
    runner.add_argument("--state", type=Path, required=True, help="folder for the centre's database")
    _store(runner)
    runner.add_argument("--keys", type=Path, required=True, help="folder of the centre's keys and of its devices")
    runner.add_argument(
        "--broker",
        type=_broker,
        action="append",
        help="MQTT broker, HOST:PORT; say it again for each further one (default 127.0.0.1:1883)",
    )
    runner.add_argument(
        "--tls", action="store_true", help="dial the brokers with the certificate in --keys; off this machine a must"
    )
    runner.add_argument(
        "--shares",
        type=_count,
        default=SHARES,
        help="shares of the wire; all workers alike (default %(default)s)",
    )
    runner.add_argument(
        "--asks-in-flight", type=_count, default=2, help="cases asked about at a time (default %(default)s)"
    )
    runner.add_argument("--endpoint", required=True, help="base URL of an OpenAI-compatible server")
    runner.add_argument("--model", default=NO_MODEL_ID, help="the model's name there (default %(default)s)")
    runner.add_argument(
        "--images", action="store_true", help="the model takes images: show it the key images of a case"
    )
    runner.add_argument(
        "--structured",
        choices=STRUCTURED,
        default=STRUCTURED[0],
        help="how that server takes the shape of an answer (default %(default)s)",
    )
    runner.add_argument("--api-key-file", type=Path, help="file that holds the endpoint's key")
    stand_in = commands.add_parser(
        "no-model", help=f"a stand-in endpoint on loopback whose every answer is: {NO_MODEL_NOTICE}"
    )
    stand_in.add_argument("--port", type=_port, default=0, help="port to listen on; 0 takes a free one")
    status = commands.add_parser("status", help="which appliances are alive, who serves them, and what waits")
    status.add_argument("--state", type=Path, required=True, help="folder of the centre's database")
    _store(status)
    status.add_argument("--keys", type=Path, help="the centre's key folder: lists devices that were never heard, too")
    status.add_argument("--json", action="store_true", help="for machines")
    series.arguments(commands)
    corrections.arguments(commands)
    enrol.arguments(commands)
    local_model.arguments(commands)
    publishing.arguments(commands)
    fleet.arguments(commands)
    balancing.arguments(commands)
    simulating.arguments(commands)
    return parser


def _store(parser: argparse.ArgumentParser) -> None:
    said = (
        "PostgreSQL instead of SQLite in --state: postgresql+psycopg://USER@/NAME?host=...; the password in ~/.pgpass"
    )
    parser.add_argument("--store", default="", metavar="URL", help=said)


def _broker(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host:
        raise argparse.ArgumentTypeError("a broker is HOST:PORT")
    return host.strip("[]"), _port(port)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= PARTITIONS:
        raise argparse.ArgumentTypeError(f"a number from 1 to {PARTITIONS}")
    return int(text)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _hold_signals() -> None:
    """Keeps the stop signals for `_wait`; before any thread starts, so that every thread inherits it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def _wait(stop: threading.Event) -> None:
    """Until a stop signal comes or a thread gives up. No handler runs, so no lock can be held twice."""
    while not stop.is_set():
        if signal.sigtimedwait(STOP_SIGNALS, WAIT_S) is not None:
            stop.set()


def _run(options: argparse.Namespace) -> int:
    stop, wire_wake, ask_wake = threading.Event(), threading.Event(), threading.Event()
    key = None if options.api_key_file is None else read_key(options.api_key_file)
    engine, registry = _open_store(options.state, options.store), Registry(options.keys)
    name = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
    brokers: list[tuple[str, int]] = options.broker or [("127.0.0.1", 1883)]
    dial = _dialling(options, brokers, wire_wake)
    gate = Gate()
    told = {"api_key": key, "structured": options.structured, "canary": True, "pause": stop.wait}
    endpoints = [Endpoint(options.endpoint, **told) for _ in range(options.asks_in_flight)]
    askings = [
        Asking(
            engine,
            registry,
            worker=name,
            model=options.model,
            ask=endpoint.ask,
            wake=wire_wake,
            images=options.images,
            gate=gate,
        )
        for endpoint in endpoints
    ]
    worker = Worker(
        engine,
        Spool(options.state / "spool"),
        registry,
        name=name,
        connect=lambda client_id, topics: dial(client_id, topics, SESSION_EXPIRY_S),
        discard=lambda client_id: dial(client_id, (), 0),
        shares=options.shares,
        asks=ask_wake,
        askings=askings,
    )
    failed = threading.Event()
    wire = _loop("centre wire", worker.steps(), stop=stop, wake=wire_wake, failed=failed)
    asks = [
        _loop(f"centre ask {number}", asking.steps(), stop=stop, wake=ask_wake, failed=failed)
        for number, asking in enumerate(askings)
    ]
    _hold_signals()
    for loop in (wire, *asks):
        loop.start()
    where = ", ".join(f"{host}:{port}" for host, port in brokers)
    print(f"central: {name} at {where}, asking {options.model}", flush=True)
    _wait(stop)
    # A thread that asks may be waiting for the model; its attempt is counted, so leaving it is safe.
    wire_wake.set()
    wire.join(10)
    if failed.is_set():
        for loop in asks:
            loop.join(5)  # whichever gave up must have said why before the process ends
    if not wire.is_alive():
        with contextlib.suppress(Unavailable):
            worker.close()
    return 1 if failed.is_set() else 0


def _dialling(
    options: argparse.Namespace, brokers: Sequence[tuple[str, int]], wake: threading.Event
) -> Callable[[str, Sequence[str], int], list[Line]]:
    """Makes and starts a connection to each broker: by client id, subscriptions and how long a session is kept (s)."""
    dialled = [(host, port, enrol.line(options.keys, host, tls=options.tls)) for host, port in brokers]

    def dial(client_id: str, topics: Sequence[str], session_expiry_s: int) -> list[Line]:
        links = [
            Link(host, port, client_id, topics, KEEPALIVE_S, session_expiry_s, wake, tls=tls)
            for host, port, tls in dialled
        ]
        for link in links:
            link.start()
        return list(links)

    return dial


def _open_store(folder: Path, url: str) -> Engine:
    try:
        return store.open_store(folder, url)
    except OSError:
        raise Misconfigured("state-folder", "--state") from None


def _loop(
    name: str, steps: Mapping[str, Step], *, stop: threading.Event, wake: threading.Event, failed: threading.Event
) -> threading.Thread:
    """A thread that runs steps until stop; a fault nobody foresaw ends the whole service, not only the thread."""

    def work() -> None:
        try:
            run(steps, stop=stop, wake=wake, alive=lambda: None)
        finally:
            if not stop.is_set():  # run returns only when it is told to: this is a fault on its way out
                failed.set()
            stop.set()

    return threading.Thread(target=work, name=name, daemon=True)


def _no_model(port: int) -> int:
    server = NoModel(port)
    _hold_signals()
    server.serve()
    print(f"central: {NO_MODEL_ID} at {server.url}", flush=True)
    _wait(threading.Event())
    server.shutdown()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
