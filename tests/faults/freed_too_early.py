"""A house built wrong on purpose: triage frees the bytes of a case once it was sent, not once it was received.

Started by the kill campaign in the place of `appliance run triage`; the campaign must find the loss.
"""

import sys

from sqlalchemy import Connection, select

from appliance.cli import main
from appliance.world import wire


def sent_case_ids(link_c: Connection) -> set[str]:
    return set(link_c.execute(select(wire.sendings.c.case_id).where(wire.sendings.c.attempts > 0)).scalars())


wire.received_case_ids = sent_case_ids
sys.exit(main())
