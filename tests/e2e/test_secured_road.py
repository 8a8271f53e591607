"""The road between two houses: enrolled by both commands, TLS on both sides, a mosquitto in production form between."""

import io
import json
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from enrolled import HOST, Centre, free_port, production

from appliance.cli import enrol
from appliance.cli.up import Child
from central import cli
from tests.faults.processes import CENTRE, Processes
from tests.tiny import tiny

REVOKED = "1.2.826.0.1.77.902"


class Secured(Processes):
    """A house whose appliance and centre meet at a production broker only.

    beyond  the workers' ports of further brokers, to which this house's worker listens as well
    """

    def __init__(self, folder: Path, device: str, *, beyond: tuple[int, ...] = ()) -> None:
        self.workers_port, self.beyond = free_port(), beyond
        super().__init__(
            folder, settings={"network": {"broker_tls": True}, "site": {"device_id": device}}, models=False
        )

    def _enrol(self, keys: Path) -> None:
        enrol.here(self.config, keys)

    def _centre(self) -> list[Child]:
        keys = self.folder / "central-keys"
        self.centre = Centre(keys, time.time())
        port, command = free_port(), [sys.executable, "-c", CENTRE]
        worker = ["run", "--state", str(self.central), "--keys", str(keys), "--tls"]
        worker += ["--endpoint", f"http://{HOST}:{port}/v1"]
        for each in (self.workers_port, *self.beyond):
            worker += ["--broker", f"{HOST}:{each}"]
        return [
            Child("no-model", [*command, "no-model", "--port", str(port)], watched=False),
            Child("central", [*command, *worker], watched=False),
        ]

    def come(self, name: str, *, wiped: bool = False) -> None:
        if name != "broker":
            super().come(name, wiped=wiped)
            return
        ports = (self.port, self.workers_port)
        self.pipe = production(self.centre, self.folder / "broker", ports=ports)  # type: ignore[assignment]


class Branch(Secured):
    """A second house with a broker of its own; the centre is the first house's."""

    def __init__(self, folder: Path, device: str, port: int, centre: Centre) -> None:
        self.elsewhere = centre, port
        super().__init__(folder, device)

    def _enrol(self, keys: Path) -> None:
        enrol.here(self.config, self.elsewhere[0].keys)

    def _centre(self) -> list[Child]:
        self.centre, self.workers_port = self.elsewhere
        return []


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with Secured(tmp_path_factory.mktemp("secured"), "unit-1") as house:
        house.wait_ready()
        yield house


def test_a_case_is_answered_over_tls(road: Secured) -> None:
    study = "1.2.826.0.1.77.901"
    road.drop("901.dcm", tiny(study, 1, "PAT-901", "MR", 901))
    road.until(lambda: road.states().get(study) == "answered", "no answer over TLS")
    road.until(road.at_rest, "not at rest")


def test_from_a_revoked_appliance_nothing_more_is_taken(road: Secured) -> None:
    """Its connection still stands, and the broker still passes on what it says: the centre alone refuses."""
    before = cases_at_the_centre(road)
    assert before >= 1
    assert road.centre.do("revoke", road.config.site.device_id)[0] == 0
    road.drop("902.dcm", tiny(REVOKED, 1, "PAT-902", "MR", 902))
    road.until(lambda: bool(road.sent(times=2).intersection(road.open_cases())), "the case is not sent again")
    assert road.states()[REVOKED] == "escalated"
    assert cases_at_the_centre(road) == before


def cases_at_the_centre(road: Secured) -> int:
    """How many the centre holds, whatever became of them."""
    said = io.StringIO()
    with redirect_stdout(said):
        assert cli.main(["status", "--state", str(road.central), "--json"]) == 0
    told = json.loads(said.getvalue())
    return sum(told[state] for state in ("received", "asked", "answered", "refused"))


def test_one_worker_serves_two_brokers(tmp_path: Path) -> None:
    """Sharding by site: each house has a broker of its own, and one worker listens at both."""
    port = free_port()
    with Secured(tmp_path / "a", "unit-a", beyond=(port,)) as first:
        first.wait_ready()
        with Branch(tmp_path / "b", "unit-b", port, first.centre) as second:
            for house, study, number in ((first, "1.2.826.0.1.77.903", 903), (second, "1.2.826.0.1.77.904", 904)):
                house.drop(f"{number}.dcm", tiny(study, 1, f"PAT-{number}", "MR", number))
                house.until(lambda: house.states().get(study) == "answered", f"no answer at {house.folder.name}")  # noqa: B023
            assert cases_at_the_centre(first) == 2


def test_a_worker_without_tls_does_not_dial_another_machine(tmp_path: Path) -> None:
    centre = Centre(tmp_path / "keys", time.time())
    centre.do("init")
    told = ["run", "--state", str(tmp_path), "--keys", str(centre.keys), "--broker", "broker.example:8884"]
    assert cli.main([*told, "--endpoint", "http://127.0.0.1:9/v1"]) == 78
