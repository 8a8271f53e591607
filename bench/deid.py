"""Header de-identification per core beside the installed peers, and what the pixel check costs a frame.

    python -m bench.deid [--files N] [--repeats N] [--peers FOLDER] [--seed N]

Ours is the whole road: read, list the identity, clean, inspect the finished bytes, write. The peers read, clean and
write; none of them inspects, and beside them stands ours without its inspection. Each run is one process pinned to one
core over a folder in memory, its CPU time taken from the system (bench/deid_tools.py); the order turns by one tool each
repeat, so that a busy spell meets all. A tool that leaves files out is shown with what it wrote. The peers live in an
environment that this program makes from bench/deid_peers.txt: their pins are not ours. Nothing is written into the
repository but that environment.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

from appliance.cli.files import quiet_libraries
from bench.deid_corpus import HEADERS, files
from bench.deid_tools import OURS, PROGRAMS, TOOLS, our_road

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).with_name("deid_peers.txt")
IN_MEMORY = Path("/dev/shm")
RUN_S_MAX = 600


def peers_python(folder: Path) -> Path | None:
    """The interpreter of the peers' environment, made where it is not there yet; None without a package index."""
    python, mark = folder / "bin" / "python", folder / "deid_peers.txt"
    if mark.is_file() and mark.read_text() == PEERS.read_text():
        return python
    print(f"installing the peers into {folder}", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True)
    told = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", PEERS]
    if subprocess.run(told, check=False).returncode:
        print("the peers cannot be installed here: ours and the floor only", file=sys.stderr)
        return None
    mark.write_text(PEERS.read_text())
    return python


def one_run(tool: str, python: Path, folder: Path, out: Path, core: int) -> tuple[float, int]:
    """Files per CPU-second, and how many files of the folder came out."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if tool in OURS:
        environment["PYTHONPATH"] = str(ROOT)
    # -P: the script's own folder holds a module of the same name as a peer.
    told = ["taskset", "-c", str(core), python, "-P", "-W", "ignore", ROOT / "bench" / "deid_tools.py"]
    done = subprocess.run(
        [*told, tool, folder, out],
        env=environment,
        capture_output=True,
        check=False,
        timeout=RUN_S_MAX,
    )
    shutil.rmtree(out, ignore_errors=True)
    if done.returncode:
        print(f"{tool} failed: {done.stderr.decode(errors='replace').splitlines()[-1:]}", file=sys.stderr)
        return 0.0, 0
    found = json.loads(done.stdout.splitlines()[-1])
    return found["files"] / max(found["cpu_s"], 1e-6), found["written"]


def headers(count: int, repeats: int, seed: int, peers: Path | None) -> None:
    tools = [tool for tool in (*TOOLS, *PROGRAMS) if peers or tool in OURS]
    for kind in HEADERS:
        rates, written, size = rates_of(kind, tools, count, repeats, seed, peers)
        print_rates(f"{kind}, {size} bytes", rates, written, count)


def rates_of(
    kind: str, tools: Sequence[str], count: int, repeats: int, seed: int, peers: Path | None
) -> tuple[dict[str, list[float]], dict[str, int], int]:
    """Files per CPU-second of each tool in each repeat, how many files came out at least, and the bytes of one."""
    core = max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bench-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as place:
        folder = Path(place, "in")
        folder.mkdir()
        for number, data in enumerate(files(kind, count, seed)):
            (folder / f"{number:05}.dcm").write_bytes(data)
        rates: dict[str, list[float]] = {tool: [] for tool in tools}
        written = dict.fromkeys(tools, count)
        for repeat in range(repeats):
            turn = repeat % len(tools)
            for tool in (*tools[turn:], *tools[:turn]):
                python = Path(sys.executable) if tool in OURS else peers
                assert python is not None
                rate, came = one_run(tool, python, folder, Path(place, "out"), core)
                rates[tool].append(rate)
                written[tool] = min(written[tool], came)
    return rates, written, len(data)


def print_rates(kind: str, rates: dict[str, list[float]], written: dict[str, int], count: int) -> None:
    mine = statistics.median(rates["ours"])
    print(f"\n{kind:<32}{'files per CPU-second':>30}{'ours is':>12}")
    print(f"{'':<32}{'min':>10}{'median':>10}{'max':>10}{'times':>12}{'files out':>12}")
    for tool, found in sorted(rates.items(), key=lambda row: statistics.median(row[1])):
        middle = statistics.median(found)
        row = f"{min(found):>10.1f}{middle:>10.1f}{max(found):>10.1f}"
        if written[tool] < count:  # an unfinished run has no speed
            row = f"{'-':>10}{'-':>10}{'-':>10}"
            middle = 0.0
        ratio = f"{mine / middle:.2f}" if middle and mine else "-"
        print(f"{tool:<32}{row}{ratio:>12}{written[tool]:>8}/{count}")


def pixels(count: int, seed: int) -> None:
    """CPU-seconds that redaction and the second reading cost a 512x512 frame, one thread, with and without text."""
    from appliance.core.inspect_pixels import inspect_pixels
    from appliance.core.outgoing import identity_of
    from appliance.core.redact import redact
    from appliance.world.eyes import open_eyes

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    eyes, road = open_eyes(), our_road()
    print(f"\n{'CT 512x512, pixel check':<32}{'CPU-seconds a frame':>30}")
    print(f"{'':<32}{'min':>10}{'median':>10}{'max':>10}")
    for text in (False, True):
        spent: dict[str, list[float]] = {"redact": [], "inspect_pixels": []}
        for data in files("CT 512x512", count + 1, seed, text=text):
            known, cleaned = identity_of(data), road(data)
            began = time.process_time()
            finished = redact(cleaned, eyes).bytes
            redacted = time.process_time()
            inspect_pixels(finished, known, eyes)
            spent["redact"].append(redacted - began)
            spent["inspect_pixels"].append(time.process_time() - redacted)
        for name, found in spent.items():
            timed = found[1:]  # the first frame warms the models up
            row = f"{min(timed):>10.3f}{statistics.median(timed):>10.3f}{max(timed):>10.3f}"
            print(f"{name + (', with text' if text else ', no text'):<32}{row}")


def main() -> None:
    told = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    told.add_argument("--files", type=int, default=200, help="a kind; at least 2")
    told.add_argument("--repeats", type=int, default=5)
    told.add_argument("--seed", type=int, default=1)
    told.add_argument("--peers", type=Path, default=ROOT / "build" / "deid-peers", help="their environment's folder")
    told.add_argument("--without-peers", action="store_true")
    told.add_argument("--without-pixels", action="store_true")
    given = told.parse_args()
    quiet_libraries()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; seed {given.seed},")
    print(f"{given.files} files a kind, {given.repeats} runs a tool in turning order, the first file of a run untimed")
    headers(given.files, given.repeats, given.seed, None if given.without_peers else peers_python(given.peers))
    if not given.without_pixels:
        pixels(min(given.files, 20), given.seed)


if __name__ == "__main__":
    main()
