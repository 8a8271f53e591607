"""A disk that is full or fails in the middle of a write: taking stops and goes on, nothing is lost or set aside.

The space is really taken and given back, and writes really fail: by a large file beside the state folder, and by the
limit the kernel sets on the size of a file (setrlimit(2)). Both work for any user.
"""

import hashlib
import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from appliance.cli.reconcile import reconcile
from appliance.config import Config, Places
from appliance.errors import Unavailable
from appliance.loop import Moment, Step
from appliance.receive import Receive
from appliance.triage import MAKES_ROOM, RESERVE_SHARE, Triage
from appliance.triage.looking import Court
from appliance.world import archive, ledger, sqlite
from appliance.world.inference import Bench as Inference
from tests.correspondents import post
from tests.simulate.house import SITE_KEY
from tests.tiny import tiny

MARGIN_MIN_BYTES = 256 * 2**20  # what other tests may write or remove meanwhile; more where the disk has room
ROUNDS_MAX = 10


class Small:
    """A house of receive and triage in one folder, its clock, and a disk that can be filled.

    reserve_share  what the service under test divides the reserve by: its limit lies a margin below what is free
    """

    def __init__(self, root: Path, reserve_share: int) -> None:
        self.places, self.scanner, self.filler = Places(root / "state"), root / "scanner", root / "filler"
        self.scanner.mkdir()
        free = archive.free_bytes(root)
        assert free > 4 * MARGIN_MIN_BYTES, "the tests need a gibibyte"
        self.margin = max(MARGIN_MIN_BYTES, min(free // 8, 4 * MARGIN_MIN_BYTES))
        plain = Config.model_validate(
            {
                "receive": {"watched_folder": str(self.scanner), "settle_s": 0.1, "rescan_period_s": 0.1},
                "triage": {"quiet_period_s": 1.5, "quiet_period_with_evidence_s": 1.5},
            }
        )
        reserve = {"disk_reserve_bytes": reserve_share * (free - self.margin)}
        self.low = plain.model_copy(update={"receive": plain.receive.model_copy(update=reserve)})
        self.plain = plain.model_copy(
            update={"receive": plain.receive.model_copy(update={"disk_reserve_bytes": 2**20})}
        )
        self.mono = 100.0

    def fill(self) -> None:
        with self.filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 2 * self.margin)

    def free(self) -> None:
        self.filler.unlink()

    def drop(self, number: int) -> bytes:
        data = tiny(f"1.2.826.0.1.79.{number}", 1, f"PAT-{number}", "MR", number)
        path = self.scanner / f"{number}.dcm"
        path.write_bytes(data)
        os.utime(path, (self.mono, self.mono))  # long ago: what was written this moment may still be written to
        return data

    def turn(self, steps: dict[str, Step]) -> None:
        """One round of a service, a second after the last one."""
        self.mono += 1.0
        for step in steps.values():
            step(Moment(1_700_000_000.0 + self.mono, self.mono))

    def take_all(self) -> None:
        """Receive, with plenty of room, takes whatever lies in the scanner's folder."""
        service = Receive(self.plain, self.places)
        for _ in range(3):
            self.turn(service.steps())
        assert not self.in_folder()

    def triage(self, config: Config) -> Triage:
        return Triage(config, self.places, SITE_KEY, Court((), Inference(), "no site"), post=post(config))

    def in_folder(self) -> set[str]:
        return {path.name for path in self.scanner.iterdir() if path.is_file()}

    def incoming(self) -> set[str]:
        return {path.name for path in self.places.incoming.iterdir()}

    def states(self) -> dict[str, str]:
        engine = sqlite.open_reader(self.places.studies_db)
        with engine.connect() as c:
            found = {row.study_instance_uid: row.state for row in c.execute(select(ledger.studies))}
        engine.dispose()
        return found


@pytest.fixture
def receiving(tmp_path: Path) -> Small:
    return Small(tmp_path, 1)


@pytest.fixture
def triaging(tmp_path: Path) -> Small:
    return Small(tmp_path, RESERVE_SHARE)


@contextmanager
def writes_fail_after(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond a size: a write fails part way, as on a full disk (EFBIG; Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def named(data: bytes) -> str:
    return f"{hashlib.sha256(data).hexdigest()}.dcm"


def test_receive_stops_while_the_disk_is_low_and_goes_on_by_itself(
    receiving: Small, caplog: pytest.LogCaptureFixture
) -> None:
    service = Receive(receiving.low, receiving.places)
    first = receiving.drop(1)
    for _ in range(3):
        receiving.turn(service.steps())
    assert receiving.incoming() == {named(first)}

    receiving.fill()
    waiting = [receiving.drop(2), receiving.drop(3)]
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            receiving.turn(service.steps())
    assert receiving.in_folder() == {"2.dcm", "3.dcm"}, "a file was taken or lost on a full disk"
    assert receiving.incoming() == {named(first)}
    assert [record.message.split(":")[0] for record in caplog.records] == ["disk-low"], "said once, not every round"

    receiving.free()
    for _ in range(3):
        receiving.turn(service.steps())
    assert receiving.in_folder() == set()
    assert receiving.incoming() == {named(data) for data in (first, *waiting)}


def test_triage_holds_still_while_the_disk_is_low_and_sets_nothing_aside(triaging: Small) -> None:
    first, second = triaging.drop(1), triaging.drop(2)
    triaging.take_all()
    service = triaging.triage(triaging.low)
    triaging.turn({"admit": service.steps()["admit"]})
    before = triaging.states()
    assert set(before.values()) == {"received"}
    third = triaging.drop(3)
    triaging.take_all()

    triaging.fill()
    # What makes room goes on.
    goes_on = {"trim", "shed", "ballast", *MAKES_ROOM}
    for name, step in [(name, step) for name, step in service.steps().items() if name not in goes_on]:
        for _ in range(20):
            with pytest.raises(Unavailable) as said:
                triaging.turn({name: step})
            assert said.value.code == "disk-low"
    assert triaging.states() == before
    assert triaging.incoming() == {named(third)}

    triaging.free()
    for _ in range(5):
        triaging.turn(service.steps())
    service.close()
    assert set(triaging.states().values()) == {"escalated"}
    assert len(triaging.states()) == len({first, second, third})
    assert all(check.holds for check in reconcile(triaging.places, deep=True)[0])


def test_a_write_that_fails_half_way_leaves_the_file_with_the_scanner(
    receiving: Small, caplog: pytest.LogCaptureFixture
) -> None:
    service = Receive(receiving.plain, receiving.places)
    large = bytes(128) + b"DICM" + bytes(range(256)) * 4096
    (receiving.scanner / "large.dcm").write_bytes(large)
    small = receiving.drop(1)
    with writes_fail_after(256 * 1024), caplog.at_level(logging.WARNING):
        for _ in range(10):
            receiving.turn(service.steps())
    assert receiving.in_folder() == {"large.dcm"}
    assert receiving.incoming() == {named(small)}, "half a file was left, or the small one had to wait"
    said = {record.message for record in caplog.records}
    assert said == {"receive.take: disk-low"}
    for _ in range(3):
        receiving.turn(service.steps())
    assert receiving.in_folder() == set()
    assert receiving.incoming() == {named(small), named(large)}
    assert (receiving.places.incoming / named(large)).read_bytes() == large


def test_a_ledger_that_cannot_be_written_ends_triage_and_costs_no_study(triaging: Small) -> None:
    """The service ends, its supervisor starts it again; once there is room it finishes what lies there.

    Every step that writes meets the failing disk once, at the moment when it would write.
    """
    triaging.drop(1)
    triaging.take_all()
    service = triaging.triage(triaging.plain)
    ended: set[str] = set()
    for name in list(service.steps()) * ROUNDS_MAX:
        try:
            with writes_fail_after(0) if name not in ended else nullcontext():
                triaging.turn({name: service.steps()[name]})
        except OperationalError:
            ended.add(name)
            service.close()
            service = triaging.triage(triaging.plain)
        triaging.turn({name: service.steps()[name]})
        if set(triaging.states().values()) == {"escalated"}:
            break
    service.close()
    assert set(triaging.states().values()) == {"escalated"}
    assert ended >= {"admit", "assemble", "judge", "seal"}, "the failing writes hit nothing"
    assert all(check.holds for check in reconcile(triaging.places, deep=True)[0])
