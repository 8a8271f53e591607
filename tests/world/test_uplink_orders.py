"""Orders about models on their way: kept once, acknowledged when they are safe, believed by nobody here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.core.command import Command, signed_command
from appliance.core.document import encode
from appliance.core.messages import topic_desired
from appliance.core.roles import Order
from appliance.world import sqlite, wire
from tests.world.test_uplink import World, plain, run


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, 4)
    world.link.chance = None
    if not world.link.connected:
        world.link.connect()
    yield world
    world.close()


def order(number: int = 0, private: bytes = bytes(32)) -> Command:
    given = Order("model-stop", "chest")
    return signed_command(given, device="*", issued_at=1, nonce=f"{number:032x}", private=private)


def kept(edge: World, after: int = 0) -> list[bytes]:
    with edge.uplink.ledger.connect() as c:
        return [row.body.encode() for row in wire.commands_after(c, after, 1000)]


def send(edge: World, data: bytes) -> None:
    edge.broker.send_down(*plain("command", data))
    run(edge, "listen")


def test_an_order_is_kept_once_and_acknowledged(edge: World):
    for _ in range(3):
        send(edge, encode(order()))
    send(edge, encode(order(1)))
    assert kept(edge) == [encode(order()), encode(order(1))]
    assert edge.broker.session == {}


def test_another_signature_over_the_same_order_does_not_hide_the_first(edge: World):
    """A forger who guesses the nonce makes a row of its own; which one is right, triage finds out."""
    send(edge, encode(order(private=bytes(range(32)))))
    send(edge, encode(order()))
    assert len(kept(edge)) == 2


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 9000, encode(order())[:-1]])
def test_what_is_no_order_is_kept_aside(edge: World, data: bytes):
    send(edge, data)
    assert kept(edge) == []
    with edge.uplink.ledger.connect() as c:
        assert [(row.kind, row.code) for row in c.execute(wire.rejects.select())] == [("command", "message-invalid")]
    assert edge.broker.session == {}


def test_a_flood_of_orders_is_bounded_and_numbers_are_never_given_twice(tmp_path: Path):
    engine = sqlite.open_writer(tmp_path / "link.db", wire.LINK)
    with engine.begin() as c:
        for number in range(wire.COMMANDS_MAX + 5):
            wire.record_command(c, order(number), 1.0)
        rows = wire.commands_after(c, 0, 10_000)
        assert len(rows) == wire.COMMANDS_MAX
        assert rows[0].body == encode(order(5)).decode()
        assert [row.id for row in wire.commands_after(c, rows[-2].id, 10)] == [rows[-1].id]
    engine.dispose()


def test_a_hint_of_updates_is_acknowledged_and_nothing_of_it_is_read(edge: World):
    hints: list[int] = []
    edge.uplink.hearing.on_hint = lambda: hints.append(1)
    edge.link.on_ack = lambda message: None  # this world's own look at what is acknowledged knows letters only
    for payload in (b"", b"[" * 9000, b'{"number": 7}'):
        edge.broker.send_down(topic_desired("all"), payload)
    run(edge, "listen")
    assert len(hints) == 3
    assert edge.broker.session == {}
    with edge.uplink.ledger.connect() as c:
        assert c.execute(wire.rejects.select()).all() == []
