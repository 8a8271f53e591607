"""Small arithmetic on constants, done before the audit asks for sizes: exporters write paddings and shapes that way.

Only a few operators, only on a few numbers, and by the reference evaluator of the onnx package. What is folded is
written into the graph as a weight, so that the runtime runs what was audited. It judges nothing: what it cannot fold it
leaves, and the audit then says that a size is not known.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

ITEMS_MAX = 1024  # numbers in or out of one folded operator
FOLDED_MAX = 2048  # operators
FOLDABLE = frozenset(
    ("Cast", "Concat", "Constant", "ConstantOfShape", "Gather", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
)
# What the evaluator raises on operators that contradict themselves, found by fuzzing.
ODD = (ValueError, TypeError, IndexError, KeyError, AttributeError, RuntimeError, OverflowError, AssertionError)
Constant = NDArray[np.generic]


def fold(model: onnx.ModelProto) -> None:
    """Replaces operators on small constants by their results, in place."""
    graph = model.graph
    constants = {each.name: each for each in graph.initializer if math.prod(each.dims) <= ITEMS_MAX}
    known: dict[str, Constant] = {}
    kept: list[onnx.NodeProto] = []
    taken = {each.name for each in (*graph.input, *graph.output, *graph.initializer)}
    for node in graph.node:
        found = None
        if len(known) < FOLDED_MAX and not taken & set(node.output):
            found = _folded(node, constants, known, model.opset_import)
        if found is None:
            kept.append(node)
        else:
            known[node.output[0]] = found
            taken.add(node.output[0])
    del graph.node[:]
    graph.node.extend(kept)
    wanted = {name for node in kept for name in node.input}
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in known.items() if name in wanted)


def _folded(
    node: onnx.NodeProto,
    constants: Mapping[str, onnx.TensorProto],
    known: Mapping[str, Constant],
    opsets: object,
) -> Constant | None:
    """What one operator gives; None where it is not to be folded, or cannot be."""
    if node.op_type not in FOLDABLE or node.domain not in ("", "ai.onnx") or len(node.output) != 1:
        return None
    inputs: dict[str, Constant] = {}
    try:
        for name in node.input:
            if not name:
                return None
            inputs[name] = known[name] if name in known else numpy_helper.to_array(constants[name])
        if sum(array.size for array in inputs.values()) > ITEMS_MAX or not _is_small(node, inputs):
            return None
        values = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for name, a in inputs.items()
        ]
        result = helper.make_empty_tensor_value_info(node.output[0])
        alone = helper.make_model(
            helper.make_graph([node], "one", values, [result]), opset_imports=opsets, ir_version=8
        )
        with np.errstate(all="ignore"):
            results: Any = ReferenceEvaluator(alone).run(None, inputs)
        found = np.asarray(results[0])
    except ODD:
        return None
    return found if found.dtype.kind in "fiub" and found.size <= ITEMS_MAX else None


def _is_small(node: onnx.NodeProto, inputs: Mapping[str, Constant]) -> bool:
    """Whether the result is sure to be small, before it is made: only two of the operators can grow."""
    if node.op_type == "ConstantOfShape":
        shape = [int(side) for side in inputs[node.input[0]].ravel()]
        return all(side >= 0 for side in shape) and math.prod(shape) <= ITEMS_MAX
    if node.op_type == "Constant":
        sizes = [math.prod(each.t.dims) for each in node.attribute if each.name == "value"]
        return len(node.attribute) == 1 and bool(sizes) and sizes[0] <= ITEMS_MAX
    if node.op_type == "Gather":
        rows, picked = (inputs[name] for name in node.input)
        return rows.size * picked.size <= ITEMS_MAX
    return True
