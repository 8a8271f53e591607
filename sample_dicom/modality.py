"""The synthetic scanner's line: sends a study by C-STORE and asks by Storage Commitment whether all of it is kept.

It behaves as a modality does: one association a study, released at its end; an N-ACTION that names what was sent; the
answer on an association of the other side's choosing, for which it listens (PS3.4 Annex J). What is no DICOM object it
does not send.
"""

import io
import json
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from sample_dicom.scanner import Story, record

WELL_KNOWN = "1.2.840.10008.1.20.1.1"  # the one instance of the Storage Commitment service (PS3.4 J.3.5)
SUCCESS = 0x0000


@dataclass(slots=True)
class Told:
    """What the other side said of one study, by SOP Instance UID."""

    sent: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    not_kept: list[str] = field(default_factory=list)

    @property
    def answered(self) -> bool:
        return len(self.kept) + len(self.not_kept) >= len(self.sent)


class Modality:
    """A scanner on the network; `close` takes it off.

    to         (AE title, address, port) of the appliance
    answer_at  port at which it listens for answers to its commitments; 0: it asks for none
    """

    def __init__(self, title: str, to: tuple[str, str, int], answer_at: int = 0, host: str = "127.0.0.1") -> None:
        self.title, self.to = title, to
        self._told: dict[str, Told] = {}
        self._news = threading.Condition()
        self._server: Any = None
        if answer_at:
            listening = AE(ae_title=title)
            listening.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
            handlers = [(evt.EVT_N_EVENT_REPORT, self._hear)]
            self._server = listening.start_server((host, answer_at), block=False, evt_handlers=handlers)

    def send(self, objects: Sequence[bytes]) -> Told:
        """One study on one association. Raises ConnectionError where there is none."""
        datasets = [pydicom.dcmread(io.BytesIO(each)) for each in objects]
        calling, told = AE(ae_title=self.title), Told()
        for pair in sorted({(each.SOPClassUID, each.file_meta.TransferSyntaxUID) for each in datasets}):
            calling.add_requested_context(*pair)
        if self._server is not None:
            calling.add_requested_context(StorageCommitmentPushModel)
        title, address, port = self.to
        line = calling.associate(address, port, ae_title=title)
        if not line.is_established:
            raise ConnectionError("no association")
        for each in datasets:
            status = line.send_c_store(each).get("Status")
            (told.sent if status == SUCCESS else told.refused).append(str(each.SOPInstanceUID))
        if self._server is not None and told.sent:
            self._ask(line, told, {str(each.SOPInstanceUID): str(each.SOPClassUID) for each in datasets})
        line.release()
        return told

    def _ask(self, line: Any, told: Told, classes: dict[str, str]) -> None:
        asked = Dataset()
        asked.TransactionUID, asked.ReferencedSOPSequence = str(pydicom.uid.generate_uid(prefix=None)), []
        for uid in told.sent:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = UID(classes[uid]), UID(uid)
            asked.ReferencedSOPSequence.append(item)
        with self._news:
            self._told[asked.TransactionUID] = told  # before it is asked: the answer may be quicker than the status
        line.send_n_action(asked, 1, StorageCommitmentPushModel, WELL_KNOWN)

    def _hear(self, event: Any) -> tuple[int, None]:
        said = event.event_information
        with self._news:
            told = self._told.get(str(said.TransactionUID))
            if told is not None:
                for name, into in (("ReferencedSOPSequence", told.kept), ("FailedSOPSequence", told.not_kept)):
                    into += [str(item.ReferencedSOPInstanceUID) for item in said.get(name, ())]
            self._news.notify_all()
        return SUCCESS, None

    def wait(self, told: Told, seconds: float) -> bool:
        """Waits until all that was sent has an answer; False where it has not come in time."""
        with self._news:
            return self._news.wait_for(lambda: told.answered, seconds)

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()


def play(
    stories: Iterable[Story], title: str, to: tuple[str, str, int], answer_at: int, *, wait_s: float, rate: float
) -> int:
    """Sends stories and prints the truth of each; what is no study no scanner could send. 1: not all of it was taken,
    or kept where that was asked.

    rate  stories a minute; 0 as fast as can be
    """
    scanner, said = Modality(title, to, answer_at), []
    try:
        for story in stories:
            if not story.study_instance_uid:
                continue
            said.append(scanner.send([file.data for file in story.files]))
            print(json.dumps(record(story)), flush=True)
            time.sleep(60 / rate if rate else 0)
        for each in said if answer_at else ():
            scanner.wait(each, wait_s)
    finally:
        scanner.close()
    counted = {name: sum(len(getattr(each, name)) for each in said) for name in ("sent", "refused", "kept", "not_kept")}
    print(json.dumps(counted), flush=True)
    wanted = counted["sent"] if answer_at else 0
    return 0 if (counted["kept"], counted["not_kept"], counted["refused"]) == (wanted, 0, 0) else 1
