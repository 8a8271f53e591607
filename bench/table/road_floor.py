"""The other sides of the road: bare library calls, stage by stage, and what a careful user of pydicom writes.

The floor is what any program must do for the same answer, each call by the fastest library here, isolated: read, one
digest, one walk over the tags, decode, the viewer's frame, resize and both exits of the model where it applies, one
copy of the bytes for the de-identified object, one more walk for its inspection, one sealed and signed document
written durably, one commit in each of the two ledgers. Where pictures leave: one coded picture, and the text
networks on the very tensors that ours gave them. It keeps no attempt, no move and no gate.
"""

import hashlib
import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import imagecodecs
import numpy as np
import onnxruntime
import pydicom
import pysqlite3.dbapi2 as sqlite3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from numpy.typing import NDArray
from pydicom.encaps import generate_frames

from appliance.core.pixels import decode
from bench.table.corpus import KINDS, ROOT

PIXEL_DATA = 0x7FE00010
LONG = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"))
BARE: dict[str, Callable[[bytes], Any]] = {
    "rle": lambda frame: imagecodecs.dicomrle_decode(frame, "<u2"),
    "jpeg-lossless": imagecodecs.jpeg8_decode,
    "jpeg-ls": imagecodecs.jpegls_decode,
    "j2k": imagecodecs.jpeg2k_decode,
    "htj2k": imagecodecs.htj2k_decode,
    "jpeg": imagecodecs.jpeg8_decode,
}
Stage = Callable[[bytes], object]


def walk(data: bytes) -> int:
    """Steps over every top-level element of Explicit VR Little Endian; the number of them (PS3.5 7.1.2)."""
    head, length = struct.Struct("<HH2sH").unpack_from, struct.Struct("<I").unpack_from
    at, end, count = 132, len(data), 0
    while at < end:
        group, element, vr, short = head(data, at)
        count += 1
        if vr in LONG:
            size = length(data, at + 8)[0]
            if group << 16 | element == PIXEL_DATA:
                return count
            at += 12 + size
        else:
            at += 8 + short
    return count


def session(path: Path | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = path if isinstance(path, bytes) else path.read_bytes()
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class Model:
    """The package's own graphs, run bare on a film."""

    def __init__(self) -> None:
        (package,) = sorted((ROOT / "models").glob("cxr-paediatric-pneumonia/*/"))
        self.graphs = [session(package / name) for name in ("check.onnx", "exit1.onnx", "exit2.onnx")]

    def __call__(self, pixels: NDArray[Any]) -> float:
        check, first, second = self.graphs
        check.run(None, {check.get_inputs()[0].name: resized(pixels, check.get_inputs()[0].shape[-1])})
        tensor = resized(pixels, first.get_inputs()[0].shape[-1])
        (trunk,) = first.run(["trunk"], {first.get_inputs()[0].name: tensor})
        return float(second.run(["logit"], {second.get_inputs()[0].name: trunk})[0][0])


def resized(pixels: NDArray[Any], side_px: int) -> NDArray[np.float32]:
    small = cv2.resize(pixels.astype(np.float32), (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)[None, None]


def text_networks(data: bytes) -> Callable[[], None]:
    """What redaction, the last look and the look at the key image give their networks for one file, run bare."""
    from bench.table.road_ours import road

    asked: list[tuple[Any, Any, Any]] = []
    plain = onnxruntime.InferenceSession.run

    def noted(self: Any, names: Any, tensors: Any, *more: Any) -> Any:
        asked.append((self, names, {name: value.copy() for name, value in tensors.items()}))
        return plain(self, names, tensors, *more)

    with (
        tempfile.TemporaryDirectory(prefix="bench-eyes-") as folder,
        patch.object(onnxruntime.InferenceSession, "run", noted),
        road(Path(folder), "whole") as taken,
    ):
        taken([data])

    def again() -> None:
        for own, names, tensors in asked:
            own.run(names, tensors)

    return again


def decoder(kind: str, data: bytes) -> Stage:
    """The frames of one file cut out beforehand; the stage decodes them."""
    syntax = KINDS[kind][1]
    dataset = pydicom.dcmread(BytesIO(data))
    if syntax not in BARE:
        return lambda data: np.frombuffer(data, np.uint8, len(dataset.PixelData), len(data) - len(dataset.PixelData))
    frames = list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames", 1) or 1)))
    bare = BARE[syntax]
    return lambda _: [bare(frame) for frame in frames]


def stages(kind: str, how: str, files: list[bytes], folder: Path) -> Iterator[tuple[str, Stage]]:
    """Stage by stage; each is called once with each file."""
    stored = decode(files[0], pixels_max=2**28).stored
    pixels = stored[0] if len(stored) == 1 else stored
    yield "read", partial(_read, folder / "one.dcm")
    yield "digest", lambda data: hashlib.sha256(data).digest()
    yield "walk", walk
    yield "decode", decoder(kind, files[0])
    yield "frame", lambda _: (folder / "frame.raw").write_bytes(pixels.tobytes())
    if KINDS[kind][0] == "film":
        model = Model()
        yield "model", lambda _: model(pixels)
    yield "copy", lambda data: b"".join((memoryview(data)[:132], memoryview(data)[132:]))
    if how != "uninspected":
        yield "inspect", walk
    if how == "whole":
        grey = cv2.normalize(pixels.astype(np.float32), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
        yield "picture", lambda _: cv2.imencode(".png", grey)
        eyes = text_networks(files[0])
        yield "eyes", lambda _: eyes()
    yield "seal", _seal(folder)
    yield "commit", _commit(folder)


def _read(path: Path, data: bytes) -> bytes:
    if not path.exists():
        path.write_bytes(data)
    return path.read_bytes()


def _seal(folder: Path) -> Stage:
    own, theirs, pen = (
        X25519PrivateKey.generate(),
        X25519PrivateKey.generate().public_key(),
        Ed25519PrivateKey.generate(),
    )
    document = os.urandom(4096)

    def sealed(_: bytes) -> None:
        key = own.exchange(theirs)
        closed = ChaCha20Poly1305(key).encrypt(bytes(12), document, None)
        written(folder / "part", closed + pen.sign(closed))

    return sealed


def written(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _commit(folder: Path) -> Stage:
    ledgers = []
    for name in ("studies.db", "cases.db"):
        ledger = sqlite3.connect(str(folder / name), isolation_level=None)
        ledger.execute("pragma journal_mode = wal")
        ledger.execute("pragma synchronous = full")
        ledger.execute("create table if not exists result (study blob, score real)")
        ledgers.append(ledger)

    def committed(data: bytes) -> None:
        for ledger in ledgers:
            ledger.execute("insert into result values (?, ?)", (data[300:364], 0.5))

    return committed


def floor(kind: str, how: str, files: list[bytes], folder: Path) -> dict[str, float]:
    """Seconds of processor time a file, by stage."""
    spent = {}
    for name, stage in stages(kind, how, files, folder):
        stage(files[0])  # warm
        began = time.process_time()
        for data in files:
            stage(data)
        spent[name] = (time.process_time() - began) / len(files)
    return spent
