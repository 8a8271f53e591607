"""P-DATA read where it lies is what pynetdicom reads; a PDU whose lengths lie is refused as pynetdicom refuses it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import P_DATA_TF

from appliance.world.dimse.pdata import values_of

ITEMS = st.lists(st.tuples(st.integers(1, 255), st.binary(min_size=1, max_size=40)), min_size=1, max_size=5)


def pdu(items: list[tuple[int, bytes]]) -> bytearray:
    body = b"".join(struct.pack(">LB", len(value) + 1, context) + value for context, value in items)
    return bytearray(struct.pack(">BBL", 4, 0, len(body)) + body)


def theirs(data: bytes) -> list[tuple[int, bytes]]:
    """As pynetdicom reads it. Raises AssertionError or struct.error where lengths are wrong."""
    read = P_DATA_TF()
    read.decode(data)
    return list(read.to_primitive().presentation_data_value_list)


@given(ITEMS)
def test_what_came_is_what_is_read(items: list[tuple[int, bytes]]) -> None:
    read = [(context, bytes(value)) for context, value in values_of(pdu(items))]
    assert read == items == theirs(bytes(pdu(items)))


def read_alike_or_refused_by_both(data: bytearray) -> None:
    try:
        expected = theirs(bytes(data))
    except (AssertionError, struct.error):
        with pytest.raises(ValueError, match="longer than its PDU"):
            values_of(data)
        return
    assert [(context, bytes(value)) for context, value in values_of(data)] == expected


@given(ITEMS, st.integers(6, 60), st.integers(0, 255))
def test_a_changed_byte_is_read_alike_or_refused_by_both(items: list[tuple[int, bytes]], at: int, byte: int) -> None:
    data = pdu(items)
    data[at % len(data)] = byte
    read_alike_or_refused_by_both(data)


@given(ITEMS, st.integers(1, 30))
def test_a_cut_one_is_read_alike_or_refused_by_both(items: list[tuple[int, bytes]], cut: int) -> None:
    read_alike_or_refused_by_both(pdu(items)[:-cut])
