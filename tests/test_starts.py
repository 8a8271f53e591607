"""How a service stands when it says that it is ready."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.cli.up import lay_out

ROOT = Path(__file__).parents[1]
ROOMS = ("receive", "triage", "uplink", "review", "deliver")
# The start of one service as `appliance run` makes it, ended where it says that it is ready.
UNTIL_READY = """
import gc, json, os, sys
from pathlib import Path
from appliance.cli import services
from appliance.world import systemd
def heard(message, **_):
    told = {"collects": gc.isenabled(), "frozen": gc.get_freeze_count()}
    Path(sys.argv[3]).write_text(json.dumps(told))
    os._exit(0)
systemd.notify = heard
services.serve(sys.argv[1], Path(sys.argv[2]))
"""


@dataclass(frozen=True)
class Ready:
    name: str
    collects: bool
    frozen: int


@pytest.fixture(scope="module", params=ROOMS)
def ready(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ready:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "no-models").mkdir()
    settings: dict[str, dict[str, object]] = {
        "triage": {"model_folder": str(folder / "no-models")},
        "review": {"port": 0, "tls": "off"},
    }
    said = folder / "said.json"
    subprocess.run(
        [sys.executable, "-c", UNTIL_READY, request.param, str(lay_out(folder, **settings)), str(said)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
    return Ready(request.param, **json.loads(said.read_text()))


def test_what_a_start_leaves_is_collected_no_more_and_what_comes_is(ready: Ready) -> None:
    assert ready.collects
    assert ready.frozen > 10_000
