"""Associations that were released, as receive notes them and triage believes them."""

import json
import threading
from collections.abc import Sequence

from appliance.receive.bursts import Bursts
from appliance.world.ledger import released
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench

PEER = "CT_1@10.0.0.3"


def note(bench: Bench, digests: Sequence[str], peer: str = PEER, name: str = "a" * 64) -> None:
    told = {"schema": "released/1", "peer": peer, "digests": sorted(digests)}
    (bench.places.incoming / f"{name}.released").write_text(json.dumps(told))


def films(count: int, first: int = 7, uid: str = UID) -> list[bytes]:
    """Numbered from 7: nothing in them says that they are all."""
    return [tiny(uid, number, "PAT-1", "MR", number) for number in range(first, first + count)]


def grow(bench: Bench, passed: float) -> str:
    bench.step("admit", "released", "assemble", passed=passed)
    return str(bench.study().state)


def test_a_study_released_in_one_go_is_whole_sooner(bench: Bench) -> None:
    note(bench, [bench.put(film) for film in films(3)])
    assert grow(bench, 0) == "received"
    assert grow(bench, 1.1) == "complete"
    assert "released" in bench.study().completeness["text"]
    assert not list(bench.places.incoming.iterdir())


def test_without_a_note_it_waits_for_quiet(bench: Bench) -> None:
    for film in films(3):
        bench.put(film)
    assert grow(bench, 0) == "received"
    assert grow(bench, 2.9) == "received"
    assert grow(bench, 0.2) == "complete"


def test_a_note_waits_until_its_files_are_admitted(bench: Bench) -> None:
    first, *others = films(3)
    digests = [bench.put(first)]
    bench.step("admit")
    digests += [bench.put(film) for film in others]
    note(bench, digests)
    bench.step("released")
    assert len(list(bench.places.incoming.glob("*.released"))) == 1
    bench.step("admit", "released")
    assert not list(bench.places.incoming.glob("*.released"))
    bench.step("assemble")
    assert grow(bench, 1.1) == "complete"


def test_a_note_that_names_a_file_nobody_could_admit_is_evidence_of_nothing(bench: Bench) -> None:
    whole = films(3)
    digests = [bench.put(film) for film in whole[:2]]
    digests.append(bench.put(whole[2][:200]))
    note(bench, digests)
    assert grow(bench, 0) == "received"
    assert grow(bench, 1.1) == "received"


def test_a_scanner_that_splits_a_study_is_not_believed_again(bench: Bench) -> None:
    note(bench, [bench.put(film) for film in films(2)])
    bench.step("admit", "released")
    note(bench, [bench.put(film) for film in films(2, first=20)], name="b" * 64)
    bench.step("admit", "released", "assemble")
    assert grow(bench, 1.1) == "received", "two goes"
    other = "1.2.826.0.1.8"
    note(bench, [bench.put(film) for film in films(3, uid=other)], name="c" * 64)
    bench.step("admit", "released", "assemble")
    bench.step("admit", "released", "assemble", passed=1.1)
    assert bench.study(other).state == "received", "whoever did it once may do it again"
    note(bench, [bench.put(film) for film in films(3, uid="1.2.826.0.1.9")], peer="MR_1@10.0.0.4", name="d" * 64)
    bench.step("admit", "released", "assemble")
    bench.step("admit", "released", "assemble", passed=1.1)
    assert bench.study("1.2.826.0.1.9").state == "complete"


def test_the_same_objects_sent_again_are_no_splitting(bench: Bench) -> None:
    digests = [bench.put(film) for film in films(3)]
    note(bench, digests)
    bench.step("admit", "released")
    for film in films(3):
        bench.put(film)
    note(bench, digests, name="b" * 64)
    bench.step("admit", "released", "assemble")
    with bench.triage.engine.connect() as c:
        assert released.bursts_of(c, bench.study().number) == {"b" * 64}
    assert grow(bench, 1.1) == "complete"


def test_what_is_no_note_is_taken_away(bench: Bench) -> None:
    for name, text in (("a" * 64, "{"), ("b" * 64, '{"schema": "released/1", "peer": "x", "digests": ["../x"]}')):
        (bench.places.incoming / f"{name}.released").write_text(text)
    bench.step("released")
    assert not list(bench.places.incoming.iterdir())


# What receive tells.


def test_the_last_open_association_of_a_scanner_decides() -> None:
    bursts = Bursts()
    bursts.began(1, PEER)
    bursts.began(2, PEER)
    bursts.began(3, "MR_1@10.0.0.4")
    bursts.kept(1, "a")
    bursts.kept(2, "b")
    bursts.kept(3, "c")
    assert bursts.ended(1, released=True) is None
    other = bursts.ended(3, released=True)
    assert other is not None
    assert other.digests == ("c",)
    both = bursts.ended(2, released=True)
    assert both is not None
    assert (both.peer, both.digests) == (PEER, ("a", "b"))


def test_an_abort_says_nothing_of_all_that_was_open_with_it() -> None:
    bursts = Bursts()
    bursts.began(1, PEER)
    bursts.began(2, PEER)
    bursts.kept(1, "a")
    assert bursts.ended(2, released=False) is None
    assert bursts.ended(1, released=True) is None
    bursts.began(3, PEER)
    assert bursts.ended(3, released=True) is None, "it brought nothing"
    bursts.kept(9, "z")  # of nobody
    assert bursts.ended(9, released=True) is None


def test_threads_of_many_associations_lose_nothing() -> None:
    bursts, found = Bursts(), []

    def send(line: int) -> None:
        for number in range(200):
            bursts.kept(line, f"{line}-{number}")
        burst = bursts.ended(line, released=True)
        if burst is not None:
            found.append(burst)

    for line in range(8):
        bursts.began(line, PEER)
    threads = [threading.Thread(target=send, args=(line,)) for line in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [len(each.digests) for each in found] == [1600]
