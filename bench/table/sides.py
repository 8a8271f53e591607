"""One side of a row in a process of its own, pinned to the cores it may use; prints what it spent as JSON.

python -m bench.table.sides SIDE KIND HOW COUNT SEED
"""

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

from bench.table.corpus import files

WARM = 2


def ours(_kind: str, how: str, given: list[bytes], folder: Path) -> dict[str, float]:
    from bench.table.road_ours import family_cpu_s, road

    with road(folder, how) as taken:
        taken(given[:WARM])  # imports, tables, caches and the first look of every network
        before = family_cpu_s()
        taken(given[WARM:])
        return {"cpu_s": (family_cpu_s() - before) / len(given[WARM:])}


def floor(kind: str, how: str, given: list[bytes], folder: Path) -> dict[str, float]:
    from bench.table import road_floor

    spent = road_floor.floor(kind, how, given[WARM:], folder)
    return {"cpu_s": sum(spent.values()), **spent}


def pydicom(kind: str, _how: str, given: list[bytes], folder: Path) -> dict[str, float]:
    from bench.table.road_pydicom import pipeline

    taken = pipeline(kind, folder)
    taken(given[:WARM])
    before = time.process_time()
    taken(given[WARM:])
    return {"cpu_s": (time.process_time() - before) / len(given[WARM:])}


SIDES = {"ours": ours, "floor": floor, "pydicom": pydicom}


def main() -> None:
    side, kind, how, count, seed = sys.argv[1:6]
    warnings.simplefilter("ignore")
    from appliance.cli.files import quiet_libraries

    quiet_libraries()
    given = list(files(kind, WARM, int(seed) + 1))
    given += files(kind, int(count), int(seed), one_study=how == "series")
    with tempfile.TemporaryDirectory(prefix="bench-side-") as folder:
        print(json.dumps(SIDES[side](kind, how, given, Path(folder))))


if __name__ == "__main__":
    main()
