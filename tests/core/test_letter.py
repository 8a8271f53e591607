"""A letter is read by its recipient only, believed of its sender only, and only where it was written for."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.keys import CentreKeys, DeviceKeys, PrivateKeys, PublicKeys, key_file, read_key_file
from appliance.core.letter import OVERHEAD_BYTES, opened, sealed, sender_id
from appliance.errors import Misconfigured, Quarantined

PLACE = "edge/2/up/07/appliance-1/roll"


def keys(name: str) -> PrivateKeys:
    return PrivateKeys(*(hashlib.sha256(f"{name} {use}".encode()).digest() for use in ("signing", "sealing")))


EDGE, CENTRE, OTHER = keys("edge"), keys("centre"), keys("other")


def letter(data: bytes = b"word", place: str = PLACE) -> bytes:
    return sealed(data, place=place, sender=EDGE, recipient=CENTRE.public)


@given(data=st.binary(max_size=5000))
@settings(max_examples=50, deadline=None)
def test_the_recipient_reads_what_was_written(data: bytes) -> None:
    made = letter(data)
    assert opened(made, place=PLACE, senders=[OTHER.public, EDGE.public], recipients=[OTHER, CENTRE]) == data
    assert len(made) == len(data) + OVERHEAD_BYTES
    assert sender_id(made) == EDGE.public.signing_id


def test_nothing_of_it_shows() -> None:
    made = letter(b"a word that is long enough to be found" * 20)
    assert b"word" not in made
    assert made[100:] != letter(b"a word that is long enough to be found" * 20)[100:]


@pytest.mark.parametrize(
    ("place", "sender", "recipient"),
    [
        ("edge/2/up/07/appliance-2/roll", EDGE, CENTRE),
        ("edge/2/up/07/appliance-1/taken", EDGE, CENTRE),
        (PLACE, OTHER, CENTRE),
        (PLACE, EDGE, OTHER),
    ],
    ids=["other device", "other kind", "other sender", "other recipient"],
)
def test_it_is_for_one_place_from_one_sender_to_one_recipient(
    place: str, sender: PrivateKeys, recipient: PrivateKeys
) -> None:
    with pytest.raises(Quarantined, match="letter-invalid"):
        opened(letter(), place=place, senders=[sender.public], recipients=[recipient])


def test_any_byte_changed_makes_it_no_letter() -> None:
    made = letter()
    for place in range(len(made)):
        changed = bytearray(made)
        changed[place] ^= 1
        with pytest.raises(Quarantined, match="letter-invalid"):
            opened(bytes(changed), place=PLACE, senders=[EDGE.public], recipients=[CENTRE])


@pytest.mark.parametrize("made", [b"", b"EDL1", bytes(200), letter()[:-1], letter() + b"\0"], ids=len)
def test_no_letter_at_all(made: bytes) -> None:
    with pytest.raises(Quarantined, match="letter-invalid"):
        opened(made, place=PLACE, senders=[EDGE.public], recipients=[CENTRE])


def test_a_letter_signed_by_another_over_the_same_ciphertext_is_his() -> None:
    """Whoever strips a signature and puts his own there is not believed, though he could seal to the centre himself."""
    made = sealed(b"word", place=PLACE, sender=OTHER, recipient=CENTRE.public)
    with pytest.raises(Quarantined):
        opened(made, place=PLACE, senders=[EDGE.public], recipients=[CENTRE])


def test_key_files_come_back_and_damaged_ones_do_not() -> None:
    assert read_key_file(key_file(EDGE), "keys.folder") == EDGE
    for damaged in (b"", key_file(EDGE)[:-1], key_file(EDGE).upper(), key_file(EDGE) + b"\n"):
        with pytest.raises(Misconfigured, match="keys-invalid") as raised:
            read_key_file(damaged, "keys.folder")
        assert EDGE.signing.hex() not in str(raised.value)
    assert EDGE.signing.hex() not in repr(EDGE)


def test_public_documents_are_strict() -> None:
    CentreKeys(keys=(CENTRE.public, OTHER.public))
    DeviceKeys(device_id="appliance-1", triage=EDGE.public, uplink=OTHER.public)
    with pytest.raises(ValueError, match="at least 1"):
        CentreKeys(keys=())
    with pytest.raises(ValueError, match="pattern"):
        PublicKeys(signing="0" * 63, sealing="0" * 64)
