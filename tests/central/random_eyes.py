"""A vision tower of random numbers in the form llama.cpp takes (LLaVA's, one layer), for the wiring of pictures only.

No medical vision-language model can be had where this is tested. With this file the real server takes pictures, decodes
them and puts them before the real language model; what they become there means nothing.
"""

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

IMAGE_PX, PATCH_PX, WIDTH, HIDDEN, HEADS, BLOCKS = 56, 14, 64, 128, 4, 1
TEXT_WIDTH = 896  # of Qwen2.5-0.5B


def write(path: Path, seed: int = 1) -> None:
    draw = np.random.default_rng(seed)

    def random(*shape: int) -> NDArray[np.float32]:
        return (draw.standard_normal(shape) * 0.02).astype(np.float32)

    made = gguf.GGUFWriter(path, "clip")
    made.add_bool("clip.has_vision_encoder", True)
    made.add_string("clip.projector_type", "mlp")
    made.add_uint32("clip.vision.image_size", IMAGE_PX)
    made.add_uint32("clip.vision.patch_size", PATCH_PX)
    made.add_uint32("clip.vision.embedding_length", WIDTH)
    made.add_uint32("clip.vision.feed_forward_length", HIDDEN)
    made.add_uint32("clip.vision.projection_dim", TEXT_WIDTH)
    made.add_uint32("clip.vision.attention.head_count", HEADS)
    made.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    made.add_uint32("clip.vision.block_count", BLOCKS + 1)  # LLaVA does not use the last one
    made.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    made.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    made.add_bool("clip.use_gelu", True)
    places = (IMAGE_PX // PATCH_PX) ** 2
    tensors = {
        "v.class_embd": random(WIDTH),
        "v.patch_embd.weight": random(WIDTH, 3, PATCH_PX, PATCH_PX),
        "v.position_embd.weight": random(places + 1, WIDTH),
        "mm.0.weight": random(TEXT_WIDTH, WIDTH),
        "mm.0.bias": random(TEXT_WIDTH),
        "mm.2.weight": random(TEXT_WIDTH, TEXT_WIDTH),
        "mm.2.bias": random(TEXT_WIDTH),
    }
    for name in ("v.pre_ln", *(f"v.blk.{block}.ln{each}" for block in range(BLOCKS + 1) for each in (1, 2))):
        tensors |= {f"{name}.weight": np.ones(WIDTH, np.float32), f"{name}.bias": np.zeros(WIDTH, np.float32)}
    for block in range(BLOCKS + 1):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            tensors |= {f"v.blk.{block}.{name}.weight": random(WIDTH, WIDTH)}
            tensors |= {f"v.blk.{block}.{name}.bias": random(WIDTH)}
        for name, shape in (("ffn_up", (HIDDEN, WIDTH)), ("ffn_down", (WIDTH, HIDDEN))):
            tensors |= {f"v.blk.{block}.{name}.weight": random(*shape), f"v.blk.{block}.{name}.bias": random(shape[0])}
    for name, data in tensors.items():
        made.add_tensor(name, data)
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()
