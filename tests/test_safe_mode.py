"""A wrong configuration and a damaged ledger: services come up, take images in, say what is wrong, clear nothing."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.cli import accepted
from appliance.config import Config, ConfigMistakes, Places
from appliance.errors import CATALOGUE, Misconfigured
from appliance.loop import Moment
from appliance.triage import integrity
from appliance.triage.lineup import Lineup
from appliance.world import ledger, sqlite
from appliance.world.models import SIGNATURE
from tests.core.drawn_graphs import net
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench
from tests.triage.test_forgetting import House
from tests.triage.test_salvage import emptied, torn
from tests.world.drawn_packages import trust, write

PATIENCE_S = 40.0
WRONG = '[triage]\nattempts_max = "many"\n[audit]\ncolour = "VALUE-NOT-SHOWN"\n'


class Machine:
    """A state folder with a study in it, a configuration that was accepted once, and services run by hand."""

    def __init__(self, root: Path) -> None:
        house = House(root)
        house.read()
        house.triage.close()
        self.root, self.places, self.config = root, house.places, root / "appliance.toml"
        self.scanner = root / "scanner"
        self.scanner.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (root / "site.key").write_bytes(os.urandom(32))
        self.good = (
            f'[state]\nfolder = "{self.places.root}"\nballast_bytes = 0\n'
            f'[review]\ntls = "off"\nport = {self.port}\n'
            f'[receive]\nwatched_folder = "{self.scanner}"\nsettle_s = 0.1\nrescan_period_s = 0.1\n'
            "disk_reserve_bytes = 0\n"
        )
        self.running: list[subprocess.Popen[bytes]] = []

    def key(self) -> str:
        return f'[triage]\nsite_key_file = "{self.root}/site.key"\n'

    def run(self, service: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "appliance", "--config", str(self.config), "run", service]
        with (self.root / f"{service}.log").open("ab") as log:
            self.running.append(subprocess.Popen(command, stdout=log, stderr=log))
        return self.running[-1]

    def ends(self, service: str) -> int:
        return self.run(service).wait(PATIENCE_S)

    def stop(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.terminate()
                process.wait(PATIENCE_S)
        self.running.clear()

    def page(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.read().decode()
        except OSError:
            return ""

    def until(self, what: Callable[[], object], name: str) -> None:
        end, pause = time.monotonic() + PATIENCE_S, threading.Event()
        while not what():
            assert time.monotonic() < end, f"{name}: {(self.root / f'{name}.log').read_text()[-2000:]}"
            pause.wait(0.1)

    def takes(self, number: int) -> None:
        """Receive takes a file in."""
        before = len(list(self.places.incoming.glob("*.dcm")))
        (self.scanner / f"{number}.dcm").write_bytes(tiny(UID, number, "PAT-1", "CR", 3))
        self.until(lambda: len(list(self.places.incoming.glob("*.dcm"))) > before, "receive")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine(tmp_path_factory.mktemp("safe"))
    made.config.write_text(made.good + made.key())
    for service in ("receive", "review"):
        made.run(service)
    made.takes(2)
    made.until(lambda: made.page("/sign-in"), "review")
    assert "config-invalid" not in made.page("/sign-in"), "all is well"
    made.stop()
    made.config.write_text(made.good + WRONG)
    torn(made.places.studies_db)
    for service in ("receive", "review"):
        made.run(service)
    yield made
    made.stop()


def test_with_a_wrong_configuration_and_a_torn_ledger_receive_takes_and_the_page_says_both(machine: Machine) -> None:
    machine.takes(3)
    machine.until(lambda: "ledger-damaged" in machine.page("/sign-in"), "review")
    said = machine.page("/sign-in")
    for told in ("config-invalid", "triage.attempts_max", "audit.colour", "ledger-damaged", "studies.db", "salvage"):
        assert told in said, told
    assert "VALUE-NOT-SHOWN" not in said, "a value may be a secret"
    assert "PAT-1" not in said


def test_triage_decides_nothing_meanwhile(machine: Machine) -> None:
    assert machine.ends("triage") == 78
    assert "triage.attempts_max" in (machine.root / "triage.log").read_text()
    machine.config.write_text(machine.good + machine.key())  # mended: the ledger is still torn
    assert machine.ends("triage") == 78
    assert "ledger-damaged" in (machine.root / "triage.log").read_text()


def test_who_never_accepted_a_configuration_has_nothing_to_go_on_with(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f'[state]\nfolder = "{tmp_path}/state"\n{WRONG}')
    for service in ("receive", "review", "triage", "uplink", "deliver"):
        with pytest.raises(ConfigMistakes):
            accepted.configuration(service, path)


@pytest.mark.parametrize("broken", ["[state\n", "nothing = = ", WRONG])
def test_the_last_accepted_one_is_found_whatever_is_wrong(tmp_path: Path, broken: str) -> None:
    path, state = tmp_path / "a.toml", tmp_path / "state"
    good = f'[state]\nfolder = "{state}"\n[site]\nname = "harbour"\n'
    path.write_text(good)
    accepted.configuration("review", path)
    accepted.configuration("triage", path)
    path.write_text(good + broken)
    config, mistakes = accepted.configuration("review", path)
    assert config.site.name == "harbour"
    assert mistakes
    with pytest.raises(ConfigMistakes):
        accepted.configuration("triage", path)
    with pytest.raises(ConfigMistakes):
        accepted.configuration("receive", path)  # it has its own room, and accepted none


def test_on_a_full_disk_the_file_stays_with_the_scanner_and_every_page_says_why(tmp_path: Path) -> None:
    """The reserve is larger than any disk: to a service that is the same as a full one."""
    full = Machine(tmp_path)
    try:
        full.config.write_text(
            full.good.replace("disk_reserve_bytes = 0", f"disk_reserve_bytes = {2**40}") + full.key()
        )
        for service in ("receive", "review"):
            full.run(service)
        (full.scanner / "9.dcm").write_bytes(tiny(UID, 9, "PAT-1", "CR", 3))
        full.until(lambda: "disk-low" in full.page("/sign-in"), "review")
        full.until(lambda: "disk-low" in (full.root / "receive.log").read_text(), "receive")
        assert CATALOGUE["disk-low"].hint in full.page("/sign-in")
        assert (full.scanner / "9.dcm").exists(), "the scanner keeps it"
        assert not list(full.places.incoming.glob("*.dcm"))
        full.stop()
        full.config.write_text(full.good + full.key())  # the disk has room again
        full.run("receive")
        full.until(lambda: list(full.places.incoming.glob("*.dcm")), "receive")
    finally:
        full.stop()


def test_what_an_unsigned_model_covered_is_escalated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path)
    root = bench.places.root.parent
    package = write(root / "shipped", "chest", "1.1.0", graphs={"model.onnx": net()})
    told = {"model_folder": root / "shipped", "trusted_keys": trust(root / "trusted")}
    lineup = Lineup(Config.model_validate({"triage": told}), Places(root / "beside"), bench.triage.engine)
    try:
        assert [each.manifest.title for each in lineup.court.models] == ["chest/1.1.0"]
        (package / SIGNATURE).unlink()
        lineup.look(Moment(1e6, 1e6))
        assert lineup.court.models == ()
        assert "model-unsigned" in caplog.text
        bench.start(lineup.court)
        bench.put(tiny(UID, 1, "PAT-1", "CR", 3))
        bench.step(passed=0.0)
        bench.step(passed=60.0)
        assert (bench.study().state, bench.result().lane) == ("escalated", "escalated")
    finally:
        lineup.close()
        bench.triage.close()


def test_a_damaged_ledger_is_seen_before_it_is_opened_and_within_the_week(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.read()
    integrity.look(house.places)
    weekly = integrity.Integrity(house.places)
    weekly.tend(Moment(0, 0))
    weekly.tend(Moment(0, integrity.PERIOD_S + 1))
    assert weekly.reading is not None
    weekly.reading.join()
    weekly.tend(Moment(0, integrity.PERIOD_S + 2))
    house.triage.close()
    orphan(house.places)
    weekly.tend(Moment(0, 2 * integrity.PERIOD_S + 3))
    weekly.reading.join()
    with pytest.raises(Misconfigured, match="ledger-damaged"):
        weekly.tend(Moment(0, 2 * integrity.PERIOD_S + 4))
    emptied(house.places.studies_db)
    with pytest.raises(Misconfigured, match="ledger-damaged"):
        integrity.look(house.places)


def orphan(places: Places) -> None:
    """An image of a study that is not there: every page is sound, and the book is not."""
    engine = sqlite.open_reader(places.studies_db)
    with engine.connect() as c:
        c.exec_driver_sql("PRAGMA query_only = OFF")
        c.exec_driver_sql("PRAGMA foreign_keys = OFF")
        c.execute(ledger.instances.update().values(study_number=999))
        c.commit()
    engine.dispose()
