"""The de-identification receipt: it tells what was done without a value, and a changed one is noticed."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydicom.dataset import Dataset
from test_key_images import a_case, picture

from appliance.core.account import accounted, receipt_of
from appliance.core.audit import Check, Filed, agrees, audited
from appliance.core.case import Case, Stamp, final
from appliance.core.document import decode, encode
from appliance.core.enclosure import enclosed
from appliance.core.identity import Identity
from appliance.core.options import PROFILES, Options
from appliance.core.receipt import (
    ATTRIBUTES_MAX,
    RECEIPT_BYTES_MAX,
    REGIONS_MAX,
    DeidReceipt,
    Signed,
    Versions,
    is_signed,
    key_id,
    signed,
    signing_key,
    source_hmac,
)
from tests.core.planted_objects import OTHER_KEY, SITE_KEY
from tests.correspondents import SENDER

SOURCE = hashlib.sha256(b"the file as it came").hexdigest()
VERSIONS = Versions(product="product/1", table_edition="2026d", table_sha256="5" * 64, detectors={"text": "6" * 64})


@dataclass(frozen=True)
class Change:
    path: str
    action: str
    rule: str = "E.1-1"


@dataclass(frozen=True)
class Region:
    frame: int = 0
    row: int = 1
    column: int = 2
    rows: int = 3
    columns: int = 4
    rule: str = "text found"


@dataclass(frozen=True)
class Cleaned:
    bytes: bytes = b"cleaned"
    changes: tuple[Change, ...] = ()
    regions: tuple[Region, ...] = ()
    options: Options = PROFILES["centre"]
    sha256: str = field(default=hashlib.sha256(b"cleaned").hexdigest())
    who: Identity = field(default=Identity(()))


def header(uid: str = "2.25.7", **said: Any) -> Dataset:
    made = Dataset()
    made.SOPInstanceUID, made.Rows = uid, 8
    for keyword, value in said.items():
        setattr(made, keyword, value)
    return made


def a_receipt(case: Case | None = None, *cleaned: Cleaned, site_key: bytes = SITE_KEY) -> DeidReceipt:
    objects = [
        accounted(header(f"2.25.{number}"), each, SOURCE, site_key)
        for number, each in enumerate(cleaned or (Cleaned(),), 7)
    ]
    options = PROFILES["centre"]
    told = {"site_key": site_key, "decided_at": 1_700_000_000.5, "versions": VERSIONS}
    return receipt_of(case or a_case(), objects, options, **told)


def as_part(case: Case) -> dict[str, Any]:
    """A case as it lies sealed, and what is on file of that."""
    told = {"case_id": case.case_id, "tier": 1, "urgency": case.urgency, "transfer_id": "1" * 32, "key": bytes(32)}
    way, manifest, data = enclosed(final(case), **told, sender=SENDER)
    sent = frozenset((way.sha256, "f" * 64))
    return {"sealed": way.sha256, "sent": sent, "manifest": encode(manifest), "part": data}


def filed(case: Case | None = None, **changes: Any) -> Filed:
    """A receipt on file with a part that bears it; every check holds."""
    case = case or a_case((picture(1), picture(2, place=2)))
    told = signed(a_receipt(case), SITE_KEY)
    made = Filed(
        case_id=case.case_id,
        data=told.data,
        stamp=told.stamp,
        **as_part(case.model_copy(update={"receipt": told.stamp})),
        site_key=SITE_KEY,
        archived={SOURCE: True, "0" * 64: True},
    )
    return replace(made, **changes)


# What it tells.


def test_counts_names_and_rules_are_told_and_item_numbers_are_not() -> None:
    changes = (
        Change("PatientName", "D"),
        Change("RequestAttributesSequence[0].StudyID", "X"),
        Change("RequestAttributesSequence[1].StudyID", "X"),
        Change("(0029,1010)", "X", "private"),
        Change("preamble", "D", "E.1.1"),
        Change("PatientAge", "K", "retain-patient-characteristics"),
    )
    receipt = a_receipt(None, Cleaned(changes=changes))
    (account,) = receipt.accounts
    assert {(tally.action, tally.rule): tally.count for tally in account.tallies} == {
        ("D", "E.1-1"): 1, ("X", "E.1-1"): 2, ("X", "private"): 1, ("D", "E.1.1"): 1,
        ("K", "retain-patient-characteristics"): 1,
    }  # fmt: skip
    assert {(each.path, each.action, each.count) for each in account.changed} == {
        ("PatientName", "D", 1), ("RequestAttributesSequence.StudyID", "X", 2), ("(0029,1010)", "X", 1),
        ("preamble", "D", 1), ("PatientAge", "K", 1),
    }  # fmt: skip
    assert account.kept == ("Rows", "SOPInstanceUID")
    assert [option.code for option in receipt.options] == ["113101", "113107", "113108"]
    assert receipt.profile_code == "113100"
    assert receipt.said == ("modality", "body_part", "age", "sex", "size_m")


def test_what_an_option_kept_is_told_once() -> None:
    kept = Cleaned(changes=(Change("PatientAge", "K", "retain-patient-characteristics"),))
    account = accounted(header(PatientAge="034Y", Columns=8), kept, SOURCE, SITE_KEY).account
    assert account.kept == ("Columns", "Rows", "SOPInstanceUID")
    assert [(each.path, each.action) for each in account.changed] == [("PatientAge", "K")]


def test_no_word_of_a_data_set_gets_in_by_a_place_or_a_rule() -> None:
    odd = Cleaned(changes=(Change("PatientName.DOE^JANE", "X"), Change("Jane Doe", "X", "because of\nJANE")))
    data = signed(a_receipt(None, odd), SITE_KEY).data
    assert b"DOE" not in data
    assert b"Jane" not in data
    assert b"PatientName.other" in data
    assert b"\\n" not in data


def test_attributes_of_the_table_that_the_dictionary_lacks_keep_their_names() -> None:
    (account,) = a_receipt(
        None, Cleaned(changes=tuple(Change(name, "X") for name in ("NameToUse", "OverlayComments")))
    ).accounts
    assert [each.path for each in account.changed] == ["NameToUse", "OverlayComments"]


def test_slices_share_an_account_and_other_objects_have_their_own() -> None:
    same = Cleaned(changes=(Change("PatientName", "D"),))
    receipt = a_receipt(None, same, replace(same, sha256="1" * 64), Cleaned())
    assert [each.account for each in receipt.objects] == [0, 0, 1]
    assert len(receipt.accounts) == 2
    assert len({each.sop_instance_uid for each in receipt.objects}) == 3


def test_what_is_too_much_to_name_is_counted() -> None:
    many = tuple(Change(f"(0029,{number:04X})", "X") for number in range(ATTRIBUTES_MAX + 7))
    boxes = tuple(Region(row=number) for number in range(REGIONS_MAX + 3))
    receipt = a_receipt(None, *[Cleaned(changes=many[number:], regions=boxes) for number in range(7)])
    assert receipt.accounts[0].changed_left_out == 7
    assert sum(tally.count for tally in receipt.accounts[0].tallies) == ATTRIBUTES_MAX + 7
    assert receipt.objects[0].regions_left_out == 3
    assert len(encode(receipt)) < RECEIPT_BYTES_MAX
    assert decode(DeidReceipt, encode(receipt)) == receipt


def test_the_source_is_told_by_a_keyed_digest_only() -> None:
    data = signed(a_receipt(), SITE_KEY).data
    assert SOURCE.encode() not in data
    assert hashlib.sha256(SOURCE.encode()).hexdigest().encode() not in data
    assert source_hmac(SITE_KEY, SOURCE) != source_hmac(OTHER_KEY, SOURCE)
    assert source_hmac(SITE_KEY, SOURCE).encode() in data


# The signature.


def test_the_same_site_key_gives_the_same_key_and_another_one_another() -> None:
    own, again, other = (signing_key(key).public_key().public_bytes_raw() for key in (SITE_KEY, SITE_KEY, OTHER_KEY))
    assert own == again != other
    assert key_id(own) != key_id(other)
    assert signing_key(SITE_KEY).private_bytes_raw() != SITE_KEY[:32]


def test_a_signature_is_one_by_a_second_reading_of_the_standard() -> None:
    """Verified here with the public key alone, as an auditor with another program would."""
    told = signed(a_receipt(), SITE_KEY)
    receipt = decode(DeidReceipt, told.data)
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(receipt.public_key))
    public.verify(bytes.fromhex(told.stamp.signature), told.data)
    with pytest.raises(InvalidSignature):
        public.verify(bytes.fromhex(told.stamp.signature), told.data + b" ")
    assert is_signed(receipt, told.data, told.stamp.signature)


def test_signing_again_gives_the_same_stamp() -> None:
    assert signed(a_receipt(), SITE_KEY) == signed(a_receipt(), SITE_KEY)


def test_every_changed_byte_of_a_receipt_is_noticed() -> None:
    told = signed(a_receipt(), SITE_KEY)
    for at in range(0, len(told.data), 7):
        bad = told.data[:at] + bytes((told.data[at] ^ 1,)) + told.data[at + 1 :]
        receipt, checks = audited(filed(a_case(), data=bad))
        assert receipt is None or not agrees(checks), at
        assert receipt is None or not is_signed(receipt, bad, told.stamp.signature), at


# Held against what it tells of.


def outcome(told: Filed) -> dict[str, bool | None]:
    return {check.name: check.holds for check in audited(told)[1]}


def test_a_receipt_on_file_holds_in_every_respect() -> None:
    receipt, checks = audited(filed())
    assert receipt is not None
    assert [check.holds for check in checks] == [True] * 7
    assert agrees(checks)


def forged() -> Signed:
    """A whole receipt, signed by somebody who does not hold the site key."""
    return signed(a_receipt(a_case((picture(1), picture(2, place=2))), site_key=OTHER_KEY), OTHER_KEY)


OTHER = as_part(a_case((picture(3),)))


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"case_id": "1" * 32}, {"the receipt names this case"}),
        ({"archived": {SOURCE: False}}, {"every source file lies in the archive as it came"}),
        ({"archived": {}}, {"every source file lies in the archive as it came"}),
        ({"sent": frozenset(("0" * 64,))}, {"the case that left is the one that was sealed with it"}),
        ({"part": b"{}"}, {"the sealed part bears it and holds what it tells of"}),
        ({"part": OTHER["part"]}, {"the sealed part bears it and holds what it tells of"}),
        ({"manifest": OTHER["manifest"]}, {"the sealed part bears it and holds what it tells of"}),
        ({"manifest": b"{}"}, {"the sealed part bears it and holds what it tells of"}),
        (OTHER, {"the sealed part bears it and holds what it tells of"}),
        (
            {"site_key": OTHER_KEY},
            {"the key is this site's", "every source file lies in the archive as it came"},
        ),
        (
            {"stamp": Stamp(sha256="0" * 64, signature="0" * 128, key_id="0" * 32)},
            {
                "its bytes have the digest on file",
                "its signature fits the key that it names",
                "the sealed part bears it and holds what it tells of",
            },
        ),
        (
            {"data": forged().data, "stamp": forged().stamp},
            {
                "the key is this site's",
                "every source file lies in the archive as it came",
                "the sealed part bears it and holds what it tells of",
            },
        ),
    ],
)
def test_whatever_disagrees_is_named_and_nothing_else(changes: dict[str, Any], wrong: set[str]) -> None:
    told = outcome(filed(**changes))
    assert {name for name, holds in told.items() if holds is False} == wrong
    assert len(told) == 7


def test_a_part_whose_case_was_changed_under_the_same_stamp_is_noticed() -> None:
    case = a_case((picture(1), picture(2, place=2)))
    stamp = filed(case).stamp
    changed = as_part(case.model_copy(update={"urgency": "critical", "receipt": stamp}))
    told = outcome(filed(case, **changed))
    assert told["the sealed part bears it and holds what it tells of"] is False


def test_what_cannot_be_looked_at_is_unchecked_and_no_disagreement() -> None:
    _, checks = audited(filed(part=None, sent=None, site_key=None, archived=None))
    unchecked = [check for check in checks if check.holds is None]
    assert len(unchecked) == 4
    assert all(check.note for check in unchecked)
    assert agrees(checks)


def test_bytes_that_are_no_receipt_are_said_to_be_none() -> None:
    assert audited(filed(data=b"{}")) == (None, (Check("the receipt can be read", False),))
