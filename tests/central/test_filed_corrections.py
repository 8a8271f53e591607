"""What signers said of cases, at the centre: filed once, of the device's own cases only, and printed for training."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from centre_pipe import Crash, Fate, deadly_store
from centre_samples import CENTRE, DEVICE, OTHER, a_case, case_number, parcel, triage_keys, uplink_keys
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from appliance.core.correction import Correction, Judged, Scorer
from appliance.core.document import Document, encode
from appliance.core.letter import sealed
from appliance.core.messages import Filed, topic_up
from appliance.loop import Moment
from central import corrections, store
from central.cli import main
from central.corrections import identity_in_correction, lines
from central.store import corrections as book
from tests.central.test_intake import WALL, Bench
from tests.core.test_correction import PNEUMONIA, SCORER, a_correction


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A centre that has case 1 of either device, and case 2 of the other one."""
    made = Bench(tmp_path)
    made.hear(*parcel().messages, *parcel(device_id=OTHER).messages, *parcel(2, device_id=OTHER).messages)
    yield made
    made.engine.dispose()


def said(**changes: Any) -> Correction:
    return a_correction(**{"case_id": case_number(1), **changes})


def letter(what: Document, device_id: str = DEVICE, sender: Any = None) -> tuple[str, bytes]:
    topic = topic_up(device_id, "correction")
    keys = sender or triage_keys(device_id)
    return topic, sealed(encode(what), place=topic, sender=keys, recipient=CENTRE.public)


def answer(message: tuple[str, bytes], what: Correction, code: str | None = None) -> Filed:
    digest = hashlib.sha256(message[1]).hexdigest()
    return Filed(key=what.key, rev=what.rev, letter_sha256=digest, code=code)


def bodies(bench: Bench) -> list[bytes]:
    return [row.body for row in bench.rows(store.tables.corrections)]


def aside(bench: Bench) -> list[tuple[str, str, Any]]:
    return [(row.kind, row.code, row.body) for row in bench.rows(store.quarantine)]


def test_it_is_filed_once_however_often_it_comes(bench: Bench) -> None:
    made = letter(said())
    for _ in range(3):
        assert bench.hear(made) == [answer(made, said())]
    assert bodies(bench) == [encode(said())]
    again = letter(said())  # the same document in another letter
    assert bench.hear(again) == [answer(again, said())]
    assert len(bodies(bench)) == 1


def test_a_later_rev_takes_its_place_and_a_replay_of_the_former_changes_nothing(bench: Bench) -> None:
    first, later = letter(said()), letter(said(rev=2, decision="agree", reason=""))
    bench.hear(first, later, first, first)
    assert len(bodies(bench)) == 2
    with store.transaction(bench.engine) as c:
        assert [line["rev"] for line in lines(c)] == [2]
        assert [line["rev"] for line in lines(c, every=True)] == [1, 2]
        assert [(line["device"], line["case_id"], line["case_state"]) for line in lines(c)] == [
            (DEVICE, case_number(1), "received")
        ]
        assert list(lines(c, OTHER)) == []
        assert book.count(c) == 1


@pytest.mark.parametrize("number", [2, 3], ids=["another device's", "nobody's"])
def test_of_a_case_that_is_not_the_device_s_own_nothing_is_believed(bench: Bench, number: int) -> None:
    """Which of the two it is, nobody is told."""
    what = said(case_id=case_number(number))
    made = letter(what)
    assert bench.hear(made) == [answer(made, what, "correction-case-unknown")]
    assert bodies(bench) == []
    assert aside(bench) == [("correction", "correction-case-unknown", None)]


def test_two_devices_may_have_one_key(bench: Bench) -> None:
    bench.hear(letter(said()), letter(said(), OTHER))
    with store.transaction(bench.engine) as c:
        assert {line["device"] for line in lines(c)} == {DEVICE, OTHER}


def test_another_document_under_a_known_name_is_a_contradiction(bench: Bench) -> None:
    bench.hear(letter(said()))
    other = said(decision="agree", reason="")
    made = letter(other)
    assert bench.hear(made) == [answer(made, other, "correction-conflict")]
    assert bodies(bench) == [encode(said())]


def test_of_one_case_there_are_only_so_many(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "OF_A_CASE_MAX", 2)
    made = [letter(said(rev=rev)) for rev in (1, 2, 3)]
    told = bench.hear(*made)
    assert [each.code for each in told] == [None, None, "correction-too-many"]
    assert bench.hear(made[1])[0].code is None, "what is held is held"
    assert len(bodies(bench)) == 2


def scored(**changes: Any) -> Correction:
    fields = {**SCORER.model_dump(), **changes}
    return said(findings=(Judged(label=PNEUMONIA, said="wrong", scorer=Scorer(**fields)),))


@pytest.mark.parametrize("change", [{"title": "anna@example.org"}, {"title": "1.2.840.10008.5"}, {"logit": 19840213.0}])
def test_the_second_look_finds_what_the_first_one_let_go(bench: Bench, change: dict[str, Any]) -> None:
    what = scored(**change)
    made = letter(what)
    assert bench.hear(made) == [answer(made, what, "correction-identity")]
    assert bodies(bench) == []
    assert aside(bench) == [("correction", "correction-identity", None)], "its bytes are not kept"


def test_an_honest_one_is_nobody(bench: Bench) -> None:
    assert identity_in_correction(scored(title="cxr-paediatric-pneumonia/2.0.0", logit=-13.875)) is None
    assert identity_in_correction(said(findings=())) is None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{}", "message-invalid"),
        (encode(said()).replace(b'"year":2026', b'"year":2026,"note":"Frau Z."'), "message-invalid"),
        (json.dumps(json.loads(encode(said())), indent=1).encode(), "message-invalid"),
        (encode(said()).replace(b"worklist", b"random"), "message-invalid"),
    ],
)
def test_what_is_no_correction_is_put_aside_and_not_answered(bench: Bench, data: bytes, code: str) -> None:
    topic = topic_up(DEVICE, "correction")
    bench.hear((topic, sealed(data, place=topic, sender=triage_keys(DEVICE), recipient=CENTRE.public)))
    assert bodies(bench) == []
    assert [each[1] for each in aside(bench)] == [code]


def later_edition(**changes: Any) -> tuple[str, bytes]:
    told = {**json.loads(encode(said())), "schema_version": "correction/2", "more": 1, **changes}
    topic = topic_up(DEVICE, "correction")
    data = json.dumps(told).encode()
    return topic, sealed(data, place=topic, sender=triage_keys(DEVICE), recipient=CENTRE.public)


def test_one_of_a_later_edition_is_answered_by_its_name_and_not_filed(bench: Bench) -> None:
    """Without an answer its edge would send it for ever."""
    made = later_edition()
    for _ in range(2):
        assert bench.hear(made) == [answer(made, said(), "message-newer")]
    assert bodies(bench) == []
    assert set(aside(bench)) == {("correction", "message-newer", None)}


@pytest.mark.parametrize(
    "change", [{"key": "PAT-1"}, {"key": None}, {"rev": 0}, {"rev": True}, {"rev": "1"}, {"rev": 10_001}, {"rev": None}]
)
def test_one_of_a_later_edition_without_a_name_is_put_aside(bench: Bench, change: dict[str, Any]) -> None:
    assert bench.hear(later_edition(**change)) == []
    assert [each[1] for each in aside(bench)] == ["message-newer"]


@pytest.mark.parametrize("sender", [uplink_keys(DEVICE), triage_keys(OTHER)], ids=["uplink", "another device"])
def test_only_the_device_s_own_triage_is_believed(bench: Bench, sender: Any) -> None:
    assert bench.hear(letter(said(), DEVICE, sender)) == []
    assert [each[1] for each in aside(bench)] == ["letter-invalid"]


def test_a_letter_is_for_one_topic(bench: Bench) -> None:
    moved = (topic_up(OTHER, "correction"), letter(said())[1])
    assert bench.hear(moved) == []
    assert [each[1] for each in aside(bench)] == ["letter-invalid"]


@pytest.mark.parametrize("point", range(1, 8))
def test_a_worker_that_dies_files_it_once_and_answers_in_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    made = letter(said())
    bench.pipe.fate = fate = Fate(point)
    plain, deadly = store.transaction, deadly_store(fate)
    monkeypatch.setattr(store, "transaction", deadly)
    bench.pipe.from_edge(*made)
    try:
        for step in (bench.centre.listen, bench.centre.speak):
            step(Moment(WALL, 0.0))
    except Crash:
        bench.pipe.connect()
    monkeypatch.setattr(store, "transaction", plain)
    bench.pipe.to_edge()
    assert bench.hear(made)[-1:] == [answer(made, said())], "the edge asks again"
    assert len(bodies(bench)) == 1


def test_the_store_itself_refuses_to_change_one(bench: Bench) -> None:
    bench.hear(letter(said()))
    table = store.tables.corrections
    for change in (table.update().values(rev=9), table.delete()):
        with pytest.raises(IntegrityError, match="only ever added"), bench.engine.begin() as c:
            c.execute(change)
    assert len(bodies(bench)) == 1
    assert "FOREIGN KEY" in str(CreateTable(table))


def test_the_verb_prints_what_stands(bench: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bench.hear(letter(said()), letter(said(rev=2)))
    capsys.readouterr()
    assert main(["export-corrections", "--state", str(bench.folder)]) == 0
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert (line["rev"], line["case_id"], line["selection"]) == (2, a_case().case_id, "worklist")
    assert main(["export-corrections", "--state", str(bench.folder), "--every"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["export-corrections", "--state", str(tmp_path / "nothing")]) == 78
    assert main(["status", "--state", str(bench.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["corrections"] == 1
