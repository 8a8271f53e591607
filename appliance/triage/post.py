"""Whom triage writes to and whom it believes: its own keys and the centre's, as enrolment left them.

While there are none, hard studies wait here and nothing is tried with them; keys that appear count within seconds, so
that an appliance may run, and clear what it can, before its centre is known.
"""

import base64
import binascii
from collections.abc import Callable

from appliance.config import Config
from appliance.core.case import Verdict
from appliance.core.document import decode
from appliance.core.enclosure import Sender
from appliance.core.keys import CentreKeys, PrivateKeys
from appliance.core.letter import opened
from appliance.core.messages import verdict_place
from appliance.errors import Misconfigured, Quarantined
from appliance.loop import FAULTS, Moment
from appliance.world import keyring

LOOK_PERIOD_S = 5.0

Ring = tuple[PrivateKeys, CentreKeys]


class Post:
    """Triage's pen and letter opener.

    look  where the keys come from; the configuration's folder unless a test says otherwise
    """

    def __init__(self, config: Config, look: Callable[[], Ring] | None = None) -> None:
        self.device_id = config.site.device_id
        self._look = look or (lambda: (keyring.own(config.keys, "triage"), keyring.centre(config.keys)))
        self._ring: Ring | None = None
        self._look_again = 0.0

    def sender(self, moment: Moment) -> Sender | None:
        """What a case is sealed with; None while this appliance is not enrolled."""
        ring = self._known(moment)
        return None if ring is None else Sender(self.device_id, ring[0], ring[1].keys[0])

    def verdict(self, case_id: str, rev: int, letter: str, moment: Moment) -> Verdict | None:
        """The verdict in a letter, read strictly; None while there are no keys to open it with.

        raises  Quarantined: "letter-invalid" or "message-invalid"
        """
        ring = self._known(moment)
        if ring is None:
            return None
        own, centre = ring
        try:
            sealed = base64.b64decode(letter, validate=True)
        except binascii.Error:
            raise Quarantined("letter-invalid") from None
        place = verdict_place(self.device_id, case_id, rev)
        found = decode(Verdict, opened(sealed, place=place, senders=centre.keys, recipients=(own,)))
        if (found.case_id, found.rev) != (case_id, rev):
            raise Quarantined("message-invalid", "Verdict")
        return found

    def _known(self, moment: Moment) -> Ring | None:
        if self._ring is None and moment.mono >= self._look_again:
            try:
                self._ring = self._look()
            except Misconfigured as fault:
                FAULTS[fault.code] += 1
                self._look_again = moment.mono + LOOK_PERIOD_S
        return self._ring
