"""A burst of files in the watched folder, as from a medium or an archive: how long, how much memory, is one missing?

    python -m bench.burst [--files 50000]

The receive service alone takes them, each durable before its original goes. Printed: seconds, processor time a file,
peak memory; the command fails where a file is missing, doubled or changed. Appended to bench/RESULTS.md.
"""

import argparse
import hashlib
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen

from appliance.cli.up import lay_out
from appliance.config import Places, load
from bench.draft import peak_mib
from bench.load import RESULTS, cpu_s
from tests.tiny import tiny

STUDY = "1.2.826.0.1.99.10000000"
PER_FOLDER = 500
LOOK_S = 0.5
PATIENCE_S = 3600.0


def scanned(folder: Path, count: int) -> set[str]:
    """Files as a medium holds them, in folders of their own; their digests."""
    pattern, found = tiny(STUDY, 1, "PAT-00000000", "MR", 7), set()
    for number in range(count):
        name = f"{10_000_000 + number}"
        data = pattern.replace(b"99.10000000", f"99.{name}".encode()).replace(b"PAT-00000000", f"PAT-{name}".encode())
        place = folder / f"{number // PER_FOLDER:04d}"
        place.mkdir(exist_ok=True)
        (place / f"IM{number % PER_FOLDER:04d}").write_bytes(data)
        found.add(hashlib.sha256(data).hexdigest())
    return found


@dataclass(frozen=True, slots=True)
class Taken:
    """What one burst cost. right: no file is missing, doubled or changed."""

    took_s: float
    cpu_us: float
    memory_mib: int
    right: bool


def burst(folder: Path, count: int) -> Taken:
    """Files that lie in the watched folder when the service starts, until all of them are safe."""
    path = lay_out(folder, receive={"settle_s": 1.0})
    config = load(path)
    places, scanner = Places(config.state.folder), config.receive.watched_folder
    sent = scanned(scanner, count)
    assert len(sent) == count
    command = [sys.executable, "-m", "appliance", "--config", str(path), "run", "receive"]
    began = time.monotonic()
    with Popen(command, stdout=DEVNULL, stderr=DEVNULL) as service:
        while (there := kept(places)) < count:
            assert service.poll() is None, "the service ended"
            assert time.monotonic() < began + PATIENCE_S, f"{there} of {count}"
            time.sleep(LOOK_S)
        took, spent, memory = time.monotonic() - began, cpu_s(service), peak_mib(service.pid)
        service.terminate()
    got = [item.stem for item in places.incoming.glob("*.dcm")]
    whole = {hashlib.sha256(item.read_bytes()).hexdigest() for item in places.incoming.glob("*.dcm")}
    return Taken(took, 1e6 * spent / count, memory, len(got) == count and whole == sent == set(got))


def main() -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--files", type=int, default=50_000)
    count = told.parse_args().files
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="burst-") as folder:
        found = burst(Path(folder), count)
    lines = [
        f"## python -m bench.burst {' '.join(sys.argv[1:])}".rstrip(),
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}; load average when it began "
        f"{load_before:.1f}. Each file durable (fsync of file and folder).",
        "",
        f"{count} files in {found.took_s:.0f} s: {count / found.took_s:.0f} a second, {found.cpu_us:.0f} us of CPU a "
        f"file, {found.memory_mib} MiB at most; missing, doubled or changed: {'none' if found.right else 'SOME'}.",
    ]
    print("\n".join(lines))
    with RESULTS.open("a") as file:
        file.write("\n" + "\n".join(lines) + "\n")
    return 0 if found.right else 1


def kept(places: Places) -> int:
    """Whole files that the service has taken."""
    if not places.incoming.is_dir():
        return 0
    with os.scandir(places.incoming) as entries:
        return sum(entry.name.endswith(".dcm") for entry in entries)


if __name__ == "__main__":
    sys.exit(main())
