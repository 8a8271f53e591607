"""A volume on its way: five real CT slices are ordered, stacked, run by random weights, and only ever escalated."""

import filecmp
import json
import random
import sys
from collections.abc import Callable, Iterator
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from appliance.cli import main
from appliance.core.admit import admit
from appliance.core.case import Case
from appliance.core.decide import Decision
from appliance.core.document import decode
from appliance.core.standing import Standing
from appliance.core.study import Instance
from appliance.triage.judge import open_court
from appliance.triage.looking import Court, judge
from tests.triage.conftest import Bench

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "models/ct-volume-demo/1.0.0"
TITLE = "ct-volume-demo/1.0.0"
TODAY = date(2027, 1, 1)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, on these files


def real_slices() -> list[bytes]:
    """CT of a chest, 16 x 16 px, 2.5 mm apart, numbered 6 to 10 from the head down; no body part is named."""
    paths = [get_testdata_file(f"dicomdirtests/98892001/CT5N/{name}") for name in (2062, 2392, 2693, 3023, 3353)]
    return [Path(str(path)).read_bytes() for path in paths]


SLICES = real_slices()


@pytest.fixture(scope="module")
def court() -> Iterator[Court]:
    found = open_court(ROOT / "models", "harbour", ROOT / "models/trusted")
    assert TITLE in [model.manifest.title for model in found.models]
    yield found
    found.bench.close()


def looked(court: Court, files: list[bytes]) -> Decision:
    by_digest = {admit(data).sha256: data for data in files}
    instances: list[Instance] = [admit(data) for data in files]
    found = judge(
        court,
        instances,
        lambda each: by_digest[each.sha256],
        pixels_max=10**7,
        today=TODAY,
        standing=Standing(),
    )
    return found.decision


def changed(data: bytes, change: Callable[[pydicom.FileDataset], object]) -> bytes:
    slice_ = pydicom.dcmread(BytesIO(data))
    change(slice_)
    out = BytesIO()
    slice_.save_as(out)
    return out.getvalue()


def moved(millimetres: float) -> Callable[[pydicom.FileDataset], None]:
    def change(slice_: pydicom.FileDataset) -> None:
        x, y, z = slice_.ImagePositionPatient
        slice_.ImagePositionPatient = [x, y, float(z) + millimetres]

    return change


def test_five_real_slices_are_stacked_run_and_escalated(court: Court) -> None:
    decision = looked(court, SLICES)
    assert (decision.lane, decision.would_be, decision.model) == ("escalated", None, TITLE)
    assert [reason.code for reason in decision.reasons] == ["weights-random"]
    (score,) = decision.scores
    assert (score.weights, decision.certificate, decision.priority) == ("random", None, "routine")
    assert np.isfinite(score.logit)


def test_the_order_of_the_files_is_of_no_matter_and_that_of_the_slices_is(court: Court) -> None:
    told = {looked(court, random.Random(seed).sample(SLICES, 5)).scores[0].logit for seed in range(4)}
    assert len(told) == 1

    def upside_down(slice_: pydicom.FileDataset) -> None:
        x, y, z = slice_.ImagePositionPatient
        slice_.ImagePositionPatient = [x, y, -float(z)]

    assert looked(court, [changed(each, upside_down) for each in SLICES]).scores[0].logit not in told


FLAWS: dict[str, tuple[list[bytes], str]] = {
    "missing": (SLICES[:2] + SLICES[3:], "slices-missing"),
    "too few": (SLICES[:4], "frames-too-few"),
    "doubled": (
        [*SLICES, changed(SLICES[2], lambda each: setattr(each, "SOPInstanceUID", "1.2.3.4"))],
        "slices-doubled",
    ),
    "off plane": (
        [*SLICES[:4], changed(SLICES[4], lambda each: setattr(each, "ImageOrientationPatient", [1, 0, 0, 0, 0, -1]))],
        "slices-off-plane",
    ),
    "off its place": ([*SLICES[:2], changed(SLICES[2], moved(0.8)), *SLICES[3:]], "slices-missing"),
    "shuffled": (
        [
            *SLICES[:2],
            changed(SLICES[2], lambda each: setattr(each, "InstanceNumber", 9)),
            changed(SLICES[3], lambda each: setattr(each, "InstanceNumber", 8)),
            SLICES[4],
        ],
        "slices-shuffled",
    ),
    "no place told": ([*SLICES[:4], changed(SLICES[4], lambda each: each.pop(0x00200032))], "slices-without-geometry"),
    "of two series": (
        [*SLICES[:4], changed(SLICES[4], lambda each: setattr(each, "SeriesInstanceUID", "1.2.3.5"))],
        "several-series",
    ),
    "a scout view": (
        [
            *SLICES[:4],
            changed(SLICES[4], lambda each: setattr(each, "ImageType", ["DERIVED", "SECONDARY", "LOCALIZER"])),
        ],
        "image-derived",
    ),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_in_the_series_is_named_and_nothing_is_run(court: Court, flaw: str) -> None:
    files, code = FLAWS[flaw]
    decision = looked(court, files)
    assert (decision.lane, decision.scores) == ("escalated", ())
    assert code in [reason.code for reason in decision.reasons]


def test_values_that_nobody_calls_hounsfield_are_not_windowed(court: Court) -> None:
    def raw(slice_: pydicom.FileDataset) -> None:
        del slice_.RescaleIntercept, slice_.RescaleSlope

    decision = looked(court, [changed(each, raw) for each in SLICES])
    assert [reason.code for reason in decision.reasons] == ["values-not-hounsfield"]


def test_nothing_of_random_weights_leaves(tmp_path: Path) -> None:
    bench = Bench(tmp_path, quiet_period_s=1.0)
    bench.start(open_court(ROOT / "models", "harbour", ROOT / "models/trusted"))
    for data in SLICES:
        bench.put(changed(data, lambda each: each.remove_private_tags()))
    bench.step(passed=1)
    bench.step(passed=5)
    uid = admit(SLICES[0]).study_instance_uid
    study, result = bench.study(uid), bench.result(uid)
    assert (study.state, study.fault_code) == ("escalated", "")
    assert result.scores[0]["weights"] == "random"
    case = decode(Case, bench.document())
    assert (case.model, case.findings, case.gates, case.would_be) == (None, (), {}, None)
    assert "weights-random" in case.reasons
    bench.triage.close()


def test_replay_says_random_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    for number, data in enumerate(SLICES):
        (folder / f"{number}.dcm").write_bytes(changed(data, lambda each: each.remove_private_tags()))
    told = tmp_path / "appliance.toml"
    told.write_text(f"[triage]\nmodel_folder = '{ROOT}/models'\ntrusted_keys = '{ROOT}/models/trusted'\n")
    assert main(["--config", str(told), "replay", str(folder), "--jobs", "1", "--table"]) == 0
    table = capsys.readouterr().out
    assert "ct-volume-demo/1.0.0 (random weights: says nothing)" in table
    assert "[weights-random]" in table
    assert "1 escalated; 0 decided here" in table
    assert main(["--config", str(told), "replay", str(folder), "--jobs", "1"]) == 0
    (line,) = (json.loads(each) for each in capsys.readouterr().out.splitlines())
    assert (line["lane"], line["weights"], line["exit"], line["would_be"]) == ("escalated", "random", None, None)


@pytest.mark.parametrize("paper", ["CARD.md", "manifest.json", "sbom.json"])
def test_every_paper_says_that_the_weights_are_random(paper: str) -> None:
    assert "random" in (PACKAGE / paper).read_text("utf-8").lower()
    manifest: dict[str, Any] = json.loads((PACKAGE / "manifest.json").read_text("utf-8"))
    assert "RANDOM WEIGHTS" in manifest["intended_use"]


def test_the_committed_package_is_what_its_script_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "models"), *sys.path])
    import make_ct_volume_demo

    make_ct_volume_demo.make(tmp_path / "1.0.0")
    names = sorted(path.name for path in PACKAGE.iterdir() if path.name != "SHA256SUMS.sig")
    # What the runtime computes differs by a last digit from one processor to another, and so do the digests over it.
    computed = {"golden.npz", "manifest.json", "SHA256SUMS"}
    same, differ, missing = filecmp.cmpfiles(PACKAGE, tmp_path / "1.0.0", names, shallow=False)
    assert not missing
    assert set(differ) <= computed
    assert len(same) + len(differ) == len(names)
    ours, made = (np.load(folder / "golden.npz") for folder in (PACKAGE, tmp_path / "1.0.0"))
    assert ours.files == made.files
    for name in ours.files:
        np.testing.assert_allclose(ours[name], made[name], rtol=0, atol=1e-5, err_msg=name)
    told, again = (json.loads((folder / "manifest.json").read_text()) for folder in (PACKAGE, tmp_path / "1.0.0"))
    for each in (told, again):
        each["files"].pop("golden.npz")
    assert told == again
