"""What leaves with a hard study and what stays to tell of it: key images, receipt, crosswalk; and the two verbs."""

import json
import logging
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from appliance.cli import main
from appliance.cli.reconcile import reconcile
from appliance.core.admit import admit
from appliance.core.case import Case, decode_case
from appliance.core.document import decode
from appliance.core.identity import identity_of
from appliance.core.key_images import chosen, decoded
from appliance.core.receipt import DeidReceipt, is_signed
from appliance.core.redact import Region
from appliance.errors import Fault, Quarantined
from appliance.triage import Triage, handover
from appliance.triage.cleaning import for_the_centre
from appliance.triage.looking import Court
from appliance.triage.sealing import inspected, sealed_case
from appliance.world import archive, ledger, wire
from appliance.world.inference import Bench as Inference
from appliance.world.ledger import departures
from tests.core.planted_objects import REAL_FILES
from tests.correspondents import post
from tests.simulate.house import SITE_KEY
from tests.test_units import dialler_sees_no_patient, settings
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench
from tests.triage.stand_in import BlindEyes, StandIn

CHEST = Path(__file__).parents[2] / "sample_dicom" / "drawn" / "chest_child_ap.dcm"


def slices(count: int, study: str = UID) -> list[bytes]:
    """One MR series; the picture of each slice tells its number."""
    return [tiny(study, number, "PAT-1", "MR", number) for number in range(1, count + 1)]


def changed(data: bytes, **said: Any) -> bytes:
    dataset = pydicom.dcmread(BytesIO(data))
    for keyword, value in said.items():
        setattr(dataset, keyword, value)
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def left(bench: Bench, *files: bytes) -> Case:
    """The case that these files became, as the centre would read what lies in wire/parts."""
    for data in files:
        bench.put(data)
    bench.step(passed=1)
    bench.step(passed=5)
    assert bench.study().state == "escalated", bench.study().fault_code
    return decode_case(bench.document())


def receipts(bench: Bench) -> list[Any]:
    with bench.triage.engine.connect() as c:
        return list(c.execute(departures.receipts.select()))


def command(bench: Bench, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status and output of one verb on this state folder."""
    key = bench.places.root.parent / "site.key"
    key.write_bytes(SITE_KEY)
    config = bench.places.root.parent / "appliance.toml"
    config.write_text(f'[state]\nfolder = "{bench.places.root}"\n[triage]\nsite_key_file = "{key}"\n')
    status = main(["--config", str(config), *words])
    out, err = capsys.readouterr()
    return status, out, err


# Pictures.


def test_the_film_leaves_as_a_picture_that_was_looked_at(bench: Bench, film: bytes) -> None:
    case = left(bench, film)
    (image,) = case.key_images
    assert (image.id, image.frame, image.place, image.rows, image.columns) == ("I1", 1, 1, 8, 8)
    assert (case.images, case.frames, case.key_images_shed) == (1, 1, 0)
    assert image.sop_instance_uid.startswith("2.25.")
    source = pydicom.dcmread(BytesIO(film))
    assert source.SOPInstanceUID not in image.sop_instance_uid
    (seen,) = bench.stand_in.seen
    assert (seen == decoded(image)).all()
    order = np.argsort(np.frombuffer(source.PixelData, np.uint8), kind="stable")
    assert (np.diff(seen.ravel()[order].astype(int)) >= 0).all(), "brighter stays brighter"


def test_of_a_series_five_slices_are_cleaned_and_shown(bench: Bench) -> None:
    case = left(bench, *slices(20))
    assert [(image.id, image.place) for image in case.key_images] == [
        ("I1", 3), ("I2", 7), ("I3", 11), ("I4", 15), ("I5", 19)
    ]  # fmt: skip
    assert len({image.sop_instance_uid for image in case.key_images}) == 5
    assert len(bench.stand_in.seen) == 5
    assert bench.stand_in.cleaned == 6, "the five and the one whose header is read"
    assert (case.images, case.frames) == (20, 20)


def test_of_a_cine_only_the_frames_that_are_shown_are_looked_at(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cleaning a frame takes half a second: of 40 frames five are cleaned, and the key images are theirs."""
    looked: list[int] = []

    def find(_: BlindEyes, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        looked.append(int(picture.mean()))
        return np.zeros(picture.shape[:2], np.float32)

    monkeypatch.setattr(BlindEyes, "find", find)
    monkeypatch.setattr(BlindEyes, "find_again", find)
    frames = [bytes((number + place) % 256 for place in range(64)) for number in range(40)]
    case = left(bench, changed(slices(1)[0], NumberOfFrames=40, PixelData=b"".join(frames)))
    assert [(image.frame, image.place) for image in case.key_images] == [(n, n) for n in (5, 13, 21, 29, 37)]
    for image, seen in zip(case.key_images, sorted(bench.stand_in.seen, key=lambda each: each[0, 0]), strict=True):
        assert (seen == decoded(image)).all()
    (row,) = receipts(bench)
    (told,) = decode(DeidReceipt, row.body).accounts
    assert [tally.count for tally in told.tallies if tally.rule == "frame not shown"] == [35]
    each_alone = len(looked)
    looked.clear()
    bench.stand_in.clean(changed(slices(1)[0], NumberOfFrames=40, PixelData=b"".join(frames)), None)
    assert 0 < each_alone * 8 == len(looked)


def test_age_sex_and_measures_leave_and_the_oldest_are_of_one_age(bench: Bench, film: bytes) -> None:
    case = left(bench, changed(film, PatientAge="097Y", PatientSex="F", PatientSize="1.62", PatientWeight="61.5"))
    assert case.patient.model_dump() == {"age": "090Y", "sex": "F", "size_m": 1.62, "weight_kg": 61.5}
    assert all(b"097" not in document for document in bench.documents().values())


def test_a_picture_in_which_identity_is_seen_keeps_the_study_here(
    bench: Bench, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*_: Any) -> None:
        raise Quarantined("inspect-identity-found", "KeyImage")

    monkeypatch.setattr(bench.stand_in, "look", look)
    bench.start()
    bench.put(film)
    bench.step(passed=1)
    bench.step(passed=5)
    assert (bench.study().state, bench.study().fault_code) == ("quarantined", "inspect-identity-found")
    assert list(bench.places.parts.iterdir()) == []
    assert bench.cases() == {}
    assert receipts(bench) == []


def test_a_picture_that_nobody_cleaned_does_not_leave(bench: Bench, film: bytes) -> None:
    bench.triage.close()
    court, cleaning = Court((), Inference(), "bench"), for_the_centre(SITE_KEY, frozenset())
    bench.triage = Triage(bench.config, bench.places, SITE_KEY, court, cleaning, post(bench.config))
    bench.steps = bench.triage.steps()
    assert left(bench, film).key_images == ()
    (row,) = receipts(bench)
    assert "clean-pixel-data" not in [option.name for option in decode(DeidReceipt, row.body).options]


def test_bytes_beside_the_document_are_no_case_that_may_leave(bench: Bench, film: bytes) -> None:
    from appliance.core.identity import identity

    left(bench, film)
    who, data = identity(pydicom.dcmread(BytesIO(film))), bench.document()
    inspected(data, who, frozenset(), bench.stand_in.look)
    image = decode_case(data).key_images[0]
    for odd, code in (
        (data.replace(b'"CHEST"', b'"PAT-1"'), "inspect-identity-found"),
        (data + b" ", "inspect-unreadable"),
        (data.replace(b'"images":1', b'"images":1,"note":"x"'), "inspect-unreadable"),
        (data.replace(image.data.encode(), b"UEFULTE="), "inspect-unreadable"),
    ):
        with pytest.raises(Quarantined, match=code):
            inspected(odd, who, frozenset(), bench.stand_in.look)


@pytest.mark.filterwarnings("ignore")  # odd files make pydicom warn
def test_every_real_object_leaves_as_a_case_or_stays_for_what_it_is() -> None:
    """All files that pydicom and pydicom-data ship: in none of the cases made of them does the inspector see a leak."""
    left_here, stayed = 0, dict[str, str]()
    result = {"priority": "routine", "reasons": [{"code": "no-model-applies"}], "would_be": None, "scores": []}
    result |= {"model": None, "certificate": None, "decided_at": 1.0}
    for path in REAL_FILES:
        data = path.read_bytes()
        try:
            instance = admit(data)
            leaving = sealed_case(
                "0" * 32,
                1,
                result,
                [instance],
                lambda _, data=data: data,
                site_key=SITE_KEY,
                models=(),
                cleaning=StandIn(SITE_KEY).cleaning,
                pixels_max=2**28,
                answer_within_s=1,
            )
        except Fault as fault:
            stayed[path.name] = fault.code
            continue
        case = decode_case(max(leaving.documents.items())[1])
        assert bool(case.key_images) is bool(chosen([instance]))
        assert case.key_images_shed == 0
        left_here += 1
    assert left_here >= 120
    assert not {name: code for name, code in stayed.items() if code.startswith("inspect-")}


# The receipt.


def test_every_case_has_its_receipt_before_it_can_leave(bench: Bench, film: bytes) -> None:
    bench.stand_in.boxes = (Region(1, 2, 3, 4, 5, "text"),)
    case = left(bench, film)
    (row,) = receipts(bench)
    receipt = decode(DeidReceipt, row.body)
    assert case.receipt is not None
    assert (row.case_id, row.sha256, row.signature, row.key_id) == (
        case.case_id, case.receipt.sha256, case.receipt.signature, case.receipt.key_id
    )  # fmt: skip
    assert is_signed(receipt, row.body, row.signature)
    assert [picture.sha256 for picture in receipt.key_images] == [image.sha256 for image in case.key_images]
    (cleaned,) = receipt.objects
    assert cleaned.sop_instance_uid == case.key_images[0].sop_instance_uid
    assert [box.rule for box in cleaned.regions] == ["text"]
    assert {tally.action for tally in receipt.accounts[0].tallies} >= {"Z", "D", "U", "ADD"}
    assert receipt.versions.detectors == {"text-detector": "ab" * 32}
    assert receipt.decided_at == bench.result().decided_at
    for told in (b"PAT-1", b"Simulated", UID.encode(), b"20200102"):
        assert told not in row.body


def test_a_receipt_of_an_attempt_that_died_gives_way_to_that_of_the_case(
    bench: Bench, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between receipt and case row the process dies, and it is another version of it that seals again."""

    class Died(BaseException):
        pass

    def dies(*_: Any, **__: Any) -> None:
        raise Died

    bench.put(film)
    bench.step(passed=1)
    with monkeypatch.context() as patch:
        patch.setattr(wire, "put_case", dies)
        with pytest.raises(Died):
            bench.step(passed=5)
    (before,) = receipts(bench)
    assert bench.cases() == {}
    bench.stand_in = replace(bench.stand_in, boxes=(Region(1, 2, 3, 4, 5, "text"),))
    bench.start()
    bench.step()
    (after,) = receipts(bench)
    assert before.sha256 != after.sha256
    with bench.triage.cases.connect() as c:
        assert after.part_sha256 in {row.sha256 for row in c.execute(wire.transfers.select())}


def test_a_case_that_may_have_left_is_not_made_again(
    bench: Bench, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = left(bench, film)
    with bench.triage.engine.begin() as c:
        c.execute(ledger.studies.update().values(state="hard"))
        c.execute(ledger.moves.delete())
    monkeypatch.setattr(handover, "sealed_case", None)
    bench.start()
    bench.step()
    assert bench.study().state == "escalated"
    assert list(bench.cases()) == [case.case_id]
    assert len(receipts(bench)) == 1


def test_the_verb_tells_a_person_and_a_machine(bench: Bench, film: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    bench.stand_in.boxes = (Region(1, 2, 3, 4, 5, "text"),)
    case = left(bench, film)
    status, out, _ = command(bench, capsys, "receipt", case.case_id)
    assert status == 0
    assert sum(line.startswith("holds ") for line in out.splitlines()) == 7
    for words in ("1 boxes blackened", "emptied by", "clean-pixel-data (113101)", "key image I1: 8 x 8", "PatientName"):
        assert words in out
    status, out, _ = command(bench, capsys, "receipt", str(bench.study().number), "--json")
    told = json.loads(out)
    assert (status, told["holds"], told["case_id"]) == (0, True, case.case_id)
    assert told["receipt"]["objects"][0]["regions"][0]["rule"] == "text"
    status, out, err = command(bench, capsys, "receipt", "0" * 32)
    assert (status, out) == (1, "")
    assert "no case of this name" in err


def test_the_verb_still_holds_when_the_centre_has_the_part(
    bench: Bench, film: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    case = left(bench, film)
    engine = bench.link()
    with engine.begin() as c:
        wire.record_receipt(c, case.case_id, bench.now)
    engine.dispose()
    bench.step("free")
    assert list(bench.places.parts.iterdir()) == []
    status, out, _ = command(bench, capsys, "receipt", case.case_id)
    assert status == 0
    assert "unchecked  the sealed part bears it" in out


@pytest.mark.parametrize("tampered", ["source", "source gone", "part", "body", "signature", "case row"])
def test_whatever_is_tampered_with_ends_the_verb_with_1(
    bench: Bench, film: bytes, capsys: pytest.CaptureFixture[str], tampered: str
) -> None:
    digest = bench.put(film)
    case = left(bench)
    path = archive.instance_path(bench.places.instances, digest)
    (row,) = receipts(bench)
    part = bench.places.parts / row.part_sha256
    match tampered:
        case "source":
            path.write_bytes(film[:-1] + b"?")
        case "source gone":
            path.unlink()
        case "part":
            part.write_bytes(part.read_bytes()[:-1] + b"?")
        case "body":
            with bench.triage.engine.begin() as c:
                body = row.body.replace(b'"inspected":"passed"', b'"inspected": "passed"')
                assert body != row.body
                c.execute(departures.receipts.update().values(body=body))
        case "signature":
            with bench.triage.engine.begin() as c:
                c.execute(departures.receipts.update().values(signature="0" * 128))
        case "case row":
            with bench.triage.cases.begin() as c:
                c.execute(wire.transfers.update().values(sha256="0" * 64))
    status, out, _ = command(bench, capsys, "receipt", case.case_id)
    assert status == 1
    assert "WRONG" in out


def test_the_books_notice_a_case_without_its_receipt(bench: Bench, film: bytes) -> None:
    left(bench, film)
    checks, _ = reconcile(bench.places)
    assert all(check.holds for check in checks)
    with bench.triage.engine.begin() as c:
        c.execute(departures.receipts.delete())
    checks, _ = reconcile(bench.places)
    assert [check.name for check in checks if not check.holds] == [
        "every case has the receipt of what was taken out of it"
    ]


# The crosswalk.


def test_a_pseudonym_is_answered_on_the_clinical_side_only(
    bench: Bench, film: bytes, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    case = left(bench, film)
    with bench.triage.engine.connect() as c:
        known = {row.kind: row.pseudonym for row in c.execute(departures.pseudonyms.select())}
    assert set(known) == {"patient", "study", "series", "instance"}
    assert known["instance"] == case.key_images[0].sop_instance_uid
    for pseudonym in (*known.values(), case.case_id):
        status, out, _ = command(bench, capsys, "crosswalk", pseudonym)
        assert status == 0
        assert "PAT-1" in out
        assert UID in out
    status, out, _ = command(bench, capsys, "crosswalk", known["series"], "--json")
    assert json.loads(out)[0]["source"] == f"{UID}.7"
    assert command(bench, capsys, "crosswalk", "2.25.1")[:2] == (1, "")
    said = caplog.text
    assert not [word for word in ("PAT-1", UID, *known.values()) if word in said]


def test_a_patient_of_two_studies_is_answered_with_both(
    bench: Bench, film: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    left(bench, film)
    bench.put(tiny(f"{UID}.2", 1, "PAT-1", "CR", 4))
    bench.step(passed=1)
    bench.step(passed=5)
    with bench.triage.engine.connect() as c:
        (pseudonym,) = {row.pseudonym for row in c.execute(departures.pseudonyms.select()) if row.kind == "patient"}
    _, out, _ = command(bench, capsys, "crosswalk", pseudonym, "--json")
    assert {each["study_instance_uid"] for each in json.loads(out)} == {UID, f"{UID}.2"}


def test_nothing_of_the_crosswalk_is_where_uplink_looks(bench: Bench, film: bytes) -> None:
    """Neither sources nor any pseudonym that did not leave lies under wire/; and phi/ is hidden from that unit."""
    case = left(bench, film)
    bench.link().dispose()
    with bench.triage.engine.connect() as c:
        rows = list(c.execute(departures.pseudonyms.select()))
    kept = {row.source for row in rows} | {row.pseudonym for row in rows if row.kind != "instance"}
    assert len(kept) == 7
    inside = b"".join(path.read_bytes() for path in bench.places.wire.rglob("*") if path.is_file())
    assert case.case_id.encode() in inside
    assert not [word for word in kept if word.encode() in inside]
    home = b"".join(path.read_bytes() for path in bench.places.phi.glob("studies.db*"))
    assert all(word.encode() in home for word in kept), "the search finds what is there"
    assert bench.places.studies_db.parent == bench.places.phi
    assert not {"receipts", "pseudonyms"} & ({*wire.CASES.tables} | {*wire.LINK.tables})
    assert dialler_sees_no_patient(settings("uplink"))


def test_an_object_without_a_patient_id_is_crosswalked_all_the_same(bench: Bench, film: bytes) -> None:
    left(bench, changed(film, PatientID=""))
    with bench.triage.engine.connect() as c:
        kinds = {row.kind for row in c.execute(departures.pseudonyms.select())}
    assert kinds >= {"study", "series", "instance"}


def test_the_product_s_own_eyes_blacken_a_name_in_the_film_before_it_leaves(bench: Bench) -> None:
    cleaning = for_the_centre(SITE_KEY)
    dataset = pydicom.dcmread(CHEST)
    pixels = dataset.pixel_array.copy()
    cv2.putText(pixels, "HARBOUR ANNA", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    dataset.StudyInstanceUID = UID
    dataset.PatientName, dataset.PixelData = "Harbour^Anna", pixels.tobytes()
    out = BytesIO()
    dataset.save_as(out)
    bench.triage.close()
    court = Court((), Inference(), "bench")
    bench.triage = Triage(bench.config, bench.places, SITE_KEY, court, cleaning, post(bench.config))
    bench.steps = bench.triage.steps()
    case = left(bench, out.getvalue())
    (picture,) = case.key_images
    shown = decoded(picture)
    assert shown[40:62, 20:200].max() == shown[40:62, 20:200].min()
    (row,) = receipts(bench)
    receipt = decode(DeidReceipt, row.body)
    assert [region.rule for each in receipt.objects for region in each.regions] == ["text"]
    with pytest.raises(Quarantined, match="inspect-identity-found"):
        cleaning.look(pixels, identity_of(out.getvalue()))
