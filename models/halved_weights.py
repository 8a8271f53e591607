"""Weights of a graph kept at half precision: half the bytes, the same arithmetic in float32. onnx; export only."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALL_BYTES = 1024


def halved(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with large float32 weights kept as float16 and cast back where they are used."""
    casts = []
    for weight in graph.graph.initializer:
        if weight.data_type != TensorProto.FLOAT or len(weight.raw_data) < SMALL_BYTES:
            continue
        name = weight.name
        half = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), f"{name}.half")
        weight.CopyFrom(half)
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(graph, full_check=True)
    return graph
