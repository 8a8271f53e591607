"""The bench on which graphs are run: one confined child process a package, spoken to over two pipes.

A child that dies, is slow or answers oddly gives nothing: the decision then says that there was no answer, and
escalates. It is started again, but not without end. Nothing a child says is believed beyond the bytes of arrays of the
expected shapes. One bench belongs to one thread.
"""

import json
import os
import re
import select
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from appliance.core.frames import DONE, FLOAT32, HEAD, LOAD, arrays_of, bytes_of, head, lengths
from appliance.core.package import Package
from appliance.errors import Misconfigured

Arrays = dict[str, NDArray[np.float32]]
MIB = 2**20
ROOT = Path(__file__).parents[2]
TRUNK_BYTES_MAX = 64 * MIB
PIPE_BYTES = MIB
F_SETPIPE_SZ = 1031  # fcntl(2), Linux
SHAPE = re.compile(rb"[0-9]{1,9}(,[0-9]{1,9}){0,7}")
STARTS_PERIOD_S = 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may take.

    memory_bytes  beyond what it has before it loads a graph
    load_s        to audit and load one graph, by the clock; a step of triage must end within its watchdog's time
    call_s        to run one graph once, by the clock and of processor time
    calls_max     after so many runs it is started anew
    starts_max    an hour; a child beyond that stays down, and its studies are escalated
    """

    memory_bytes: int = 1024 * MIB
    load_s: float = 30.0
    call_s: float = 8.0
    calls_max: int = 10_000
    starts_max: int = 20


class Child:
    """One process and its two pipes. Every answer is None once it has failed; it is of no use afterwards."""

    def __init__(self, limits: Limits) -> None:
        cpu_s = int(max(limits.load_s, limits.call_s)) + 1
        environment = {
            "PYTHONPATH": str(ROOT),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "LC_ALL": "C.UTF-8",
        }
        self.process = subprocess.Popen(  # noqa: S603 - our own module, numbers as arguments
            [
                *(sys.executable, "-P", "-m", "appliance.world.confined.inference_child"),
                *(str(os.getpid()), str(limits.memory_bytes), str(cpu_s)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.inward, self.outward = self.process.stdin, self.process.stdout
        for pipe in (self.inward, self.outward):
            os.set_blocking(pipe.fileno(), False)

    def ask(self, number: int, text: bytes, body: memoryview, within_s: float) -> tuple[int, bytes, bytearray] | None:
        """(status, text, body) of the reply; None where there is none in time, or none that a child should give."""
        end = time.monotonic() + within_s
        outgoing = [memoryview(head(number, text, len(body)) + text), body]
        told = self._exchange(outgoing, HEAD.size, end)
        parts = None if told is None else lengths(bytes(told))
        if parts is None:
            return None
        status, text_bytes, body_bytes = parts
        rest = self._exchange([], text_bytes + body_bytes, end)
        return None if rest is None else (status, bytes(rest[:text_bytes]), rest[text_bytes:])

    def _exchange(self, outgoing: list[memoryview], count: int, end: float) -> bytearray | None:
        """Writes all of outgoing, then reads so many bytes, and waits for neither beyond the end."""
        outgoing = [view for view in outgoing if len(view)]
        found, at = bytearray(count), 0
        view = memoryview(found)
        try:
            while outgoing or at < count:
                if outgoing:
                    if not self._ready(self.inward.fileno(), select.POLLOUT, end):
                        return None
                    sent = os.write(self.inward.fileno(), outgoing[0])
                    outgoing = [outgoing[0][sent:], *outgoing[1:]] if sent < len(outgoing[0]) else outgoing[1:]
                else:
                    if not self._ready(self.outward.fileno(), select.POLLIN, end):
                        return None
                    got = os.readv(self.outward.fileno(), [view[at:]])
                    if got == 0:
                        return None
                    at += got
        except OSError:
            return None
        return found

    @staticmethod
    def _ready(fd: int, event: int, end: float) -> bool:
        poll = select.poll()
        poll.register(fd, event)
        return bool(poll.poll(max(0.0, end - time.monotonic()) * 1000))

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.inward.close()
        self.outward.close()


@dataclass(slots=True)
class Seat:
    """A package on the bench. shapes: of each graph's outputs, in the order in which the child gives them."""

    package: Package
    child: Child | None = None
    calls: int = 0
    starts: deque[float] = field(default_factory=deque)
    shapes: list[dict[str, tuple[int, ...]]] = field(default_factory=list)


class Bench:
    """Runs the graphs of verified packages whose golden films gave what they must.

    faults      title -> why a package is not used
    complaints  title -> what the audit says of its graphs, each "file: sentence"
    clock       seconds that never jump, for the limit of starts
    """

    def __init__(
        self,
        packages: Iterable[Package] = (),
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits, self.clock = limits or Limits(), clock
        self.faults: dict[str, Misconfigured] = {}
        self.complaints: dict[str, tuple[str, ...]] = {}
        self._seats: dict[str, Seat] = {}
        self._end = weakref.finalize(self, _end_all, self._seats)  # a bench that is let go of leaves no child behind
        for package in packages:
            self.add(package)

    def __enter__(self) -> "Bench":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, package: Package) -> None:
        """Seats one more package and runs its golden films; see `faults` for what came of it."""
        if package.title in self._seats:
            _down(self._seats[package.title])
        self._seats[package.title] = Seat(package)
        self.test(package.title)

    def test(self, title: str) -> Misconfigured | None:
        """The golden films of a package again, at load and daily; None where every answer is what it must be."""
        fault = self._tested(self._seats[title])
        if fault is None:
            self.faults.pop(title, None)
        else:
            self.faults[title] = fault
            _down(self._seats[title])
        return fault

    def run(self, title: str, exit: int, tensor: NDArray[np.float32]) -> Arrays:
        """Outputs by name of one exit, counted from 1; exit 2 takes the trunk that exit 1 gave. {}: no answer."""
        return self._run(title, exit - 1, tensor)

    def check(self, title: str, picture: NDArray[np.float32]) -> Arrays:
        """Outputs by name of the check network, for a picture float32 [1, 1, side, side]. {}: no answer."""
        return self._run(title, len(self._seats[title].package.model.manifest.exits), picture)

    def close(self) -> None:
        """Ends every child; nothing may be run afterwards."""
        self._end()

    def _run(self, title: str, number: int, tensor: NDArray[np.float32]) -> Arrays:
        seat = self._seats.get(title)
        if seat is None or title in self.faults:
            return {}
        return self._asked(seat, number, tensor)

    def _asked(self, seat: Seat, number: int, tensor: NDArray[np.float32]) -> Arrays:
        """One graph, once; the child is started when there is none, and ended when its answer is odd."""
        if seat.calls >= self.limits.calls_max:
            _down(seat)
        if seat.child is None and self._up(seat):
            return {}
        child, shapes = seat.child, seat.shapes[number]
        if child is None or tensor.dtype != FLOAT32 or tensor.size == 0:
            return {}
        seat.calls += 1
        body = np.ascontiguousarray(tensor).data.cast("B")
        reply = child.ask(number, b"", body, self.limits.call_s)
        if reply is not None and reply[0] != DONE:
            return {}
        if reply is None or len(reply[2]) != bytes_of(list(shapes.values())):
            _down(seat)
            return {}
        return arrays_of(shapes, reply[2])

    def _up(self, seat: Seat) -> list[str]:
        """Starts a child and loads every graph into it; complaints where it does not come up."""
        now = self.clock()
        while seat.starts and now - seat.starts[0] >= STARTS_PERIOD_S:
            seat.starts.popleft()
        if len(seat.starts) >= self.limits.starts_max:
            return ["the process that runs the graph ended too often"]
        seat.starts.append(now)
        seat.child, seat.calls, seat.shapes = Child(self.limits), 0, []
        complaints: list[str] = []
        shape: tuple[int, ...] | None = seat.package.model.manifest.input.shape
        for number, graph in enumerate(seat.package.model.manifest.graphs):
            found, shape = self._load(seat, number, shape)
            complaints += [f"{graph}: {each}" for each in found]
            if seat.child is None:
                break
        if complaints:
            _down(seat)
        return complaints

    def _load(self, seat: Seat, number: int, shape: tuple[int, ...] | None) -> tuple[list[str], tuple[int, ...] | None]:
        """Complaints about one graph, and the shape of its trunk where it gives one."""
        manifest = seat.package.model.manifest
        name, outputs, trunk = manifest.input.name, {}, None
        if number < len(manifest.exits):
            own = manifest.exits[number]
            trunk, outputs = own.trunk, dict(own.shapes)
            name = name if number == 0 else manifest.exits[number - 1].trunk or name
        elif manifest.check is not None:
            side, kinds = manifest.check.side_px, len(manifest.check.kinds)
            shape, outputs = (1, 1, side, side), {manifest.check.output: (1, kinds)}
        if shape is None:
            return ["not looked at: the graph before it was refused"], None
        assert seat.child is not None
        wanted: Mapping[str, tuple[int, ...] | None] = outputs if trunk is None else {**outputs, trunk: None}
        told = json.dumps({"input_name": name, "input_shape": shape, "outputs": wanted}).encode()
        graph = seat.package.graphs[manifest.graphs[number]]
        reply = seat.child.ask(LOAD, told, memoryview(graph), self.limits.load_s)
        if reply is None:
            _down(seat)
            return ["looking at the graph took too long, or more memory than it may"], None
        status, text, _ = reply
        if status != DONE:
            return text.decode("utf-8", "replace").splitlines() or ["refused"], None
        given = tuple(int(side) for side in text.split(b",")) if SHAPE.fullmatch(text) else None
        if trunk is not None:
            if given is None or bytes_of([given]) > TRUNK_BYTES_MAX:
                return [f"the trunk has more than {TRUNK_BYTES_MAX // MIB} MiB"], None
            outputs[trunk] = given
        seat.shapes.append(outputs)
        return [], given

    def _tested(self, seat: Seat) -> Misconfigured | None:
        manifest, golden = seat.package.model.manifest, seat.package.golden
        if seat.child is None:
            complaints = self._up(seat)
            self.complaints[seat.package.title] = tuple(complaints)
            if complaints:
                return Misconfigured("model-graph-refused", complaints[0])
        fault = Misconfigured("model-package-damaged", "golden.npz")
        near = True
        for place, film in enumerate(golden.films):
            tensor = film
            for number, (own, (logits, features)) in enumerate(zip(manifest.exits, golden.exits, strict=True)):
                found = self._asked(seat, number, tensor)
                near &= _near(found.get(own.logit), logits[place], golden.tolerance)
                near &= _near(found.get(own.features), features[place], golden.tolerance)
                tensor = found.get(own.trunk or "", tensor)
                if not near:  # the next film might take as long to fail
                    return fault
        if manifest.check is not None and golden.pictures is not None and golden.kinds is not None:
            for picture, kinds in zip(golden.pictures, golden.kinds, strict=True):
                found = self._asked(seat, len(manifest.exits), picture)
                if not _near(found.get(manifest.check.output), kinds, golden.tolerance):
                    return fault
        return None


def _down(seat: Seat) -> None:
    if seat.child is not None:
        seat.child.end()
        seat.child = None


def _end_all(seats: dict[str, Seat]) -> None:
    for seat in seats.values():
        _down(seat)
    seats.clear()


def _near(found: NDArray[np.float32] | None, wanted: NDArray[np.float32], tolerance: float) -> bool:
    """False for NaN and for no answer."""
    return found is not None and bool((np.abs(found[0] - wanted) <= tolerance).all())
