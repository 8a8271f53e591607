"""What a device is told: documents owed, made from rows. Nothing here seals or sends."""

from dataclasses import dataclass
from typing import Any

from appliance.core.document import Document, decode
from appliance.core.messages import DownKind, Have, Receipt, Refusal
from appliance.core.transfer import Manifest

SERIES = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """One document owed to a device. Of equal (device, kind, subject) the later replaces the earlier."""

    device_id: str
    kind: DownKind
    subject: str
    document: Document


def case_answer(device_id: str, case: Any, transfer_id: str) -> Answer:
    """What whoever brings this case again is told: the receipt of the transfer that is held, or why none is."""
    if case.state == "refused":
        return refusal(device_id, case.case_id, transfer_id, case.code)
    return receipt(device_id, case.case_id, case.transfer_id, case.sha256)


def ended_answer(device_id: str, row: Any, case: Any) -> Answer:
    """The same for a transfer that has come to its end."""
    if row.state == "refused":
        return refusal(device_id, row.case_id, row.transfer_id, row.code)
    if row.tier == SERIES:
        return receipt(device_id, row.case_id, row.transfer_id, decode(Manifest, row.manifest).sha256)
    return case_answer(device_id, case, row.transfer_id)


def have(device_id: str, transfer_id: str, parts: int | None) -> Answer:
    """Which parts are durable; None: this transfer is not known."""
    document = Have(transfer_id=transfer_id, known=parts is not None, have=f"{parts or 0:x}")
    return Answer(device_id, "have", transfer_id, document)


def refusal(device_id: str, case_id: str, transfer_id: str, code: str) -> Answer:
    document = Refusal(case_id=case_id, transfer_id=transfer_id, code=code)
    return Answer(device_id, "refusal", transfer_id, document)


def receipt(device_id: str, case_id: str, transfer_id: str, sha256: str) -> Answer:
    document = Receipt(case_id=case_id, transfer_id=transfer_id, sha256=sha256)
    return Answer(device_id, "receipt", transfer_id, document)
