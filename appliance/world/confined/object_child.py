"""The process in which objects are read for DICOMweb: `python -m appliance.world.confined.object_child P M CPU`.

P, M and CPU are the parent's id, bytes of memory, and seconds of processor time that one request may take.

It holds one object at a time, which it is handed over a pipe, and answers what it is asked of it. Once it is confined
it can make no descriptor any more: no file, no socket, no process. Whatever is odd, it refuses with a code or dies.
"""

import codecs
import json
import math
import os
import resource
import sys
import time
import warnings
from io import BytesIO

import imagecodecs
import numpy as np
import pydicom
from pydicom.charset import python_encoding
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from appliance.core import pixels
from appliance.core.admit import DAMAGE
from appliance.core.codecs import CODEC_DAMAGE
from appliance.core.dicomweb import objects
from appliance.core.dicomweb.asking import BULK, FRAME, METADATA, OPEN, PICTURE, READY, STORED_FRAME
from appliance.core.frames import DONE, HEAD, REFUSED, head, lengths
from appliance.core.pixel_header import Layout, layout_of
from appliance.errors import Fault, Quarantined
from appliance.world.confined.confinement import confine


class Held:
    """The object that is asked about."""

    def __init__(self) -> None:
        self.data = b""
        self.dataset: pydicom.FileDataset | None = None
        self.layout: Layout | Quarantined = Quarantined("pixel-missing")
        self.image: pixels.Image | None = None

    def answer(self, act: int, text: bytes, body: bytearray) -> tuple[int, bytes, bytes]:
        try:
            return DONE, b"", self._answer(act, json.loads(text), body)
        except Fault as fault:
            return REFUSED, fault.code.encode(), b""
        except (*DAMAGE, *CODEC_DAMAGE):
            return REFUSED, b"object-unreadable", b""

    def _answer(self, act: int, told: dict[str, object], body: bytearray) -> bytes:
        if act == READY:
            return b""
        if act == OPEN:
            self.dataset, self.image = None, None  # room for the next one
            self.data = bytes(body)
            self.dataset = objects.read(self.data)
            try:
                self.layout = layout_of(self.dataset)
            except Quarantined as fault:  # its header can be told all the same
                self.layout = fault
            return b""
        assert self.dataset is not None
        if act == METADATA:
            return objects.metadata(self.dataset, str(told["address"]))
        if act in (FRAME, STORED_FRAME):
            if isinstance(self.layout, Quarantined):
                raise self.layout
            return objects.frame(self.dataset, self.layout, int(str(told["number"])), stored=act == STORED_FRAME)
        if act == BULK:
            return objects.bulk(self.dataset, str(told["path"]))
        assert act == PICTURE
        if self.image is None:
            self.image = pixels.decode(self.data, pixels_max=objects.PIXELS_MAX)
        number = int(str(told.pop("number")))
        return objects.picture(self.image, number, **told)  # type: ignore[arg-type]


def rehearsed() -> None:
    """Everything once, before nothing can be loaded any more: character sets, codecs, pictures."""
    for encoding in {each for each in python_encoding.values() if isinstance(each, str)}:
        codecs.lookup(encoding)
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    packed = {
        ExplicitVRLittleEndian: values.tobytes(),
        JPEGBaseline8Bit: bytes(imagecodecs.jpeg8_encode(values)),
        JPEGLSLossless: bytes(imagecodecs.jpegls_encode(values)),
        JPEG2000Lossless: bytes(imagecodecs.jpeg2k_encode(values, codecformat="J2K")),
        RLELossless: b"\0" * 64,
    }
    for syntax, encoded in packed.items():
        held = Held()
        held.answer(OPEN, b"{}", bytearray(_sample(syntax, encoded)))
        for act, told in ((METADATA, {"address": ""}), (FRAME, {"number": 1}), (STORED_FRAME, {"number": 1})):
            held.answer(act, json.dumps(told).encode(), bytearray())
        for kind in ("image/jpeg", "image/png"):
            held.answer(PICTURE, json.dumps({"number": 1, "kind": kind}).encode(), bytearray())
    assert callable(imagecodecs.dicomrle_decode)  # it loads each codec when that is first named


def _sample(syntax: UID, encoded: bytes) -> bytes:
    """A file of ours in this syntax."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID("2.25.1")
    dataset.SpecificCharacterSet, dataset.PatientName = ["", "ISO 2022 IR 87"], "A"
    dataset.Rows = dataset.Columns = 16
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = encapsulate([encoded]) if syntax.is_compressed else encoded
    dataset["PixelData"].VR = "OB"
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def serve(inward: int, outward: int, cpu_s: int) -> None:
    """Answers requests until there are no more; a request that is odd ends it."""
    held = Held()
    while (told := _exactly(inward, HEAD.size)) is not None:
        parts = lengths(bytes(told))
        if parts is None:
            return
        act, text_bytes, body_bytes = parts
        text, body = _exactly(inward, text_bytes), _exactly(inward, body_bytes)
        if text is None or body is None:
            return
        soft = math.ceil(time.process_time()) + cpu_s
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
        status, said, out = held.answer(act, bytes(text), body)
        _all(outward, head(status, said, len(out)) + said)
        _all(outward, out)


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
    warnings.simplefilter("ignore")  # a warning's text may quote a data set
    rehearsed()
    confine(parent, memory_bytes, processes=0, open_files=0)
    serve(sys.stdin.fileno(), outward, cpu_s)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
