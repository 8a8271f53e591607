"""The retraining job on a store: what signers said becomes a last layer and a sound package, and no certificate."""

import base64
import hashlib
import json
import random
import sqlite3
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from appliance.core.document import encode
from appliance.world.models import load_package
from appliance.world.models.making import sign_package
from models import retrain_head
from tests.central.centre_samples import a_case, a_picture
from tests.faults.story_films import NAME, NEXT, first_package
from tests.world.drawn_packages import KEYS, SECRET

FINDING = "233604007"
SIDE = 192


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_package(tmp_path_factory.mktemp("made"), SECRET)


def a_film(number: int, finding: bool) -> np.ndarray:
    """Noise, with coarse blotches where the finding is there."""
    dice = np.random.default_rng(number)
    grey = dice.normal(120, 20, (SIDE, SIDE))
    if finding:
        grey += cv2.resize(dice.normal(0, 30, (12, 12)), (SIDE, SIDE))
    return np.clip(grey, 0, 255).astype(np.uint8)


def a_store(folder: Path, truth: dict[str, bool]) -> Path:
    """A centre's store, as far as the job looks."""
    folder.mkdir()
    store = sqlite3.connect(folder / "central.db")
    store.execute("create table cases (case_id text, body blob)")
    for number, (case_id, finding) in enumerate(truth.items()):
        picture = cv2.imencode(".jpg", a_film(number, finding))[1].tobytes()
        shown = a_picture().model_copy(
            update={
                "media_type": "image/jpeg",
                "data": base64.b64encode(picture).decode(),
                "sha256": hashlib.sha256(picture).hexdigest(),
                "rows": SIDE,
                "columns": SIDE,
            }
        )
        body = encode(a_case(number + 1, case_id=case_id, key_images=(shown,), frames=1))
        store.execute("insert into cases values (?, ?)", (case_id, body))
    store.commit()
    store.close()
    return folder


def a_line(case_id: str, said: str, code: str = FINDING) -> str:
    return json.dumps({"case_id": case_id, "findings": [{"label": {"scheme": "SCT", "code": code}, "said": said}]})


def run(package: Path, lines: list[str], state: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    file = state.parent / "corrections.jsonl"
    file.write_text("\n".join(lines) + "\n")
    words: list[Any] = ["retrain_head", "--package", package, "--corrections", file, "--state", state]
    monkeypatch.setattr(sys, "argv", [str(each) for each in [*words, "--version", NEXT, "--out", out]])
    return retrain_head.main()


def cases(count: int) -> dict[str, bool]:
    dice = random.Random(4)
    return {f"{dice.getrandbits(128):032x}": number % 2 == 0 for number in range(count)}


def test_what_signers_said_becomes_the_last_layer_of_a_sound_package(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    truth = cases(48)
    state, out = a_store(tmp_path / "state", truth), tmp_path / NAME / NEXT
    lines = [a_line(case_id, "right" if finding else "wrong") for case_id, finding in truth.items()]
    lines += [a_line("f" * 32, "right"), a_line(next(iter(truth)), "wrong", "404684003")]  # no picture; other finding
    assert run(package, lines, state, out, monkeypatch) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pictures"], told["with_finding"]) == (48, 24)
    assert told["auroc_held_out"] > 0.9
    assert not (out / "SHA256SUMS.sig").exists()
    sign_package(out, SECRET)
    made, before = load_package(out, KEYS), load_package(package, KEYS)
    assert made.title == f"{NAME}/{NEXT}"
    assert made.model.certificates == ()
    assert made.model.sha256 != before.model.sha256
    assert made.model.preparation_digest == before.model.preparation_digest
    graph = retrain_head.Graph((out / "model.onnx").read_bytes(), made.model.manifest.input.plain_steps)  # type: ignore[arg-type]
    fresh = np.array([graph.of(a_film(1000 + n, n % 2 == 0))[0] for n in range(20)])
    assert retrain_head.auroc(fresh, np.arange(20) % 2 == 0) > 0.9


def test_too_few_labels_of_a_kind_make_no_model(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    truth = cases(2 * retrain_head.LABELS_MIN)
    state = a_store(tmp_path / "state", truth)
    lines = [a_line(each, "right" if finding else "wrong") for each, finding in truth.items()]
    assert run(package, lines[:-1], state, tmp_path / "out", monkeypatch) == 1
    assert "too few" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
