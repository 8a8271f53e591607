"""Whether a de-identification receipt still agrees with what it tells of: signature, sources, the part that left.

Pure: whoever asks has read the files. What cannot be looked at (a part that was freed, a site key that is not here) is
said to be unchecked and counts neither way. It mends nothing.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from appliance.core.case import Case, Stamp, decode_case
from appliance.core.document import decode
from appliance.core.enclosure import disclosed
from appliance.core.receipt import DeidReceipt, content_sha256, is_signed, key_id, signing_key, source_hmac
from appliance.core.say import say
from appliance.core.transfer import Manifest
from appliance.errors import Quarantined

PART_GONE = say("its bytes were let go: the centre holds the case, or nobody wants it any more")


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison; holds is None where there was nothing to compare with, and note says why."""

    name: str
    holds: bool | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Filed:
    """A receipt as it stands on file, and what it can be held against.

    stamp      as on file beside the receipt's bytes
    sealed     SHA-256 of the part that was sealed with it, as on file beside it
    sent       SHA-256 of all that this case was ever sealed as, by the wire's own book; None: it has no such case
    manifest   what opens the part
    part       the part's bytes as sealed; None when they are gone, as after the centre's own receipt, or not to be read
    part_note  why they are not here
    site_key   None where this program may not read it
    archived   SHA-256 of each file of the study as it came -> whether it lies in the archive, whole; None: not read
    """

    case_id: str
    data: bytes
    stamp: Stamp
    sealed: str
    sent: frozenset[str] | None
    manifest: bytes
    part: bytes | None
    part_note: str = PART_GONE
    site_key: bytes | None = None
    archived: Mapping[str, bool] | None = None


def audited(filed: Filed) -> tuple[DeidReceipt | None, tuple[Check, ...]]:
    """The receipt, None where its bytes are no receipt, and every comparison."""
    try:
        receipt = decode(DeidReceipt, filed.data)
    except Quarantined:
        return None, (Check(say("the receipt can be read"), False),)
    return receipt, tuple(_checks(receipt, filed))


def agrees(checks: tuple[Check, ...]) -> bool:
    """Nothing that could be looked at disagrees."""
    return all(check.holds is not False for check in checks)


def _checks(receipt: DeidReceipt, filed: Filed) -> Iterator[Check]:
    yield Check(say("the receipt names this case"), receipt.case_id == filed.case_id)
    digest = hashlib.sha256(filed.data).hexdigest()
    yield Check(say("its bytes have the digest on file"), digest == filed.stamp.sha256)
    signed = is_signed(receipt, filed.data, filed.stamp.signature) and receipt.key_id == filed.stamp.key_id
    yield Check(say("its signature fits the key that it names"), signed)
    yield _own_key(receipt, filed.site_key)
    yield _sources(receipt, filed)
    if filed.sent is None:
        yield Check(
            say("the case that left is the one that was sealed with it"), None, say("the wire's book has no such case")
        )
    else:
        yield Check(say("the case that left is the one that was sealed with it"), filed.sealed in filed.sent)
    yield Check(say("the sealed part bears it and holds what it tells of"), *_part(receipt, filed))


def _own_key(receipt: DeidReceipt, site_key: bytes | None) -> Check:
    name = say("the key is this site's")
    if site_key is None:
        return Check(name, None, say("the site key is not read here"))
    public_key = signing_key(site_key).public_key().public_bytes_raw()
    return Check(name, receipt.public_key == public_key.hex() and receipt.key_id == key_id(public_key))


def _sources(receipt: DeidReceipt, filed: Filed) -> Check:
    name = say("every source file lies in the archive as it came")
    if filed.site_key is None or filed.archived is None:
        return Check(name, None, say("the site key is not read here"))
    whole = {source_hmac(filed.site_key, digest) for digest, found in filed.archived.items() if found}
    missing = sum(each.source_hmac not in whole for each in receipt.objects)
    return Check(
        name,
        missing == 0,
        say("%(missing)s of %(all)s not", missing=missing, all=len(receipt.objects)) if missing else "",
    )


def _part(receipt: DeidReceipt, filed: Filed) -> tuple[bool | None, str]:
    if filed.part is None:
        return None, filed.part_note
    if hashlib.sha256(filed.part).hexdigest() != filed.sealed:
        return False, say("its bytes are not those that were sealed")
    try:
        case = decode_case(disclosed(decode(Manifest, filed.manifest), filed.part))
    except Quarantined:
        return False, say("its bytes are no case")
    return _same(receipt, case, filed.stamp), ""


def _same(receipt: DeidReceipt, case: Case, stamp: Stamp) -> bool:
    told = [(image.id, image.sha256) for image in receipt.key_images]
    sent = [(image.id, image.sha256) for image in case.key_images]
    return case.receipt == stamp and content_sha256(case) == receipt.content_sha256 and told == sent
