"""From a package that says where its answer comes from to the map that the page may show: a real graph in its child."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Row

from appliance.cli import main
from appliance.triage.looking import Court
from appliance.world.inference import Bench as Inference
from appliance.world.ledger import overlays
from tests.core.drawn_graphs import FEATURES, SIDE, localising, net
from tests.core.test_decide import MANIFEST_JSON
from tests.triage.conftest import Bench
from tests.triage.test_glance import FILM_UID
from tests.triage.test_headers import DATA
from tests.world.drawn_packages import package, write

HEAT = {"output": "heat", "frames": 1, "rows": 4, "columns": 4}
EXIT = {**MANIFEST_JSON["exits"][0], "features_count": FEATURES, "heat": HEAT}  # type: ignore[index]
TOLD: dict[str, Any] = {
    "graphs": {"model.onnx": localising()},
    "weights": "trained",
    "overlay": "after_first_read",
    "exits": [EXIT],
    "applies_to": {**MANIFEST_JSON["applies_to"], "side_px_min": SIDE},  # type: ignore[dict-item]
}


def decided(bench: Bench, root: Path, **changes: Any) -> Row[Any] | None:
    """The map kept of one film on which such a package was run."""
    made = package(root, **{**TOLD, **changes})
    with Inference([made]) as children:
        assert children.faults == {}
        bench.start(Court((made.model,), children, "harbour"))
        bench.put(DATA)
        bench.step("admit", "assemble")
        bench.step("assemble", "judge", passed=9)
        study = bench.study(FILM_UID)
        assert bench.result(FILM_UID).model == "drawn/1.0.0"
        with bench.triage.engine.connect() as c:
            return overlays.of(c, study.number, study.revision)


def test_where_the_answer_comes_from_is_kept_with_the_policy_it_came_under(bench: Bench, tmp_path: Path) -> None:
    found = decided(bench, tmp_path)
    assert found is not None
    assert (found.model, found.policy, found.exit, found.rows, found.columns) == (
        *("drawn/1.0.0", "after_first_read", 1),
        *(4, 4),
    )
    ((sha256, frame),) = found.frames
    assert (len(sha256), frame) == (64, 0)
    levels = np.frombuffer(found.levels, np.uint8)
    assert len(levels) == 16
    assert levels.min() < levels.max()


def test_of_random_weights_no_map_is_kept(bench: Bench, tmp_path: Path) -> None:
    assert decided(bench, tmp_path, weights="random") is None


def test_a_package_may_say_nothing_of_where(bench: Bench, tmp_path: Path) -> None:
    plain = {name: value for name, value in EXIT.items() if name != "heat"}
    told = {"graphs": {"model.onnx": net()}, "exits": [plain], "overlay": "none"}
    assert decided(bench, tmp_path, **told) is None


def test_a_package_whose_map_and_policy_contradict_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, **TOLD)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "overlay": "none"}))
    assert main(["models", "check", str(folder)]) != 0
    assert "if and only if overlay allows showing it" in capsys.readouterr().out
