"""`central fetch-model`, `central serve-model`: a real language model on one machine, to demonstrate and to test."""

import argparse
import signal
import sys
from pathlib import Path

from appliance.errors import Misconfigured
from central import weights
from central.embedded import MODEL_ID, Embedded

VERBS = ("fetch-model", "serve-model")


def arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verbs' places on the command line."""
    commands.add_parser("fetch-model", help=f"fetch {weights.NAME} ({weights.SIZE_BYTES / 1e6:.0f} MB), once")
    server = commands.add_parser("serve-model", help="serve it on loopback; a plumbing demonstration, no reader")
    server.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    server.add_argument("--eyes", type=Path, help="a vision tower that fits it (mmproj GGUF): it takes pictures then")


def run(options: argparse.Namespace) -> int:
    """Runs one of VERBS. Raises Misconfigured: "weights-missing" or "llm-runtime-missing"."""
    path = weights.fetch(lambda line: print(f"central: {line}", file=sys.stderr, flush=True))
    if options.command == "fetch-model":
        print(path)
        return 0
    stop = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # before the server's threads start, so that they inherit it
    if options.eyes is not None and not options.eyes.is_file():
        raise Misconfigured("weights-missing", "--eyes")
    server = Embedded(path, options.port, eyes=options.eyes)
    print(f"central: {MODEL_ID} at {server.url}", flush=True)
    signal.sigwait(stop)
    return 0
