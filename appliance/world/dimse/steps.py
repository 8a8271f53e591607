"""The answers to Modality Performed Procedure Step (PS3.4 F.7): N-CREATE and N-SET, made after a message is kept.

No attribute is read here. Of a step only its SOP Instance UID is known, out of the command set.
"""

from collections.abc import Callable
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from appliance.core.admit import UID, UID_LENGTH_MAX
from appliance.core.step_files import Kind
from appliance.world.dimse.server import IDENTIFIER_BYTES_MAX

# PS3.7 C.4 and C.5, PS3.4 F.7.2
SUCCESS, PROCESSING_FAILURE, NOT_AUTHORISED, NO_ROOM = 0x0000, 0x0110, 0x0124, 0x0213
DUPLICATE, NO_SUCH_INSTANCE, INVALID_INSTANCE = 0x0111, 0x0112, 0x0117
MISSING_ATTRIBUTE, MISSING_VALUE = 0x0120, 0x0121
NO_LONGER = (0xA710, "Performed Procedure Step Object may no longer be updated")  # F.7.2.2.4: Error ID and its comment
SYNTAXES = [str(each) for each in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)]
STATUSES = {
    "": SUCCESS,
    "step-known": DUPLICATE,
    "step-unknown": NO_SUCH_INSTANCE,
    "step-room": NO_ROOM,
    "disk-low": NO_ROOM,
}
Take = Callable[[Kind, str, str, str, bytes], str]  # kind, AE title, SOP Instance UID, transfer syntax, data set


def created(event: Any, may: Callable[[str, str], bool], take: Take) -> tuple[int | Dataset, None]:
    """The answer to N-CREATE."""
    told = event.request.AttributeList
    return _answer(event, "create", event.request.AffectedSOPInstanceUID, told, may, take), None


def changed(event: Any, may: Callable[[str, str], bool], take: Take) -> tuple[int | Dataset, None]:
    """The answer to N-SET."""
    told = event.request.ModificationList
    return _answer(event, "set", event.request.RequestedSOPInstanceUID, told, may, take), None


def _answer(
    event: Any, kind: Kind, named: Any, told: Any, may: Callable[[str, str], bool], take: Take
) -> int | Dataset:
    requestor = event.assoc.requestor
    title = requestor.primitive.calling_ae_title
    if not may(title, requestor.address):
        return NOT_AUTHORISED
    uid = str(named or "")
    if not UID.fullmatch(uid) or len(uid) > UID_LENGTH_MAX:
        return INVALID_INSTANCE  # a modality names its step itself (F.7.2.1.1): it could not change one it cannot name
    data = b"" if told is None else told.getvalue()
    if not data:
        return MISSING_ATTRIBUTE if kind == "create" else MISSING_VALUE
    if len(data) > IDENTIFIER_BYTES_MAX:
        return NO_ROOM  # its last PDU came whole before anybody could count
    fault = take(kind, title, uid, str(event.context.transfer_syntax), data)
    if fault == "step-over":
        status = Dataset()
        status.Status, (status.ErrorID, status.ErrorComment) = PROCESSING_FAILURE, NO_LONGER
        return status
    return STATUSES.get(fault, PROCESSING_FAILURE)
