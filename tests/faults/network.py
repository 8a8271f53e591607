"""Lines between appliances and the broker, as bad as one likes, in network namespaces of their own where root allows.

    uplink -> proxy in the appliance's namespace -> veth, tbf both ways, nft for loss and partition -> gate -> broker

The namespace belongs to the proxy's process and goes with it; nothing is named on the machine and nothing outside is
touched: `apart` first moves the caller into a namespace of its own. Without root there is the proxy alone, which
delays, falls silent, resets and refuses, but neither shapes nor loses packets; `Line.kind` says which it is, and every
report prints it. (There is no netem in the kernels this must run on.)
"""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

from appliance.world.broker import die_with
from appliance.world.volumes import tool

CLONE_NEWNET = 0x40000000  # sched.h
LIBC = ctypes.CDLL(None, use_errno=True)
KBIT = 1000
BURST_BYTES = 4096
TBF_LATENCY = "400ms"


def is_root() -> bool:
    return os.geteuid() == 0


def told_to_skip() -> bool:
    """Whether what only root can do is left out here: never under CI, where a missing right is a failure."""
    return not is_root() and "CI" not in os.environ


def apart() -> None:
    """Moves this thread, and every child it starts, into a fresh network namespace with nothing but loopback."""
    if LIBC.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
    tool("ip", "link", "set", "lo", "up")


class Proxy:
    """One proxy process and the pipe its orders go through."""

    def __init__(self, listen: str, target: str, *, record: Path | None = None, own_namespace: bool = False) -> None:
        command = [sys.executable, "-m", "tests.faults.proxy", listen, target]
        command += ["--record", str(record)] if record else []
        self.child = subprocess.Popen(
            [*(["unshare", "--net"] if own_namespace else []), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with(os.getpid()),
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )
        assert self.child.stdout is not None
        self.port = int(self.child.stdout.readline())

    def order(self, **orders: object) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(orders) + "\n")
        self.child.stdin.flush()

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                pipe.close()


class Gate:
    """Where the lines arrive: it hands their connections to the broker, which listens on loopback only."""

    def __init__(self, broker_port: int, *, shaped: bool) -> None:
        self.broker_port, self.shaped = broker_port, shaped
        self.proxy = Proxy("0.0.0.0:0", f"127.0.0.1:{broker_port}") if shaped else None

    def close(self) -> None:
        if self.proxy is not None:
            self.proxy.close()


class Line:
    """One appliance's line.

    place   1 to 250, of this line among those of a town
    prefix  what goes before a command that is to run at the appliance's end
    port    where the broker seems to be there, on 127.0.0.1
    """

    def __init__(self, place: int, gate: Gate, *, port: int = 0, record: Path | None = None) -> None:
        self.place = place
        self.kind = "namespace" if gate.shaped else "proxy alone"
        if not gate.shaped:
            self.proxy = Proxy(f"127.0.0.1:{port}", f"127.0.0.1:{gate.broker_port}", record=record)
            self.prefix: list[str] = []
        else:
            assert gate.proxy is not None
            listen, target = f"127.0.0.1:{port}", f"10.77.{place}.1:{gate.proxy.port}"
            self.proxy = Proxy(listen, target, record=record, own_namespace=True)
            self.prefix = ["nsenter", f"--net=/proc/{self.proxy.child.pid}/ns/net"]
            self._wire()
        self.port = self.proxy.port

    def _wire(self) -> None:
        near, far, pid = f"town{self.place}", f"line{self.place}", str(self.proxy.child.pid)
        tool("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", pid)
        tool("ip", "address", "add", f"10.77.{self.place}.1/30", "dev", near)
        tool("ip", "link", "set", near, "up")
        tool(*self.prefix, "ip", "link", "set", "lo", "up")
        tool(*self.prefix, "ip", "address", "add", f"10.77.{self.place}.2/30", "dev", far)
        tool(*self.prefix, "ip", "link", "set", far, "up")

    # What may be wrong with it.

    def shape(self, rate_bits_s: int | None) -> None:
        """The line carries no more than this, both ways; None: as much as it can. A proxy alone cannot."""
        if self.kind == "proxy alone":
            return
        for prefix, device in (([], f"town{self.place}"), (self.prefix, f"line{self.place}")):
            rate = ["tbf", "rate", f"{rate_bits_s}bit", "burst", str(BURST_BYTES), "latency", TBF_LATENCY]
            tool(*prefix, "tc", "qdisc", "replace", "dev", device, "root", *(rate if rate_bits_s else ["pfifo"]))

    def lose(self, percent: int) -> None:
        """So many packets in a hundred vanish, both ways, at random; 100 is a partition, 0 mends it."""
        if self.kind == "proxy alone":
            self.proxy.order(mode="hold" if percent >= 100 else "pass")
            return
        drop = "drop" if percent >= 100 else f"numgen random mod 100 < {percent} drop" if percent else "accept"
        rules = "table inet line\nflush table inet line\ntable inet line {\n"
        for hook, name in (("input", "iifname"), ("output", "oifname")):
            head = f"type filter hook {hook} priority 0;"
            rules += f'chain {hook} {{ {head} {name} "line{self.place}" {drop}; }}\n'
        tool(*self.prefix, "nft", "-f", "-", said=rules + "}\n")

    def part(self) -> None:
        """Nothing gets through and nobody is told."""
        self.lose(100)

    def delay(self, delay_s: float) -> None:
        self.proxy.order(delay_s=delay_s)

    def fall_silent(self) -> None:
        """Half open: both ends think that they are connected."""
        self.proxy.order(mode="hold")

    def reset(self) -> None:
        self.proxy.order(reset=True)

    def refuse(self) -> None:
        self.proxy.order(mode="refuse", reset=True)

    def mend(self) -> None:
        """A good line again; what was connected is reset, as after a real outage."""
        self.lose(0)
        self.shape(None)
        self.proxy.order(mode="pass", delay_s=0.0, reset=True)

    def close(self) -> None:
        self.proxy.close()
