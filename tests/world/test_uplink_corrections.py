"""Corrections over a wire that loses and doubles: behind their case, until the centre's word, exactly one row each."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.config.learning import Learning
from appliance.core.messages import Filed, topic_up
from appliance.uplink.corrections import LETTERS_A_LOOK, LOOK_PERIOD_S
from appliance.world import wire
from appliance.world.wire import corrections as mail
from tests.world import test_uplink
from tests.world.test_uplink import CONFIG, DEVICE, World, down, put, run

NAME = ("a" * 32, 1)
TOPIC = topic_up(DEVICE, "correction")


def world(root: Path, monkeypatch: pytest.MonkeyPatch, policy: Any) -> World:
    config = CONFIG.model_copy(update={"learning": Learning(corrections=policy)})
    monkeypatch.setattr(test_uplink, "CONFIG", config)
    made = World(root, 4)
    made.link.chance = None
    if not made.link.connected:
        made.link.connect()
    return made


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = world(tmp_path, monkeypatch, "send")
    yield made
    made.close()


def hand_over(edge: World, name: mail.Name = NAME, *, received: bool = True, case: int = 1) -> bytes:
    """A correction of a case that the centre has."""
    made = put(edge, case)
    letter = f"letter {name}".encode()
    with edge.cases.begin() as c:
        mail.put(c, *name, made.case_id, letter, edge.wall)
    if received:
        with edge.uplink.ledger.begin() as c:
            wire.record_receipt(c, made.case_id, edge.wall)
    return letter


def filed(letter: bytes, name: mail.Name = NAME, code: str | None = None) -> tuple[str, bytes]:
    digest = hashlib.sha256(letter).hexdigest()
    return down("filed", Filed(key=name[0], rev=name[1], letter_sha256=digest, code=code))


def sent(edge: World, after_s: float = 0.0) -> list[bytes]:
    """The letters of corrections that went over the line since it was asked."""
    edge.mono += after_s
    edge.broker.up.clear()
    run(edge)
    if "uplink.corrections" in edge.uplink.steps():
        run(edge, "corrections")
    edge.link.answer_publishes()
    return [payload for topic, payload in edge.broker.up if topic == TOPIC]


def stands(edge: World, name: mail.Name = NAME) -> Any:
    with edge.uplink.ledger.connect() as c:
        return mail.answers(c, [name]).get(name)


def rejected(edge: World) -> list[str]:
    with edge.uplink.ledger.connect() as c:
        return [row.code for row in c.execute(wire.rejects.select())]


def hear(edge: World, message: tuple[str, bytes]) -> None:
    edge.broker.send_down(*message)
    run(edge, "listen")


def test_it_goes_again_until_the_centre_says_that_it_is_filed(edge: World) -> None:
    letter = hand_over(edge)
    assert sent(edge) == [letter]
    assert sent(edge, LOOK_PERIOD_S) == [], "not at once"
    assert sent(edge, 60) == [letter]
    hear(edge, filed(letter))
    assert stands(edge) == ("filed", "")
    assert sent(edge, 1000) == []
    hear(edge, filed(letter))
    assert (stands(edge), rejected(edge)) == (("filed", ""), [])


def test_it_waits_for_its_case(edge: World) -> None:
    letter = hand_over(edge, received=False)
    assert sent(edge) == []
    with edge.uplink.ledger.begin() as c:
        wire.record_receipt(c, f"{1:032x}", edge.wall)
    assert sent(edge, LOOK_PERIOD_S) == [letter]


def test_a_refusal_is_kept_with_its_code_and_ends_it(edge: World) -> None:
    letter = hand_over(edge)
    hear(edge, filed(letter, code="correction-case-unknown"))
    assert stands(edge) == ("refused", "correction-case-unknown")
    assert sent(edge, 1000) == []
    hear(edge, filed(letter))
    assert stands(edge) == ("refused", "correction-case-unknown"), "the first word stands"
    assert rejected(edge) == ["message-contradicts"]


def test_a_code_of_a_later_centre_is_named_as_such(edge: World) -> None:
    letter = hand_over(edge)
    hear(edge, filed(letter, code="correction-out-of-fashion"))
    assert stands(edge) == ("refused", "correction-refused")


def restarted(edge: World) -> World:
    edge.uplink.close()
    edge.boot()
    edge.link.chance = None
    if not edge.link.connected:
        edge.link.connect()
    return edge


def held(edge: World) -> dict[mail.Name, str]:
    with edge.uplink.ledger.connect() as c:
        return mail.held(c, [NAME])


def test_one_that_the_centre_cannot_read_yet_is_held_and_tried_once_more_after_each_start(edge: World) -> None:
    letter = hand_over(edge)
    assert sent(edge) == [letter]
    hear(edge, filed(letter, code="message-newer"))
    assert (stands(edge), held(edge)) == (None, {NAME: "message-newer"}), "said, and no end"
    for after_s in (60, 3600, 30 * 86_400):
        assert sent(edge, after_s) == []
    restarted(edge)
    assert sent(edge, LOOK_PERIOD_S) == [letter]
    assert held(edge) == {}, "it is not known how it stands now"
    assert sent(edge, 60) == [letter], "the answer may be lost"
    hear(edge, filed(letter, code="message-newer"))
    assert sent(edge, 30 * 86_400) == []
    assert sent(restarted(edge), LOOK_PERIOD_S) == [letter]
    hear(edge, filed(letter))
    hear(edge, filed(letter, code="message-newer"))  # an old one, late
    assert (stands(edge), held(edge), rejected(edge)) == (("filed", ""), {}, [])
    assert sent(restarted(edge), LOOK_PERIOD_S) == []


def test_one_that_is_held_keeps_no_other_one_waiting(edge: World) -> None:
    for number in range(LETTERS_A_LOOK):
        name = (f"{number:032x}", 1)
        letter = hand_over(edge, name, case=number + 1)
        sent(edge, LOOK_PERIOD_S)
        hear(edge, filed(letter, name, code="message-newer"))
    later = hand_over(edge, ("f" * 32, 1), case=LETTERS_A_LOOK + 1)
    assert sent(edge, LOOK_PERIOD_S) == [later]


@pytest.mark.parametrize(
    ("name", "letter", "code"), [(("b" * 32, 1), b"letter", "message-unasked"), (NAME, b"other", "receipt-mismatch")]
)
def test_a_word_about_another_letter_is_kept_aside(edge: World, name: mail.Name, letter: bytes, code: str) -> None:
    hand_over(edge)
    hear(edge, filed(letter, name))
    assert rejected(edge) == [code]
    assert stands(edge) is None


def test_few_go_at_a_time(edge: World) -> None:
    for number in range(3 * LETTERS_A_LOOK):
        hand_over(edge, (f"{number:032x}", 1), case=number + 1)
    counts = [len(sent(edge, LOOK_PERIOD_S)) for _ in range(4)]
    assert counts == [LETTERS_A_LOOK, LETTERS_A_LOOK, LETTERS_A_LOOK, 0]


def test_after_a_restart_all_is_due_and_nothing_is_doubled(edge: World) -> None:
    letter = hand_over(edge)
    sent(edge)
    assert sent(restarted(edge), LOOK_PERIOD_S) == [letter]
    with edge.uplink.ledger.connect() as c:
        (row,) = c.execute(wire.tables.correction_sendings.select())
    assert (row.state, row.attempts) == ("sending", 2)


def test_where_they_are_to_stay_none_goes_whatever_lies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(tmp_path, monkeypatch, "keep")
    try:
        hand_over(made)
        assert "uplink.corrections" not in made.uplink.steps()
        assert sent(made, 1000) == []
    finally:
        made.close()
