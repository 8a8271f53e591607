"""Row: the wire. Small messages beside a broker and a client as they come, and parts over a thin line.

Ours is world.mqtt.Link to a broker that sends at once (`set_tcp_nodelay`, docs/brokers.md); beside it stands plain paho
at a mosquitto without that line. The thin line is shaped by the kernel in a namespace of its own, which needs root.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from subprocess import DEVNULL

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from appliance.core.link import Acknowledged, Up
from appliance.core.schedule import Window
from appliance.core.transfer import PART_BYTES
from appliance.world import broker
from appliance.world.mqtt import Link
from bench.table.measured import Figure, How, Row, child
from tests.faults.network import Gate, Line, apart, is_root
from tests.faults.processes import free_port

NAME = "wire"
SMALL_BYTES, IN_FLIGHT = 2048, 16
RATE_BITS_S = 512_000
PATIENCE_S = 120.0
URGENT = "urgent"
BULK = 16  # parts handed over before an urgent case is due


def measure(how: How) -> Row:
    if shutil.which("mosquitto", path="/usr/sbin:/usr/bin") is None:
        return Row(NAME, missing=dict.fromkeys(("small", "thin-line", "preemption-s"), "mosquitto is not installed"))
    count, missing = how.count(100, 300), dict[str, str]()
    rates: dict[str, list[float]] = {"ours": [], "paho, broker as it comes": []}
    for repeat in range(how.repeats):
        rates["ours"].append(_ours(how.folder / f"wire-{repeat}", count))
        rates["paho, broker as it comes"].append(_plain(how.folder / f"plain-{repeat}", count))
    ratios = tuple(mine / theirs for mine, theirs in zip(*rates.values(), strict=True))
    beside = {name: f"{sorted(found)[len(found) // 2]:.0f}/s" for name, found in rates.items()}
    figures = [
        Figure("small", f"{SMALL_BYTES} bytes, QoS 1, {IN_FLIGHT} in flight: ours / as it comes", ratios, "x", beside)
    ]
    if is_root():
        thin = [child(how, "-m", "bench.table.wire", str(how.count(8, 24))) for _ in range(how.count(1, 3))]
        shares, waits = (tuple(each[name] for each in thin) for name in ("share", "waits_s"))
        figures.append(Figure("thin-line", "parts over 512 kbit/s: payload / what the line carries", shares, "x"))
        figures.append(
            Figure("preemption-s", "an urgent case's first message, due amid parts: until there", waits, "s")
        )
    else:
        missing = dict.fromkeys(("thin-line", "preemption-s"), "shaping a line needs root")
    return Row(NAME, tuple(figures), missing=missing)


def _ours(folder: Path, count: int) -> float:
    pipe = broker.start(folder, 0, "mosquitto")
    try:
        return count / sent(pipe.port, count, SMALL_BYTES)
    finally:
        pipe.stop()


def sent(port: int, count: int, size: int) -> float:
    """Seconds until every message is acknowledged."""
    wake = threading.Event()
    link = Link("127.0.0.1", port, "bench", (), 60, 0, wake)
    link.start()
    try:
        _until(link, wake, lambda events: any(isinstance(each, Up) for each in events))
        began, acknowledged, given = time.monotonic(), 0, 0
        while acknowledged < count:
            wake.clear()
            while given < count and link.publish("bench/up", bytes(size), token=given):
                given += 1
            acknowledged += sum(isinstance(each, Acknowledged) for each in link.poll())
            if acknowledged < count:
                assert wake.wait(PATIENCE_S), "no answer"
        return time.monotonic() - began
    finally:
        link.stop()


def preempted(port: int, size: int) -> float:
    """Seconds from when a small urgent message is due, amid parts that fill the line, until the broker has it.

    Handed over as uplink.sending does: the urgent first, no more bytes under way than core.schedule.Window lets.
    """
    wake = threading.Event()
    link, window = Link("127.0.0.1", port, "bench-urgent", (), 60, 0, wake), Window(2**20)
    under_way: dict[Hashable, float] = {}
    link.start()
    try:
        _until(link, wake, lambda events: any(isinstance(each, Up) for each in events))
        given, due, end = 0, 0.0, time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            wake.clear()
            for event in link.poll():
                if isinstance(event, Acknowledged):
                    now, handed = time.monotonic(), under_way.pop(event.token)
                    window = window.answered(size, now - handed, now)
                    if event.token == URGENT:
                        return now - due
            due = due or (time.monotonic() if given >= BULK else 0.0)
            if due and URGENT not in under_way and window.fits(SMALL_BYTES, size * len(under_way)):
                under_way[URGENT] = time.monotonic()
                assert link.publish("bench/up", bytes(SMALL_BYTES), token=URGENT), "the window of the connection"
            while window.fits(size, size * len(under_way)) and given < BULK + 100:
                under_way[given] = time.monotonic()
                assert link.publish("bench/up", bytes(size), token=given), "the window of the connection"
                given += 1
            wake.wait(0.05)
        raise AssertionError("no answer")
    finally:
        link.stop()


def _until(link: Link, wake: threading.Event, enough: Callable[[list[object]], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not enough(list(link.poll())):
        assert time.monotonic() < end, "no connection"
        wake.wait(0.1)


def _plain(folder: Path, count: int) -> float:
    folder.mkdir()
    port = free_port()
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin")
    with subprocess.Popen(
        [str(program), "-c", str(folder / "mosquitto.conf")], stdout=DEVNULL, stderr=DEVNULL
    ) as child:
        try:
            client, done, known = mqtt.Client(CallbackAPIVersion.VERSION2), threading.Event(), [0]

            def heard(*_: object) -> None:
                known[0] += 1
                if known[0] >= count:
                    done.set()

            client.on_publish = heard
            client.max_inflight_messages_set(IN_FLIGHT)
            end = time.monotonic() + PATIENCE_S
            while True:
                try:
                    client.connect("127.0.0.1", port)
                    break
                except OSError:
                    assert time.monotonic() < end, "the broker does not come up"
                    time.sleep(0.05)
            client.loop_start()
            began = time.monotonic()
            for _ in range(count):
                client.publish("bench/up", bytes(SMALL_BYTES), qos=1)
            assert done.wait(PATIENCE_S), "no answer"
            took = time.monotonic() - began
            client.disconnect()
            client.loop_stop()
            return count / took
        finally:
            child.terminate()


def main() -> None:
    """In a network namespace of its own: so many parts to a broker behind a line of 512 kbit/s."""
    apart()
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="bench-line-") as folder:
        pipe = broker.start(Path(folder), 0, "mosquitto")
        gate = Gate(pipe.port, shaped=True)
        line = Line(1, gate)
        try:
            line.shape(RATE_BITS_S)
            command = [*line.prefix, sys.executable, "-c", SENDER, str(line.port), str(count), str(PART_BYTES)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
            took, waits_s = map(float, done.stdout.split())
        finally:
            line.close()
            gate.close()
            pipe.stop()
    print(json.dumps({"share": count * PART_BYTES * 8 / took / RATE_BITS_S, "waits_s": waits_s}))


SENDER = """
import sys
from bench.table.wire import preempted, sent
told = tuple(map(int, sys.argv[1:4]))
print(sent(*told), preempted(told[0], told[2]))
"""

if __name__ == "__main__":
    main()
