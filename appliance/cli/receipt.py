"""`appliance receipt CASE`: what was removed, changed and kept before a case left, and whether that still agrees.

It reads the clinical ledger, the archive and the wire, and writes nothing. Status 1 when anything disagrees.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from appliance.cli import site_key
from appliance.cli.look import show
from appliance.config import Config, Places
from appliance.core.audit import Check, Filed, agrees, audited
from appliance.core.case import Stamp
from appliance.core.receipt import ACTION_WORDS, Account, DeidReceipt
from appliance.errors import Misconfigured, Quarantined
from appliance.world import archive, sqlite, wire
from appliance.world.ledger import departures

MARKS = {True: "holds    ", False: "WRONG    ", None: "unchecked"}
NAMES_SHOWN = 12  # of attributes, for people; --json has all that the receipt names


def run(config: Config, places: Places, case: str, as_json: bool) -> int:
    """Prints the receipt of a case id, or of the newest case of a study number."""
    if not places.studies_db.exists():
        raise Misconfigured("state-folder")
    studies = sqlite.open_reader(places.studies_db)
    try:
        with studies.connect() as c:
            number = int(case) if case.isascii() and case.isdigit() and len(case) < 19 else None
            row = next(iter(departures.receipts_of(c, number)), None) if number else departures.receipt_of(c, case)
            sources = departures.source_digests(c, row.study_number) if row else []
    finally:
        studies.dispose()
    if row is None:
        print("no case of this name left this house with a receipt", file=sys.stderr)
        return 1
    receipt, checks = audited(filed(config, places, row, sources))
    holds = agrees(checks)
    stamp = {"sha256": row.sha256, "signature": row.signature, "key_id": row.key_id}
    document = {
        "case_id": row.case_id,
        "study_number": row.study_number,
        "revision": row.revision,
        "receipt": receipt.model_dump(mode="json") if receipt else None,
        "stamp": stamp,
        "part_sha256": row.part_sha256,
        "checks": [asdict(check) for check in checks],
        "holds": holds,
    }
    told = list(_told(receipt)) if receipt else []
    show(document, as_json, [f"case {row.case_id} of study {row.study_number}, revision {row.revision}", *told]
         + [_line(check) for check in checks])  # fmt: skip
    return 0 if holds else 1


def filed(config: Config, places: Places, row: Row[Any], sources: list[str]) -> Filed:
    """A receipt's row with all that it can be held against; each source is read and its digest taken."""
    sent = None
    if places.cases_db.exists():
        cases = sqlite.open_reader(places.cases_db)
        with cases.connect() as c:
            sent = frozenset(each.sha256 for each in wire.freight.transfers_of(c, row.case_id)) or None
        cases.dispose()
    part = places.parts / row.part_sha256
    key = site_key.found(config).key
    return Filed(
        case_id=row.case_id,
        data=row.body,
        stamp=Stamp(sha256=row.sha256, signature=row.signature, key_id=row.key_id),
        sealed=row.part_sha256,
        sent=sent,
        manifest=row.manifest,
        part=part.read_bytes() if part.exists() else None,
        site_key=key,
        archived=None if key is None else {digest: _whole(places, digest) for digest in sources},
    )


def _whole(places: Places, sha256: str) -> bool:
    try:
        archive.read_instance(places.instances, sha256)
    except Quarantined:
        return False
    return True


def _line(check: Check) -> str:
    return f"{MARKS[check.holds]}  {check.name}{f' ({check.note})' if check.note else ''}"


def _told(receipt: DeidReceipt) -> Iterator[str]:
    at = datetime.fromtimestamp(receipt.decided_at, UTC)
    versions = receipt.versions
    yield f"decided {at:%Y-%m-%d %H:%M} UTC, made by {versions.product}, key {receipt.key_id}"
    yield f"rules: PS3.15 {versions.table_edition}, digest {versions.table_sha256[:16]}"
    options = "".join(f", {option.name} ({option.code})" for option in receipt.options)
    yield f"options: Basic Profile ({receipt.profile_code}){options}"
    for name, sha256 in versions.detectors.items():
        yield f"read pictures with {name}, digest {sha256[:16]}"
    yield f"inspector: {receipt.inspected}, {receipt.inspector}"
    for each in receipt.objects:
        boxes = len(each.regions) + each.regions_left_out
        size = f"{each.bytes_count} bytes, digest {each.sha256[:16]}, {boxes} boxes blackened"
        yield f"object {each.sop_instance_uid}: {size}, account {each.account + 1}"
    for number, account in enumerate(receipt.accounts, 1):
        yield from _account(number, account)
    for image in receipt.key_images:
        yield f"key image {image.id}: {image.columns} x {image.rows}, frame {image.frame} of {image.sop_instance_uid}"
    if not receipt.key_images:
        yield "no picture left"
    yield f"said of patient and study: {', '.join(receipt.said) or 'nothing'}"


def _account(number: int, account: Account) -> Iterator[str]:
    yield f"account {number}:"
    for tally in account.tallies:
        yield f"  {tally.count:>5} {ACTION_WORDS.get(tally.action, tally.action)} by {tally.rule}"
    for action in Counter(each.action for each in account.changed):
        names = [each.path for each in account.changed if each.action == action]
        yield f"  {ACTION_WORDS.get(action, action)}: {_some(names)}"
    yield f"  as they came: {_some(list(account.kept), account.kept_left_out)}"


def _some(names: list[str], left_out: int = 0) -> str:
    more = len(names) + left_out - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "") if names else "nothing"
