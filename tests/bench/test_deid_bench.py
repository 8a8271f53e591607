"""The de-identification bench on two files: our half of it, and the table that it prints."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from bench.deid import print_rates
from bench.deid_corpus import HEADERS, files
from bench.deid_tools import OURS, PROGRAMS, TOOLS

ROOT = Path(__file__).parents[2]


def corpus(kind: str, folder: Path) -> Path:
    folder.mkdir()
    for number, data in enumerate(files(kind, 2, seed=5)):
        (folder / f"{number}.dcm").write_bytes(data)
    return folder


@pytest.mark.parametrize("kind", HEADERS)
def test_the_corpus_is_seeded_and_heavily_planted(kind: str, tmp_path: Path) -> None:
    once, again, other = (list(files(kind, 2, seed)) for seed in (5, 5, 6))
    assert once == again
    assert once[0] != other[0]
    dataset = pydicom.dcmread(corpus(kind, tmp_path / "in") / "0.dcm")
    assert sum(1 for _ in dataset.iterall()) > 220
    assert dataset.Rows == int(kind.split("x")[1])


def test_text_is_burned_into_the_picture() -> None:
    bare, written = (next(files("CT 512x512", 1, 5, text=text)) for text in (False, True))
    before, after = (pydicom.dcmread(io.BytesIO(each)).pixel_array for each in (bare, written))
    changed = before != after
    assert 500 < changed.sum() < 5000
    assert (after[changed] == before.max()).all()


@pytest.mark.parametrize("tool", OURS)
def test_our_half_runs_as_the_bench_runs_it(tool: str, tmp_path: Path) -> None:
    folder = corpus("MR 64x64", tmp_path / "in")
    told = [sys.executable, "-P", "-W", "ignore", ROOT / "bench" / "deid_tools.py", tool, folder, tmp_path / "out"]
    done = subprocess.run(told, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert (found["files"], found["written"]) == (1, 2)
    assert found["cpu_s"] > 0
    names = {str(pydicom.dcmread(path).PatientName) for path in folder.iterdir()}
    cleaned = {str(pydicom.dcmread(path).PatientName) for path in (tmp_path / "out").iterdir()}
    assert cleaned == names if "only" in tool else not cleaned & names


def test_every_peer_is_pinned() -> None:
    pinned = (ROOT / "bench" / "deid_peers.txt").read_text()
    packages = {"gdcmanon (C++)": "python-gdcm", "dcmanon (Rust)": "dcmanon"}
    for tool in (TOOLS.keys() | PROGRAMS.keys()) - set(OURS):
        assert f"\n{packages.get(tool, tool)}==" in pinned


def test_a_tool_that_lost_files_gets_no_speed(capsys: pytest.CaptureFixture[str]) -> None:
    rates = {"ours": [10.0, 30.0, 20.0], "loser": [900.0, 900.0, 900.0], "slow": [5.0, 4.0, 6.0]}
    print_rates("kind", rates, {"ours": 3, "loser": 2, "slow": 3}, 3)
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows["ours"][1:] == ["10.0", "20.0", "30.0", "1.00", "3/3"]
    assert rows["slow"][1:] == ["4.0", "5.0", "6.0", "4.00", "3/3"]
    assert rows["loser"][1:] == ["-", "-", "-", "-", "2/3"]
