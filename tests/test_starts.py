"""What a service has loaded when it says that it is ready: its own room, and nothing that it does not need by then."""

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
import gc, json, os, sys, threading
from pathlib import Path
from appliance.cli import services
from appliance.world import systemd
def heard(message, **_):
    loaded = [name for name, module in sys.modules.items() if module]
    told = {"modules": loaded, "collects": gc.isenabled(), "frozen": gc.get_freeze_count()}
    told["threads_of_libraries"] = len(os.listdir("/proc/self/task")) - threading.active_count()
    Path(sys.argv[3]).write_text(json.dumps(told))
    os._exit(0)
systemd.notify = heard
services.serve(sys.argv[1], Path(sys.argv[2]))
"""
# What reads images, speaks with others, colours a terminal, holds ledgers, writes results.
READERS = {"numpy", "pydicom", "pynetdicom", "cv2", "imagecodecs", "onnxruntime", "onnx"}
PLUG_INS = {"gdcm", "jpeg_ls", "pylibjpeg", "openjpeg"}  # of pydicom: installed here for the tests
SPEAKERS = {"httpx", "requests", "paho", "starlette", "uvicorn", "tuf"}
TERMINAL = {"rich", "pygments", "tqdm"}
HELD = {"sqlalchemy", "pysqlite3"}
WRITERS = {"highdicom", "fhir", "hl7apy"}
NOBODY_S = PLUG_INS | TERMINAL | WRITERS | {"onnxruntime", "onnx", "requests", "tuf"}
UNWANTED = {
    "receive": NOBODY_S | READERS | SPEAKERS | HELD | {"cryptography", "jinja2", "asyncio"},
    "triage": NOBODY_S | SPEAKERS | {"pynetdicom", "jinja2"},
    "uplink": NOBODY_S | READERS | (SPEAKERS - {"paho"}) | {"jinja2"},
    "review": NOBODY_S | (READERS - {"numpy"}) | {"httpx", "paho"},
    "deliver": NOBODY_S | HELD | {"cv2", "imagecodecs", "paho", "starlette", "uvicorn", "jinja2"},
}


@dataclass(frozen=True)
class Ready:
    name: str
    modules: list[str]
    collects: bool
    frozen: int
    threads_of_libraries: int


@pytest.fixture(scope="module", params=ROOMS)
def ready(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ready:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "no-models").mkdir()
    settings: dict[str, dict[str, object]] = {
        "triage": {"model_folder": str(folder / "no-models")},
        "review": {"port": 0, "tls": "off"},
    }
    said = folder / "said.json"
    own = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    subprocess.run(
        [sys.executable, "-c", UNTIL_READY, request.param, str(lay_out(folder, **settings)), str(said)],
        env={**own, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
    return Ready(request.param, **json.loads(said.read_text()))


def test_a_service_that_is_ready_has_loaded_no_more_than_it_needs(ready: Ready) -> None:
    assert not {each.partition(".")[0] for each in ready.modules} & UNWANTED[ready.name]
    rooms = {each.split(".")[1] for each in ready.modules if each.startswith("appliance.")}
    assert rooms & set(ROOMS) == {ready.name}


def test_what_a_start_leaves_is_collected_no_more_and_what_comes_is(ready: Ready) -> None:
    assert ready.collects
    assert ready.frozen > 10_000


def test_no_library_has_threads_of_its_own(ready: Ready) -> None:
    """BLAS would start one a core, twice, and add up in another order on another machine."""
    assert ready.threads_of_libraries == 0
