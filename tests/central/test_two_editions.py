"""Editions and versions side by side at the centre: the later is refused with its reason, the earlier is read."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from centre_pipe import Centre, Fate, Pipe
from centre_samples import a_case, an_answer, case_number, enclosing, letter_up, parcel, verdict_in

from appliance.core.case import Case, Model
from appliance.core.document import decode, encode
from appliance.core.drafting.question import Answered, Question
from appliance.core.messages import Delivery, Receipt, Refusal, Roll, Status
from appliance.loop import Moment
from central import store
from central.store import tables
from tests.central.test_intake import WALL, Bench
from tests.correspondents import CENTRE, DEVICE, ENROLLED
from tests.editions import then


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.engine.dispose()


def of_edition_4(**changes: Any) -> bytes:
    """A case as a later edge would write it."""
    told = {**json.loads(encode(a_case())), "schema_version": "case/4", "more": 1, **changes}
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("document", "code"), [(of_edition_4(), "message-newer"), (of_edition_4(schema_version="case/3"), "case-invalid")]
)
def test_a_later_case_in_a_manifest_that_is_understood_is_refused_with_that_reason(
    bench: Bench, document: bytes, code: str
) -> None:
    """What is no case at all is told from one that is only later: there a person mends, here an upgrade does."""
    made = enclosing(document)
    told = bench.hear(*made.messages)
    assert told == [Refusal(case_id=made.case_id, transfer_id=made.transfer_id, code=code)]
    (row,) = bench.rows(store.cases)
    assert (row.state, row.code, row.body) == ("refused", code, None), "not read in part, and nobody is asked about it"
    assert [(each.kind, each.code, each.body) for each in bench.rows(store.quarantine)] == [("case", code, document)]
    assert bench.hear(*made.messages) == told, "the same word, however often it comes"
    (standing, again) = bench.hear(letter_up("roll", Roll(nonce="a" * 32, case_ids=(made.case_id,), transfer_ids=())))
    assert (standing.cases, again) == ({made.case_id: "refused"}, told[0])


def test_after_the_upgrade_the_study_comes_as_a_new_case(bench: Bench) -> None:
    """The refused one stands for ever; the edge releases its study under another revision, hence another case id."""
    bench.hear(*enclosing(of_edition_4()).messages)
    anew = parcel(2, revision=2)
    assert [type(each) for each in bench.hear(*anew.messages)] == [Receipt]
    assert {row.case_id: row.state for row in bench.rows(store.cases)} == {
        case_number(1): "refused",
        case_number(2): "received",
    }


def test_of_two_versions_of_the_edges_model_and_of_the_centres_each_has_its_own_case_and_answer(bench: Bench) -> None:
    """One study: version 1.0.0 saw its first revision, 1.1.0 its second; meanwhile the centre's model changed, too."""
    edges = {
        1: Model(name="cxr-paediatric", version="1.0.0", sha256="5" * 64, certificate="7" * 64),
        2: Model(name="cxr-paediatric", version="1.1.0", sha256="6" * 64, certificate="8" * 64),
    }
    told: list[Any] = []
    for number, model in edges.items():
        bench.hear(*parcel(number, revision=number, model=model).messages)
        worker = Centre(bench.engine, bench.folder, bench.pipe, answering(number), name=f"version-{number}")
        assert worker.ask(Moment(WALL, 0.0))
        told += [each for each in bench.hear(after_s=1.0) if isinstance(each, Delivery)]
    answers = {each.case_id: each.reader for each in map(verdict_in, told)}
    assert len(bench.rows(store.verdicts)) == len(answers) == 2
    for row in bench.rows(store.cases):
        case = decode(Case, row.body)
        assert (case.model, row.state) == (edges[case.revision], "answered")
        reader = answers[case.case_id]
        assert (reader.model, reader.server) == (f"reader-{case.revision}", f"server-{case.revision}")


def answering(number: int) -> Callable[[Question], Answered]:
    return lambda _: Answered(an_answer(), f"reader-{number}", f"server-{number}")


class Enrolled:
    """The centre and the appliance whose messages were recorded (tests/editions)."""

    own = (CENTRE,)

    def device(self, name: str) -> Any:
        return ENROLLED if name == DEVICE else None


@pytest.mark.parametrize("name", then.NAMES)
def test_an_appliance_of_a_released_version_is_served_by_todays_centre(tmp_path: Path, name: str) -> None:
    """Its recorded messages, as its programs made them; what is answered is read by its own code."""
    made, engine = Pipe(Fate()), store.open_store(tmp_path)
    made.connect()
    worker = Centre(engine, tmp_path, made, answering(1), registry=Enrolled())
    recorded = then.line(then.HERE / name)
    for message in recorded:
        if "/up/" in message[0] and not message[0].endswith("/taken"):
            made.from_edge(*message)
    for _ in range(3):
        for step in worker.steps().values():
            step(Moment(WALL, 0.0))
    told = {topic.rsplit("/", 1)[1]: (topic, payload) for topic, payload in made.to_edge()}
    assert {"receipt", "verdict"} <= set(told)
    asked = {kind: {"topic": topic, "payload": then.text(payload)} for kind, (topic, payload) in told.items()}
    found = dict(zip(asked, then.read(name, list(asked.values())), strict=True))
    assert found["receipt"] == ("", json.loads(then.document(name, "receipt"))), "the answer that its own centre gave"
    code, delivery = found["verdict"]
    assert code == ""
    ((code, verdict),) = then.read(name, [{"verdict": then.text(json.dumps(delivery).encode())}])
    assert (code, verdict["reader"]["model"]) == ("", "reader-1")
    assert verdict["case_id"] == json.loads(then.document(name, "case"))["case_id"]
    with store.transaction(engine) as c:
        (case,) = c.execute(store.cases.select())
        (status,) = c.execute(tables.statuses.select())
        labels = [row.body for row in c.execute(tables.corrections.select())]
        aside = list(c.execute(store.quarantine.select()))
    assert (case.state, case.body) == ("answered", then.document(name, "case"))
    assert decode(Status, status.body) == decode(Status, then.document(name, "status"))
    assert aside == []
    if name == then.NAMES[0]:
        assert (labels, "filed" in found) == ([], False)
    else:
        assert labels == [then.document(name, "correction")]
        assert found["filed"] == ("", json.loads(then.document(name, "filed")))
    engine.dispose()
