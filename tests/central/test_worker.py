"""The worker between a lossy wire, a language model and a process that dies anywhere."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from centre_pipe import Centre, Crash, Edge, Fate, Model, Pipe, deadly_store
from centre_samples import (
    DEVICE,
    OTHER,
    Parcel,
    a_case,
    an_answer,
    case_number,
    enclosing,
    heard,
    large_parcel,
    letter_up,
    parcel,
    verdict_in,
)
from sqlalchemy import Engine, func, select, text

from appliance.core.case import Finding, Verdict
from appliance.core.document import encode
from appliance.core.drafting.question import NO_MODEL_ID, Answered, Question
from appliance.core.messages import ROLL_MAX, Roll, Taken, topic_down, topic_up
from appliance.errors import Quarantined, Unavailable
from appliance.loop import Moment
from central import asking, exchange, intake, store, telling
from central.asking import ATTEMPTS_MAX, PAUSE_MAX_S
from central.spool import SWEEP_AGE_S, Spool
from central.store import freight
from central.telling import RESEND_MAX_S, RESEND_MIN_S


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = store.open_store(tmp_path)
    engine.folder = tmp_path  # type: ignore[attr-defined]
    yield engine
    engine.dispose()


@pytest.fixture
def pipe() -> Pipe:
    pipe = Pipe(Fate())
    pipe.connect()
    return pipe


def good(_asked: Question) -> Answered:
    return Answered(an_answer(), "some-model", "server")


def a_worker(engine: Engine, pipe: Pipe, ask: Callable[[Question], Answered] = good) -> Centre:
    return Centre(engine, engine.folder, pipe, ask)  # type: ignore[attr-defined]


def send(pipe: Pipe, *parcels: Parcel) -> None:
    for each in parcels:
        for message in each.messages:
            pipe.from_edge(*message)


def roll(case_ids: tuple[str, ...], transfer_ids: tuple[str, ...] = ()) -> Roll:
    return Roll(nonce="a" * 32, case_ids=case_ids, transfer_ids=transfer_ids)


def turn(service: Centre, mono: float = 0.0, rounds: int = 3) -> None:
    for _ in range(rounds):
        for step in service.steps().values():
            step(Moment(1_700_000_000.0 + mono, mono))


def said(pipe: Pipe, kind: Any) -> list[Any]:
    """What the edge was told of this kind, taken out of the pipe; verdicts as triage reads them."""
    found = [heard(*each) for each in pipe.down if each[0] == topic_down(DEVICE, kind)]
    pipe.down = [each for each in pipe.down if each[0] != topic_down(DEVICE, kind)]
    return [verdict_in(each) for each in found] if kind == "verdict" else found


def rows(engine: Engine, table: Any) -> list[Any]:
    with store.transaction(engine) as c:
        return list(c.execute(select(table).order_by(table.c.id)))


# One case, step by step.


def test_a_case_is_received_asked_about_answered_and_taken(engine: Engine, pipe: Pipe) -> None:
    service, case = a_worker(engine, pipe), parcel()
    send(pipe, case)
    turn(service)
    assert said(pipe, "receipt") == [case.receipt]
    (verdict,) = (each for each in said(pipe, "verdict"))
    assert (verdict.case_id, verdict.status, verdict.urgency) == (case.case_id, "ok", "urgent")
    assert pipe.delivered == {}
    pipe.from_edge(*letter_up("taken", Taken(case_id=case.case_id, rev=1)))
    turn(service, mono=10_000.0)
    assert said(pipe, "verdict") == []
    with store.transaction(engine) as c:
        assert store.counts(c)["verdicts_untaken"] == 0


def test_nothing_is_acknowledged_before_it_is_committed(
    engine: Engine, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged: list[int] = []
    plain = pipe.ack

    def ack(message: Any) -> None:
        acknowledged.append(len(rows(engine, store.cases)))
        plain(message)

    monkeypatch.setattr(pipe, "ack", ack)
    send(pipe, parcel())
    a_worker(engine, pipe).listen(Moment(0.0, 0.0))
    assert acknowledged == [1, 1]


def pragma(engine: Engine, text: str) -> int:
    raw = engine.raw_connection()
    try:
        return int(raw.cursor().execute(f"PRAGMA {text}").fetchone()[0])
    finally:
        raw.close()


def test_a_full_disk_loses_nothing(engine: Engine, pipe: Pipe) -> None:
    service = a_worker(engine, pipe)
    pragma(engine, f"max_page_count = {pragma(engine, 'page_count')}")
    gates = {f"{'g' * 70}{number}": 1.0 for number in range(20)}
    findings = tuple(Finding(id=f"F{n}", label=f"{'l' * 70}{n}", logit=0.0, probability=None) for n in range(1, 21))
    send(pipe, parcel(gates=gates, findings=findings))
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            service.listen(Moment(0.0, 0.0))
        assert caught.value.code == "disk-low"
    assert pipe.down == []
    assert len(pipe.delivered) == 2
    pragma(engine, "max_page_count = 100000")
    turn(service)
    assert len(said(pipe, "receipt")) == 1
    assert pipe.delivered == {}


def test_the_most_urgent_is_asked_about_first(engine: Engine, pipe: Pipe) -> None:
    urgencies = ["routine", "critical", "urgent", "critical"]
    for number, urgency in enumerate(urgencies, 1):
        send(pipe, parcel(number, urgency=urgency))
    turn(a_worker(engine, pipe), rounds=5)
    order = [each.case_id for each in said(pipe, "verdict")]
    assert order == [case_number(n) for n in (2, 4, 3, 1)]


# Duplicates, conflicts, what is no case.


def test_a_duplicate_hears_the_receipt_again_and_a_roll_brings_the_verdict_again(engine: Engine, pipe: Pipe) -> None:
    service, case = a_worker(engine, pipe), parcel()
    send(pipe, case)
    service.listen(Moment(0.0, 0.0))
    send(pipe, case)
    service.listen(Moment(0.0, 0.0))
    assert len(said(pipe, "receipt")) == 2
    turn(service)
    assert len(said(pipe, "verdict")) == 1
    pipe.from_edge(*letter_up("taken", Taken(case_id=case.case_id, rev=1)))
    send(pipe, case)
    turn(service)
    assert len(said(pipe, "receipt")) == 1
    assert said(pipe, "verdict") == []
    pipe.from_edge(*letter_up("roll", roll((case.case_id,))))
    turn(service)
    assert len(said(pipe, "receipt")) == 1
    assert len(said(pipe, "verdict")) == 1
    assert len(rows(engine, store.cases)) == len(rows(engine, store.verdicts)) == 1


def test_the_first_whole_document_of_a_case_stands(engine: Engine, pipe: Pipe) -> None:
    """Whichever transfer it came in: a later one hears of the one that is held, and need not send its parts."""
    service, first = a_worker(engine, pipe), parcel(tier=0)
    others = [parcel(tier=1, images=2), parcel(tier=0, name="made anew")]
    send(pipe, first)
    service.listen(Moment(0.0, 0.0))
    for other in others:
        pipe.from_edge(*other.announcement)
        service.listen(Moment(0.0, 0.0))
        send(pipe, other)
        service.listen(Moment(0.0, 0.0))
    assert said(pipe, "receipt") == [first.receipt] * 5
    (kept,) = rows(engine, store.cases)
    assert (kept.body, kept.tier) == (first.document, 0)
    assert rows(engine, store.quarantine) == []


def test_what_is_half_here_is_given_up_when_the_case_comes_another_way(engine: Engine, pipe: Pipe) -> None:
    service, pictures, bare = a_worker(engine, pipe), large_parcel(), parcel(tier=0)
    for message in pictures.messages[:-1]:
        pipe.from_edge(*message)
    service.listen(Moment(0.0, 0.0))
    path = service.intake.spool.path(DEVICE, pictures.transfer_id)
    assert path.exists()
    send(pipe, bare)
    service.listen(Moment(0.0, 0.0))
    assert not path.exists()
    pipe.from_edge(*pictures.messages[-1])
    turn(service)
    assert said(pipe, "receipt") == [bare.receipt] * 2
    assert [row.state for row in rows(engine, store.transfers)] == ["passed", "whole"]
    assert [row.manifest for row in rows(engine, store.transfers)] == [None, None]


def test_another_manifest_under_a_known_transfer_id_is_put_aside(engine: Engine, pipe: Pipe) -> None:
    service, first, other = a_worker(engine, pipe), large_parcel(), large_parcel(images=2)
    assert first.transfer_id == other.transfer_id
    assert first.manifest != other.manifest
    pipe.from_edge(*first.announcement)
    pipe.from_edge(*other.announcement)
    service.listen(Moment(0.0, 0.0))
    pipe.from_edge(*other.announcement)
    send(pipe, first)
    turn(service)
    assert said(pipe, "receipt") == [first.receipt]
    (aside,) = rows(engine, store.quarantine)
    assert (aside.code, aside.body, aside.copies) == ("case-conflict", None, 2)


def test_two_devices_may_use_one_case_id(engine: Engine, pipe: Pipe) -> None:
    send(pipe, parcel())
    send(pipe, parcel(images=2, device_id=OTHER))
    turn(a_worker(engine, pipe), rounds=4)
    assert {row.device_id for row in rows(engine, store.cases)} == {"appliance-1", "appliance-2"}
    assert len(rows(engine, store.verdicts)) == 2
    assert rows(engine, store.quarantine) == []


def test_what_is_no_case_is_kept_and_refused_for_good(engine: Engine, pipe: Pipe) -> None:
    service = a_worker(engine, pipe)
    broken = enclosing(encode(a_case()).replace(b'"routine"', b'"stat"'))
    for _ in range(2):
        send(pipe, broken)
        turn(service)
        assert {each.code for each in said(pipe, "refusal")} == {"case-invalid"}
    pipe.from_edge(*letter_up("roll", roll((case_number(1),))))
    turn(service)
    assert said(pipe, "standing")[0].cases == {case_number(1): "refused"}
    send(pipe, parcel(name="another transfer of it"))
    turn(service)
    assert {each.code for each in said(pipe, "refusal")} == {"case-invalid"}
    (aside,) = rows(engine, store.quarantine)
    assert (aside.code, aside.body) == ("case-invalid", broken.document)
    assert rows(engine, store.verdicts) == []
    assert said(pipe, "receipt") == []


def test_identity_is_refused_and_its_bytes_are_not_kept(engine: Engine, pipe: Pipe, tmp_path: Path) -> None:
    send(pipe, parcel(reasons=("born-19840213",)))
    named = json.dumps({"case_id": case_number(2), "name": "DOE^JANE"}).encode()
    send(pipe, enclosing(named, case_id=case_number(2)))
    pipe.from_edge(topic_up(DEVICE, "manifest"), b"PatientName DOE^JANE")
    pipe.from_edge(topic_up(DEVICE, "taken"), b"DOE^JANE")
    turn(a_worker(engine, pipe))
    codes = {each.case_id: each.code for each in said(pipe, "refusal")}
    assert codes == {case_number(1): "case-identity", case_number(2): "case-invalid"}
    assert rows(engine, store.verdicts) == []
    engine.dispose()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"case-identity" in kept
    assert b"19840213" not in kept
    assert b"DOE" not in kept


UP = [topic_up(DEVICE, kind) for kind in ("manifest", "part", "taken", "roll")]


def test_what_nobody_can_read_is_counted_and_nobody_is_told(engine: Engine, pipe: Pipe) -> None:
    for topic in (*UP, topic_up("appliance-3", "roll"), "edge/2/up/00/appliance-1/other", ""):
        pipe.from_edge(topic, b"\x00garbage")
    turn(a_worker(engine, pipe))
    assert pipe.down == []
    assert pipe.delivered == {}
    found = {(row.kind, row.code) for row in rows(engine, store.quarantine)}
    letters = {(kind, "letter-invalid") for kind in ("manifest", "taken", "roll")}
    assert found == letters | {("part", "part-invalid"), ("roll", "not-enrolled"), ("unknown", "message-invalid")}
    assert {row.body for row in rows(engine, store.quarantine)} == {None}


def test_a_device_that_is_struck_off_is_nobody_at_its_next_message(engine: Engine, pipe: Pipe) -> None:
    service = a_worker(engine, pipe)
    send(pipe, parcel(1))
    turn(service)
    assert len(said(pipe, "receipt")) == 1
    del service.registry.keys[DEVICE]
    send(pipe, parcel(2))
    turn(service, mono=10_000.0)
    assert pipe.down[1:] == []  # the verdict of the first went before
    assert len(rows(engine, store.cases)) == 1


def test_a_storm_of_strange_messages_fills_nothing(engine: Engine, pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "QUARANTINE_EACH_MAX", 5)
    service = a_worker(engine, pipe)
    for number in range(12):
        pipe.from_edge(UP[0], b"garbage %d" % number)
        pipe.from_edge(topic_up("appliance-3", "manifest"), b"garbage %d" % number)
        turn(service, rounds=1)
    for code in ("letter-invalid", "not-enrolled"):
        found = [row for row in rows(engine, store.quarantine) if row.code == code]
        assert len(found) == 6
        assert [(row.sha256, row.copies) for row in found if row.copies > 1] == [("", 7)]


def test_what_is_put_aside_is_bounded(engine: Engine, pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "QUARANTINE_MAX", 5)
    service = a_worker(engine, pipe)
    for number in range(12):
        pipe.from_edge(UP[0], b"garbage %d" % number)
        turn(service, rounds=1)
    assert [row.bytes_count for row in rows(engine, store.quarantine)] == [9, 9, 9, 10, 10]


def test_a_roll_is_answered_with_one_word_each_and_with_what_is_missing(engine: Engine, pipe: Pipe) -> None:
    service = a_worker(engine, pipe)
    for number in (1, 2):
        send(pipe, parcel(number))
        turn(service)
    pipe.from_edge(*letter_up("taken", Taken(case_id=case_number(2), rev=1)))
    service.listen(Moment(0.0, 0.0))
    send(pipe, parcel(3))
    service.listen(Moment(0.0, 0.0))
    send(pipe, parcel(9, device_id=OTHER))
    service.listen(Moment(0.0, 0.0))
    pipe.down.clear()
    pipe.from_edge(*letter_up("roll", roll(tuple(case_number(n) for n in (1, 2, 3, 4, 9)))))
    service.listen(Moment(0.0, 0.0))
    service.speak(Moment(0.0, 0.0))
    assert said(pipe, "standing")[0].cases == {
        case_number(1): "answered",
        case_number(2): "answered",
        case_number(3): "received",
        case_number(4): "unknown",
        case_number(9): "unknown",  # another device's
    }
    assert {each.case_id for each in said(pipe, "receipt")} == {case_number(n) for n in (1, 2, 3)}
    assert {each.case_id for each in said(pipe, "verdict")} == {case_number(n) for n in (1, 2)}


def test_the_largest_roll_is_answered_through_a_narrow_window(engine: Engine, pipe: Pipe) -> None:
    service = a_worker(engine, pipe)
    send(pipe, parcel(1))
    pipe.from_edge(*letter_up("roll", roll(tuple(case_number(n) for n in range(1, ROLL_MAX + 1)))))
    turn(service)
    words = said(pipe, "standing")[0].cases
    assert len(words) == ROLL_MAX
    assert words[case_number(1)] == "received"


# The language model, good and bad.


def verdict_after(engine: Engine, pipe: Pipe, ask: Callable[[Question], Answered], rounds: int = 3) -> Verdict:
    service = a_worker(engine, pipe, ask)
    send(pipe, parcel(urgency="urgent"))
    for number in range(rounds):
        turn(service, mono=number * 2 * PAUSE_MAX_S, rounds=1)
    turn(service, mono=rounds * 2 * PAUSE_MAX_S)
    verdicts = set(said(pipe, "verdict"))
    assert len(verdicts) == 1
    return verdicts.pop()


def reason(verdict: Verdict) -> str | None:
    return next(guard.detail for guard in verdict.guards if guard.name == "answered-by-a-language-model")


def test_a_server_that_stays_away_ends_as_a_case_for_a_person(engine: Engine, pipe: Pipe) -> None:
    asked = []

    def away(question: Question) -> Answered:
        asked.append(question.sha256)
        raise Unavailable("llm-away")

    verdict = verdict_after(engine, pipe, away, rounds=ATTEMPTS_MAX)
    assert (verdict.status, verdict.urgency, reason(verdict)) == ("needs_human", "urgent", "llm-attempts-spent")
    assert not verdict.reader.connected
    assert len(asked) == ATTEMPTS_MAX
    assert len(set(asked)) == 1


def test_while_the_server_is_away_the_other_cases_wait(engine: Engine, pipe: Pipe) -> None:
    away = True
    asked: list[float] = []
    now = 0.0

    def ask(_question: Question) -> Answered:
        asked.append(now)
        if away:
            raise Unavailable("llm-away")
        return good(_question)

    service = a_worker(engine, pipe, ask)
    for number in range(1, 21):
        send(pipe, parcel(number))
    for _ in range(100):
        turn(service, mono=now, rounds=1)
        now += 1.0
    assert len(asked) <= 8, "an absent server is asked all the time"
    assert len(rows(engine, store.verdicts)) <= 2
    away = False
    for _ in range(100):
        turn(service, mono=now, rounds=1)
        now += 1.0
    assert len(rows(engine, store.verdicts)) == 20


@pytest.mark.parametrize("code", ["llm-refused", "llm-answer-invalid"])
def test_a_fault_that_time_does_not_mend_is_said_at_once(engine: Engine, pipe: Pipe, code: str) -> None:
    asked = []

    def ask(question: Question) -> Answered:
        asked.append(question)
        raise Quarantined(code)

    verdict = verdict_after(engine, pipe, ask)
    assert (verdict.status, reason(verdict), len(asked)) == ("needs_human", code, 1)


def test_a_bug_while_asking_harms_its_own_case_only(engine: Engine, pipe: Pipe) -> None:
    calls = []

    def ask(question: Question) -> Answered:
        calls.append(question)
        if len(calls) == 1:
            raise ZeroDivisionError
        return good(question)

    service = a_worker(engine, pipe, ask)
    for number in (1, 2):
        send(pipe, parcel(number))
    turn(service)
    found = {verdict.case_id: verdict.status for verdict in (each for each in said(pipe, "verdict"))}
    assert found == {case_number(1): "needs_human", case_number(2): "ok"}


def test_a_case_that_kills_the_process_is_given_up(engine: Engine, pipe: Pipe) -> None:
    calls = []

    def ask(question: Question) -> Answered:
        calls.append(question)
        raise Crash

    send(pipe, parcel())
    for number in range(ATTEMPTS_MAX):
        with pytest.raises(Crash):
            turn(a_worker(engine, pipe, ask), mono=number * 2 * store.CLAIM_S)  # the dead one's claim runs out
    turn(a_worker(engine, pipe, ask), mono=2 * ATTEMPTS_MAX * store.CLAIM_S)
    assert len(calls) == ATTEMPTS_MAX
    (verdict,) = set(said(pipe, "verdict"))
    assert (verdict.status, reason(verdict)) == ("needs_human", "llm-attempts-spent")


def test_a_body_that_a_later_version_cannot_read_is_for_a_person(engine: Engine, pipe: Pipe) -> None:
    service = a_worker(engine, pipe)
    send(pipe, parcel(urgency="critical"))
    service.listen(Moment(0.0, 0.0))
    with store.transaction(engine) as c:
        c.execute(store.cases.update().values(body=b'{"schema_version":"case/0"}'))
    turn(service)
    (verdict,) = (each for each in said(pipe, "verdict"))
    assert (verdict.status, verdict.urgency, reason(verdict)) == ("needs_human", "critical", "message-invalid")


def test_the_stand_in_is_for_a_person(engine: Engine, pipe: Pipe) -> None:
    verdict = verdict_after(engine, pipe, lambda _: Answered(an_answer(), NO_MODEL_ID, "x"))
    assert (verdict.status, verdict.reader.connected, reason(verdict)) == ("needs_human", False, NO_MODEL_ID)


def test_an_answer_that_comes_late_changes_nothing(engine: Engine, pipe: Pipe) -> None:
    """A worker stood still until its claim ran out: what it says after another one has answered counts for nothing."""
    send(pipe, parcel())
    first = a_worker(engine, pipe)
    first.listen(Moment(0.0, 0.0))

    def meanwhile(question: Question) -> Answered:
        first.ask(Moment(store.CLAIM_S / 2, 0.0))
        assert rows(engine, store.verdicts) == [], "a claimed case is asked about twice"
        first.ask(Moment(store.CLAIM_S, 0.0))
        return Answered(an_answer(impression="The score suggests pneumonia."), "some-model", "server")

    a_worker(engine, pipe, meanwhile).ask(Moment(0.0, 0.0))
    (verdict,) = rows(engine, store.verdicts)
    assert b"Another draft" not in verdict.body


# Verdicts until they are taken.


def test_a_verdict_is_said_again_with_doubling_waits_until_taken(engine: Engine, pipe: Pipe) -> None:
    service = a_worker(engine, pipe)
    send(pipe, parcel())
    times = []
    for second in range(0, 8000, 5):
        turn(service, mono=float(second), rounds=1)
        times += [second] * len(said(pipe, "verdict"))
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits[:5] == [RESEND_MIN_S * 2**n for n in range(5)]
    assert waits[5:] == [RESEND_MAX_S] * len(waits[5:])
    assert len(waits) > 7
    pipe.from_edge(*letter_up("taken", Taken(case_id=case_number(1), rev=2)))  # no such revision
    turn(service, mono=20_000.0)
    assert len(said(pipe, "verdict")) == 1
    pipe.from_edge(*letter_up("taken", Taken(case_id=case_number(1), rev=1), OTHER))  # not its case
    turn(service, mono=30_000.0)
    assert len(said(pipe, "verdict")) == 1
    pipe.from_edge(*letter_up("taken", Taken(case_id=case_number(1), rev=1)))
    service.listen(Moment(0.0, 40_000.0))
    turn(service, mono=50_000.0)
    assert said(pipe, "verdict") == []


def test_a_new_connection_makes_every_verdict_due(engine: Engine, pipe: Pipe) -> None:
    service = a_worker(engine, pipe)
    send(pipe, parcel())
    turn(service)
    assert len(said(pipe, "verdict")) == 1
    turn(service, mono=1.0)
    assert said(pipe, "verdict") == []
    pipe.connect()
    turn(service, mono=2.0)
    assert len(said(pipe, "verdict")) == 1


def test_without_a_connection_nothing_is_said_and_nothing_is_lost(engine: Engine, pipe: Pipe) -> None:
    service = a_worker(engine, pipe)
    send(pipe, parcel())
    service.listen(Moment(0.0, 0.0))
    pipe.up = False
    pipe.down.clear()
    turn(service)
    assert pipe.down == []
    pipe.connect()
    turn(service)
    assert len(said(pipe, "verdict")) == 1


def test_more_verdicts_than_one_round_all_come_through(
    engine: Engine, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "ROUND_ROWS", 3)
    edge, service = Edge(pipe, map(parcel, range(1, 21))), a_worker(engine, pipe)
    edge.send()
    for _ in range(30):
        turn(service, rounds=1)
    pipe.down.clear()  # every verdict is lost
    pipe.connect()
    for _ in range(30):
        turn(service, mono=1.0, rounds=1)
        edge.hear()
    assert edge.content


# Death anywhere.


def live(tmp_path: Path, fate: Fate, monkeypatch: pytest.MonkeyPatch, *, cases: int, loss: float, seed: int) -> None:
    """Edge, wire and worker until every case has its verdict and every verdict is taken; then the books are checked."""
    pipe = Pipe(fate, loss=loss, seed=seed)
    made = [large_parcel(number) if number == 2 else parcel(number) for number in range(1, cases + 1)]
    edge, model = Edge(pipe, made), Model(fate)
    for module in (asking, exchange, intake, telling):
        monkeypatch.setattr(module, "store", Store(fate))
    deaths = 0
    engine, service = None, None
    for second in range(0, 40_000, 40):
        if service is None:
            engine = store.open_store(tmp_path)
            engine.folder = tmp_path  # type: ignore[attr-defined]
            pipe.connect()
            service = Centre(engine, tmp_path, pipe, model, name=f"worker-{deaths}")
        edge.send()
        if second % 200 == 0:
            edge.roll()
        try:
            turn(service, mono=float(second), rounds=1)
        except Crash:
            deaths += 1
            assert engine is not None
            engine.dispose()
            service = None
        edge.hear()
        if edge.content and service is not None and not pipe.waiting and not pipe.delivered:
            with store.transaction(engine) as c:
                if store.counts(c)["verdicts_untaken"] == 0:
                    break
    else:
        raise AssertionError(f"not done after {deaths} deaths")
    check_books(engine, edge, model, deaths)
    engine.dispose()


class Store:
    """central.store with points of death around each commit."""

    def __init__(self, fate: Fate) -> None:
        self.transaction = deadly_store(fate)

    def __getattr__(self, name: str) -> Any:
        return getattr(store, name)


def check_books(engine: Engine, edge: Edge, model: Model | None, deaths: int) -> None:
    kept = {row.case_id: row for row in rows(engine, store.cases)}
    assert set(kept) == set(edge.parcels)
    assert all(kept[case_id].body == each.document for case_id, each in edge.parcels.items())
    assert {row.state for row in rows(engine, store.transfers)} == {"whole"}
    sweep(engine)
    assert all(row.state == "answered" for row in kept.values())
    answers = {row.case_number: bytes(row.body) for row in rows(engine, store.verdicts)}
    assert len(answers) == len(rows(engine, store.verdicts)) == len(kept)
    assert {case_id: answers[row.id] for case_id, row in kept.items()} == edge.verdicts
    assert edge.refused == {}
    assert rows(engine, store.quarantine) == []
    if model is None:
        return
    assert model.asked <= len(kept) + deaths
    with store.transaction(engine) as c:
        counted = c.execute(select(func.sum(store.asks.c.attempts))).scalar_one()
    assert model.asked <= counted <= len(kept) + deaths


def sweep(engine: Engine) -> None:
    """A crash after the commit may leave a file that nobody needs: sweeping finds it, and then there is none."""
    spool = Spool(engine.folder / "spool")  # type: ignore[attr-defined]

    def needed(device_id: str, transfer_ids: list[str]) -> set[str]:
        with store.transaction(engine) as c:
            return freight.needs_file(c, device_id, transfer_ids)

    spool.sweep(needed, time.time() + 2 * SWEEP_AGE_S)
    assert list(spool.folder.rglob("*.part")) == []


def points_of_a_quiet_life(tmp_path: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        fate = Fate()
        live(tmp_path, fate, patch, cases=2, loss=0.0, seed=0)
    return fate.points


def test_death_at_every_single_point(tmp_path: Path) -> None:
    points = points_of_a_quiet_life(tmp_path / "quiet")
    assert points > 20
    for point in range(1, points + 1):
        with pytest.MonkeyPatch.context() as patch:
            live(tmp_path / str(point), Fate(point), patch, cases=2, loss=0.0, seed=0)


@pytest.mark.parametrize("seed", range(25))
def test_death_anywhere_on_a_lossy_wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    live(tmp_path, Fate(chance=0.02, seed=seed), monkeypatch, cases=6, loss=0.25, seed=seed)


def test_what_a_stopped_worker_commits_late_does_no_harm(
    engine: Engine, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still between the disk and the store; meanwhile another one took all in, answered and was believed."""
    made = [large_parcel(1), parcel(2), large_parcel(3)]
    late, quick = a_worker(engine, pipe), a_worker(engine, pipe)
    for each in made[:2]:
        send(pipe, each)
    send(pipe, made[2])
    edge = Edge(pipe, made)
    plain, stood = late.intake.prepare, []

    def prepare(heard_now: Any) -> Any:
        batch = plain(heard_now)
        if not stood:
            stood.append(True)
            pipe.connect()  # the broker hands the share's session to the other one
            for number in range(12):
                turn(quick, mono=100.0 * number, rounds=1)
                edge.hear()
                edge.send()
            assert edge.content
        return batch

    monkeypatch.setattr(late.intake, "prepare", prepare)
    late.listen(Moment(1_700_000_000.0, 5000.0))
    assert stood
    turn(late, mono=5000.0)
    edge.hear()
    check_books(engine, edge, None, 0)


def test_the_books_notice_a_worker_that_acknowledges_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself can fail: a worker that tells the broker before it commits, and forgets, loses cases."""
    plain = Pipe.poll

    def poll(self: Pipe) -> Any:
        events = plain(self)
        self.delivered.clear()
        return events

    monkeypatch.setattr(Pipe, "poll", poll)
    monkeypatch.setattr(Edge, "send", once(Edge.send))
    with pytest.raises(AssertionError, match="not done after 1 deaths"):
        live(tmp_path, Fate(1), monkeypatch, cases=2, loss=0.0, seed=0)


def test_the_books_notice_a_verdict_that_counts_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself can fail: a store that forgets it has an answer has the case asked about again."""
    again = ("received", "asked", "answered")
    monkeypatch.setattr(store, "UNANSWERED", again)
    monkeypatch.setattr(store, "WAITING", text(f"state in {again!r}"))
    with pytest.raises(AssertionError):
        live(tmp_path, Fate(), monkeypatch, cases=2, loss=0.0, seed=0)


def once(send: Callable[[Edge], None]) -> Callable[[Edge], None]:
    """An edge that believes the broker's acknowledgement: it sends every case one time."""
    sent: set[int] = set()

    def one_time(self: Edge) -> None:
        if id(self) not in sent:
            sent.add(id(self))
            send(self)

    return one_time


def test_a_case_in_the_store_names_no_device_to_the_model(engine: Engine, pipe: Pipe) -> None:
    asked: list[Question] = []

    def ask(question: Question) -> Answered:
        asked.append(question)
        return good(question)

    send(pipe, parcel())
    turn(a_worker(engine, pipe, ask))
    assert DEVICE not in json.dumps(asked[0].body)
    assert a_case().case_id not in json.dumps(asked[0].body)
