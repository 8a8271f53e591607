"""`replay` on a folder: lanes, exits, reasons, contract and *repeat?*, as lines and as a table."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from appliance.cli import main
from appliance.cli.table import table_lines
from appliance.core.certificate import PRODUCT_CONTRACT, Certificate, Contract, Ends
from appliance.core.decide import Model
from appliance.world.models import load_package
from appliance.world.models.making import sign_package
from tests.core.drawn_graphs import FEATURES, SIDE, net, value
from tests.core.test_decide import MANIFEST_JSON, a_certificate
from tests.triage.test_headers import ELEMENTS, file_of
from tests.world.drawn_packages import KEYS, SECRET, trust, write

EXIT = {"logit": "logit", "logit_low": -20.0, "logit_high": 20.0, "features": "features", "features_count": FEATURES}
SHARES = {"clear-1": 0.1, "clear-2": 0.3, "between": 0.5, "flag-2": 0.7, "flag-1": 0.9}
TRUNK = (1, 1, SIDE, SIDE)


def first_exit() -> onnx.ModelProto:
    """The mean of the film as logit, and the film itself as trunk."""
    made = net()
    made.graph.node.append(helper.make_node("Identity", ["film"], ["trunk"]))
    made.graph.output.append(value("trunk", TRUNK))
    return made


def second_exit() -> onnx.ModelProto:
    made = net(film="trunk")
    made.graph.input[0].name = "trunk"
    return made


def golden(first: onnx.ModelProto, second: onnx.ModelProto) -> dict[str, Any]:
    one, two = (
        onnxruntime.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"])
        for each in (first, second)
    )
    films = np.random.default_rng(1).random((2, *TRUNK), np.float32)
    at_first = [one.run(["logit", "features", "trunk"], {"film": film}) for film in films]
    at_second = [two.run(["logit", "features"], {"trunk": trunk}) for _, _, trunk in at_first]
    return {
        "films": films,
        "logits_1": np.array([logit[0] for logit, _, _ in at_first]),
        "features_1": np.array([features[0] for _, features, _ in at_first]),
        "logits": np.array([logit[0] for logit, _ in at_second]),
        "features": np.array([features[0] for _, features in at_second]),
    }


def certificates(model: Model, contract: Contract) -> list[Certificate]:
    plan = a_certificate().plan.model_copy(
        update={
            "contract": contract,
            "model_sha256": model.sha256,
            "gates_digest": model.references["default"].digest,
            "preparation_digest": model.preparation_digest,
            "exit_1": Ends(clear_at_or_below=0.2, flag_at_or_above=0.8),
        }
    )
    ends = {1: (0.2, 0.8), 2: (0.4, 0.6)}
    return [
        a_certificate(
            name=f"harbour/exit-{number}",
            exit=number,
            plan=plan,
            plan_digest=plan.digest,
            clear_at_or_below=low,
            flag_at_or_above=high,
            created=date(2000, 1, 1),
            expires=date(2999, 1, 1),
        )
        for number, (low, high) in ends.items()
    ]


def two_exits(root: Path, contract: Contract) -> None:
    """A signed package of two exits and its two certificates for the site `harbour`."""
    first, second = first_exit(), second_exit()
    told: dict[str, Any] = {"gap": None, "energy": None, "cost_ms": 1.0, **EXIT}
    folder = write(
        root,
        graphs={"model.onnx": first, "rest.onnx": second},
        golden=golden(first, second),
        weights="trained",
        exits=[
            {**told, "graph": "model.onnx", "trunk": "trunk"},
            {**told, "graph": "rest.onnx", "trunk": None},
        ],
        applies_to={**MANIFEST_JSON["applies_to"], "side_px_min": SIDE},  # type: ignore[dict-item]
    )
    (folder / "certificates").mkdir()
    for certificate in certificates(load_package(folder, KEYS).model, contract):
        path = folder / "certificates" / f"exit-{certificate.exit}.json"
        path.write_text(json.dumps(certificate.model_dump(mode="json")))
    sign_package(folder, SECRET)


def film(share: float, number: int) -> bytes:
    """A film of which this share is bright, in a study of its own."""
    pixels = next(each.value for each in ELEMENTS if each.name == "PixelData")
    bright = np.arange(len(pixels)) < share * len(pixels)
    told = {"PixelData": np.where(bright, 255, 0).astype(np.uint8).tobytes()}
    told |= {name: f"1.2.3.{number}".encode() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    return file_of(each._replace(value=told.get(each.name, each.value)) for each in ELEMENTS)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    trust(tmp_path / "trusted")
    told = tmp_path / "appliance.toml"
    told.write_text(
        f'[state]\nfolder = "{tmp_path}/state"\n[triage]\nmodel_folder = "{tmp_path}/models"\n'
        f'trusted_keys = "{tmp_path}/trusted"\n'
    )
    (tmp_path / "in").mkdir()
    for number, (name, share) in enumerate(SHARES.items(), start=1):
        (tmp_path / "in" / f"{name}.dcm").write_bytes(film(share, number))
    (tmp_path / "in" / "text.dcm").write_bytes(b"no film")
    return told


def replayed(config: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, dict[str, Any]]:
    words = ("replay", str(config.parent / "in"), "--jobs", "1", "--site", "harbour", *more)
    assert main(["--config", str(config), *words]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {Path(line["files"][0]).stem: line for line in lines}


DEMONSTRATION = Contract(false_omission_max=0.1, miss_max=0.1, false_discovery_max=0.15)


def test_a_folder_ends_in_lanes_with_the_exit_that_decided(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_exits(config.parent / "models", DEMONSTRATION)
    found = replayed(config, capsys)
    assert {name: (line["lane"], line["exit"]) for name, line in found.items()} == {
        "clear-1": ("cleared", 1),
        "clear-2": ("cleared", 2),
        "between": ("escalated", None),
        "flag-2": ("flagged", 2),
        "flag-1": ("flagged", 1),
        "text": ("quarantined", None),
    }
    assert [each["exit"] for each in found["clear-2"]["scores"]] == [1, 2]
    assert found["clear-2"]["certificate"] == "harbour/exit-2"
    assert [each["code"] for each in found["between"]["reasons"]] == ["score-between"]
    assert "not the product's contract of 1 / 5 / 10 %" in found["clear-1"]["contract"]
    assert found["clear-1"]["weights"] == "trained"


def test_the_product_s_own_contract_needs_no_words(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_exits(config.parent / "models", PRODUCT_CONTRACT)
    assert replayed(config, capsys)["clear-1"]["contract"] is None


def test_another_site_decides_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_exits(config.parent / "models", DEMONSTRATION)
    found = replayed(config, capsys, "--site", "lakeside")
    assert {line["lane"] for line in found.values()} == {"escalated", "quarantined"}
    assert "certificate-other-site" in [each["code"] for each in found["clear-1"]["reasons"]]
    assert found["clear-1"]["would_be"] == "cleared"


def test_the_table_says_the_same_in_words(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_exits(config.parent / "models", DEMONSTRATION)
    words = ("replay", str(config.parent / "in"), "--jobs", "1", "--site", "harbour", "--table")
    assert main(["--config", str(config), *words]) == 0
    table = capsys.readouterr().out
    assert "cleared     clear-2.dcm" in table
    assert "exit 2      logit 0.3" in table
    assert "decided" in table
    assert "6 in all: 2 cleared, 2 flagged, 1 escalated, 1 quarantined; 4 decided here" in table


def test_a_hint_to_repeat_stands_in_line_and_table() -> None:
    line = {
        **dict.fromkeys(("would_be", "model", "weights", "exit", "certificate", "contract")),
        "files": ["/a/b.dcm", "/a/c.dcm", "/a/d.dcm"],
        "lane": "escalated",
        "reasons": [{"code": "gate-turned", "text": "The image is turned."}],
        "repeat": [{"code": "gate-turned", "text": "The image is turned."}],
        "scores": [],
    }
    told = "\n".join(table_lines([line]))
    assert "b.dcm, c.dcm and 1 more" in told
    assert "repeat?     The image is turned." in told
    assert list(table_lines([])) == ["nothing"]


def test_a_study_of_which_an_image_came_broken_is_not_decided(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_exits(config.parent / "models", DEMONSTRATION)
    (config.parent / "in" / "again.dcm").write_bytes(film(0.3, 2)[:-50])  # the same image, whole as well: no doubt
    other = file_of(
        each._replace(value={"StudyInstanceUID": b"1.2.3.1", "SOPInstanceUID": b"1.2.3.1.9"}.get(each.name, each.value))
        for each in ELEMENTS
    )
    (config.parent / "in" / "broken.dcm").write_bytes(other[:-50])
    found = replayed(config, capsys)
    assert found["broken"]["reasons"][0]["code"] == "header-truncated"
    assert found["clear-1"]["lane"] == "escalated"
    assert [reason["code"] for reason in found["clear-1"]["reasons"]] == ["image-broken-beside"]
    assert found["clear-2"]["lane"] == "cleared"
