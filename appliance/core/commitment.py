"""Storage Commitment as a scanner asks for it (PS3.4 Annex J): the request out of its bytes, and the answer's reasons.

The request is hostile: nothing of it is believed but UIDs, and their number has a limit.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from appliance.core.admit import DAMAGE, UID, UID_LENGTH_MAX
from appliance.errors import Quarantined

# PS3.3 C.14.1.1, Failure Reason
PROCESSING_FAILURE, NO_SUCH_INSTANCE, CLASS_CONFLICT = 0x0110, 0x0112, 0x0119
INSTANCES_MAX = 10_000
SYNTAXES: dict[str, tuple[bool, bool]] = {  # implicit VR, little endian
    str(ImplicitVRLittleEndian): (True, True),
    str(ExplicitVRLittleEndian): (False, True),
    str(ExplicitVRBigEndian): (False, False),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: whose, under which name, of which instances (SOP class, SOP instance), each once."""

    peer: str
    transaction_uid: str
    instances: tuple[tuple[str, str], ...]

    @property
    def order_id(self) -> str:
        """Of the one answer it gets: the same for the same request, however often it comes."""
        return hashlib.sha256(f"commit-reply|{self.peer}|{self.transaction_uid}".encode()).hexdigest()[:32]


def request_of(peer: str, syntax: str, data: bytes) -> Asked:
    """What a scanner asks for. Raises Quarantined("commit-malformed")."""
    try:
        implicit, little = SYNTAXES[syntax]
        told = read_dataset(BytesIO(data), implicit, little)
        transaction = _uid(told, "TransactionUID")
        items = told.get("ReferencedSOPSequence") or ()
        if not 0 < len(items) <= INSTANCES_MAX:
            raise Quarantined("commit-malformed", "ReferencedSOPSequence")
        named = [(_uid(item, "ReferencedSOPClassUID"), _uid(item, "ReferencedSOPInstanceUID")) for item in items]
    except DAMAGE:
        raise Quarantined("commit-malformed") from None
    return Asked(peer, transaction, tuple(dict.fromkeys(named)))


def _uid(dataset: Dataset, keyword: str) -> str:
    value = str(dataset.get(keyword, "")).strip("\0 ")
    if not UID.fullmatch(value) or len(value) > UID_LENGTH_MAX:
        raise Quarantined("commit-malformed", keyword)
    return value


def reason(sop_class: str, classes: Sequence[str], *, broken: bool, whole: bool) -> int:
    """Why an instance is not committed to; 0: it is.

    classes  of each file that was admitted under its UID
    broken   whether one came that could not be admitted
    whole    whether the bytes that were admitted lie here as they came
    """
    if not classes:
        return PROCESSING_FAILURE if broken else NO_SUCH_INSTANCE
    if len(classes) > 1:
        return PROCESSING_FAILURE  # two files claim to be it: the scanner keeps its own until a person says which is
    if classes[0] != sop_class:
        return CLASS_CONFLICT
    return 0 if whole else PROCESSING_FAILURE
