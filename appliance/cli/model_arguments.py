"""The inner verbs of `appliance models` and their arguments; apart, because every start of the program reads them."""

import argparse
from pathlib import Path

ORDERS = {"activate": "decide instead", "shadow": "run beside", "rollback": "decide no more; the one before does"}
ORDERS |= {"stop": "decide nothing from now on", "resume": "be stopped no longer"}


def arguments(verb: argparse.ArgumentParser) -> None:
    """The inner verbs of `appliance models`."""
    inner = verb.add_subparsers(dest="what", required=True, metavar="WHAT")

    def what(name: str, sentence: str, *, as_json: bool = False) -> argparse.ArgumentParser:
        made = inner.add_parser(name, help=sentence, description=sentence)
        if as_json:
            made.add_argument("--json", action="store_true", help="print one JSON document")
        return made

    what("list", "List the packages: role, certificates, days left.", as_json=True)
    what("verify", "The same, and run each package's golden films.", as_json=True)
    what("new", "Begin a package: every paper, and a network of random weights.").add_argument("folder", type=Path)
    looked = what("check", "Say everything that is to be mended in a package, and how.", as_json=True)
    looked.add_argument("folder", type=Path)
    looked.add_argument("--golden", action="store_true", help="first write the golden answers anew, as given here")
    what("key", "Make a key pair: FILE, and FILE.pub to be trusted.").add_argument("file", type=Path)
    signing = what("sign", "Write the checksums of a package and sign them.")
    signing.add_argument("folder", type=Path)
    signing.add_argument("--key", type=Path, required=True, metavar="FILE", help="private key, as `key` makes it")
    installed = what("install", "Copy a signed package, or a site's certificate (*.json), to where triage finds it.")
    installed.add_argument("source", type=Path)
    for name, sentence in ORDERS.items():
        order = what(name, f"Have a model {sentence}.")
        order.add_argument("model", metavar="NAME" if name == "rollback" else "NAME/VERSION")
        order.add_argument(
            "--share",
            type=float,
            default=1.0,
            help=argparse.SUPPRESS if name != "shadow" else "of studies that it sees, 0 to 1",
        )
    sent = what("order", "Print a signed order, to be sent to appliances over the wire.")
    sent.add_argument("kind", choices=sorted(ORDERS))
    sent.add_argument("model")
    sent.add_argument("--share", type=float, default=1.0, help="of studies that a shadow sees")
    sent.add_argument("--device", default="*", help="site.device_id of one appliance (default: all)")
    sent.add_argument("--key", type=Path, required=True, metavar="FILE")
