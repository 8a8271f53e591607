"""What the sums of docs/scale.md take from one broker and from the sealing: rates, memory of a connection, CPU.

    python -m bench.wire [--seconds 5] [--connections 10000]

A mosquitto as `appliance up` starts it, one publisher and one subscriber of paho beside it on the same cores, QoS 1, a
window of fifty; then as many idle connections as are asked for, of which the broker's memory is read (VmRSS, without
TLS). Letters and parts are sealed and opened by the product's own functions; times are of the processor, one thread.
Appended to bench/RESULTS.md.
"""

import argparse
import os
import platform
import resource
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import paho.mqtt.client as mqtt

from appliance.core import letter, transfer
from appliance.core.keys import PrivateKeys
from appliance.core.signature import sign, verified
from appliance.world import broker
from bench.load import RESULTS

TOPIC, WINDOW = "bench/wire", 50
LETTER_BYTES, PART_BYTES = 500, 48 * 1024
KEEPALIVE_S = 600


def rate(port: int, size: int, seconds: float) -> float:
    """Messages of one size a second, from publisher through broker to subscriber, each acknowledged on both sides."""
    room, got, began = threading.Semaphore(WINDOW), [0], [0.0]

    def arrived(*_: object) -> None:
        got[0] += 1
        room.release()

    clients = [mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, f"bench-{n}", protocol=mqtt.MQTTv5) for n in range(2)]
    reading, writing = clients
    reading.on_message = arrived
    there = threading.Event()
    reading.on_subscribe = lambda *_: there.set()
    for each in clients:
        each.max_inflight_messages_set(WINDOW)
        each.connect("127.0.0.1", port)
        each.loop_start()
    reading.subscribe(TOPIC, qos=1)
    assert there.wait(10)
    payload, began[0] = os.urandom(size), time.monotonic()
    while time.monotonic() < began[0] + seconds:
        if room.acquire(timeout=1):
            writing.publish(TOPIC, payload, qos=1)
    took = time.monotonic() - began[0]
    for each in clients:
        each.disconnect()
        each.loop_stop()
    return got[0] / took


def connected(port: int, count: int) -> list[socket.socket]:
    """So many clients that say who they are and nothing else (MQTT 5, 3.1)."""
    lines = []
    for number in range(count):
        name = f"idle-{number:06d}".encode()
        inside = (
            b"\x00\x04MQTT\x05\x00" + KEEPALIVE_S.to_bytes(2, "big") + b"\x00" + len(name).to_bytes(2, "big") + name
        )
        line = socket.create_connection(("127.0.0.1", port))
        line.sendall(b"\x10" + bytes([len(inside)]) + inside)
        assert line.recv(1) == b"\x20", f"connection {number} was not acknowledged"
        lines.append(line)
    return lines


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


def cpu_us(work: Callable[[], object], seconds: float = 1.0) -> float:
    """Processor time of one call, microseconds."""
    count, began = 0, time.process_time()
    while time.process_time() < began + seconds:
        work()
        count += 1
    return 1e6 * (time.process_time() - began) / count


def sealing() -> list[tuple[str, float]]:
    here, there = PrivateKeys(os.urandom(32), os.urandom(32)), PrivateKeys(os.urandom(32), os.urandom(32))
    data, place = os.urandom(LETTER_BYTES), "bench"
    made = letter.sealed(data, place=place, sender=here, recipient=there.public)
    seal = partial(letter.sealed, data, place=place, sender=here, recipient=there.public)
    whole = os.urandom(PART_BYTES)
    name, key = os.urandom(16).hex(), os.urandom(32)
    (part,) = transfer.sealed_parts([whole], transfer_id=name, key=key)
    manifest = transfer.Manifest.model_construct(transfer_id=name, key=key.hex(), parts=1, sealed_bytes=len(part))
    signature, keys = sign(here.signing, data), {here.public.signing_id: bytes.fromhex(here.public.signing)}
    return [
        ("sealing a letter of 500 bytes", cpu_us(seal)),
        ("opening it", cpu_us(lambda: letter.opened(made, place=place, senders=[here.public], recipients=[there]))),
        ("a signature of it", cpu_us(lambda: sign(here.signing, data))),
        ("checking that", cpu_us(lambda: verified(data, signature, keys))),
        ("sealing a part of 48 KiB", cpu_us(lambda: list(transfer.sealed_parts([whole], transfer_id=name, key=key)))),
        ("opening it", cpu_us(lambda: transfer.opened_part(manifest, 0, part))),
    ]  # fmt: skip


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--seconds", type=float, default=5.0)
    told.add_argument("--connections", type=int, default=10_000)
    options = told.parse_args()
    limit = options.connections + 1024
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bench-wire-") as folder:
        pipe = broker.start(Path(folder), 0, "mosquitto")
        try:
            before = resident_kib(pipe.pid)
            lines = connected(pipe.port, options.connections)
            each = (resident_kib(pipe.pid) - before) / options.connections
            for line in lines:
                line.close()
            rates = [(size, rate(pipe.port, size, options.seconds)) for size in (1024, PART_BYTES, 256 * 1024)]
        finally:
            pipe.stop()
    lines_told = [
        f"## python -m bench.wire {' '.join(sys.argv[1:])}".rstrip(),
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}; load average when it began "
        f"{load_before:.1f}. mosquitto, publisher and subscriber on them, QoS 1, {options.seconds:.0f} s each.",
        "",
        "| messages of | a second | MB a second |",
        "|---|---|---|",
        *(f"| {size // 1024} KiB | {found:.0f} | {found * size / 1e6:.0f} |" for size, found in rates),
        "",
        f"{options.connections} idle connections, without TLS: all held, {each:.1f} KiB of the broker's memory each.",
        "",
        "| sealing | us of CPU |",
        "|---|---|",
        *(f"| {name} | {found:.0f} |" for name, found in sealing()),
    ]
    print("\n".join(lines_told))
    with RESULTS.open("a") as file:
        file.write("\n" + "\n".join(lines_told) + "\n")


if __name__ == "__main__":
    main()
