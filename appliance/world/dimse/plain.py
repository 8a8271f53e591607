"""What a C-STORE says beside its data set, read and written in a few lines where it is plain.

pydicom makes some fifty objects of a command set, of its answer and of the File Meta Information, and they cost more
than syncing an image does. Plain is a request with the seven elements that there must be and nothing besides, and
UIDs as the standard wants them. All else goes pynetdicom's own way; where both ways are open they end in the same.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from io import BytesIO
from typing import Any, TypeGuard

from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION, dsutils
from pynetdicom.dimse_primitives import C_STORE

PLAIN_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")  # PS3.5 9.1
UID_LENGTH_MAX = 64
HEADER = struct.Struct("<HHL")  # PS3.7 6.3.1: implicit VR, little endian
# PS3.7 Table 9.3-1 and 9.3-2: element numbers of group 0000, and their values
GROUP_LENGTH, SOP_CLASS, COMMAND, MESSAGE, RESPONDED = 0x0000, 0x0002, 0x0100, 0x0110, 0x0120
PRIORITY, DATA_SET, STATUS, SOP_INSTANCE = 0x0700, 0x0800, 0x0900, 0x1000
REQUEST, ANSWER, NO_DATA_SET = 0x0001, 0x8001, 0x0101
LENGTHS = {GROUP_LENGTH: 4, SOP_CLASS: 0, COMMAND: 2, MESSAGE: 2, PRIORITY: 2, DATA_SET: 2, SOP_INSTANCE: 0}  # 0: any


@dataclass(frozen=True, slots=True)
class Element:
    """What pynetdicom asks of an element of a command set."""

    keyword: str
    value: int | UID
    VM: int = 1


@dataclass(frozen=True, slots=True)
class Request:
    """What pynetdicom asks of the command set of a C-STORE."""

    AffectedSOPClassUID: UID
    CommandField: int
    MessageID: int
    Priority: int
    CommandDataSetType: int
    AffectedSOPInstanceUID: UID

    def __iter__(self) -> Iterator[Element]:
        return (Element(each.name, getattr(self, each.name)) for each in fields(self))


def decode(command: BytesIO, *how: bool) -> Any:
    """In the place of pynetdicom's: a plain request, or whatever pydicom makes of it."""
    return request_of(command.getvalue()) or dsutils.decode(command, *how)


def request_of(command: bytes) -> Request | None:
    """A plain request for C-STORE; None where it is none."""
    values, at = list[bytes](), 0
    for expected, expected_length in LENGTHS.items():
        if at + HEADER.size > len(command):
            return None
        group, element, length = HEADER.unpack_from(command, at)
        if (group, element) != (0, expected) or length != (expected_length or length):
            return None
        values.append(command[at + HEADER.size : at + HEADER.size + length])
        at += HEADER.size + length
    if at != len(command):
        return None
    kind, name = (value.removesuffix(b"\0").decode("latin-1") for value in (values[1], values[6]))
    command_field, message, priority, data_set = (int.from_bytes(value, "little") for value in values[2:6])
    if command_field != REQUEST or not _plain(kind) or not _plain(name):
        return None
    return Request(UID(kind), command_field, message, priority, data_set, UID(name))


def answer_of(answer: C_STORE) -> bytes | None:
    """The command set of an answer that says nothing besides its status; None where it says more."""
    kind, name = answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID
    message, status = answer.MessageIDBeingRespondedTo, answer.Status
    said_more = answer.OffendingElement is not None or answer.ErrorComment is not None
    if said_more or message is None or status is None or not _plain(kind) or not _plain(name):
        return None
    command = b"".join(
        HEADER.pack(0, element, len(value)) + value
        for element, value in (
            (SOP_CLASS, _padded(kind)),
            (COMMAND, _two(ANSWER)),
            (RESPONDED, _two(message)),
            (DATA_SET, _two(NO_DATA_SET)),
            (STATUS, _two(status)),
            (SOP_INSTANCE, _padded(name)),
        )
    )
    return HEADER.pack(0, GROUP_LENGTH, 4) + len(command).to_bytes(4, "little") + command


def file_meta(*, sop_class_uid: Any, sop_instance_uid: Any, transfer_syntax: Any) -> bytes:
    """In the place of pynetdicom's create_file_meta: the File Meta Information as it is written (PS3.10 7.1)."""
    if not (_plain(sop_class_uid) and _plain(sop_instance_uid) and _plain(transfer_syntax)):
        uids = {"sop_class_uid": sop_class_uid, "sop_instance_uid": sop_instance_uid}
        held = DicomBytesIO()
        write_file_meta_info(held, dsutils.create_file_meta(**uids, transfer_syntax=transfer_syntax))
        return held.getvalue()
    meta = b"\x02\x00\x01\x00OB\0\0\x02\0\0\0\x00\x01" + b"".join(
        struct.pack("<HH2sH", 2, element, kind, len(value)) + value
        for element, kind, value in (
            (0x0002, b"UI", _padded(sop_class_uid)),
            (0x0003, b"UI", _padded(sop_instance_uid)),
            (0x0010, b"UI", _padded(transfer_syntax)),
            (0x0012, b"UI", _padded(PYNETDICOM_IMPLEMENTATION_UID)),
            (0x0013, b"SH", PYNETDICOM_IMPLEMENTATION_VERSION.encode()),
        )
    )
    return struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(meta)) + meta


def write_file_meta(file: Any, meta: bytes) -> None:
    """In the place of pydicom's write_file_meta_info."""
    file.write(meta)


def _plain(uid: Any) -> TypeGuard[str]:
    return isinstance(uid, str) and len(uid) <= UID_LENGTH_MAX and PLAIN_UID.fullmatch(uid) is not None


def _padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def _two(number: int) -> bytes:
    return number.to_bytes(2, "little")
