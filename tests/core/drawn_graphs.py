"""Small ONNX graphs for tests, sound and hostile, made with the onnx package."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, FEATURES = 16, 4
SHAPE = (1, 1, SIDE, SIDE)
OUTPUTS: dict[str, tuple[int, ...]] = {"logit": (1,), "features": (1, FEATURES)}


def value(name: str, shape: Sequence[int | str | None], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
    inputs: Sequence[onnx.ValueInfoProto] | None = None,
    domains: Sequence[tuple[str, int]] = (("", 17),),
) -> onnx.ModelProto:
    inputs = [value("film", SHAPE)] if inputs is None else inputs
    graph = helper.make_graph(list(nodes), "drawn", list(inputs), list(outputs), list(weights))
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid(*each) for each in domains])


def standard_outputs() -> list[onnx.ValueInfoProto]:
    return [value(name, shape) for name, shape in OUTPUTS.items()]


def net(
    extra: Sequence[onnx.NodeProto] = (),
    weights: Sequence[onnx.TensorProto] = (),
    film: str = "film",
    side: int = SIDE,
    frames: int = 1,
    gain: float = 1.0,
) -> onnx.ModelProto:
    """logit [1] = gain * mean, features [1, 4] the means of quarters; `extra` nodes may make `film`."""
    shape = (1, frames, side, side)
    half = side // 2
    nodes = [
        *extra,
        helper.make_node("ReduceMean", [film], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "gain"], ["logit"]),
        helper.make_node("ReduceMean", [film], ["flat"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["flat"], ["pooled"], kernel_shape=[half, half], strides=[half, half]),
        helper.make_node("Flatten", ["pooled"], ["features"], axis=1),
    ]
    mine = [numpy_helper.from_array(np.array([gain], np.float32), "gain"), *weights]
    return model(nodes, standard_outputs(), mine, [value("film", shape)])


def bomb() -> onnx.ModelProto:
    """A few bytes that would allocate more than a gigabyte: ConstantOfShape, its mean added to the logit."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["big"]),
        helper.make_node("ReduceMean", ["big"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["film", "nothing"], ["film2"]),
    ]
    return net(nodes, [numpy_helper.from_array(np.array([300_000_000], np.int64), "size")], "film2")


def heavy(side: int, rounds: int, *, of_film: bool = True) -> onnx.ModelProto:
    """Allowed, and endless all the same: a chain of products of side x side matrices, after which the film follows.

    of_film  the chain begins with the film, so that no runtime works it out when it loads the graph
    """
    nodes = [helper.make_node("ConstantOfShape", ["size"], ["m" if of_film else "m0"])]
    if of_film:
        nodes += [
            helper.make_node("ReduceMean", ["film"], ["level"], keepdims=0),
            helper.make_node("Add", ["m", "level"], ["m0"]),
        ]
    for number in range(rounds):
        nodes.append(helper.make_node("MatMul", [f"m{number}", "m0"], [f"m{number + 1}"]))
    nodes += [
        helper.make_node("ReduceMean", [f"m{rounds}"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["film", "nothing"], ["film2"]),
    ]
    return net(nodes, [numpy_helper.from_array(np.array([side, side], np.int64), "size")], "film2")


def localising(gain: float = 1.0) -> onnx.ModelProto:
    """As net(), and `heat` [1, 1, 4, 4]: how bright each sixteenth of the film is."""
    plain = net(gain=gain)
    pool = helper.make_node("AveragePool", ["film"], ["heat"], kernel_shape=[SIDE // 4] * 2, strides=[SIDE // 4] * 2)
    outputs = [*standard_outputs(), value("heat", (1, 1, 4, 4))]
    return model([*plain.graph.node, pool], outputs, list(plain.graph.initializer))
