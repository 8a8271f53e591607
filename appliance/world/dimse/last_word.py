"""An answer of ours that must be on the line before the line is released.

A report of a commitment comes while we wait for it, and is heard before it is answered. Whoever then releases at once
puts the release before the answer: pynetdicom's thread ends in an error (a P-DATA request in state 7, PS3.8 9.2), and
the peer never learns that it was heard.
"""

import threading
from typing import Any

from pynetdicom import evt
from pynetdicom.dimse_messages import N_EVENT_REPORT_RSP
from pynetdicom.pdu import P_DATA_TF


class LastWord:
    """Counts nothing and remembers one thing: whether the answer that was last asked of us has gone."""

    def __init__(self) -> None:
        self._gone = threading.Event()
        self._gone.set()
        self._worded = False

    @property
    def handlers(self) -> list[Any]:
        return [(evt.EVT_DIMSE_SENT, self._wording), (evt.EVT_PDU_SENT, self._going)]

    def asked(self) -> None:
        """From now on an answer is owed."""
        self._gone.clear()

    def wait(self, seconds: float) -> None:
        """Until the answer has gone; no longer than so many seconds."""
        self._gone.wait(seconds)

    def _wording(self, event: Any) -> None:
        if isinstance(event.message, N_EVENT_REPORT_RSP):  # said before its pieces are
            self._worded = True

    def _going(self, event: Any) -> None:
        if self._worded and isinstance(event.pdu, P_DATA_TF):
            self._worded = False
            self._gone.set()
