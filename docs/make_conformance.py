"""The DICOM Conformance Statement (PS3.2), out of the tables that the code itself goes by."""

from pathlib import Path

from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
    Verification,
)

from appliance.config import knobs
from appliance.core import commitment, transfer_syntax
from appliance.core.delivery import of_status
from appliance.core.results import words
from appliance.core.results.statement import INHERITED
from appliance.world import dimse
from appliance.world.dimse import steps
from appliance.world.dimse.calling import PDU_BYTES_MAX
from appliance.world.dimse.server import IDENTIFIER_BYTES_MAX

STORED = tuple(sorted({str(each.abstract_syntax) for each in AllStoragePresentationContexts}))
SYNTAXES = tuple(str(each) for each in ALL_TRANSFER_SYNTAXES)
BUILT = ("1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.7")  # what core.results makes
OFFERED = ("1.2.840.10008.1.2.1", str(ImplicitVRLittleEndian))
DECODERS = (
    (transfer_syntax.NATIVE, "numpy", "pydicom"),
    (frozenset({transfer_syntax.RLE}), "imagecodecs, after its header was checked", "pydicom"),
    (transfer_syntax.JPEG_LOSSY, "imagecodecs (libjpeg-turbo, 8 and 12 bit)", "gdcm"),
    (transfer_syntax.JPEG_LOSSLESS, "imagecodecs", "gdcm; .57 by round trip only"),
    (transfer_syntax.JPEG_LS, "imagecodecs (CharLS)", "pyjpegls"),
    (transfer_syntax.JPEG_2000, "imagecodecs (OpenJPEG)", "gdcm"),
    (transfer_syntax.HTJ2K, "imagecodecs (OpenJPEG)", "round trip only"),
)
STORE_SAYS = {
    dimse.SUCCESS: "object and name are on the disk (fsync of file and folder)",
    dimse.OUT_OF_RESOURCES: "the disk is low; nothing was kept",
    dimse.PROCESSING_FAILURE: "it could not be kept for another reason",
}
ACTION_SAYS = {
    dimse.SUCCESS: "the request is on the disk",
    dimse.NO_SUCH_INSTANCE: "for another instance than the well-known one",
    dimse.NO_ARGUMENT: "without information",
    dimse.NO_SUCH_ACTION: "for another action than 1",
    dimse.NOT_AUTHORISED: "for a peer that is not in `dimse.commit_peers`",
    dimse.PROCESSING_FAILURE: "it could not be kept",
}
CREATE_SAYS = {
    steps.SUCCESS: "the message is on the disk",
    steps.NOT_AUTHORISED: "from a peer that is not in `dimse.mpps_peers`",
    steps.DUPLICATE: "the step was created before, by the same message or another",
    steps.INVALID_INSTANCE: "without SOP Instance UID, or with one that is none",
    steps.MISSING_ATTRIBUTE: "without attribute list",
    steps.NO_ROOM: "the disk is low, the message is too large, or too many steps are known; nothing was kept",
    steps.PROCESSING_FAILURE: "it could not be kept",
}
SET_SAYS = {
    steps.SUCCESS: "the message is on the disk",
    steps.NOT_AUTHORISED: "from a peer that is not in `dimse.mpps_peers`",
    steps.NO_SUCH_INSTANCE: "the step was not created here, or is forgotten",
    steps.INVALID_INSTANCE: "with a SOP Instance UID that is none",
    steps.MISSING_VALUE: "without modification list",
    steps.NO_ROOM: "the disk is low, the message is too large, or too many changes of the step wait; nothing was kept",
    steps.PROCESSING_FAILURE: f"the step ended (Error ID 0x{steps.NO_LONGER[0]:04X}, *{steps.NO_LONGER[1]}*); "
    "without Error ID: it could not be kept",
}
STEP_SYNTAXES = tuple(steps.SYNTAXES)
NOT_KEPT = {
    commitment.NO_SUCH_INSTANCE: "never came",
    commitment.PROCESSING_FAILURE: "came broken; two different files under its UID; changed on our disk",
    commitment.CLASS_CONFLICT: "of another class than asked",
}
ANSWERS = (0x0000, 0x0001, 0x0107, 0x0110, 0x0115, 0x0117, 0x0118, 0x0119, 0x0122, 0x0124, 0x0210, 0x0213)
ANSWERS = (*ANSWERS, 0xA700, 0xA900, 0xB000, 0xC000)


def page() -> str:
    stored = "\n".join(f"| {UID(uid).name} | {uid} |" for uid in STORED)
    syntaxes = ", ".join(f"{UID(uid).name} ({uid})" for uid in SYNTAXES)
    decoded = "\n".join(
        f"| {', '.join(f'{UID(uid).name} ({uid})' for uid in sorted(uids))} | {how} | {beside} |"
        for uids, how, beside in DECODERS
    )
    fates = {"taken": "done", "noted": "done, with `pacs-warning`", "again": "sent again for as long as it takes"}
    fates |= {"refused": "given up; a person's"}
    heard = "\n".join(
        f"| 0x{status:04X}{' and its kin' if status >= 0xA700 else ''} | {fates[of_status(status).fate]} |"
        for status in ANSWERS
    )
    own = {name: value for name, value in vars(words).items() if isinstance(value, words.Term)}
    terms = [*own.values(), *words.LANES.values(), *words.DECISIONS.values(), *words.ASSESSMENTS.values()]
    codes = "\n".join(f"| {each.value} | {each.meaning} |" for each in terms if each.scheme == words.SCHEME)
    configured = "\n".join(
        f"| `{key}` | `{default}` | {sentence} |"
        for key, _, default, _, sentence in knobs()
        if key.split(".")[0] in ("dimse", "deliver", "results") and "timeout" not in key
    )
    return (
        Path(__file__)
        .with_name("conformance.md.in")
        .read_text("utf-8")
        .format(
            stored=stored,
            stored_count=len(STORED),
            syntaxes=syntaxes,
            decoded=decoded,
            store=_statuses(STORE_SAYS),
            action=_statuses(ACTION_SAYS),
            not_kept=_statuses(NOT_KEPT),
            create=_statuses(CREATE_SAYS),
            set=_statuses(SET_SAYS),
            performed=ModalityPerformedProcedureStep,
            step_syntaxes=", ".join(f"{UID(uid).name} ({uid})" for uid in STEP_SYNTAXES),
            identifier=IDENTIFIER_BYTES_MAX // 2**20,
            heard=heard,
            built="\n".join(f"| {UID(uid).name} | {uid} |" for uid in BUILT),
            offered=", ".join(f"{UID(uid).name} ({uid})" for uid in OFFERED),
            inherited=", ".join(f"`{each}`" for each in INHERITED),
            codes=codes,
            scheme=words.SCHEME,
            configured=configured,
            pdu=PDU_BYTES_MAX,
            verification=Verification,
            commitment=StorageCommitmentPushModel,
            instance=dimse.COMMITMENT_INSTANCE,
        )
    )


def _statuses(said: dict[int, str]) -> str:
    return "\n".join(f"| 0x{status:04X} | {meaning} |" for status, meaning in said.items())
