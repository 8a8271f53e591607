"""Plants in the bytes beside the picture: comments of codestreams, high bits, padding, icons, overlays."""

import struct

import cv2
import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence

from tests.deid.sheet import Sheet

JPEG_MAGIC, J2K_MAGIC = b"\xff\xd8", b"\xff\x4f"
SOURCES = (  # every kind of codestream that the packages ship
    *("SC_rgb_jpeg_dcmtk.dcm", "JPEG-lossy.dcm", "SC_rgb_jpeg_gdcm.dcm", "MR_small_jpeg_ls_lossless.dcm"),
    *("MR_small_jp2klossless.dcm", "693_J2KI.dcm", "emri_small_jpeg_ls_lossless.dcm", "SC_rgb_dcmtk_+eb+cr.dcm"),
    *("JPEGLSNearLossless_16.dcm", "emri_small_jpeg_2k_lossless.dcm", "MR_small_RLE.dcm"),
)


def _segment(marker: int, text: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(text) + 2) + text


def exif(text: str) -> bytes:
    """An APP1 segment whose first tag is an artist."""
    raw = text.encode() + b"\0"
    head = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x013B, 2, len(raw), 26) + b"\0\0\0\0"
    return b"Exif\0\0" + head + raw


def talkative(frame: bytes, words: list[str]) -> bytes:
    """The frame with what a codec may carry besides the picture: comments, EXIF, unknown segments, bytes behind."""
    comment, artist, vendor, behind = (word.encode() for word in words)
    if frame[:2] == JPEG_MAGIC:
        extra = _segment(0xFE, b"by " + comment) + _segment(0xE1, exif(artist.decode())) + _segment(0xEB, vendor)
        return frame[:2] + extra + frame[2:] + behind
    if frame[:2] == J2K_MAGIC:
        size = struct.unpack(">H", frame[4:6])[0]
        main = 4 + size  # after SIZ
        extra = b"\xff\x64" + struct.pack(">HH", len(comment) + 4, 1) + comment
        extra += b"\xff\x64" + struct.pack(">HH", len(artist) + len(vendor) + 5, 0) + artist + b" " + vendor
        return frame[:main] + extra + frame[main:] + behind
    return frame + behind


def codestream(sheet: Sheet) -> None:
    """Every frame of the object gets words of its own."""
    dataset = sheet.dataset
    frames = []
    number = int(dataset.get("NumberOfFrames") or 1)
    for at, frame in enumerate(generate_frames(dataset.PixelData, number_of_frames=number)):
        words = [sheet.words.word() for _ in range(4)]
        if at in (0, number - 1):
            kept = words if frame[:2] in (JPEG_MAGIC, J2K_MAGIC) else words[3:]
            for word in kept:
                sheet.expect("codestream", "pixels", "text", word)
        frame = talkative(frame.rstrip(b"\0") if frame[:2] == JPEG_MAGIC else frame, words)
        frames.append(frame + b"\0" * (len(frame) % 2))
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True


def behind(sheet: Sheet) -> None:
    """Bytes after the last native frame."""
    token = sheet.words.word()
    text = f"{token} was the last".encode()
    sheet.dataset.PixelData += text + b" " * (len(text) % 2)
    sheet.expect("trailing", "pixels", "text", token)


def bitmap(text: str, rows: int, columns: int) -> np.ndarray:
    """uint8 [row, column], 1 where the text stands."""
    image = np.zeros((rows, columns), np.uint8)
    scale = columns / (20.0 * len(text))
    cv2.putText(image, text, (2, rows // 2), cv2.FONT_HERSHEY_SIMPLEX, scale, 1, 1)
    return image


def high_bits(sheet: Sheet) -> None:
    """A name drawn in the bits above BitsStored, and one more in a described embedded overlay there."""
    dataset = sheet.dataset
    rows, columns = dataset.Rows, dataset.Columns
    words = np.frombuffer(dataset.PixelData, "<u2").reshape(-1, rows, columns).copy()
    stored = 12
    words &= (1 << stored) - 1
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = stored, stored - 1, 0
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue"):
        if keyword in dataset:
            del dataset[keyword]
    name = bitmap(sheet.words.word(), rows, columns)
    words |= (name.astype(np.uint16) << 15) | (np.roll(name, rows // 4, 0).astype(np.uint16) << 12)
    dataset.PixelData = words.tobytes()
    sheet.expect("high_bits", "pixels", "highbits", str(stored))
    overlay(sheet, 0x6004, bit=12)


def overlay(sheet: Sheet, group: int = 0x6000, bit: int = 0) -> None:
    """A name as an overlay plane, its bits in the group or (`bit` > 0) described as lying in the picture's."""
    dataset, base = sheet.dataset, group << 16
    rows, columns = dataset.Rows, dataset.Columns
    for element, vr, value in (
        *((0x0010, "US", rows), (0x0011, "US", columns), (0x0040, "CS", "G"), (0x0050, "SS", [1, 1])),
        *((0x0100, "US", 16 if bit else 1), (0x0102, "US", bit)),
    ):
        dataset.add_new(base | element, vr, value)
    for element, vr in ((0x0022, "LO"), (0x1500, "LO")):
        sheet.put("overlay", base | element, vr)
    if bit or rows * columns < 1024:
        return
    bits = np.packbits(bitmap(sheet.words.word(), rows, columns).ravel(), bitorder="little").tobytes()
    dataset.add_new(base | 0x3000, "OW", bits + b"\0" * (len(bits) % 2))
    sheet.expect("overlay", f"{base | 0x3000:08X}", "blob", _telling(bits))


def _telling(data: bytes, size: int = 24) -> str:
    """The liveliest stretch of some bytes, in hex."""
    best = max(range(0, max(1, len(data) - size), 4), key=lambda at: len(set(data[at : at + size])))
    return data[best : best + size].hex()


def icon(sheet: Sheet) -> None:
    item = Dataset()
    item.Rows = item.Columns = 64
    item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
    item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 8, 8, 7, 0
    noise = np.random.default_rng(sheet.rng.randrange(1 << 30)).integers(0, 40, (64, 64))
    item.PixelData = (bitmap(sheet.words.word(4), 64, 64) * 200 + noise).astype(np.uint8).tobytes()
    item["PixelData"].VR = "OB"
    sheet.dataset.IconImageSequence = Sequence([item])
    sheet.expect("icon", "00880200[0].7FE00010", "blob", _telling(item.PixelData))


def signatures(sheet: Sheet) -> None:
    """A digital signature and its certificate; nothing of it can be true of the cleaned object."""
    item = Dataset()
    item.MACIDNumber = 1
    item.DigitalSignatureUID = sheet.words.uid()
    item.CertificateType = "X509_1993_SIG"
    token = sheet.words.word()
    raw = f"CN={token}, O=Klinik".encode()
    item.CertificateOfSigner = raw + b"\0" * (len(raw) % 2)
    item.Signature = b"\1\2\3\4"
    item.DigitalSignatureDateTime = "20200102030405"
    sheet.dataset.add_new(0xFFFAFFFA, "SQ", Sequence([item]))
    sheet.expect("signature", "FFFAFFFA[0].04000115", "text", token)
    sheet.expect("signature", "FFFAFFFA[0].04000100", "text", str(item.DigitalSignatureUID))


def as_jpeg_ls_16(dataset: FileDataset) -> None:
    """Packs all sixteen bits of each word, so that the bits above BitsStored travel in the codestream."""
    words = np.frombuffer(dataset.PixelData, "<u2").reshape(-1, dataset.Rows, dataset.Columns)
    frames = [imagecodecs.jpegls_encode(frame) for frame in words]
    dataset.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2) for frame in frames])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
