"""Power cuts under the real services of an appliance: what it had taken upon itself is there when the power is back.

    python -m tests.faults.power [--cuts 100] [--seed 1]      ext4 and xfs in turns, one Markdown row each

The appliance's state lies on a file system of its own (world/volumes); the scanner's folder, like a real scanner, keeps
its power. At a random moment the file system is shut down under the running processes, they are killed, it is mounted
again. Nothing is counted that was acknowledged in the moment of the cut itself.
"""

import argparse
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from appliance.cli.reconcile import reconcile
from appliance.world.volumes import LEAST_BYTES, MIB, Kind, Volume
from tests.faults.network import apart
from tests.faults.town import Town

SIZE_BYTES: dict[Kind, int] = {"ext4": 96 * MIB, "xfs": LEAST_BYTES["xfs"]}
GAP_MAX_S = 2.0
STUDIES_MAX = 2


@dataclass(slots=True)
class Cuts:
    """What a series of cuts did."""

    kind: Kind
    seed: int
    cuts: int = 0
    studies: int = 0
    files: int = 0
    took_s: float = 0.0
    broken: list[str] = field(default_factory=list)

    def row(self) -> str:
        found = "none" if not self.broken else "; ".join(self.broken)
        return (
            f"| {self.kind} | {self.seed} | {self.cuts} | {self.studies} | {self.files} | {self.took_s:.0f} | {found} |"
        )


def cut_again_and_again(folder: Path, kind: Kind, cuts: int, seed: int) -> Cuts:
    """Drops studies and cuts the power at random moments, then lets everything come to rest and asks for each file."""
    dice, began, report = random.Random(seed), time.monotonic(), Cuts(kind, seed)
    with (
        Volume(folder / "volume", kind, SIZE_BYTES[kind]) as volume,
        Town(folder / "town", appliances=1, workers=0, volumes={1: volume}, dice=dice) as town,
    ):
        for _ in range(cuts):
            town.until(lambda: town.child(1, "receive").ready, "receive does not come up")
            town.drop(1, dice.randint(1, STUDIES_MAX))
            town.pass_time(dice.uniform(0, GAP_MAX_S))
            report.broken += town.cut_power(1)
            report.cuts += 1
        scans = town.book.of(1)
        wanted = {scan.study for scan in scans}

        def rested() -> bool:
            now = town.states(1)
            return now.keys() == wanted and set(now.values()) == {"escalated"}

        town.until(rested, "not every study comes to the wire")
        edge = town.edges[0]
        edge.fall()
        report.broken += [
            f"{check.name}: {check.wrong}" for check in reconcile(edge.places, deep=True)[0] if check.wrong
        ]
        kept = {path.stem for path in edge.places.instances.glob("*/*.dcm")}
        report.broken += ["files lost"] if {scan.sha256 for scan in scans} - kept else []
        report.studies, report.files = len(wanted), len(scans)
    report.took_s = time.monotonic() - began
    return report


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--cuts", type=int, default=100, help="on each of the two file systems")
    told.add_argument("--seed", type=int, default=1)
    options = told.parse_args()
    apart()
    print("| file system | seed | power cuts | studies | files | seconds | violations |\n|---|---|---|---|---|---|---|")
    broken = False
    for kind in SIZE_BYTES:
        with tempfile.TemporaryDirectory(prefix="power-") as folder:
            report = cut_again_and_again(Path(folder), kind, options.cuts, options.seed)
        print(report.row(), flush=True)
        broken |= bool(report.broken)
    raise SystemExit(broken)


if __name__ == "__main__":
    main()
