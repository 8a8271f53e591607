"""What a graph may be: arithmetic on arrays of known size. Each test is one way to be more, and a control runs."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from appliance.core.graph_audit import GRAPH_BYTES_MAX, NODES_MAX, Expected, audit
from tests.core.drawn_graphs import FEATURES, OUTPUTS, SHAPE, SIDE, bomb, heavy, model, net, standard_outputs, value

EXPECTED = Expected("film", SHAPE, OUTPUTS)


def complaints(made: onnx.ModelProto, expected: Expected = EXPECTED) -> str:
    found = audit(made.SerializeToString(), expected)
    assert bool(found.complaints) != bool(found.graph)
    return "\n".join(found.complaints)


def weight(name: str = "w", shape: tuple[int, ...] = (1,)) -> onnx.TensorProto:
    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


def test_a_plain_network_passes_and_still_runs():
    found = audit(net().SerializeToString(), EXPECTED)
    assert found.complaints == ()
    assert found.outputs == OUTPUTS
    session = onnxruntime.InferenceSession(found.graph, providers=["CPUExecutionProvider"])
    logit, features = session.run(list(OUTPUTS), {"film": np.ones(SHAPE, np.float32)})
    assert logit == pytest.approx([1.0])
    assert features.shape == (1, FEATURES)


def test_an_output_of_open_shape_is_told():
    nodes = [*net().graph.node, helper.make_node("Relu", ["film"], ["trunk"])]
    made = model(nodes, [*standard_outputs(), value("trunk", SHAPE)], net().graph.initializer)
    found = audit(made.SerializeToString(), Expected("film", SHAPE, {**OUTPUTS, "trunk": None}))
    assert found.complaints == ()
    assert found.outputs["trunk"] == SHAPE


def external(tensor: onnx.TensorProto) -> onnx.TensorProto:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/shadow")
    return tensor


def in_a_constant() -> onnx.ModelProto:
    node = helper.make_node("Constant", [], ["c"], value=weight())
    external(node.attribute[0].t)
    return net([node, helper.make_node("Add", ["film", "c"], ["film2"])], film="film2")


def subgraph(name: str = "s") -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("Identity", ["film"], [f"{name}_out"])], name, [], [value(f"{name}_out", SHAPE)]
    )


def a_branch(inside: bool = False) -> onnx.ModelProto:
    then, other = subgraph("a"), subgraph("b")
    if inside:
        then.initializer.append(external(weight("hidden")))
    flag = numpy_helper.from_array(np.array(True), "flag")
    node = helper.make_node("If", ["flag"], ["film2"], then_branch=then, else_branch=other)
    return net([node], [flag], "film2")


def sparse() -> onnx.ModelProto:
    made = net()
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("sparse_indices", TensorProto.INT64, [1], [0])
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    return made


def sparse_attribute() -> onnx.ModelProto:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    node = helper.make_node("Constant", [], ["c"], sparse_value=helper.make_sparse_tensor(values, indices, [1]))
    return net([node, helper.make_node("Add", ["film", "c"], ["film2"])], film="film2")


def function() -> onnx.ModelProto:
    made = net()
    opset = [helper.make_opsetid("", 17)]
    made.functions.append(
        helper.make_function("", "Mine", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], opset)
    )
    return made


def custom(domain: str, declared: bool = True) -> onnx.ModelProto:
    made = net([helper.make_node("Evil", ["film"], ["film2"], domain=domain)], film="film2")
    if declared:
        made.opset_import.append(helper.make_opsetid(domain, 1))
    return made


def declared(domain: str, version: int) -> onnx.ModelProto:
    made = net()
    del made.opset_import[:]
    made.opset_import.append(helper.make_opsetid(domain, version))
    return made


def dynamic() -> onnx.ModelProto:
    nodes = [
        helper.make_node("NonZero", ["film"], ["where"]),
        helper.make_node("Cast", ["where"], ["w"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["w"], ["n"], keepdims=0),
        helper.make_node("Add", ["film", "n"], ["film2"]),
    ]
    return net(nodes, film="film2")


def of_many_nodes() -> onnx.ModelProto:
    nodes = [helper.make_node("Relu", [f"n{i}" if i else "film"], [f"n{i + 1}"]) for i in range(NODES_MAX)]
    return net(nodes, film=f"n{NODES_MAX}")


def claiming() -> onnx.ModelProto:
    """A weight of a few bytes that says it has a billion numbers."""
    tensor = weight()
    tensor.dims[:] = [1_000_000_000]
    return net(weights=[tensor])


def ir(version: int) -> onnx.ModelProto:
    made = net()
    made.ir_version = version
    return made


def training() -> onnx.ModelProto:
    made = net()
    made.training_info.add()
    return made


def text_weight() -> onnx.ModelProto:
    return net(weights=[helper.make_tensor("t", TensorProto.STRING, [1], [b"x"])])


def several_inputs() -> onnx.ModelProto:
    return model(net().graph.node, standard_outputs(), net().graph.initializer, [value("film", SHAPE), value("b", [1])])


def of_free_size() -> onnx.ModelProto:
    free = [value("film", ["n", 1, SIDE, SIDE])]
    return model(net().graph.node, standard_outputs(), net().graph.initializer, free)


def other_input(name: str = "film", shape: tuple[int, ...] = SHAPE, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    return model(
        [helper.make_node("Cast", [name], ["film2"], to=TensorProto.FLOAT), *net(film="film2").graph.node],
        standard_outputs(),
        net().graph.initializer,
        [value(name, shape, kind)],
    )


def without_features() -> onnx.ModelProto:
    return model(net().graph.node, standard_outputs()[:1], net().graph.initializer)


def with_another_output() -> onnx.ModelProto:
    return model(net().graph.node, [*standard_outputs(), value("pooled", [1, 1, 2, 2])], net().graph.initializer)


HOSTILE = {
    "weight in another file": (lambda: net(weights=[external(weight())]), "another file"),
    "weight in another file, in a constant": (in_a_constant, "another file"),
    "weight in another file, in a branch": (lambda: a_branch(inside=True), "another file"),
    "a branch": (a_branch, "graph within"),
    "sparse weight": (sparse, "sparse"),
    "sparse attribute": (sparse_attribute, "sparse"),
    "functions": (function, "functions"),
    "foreign operator": (lambda: custom("evil"), "foreign domain"),
    "foreign operator of the runtime's maker": (lambda: custom("com.microsoft"), "foreign domain"),
    "foreign operator, undeclared": (lambda: custom("evil", declared=False), "foreign domain"),
    "operator nobody knows": (lambda: custom("", declared=False), "does not know"),
    "operator set of the future": (lambda: declared("", 99), "version"),
    "operator set of training": (lambda: declared("ai.onnx.preview.training", 1), "foreign domain"),
    "memory bomb": (bomb, "MiB"),
    "size known only when run": (dynamic, "known only when"),
    "too many nodes": (of_many_nodes, "nodes"),
    "weight that claims a billion": (claiming, "not allowed"),
    "weight of text": (text_weight, "not allowed"),
    "IR of the past": (lambda: ir(2), "IR version"),
    "IR of the future": (lambda: ir(99), "IR version"),
    "training information": (training, "training"),
    "two inputs": (several_inputs, "inputs"),
    "batch of any size": (of_free_size, "known only when"),
    "input of another name": (lambda: other_input("picture"), "inputs"),
    "input of another shape": (lambda: net(side=32), "inputs"),
    "input of another type": (lambda: other_input(kind=TensorProto.DOUBLE), "inputs"),
    "an output too few": (without_features, "outputs"),
    "an output too many": (with_another_output, "outputs"),
    "chance": (
        lambda: net(
            [
                helper.make_node("RandomNormal", [], ["r"], shape=[1]),
                helper.make_node("Add", ["film", "r"], ["film2"]),
            ],
            film="film2",
        ),
        "chance",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_more_than_arithmetic_is_named(name: str):
    make, words = HOSTILE[name]
    assert words in complaints(make())


def test_every_mistake_is_named_at_once():
    made = custom("evil")
    made.ir_version = 99
    made.graph.initializer.append(external(weight()))
    found = complaints(made)
    assert all(words in found for words in ("foreign", "IR version", "another file"))


def test_heavy_arithmetic_of_known_size_is_allowed_and_left_to_the_deadline():
    assert complaints(heavy(512, 8)) == ""


def test_a_graph_too_large_is_not_parsed():
    assert audit(b"\0" * (GRAPH_BYTES_MAX + 1), EXPECTED).complaints == ("the graph has more than 64 MiB",)


def test_what_runs_holds_no_settings_and_no_unknown_fields():
    made = net()
    made.metadata_props.add(key="ort_config", value="{}")
    data = made.SerializeToString() + b"\xf8\x7f\x01"  # field 2047, a number
    found = audit(data, EXPECTED)
    assert found.complaints == ()
    assert b"ort_config" not in found.graph
    assert not found.graph.endswith(b"\xf8\x7f\x01")


GOOD = net().SerializeToString()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_never_pass(data: bytes):
    assert audit(data, EXPECTED).complaints


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_leaves_the_signature_whole(place: int, flip: int):
    data = bytearray(GOOD)
    data[place] ^= flip
    found = audit(bytes(data), EXPECTED)
    assert found.complaints or found.outputs == OUTPUTS


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(HOSTILE)), min_size=2, max_size=2, unique=True), st.integers(0, 10**6))
def test_protobufs_spliced_together_never_pass(names: list[str], cut: int):
    """Two hostile graphs one after the other are one message to protobuf: fields merge, lists grow."""
    one, other = (HOSTILE[name][0]().SerializeToString() for name in names)
    assert audit(one + other, EXPECTED).complaints
    audit(one[: cut % len(one)] + other, EXPECTED)  # whatever it is, it raises nothing


# Arithmetic on constants


def padded(pads: list[int], side: int) -> onnx.ModelProto:
    """The film padded by what exporters make of a list: constants joined, reshaped, turned and cast."""
    nodes = [
        helper.make_node("Concat", ["given", "zeros"], ["joined"], axis=0),
        helper.make_node("Reshape", ["joined", "pairs"], ["table"]),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("Reshape", ["turned", "line"], ["row"]),
        helper.make_node("Cast", ["row"], ["pads"], to=TensorProto.INT64),
        helper.make_node("Pad", ["film", "pads"], ["padded"]),
    ]
    weights = [
        numpy_helper.from_array(np.array(pads, np.int32), "given"),
        numpy_helper.from_array(np.array([0, 0, 0, 0], np.int32), "zeros"),
        numpy_helper.from_array(np.array([4, 2], np.int64), "pairs"),
        numpy_helper.from_array(np.array([-1], np.int64), "line"),
    ]
    made = net(film="padded", side=side)
    return model([*nodes, *made.graph.node], standard_outputs(), [*made.graph.initializer, *weights])


def test_paddings_worked_out_from_constants_are_understood_and_run_as_audited():
    made = padded([0, 0, 0, 0], SIDE)
    found = audit(made.SerializeToString(), EXPECTED)
    assert found.complaints == ()
    film = np.random.default_rng(0).random(SHAPE, np.float32)
    before, after = (
        onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(list(OUTPUTS), {"film": film})
        for data in (made.SerializeToString(), found.graph)
    )
    assert before[0] == pytest.approx(after[0])
    assert before[1] == pytest.approx(after[1])


def test_a_bomb_hidden_behind_arithmetic_is_still_seen():
    nodes = [
        helper.make_node("Concat", ["a", "a"], ["size"], axis=0),
        helper.make_node("ConstantOfShape", ["size"], ["big"]),
        helper.make_node("ReduceMean", ["big"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["film", "nothing"], ["film2"]),
    ]
    weights = [numpy_helper.from_array(np.array([30_000], np.int64), "a")]
    assert "MiB" in complaints(net(nodes, weights, "film2"))


def test_chains_that_would_grow_are_not_worked_out():
    """Joined to itself forty times it would have 2^40 numbers: the audit names it and holds none of them."""
    nodes = [helper.make_node("Concat", [f"n{i}", f"n{i}"], [f"n{i + 1}"], axis=0) for i in range(40)]
    nodes += [
        helper.make_node("ReduceMean", ["n40"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["film", "nothing"], ["film2"]),
    ]
    weights = [numpy_helper.from_array(np.ones(1, np.float32), "n0")]
    assert "MiB" in complaints(net(nodes, weights, "film2"))


CHAIN = padded([0, 0, 0, 0], SIDE).SerializeToString()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(CHAIN) - 1), st.integers(1, 255)), min_size=1, max_size=3))
def test_changed_arithmetic_is_refused_or_leaves_the_signature_whole(changes: list[tuple[int, int]]):
    data = bytearray(CHAIN)
    for place, flip in changes:
        data[place] ^= flip
    found = audit(bytes(data), EXPECTED)
    assert found.complaints or found.outputs == OUTPUTS
