"""What an exported graph goes through before it is packed: constants folded, weights kept at half precision.

Folding leaves no size that only running it would tell, which the product's audit refuses. Halved weights are half the
bytes and the same arithmetic in float32. onnx and onnxruntime; export only.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SMALL_BYTES = 1024


def packed(path: Path) -> None:
    """Folds, halves and writes one graph anew."""
    options = onnxruntime.SessionOptions()
    # Basic: standard operators only; further levels write operators of the runtime's own.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path.with_suffix(".folded"))
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    folded = onnx.load(options.optimized_model_filepath)
    Path(options.optimized_model_filepath).unlink()
    del folded.graph.value_info[:]
    used = {node.domain for node in folded.graph.node}
    kept = [each for each in folded.opset_import if each.domain in used]
    del folded.opset_import[:]
    folded.opset_import.extend(kept)
    onnx.save(halved(onnx.shape_inference.infer_shapes(folded)), str(path))


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
