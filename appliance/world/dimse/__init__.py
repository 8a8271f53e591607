"""The scanner's network protocol: an SCP of Storage, Verification, Storage Commitment and Modality Performed Procedure
Step (PS3.4 Annexes B, A, J and F).

Objects are written to a landing folder while they come, in the transfer syntax in which they were sent, and handed over
whole; what the sender is told depends on nothing but whether they were kept. No data set is parsed: the File Meta
Information is made from the command set and the negotiated syntax (PS3.10 7.1), and what a commitment is asked for, or
what is told of a procedure step, is handed over as it came. Every storage class is accepted, also private ones and
those that nobody knows yet. What a peer may make this process hold is bounded (`server`). Whoever calls others is in
`calling`, what is answered of procedure steps in `steps`.
"""

import logging
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynetdicom
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import negotiate_unrestricted
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
    Verification,
)

from appliance.config.dimse import Dimse
from appliance.errors import Misconfigured, Unavailable
from appliance.world.dimse import plain, server, steps
from appliance.world.dimse.landed import Landed
from appliance.world.dimse.server import Limits, Server

SUCCESS, OUT_OF_RESOURCES, PROCESSING_FAILURE = 0x0000, 0xA700, 0x0110  # PS3.4 B.2.3, PS3.7 C.5
NO_SUCH_INSTANCE, NO_SUCH_ACTION, NOT_AUTHORISED, NO_ARGUMENT = 0x0112, 0x0123, 0x0124, 0x0115  # PS3.7 C.5
COMMITMENT_INSTANCE, ASK_ACTION = "1.2.840.10008.1.20.1.1", 1  # PS3.4 J.3.2
SERVED = (Verification, ModalityPerformedProcedureStep)  # and Storage Commitment, which has Storage in its name
ACCEPTED, NO_SUCH_SYNTAX = 0x00, 0x03  # PS3.8 9.3.3.2: abstract syntax not supported
# PS3.8 9.3.4: result, source, reason
NOT_KNOWN, CONGESTED = (0x01, 0x01, 0x03), (0x02, 0x03, 0x01)
LANDING_SLACK_S, LANDING_ALONE_S = 60.0, 5.0


@dataclass(frozen=True, slots=True)
class Ends:
    """What the listener asks its service. line: the number of an association, of its own while it is open.

    keep     puts a whole file of a line away durably under its digest, which it asks for as late as it can, and returns
             ""; the code of a fault where not
    ask      the same with a commitment that an AE title asks for: its transfer syntax, its data set as it came
    tell     the same with what an AE title tells of a procedure step: its SOP Instance UID, transfer syntax, data set
    began    told that an association with a peer (AE title at address) may send
    ended    told that it ended, and whether the peer released it
    room     whether more may come now
    safely   runs work on what a peer sent; False when it failed, whatever it raised
    strange  told the address of somebody unknown who was refused
    limited  told that an association was ended because it went past a limit
    """

    keep: Callable[[Path, Callable[[], str], int], str]
    ask: Callable[[str, str, bytes], str]
    tell: steps.Take
    began: Callable[[int, str], None]
    ended: Callable[[int, bool], None]
    room: Callable[[], bool]
    safely: Callable[[Callable[[], None]], bool]
    strange: Callable[[str], None]
    limited: Callable[[], None]


class Listener:
    """A running server; `stop` ends its associations."""

    def __init__(self, running: Server, landing: Path, idle_timeout_s: float) -> None:
        self._server, self._landing = running, landing
        self._keeps_s = idle_timeout_s + LANDING_SLACK_S
        self.port = running.port

    def tidy(self, now: float) -> None:
        """Removes what broken associations left in the landing folder: their senders were promised nothing.

        now  wall seconds since 1970, as file times count
        """
        alone = self._server.alone
        for path in self._landing.iterdir():
            with suppress(FileNotFoundError):
                if now - path.stat().st_mtime > (LANDING_ALONE_S if alone else self._keeps_s):
                    path.unlink()

    def stop(self) -> None:
        """Ends the server and every association; what was half here is gone, and its sender knows."""
        self._server.stop()
        if tempfile.tempdir == str(self._landing):
            tempfile.tempdir = None


def listen(knobs: Dimse, landing: Path, file_bytes_max: int, key_file: Path, ends: Ends) -> Listener:
    """Starts to listen. landing lies on the file system of whatever `ends.keep` moves files to.

    raises  Unavailable("dimse-address"): it is not there, taken, or not ours to take; Misconfigured("dimse-tls")
    """
    pynetdicom._config.STORE_RECV_CHUNKED_DATASET = True
    pynetdicom._config.UNRESTRICTED_STORAGE_SERVICE = True
    messages: Any = pynetdicom.dimse_messages
    messages.NamedTemporaryFile, messages.decode = Landed, plain.decode
    messages.create_file_meta, messages.write_file_meta_info = plain.file_meta, plain.write_file_meta
    pynetdicom.acse.negotiate_unrestricted = _only_storage  # type: ignore[attr-defined,assignment]
    pynetdicom._config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its words may quote what a stranger sent
    landing.mkdir(parents=True, exist_ok=True)
    for left in landing.iterdir():
        left.unlink()
    ae = AE(ae_title=knobs.ae_title)
    ae.require_called_aet = True
    ae.maximum_associations = knobs.associations_max
    ae.maximum_pdu_size = knobs.pdu_bytes_max
    ae.acse_timeout = knobs.request_timeout_s
    ae.dimse_timeout = ae.network_timeout = knobs.idle_timeout_s
    ae.add_supported_context(Verification)
    if knobs.commit_peers:
        ae.add_supported_context(StorageCommitmentPushModel)
    if knobs.mpps_peers:
        ae.add_supported_context(ModalityPerformedProcedureStep, steps.SYNTAXES)
    tls = _tls(knobs, key_file) if knobs.tls == "mutual" else None
    rules = _Rules(knobs, file_bytes_max, ends)
    tempfile.tempdir = str(landing)  # where pynetdicom writes what comes
    try:
        running = Server(
            ae,
            (knobs.host, knobs.port),
            Limits(
                known=knobs.known_address,
                large=rules.large,
                safely=ends.safely,
                strange=ends.strange,
                limited=ends.limited,
                ended=lambda association: ends.ended(_number(association), association.is_released),
                request_timeout_s=knobs.request_timeout_s,
                idle_timeout_s=knobs.idle_timeout_s,
                tls=tls,
            ),
            [
                (evt.EVT_REQUESTED, rules.requested),
                (evt.EVT_C_STORE, rules.store),
                (evt.EVT_N_ACTION, rules.asked),
                (evt.EVT_N_CREATE, rules.step_created),
                (evt.EVT_N_SET, rules.step_changed),
            ],
        )
    except OSError:
        tempfile.tempdir = None
        raise Unavailable("dimse-address", "dimse.host") from None
    return Listener(running, landing, knobs.idle_timeout_s)


def _only_storage(*told: Any) -> Any:
    """pynetdicom takes every class it has no name for as one to store; what DICOM names as another service is none.

    Classes that are served may pass: where a site did not ask for one, pynetdicom has refused it by now.
    """
    contexts, roles = negotiate_unrestricted(*told)
    for context in contexts:
        kind = UID(str(context.abstract_syntax))
        other = kind.type in ("SOP Class", "Meta SOP Class") and "Storage" not in kind.name
        if context.result == ACCEPTED and other and kind not in SERVED:
            context.result = NO_SUCH_SYNTAX
    return contexts, roles


def _tls(knobs: Dimse, key_file: Path) -> Any:
    try:
        return server.server_tls(knobs.tls_certificate_file, key_file, knobs.tls_authority_file)
    except OSError:  # ssl.SSLError is one
        raise Misconfigured("dimse-tls", "dimse.tls_certificate_file") from None


def _number(association: Association) -> int:
    """Of its own among those that are open: each is a thread."""
    assert association.ident is not None, "it runs"
    return association.ident


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is decided about a connection, an association and an object."""

    knobs: Dimse
    file_bytes_max: int
    ends: Ends

    def requested(self, event: Any) -> None:
        """Refuses who is not on the list, and everybody while there is no room."""
        association = event.assoc
        title, address = association.requestor.primitive.calling_ae_title, association.requestor.address
        if not self.knobs.may_send(title, address):
            self.ends.strange(address)
            association.acse.send_reject(*NOT_KNOWN)
            association.kill()
        elif not self.ends.room():
            association.acse.send_reject(*CONGESTED)
            association.kill()
        else:
            self.ends.began(_number(association), f"{title}@{address}")

    def store(self, event: Any) -> int:
        """The answer to C-STORE, made after the object is kept or because it cannot be."""
        file: Landed = event.request._dataset_file
        file.file.flush()
        fault = self.ends.keep(file.path, file.sha256, _number(event.assoc))
        if fault:
            return OUT_OF_RESOURCES if fault == "disk-low" else PROCESSING_FAILURE
        return SUCCESS

    def asked(self, event: Any) -> tuple[int, None]:
        """The answer to N-ACTION: the request is kept, or cannot be. What becomes of it is told on another day."""
        request, association = event.request, event.assoc
        title, address = association.requestor.primitive.calling_ae_title, association.requestor.address
        if request.RequestedSOPInstanceUID != COMMITMENT_INSTANCE:
            return NO_SUCH_INSTANCE, None
        if request.ActionTypeID != ASK_ACTION:
            return NO_SUCH_ACTION, None
        if self.knobs.answers_at(title, address) is None:
            return NOT_AUTHORISED, None
        told = b"" if request.ActionInformation is None else request.ActionInformation.getvalue()
        if not told:
            return NO_ARGUMENT, None
        fault = self.ends.ask(title, str(event.context.transfer_syntax), told)
        return (PROCESSING_FAILURE if fault else SUCCESS), None

    def step_created(self, event: Any) -> Any:
        return steps.created(event, self.knobs.may_tell_of_steps, self.ends.tell)

    def step_changed(self, event: Any) -> Any:
        return steps.changed(event, self.knobs.may_tell_of_steps, self.ends.tell)

    def large(self, count_bytes: int) -> bool:
        return count_bytes > self.file_bytes_max or not self.ends.room()
