"""What stands after any orders: one version of a name decides or none, and what is stopped stays stopped."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.core.command import AGE_MAX_S, AHEAD_MAX_S, Command, signed_command, why_not_believed
from appliance.core.document import decode, encode
from appliance.core.roles import ORDER_KINDS, Order, OrderKind, in_share, roles, why_malformed, why_not
from appliance.core.signature import key_id, public_of, sign, verified
from appliance.errors import Quarantined

OLD, NEW, OTHER = "chest/1.0.0", "chest/1.1.0", "head/0.1.0"
SHIPPED = (NEW, OLD, OTHER)
SOUND = frozenset(SHIPPED)
SECRET = bytes(range(32))
TRUSTED = {key_id(public_of(SECRET)): public_of(SECRET)}


def act(title: str) -> Order:
    return Order("model-activate", title)


def active(*orders: Order, shipped: tuple[str, ...] = SHIPPED, sound: frozenset[str] = SOUND) -> dict[str, str | None]:
    return dict(roles(orders, shipped, sound).active)


def test_without_orders_the_newest_shipped_version_of_each_name_decides():
    assert active() == {"chest": NEW, "head": OTHER}
    assert roles((), SHIPPED, SOUND).deciding == (NEW, OTHER)


def test_what_was_installed_decides_only_when_it_was_activated():
    sound = SOUND | {"chest/2.0.0"}
    assert active(sound=sound)["chest"] == NEW
    assert active(act("chest/2.0.0"), sound=sound)["chest"] == "chest/2.0.0"


def test_rollback_goes_back_step_by_step_to_what_was_shipped():
    sound = SOUND | {"chest/2.0.0"}
    back = Order("model-rollback", "chest")
    orders = [act("chest/2.0.0"), act(OLD)]
    assert active(*orders, sound=sound)["chest"] == OLD
    assert active(*orders, back, sound=sound)["chest"] == "chest/2.0.0"
    assert active(*orders, back, back, sound=sound)["chest"] == NEW
    assert active(*orders, back, back, back, sound=sound)["chest"] == NEW


def test_a_chosen_version_that_is_gone_leaves_nobody_to_decide():
    """Falling back by itself would decide by a model that a person had replaced."""
    assert active(act(OLD), sound=SOUND - {OLD})["chest"] is None
    assert roles([act(OLD)], SHIPPED, SOUND - {OLD}).deciding == (OTHER,)


def test_a_shadow_runs_beside_and_ends_when_it_decides_or_is_gone():
    look = Order("model-shadow", OLD, 0.25)
    assert roles([look], SHIPPED, SOUND).shadows == {OLD: 0.25}
    assert roles([look, Order("model-shadow", OLD, 0.5)], SHIPPED, SOUND).shadows == {OLD: 0.5}
    assert roles([look, Order("model-shadow", OLD, 0.0)], SHIPPED, SOUND).shadows == {}
    assert roles([look, act(OLD)], SHIPPED, SOUND).shadows == {}
    assert roles([look], SHIPPED, SOUND - {OLD}).shadows == {}
    assert roles([Order("model-shadow", NEW)], SHIPPED, SOUND).shadows == {}


def test_stop_and_resume():
    stop, resume = Order("model-stop", "chest"), Order("model-resume", "chest")
    assert roles([stop], SHIPPED, SOUND).stopped == {"chest"}
    assert roles([stop, act(OLD)], SHIPPED, SOUND).stopped == {"chest"}
    assert roles([stop, resume], SHIPPED, SOUND).stopped == frozenset()
    assert roles([Order("model-stop", OLD), stop, resume], SHIPPED, SOUND).stopped == {OLD}


@pytest.mark.parametrize(
    ("order", "before", "why"),
    [
        (act("chest/9.9.9"), (), "unknown"),
        (act(NEW), (), "nothing"),
        (act(OLD), (), None),
        (Order("model-rollback", "chest"), (), "nothing"),
        (Order("model-rollback", "chest"), (act(OLD),), None),
        (Order("model-rollback", "nobody"), (), "nothing"),
        (Order("model-shadow", "chest/9.9.9"), (), "unknown"),
        (Order("model-shadow", OLD, 0.0), (), "nothing"),
        (Order("model-shadow", OLD, 0.0), (Order("model-shadow", OLD),), None),
        (Order("model-resume", "chest"), (), "nothing"),
        (Order("model-resume", "chest"), (Order("model-stop", "chest"),), None),
        (Order("model-stop", "chest"), (), None),
        (Order("model-stop", "nobody"), (), None),
    ],
)
def test_what_is_carried_out(order: Order, before: tuple[Order, ...], why: str | None):
    assert why_not(order, before, SHIPPED, SOUND) == why


def test_a_rollback_to_what_is_gone_is_refused():
    assert why_not(Order("model-rollback", "chest"), [act(OLD)], SHIPPED, SOUND - {NEW}) == "unknown"


TITLES = st.sampled_from([*SHIPPED, "chest/2.0.0", "gone/1.0.0"])
ORDERS = st.builds(
    lambda kind, title, share: Order(
        kind, title.partition("/")[0] if kind == "model-rollback" else title, share if kind == "model-shadow" else 1.0
    ),
    st.sampled_from(ORDER_KINDS),
    TITLES,
    st.sampled_from([0.0, 0.1, 1.0]),
)


@given(st.lists(ORDERS, max_size=30), st.sets(TITLES))
def test_whatever_is_ordered_only_sound_models_run_and_stops_hold(orders: list[Order], sound: set[str]):
    now = roles(orders, [title for title in SHIPPED if title in sound], sound)
    assert set(now.deciding) <= sound
    assert set(now.shadows) <= sound - set(now.deciding)
    assert len({title.partition("/")[0] for title in now.deciding}) == len(now.deciding)
    for place, order in enumerate(orders):
        later = [each for each in orders[place + 1 :] if each.kind == "model-resume" and each.subject == order.subject]
        if order.kind == "model-stop" and not later:
            assert order.subject in now.stopped


@given(st.lists(ORDERS, max_size=20), ORDERS)
def test_an_order_that_is_not_carried_out_would_have_changed_nothing_that_decides(orders: list[Order], more: Order):
    if why_not(more, orders, SHIPPED, SOUND) == "nothing":
        now, then = roles(orders, SHIPPED, SOUND), roles([*orders, more], SHIPPED, SOUND)
        assert now.active == then.active
        assert now.stopped == then.stopped


@pytest.mark.parametrize(
    ("kind", "subject", "share"),
    [
        ("model-activate", "chest", 1.0),
        ("model-shadow", "chest", 1.0),
        ("model-rollback", OLD, 1.0),
        ("model-stop", "chest", 0.5),
        ("model-stop", "", 1.0),
        ("model-stop", "Chest", 1.0),
        ("model-stop", "chest/1.0", 1.0),
        ("model-activate", "../chest/1.0.0", 1.0),
        ("model-shadow", OLD, 1.5),
        ("model-shadow", OLD, float("nan")),
    ],
)
def test_malformed_orders(kind: OrderKind, subject: str, share: float):
    assert why_malformed(Order(kind, subject, share)) is not None
    with pytest.raises(ValidationError):
        signed_command(Order(kind, subject, share), device="*", issued_at=0, nonce="0" * 32, private=SECRET)


def test_a_share_is_a_share_and_the_same_study_is_answered_the_same():
    studies = [f"1.2.3.{number}" for number in range(4000)]
    seen = [in_share(OLD, study, 0.1) for study in studies]
    assert 300 < sum(seen) < 500
    assert seen == [in_share(OLD, study, 0.1) for study in studies]
    assert all(in_share(OLD, study, 1.0) for study in studies)
    assert not any(in_share(OLD, study, 0.0) for study in studies)
    assert all(in_share(OLD, study, 0.3) for study, was in zip(studies, seen, strict=True) if was)


# Over the wire


def command(kind: OrderKind = "model-stop", **changed: object) -> Command:
    told = {"device": "appliance-1", "issued_at": 1000, "nonce": "a" * 32, "private": SECRET, **changed}
    return signed_command(Order(kind, "chest"), **told)  # type: ignore[arg-type]


def believed(told: Command, now: float = 1000.0, device: str = "appliance-1") -> str | None:
    return why_not_believed(told, trusted=TRUSTED, device=device, now=now)


def test_a_signed_order_is_believed_by_whom_it_is_for_and_in_its_time():
    assert believed(decode(Command, encode(command()))) is None
    assert believed(command(device="*"), device="any-other") is None
    assert believed(command(), device="any-other") == "other-device"
    for now, why in (
        (1000 + AGE_MAX_S, None),
        (1001 + AGE_MAX_S, "stale"),
        (1000 - AHEAD_MAX_S, None),
        (999 - AHEAD_MAX_S, "stale"),
    ):
        assert believed(command("model-resume"), now=now) == why
        assert believed(command("model-stop"), now=now) is None, "no clock outlives a kill switch"
    assert believed(command(private=bytes(32))) == "forged"


@given(st.data())
def test_a_changed_order_is_not_believed(data: st.DataObject):
    plain = json.loads(encode(command()))
    changes = {
        "command": "model-resume",
        "model": "head",
        "device": "*",
        "issued_at": 1001,
        "nonce": "b" * 32,
        "signature": {"key_id": plain["signature"]["key_id"], "signature": "0" * 128},
    }
    field = data.draw(st.sampled_from(sorted(changes)))
    assert believed(decode(Command, json.dumps({**plain, field: changes[field]}).encode())) == "forged"


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_of_an_order_is_never_believed(place: int, flip: int):
    data = bytearray(encode(command()))
    data[place % len(data)] ^= flip
    try:
        told = decode(Command, bytes(data))
    except Quarantined:
        return
    assert believed(told) == "forged"


# Signatures


def test_a_signature_holds_for_its_bytes_and_its_key_alone():
    made = sign(SECRET, b"papers")
    assert verified(b"papers", made, TRUSTED)
    assert not verified(b"papers.", made, TRUSTED)
    assert not verified(b"papers", made, {})
    assert not verified(b"papers", None, TRUSTED)
    assert not verified(b"papers", made, {made.key_id: b"short"})
    other = public_of(bytes(32))
    assert not verified(b"papers", made, {made.key_id: other})
    assert not verified(b"papers", made, {key_id(other): other})


@given(st.integers(0, 63), st.integers(1, 255))
def test_a_changed_signature_holds_for_nothing(place: int, flip: int):
    made = sign(SECRET, b"papers")
    data = bytearray.fromhex(made.signature)
    data[place] ^= flip
    assert not verified(b"papers", made.model_copy(update={"signature": data.hex()}), TRUSTED)
