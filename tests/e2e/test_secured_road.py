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
from tests.simulate.house import tiny

REVOKED = "1.2.826.0.1.77.902"


class Secured(Processes):
    """A house whose appliance and centre meet at a production broker only."""

    def _centre(self) -> list[Child]:
        keys, self.workers_port = self.folder / "central-keys", free_port()
        enrol.here(self.config, keys)
        self.centre = Centre(keys, time.time())
        port, command = free_port(), [sys.executable, "-c", CENTRE]
        worker = ["run", "--state", str(self.central), "--keys", str(keys), "--tls"]
        worker += ["--broker", f"{HOST}:{self.workers_port}", "--endpoint", f"http://{HOST}:{port}/v1"]
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


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    settings = {"network": {"broker_tls": True}}
    with Secured(tmp_path_factory.mktemp("secured"), settings=settings, models=False) as house:
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


def test_a_worker_without_tls_does_not_dial_another_machine(tmp_path: Path) -> None:
    centre = Centre(tmp_path / "keys", time.time())
    centre.do("init")
    told = ["run", "--state", str(tmp_path), "--keys", str(centre.keys), "--broker", "broker.example:8884"]
    assert cli.main([*told, "--endpoint", "http://127.0.0.1:9/v1"]) == 78
