"""`central simulate`: simulated appliances against real workers, measured; the simulation itself is bench/simulate.py.

The simulated appliances are a tool of the source tree, with keys, samples and a broker of the tests. They are no
part of the package, and nothing here imports them: this verb becomes them where they are.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import Misconfigured

VERBS = ("simulate",)
SOURCE = Path(__file__).parents[1]
MODULE = "bench.simulate"


def arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb's place on the command line."""
    said = "simulated appliances against real workers: time to verdict, fairness, cost by split (source tree only)"
    commands.add_parser("simulate", help=said, description=__doc__, add_help=False)


def run(rest: Sequence[str]) -> int:
    """Becomes the simulation. Raises Misconfigured("simulate-source"): it is not here."""
    if not SOURCE.joinpath(*MODULE.split(".")).with_suffix(".py").is_file():
        raise Misconfigured("simulate-source", MODULE)
    path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", MODULE, *rest]
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path})  # noqa: S606 - our own module, no shell
