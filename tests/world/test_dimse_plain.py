"""What is read and written of a C-STORE without pydicom is what pynetdicom reads and writes; the rest is left to it."""

import struct
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filewriter import write_file_meta_info
from pynetdicom import dsutils
from pynetdicom.dimse_messages import C_STORE_RQ, C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE

from appliance.world.dimse import plain

KIND, NAME, SYNTAX = "1.2.840.10008.5.1.4.1.1.2", "1.2.826.0.1.3680043.10.1511.1", "1.2.840.10008.1.2.1"
PART = st.integers(0, 10**12).map(str)
UIDS = st.lists(PART, min_size=1, max_size=9).map(".".join).filter(lambda uid: len(uid) <= plain.UID_LENGTH_MAX)
TWO_BYTES = st.integers(0, 0xFFFF)


def command(message: Any, primitive: C_STORE) -> bytes:
    """The command set as pynetdicom writes it."""
    message.primitive_to_message(primitive)
    return next(message.encode_msg(1, 0)).presentation_data_value_list[0][1][1:]  # type: ignore[no-any-return]


def request(**told: Any) -> bytes:
    asked = C_STORE()
    asked.MessageID, asked.Priority, asked.DataSet = 7, 1, BytesIO(b"\0")
    asked.AffectedSOPClassUID, asked.AffectedSOPInstanceUID = KIND, NAME
    for keyword, value in told.items():
        setattr(asked, keyword, value)
    return command(C_STORE_RQ(), asked)


def answer(kind: str = KIND, name: str = NAME, message: int = 7, status: int = 0) -> C_STORE:
    said = C_STORE()
    said.MessageIDBeingRespondedTo, said.Status = message, status
    said.AffectedSOPClassUID, said.AffectedSOPInstanceUID = kind, name
    return said


def theirs(data: bytes) -> dict[str, Any]:
    return {each.keyword: each.value for each in dsutils.decode(BytesIO(data), True, True)}


def read_alike_or_left(data: bytes) -> bool:
    """Whether it was plain; then all that is asked of it is what pynetdicom reads."""
    read = plain.request_of(data)
    if read is None:
        return False
    expected = theirs(data)
    del expected["CommandGroupLength"]
    assert {each.keyword: each.value for each in read} == expected
    return True


@given(UIDS, UIDS, TWO_BYTES, st.integers(0, 2))
def test_a_usual_request_is_read_as_pynetdicom_reads_it(kind: str, name: str, message: int, priority: int) -> None:
    assert read_alike_or_left(
        request(AffectedSOPClassUID=kind, AffectedSOPInstanceUID=name, MessageID=message, Priority=priority)
    )


@pytest.mark.filterwarnings("ignore")  # pydicom's, of values that only it is asked for
@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_is_read_alike_or_left_to_pynetdicom(at: int, byte: int) -> None:
    data = bytearray(request())
    data[at % len(data)] = byte
    read_alike_or_left(bytes(data))


@given(st.integers(1, 200), st.binary(max_size=12))
def test_a_cut_or_longer_one_is_left_to_pynetdicom(cut: int, more: bytes) -> None:
    data = request()
    assert plain.request_of(data[: -min(cut, len(data))]) is None
    assert plain.request_of(data + more + b"\0") is None


@pytest.mark.parametrize(
    "data",
    [
        request(MoveOriginatorApplicationEntityTitle="PACS", MoveOriginatorMessageID=3),
        request().replace(KIND.encode(), KIND.replace("840", "08a").encode()),
        request().replace(KIND.encode(), KIND.replace("840", "040").encode()),
        request().replace(NAME.encode(), b"../" + NAME.encode()[3:]),
        request().replace(struct.pack("<HHLH", 0, 0x0100, 2, 0x0001), struct.pack("<HHLH", 0, 0x0100, 2, 0x0030)),
        command(C_STORE_RSP(), answer()),
        b"",
    ],
    ids=["one moved", "letters", "leading zero", "path", "C-ECHO", "answer", "nothing"],
)
def test_what_is_not_plain_is_left_to_pynetdicom(data: bytes) -> None:
    assert plain.request_of(data) is None


def test_pynetdicom_is_asked_for_what_is_not_plain() -> None:
    read = plain.decode(BytesIO(request(MoveOriginatorMessageID=3)), True, True)
    assert read.MoveOriginatorMessageID == 3


@given(UIDS, UIDS, TWO_BYTES, TWO_BYTES)
def test_an_answer_is_what_pynetdicom_says(kind: str, name: str, message: int, status: int) -> None:
    said = answer(kind, name, message, status)
    assert plain.answer_of(said) == command(C_STORE_RSP(), said)


def test_an_answer_that_says_more_is_left_to_pynetdicom() -> None:
    said = answer(status=0xA700)
    said.ErrorComment = "no room"
    assert plain.answer_of(said) is None


@given(UIDS, UIDS, UIDS)
def test_file_meta_is_what_pynetdicom_writes(kind: str, name: str, syntax: str) -> None:
    held = BytesIO()
    told = {"sop_class_uid": kind, "sop_instance_uid": name, "transfer_syntax": syntax}
    write_file_meta_info(held, dsutils.create_file_meta(**told))  # type: ignore[arg-type]
    assert plain.file_meta(**told) == held.getvalue()


@pytest.mark.filterwarnings("ignore")  # pydicom's word on the value
def test_file_meta_of_a_uid_that_is_not_plain_is_pynetdicoms() -> None:
    odd = NAME.replace("826", "0826")
    assert f"{odd}".encode() in plain.file_meta(sop_class_uid=KIND, sop_instance_uid=odd, transfer_syntax=SYNTAX)
    with pytest.raises(AttributeError, match="missing or have an empty value"):
        plain.file_meta(sop_class_uid=KIND, sop_instance_uid=None, transfer_syntax=SYNTAX)
