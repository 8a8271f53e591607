"""The bench: a graph that dies, hangs, swells or lies costs its own child and gives nothing, never a lane."""

import dataclasses
import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from appliance.core.frames import BODY_BYTES_MAX, HEAD, TEXT_BYTES_MAX, arrays_of, lengths
from appliance.core.package import Package
from appliance.world import inference
from appliance.world.inference import Bench, Child, Limits
from tests.core.drawn_graphs import FEATURES, SHAPE, SIDE, bomb, heavy, model, net, standard_outputs, value
from tests.world.drawn_packages import answers, package

TITLE = "drawn/1.0.0"
GONE_WITHIN_S = 10.0
WEIGHTS_BYTES = 16 * 2**20
FILM = np.full(SHAPE, 0.5, np.float32)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def sound(tmp_path: Path) -> Package:
    return package(tmp_path / "sound", graphs={"model.onnx": net(gain=2.0)})


def with_graph(sound: Package, data: bytes) -> Package:
    return dataclasses.replace(sound, graphs={**sound.graphs, "model.onnx": data})


def pid(bench: Bench) -> int:
    child = bench._seats[TITLE].child
    assert child is not None
    return child.process.pid


def resident_bytes(number: int) -> int:
    return int(Path(f"/proc/{number}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def gone(number: int) -> bool:
    """Waits, with a bound, until a process has ended: its pidfd is readable then, zombie or not (pidfd_open(2))."""
    try:
        process = os.pidfd_open(number)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], GONE_WITHIN_S)[0])
    finally:
        os.close(process)


def test_outputs_by_name(sound: Package):
    with Bench([sound]) as bench:
        assert bench.faults == {}
        found = bench.run(TITLE, 1, FILM)
    assert {name: array.shape for name, array in found.items()} == {"logit": (1,), "features": (1, FEATURES)}
    assert found["logit"] == pytest.approx([1.0])
    assert found["features"] == pytest.approx(np.full((1, FEATURES), 0.5))


@pytest.mark.parametrize(
    "tensor",
    [FILM[:, :, :8], FILM.astype(np.float64), np.zeros((0,), np.float32), np.zeros((1, 3, SIDE, SIDE), np.float32)],
)
def test_another_tensor_than_the_graph_takes_gives_nothing(sound: Package, tensor: np.ndarray):
    with Bench([sound]) as bench:
        assert bench.run(TITLE, 1, tensor) == {}
        assert bench.run(TITLE, 1, FILM) != {}


def test_nobody_by_that_name_gives_nothing(sound: Package):
    with Bench([sound]) as bench:
        assert bench.run("other/1.0.0", 1, FILM) == {}
    assert bench.run(TITLE, 1, FILM) == {}


def two_exits(root: Path) -> Package:
    """Exit 1 scores the film and hands it on doubled; exit 2 scores that. A check network says two kinds."""
    first = model(
        [*net().graph.node, helper.make_node("Add", ["film", "film"], ["trunk"])],
        [*standard_outputs(), value("trunk", SHAPE)],
        net().graph.initializer,
    )
    second = net(gain=3.0)
    for node in second.graph.node:
        node.input[:] = ["trunk" if each == "film" else each for each in node.input]
    second.graph.input[0].name = "trunk"
    kinds = [
        helper.make_node("ReduceMean", ["film"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("Sub", ["one", "m"], ["rest"]),
        helper.make_node("Concat", ["m", "rest"], ["kinds"], axis=1),
    ]
    one = numpy_helper.from_array(np.array([[1.0]], np.float32), "one")
    check = model(kinds, [value("kinds", (1, 2))], [one], [value("film", (1, 1, 32, 32))])
    told = answers(net())
    films, pictures = told["films"], np.full((1, 1, 1, 32, 32), 0.25, np.float32)
    own = {
        "graph": "model.onnx",
        "logit": "logit",
        "logit_low": -20.0,
        "logit_high": 20.0,
        "features": "features",
        "features_count": FEATURES,
        "gap": None,
        "energy": None,
        "trunk": "trunk",
        "cost_ms": 1.0,
    }
    return package(
        root,
        graphs={"model.onnx": first, "second.onnx": second, "check.onnx": check},
        golden={
            "films": films,
            "logits_1": told["logits"],
            "features_1": told["features"],
            "logits": told["logits"] * 6,
            "features": told["features"] * 2,
            "pictures": pictures,
            "kinds": np.array([[0.25, 0.75]], np.float32),
        },
        exits=[own, {**own, "graph": "second.onnx", "trunk": None}],
        check={"graph": "check.onnx", "side_px": 32, "output": "kinds", "kinds": ["chest", "other"]},
    )


def test_two_exits_and_a_check_network(tmp_path: Path):
    with Bench([two_exits(tmp_path)]) as bench:
        assert bench.faults == {}
        first = bench.run(TITLE, 1, FILM)
        assert first["trunk"].shape == SHAPE
        assert bench.run(TITLE, 2, first["trunk"])["logit"] == pytest.approx([3.0])
        assert bench.check(TITLE, np.zeros((1, 1, 32, 32), np.float32))["kinds"] == pytest.approx(np.array([[0, 1]]))


def test_exit_two_must_take_what_exit_one_gives(tmp_path: Path):
    sound = two_exits(tmp_path)
    other = net()
    other.graph.input[0].name = "film"
    swapped = dataclasses.replace(sound, graphs={**sound.graphs, "second.onnx": other.SerializeToString()})
    with Bench([swapped]) as bench:
        assert bench.faults[TITLE].code == "model-graph-refused"
        assert any("second.onnx: the inputs" in each for each in bench.complaints[TITLE])


def test_another_answer_than_the_golden_one_is_named(sound: Package):
    with Bench([with_graph(sound, net(gain=2.1).SerializeToString())]) as bench:
        assert bench.faults[TITLE].place == "golden.npz"
        assert bench.run(TITLE, 1, FILM) == {}


def test_golden_films_are_run_again_and_a_bad_day_is_noticed(sound: Package):
    with Bench([sound]) as bench:
        assert bench.test(TITLE) is None
        seat = bench._seats[TITLE]
        seat.package = dataclasses.replace(
            sound, golden=dataclasses.replace(sound.golden, exits=((np.zeros(2, "f4"), np.zeros((2, FEATURES), "f4")),))
        )
        assert bench.test(TITLE) is not None
        assert bench.run(TITLE, 1, FILM) == {}
        seat.package = sound
        assert bench.test(TITLE) is None
        assert bench.run(TITLE, 1, FILM) != {}


# Hostile graphs


def test_a_memory_bomb_is_refused_by_the_audit(sound: Package):
    with Bench([with_graph(sound, bomb().SerializeToString())]) as bench:
        assert "MiB" in bench.complaints[TITLE][0]


def test_memory_beyond_the_limit_is_not_given(sound: Package):
    """What the audit lets pass still meets the limit of the child: 64 MiB arrays where 32 MiB are left."""
    with Bench([with_graph(sound, heavy(4096, 2).SerializeToString())], Limits(memory_bytes=48 * 2**20)) as bench:
        assert TITLE in bench.faults
        assert bench.run(TITLE, 1, FILM) == {}


def test_endless_arithmetic_is_ended_by_the_deadline(sound: Package):
    with Bench([with_graph(sound, heavy(2048, 120).SerializeToString())], Limits(call_s=0.3)) as bench:
        assert bench.faults[TITLE].place == "golden.npz"
        assert bench._seats[TITLE].child is None


def test_arithmetic_that_the_runtime_would_do_when_it_loads_is_ended_too(sound: Package):
    endless = heavy(2048, 120, of_film=False).SerializeToString()
    with Bench([with_graph(sound, endless)], Limits(load_s=1.0, call_s=0.3)) as bench:
        assert TITLE in bench.faults
        assert bench.run(TITLE, 1, FILM) == {}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=200))
def test_random_bytes_as_a_graph_never_get_past_the_bench(sound: Package, data: bytes):
    with Bench([with_graph(sound, data)]) as bench:
        assert bench.faults[TITLE].code == "model-graph-refused"
        assert bench.run(TITLE, 1, FILM) == {}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_a_changed_graph_is_refused_or_gives_finite_shapes(sound: Package, place: int, flip: int):
    data = bytearray(sound.graphs["model.onnx"])
    data[place % len(data)] ^= flip
    with Bench([with_graph(sound, bytes(data))]) as bench:
        found = bench.run(TITLE, 1, FILM)
        assert found == {} or {name: a.shape for name, a in found.items()} == {"logit": (1,), "features": (1, FEATURES)}


# Hostile children


def test_a_killed_child_is_started_again(sound: Package):
    with Bench([sound]) as bench:
        first = pid(bench)
        os.kill(first, signal.SIGKILL)
        assert bench.run(TITLE, 1, FILM) == {}
        assert bench.run(TITLE, 1, FILM)["logit"] == pytest.approx([1.0])
        assert pid(bench) != first


def test_a_stopped_child_is_ended_by_the_deadline(sound: Package):
    with Bench([sound], Limits(call_s=0.2)) as bench:
        first = pid(bench)
        os.kill(first, signal.SIGSTOP)
        assert bench.run(TITLE, 1, FILM) == {}
        assert gone(first)
        assert bench.run(TITLE, 1, FILM) != {}


def test_a_child_is_not_started_without_end_and_an_hour_later_it_is(sound: Package):
    now = [0.0]
    with Bench([sound], Limits(starts_max=3), clock=lambda: now[0]) as bench:
        for _ in range(2):
            os.kill(pid(bench), signal.SIGKILL)
            assert bench.run(TITLE, 1, FILM) == {}
            assert bench.run(TITLE, 1, FILM) != {}
        os.kill(pid(bench), signal.SIGKILL)
        assert [bench.run(TITLE, 1, FILM) for _ in range(5)] == [{}] * 5
        now[0] = 3600.0
        assert bench.run(TITLE, 1, FILM) != {}


def test_a_child_is_recycled(sound: Package):
    with Bench([sound], Limits(calls_max=3)) as bench:
        first = pid(bench)
        assert all(bench.run(TITLE, 1, FILM) for _ in range(5))
        assert pid(bench) != first


def liar(reply: bytes) -> type[Child]:
    """A child that answers every request with these bytes."""
    program = (
        "import os, sys, threading\n"
        "threading.Thread(target=lambda: [0 for _ in iter(lambda: os.read(0, 65536), b'')], daemon=True).start()\n"
        f"os.write(1, {reply!r} * 40)\nsys.stdin.close\nthreading.Event().wait(20)\n"
    )

    class Liar(Child):
        def __init__(self, limits: Limits) -> None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
            assert self.process.stdin
            assert self.process.stdout
            self.inward, self.outward = self.process.stdin, self.process.stdout
            for pipe in (self.inward, self.outward):
                os.set_blocking(pipe.fileno(), False)

    return Liar


@pytest.mark.parametrize(
    "reply",
    [
        b"\xff" * HEAD.size,
        HEAD.pack(0, TEXT_BYTES_MAX + 1, 0),
        HEAD.pack(0, 0, BODY_BYTES_MAX + 1),
        HEAD.pack(0, 0, 2**63),
        HEAD.pack(0, 0, 4) + b"\0" * 4,
        HEAD.pack(0, 0, 0),
        HEAD.pack(0, 5, 0) + b"hello",
        HEAD.pack(7, 0, 0),
    ],
)
def test_a_lying_child_gives_nothing(sound: Package, monkeypatch: pytest.MonkeyPatch, reply: bytes):
    monkeypatch.setattr(inference, "Child", liar(reply))
    with Bench([sound], Limits(call_s=2.0, load_s=2.0)) as bench:
        assert TITLE in bench.faults
        assert bench.run(TITLE, 1, FILM) == {}


def test_no_reply_is_longer_than_a_parent_takes():
    assert lengths(HEAD.pack(0, 0, 8)) == (0, 0, 8)
    assert lengths(HEAD.pack(0, TEXT_BYTES_MAX + 1, 0)) is None
    assert lengths(HEAD.pack(0, 0, BODY_BYTES_MAX + 1)) is None
    found = arrays_of({"a": (2,), "b": (1, 1)}, np.array([1, 2, 3], "<f4").tobytes())
    assert found["a"].tolist() == [1, 2]
    assert found["b"].tolist() == [[3]]


# What a child may do


def test_a_child_gives_back_what_the_audit_read_the_graph_into(tmp_path: Path, sound: Package):
    """Sixteen MiB of weights, which audit and runtime copy several times while they read them."""
    weights = np.ones((SIDE * SIDE, WEIGHTS_BYTES // (4 * SIDE * SIDE)), np.float32)
    nodes = [
        helper.make_node("Flatten", ["film"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["wide"]),
        helper.make_node("ReduceMean", ["wide"], ["level"], keepdims=0),
        helper.make_node("Add", ["film", "level"], ["film2"]),
    ]
    graph = net(nodes, [numpy_helper.from_array(weights, "weights")], "film2")
    large = package(tmp_path / "large", graphs={"model.onnx": graph})
    with Bench([sound]) as one, Bench([large]) as other:
        assert one.faults == other.faults == {}
        assert resident_bytes(pid(other)) - resident_bytes(pid(one)) < 3 * WEIGHTS_BYTES


def test_a_child_is_confined(sound: Package):
    with Bench([sound]) as bench:
        limits = Path(f"/proc/{pid(bench)}/limits").read_text()
        status = Path(f"/proc/{pid(bench)}/status").read_text()
        environment = Path(f"/proc/{pid(bench)}/environ")
        rows = {line[:25].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert rows["Max core file size"] == "0"
    assert rows["Max file size"] == "0"
    assert rows["Max open files"] == "8"
    assert rows["Max processes"] == "0"
    assert int(rows["Max address space"]) < 4 * 2**30
    assert "NoNewPrivs:\t1" in status
    assert environment is not None


def test_a_killed_parent_leaves_no_child(tmp_path: Path, sound: Package):
    program = textwrap.dedent(
        """
        import sys, pathlib
        from tests.world.drawn_packages import KEYS
        from appliance.world.models import load_package
        from appliance.world.inference import Bench
        bench = Bench([load_package(pathlib.Path(sys.argv[1]), KEYS)])
        print(bench._seats["drawn/1.0.0"].child.process.pid, flush=True)
        sys.stdin.read()
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "sound/drawn/1.0.0")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        os.kill(parent.pid, signal.SIGKILL)
        assert gone(child)


def test_a_bench_that_is_let_go_of_leaves_no_child(sound: Package):
    bench = Bench([sound])
    child = pid(bench)
    del bench
    assert gone(child)


def test_a_dtype_that_is_no_float32_is_refused_before_it_runs(sound: Package):
    made = net()
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    with Bench([with_graph(sound, made.SerializeToString())]) as bench:
        assert TITLE in bench.faults
