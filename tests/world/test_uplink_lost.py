"""A transfer that the centre's disk lost: it alone is refused, another takes its place, and not for ever."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.core.messages import REFUSED_MAX, Refusal
from appliance.world import wire
from appliance.world.wire import freight
from tests.world.test_uplink import Sealed, World, down, put, receipt, rejects, run, sealed


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, 4)
    world.link.chance = None
    if not world.link.connected:
        world.link.connect()
    yield world
    world.close()


def refuse(edge: World, case: Sealed, code: str = "part-invalid") -> None:
    told = Refusal(case_id=case.case_id, transfer_id=case.way.transfer_id, code=code)
    edge.broker.send_down(*down("refusal", told))
    run(edge, "listen")


def state(edge: World, case: Sealed) -> str:
    with edge.cases.connect() as c, edge.uplink.ledger.connect() as own:
        return wire.wire_states(c, own)[case.case_id]


def anew(edge: World, case: Sealed, number: int) -> Sealed:
    """As triage mends it: the same document of the same case in another transfer; the old one is shed."""
    other = sealed(number)
    way = type(other.way)(
        **{name: getattr(other.way, name) for name in other.way.__slots__} | {"case_id": case.case_id}
    )
    (edge.places.parts / way.sha256).write_bytes(other.data)
    with edge.cases.begin() as c:
        freight.shed_transfer(c, case.way.transfer_id, edge.wall)
        freight.put_transfer(c, way, edge.wall)
    return Sealed(case.case_id, way, other.data)


def waiting(edge: World) -> set[str]:
    with edge.cases.connect() as c, edge.uplink.ledger.connect() as own:
        return {load.enclosed.transfer_id for load in freight.unsettled_transfers(c, own, edge.wall)}


def test_only_the_transfer_is_refused_and_the_case_goes_in_another(edge: World) -> None:
    case = put(edge, 1)
    run(edge)
    refuse(edge, case)
    assert state(edge, case) == "queued"
    assert waiting(edge) == set(), "what was refused is not sent again"
    with edge.uplink.ledger.connect() as c:
        assert freight.damaged_transfers(c) == [case.way.transfer_id], "triage is told"
        assert wire.fault_codes(c) == {case.case_id: "part-invalid"}
    made = anew(edge, case, 900)
    assert waiting(edge) == {made.way.transfer_id}
    edge.centre.cases[made.case_id] = receipt(made)
    edge.broker.send_down(*down("receipt", receipt(made)))
    run(edge, "listen")
    assert state(edge, case) == "received"
    assert rejects(edge) == []


def test_the_same_refusal_again_counts_once(edge: World) -> None:
    case = put(edge, 1)
    for _ in range(REFUSED_MAX + 1):
        refuse(edge, case)
    assert state(edge, case) == "queued"


def test_a_centre_that_loses_everything_ends_with_a_person(edge: World) -> None:
    case = put(edge, 1)
    for number in range(REFUSED_MAX):
        assert state(edge, case) in ("queued", "sending")
        refuse(edge, case)
        lost, case = case, anew(edge, case, 900 + number)
    assert state(edge, case) == "refused"
    assert waiting(edge) == set()
    with edge.uplink.ledger.connect() as c:
        assert freight.damaged_transfers(c) == [], "nothing is sealed anew of a refused case"
        assert wire.fault_codes(c) == {lost.case_id: "part-invalid"}


def test_any_other_refusal_is_of_the_case(edge: World) -> None:
    case = put(edge, 1)
    refuse(edge, case, "case-invalid")
    assert state(edge, case) == "refused"
