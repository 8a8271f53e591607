"""Whether an ONNX graph may be run at all: asked of its bytes, before any runtime sees them.

A graph is a program from a stranger. This reads it as data and names everything that makes it more than arithmetic on
arrays of known size: data from other files, foreign operators, functions, branches and loops, chance, sizes that only
running it would tell, more memory than a film needs, other inputs and outputs than the manifest says. It is to be
called where a crash or an exhausted memory hurts nobody: the parser and the shape inference are native code.
source: ONNX IR specification; the holes closed here are those of CVE-2022-25882, -2024-27318, -2025-51480 and of graphs
of a hundred bytes that allocate a gigabyte.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message

from appliance.core.graph_fold import fold

GRAPH_BYTES_MAX = 64 * 2**20
NODES_MAX = 4096
TENSOR_BYTES_MAX = 128 * 2**20  # of one intermediate
TENSORS_BYTES_MAX = 2 * 2**30  # of all intermediates together; the runtime frees them as it goes
RANK_MAX = 8
IR_VERSION_MIN, IR_VERSION_MAX = 4, 13
OPSETS_MAX: dict[str, int] = {"": 26, "ai.onnx": 26, "ai.onnx.ml": 5}
COMPLAINTS_MAX = 20
# Operators that draw by chance: the same film would be told two things.
BY_CHANCE = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
CONTROL = frozenset({"If", "Loop", "Scan", "SequenceMap"})
T = onnx.TensorProto
BYTES_OF: dict[int, int] = {
    T.FLOAT: 4, T.DOUBLE: 8, T.FLOAT16: 2, T.BFLOAT16: 2, T.BOOL: 1,
    T.INT8: 1, T.INT16: 2, T.INT32: 4, T.INT64: 8, T.UINT8: 1, T.UINT16: 2, T.UINT32: 4, T.UINT64: 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expected:
    """The one signature a graph may have; every array is float32.

    outputs  by name; a shape of None is not fixed beforehand, but static and within the limits all the same
    """

    input_name: str
    input_shape: tuple[int, ...]
    outputs: Mapping[str, tuple[int, ...] | None]


@dataclass(frozen=True, slots=True)
class Audited:
    """What was found: complaints in words (none: the graph may be run), shapes of the outputs, and what to run.

    graph  the graph written anew from what was understood, so that the runtime sees nothing that the audit did not
    """

    complaints: tuple[str, ...]
    outputs: dict[str, tuple[int, ...]]
    graph: bytes


def audit(data: bytes, expected: Expected) -> Audited:
    """Looks a graph over. It never raises over what the bytes hold."""
    if len(data) > GRAPH_BYTES_MAX:
        return _refused([f"the graph has more than {GRAPH_BYTES_MAX // 2**20} MiB"])
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        return _refused(["the file is no ONNX graph"])
    model.DiscardUnknownFields()
    if not all(_legible(each) for each in _messages(model)):
        return _refused(["a name that is no text"])  # the parser hands it out as bytes, which nothing below expects
    complaints = [*_outside(model), *_not_arithmetic(model)]
    if complaints:
        return _refused(complaints)
    fold(model)
    shapes, complaints = _shapes(model)
    if complaints:
        return _refused(complaints)
    complaints = _signature(model, shapes, expected)
    for part in (model, model.graph, *model.graph.node):
        part.ClearField("metadata_props")  # a runtime may take settings from there
    outputs = {each.name: shapes[each.name] for each in model.graph.output if each.name in shapes}
    return _refused(complaints) if complaints else Audited((), outputs, model.SerializeToString())


def _refused(complaints: list[str]) -> Audited:
    once = list(dict.fromkeys(complaints))
    return Audited(tuple(once[:COMPLAINTS_MAX]), {}, b"")


def _messages(message: Message) -> Iterator[Message]:
    """The message and every message in it, however deep; protobuf itself refuses more than a hundred levels."""
    todo = [message]
    while todo:
        here = todo.pop()
        yield here
        for field, value in here.ListFields():
            if field.type == field.TYPE_MESSAGE:
                todo += [value] if isinstance(value, Message) else list(value)


def _outside(model: onnx.ModelProto) -> list[str]:
    """What reaches out of the file, or claims another size than it has, anywhere in the graph."""
    found = []
    for each in _messages(model):
        if isinstance(each, onnx.TensorProto):
            if each.data_location == T.EXTERNAL or each.external_data:
                found.append("a weight lies in another file; store it in the graph")
            if _weight_bytes(each) is None:
                found.append("a weight has a type or size that is not allowed")
        elif isinstance(each, onnx.SparseTensorProto):
            found.append("a sparse weight; store it as a dense one")
        elif isinstance(each, onnx.GraphProto) and each is not model.graph:
            found.append("a graph within the graph")
    return found


def _legible(message: Message) -> bool:
    texts = [value for field, value in message.ListFields() if field.type == field.TYPE_STRING]
    return all(isinstance(text, str) for each in texts for text in ([each] if isinstance(each, str | bytes) else each))


def _weight_bytes(tensor: onnx.TensorProto) -> int | None:
    """Bytes of a weight; None for strings, odd types, negative sides and sizes beyond the limit."""
    size = BYTES_OF.get(tensor.data_type)
    if size is None or any(side < 0 for side in tensor.dims) or len(tensor.dims) > RANK_MAX:
        return None
    total = math.prod(tensor.dims) * size
    return total if total <= TENSOR_BYTES_MAX else None


def _not_arithmetic(model: onnx.ModelProto) -> list[str]:
    """What is more than a fixed chain of the standard's own operators."""
    found = []
    if not IR_VERSION_MIN <= model.ir_version <= IR_VERSION_MAX:
        found.append(f"the IR version is not one of {IR_VERSION_MIN} to {IR_VERSION_MAX}")
    for opset in model.opset_import:
        if opset.domain not in OPSETS_MAX:
            found.append("operators of a foreign domain; only those of ONNX and ONNX-ML are run")
        elif not 1 <= opset.version <= OPSETS_MAX[opset.domain]:
            found.append("an operator set of a version that is not known here")
    if model.functions:
        found.append("functions of its own; inline them")
    if model.training_info:
        found.append("training information; export for inference")
    if model.graph.sparse_initializer:
        found.append("a sparse weight; store it as a dense one")
    if len(model.graph.node) > NODES_MAX:
        found.append(f"more than {NODES_MAX} nodes")
    for node in model.graph.node:
        if node.domain not in OPSETS_MAX:
            found.append("operators of a foreign domain; only those of ONNX and ONNX-ML are run")
        elif not onnx.defs.has(node.op_type, "" if node.domain == "ai.onnx" else node.domain):
            found.append("an operator that the standard does not know")
        elif node.op_type in CONTROL:
            found.append(f"{node.op_type}: branches and loops are not run")
        elif node.op_type in BY_CHANCE:
            found.append(f"{node.op_type}: chance has no place in a decision")
    return found


def _shapes(model: onnx.ModelProto) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Shape of every intermediate by name, and what is wrong: a size unknown before the run, too large, no number."""
    try:
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        return {}, ["the graph contradicts itself, or a shape in it cannot be told"]
    graph = inferred.graph
    known = {each.name: each.type for each in (*graph.input, *graph.value_info, *graph.output)}
    shapes: dict[str, tuple[int, ...]] = {}
    found, total = [], 0
    for name in [*(each.name for each in graph.input), *(name for node in graph.node for name in node.output if name)]:
        shape = _static(known.get(name))
        if shape is None:
            found.append("an array whose size is known only when it is run; export with fixed shapes")
            continue
        size = math.prod(shape) * BYTES_OF[known[name].tensor_type.elem_type]
        if size > TENSOR_BYTES_MAX:
            found.append(f"an array of more than {TENSOR_BYTES_MAX // 2**20} MiB")
        shapes[name], total = shape, total + size
    if total > TENSORS_BYTES_MAX:
        found.append(f"arrays of more than {TENSORS_BYTES_MAX // 2**30} GiB together")
    return shapes, found


def _static(told: onnx.TypeProto | None) -> tuple[int, ...] | None:
    """The fixed shape of a numeric array; None for anything else."""
    if told is None or told.WhichOneof("value") != "tensor_type" or told.tensor_type.elem_type not in BYTES_OF:
        return None
    if not told.tensor_type.HasField("shape") or len(told.tensor_type.shape.dim) > RANK_MAX:
        return None
    sides: list[Any] = [side.dim_value if side.HasField("dim_value") else -1 for side in told.tensor_type.shape.dim]
    return tuple(sides) if all(side >= 0 for side in sides) else None


def _signature(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], expected: Expected) -> list[str]:
    """How inputs and outputs differ from what the manifest says."""
    found = []
    inputs = [(each.name, each.type.tensor_type.elem_type, shapes.get(each.name)) for each in model.graph.input]
    if inputs != [(expected.input_name, T.FLOAT, expected.input_shape)]:
        found.append(f"the inputs are not the one of the manifest: float32 {list(expected.input_shape)}")
    given = {each.name: each.type.tensor_type.elem_type for each in model.graph.output}
    if len(given) != len(model.graph.output) or given.keys() != expected.outputs.keys():
        found.append("the outputs are not those of the manifest, each once")
        return found
    for name, shape in expected.outputs.items():
        if given[name] != T.FLOAT or (shape is not None and shapes.get(name) != shape) or name not in shapes:
            wanted = "of fixed shape" if shape is None else str(list(shape))
            found.append(f"the output {name} is not float32 {wanted}")
    return found
