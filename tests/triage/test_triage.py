"""The steps of triage, each at the place where it matters that it is done just so."""

import base64
import errno
import hashlib
import json
import math
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from sqlalchemy import select

from appliance.config import Keys
from appliance.core.case import Case, Reader, Verdict
from appliance.core.document import decode, encode
from appliance.core.letter import sealed
from appliance.core.messages import verdict_place
from appliance.core.structure import Data
from appliance.errors import Quarantined, Unavailable
from appliance.loop import Moment
from appliance.triage import Triage, handover, intake, judge, looking, sealing
from appliance.triage.looking import Court
from appliance.world import archive, desk, ledger, sqlite, wire
from appliance.world.inference import Bench as Inference
from sample_dicom.enrolment import enrol_locally
from tests.correspondents import CENTRE, DEVICE, TRIAGE, UPLINK, verdict_letter
from tests.simulate.house import SITE_KEY
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench

READER = Reader(model="none", server="bench", prompt_sha256="0" * 64, connected=False)


def verdict(case_id: str, rev: int = 1) -> Verdict:
    return Verdict(
        case_id=case_id,
        rev=rev,
        status="needs_human",
        urgency="routine",
        opinions=(),
        impression="No language model here.",
        limitations=(),
        guards=(),
        reader=READER,
    )


def say(bench: Bench, told: Verdict) -> None:
    engine = bench.link()
    with engine.begin() as c:
        wire.record_verdict(c, told.case_id, told.rev, verdict_letter(told), bench.now)
    engine.dispose()


def test_a_file_becomes_a_sealed_case_without_identity(bench: Bench, film: bytes) -> None:
    digest = bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    assert bench.study().state == "escalated"
    assert archive.instance_path(bench.places.instances, digest).read_bytes() == film
    assert bench.result().reasons[0]["code"] == "no-model-installed"
    ((case_id, state),) = bench.cases().items()
    assert (case_id, state) == (bench.result().case_id, "queued")
    assert sorted(bench.documents()) == [0, 1], "with its pictures and without"
    case = decode(Case, bench.document())
    assert (case.modality, case.body_part, case.images) == ("CR", "CHEST", 1)
    for identity in (b"PAT-1", b"Simulated", b"20200102", b"20260301", UID.encode()):
        assert all(identity not in document for document in bench.documents().values())
    assert (bench.places.frames / digest / "frames.json").exists()


def test_a_case_that_was_asked_for_at_once_travels_so_and_says_only_what_was_found(bench: Bench) -> None:
    bench.put(tiny(UID, 1, "PAT-1", "CR", 3, "STAT"))
    bench.step(passed=1)
    bench.step(passed=5)
    with bench.triage.cases.connect() as c:
        assert set(c.execute(select(wire.transfers.c.urgency)).scalars()) == {"critical"}
        assert set(c.execute(select(wire.cases.c.urgency)).scalars()) == {"critical"}
    case = decode(Case, bench.document())
    assert (case.urgency, case.answer_within_s) == ("routine", bench.config.triage.deadline_critical_s)


def test_a_medium_comes_in_by_its_images_and_its_directory_is_named(bench: Bench) -> None:
    """Of pydicom's own medium, two patients with CR, CT and MR: the files beside its DICOMDIR."""
    medium = Path(str(get_testdata_file("dicomdirtests/DICOMDIR"))).parent
    images = [path for patient in ("77654033", "98892003") for path in (medium / patient).rglob("*") if path.is_file()]
    for path in (medium / "DICOMDIR", *images):
        bench.put(path.read_bytes())
    bench.step(passed=1)
    assert [row.code for row in bench.strays()] == ["media-directory"]
    with bench.triage.engine.connect() as c:
        assert len(list(c.execute(select(ledger.instances)))) == len(images) == 24


def test_frames_are_kept_with_what_a_viewer_needs_and_an_older_description_is_made_anew(
    bench: Bench, film: bytes
) -> None:
    dataset = pydicom.dcmread(BytesIO(film))
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [2, 0, 16], b"\0\0\xff\xff"
    dataset.VOILUTSequence, dataset.PatientOrientation = [table], ["L", "F"]
    out = BytesIO()
    dataset.save_as(out)
    digest = bench.put(out.getvalue())
    folder = bench.places.frames / digest
    older = {"rows": 1, "columns": 1, "frames": 1, "dtype": "uint8"}
    archive.cache(folder / "frames.json", json.dumps(older).encode())
    bench.step(passed=1)
    bench.step(passed=5)
    said = json.loads((folder / "frames.json").read_bytes())
    assert (said["version"], said["patient_orientation"]) == (2, ["L", "F"])
    assert said["voi_luts"] == [{"first": 0, "bits": 16, "entries": 2}]
    assert (folder / "voi-01.raw").read_bytes() == b"\0\0\xff\xff"
    shape = said["rows"] * said["columns"] * np.dtype(said["dtype"]).itemsize
    assert (folder / "frame-0001.raw").stat().st_size == shape


def test_without_keys_a_hard_study_waits_and_costs_nothing(bench: Bench, film: bytes) -> None:
    """It runs before it is enrolled; keys that appear count without a restart."""
    bench.triage.close()
    config = bench.config.model_copy(update={"keys": Keys(folder=bench.places.root / "keys")})
    bench.triage = Triage(config, bench.places, SITE_KEY, Court((), Inference(), "bench"), bench.stand_in.cleaning)
    bench.steps = bench.triage.steps()
    bench.put(film)
    for _ in range(10):
        bench.step(passed=5)
    assert bench.study().state == "hard"
    assert bench.cases() == {}
    assert list(bench.places.parts.iterdir()) == []
    enrol_locally(config.keys.folder, bench.places.root / "far", config.site.device_id)
    bench.step(passed=10)
    assert bench.study().state == "escalated"


def test_the_pictures_are_left_out_of_the_smaller_edition_and_nothing_else(bench: Bench, film: bytes) -> None:
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    full, bare = (decode(Case, bench.documents()[tier]) for tier in (1, 0))
    assert len(full.key_images) == bare.key_images_shed == 1
    assert bare == full.model_copy(update={"key_images": (), "key_images_shed": 1})
    assert full.answer_within_s == bench.config.triage.deadline_s(full.urgency)


def test_sealing_again_makes_the_same_bytes(bench: Bench, film: bytes) -> None:
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    before = sorted(path.name for path in bench.places.parts.iterdir())
    with bench.triage.engine.begin() as c:
        c.execute(ledger.studies.update().values(state="hard"))
        c.execute(ledger.moves.delete())
    bench.start()
    bench.step()
    assert sorted(path.name for path in bench.places.parts.iterdir()) == before
    assert len(bench.cases()) == 1


def test_a_verdict_waits_for_the_move_to_escalated(bench: Bench, film: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking it over earlier loses it: the study would be escalated afterwards and wait for ever."""
    bench.put(film)
    bench.step("admit", "assemble", "judge", passed=1)
    bench.step("admit", "assemble", "judge", passed=5)

    class Died(BaseException):
        pass

    real = ledger.move

    def dies(c: Any, study: Any, to: str, **named: Any) -> bool:
        if to == "escalated":
            raise Died
        return real(c, study, to, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "move", dies)
        with pytest.raises(Died):
            bench.step("seal")
    ((case_id, _),) = bench.cases().items()
    assert bench.study().state == "hard"
    say(bench, verdict(case_id))
    bench.start()
    bench.step("absorb")
    assert bench.study().state == "hard"
    assert bench.cases() == {case_id: "queued"}
    bench.step("seal", "absorb")
    assert bench.study().state == "answered"
    assert bench.cases() == {case_id: "closed"}


def test_a_verdict_that_is_not_one_is_not_believed(bench: Bench, film: bytes) -> None:
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    case_id = bench.result().case_id
    say(bench, verdict(case_id))
    forged = encode(verdict(case_id)).replace(b'"needs_human"', b'"cleared"')
    place = verdict_place(DEVICE, case_id, 1)
    letters = {
        "plain": base64.b64encode(encode(verdict(case_id))),
        "no base64": b"!",
        "no verdict": base64.b64encode(sealed(forged, place=place, sender=CENTRE, recipient=TRIAGE.public)),
        "uplink's": base64.b64encode(
            sealed(encode(verdict(case_id)), place=place, sender=UPLINK, recipient=TRIAGE.public)
        ),
        "another case's": verdict_letter(verdict("e" * 32)).encode(),
        "another rev": verdict_letter(verdict(case_id, 2), rev=1).encode(),
    }
    for what, letter in letters.items():
        engine = bench.link()
        with engine.begin() as c:
            c.execute(wire.verdicts.update().values(letter=letter.decode()))
        engine.dispose()
        bench.start()
        bench.step("absorb")
        assert bench.study().state == "escalated", what
        assert bench.cases() == {case_id: "queued"}, what


def test_a_verdict_after_the_signature_is_an_addendum(bench: Bench, film: bytes) -> None:
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    study = bench.study()
    sign(bench, study.number, study.revision, study.seq)
    bench.step("obey")
    assert bench.study().state == "reviewed"
    say(bench, verdict(bench.result().case_id))
    bench.step("absorb")
    assert bench.study().state == "reviewed"
    with bench.triage.engine.connect() as c:
        assert [row.addendum for row in ledger.verdicts_of(c, study.number)] == [True]
    assert list(bench.cases().values()) == ["closed"]


def test_a_signature_given_before_the_verdict_was_read_makes_it_an_addendum(bench: Bench, film: bytes) -> None:
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    study = bench.study()
    sign(bench, study.number, study.revision, study.seq)
    say(bench, verdict(bench.result().case_id))
    bench.step("absorb")
    bench.step("obey")
    assert bench.study().state == "reviewed"
    with bench.triage.engine.connect() as c:
        assert [row.addendum for row in ledger.verdicts_of(c, study.number)] == [True]


def sign(bench: Bench, number: int, revision: int, seq: int) -> None:
    bench.places.review.mkdir(exist_ok=True)
    engine = sqlite.open_writer(bench.places.review_db, desk.METADATA)
    with engine.begin() as c:
        desk.sign(
            c, study_number=number, revision=revision, seq_seen=seq, user="anna", decision="agree", correction="",
            saw_ai=True, nonce=f"n{bench.now}", at=bench.now,
        )  # fmt: skip
    engine.dispose()


def test_a_signature_of_an_old_revision_is_stale(bench: Bench, film: bytes) -> None:
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    study = bench.study()
    bench.put(tiny(UID, 2, "PAT-1", "CR", 9))
    bench.step("admit")
    sign(bench, study.number, study.revision, study.seq)
    bench.step("obey")
    assert bench.study().state == "received"
    with bench.triage.engine.connect() as c:
        assert [row.outcome for row in c.execute(ledger.signatures.select())] == ["stale"]


def test_a_late_instance_withdraws_the_case_and_makes_a_new_one(bench: Bench, film: bytes) -> None:
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    old = bench.result().case_id
    bench.put(tiny(UID, 2, "PAT-1", "CR", 9))
    bench.step(passed=1)
    bench.step(passed=5)
    assert bench.study().revision == 2
    new = bench.result().case_id
    assert bench.cases() == {old: "cancelled", new: "queued"}
    say(bench, verdict(old))
    bench.step("absorb")
    assert bench.study().state == "escalated"
    with bench.triage.engine.connect() as c:
        assert [row.addendum for row in ledger.verdicts_of(c, bench.study().number)] == [True]


def test_a_refused_case_is_a_persons(bench: Bench, film: bytes) -> None:
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    case_id = bench.result().case_id
    engine = bench.link()
    with engine.begin() as c:
        wire.record_refusal(c, case_id, "case-conflict")
    engine.dispose()
    bench.step("refusals")
    assert (bench.study().state, bench.study().fault_code) == ("quarantined", "case-refused")
    assert bench.cases() == {case_id: "cancelled"}


def test_the_receipt_frees_the_part_and_nothing_else_does(bench: Bench, film: bytes) -> None:
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    case_id = bench.result().case_id
    engine = bench.link()
    with engine.begin() as c:
        wire.record_sent(c, case_id, bench.now)
    bench.step("free")
    assert len(list(bench.places.parts.iterdir())) == 2
    with engine.begin() as c:
        wire.record_receipt(c, case_id, bench.now)
    engine.dispose()
    bench.step("free")
    assert list(bench.places.parts.iterdir()) == []


@pytest.mark.parametrize(("step", "module", "name"), [("judge", judge, "judge"), ("seal", handover, "sealed_case")])
def test_a_study_that_kills_the_process_is_set_aside(
    bench: Bench, film: bytes, monkeypatch: pytest.MonkeyPatch, step: str, module: Any, name: str
) -> None:
    class Killed(BaseException):
        pass

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    bench.put(film)
    bench.step("admit", "assemble", passed=1)
    bench.step("admit", "assemble", passed=5)
    if step == "seal":
        bench.step("judge")
    monkeypatch.setattr(module, name, dies)
    for _ in range(2):
        with pytest.raises(Killed):
            bench.step(step)
        bench.start()
    bench.step(step)
    assert (bench.study().state, bench.study().fault_code) == ("quarantined", "study-attempts-spent")


def test_a_file_that_kills_the_process_costs_no_other_file(
    bench: Bench, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    killer = bench.put(b"\0" * 128 + b"DICM" + b"this one kills")
    others = [bench.put(tiny(f"{UID}.{number}", 1, "PAT-1", "MR", number)) for number in range(5)]
    real = intake.admit

    def admit(data: Data, **known: str) -> Any:
        if data[-5:] == b"kills":
            raise Killed
        return real(data, **known)

    monkeypatch.setattr(intake, "admit", admit)
    deaths = 0
    for _ in range(10):
        try:
            bench.step("admit")
            break
        except Killed:
            deaths += 1
            bench.start()
    assert deaths == 2
    assert [(row.sha256, row.code) for row in bench.strays()] == [(killer, "file-attempts-spent")]
    assert {path.stem for path in bench.places.instances.glob("*/*.dcm")} == {killer, *others}


def test_what_only_time_can_mend_does_not_set_aside(bench: Bench, film: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put(film)
    bench.step("admit", "assemble", passed=1)
    bench.step("admit", "assemble", passed=5)
    monkeypatch.setattr(archive, "free_bytes", lambda _: -1)
    for _ in range(5):
        with pytest.raises(Unavailable, match="disk-low"):
            bench.step("judge")
    assert bench.study().state == "complete"


def test_a_disk_that_fills_up_while_judging_costs_no_attempt(
    bench: Bench, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no room")

    bench.put(film)
    bench.step("admit", "assemble", passed=1)
    bench.step("admit", "assemble", passed=5)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        for _ in range(5):
            with pytest.raises(Unavailable, match="disk-low"):
                bench.step("judge")
    assert (bench.study().state, bench.study().attempts) == ("complete", 0)
    bench.step("judge")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for _ in range(5):
            with pytest.raises(Unavailable, match="disk-low"):
                bench.step("seal")
    assert (bench.study().state, bench.study().attempts) == ("hard", 0)
    bench.step("seal")
    assert bench.study().state == "escalated"


def test_the_frames_cache_stays_within_its_bytes_and_goes_first_when_the_disk_is_low(
    bench: Bench, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    (young,) = bench.places.frames.iterdir()
    old = bench.places.frames / "old"
    old.mkdir()
    (old / "frame-0001.raw").write_bytes(bytes(5000))
    os.utime(old, (1, 1))
    assert archive.trim(bench.places.frames, 10_000) == 0
    assert archive.trim(bench.places.frames, 4000) == 1
    assert list(bench.places.frames.iterdir()) == [young]
    bench.start()
    bench.step("trim")
    assert list(bench.places.frames.iterdir()) == [young]
    bench.triage.cache_reserve = 2**62
    bench.step("trim", passed=100)
    assert list(bench.places.frames.iterdir()) == []


def test_two_patients_in_one_study_are_set_aside(bench: Bench, film: bytes) -> None:
    bench.put(film)
    bench.put(tiny(UID, 2, "PAT-2", "CR", 9))
    bench.step(passed=1)
    bench.step(passed=5)
    assert (bench.study().state, bench.study().fault_code) == ("quarantined", "study-patient-mismatch")
    assert bench.cases() == {}


def test_identity_in_a_case_keeps_it_here(bench: Bench, film: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sealing.wire_case.final

    def careless(case: Case) -> bytes:
        """In one edition only: both are inspected."""
        document = real(case)
        return document if case.key_images else document.replace(b'"CHEST"', b'"PAT-1 Simulated"')

    monkeypatch.setattr(sealing.wire_case, "final", careless)
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    assert (bench.study().state, bench.study().fault_code) == ("quarantined", "inspect-identity-found")
    assert bench.cases() == {}
    assert list(bench.places.parts.iterdir()) == []


def test_an_object_that_announces_an_image_and_has_none_is_set_aside(bench: Bench) -> None:
    cut = tiny(UID, 1, "PAT-1", "CR", 3)
    bench.put(cut[: cut.index(b"\xe0\x7f\x10\x00")])
    bench.step(passed=1)
    bench.step(passed=5)
    assert (bench.study().state, bench.study().fault_code) == ("quarantined", "pixel-missing")


def test_a_person_releases_or_rejects_what_was_set_aside(bench: Bench, film: bytes) -> None:
    bench.put(film)
    bench.put(tiny(UID, 2, "PAT-2", "CR", 9))
    bench.step(passed=1)
    bench.step(passed=5)
    command(bench, "release")
    bench.step("obey")
    assert bench.study().state == "complete"
    with bench.triage.engine.begin() as c:
        ledger.move(c, bench_study(c), "quarantined", who="test", at=bench.now, code="pixel-missing")
    command(bench, "reject")
    bench.step("obey")
    assert bench.study().state == "reviewed"


def bench_study(c: Any) -> Any:
    found = ledger.study_by_uid(c, UID)
    assert found is not None
    return found


def command(bench: Bench, kind: str) -> None:
    study = bench.study()
    bench.places.review.mkdir(exist_ok=True)
    engine = sqlite.open_writer(bench.places.review_db, desk.METADATA)
    with engine.begin() as c:
        desk.command(
            c, kind=kind, study_number=study.number, seq_seen=study.seq, user="anna", nonce=kind, at=bench.now
        )  # fmt: skip
    engine.dispose()


def test_a_note_of_a_refused_file_is_named(bench: Bench) -> None:
    (bench.places.incoming / ("f" * 64 + ".note")).write_text('{"code": "file-empty", "bytes_count": 0, "at": 1.0}')
    (bench.places.incoming / ("e" * 64 + ".note")).write_text("no note at all")
    bench.step("admit")
    assert sorted(row.code for row in bench.strays()) == ["file-empty", "unexpected"]
    assert list(bench.places.incoming.iterdir()) == []


def test_bytes_that_are_no_header_are_kept_and_named(bench: Bench) -> None:
    digest = bench.put(bytes(128) + b"DICM" + b"\x08\x00")
    bench.step("admit")
    (row,) = bench.strays()
    assert row.code in ("header-unreadable", "header-truncated", "header-uid-missing")
    assert archive.instance_path(bench.places.instances, digest).exists()


def test_a_wall_clock_that_jumps_completes_nothing(bench: Bench, film: bytes) -> None:
    bench.put(film)
    bench.step("admit", "assemble")
    for wall in (1e9, 2e9, 0.0):
        bench.steps["assemble"](Moment(wall, bench.now))
    assert bench.study().state == "received"


def test_damage_in_a_court_never_clears(tmp_path: Path, film: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)

    def broken(*_: Any, **__: Any) -> None:
        raise Quarantined("pixel-undecodable")

    monkeypatch.setattr(looking, "decode", broken)
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    assert bench.study().state == "quarantined"
    bench.triage.close()


def test_a_site_named_like_its_certificate_still_escalates(tmp_path: Path) -> None:
    """The certificate's name says the site's: its digest leaves, or every film of that hospital would be stopped."""
    root = Path(__file__).parents[2]
    film = pydicom.dcmread(root / "sample_dicom" / "drawn" / "chest_child_ap.dcm")
    film.Manufacturer, film.ManufacturerModelName = "Harbour Imaging", "PX-224"
    film.InstitutionName, film.InstitutionalDepartmentName = "Harbour General Hospital", "Harbour Radiology"
    out = BytesIO()
    film.save_as(out)
    bench = Bench(tmp_path)
    bench.start(judge.open_court(root / "models", "harbour", root / "models/trusted"))
    bench.put(out.getvalue())
    bench.step(passed=1)
    bench.step(passed=5)
    study, result = bench.study(film.StudyInstanceUID), bench.result(film.StudyInstanceUID)
    assert (study.state, study.fault_code) == ("escalated", "")
    assert result.certificate.startswith("harbour/")
    case = decode(Case, bench.document())
    package = root / "models" / "cxr-paediatric-pneumonia" / "2.0.0"
    files = [package / f"{graph}.onnx" for graph in ("exit1", "exit2", "check")]
    graphs = " ".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    assert case.model is not None
    assert f"{case.model.name}/{case.model.version}" == result.model == "cxr-paediatric-pneumonia/2.0.0"
    assert case.model.sha256 == hashlib.sha256(graphs.encode()).hexdigest(), "of the graphs that ran"
    asked = [told for path in package.glob("certificates/*.json") if (told := json.loads(path.read_bytes()))]
    (told,) = [each for each in asked if each["name"] == result.certificate]
    assert case.model.certificate == told["digest"], "of the certificate that was asked, and no other of the four"
    assert len({each["digest"] for each in asked}) == 4
    assert all(b"harbour" not in document.lower() for document in bench.documents().values())
    bench.triage.close()


@pytest.mark.parametrize(
    "name", ["Case^Grace", "Grey^Sharpness", "Pneumonia^Paediatric", "Escalated^Certificate", "Site^X"]
)
def test_a_patient_called_like_a_word_of_the_case_still_escalates(tmp_path: Path, name: str) -> None:
    root = Path(__file__).parents[2]
    film = pydicom.dcmread(root / "sample_dicom" / "drawn" / "chest_child_ap.dcm")
    film.PatientName, film.StudyDescription = name, "Hip revision, distance and levels"
    out = BytesIO()
    film.save_as(out)
    bench = Bench(tmp_path)
    bench.start(judge.open_court(root / "models", "harbour", root / "models/trusted"))
    bench.put(out.getvalue())
    bench.step(passed=1)
    bench.step(passed=5)
    study, result = bench.study(film.StudyInstanceUID), bench.result(film.StudyInstanceUID)
    assert result.scores
    assert (study.state, study.fault_code) == ("escalated", "")
    bench.triage.close()


@pytest.mark.parametrize("step", ["judge", "seal"])
def test_a_file_that_the_disk_changed_decides_nothing(bench: Bench, film: bytes, step: str) -> None:
    digest = bench.put(film)
    bench.step("admit", "assemble", passed=1)
    bench.step("admit", "assemble", passed=5)
    if step == "seal":
        bench.step("judge")
    path = archive.instance_path(bench.places.instances, digest)
    path.write_bytes(film[:-1] + bytes([film[-1] ^ 1]))
    bench.step(step)
    assert (bench.study().state, bench.study().fault_code) == ("quarantined", "instance-damaged")
    assert bench.cases() == {}
    bench.put(film)  # sent again, it is whole again
    bench.step("admit")
    assert path.read_bytes() == film


def test_a_file_that_changed_in_incoming_is_kept_and_named(bench: Bench, film: bytes) -> None:
    digest = bench.put(film)
    (bench.places.incoming / f"{digest}.dcm").write_bytes(tiny(UID, 2, "PAT-1", "CR", 9))
    bench.step("admit")
    assert [(row.sha256, row.code) for row in bench.strays()] == [(digest, "instance-damaged")]


@pytest.mark.parametrize(
    "note",
    [
        '{"code": "file-empty", "bytes_count": 1e30, "at": 1.0}',
        '{"code": "file-empty", "bytes_count": 0, "at": NaN}',
        '{"code": "\\ud800", "bytes_count": 0, "at": 1.0}',
        '{"code": "no such code", "bytes_count": 0, "at": 1.0}',
        "[" * 100_000,
    ],
)
def test_no_note_stops_triage(bench: Bench, film: bytes, note: str) -> None:
    (bench.places.incoming / ("a" * 64 + ".note")).write_text(note)
    bench.step("admit")
    assert [row.code for row in bench.strays()] == ["unexpected"]


def test_what_is_no_file_in_incoming_is_left_alone(bench: Bench, film: bytes, tmp_path: Path) -> None:
    (bench.places.incoming / "folder.note").mkdir()
    (bench.places.incoming / "folder.dcm").mkdir()
    (bench.places.incoming / "link.dcm").symlink_to(tmp_path / "elsewhere")
    bench.put(film)
    bench.step("admit")
    assert bench.strays() == []
    assert bench.study().state == "received"


def test_a_superseded_case_is_withdrawn_behind_many_others(
    bench: Bench, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "CASES_A_STEP", 2)
    for number in range(5):
        bench.put(tiny(f"{UID}.{number}", 1, "PAT-1", "CR", number))
    bench.step(passed=1)
    bench.step(passed=5)
    last = sorted(bench.cases())[-1]
    number = next(n for n in range(5) if bench.result(f"{UID}.{n}").case_id == last)
    bench.put(tiny(f"{UID}.{number}", 2, "PAT-1", "CR", 99))
    bench.step("admit", "withdraw")
    assert bench.cases()[last] == "cancelled"


def test_a_released_study_gets_a_case_of_its_own(bench: Bench, film: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealed, set aside before the move got on file, answered meanwhile: under the old case it waits for ever."""

    class Died(BaseException):
        pass

    bench.put(film)
    bench.step("admit", "assemble", "judge", passed=1)
    bench.step("admit", "assemble", "judge", passed=5)
    real = ledger.move

    def dies(c: Any, study: Any, to: str, **named: Any) -> bool:
        if to == "escalated":
            raise Died
        return real(c, study, to, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "move", dies)
        for _ in range(2):
            with pytest.raises(Died):
                bench.step("seal")
            bench.start()
        bench.step("seal")
    assert bench.study().fault_code == "study-attempts-spent"
    old = bench.result().case_id
    say(bench, verdict(old))
    bench.step("absorb")
    command(bench, "release")
    bench.step("obey", "judge", "seal")
    assert bench.study().state == "escalated"
    new = bench.result().case_id
    assert bench.cases() == {old: "closed", new: "queued"}
    say(bench, verdict(new))
    bench.step("absorb")
    assert bench.study().state == "answered"


def test_triage_is_awake_when_a_study_may_have_been_quiet_long_enough(bench: Bench) -> None:
    assert bench.triage.due(bench.now) == math.inf
    bench.put(tiny(UID, 1, "PAT-1", "CT", 7))
    bench.step("admit", "assemble")
    assert bench.triage.due(bench.now) == bench.now + 1.0  # with evidence
    assert bench.triage.due(bench.now + 1.0) == bench.now + 3.0  # without
    bench.step("assemble", passed=9.0)
    assert bench.triage.due(bench.now) == math.inf
