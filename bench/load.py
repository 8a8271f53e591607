"""How many cases a second the centre takes with how many workers, how long a study waits, and whether anybody starves.

    python -m bench.load [--workers 1,2,4] [--appliances 50] [--cases 4] [--latency-s 0.5] [--studies 60]

Two measurements. First, simulated appliances (a plain MQTT client each, the wire as the edge speaks it, one key image a
case) send all their cases at once to a real broker and real workers, whose model takes a fixed time; counted are
verdicts delivered. Second, one real appliance takes studies at a steady pace; the times are those its own ledger
bears. The answer is appended to bench/RESULTS.md with command, machine and n.
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select

from appliance.core.messages import Delivery, Taken, topic_down
from appliance.world import ledger, sqlite
from appliance.world.broker import die_with
from tests.central.centre_samples import a_picture, enrol, heard, letter_up, parcel
from tests.faults.postgres import Postgres
from tests.faults.processes import free_port
from tests.faults.town import Town

RESULTS = Path(__file__).with_name("RESULTS.md")
PICTURE_SIDE_PX = 200  # of noise, which no codec makes small: some 40 KiB, as a real key image of 896 px has
PATIENCE_S = 600.0
PACE_S = 1.0
SHARES, SUBSCRIBING_S = 4, 2.0


@dataclass
class Simulated:
    """One appliance as the broker sees it."""

    name: str
    sent_at: dict[str, float] = field(default_factory=dict)
    told_at: dict[str, float] = field(default_factory=dict)
    sent_bytes: int = 0
    client: Any = None

    def connect(self, port: int) -> None:
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.name, protocol=mqtt.MQTTv5)
        self.client.on_message = self._heard
        self.client.connect("127.0.0.1", port)
        for kind in ("receipt", "verdict"):
            self.client.subscribe(topic_down(self.name, kind), qos=1)
        self.client.loop_start()

    def send(self, messages: list[tuple[str, bytes]], case_id: str) -> None:
        self.sent_at[case_id] = time.monotonic()
        for topic, payload in messages:
            self.client.publish(topic, payload, qos=1)
            self.sent_bytes += len(payload)

    def _heard(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        said = heard(message.topic, message.payload, self.name)
        if isinstance(said, Delivery):
            self.told_at.setdefault(said.case_id, time.monotonic())
            self.client.publish(*letter_up("taken", Taken(case_id=said.case_id, rev=said.rev), self.name), qos=1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def percentiles(values: list[float]) -> str:
    ordered = sorted(values)
    return ", ".join(f"{ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]:.2f}" for p in (50, 95, 99))


def fairness(shares: list[float]) -> float:
    """Jain's index: 1 where all have the same, 1/n where one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares)) if any(shares) else 0.0


def held(town: Town) -> bool:
    """Whether somebody holds each share."""
    return len({line.split()[-1] for line in town.log_lines() if "holds centre-" in line}) == SHARES


def cpu_s(process: "Popen[bytes] | None") -> float:
    """What a process has used of processors, its threads included, in seconds (proc_pid_stat(5))."""
    assert process is not None, "a worker ended"
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def model(latency_s: float, *more: str) -> tuple[Popen[bytes], str]:
    port = free_port()
    command = [sys.executable, "-m", "bench.fixed_latency", "--port", str(port), "--latency-s", str(latency_s), *more]
    child = Popen(command, stdout=DEVNULL, preexec_fn=die_with(os.getpid()), start_new_session=True)
    return child, f"http://127.0.0.1:{port}/v1"


def by_workers(workers: int, appliances: int, cases: int, latency_s: float, store: str) -> str:
    """One row: all cases at once, until every one has its verdict."""
    folder, (child, endpoint) = Path(tempfile.mkdtemp(prefix="load-")), model(latency_s)
    devices = [Simulated(f"site-{number:03d}") for number in range(appliances)]
    postgres = Postgres() if store == "postgres" else None
    if postgres is not None:
        postgres.start()
    try:
        with Town(folder, appliances=0, workers=workers, endpoint=endpoint, postgres=postgres) as town:
            enrol(town.keys, *(device.name for device in devices))
            pictures = (a_picture(1, side=PICTURE_SIDE_PX, suffix=".jpg"),)
            parcels = {
                device.name: [
                    parcel(number * 1000 + place, device_id=device.name, key_images=pictures, frames=1)
                    for place in range(cases)
                ]
                for number, device in enumerate(devices)
            }
            for device in devices:
                device.connect(town.port)
            town.until(lambda: held(town), "not every share is held")  # this measures the work, not the start
            town.pass_time(SUBSCRIBING_S)
            spent = sum(cpu_s(town.child(0, f"worker-{n}").process) for n in range(1, workers + 1))
            began = time.monotonic()
            for place in range(cases):
                for device in devices:
                    made = parcels[device.name][place]
                    device.send(made.messages, made.case_id)
            halfway: list[float] = []

            def done() -> bool:
                told = sum(len(device.told_at) for device in devices)
                if not halfway and told * 2 >= appliances * cases:
                    halfway.extend(float(len(device.told_at)) for device in devices)
                return told >= appliances * cases

            town.until(done, "not every case has its verdict", PATIENCE_S)
            spent = sum(cpu_s(town.child(0, f"worker-{n}").process) for n in range(1, workers + 1)) - spent
            took = max(max(device.told_at.values()) for device in devices) - began
        waits = [device.told_at[name] - at for device in devices for name, at in device.sent_at.items()]
        means = [sum(device.told_at[n] - at for n, at in device.sent_at.items()) / cases for device in devices]
        count, size = len(waits), sum(device.sent_bytes for device in devices)
        ideal = workers * 2 / latency_s
        return (
            f"| {store} | {workers} | {appliances} | {count} | {count / took:.1f} | {ideal:.1f} | {percentiles(waits)} "
            f"| {fairness(halfway):.3f} | {fairness(means):.3f} | {size / count / 1024:.1f} "
            f"| {1000 * spent / count:.0f} |"
        )
    finally:
        for device in devices:
            if device.client is not None:
                device.close()
        if postgres is not None:
            postgres.__exit__(None, None, None)
        child.kill()
        child.wait()
        shutil.rmtree(folder, ignore_errors=True)


def one_appliance(studies: int, latency_s: float) -> list[str]:
    """From the scanner's file to the lane, and to the verdict absorbed; s, p50, p95, p99."""
    folder, (child, endpoint) = Path(tempfile.mkdtemp(prefix="load-")), model(latency_s)
    try:
        with Town(folder, appliances=1, workers=2, endpoint=endpoint) as town:
            town.wait_ready()
            town.pass_time(8.0)
            scanned: dict[str, float] = {}
            for _ in range(studies):
                before = len(town.book.scans)
                town.drop(1)
                scanned[town.book.scans[before].study] = time.time()
                town.pass_time(PACE_S)

            def done() -> bool:
                states = town.states(1)
                return len(states) == studies and set(states.values()) == {"answered"}

            town.until(done, "not every study is answered", PATIENCE_S)
            engine = sqlite.open_reader(town.edges[0].places.studies_db)
            with engine.connect() as c:
                uids = {row.number: row.study_instance_uid for row in c.execute(select(ledger.studies))}
                moves = list(c.execute(select(ledger.moves)))
            engine.dispose()
        rows = []
        for word, states in (("lane", ("hard", "routine")), ("verdict", ("answered",))):
            waits = [move.at - scanned[uids[move.study_number]] for move in moves if move.to_state in states]
            rows.append(f"| scan to {word} | {len(waits)} | {percentiles(waits)} |")
        return rows
    finally:
        child.kill()
        child.wait()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--workers", default="1,2,4")
    told.add_argument("--appliances", type=int, default=50)
    told.add_argument("--cases", type=int, default=4, help="of each appliance")
    told.add_argument("--latency-s", type=float, default=0.5)
    told.add_argument("--studies", type=int, default=60, help="of the one real appliance")
    told.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    options = told.parse_args()
    load = os.getloadavg()[0]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    how = f"The model takes {options.latency_s} s, two questions a worker at a time; appliances send all at once."
    columns = (
        "store",
        "workers",
        "appliances",
        "cases n",
        "cases a second",
        "at most (model)",
        "send to verdict s: p50, p95, p99",
        "Jain's index: verdicts at half-time",
        "mean waits",
        "KiB a case",
        "CPU ms a case, workers",
    )
    lines = [
        f"## make load ARGS='{' '.join(sys.argv[1:])}'",
        "",
        f"{machine}; load average when it began {load:.1f}. {how} Everything runs on this one machine.",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for workers in options.workers.split(","):
        lines.append(by_workers(int(workers), options.appliances, options.cases, options.latency_s, options.store))
        print(lines[-1], flush=True)
    pace = f"One appliance with all its services, a study every {PACE_S:.0f} s, no model package (every study is hard):"
    lines += [
        "",
        pace,
        "",
        "| from | n | s: p50, p95, p99 |",
        "|---|---|---|",
        *one_appliance(options.studies, options.latency_s),
    ]
    print("\n".join(lines))
    head = "" if RESULTS.exists() else "# What was measured, with what\n\nNewest last; every figure with its command.\n"
    with RESULTS.open("a") as file:
        file.write(head + "\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
