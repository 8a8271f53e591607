"""Calling others: objects to a PACS, commitments asked for and answered (PS3.4 Annex B as SCU, J as SCU and SCP).

One association carries many messages. An object goes from its file in pieces: what waits to be sent is bounded. Every
step has a limit of its own, connecting, the hand-shake, sending a piece, each answer; none is put on the whole. Nothing
here knows why something is sent or what becomes of an answer.
"""

import logging
import queue
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pynetdicom
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]
from pynetdicom.transport import AssociationSocket

from appliance.errors import Quarantined, Unavailable
from appliance.world.dimse.last_word import LastWord

COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"  # PS3.4 J.3.2
ASK_ACTION, ALL_KEPT, SOME_FAILED = 1, 1, 2  # PS3.4 J.3.2.1.1, J.3.3.1.1
CONTEXTS_MAX = 120  # of the 128 that odd numbers below 256 allow (PS3.8 9.3.2.2)
PIECES_WAITING_MAX = 16
PDU_BYTES_MAX = 65_536  # what we take; a peer's own wish counts for what we send
PRIORITIES = {"critical": 1, "urgent": 1, "routine": 0}  # PS3.7 9.3.1.1: 1 high, 0 medium
TRANSIENT = 2  # PS3.8 9.3.4, result

Kind = tuple[str, str]  # SOP class, transfer syntax
Named = tuple[str, str]  # SOP class, SOP instance


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom to call, as whom, and how long each step may take.

    called, calling  AE titles
    tls              None: in clear
    """

    host: str
    port: int
    called: str
    calling: str
    connect_s: float
    answer_s: float
    tls: ssl.SSLContext | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Report:
    """What a peer says of a commitment: instances it keeps, and those it does not, with its reason."""

    transaction_uid: str
    kept: tuple[Named, ...]
    failed: tuple[tuple[str, str, int], ...]


class _Pieces(queue.Queue[Any]):
    """What waits to be sent; whoever fills it waits, but not for ever."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(PIECES_WAITING_MAX)
        self._wait_s = wait_s

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, self._wait_s if timeout is None else timeout)


class _Caller(Association):
    """pynetdicom's, whose sending waits for its reader to pause; one that has ended counts as paused."""

    @property
    def _is_paused(self) -> bool:
        return bool(self.__dict__["_is_paused"]) or not self.is_alive()

    @_is_paused.setter
    def _is_paused(self, value: bool) -> None:
        self.__dict__["_is_paused"] = value


class _Line(AssociationSocket):
    """pynetdicom's, which leaves a socket open that is not connected any more when it is to be closed."""

    def _shutdown_socket(self) -> None:
        line = self.socket
        super()._shutdown_socket()
        if line is not None:
            line.close()


class _Entity(AE):
    """pynetdicom's, with the two above in the places of its own."""

    def _create_socket(self, assoc: Association, address: Any, tls_args: Any) -> AssociationSocket:
        assoc.__class__ = _Caller
        line = super()._create_socket(assoc, address, tls_args)
        line.__class__ = _Line
        return line


class Call:
    """An open association."""

    def __init__(self, association: Association, answer_s: float) -> None:
        self._association, self._answer_s = association, answer_s
        self._said = 0

    @property
    def open(self) -> bool:
        return bool(self._association.is_established)

    @property
    def commits(self) -> bool:
        """Whether the peer can be asked for commitments."""
        return any(each.abstract_syntax == StorageCommitmentPushModel for each in self._association.accepted_contexts)

    def takes(self, kind: Kind) -> bool:
        """Whether the peer takes objects of a class in a transfer syntax, or in the default one in its place."""
        return any(each in self._accepted() for each in _with_default(kind))

    def _accepted(self) -> set[Kind]:
        return {
            (str(each.abstract_syntax), str(each.transfer_syntax[0])) for each in self._association.accepted_contexts
        }

    def store(self, path: Path, named: Named, syntax: str, priority: str) -> int:
        """Sends one object; returns the status of the answer.

        raises  Unavailable("pacs-away"): the line broke; Quarantined("payload-damaged"): the file is not what it is
                said to be
        """
        try:
            meta = read_file_meta_info(path)
            told = (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID)
        except (OSError, ValueError, AttributeError):
            raise Quarantined("payload-damaged") from None
        if told != (*named, syntax):
            raise Quarantined("payload-damaged")
        self._said += 1
        line, rank = self._association, PRIORITIES.get(priority, 0)
        if (named[0], syntax) in self._accepted():
            return self._status(lambda: line.send_c_store(path, self._number(), rank))
        try:
            dataset = dcmread(path)
        except (OSError, ValueError, InvalidDicomError):
            raise Quarantined("payload-damaged") from None
        # Written anew in the syntax that was accepted: the same elements, without their VRs.
        return self._status(lambda: line.send_c_store(dataset, self._number(), rank))

    def ask(self, transaction_uid: str, instances: Sequence[Named]) -> int:
        """Asks for the commitment of instances; returns the status. The report comes by itself, here or elsewhere."""
        asked = Dataset()
        asked.TransactionUID = transaction_uid
        asked.ReferencedSOPSequence = Items(_reference(*each) for each in instances)
        line = self._association
        told = (ASK_ACTION, StorageCommitmentPushModel, COMMITMENT_INSTANCE, self._number())
        return self._status(lambda: line.send_n_action(asked, *told)[0])

    def report(self, report: Report) -> int:
        """Says what became of a commitment that the peer had asked for; returns the status."""
        told = Dataset()
        told.TransactionUID = report.transaction_uid
        if report.kept:
            told.ReferencedSOPSequence = Items(_reference(*each) for each in report.kept)
        if report.failed:
            told.FailedSOPSequence = Items(_reference(*each) for each in report.failed)
        line, kind = self._association, SOME_FAILED if report.failed else ALL_KEPT
        place = (kind, StorageCommitmentPushModel, COMMITMENT_INSTANCE, self._number())
        return self._status(lambda: line.send_n_event_report(told, *place)[0])

    def _number(self) -> int:
        self._said = self._said % 65_535 + 1
        return self._said

    def _status(self, say: Callable[[], Dataset]) -> int:
        try:
            status = say().get("Status")
        except (RuntimeError, OSError, queue.Full):  # not established any more, or nothing moves
            status = None
        except ValueError:  # no context for it was accepted
            raise Unavailable("pacs-away", "presentation context") from None
        if status is None:
            _hang_up(self._association)
            raise Unavailable("pacs-away")
        return int(status)


@contextmanager
def call(
    peer: Peer,
    kinds: Sequence[Kind],
    *,
    commit: bool = False,
    answers: bool = False,
    heard: Callable[[Report], bool] | None = None,
) -> Iterator[Call]:
    """An association with a peer, released at the end, aborted by whatever is raised within.

    kinds    of the objects to be sent
    commit   whether commitments are to be asked for
    answers  whether commitments are to be answered
    heard    told of a report that comes on this association; whether it was expected
    raises   Unavailable("pacs-away" | "pacs-rejected")
    """
    _quiet()
    ae = _Entity(ae_title=peer.calling)
    ae.connection_timeout = peer.connect_s
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = peer.answer_s
    ae.maximum_pdu_size = PDU_BYTES_MAX
    offered = dict.fromkeys(each for kind in kinds for each in _with_default(kind))
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in list(offered)[:CONTEXTS_MAX]]
    contexts.append(build_context(Verification))  # every peer takes this one: one that takes no object is no dead one
    roles = []
    if commit or answers:
        contexts.append(build_context(StorageCommitmentPushModel))
    if answers:
        roles.append(build_role(StorageCommitmentPushModel, scp_role=True))
    last, handlers = LastWord(), list[Any]()
    if heard is not None:
        handlers = [(evt.EVT_N_EVENT_REPORT, lambda event: answer_to(event, heard, last)), *last.handlers]
    association = _associate(ae, peer, contexts, roles, handlers)
    try:
        yield Call(association, peer.answer_s)
    except BaseException:
        _hang_up(association)
        raise
    last.wait(peer.answer_s)
    try:
        association.release()
    except queue.Full:
        _hang_up(association)


def _with_default(kind: Kind) -> tuple[Kind, ...]:
    """What is proposed for an object: its own syntax, and the default one that everybody must know (PS3.5 10.1).

    Only Explicit VR Little Endian can be said in the default one and stay the same.
    """
    sop_class, syntax = kind
    return (kind, (sop_class, ImplicitVRLittleEndian)) if syntax == ExplicitVRLittleEndian else (kind,)


def _associate(
    ae: AE, peer: Peer, contexts: list[PresentationContext], roles: list[Any], handlers: list[Any]
) -> Association:
    try:
        association = ae.associate(
            peer.host,
            peer.port,
            contexts,
            peer.called,
            ext_neg=roles,
            tls_args=None if peer.tls is None else (peer.tls, peer.host),
            evt_handlers=handlers,
        )
    except (OSError, RuntimeError):  # the name is not found; the line went in the midst of it
        raise Unavailable("pacs-away") from None
    if not association.is_established:
        shut = association.is_rejected or association.rejected_contexts  # all of them: whoever we are, we may nothing
        raise Unavailable("pacs-rejected" if shut else "pacs-away")
    line = association.dul.socket
    if line is not None and line.socket is not None:
        line.socket.settimeout(peer.answer_s)  # of one piece; pynetdicom sets none
    association.dul.to_provider_queue = _Pieces(peer.answer_s)
    for context in association.accepted_contexts:  # many peers answer nothing about roles and mean yes
        context._as_scu = context._as_scp = True
    return association


def _hang_up(association: Association) -> None:
    if association.is_established:
        with suppress(queue.Full):  # nothing moves on this line: its peer sees it end
            association.abort()
    association.kill()


def answer_to(event: Any, heard: Callable[[Report], bool], last: LastWord | None = None) -> tuple[int, None]:
    """The answer to N-EVENT-REPORT: success when somebody waits for it."""
    if last is not None:
        last.asked()
    try:
        report = report_of(event.event_information)
    except (AttributeError, ValueError, TypeError, KeyError, NotImplementedError, EOFError, OSError):
        return 0x0115, None  # PS3.7 C.5: invalid argument value
    return (0x0000 if heard(report) else 0x0110), None


def report_of(told: Dataset) -> Report:
    """A report as a peer words it (PS3.4 J.3.3.1.2)."""
    kept = tuple(
        (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
        for item in told.get("ReferencedSOPSequence") or ()
    )
    failed = tuple(
        (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID), int(item.get("FailureReason") or 0))
        for item in told.get("FailedSOPSequence") or ()
    )
    return Report(str(told.TransactionUID), kept, failed)


def _reference(sop_class: str, sop_instance: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
    if reason is not None:
        item.FailureReason = reason
    return item


def _quiet() -> None:
    pynetdicom._config.STORE_SEND_CHUNKED_DATASET = True
    pynetdicom._config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its words may quote what a peer sent
