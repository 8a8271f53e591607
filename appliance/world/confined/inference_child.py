"""The process in which graphs run: `python -m appliance.world.confined.inference_child PARENT MEMORY CPU`.

It audits a graph before it loads it, and runs it on one thread within its limits of memory and processor time. It opens
no file, keeps nothing between calls, says nothing but replies, and ends when its parent does. Whatever is odd, it
answers *refused* or dies: the parent escalates either way.

    PARENT  process id of whom it belongs to
    MEMORY  bytes it may take beyond what it has when its libraries are loaded
    CPU     seconds of processor time one request may take
"""

import ctypes
import json
import math
import os
import resource
import sys
import time
from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from appliance.core.frames import DONE, FLOAT32, HEAD, LOAD, REFUSED, TEXT_BYTES_MAX, head, lengths
from appliance.core.graph_audit import Expected, audit
from appliance.world.confined.confinement import confine

OPEN_FILES_MAX = 8
LIBC = ctypes.CDLL(None)


class Sessions:
    """The graphs of one package, in the order in which they were loaded."""

    def __init__(self) -> None:
        self.loaded: list[tuple[onnxruntime.InferenceSession, Expected]] = []

    def load(self, graph: bytes, expected: Expected) -> tuple[int, bytes, bytes]:
        """DONE with the shape of the one output that the parent could not know, or REFUSED with the complaints."""
        found = audit(graph, expected)
        if found.complaints:
            return REFUSED, "\n".join(found.complaints).encode()[:TEXT_BYTES_MAX], b""
        try:
            # From bytes the runtime has no folder to look for external data in, so it refuses any.
            session = onnxruntime.InferenceSession(found.graph, _options(), providers=["CPUExecutionProvider"])
        except RUNTIME_FAULTS:
            return REFUSED, b"the runtime does not load the graph", b""
        self.loaded.append((session, expected))
        open_ended = [found.outputs[name] for name, shape in expected.outputs.items() if shape is None]
        return DONE, ",".join(str(side) for shape in open_ended for side in shape).encode(), b""

    def run(self, number: int, body: bytearray) -> tuple[int, bytes, bytes]:
        """Every output, one after the other, as the parent expects them; REFUSED where the runtime gives up."""
        if number >= len(self.loaded) or len(body) != math.prod(self.loaded[number][1].input_shape) * 4:
            return REFUSED, b"", b""
        session, expected = self.loaded[number]
        tensor = np.frombuffer(body, FLOAT32).reshape(expected.input_shape)
        try:
            found: list[NDArray[np.float32]] = session.run(list(expected.outputs), {expected.input_name: tensor})
        except RUNTIME_FAULTS:
            return REFUSED, b"", b""
        return DONE, b"", b"".join(np.ascontiguousarray(array, FLOAT32).tobytes() for array in found)


def _options() -> onnxruntime.SessionOptions:
    """One thread, which is never pinned: under a cpuset the runtime's own idea of the processors is wrong."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # The runtime would keep one block for all arrays of a run beside those it took: 26 MiB, and no quicker for it.
    options.enable_mem_pattern = False
    options.log_severity_level = 4  # the runtime's own log could name values of the graph
    return options


def _runtime_faults() -> tuple[type[Exception], ...]:
    """The runtime's own exception classes: they share no public base class but Exception and RuntimeError."""
    state = onnxruntime.capi.onnxruntime_pybind11_state
    found = [getattr(state, name) for name in dir(state)]
    own = [kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError, MemoryError)


RUNTIME_FAULTS = _runtime_faults()


def serve(inward: int, outward: int, cpu_s: int) -> None:
    """Answers requests until there are no more; a request that is odd ends it."""
    sessions = Sessions()
    while (told := _exactly(inward, HEAD.size)) is not None:
        parts = lengths(bytes(told))
        if parts is None:
            return
        number, text_bytes, body_bytes = parts
        text, body = _exactly(inward, text_bytes), _exactly(inward, body_bytes)
        if text is None or body is None:
            return
        # The parent's deadline is by the clock; this one holds when the parent is stopped or stuck.
        soft = math.ceil(time.process_time()) + cpu_s
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
        if number == LOAD:
            status, said, out = sessions.load(bytes(body), _expected(json.loads(text)))
            body.clear()
            LIBC.malloc_trim(0)  # what the audit read the graph into is four times the graph, and never needed again
        else:
            status, said, out = sessions.run(number, body)
        _all(outward, head(status, said, len(out)) + said)
        _all(outward, out)


def _expected(told: Mapping[str, object]) -> Expected:
    shapes = told["outputs"]
    assert isinstance(shapes, dict)
    outputs = {name: None if shape is None else tuple(shape) for name, shape in shapes.items()}
    return Expected(str(told["input_name"]), tuple(told["input_shape"]), outputs)  # type: ignore[arg-type]


def _exactly(fd: int, count: int) -> bytearray | None:
    """So many bytes; None where the other side has ended before."""
    found = bytearray(count)
    view, at = memoryview(found), 0
    while at < count:
        got = os.readv(fd, [view[at:]])
        if got == 0:
            return None
        at += got
    return found


def _all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def main(arguments: list[str]) -> int:
    parent, memory_bytes, cpu_s = (int(each) for each in arguments)
    outward = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no reply
    confine(parent, memory_bytes, processes=0, open_files=OPEN_FILES_MAX)
    serve(sys.stdin.fileno(), outward, cpu_s)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
