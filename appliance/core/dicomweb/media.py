"""Media types of DICOMweb (PS3.18 8.7): what a client takes, and messages of several parts (RFC 2046 5.1).

What is not well formed in an Accept field is passed over; what is left over and fits nothing here is refused with 406.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from appliance.errors import Refused

ACCEPT_CHARACTERS_MAX, RANGES_MAX = 2_000, 20
TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - a token of RFC 9110 5.6.2
RANGE = re.compile(rf"\s*({TOKEN}/{TOKEN})\s*((?:;[^,\"]*(?:\"[^\"]*\"[^,\";]*)?)*)\s*(?:,|$)")
PARAMETER = re.compile(rf";\s*({TOKEN})\s*=\s*(?:\"([^\"]*)\"|({TOKEN}))")
BULK = re.compile(r"[0-9A-F]{8}(-[0-9]{1,6}-[0-9A-F]{8}){0,8}")  # where a value stands, in an address of ours
JSON, DICOM, OCTETS, MULTIPART = (
    "application/dicom+json",
    "application/dicom",
    "application/octet-stream",
    "multipart/related",
)
EXPLICIT = "1.2.840.10008.1.2.1"
# PS3.18 Table 8.7.3-2 and -5: which media type a compressed frame has.
MEDIA_OF = {
    **dict.fromkeys((f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70)), "image/jpeg"),
    **dict.fromkeys((f"1.2.840.10008.1.2.4.{n}" for n in (80, 81)), "image/jls"),
    **dict.fromkeys((f"1.2.840.10008.1.2.4.{n}" for n in (90, 91)), "image/jp2"),
    **dict.fromkeys((f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203)), "image/jphc"),
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}


class Range(NamedTuple):
    """One alternative of an Accept field. of: the type of a multipart message's parts, "" where none is said."""

    kind: str
    of: str
    syntax: str
    quality: float


class Choice(NamedTuple):
    """How a frame is answered: as it is stored or unpacked, and how its part is called."""

    stored: bool
    content_type: str


def ranges(accept: str) -> list[Range]:
    """What a client takes, the most wanted first; everything where it says nothing."""
    found: list[Range] = []
    if len(accept) > ACCEPT_CHARACTERS_MAX:
        raise Refused("dicomweb-media-type")
    for kind, rest in RANGE.findall(accept)[:RANGES_MAX]:
        told = {name.lower(): quoted or plain for name, quoted, plain in PARAMETER.findall(rest)}
        try:
            quality = min(max(float(told.get("q", "1")), 0.0), 1.0)
        except ValueError:
            quality = 0.0
        if quality > 0:
            found.append(Range(kind.lower(), told.get("type", "").lower(), told.get("transfer-syntax", ""), quality))
    if not accept.strip():
        return [Range("*/*", "", "", 1.0)]
    return sorted(found, key=lambda each: -each.quality)


def takes_json(wanted: Iterable[Range]) -> None:
    """Raises Refused("dicomweb-media-type") for a client that does not take DICOM's JSON."""
    if not any(each.kind in (JSON, "application/json", "application/*", "*/*") for each in wanted):
        raise Refused("dicomweb-media-type")


def takes_object(wanted: Iterable[Range], syntaxes: Iterable[str]) -> None:
    """Raises Refused("dicomweb-media-type") for a client that does not take objects as they are stored.

    One that names no transfer syntax takes any: that is what archives do, where PS3.18 8.7.3.5.2
    would have them unpack.
    """
    ours = [each for each in wanted if each.kind == "*/*" or (each.kind == MULTIPART and each.of in ("", DICOM))]
    for syntax in syntaxes:
        if not any(each.syntax in ("", "*", syntax) for each in ours):
            raise Refused("dicomweb-media-type")


def choices(wanted: Iterable[Range], syntax: str) -> list[Choice]:
    """How a frame of an object in this syntax may be answered, the most wanted first.

    A client that does not care gets it unpacked (PS3.18 8.7.3.3.2), and stored where it cannot be.
    """
    media = MEDIA_OF.get(syntax)
    plain = Choice(False, f"{OCTETS}; transfer-syntax={EXPLICIT}")
    found: list[Choice] = []
    for each in wanted:
        if each.kind not in (MULTIPART, "*/*", OCTETS):
            continue
        kind = each.of if each.kind == MULTIPART and each.of not in ("", "*/*") else "*/*"
        kind = OCTETS if each.kind == OCTETS else kind
        if kind in (OCTETS, "*/*") and each.syntax == "*" and media:
            found.append(Choice(True, f"{OCTETS if kind == OCTETS else media}; transfer-syntax={syntax}"))
        if kind in (OCTETS, "*/*") and each.syntax in ("", "*", EXPLICIT):
            found.append(plain)
        if media and kind in (media, "image/*", "*/*") and each.syntax in ("", "*", syntax):
            found.append(Choice(True, f"{media}; transfer-syntax={syntax}"))
        if media and kind == OCTETS and each.syntax == syntax:
            found.append(Choice(True, f"{OCTETS}; transfer-syntax={syntax}"))
    if not found:
        raise Refused("dicomweb-media-type")
    return list(dict.fromkeys(found))


def picture(wanted: Iterable[Range]) -> str:
    """image/jpeg or image/png, whichever a client takes first."""
    for each in wanted:
        if each.kind in ("image/jpeg", "image/*", "*/*"):
            return "image/jpeg"
        if each.kind == "image/png":
            return "image/png"
    raise Refused("dicomweb-media-type")


def head(boundary: str, content_type: str, *, length: int, first: bool) -> bytes:
    """What stands before one part of a multipart message."""
    lines = f"--{boundary}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    return (lines if first else f"\r\n{lines}").encode("ascii")


def tail(boundary: str) -> bytes:
    return f"\r\n--{boundary}--\r\n".encode("ascii")


def multipart(boundary: str, parts: Iterable[tuple[str, bytes]]) -> bytes:
    """A whole message of (content type, bytes)."""
    made = bytearray()
    for number, (content_type, data) in enumerate(parts):
        made += head(boundary, content_type, length=len(data), first=number == 0) + data
    return bytes(made) + tail(boundary)


def multipart_type(of: str, boundary: str) -> str:
    return f'{MULTIPART}; type="{of.split(";")[0]}"; boundary={boundary}'
