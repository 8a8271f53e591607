"""The places of `central publish` and `central serve-updates` on the command line; what they do is in central.publish.

Apart, because the library that signs is loaded only by who publishes.
"""

import argparse
from pathlib import Path

from appliance.core.updates import KINDS, RINGS, ROLES

VERBS = ("publish", "serve-updates")


def arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verbs' places on the command line."""
    outer = commands.add_parser("publish", help="a signed repository of models, certificates, policy and releases")
    inner = outer.add_subparsers(dest="what", required=True, metavar="WHAT")

    def what(name: str, sentence: str, *, keys: bool = True) -> argparse.ArgumentParser:
        made = inner.add_parser(name, help=sentence, description=sentence)
        made.add_argument("--repository", type=Path, required=True, help="the folder that is served")
        if keys:
            made.add_argument("--keys", type=Path, action="append", required=True, help="folder of keys; repeatable")
        return made

    begun = what("init", "make a repository and all its keys")
    begun.add_argument("--offline", type=Path, required=True, help="folder for the root's keys and that of targets")
    begun.add_argument("--roots", type=int, default=3, help="keys of the root (default %(default)s)")
    begun.add_argument("--threshold", type=int, default=2, help="how many must sign together (default %(default)s)")
    added = what("add", "publish one model package, certificate, policy or release")
    added.add_argument("kind", choices=KINDS)
    added.add_argument("source", type=Path, help="a signed package's folder, or a file")
    added.add_argument("--ring", choices=RINGS, default="lab", help="who gets it first (default %(default)s)")
    added.add_argument("--title", default="", help="of a release, as people call it: its version")
    added.add_argument("--app-version-min", default="0.0.0", help="older appliances leave it")
    added.add_argument("--certificate", default=None, help="digest of the certificate that a model comes with")
    moved = what("promote", "roll one target out to a wider ring")
    moved.add_argument("name", help="its path or title")
    moved.add_argument("--to", choices=RINGS, required=True)
    led = what("activate", "let a model decide by itself, ring by ring, where a site allows that and has certified it")
    led.add_argument("name", help="its path or title")
    led.add_argument("--to", choices=RINGS, required=True)
    what("withdraw", "take one target back: who has it must use it no more").add_argument("name")
    renewed = what("timestamp", "say that this is still the newest state; for a timer, daily")
    renewed.add_argument("--always", action="store_true", help="also when most of its time is left")
    turned = what("rotate", "replace one key; the root's and targets' keys must be at hand for some")
    turned.add_argument("role", help=f"root-N, targets, snapshot, timestamp, {', '.join(ROLES.values())}")
    told = what("announce", "leave a retained hint on the broker that there are updates", keys=False)
    told.add_argument("--broker", type=_broker, required=True, help="MQTT broker, HOST:PORT")
    told.add_argument(
        "--tls", action="store_true", help="with the certificate in --broker-keys; off this machine a must"
    )
    told.add_argument("--broker-keys", type=Path, default=Path("keys"), help="the centre's keys folder")
    stood = what("status", "say how the roles stand and what is published", keys=False)
    stood.add_argument("--json", action="store_true", help="for machines")
    served = commands.add_parser("serve-updates", help="serve a repository over HTTPS, for a small site or a test")
    served.add_argument("--repository", type=Path, required=True)
    served.add_argument("--certificate", type=Path, required=True, help="PEM file, certificate and key")
    served.add_argument("--host", default="127.0.0.1")
    served.add_argument("--port", type=int, default=8443, help="0 takes a free one (default %(default)s)")


def _broker(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise argparse.ArgumentTypeError("a broker is HOST:PORT")
    return host.strip("[]"), int(port)


def run(told: argparse.Namespace) -> int:
    """Runs one verb; its exit status."""
    from central.publish import verbs

    return verbs.run(told)
