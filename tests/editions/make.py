"""Makes anew what stands here for the released versions: what their programs said, and the code that reads it.

    python -m tests.editions.make            # every folder anew, out of the history
    python -m tests.editions.make --check    # each code.zip holds, byte for byte, what the history holds

It needs a clone with the whole history. Each commit is unpacked into a temporary folder and run there, by this
machine's libraries; record.py says what is played. The tests beside it need neither git nor history.
"""

import argparse
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMMITS: Mapping[str, str] = {
    "05a8df0": "05a8df0dd8435090028fa037e885ca659b733952",
    "2f38db2": "2f38db2ce09b34ed6c7198572afc5a940f507162",
}
MADE_AT = (2026, 11, 28, 0, 0, 0)  # of every member: equal code is an equal file


def history(commit: str, *paths: str) -> tarfile.TarFile:
    """A commit's files. Raises CalledProcessError where this clone does not have it."""
    words = ["git", "-C", str(ROOT), "archive", "--format=tar", commit, *paths]
    return tarfile.open(fileobj=io.BytesIO(subprocess.run(words, check=True, capture_output=True).stdout))


def run(tree: Path, *words: str) -> str:
    """Python, with what lies in a tree (or zip) in the place of what is installed."""
    place = tree if tree.is_dir() else tree.parent
    told = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, "-P", *words], check=True, capture_output=True, text=True, env=told, cwd=place
    )
    return done.stdout


def read_by(tree: Path) -> list[str]:
    """The files of a tree that reading.py runs by, whatever is asked of it."""
    told = (
        f"import sys, runpy; runpy.run_path({str(HERE / 'reading.py')!r})\n"
        "try: import appliance.core.policy, appliance.core.correction\n"
        "except ImportError: pass\n"
        "for name, module in sorted(sys.modules.items()):\n"
        "    if name.split('.')[0] in ('appliance', 'central'): print(module.__file__)\n"
    )
    return [str(Path(line).relative_to(tree)) for line in run(tree, "-c", told).splitlines()]


def pack(tree: Path, out: Path) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name in read_by(tree):
            packed.writestr(zipfile.ZipInfo(name, MADE_AT), (tree / name).read_bytes(), zipfile.ZIP_DEFLATED, 9)


def make(name: str, commit: str) -> None:
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    with TemporaryDirectory() as place:
        tree = Path(place)
        history(commit).extractall(tree, filter="data")
        for path in folder.iterdir():
            path.unlink()
        pack(tree, folder / "code.zip")
        run(tree, str(HERE / "record.py"), str(folder))


def holds(name: str, commit: str) -> bool:
    """Whether code.zip is of its commit, and nothing else."""
    with zipfile.ZipFile(HERE / name / "code.zip") as packed:
        held = {each: packed.read(each) for each in packed.namelist()}
    archive = history(commit, "appliance", "central")
    there = {each.name: archive.extractfile(each) for each in archive if each.isfile() and each.name in held}
    return all((found := there.get(each)) is not None and found.read() == data for each, data in held.items())


def main(arguments: list[str] | None = None) -> int:
    words = argparse.ArgumentParser(
        prog="python -m tests.editions.make", description=(__doc__ or "").partition("\n")[0]
    )
    words.add_argument("--check", action="store_true", help="change nothing; exit status 1 where a file is another")
    told = words.parse_args(arguments)
    if not told.check:
        for name, commit in COMMITS.items():
            make(name, commit)
    wrong = [name for name, commit in COMMITS.items() if not holds(name, commit)]
    sys.stdout.writelines(f"{name}: code.zip is not of {COMMITS[name]}\n" for name in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
