"""A transfer comes out as it went in, part by part, and no part is taken for another."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.transfer import (
    PART_BYTES,
    PARTS_MAX,
    SEALED_PART_BYTES,
    TAG_BYTES,
    Manifest,
    all_parts,
    missing,
    opened_part,
    packed,
    part_message,
    read_part_message,
    sealed_parts,
    span,
    unpacked,
)
from appliance.errors import Quarantined

KEY = hashlib.sha256(b"of one transfer").digest()
ID, OTHER_ID = "0" * 31 + "1", "0" * 31 + "2"


def made(data: bytes, transfer_id: str = ID, pieces: int = 7_000) -> tuple[Manifest, list[bytes]]:
    stream = (data[start : start + pieces] for start in range(0, len(data), pieces))
    parts = list(sealed_parts(stream, transfer_id=transfer_id, key=KEY))
    whole = b"".join(parts)
    manifest = Manifest(
        transfer_id=transfer_id,
        case_id="a" * 32,
        tier=1,
        urgency="urgent",
        codec="deflate",
        parts=len(parts),
        sealed_bytes=len(whole),
        sha256=hashlib.sha256(whole).hexdigest(),
        key=KEY.hex(),
    )
    return manifest, parts


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, 3 * PART_BYTES + 5])
def test_it_comes_out_as_it_went_in(size: int) -> None:
    data = bytes(place * 31 % 251 for place in range(size))
    manifest, parts = made(data)
    assert b"".join(opened_part(manifest, index, part) for index, part in enumerate(parts)) == data
    whole = b"".join(parts)
    for index, part in enumerate(parts):
        offset, length = span(index, manifest.sealed_bytes)
        assert whole[offset : offset + length] == part
        assert len(part) <= SEALED_PART_BYTES


def test_the_size_of_the_pieces_it_was_fed_with_does_not_show() -> None:
    data = bytes(range(256)) * 600
    assert made(data, pieces=1)[1] == made(data, pieces=100_000)[1]


def test_no_part_is_taken_for_another() -> None:
    manifest, parts = made(bytes(4 * PART_BYTES))
    for index, part in enumerate(parts):
        for place in (*range(len(parts)), -1, len(parts)):
            if place != index:
                with pytest.raises(Quarantined, match="part-invalid"):
                    opened_part(manifest, place, part)
    stranger, _ = made(bytes(4 * PART_BYTES), OTHER_ID)
    with pytest.raises(Quarantined, match="part-invalid"):
        opened_part(stranger, 0, parts[0])


def test_a_transfer_cut_short_is_seen() -> None:
    """Without the flag of the last part, the first two parts of three would pass for all of two."""
    manifest, parts = made(bytes(3 * PART_BYTES))
    short = manifest.model_copy(update={"parts": 2, "sealed_bytes": 2 * SEALED_PART_BYTES})
    with pytest.raises(Quarantined, match="part-invalid"):
        opened_part(short, 1, parts[1])


@given(place=st.integers(0, PART_BYTES + TAG_BYTES - 1))
@settings(max_examples=30, deadline=None)
def test_a_changed_bit_is_seen(place: int) -> None:
    manifest, parts = made(bytes(PART_BYTES))
    changed = bytearray(parts[0])
    changed[place] ^= 1
    with pytest.raises(Quarantined, match="part-invalid"):
        opened_part(manifest, 0, bytes(changed))


def test_part_messages_come_back_and_others_do_not() -> None:
    _, parts = made(bytes(1000))
    told = read_part_message(part_message(ID, 3, parts[0]))
    assert (told.transfer_id, told.index, told.ciphertext) == (ID, 3, parts[0])
    too_long = part_message(ID, 3, bytes(SEALED_PART_BYTES + 1))
    for bad in (b"", b"EDP1", part_message(ID, 0, b""), b"X" + part_message(ID, 0, parts[0])[1:], too_long):
        with pytest.raises(Quarantined, match="part-invalid"):
            read_part_message(bad)
    with pytest.raises(Quarantined, match="part-invalid"):
        read_part_message(part_message(ID, PARTS_MAX, parts[0]))


def test_a_manifest_whose_numbers_do_not_fit_is_none() -> None:
    manifest, _ = made(bytes(3 * PART_BYTES))
    for wrong in ({"parts": 2}, {"sealed_bytes": SEALED_PART_BYTES}, {"codec": "tar+gzip"}, {"tier": 2}):
        with pytest.raises(ValueError, match="do not fit"):
            Manifest.model_validate({**manifest.model_dump(), **wrong})


def test_a_document_unpacks_to_itself_and_a_bomb_does_not() -> None:
    document = b'{"a":"' + b"QUJD" * 5000 + b'"}'
    assert unpacked(packed(document), len(document)) == document
    for bad in (packed(bytes(10**6)), packed(document)[:-1], packed(document) + b"\0", b"", b"{}"):
        with pytest.raises(Quarantined, match="message-invalid"):
            unpacked(bad, len(document))


@given(have=st.sets(st.integers(0, 40)))
def test_what_is_missing_is_named_in_order(have: set[int]) -> None:
    bits = sum(1 << each for each in have)
    assert list(missing(bits, 41)) == [each for each in range(41) if each not in have]
    assert not list(missing(all_parts(41), 41))
