"""Seven days without a line: every hard study of a week is queued, then the line comes back.

    python -m tests.faults.seven_days [--days 7] [--a-day 500] [--workers 3] [--bulk-bytes 0] [--rate-bits-s 0]

The week goes by on a fast clock: the production classes of receive and triage take each study from the scanner's folder
to the wire on real files and databases, told by parameter that it is 173 s later each time. Then the real processes
start (the line still refuses), the line is mended, and the time runs until every study is answered, its bytes are let
go, and both sides agree. With --bulk-bytes one asked-for series of that size goes along: it must not delay a critical
case, and neither side may hold it in memory.
"""

import argparse
import hashlib
import os
import random
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

from appliance.core.document import URGENCIES
from appliance.core.enclosure import announced
from appliance.core.messages import partition
from appliance.core.transfer import Manifest, sealed_parts
from appliance.loop import Moment
from appliance.receive import Receive
from appliance.triage import Triage
from appliance.triage import judge as judging
from appliance.triage.looking import Court
from appliance.triage.post import Post
from appliance.world import sqlite, wire
from appliance.world.inference import Bench
from appliance.world.wire import freight
from central import store
from tests.faults.ledgers import scanned
from tests.faults.network import apart, is_root
from tests.faults.postgres import Postgres
from tests.faults.promises import judged
from tests.faults.town import Edge, Town

DAY_S = 86_400.0
MIB = 2**20
DRAIN_MAX_S = 3600.0
READ_BYTES = MIB
RECORDED_MAX = 64 * MIB
CRITICAL_SHARE, URGENT_SHARE = 0.02, 0.1


@dataclass(slots=True)
class Week:
    """What was queued, how it came home, and what that cost."""

    days: int
    studies: int = 0
    files: int = 0
    bulk_bytes: int = 0
    filled_s: float = 0.0
    drained_s: float = 0.0
    wire_bytes: int = 0
    state_bytes: int = 0
    after_bytes: int = 0
    line_bytes: int = 0
    messages: int = 0
    peak_rss: dict[str, int] = field(default_factory=dict)
    critical_first: str = ""
    broken: list[str] = field(default_factory=list)

    def table(self) -> str:
        rss = ", ".join(f"{name} {size // MIB} MiB" for name, size in sorted(self.peak_rss.items()))
        wire, state = self.wire_bytes / MIB, self.state_bytes / MIB
        lines = [
            "| | |",
            "|---|---|",
            f"| days without a line, studies, files | {self.days}, {self.studies}, {self.files} |",
            f"| an asked-for series beside them | {self.bulk_bytes / MIB:.0f} MiB |",
            f"| queued: wire/, whole state folder | {wire:.1f} MiB, {state:.1f} MiB |",
            f"| filling on the fast clock | {self.filled_s:.0f} s |",
            f"| from the line's return to the last answer absorbed | {self.drained_s:.0f} s |",
            f"| over the line, both ways | {self.line_bytes / MIB:.1f} MiB, {self.messages} MQTT packets |",
            f"| per study | {self.line_bytes / max(self.studies, 1):.0f} bytes, "
            f"{self.messages / max(self.studies, 1):.1f} packets |",
            f"| wire/ afterwards | {self.after_bytes / MIB:.1f} MiB |",
            f"| peak memory (VmHWM) | {rss} |",
            f"| critical cases first | {self.critical_first} |",
            f"| violations | {len(self.broken)} |",
        ]
        return "\n".join([*lines, *(f"\n- {each}" for each in self.broken)])


def urgency_of(sop_instance_uid: str) -> str:
    """Drawn from the UID, so that the same study is as urgent whenever it is judged."""
    roll = hashlib.sha256(sop_instance_uid.encode()).digest()[0] / 256
    return URGENCIES[2 if roll < CRITICAL_SHARE else 1 if roll < CRITICAL_SHARE + URGENT_SHARE else 0]


REAL_JUDGE = judging.judge


def judged_urgent(court: object, instances: list[object], read: object, **named: object) -> judging.Judgement:
    """The production judge; only the urgency, which needs a model's finding, is drawn."""
    found = REAL_JUDGE(court, instances, read, **named)  # type: ignore[arg-type]
    urgency = urgency_of(instances[0].sop_instance_uid)  # type: ignore[attr-defined]
    return replace(found, decision=replace(found.decision, priority=urgency))  # type: ignore[arg-type]


def fill(edge: Edge, town: Town, week: Week, a_day: int) -> None:
    """The week, study by study, through the services' own steps."""
    config, places = edge.config, edge.places
    receive = Receive(config, places)
    key = (edge.folder / "site.key").read_bytes()
    triage = Triage(config, places, key, Court((), Bench(), config.site.name), post=Post(config))
    began, count = time.monotonic(), week.days * a_day
    gap_s, mono, wall = week.days * DAY_S / count, 1000.0, time.time() - week.days * DAY_S
    steps, all_steps = triage.steps(), {**receive.steps(), **triage.steps()}
    with mock.patch.object(judging, "judge", judged_urgent):
        for number in range(count):
            for scan, data in scanned(town.dice, 1, number):
                town.book.note(scan)
                path = edge.scanner / scan.name
                path.write_bytes(data)
                os.utime(path, (wall, wall))
            for _ in range(2):  # looked at twice before it is taken
                mono, wall = mono + gap_s / 4, wall + gap_s / 4
                for step in receive.steps().values():
                    step(Moment(wall, mono))
            for _ in range(2):
                mono, wall = mono + gap_s / 4, wall + gap_s / 4
                for name in ("admit", "assemble", "judge", "seal"):
                    steps[name](Moment(wall, mono))
            if number % 50 == 0:
                for step in all_steps.values():
                    step(Moment(wall, mono))
    for _ in range(20):
        mono, wall = mono + gap_s, wall + gap_s
        for step in all_steps.values():
            step(Moment(wall, mono))
    triage.close()
    week.studies, week.files = len({scan.study for scan in town.book.scans}), len(town.book.scans)
    week.filled_s = time.monotonic() - began


def add_series(edge: Edge, town: Town, size_bytes: int) -> None:
    """An asked-for series of random bytes, sealed as it streams; the centre's store is told that it asked."""
    engine = sqlite.open_writer(edge.places.cases_db, wire.CASES)
    with engine.connect() as c:
        case_id = wire.open_case_ids(c, "", 1)[0]
    transfer_id, key, digest, sealed = secrets.token_hex(16), secrets.token_bytes(32), hashlib.sha256(), 0
    partial, parts = edge.places.parts / f"{transfer_id}.partial", 0

    def pieces() -> Iterator[bytes]:
        left = size_bytes
        while left > 0:
            piece = os.urandom(min(READ_BYTES, left))
            left -= len(piece)
            yield piece

    with partial.open("wb") as file:
        for part in sealed_parts(pieces(), transfer_id=transfer_id, key=key):
            digest.update(part)
            parts, sealed = parts + 1, sealed + file.write(part)
        os.fsync(file.fileno())
    partial.rename(edge.places.parts / digest.hexdigest())
    manifest = Manifest(
        transfer_id=transfer_id,
        case_id=case_id,
        tier=2,
        urgency="routine",
        codec="tar+gzip",
        parts=parts,
        sealed_bytes=sealed,
        sha256=digest.hexdigest(),
        key=key.hex(),
    )
    sender = Post(edge.config).sender(Moment(time.time(), time.monotonic()))
    assert sender is not None
    with engine.begin() as c:
        freight.put_transfer(c, announced(manifest, sender), time.time())
    engine.dispose()
    far = store.open_store(town.store)
    asked = {"device_id": edge.name, "partition": int(partition(edge.name), 16), "case_id": case_id}
    with store.transaction(far) as c:
        c.execute(store.requests.insert().values(**asked, asked_at=time.time(), state="open"))
    far.dispose()


def series_arrived(edge: Edge) -> bool:
    engine = sqlite.open_reader(edge.places.link_db)
    with engine.connect() as c:
        done = c.execute(wire.passages.select().filter_by(tier=2, state="received")).first() is not None
    engine.dispose()
    return done


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def peak_rss(pid: int) -> int:
    """The most memory a process has held, bytes (proc(5), VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def week_without_a_line(
    folder: Path,
    *,
    days: int,
    a_day: int,
    workers: int = 3,
    bulk_bytes: int = 0,
    rate_bits_s: int = 0,
    postgres: Postgres | None = None,
) -> Week:
    week, record = Week(days, bulk_bytes=bulk_bytes), bulk_bytes <= RECORDED_MAX
    with Town(
        folder,
        appliances=1,
        workers=workers,
        shaped=is_root(),
        postgres=postgres,
        dice=random.Random(7),
        record=record,
    ) as town:
        (edge,) = town.edges
        assert edge.line is not None
        edge.line.refuse()
        fill(edge, town, week, a_day)
        if bulk_bytes:
            add_series(edge, town, bulk_bytes)
        week.wire_bytes, week.state_bytes = size_of(edge.places.wire), size_of(edge.places.root)
        town.wait_ready()
        before = town.states(1)
        assert set(before.values()) == {"escalated"}, "something was answered while the line was down"
        if rate_bits_s:
            edge.line.shape(rate_bits_s)
        edge.line.proxy.order(mode="pass")
        began = time.monotonic()
        peaks = {"uplink": (1, "uplink"), "triage": (1, "triage")}
        peaks |= {f"worker {number}": (0, f"worker-{number}") for number in range(1, workers + 1)}

        def home() -> bool:
            for name, where in peaks.items():
                process = town.child(*where).process
                week.peak_rss[name] = max(week.peak_rss.get(name, 0), peak_rss(process.pid) if process else 0)
            answered = set(town.states(1).values()) == {"answered"} and town.at_rest(1)
            return answered and (not bulk_bytes or series_arrived(edge))

        town.until(home, "the week did not come home", DRAIN_MAX_S)
        week.drained_s = time.monotonic() - began
        edge.fall()
        week.after_bytes = size_of(edge.places.wire)
        week.broken, heard = judged(town)
        week.line_bytes, week.messages = heard.stream_bytes, heard.packets
        if not record:
            week.critical_first = "not recorded: the series is too large to keep what went over the line"
            return week
        order = [manifest.urgency for manifest in heard.manifests.values() if manifest.tier != 2]
        last = max((place for place, word in enumerate(order) if word == "critical"), default=-1)
        others = sum(word != "critical" for word in order[: last + 1])
        week.critical_first = f"{order.count('critical')} critical, {others} others before the last of them"
        week.broken += ["a critical case had to wait"] if others else []
    return week


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--days", type=int, default=7)
    told.add_argument("--a-day", type=int, default=500)
    told.add_argument("--workers", type=int, default=3)
    told.add_argument("--bulk-bytes", type=int, default=0)
    told.add_argument("--rate-bits-s", type=int, default=0)
    told.add_argument("--postgres", action="store_true")
    options = told.parse_args()
    if is_root():
        apart()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="week-")))
        week = week_without_a_line(
            folder,
            days=options.days,
            a_day=options.a_day,
            workers=options.workers,
            bulk_bytes=options.bulk_bytes,
            rate_bits_s=options.rate_bits_s,
            postgres=stack.enter_context(Postgres()) if options.postgres else None,
        )
    print(week.table())
    raise SystemExit(bool(week.broken))


if __name__ == "__main__":
    main()
