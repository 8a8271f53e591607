"""mypy, strict, beside the other tests: it needs one core, and the run has two."""

import subprocess
import sys
from pathlib import Path


def test_mypy_finds_nothing() -> None:
    said = subprocess.run([sys.executable, "-m", "mypy"], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
