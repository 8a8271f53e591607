"""`appliance corrections export`: what signers said here, for training, one JSON line a study; no pictures, no names.

It prints what was made and inspected when it was signed, byte for byte, and changes nothing but the trail, which notes
the export. The lines certify nothing: `appliance certify` refuses them.
"""

import argparse
import os
import time

from appliance import review
from appliance.config import Places
from appliance.errors import Misconfigured
from appliance.world import desk, sqlite
from appliance.world.ledger import corrections as book


def run(places: Places, told: argparse.Namespace) -> int:
    """Prints the standing correction of each study, or every one. Raises Misconfigured: nothing was ever taken in."""
    if not places.studies_db.exists():
        raise Misconfigured("state-folder")
    if not places.review_db.exists():  # nobody ever signed in, let alone signed
        return 0
    with review.opened(places) as ledgers, ledgers.pen().begin() as c:
        subject = "every rev" if told.every else "standing"
        desk.note(c, at=time.time(), user=f"command-line:{os.getuid()}", act="corrections-exported", subject=subject)
    engine = sqlite.open_reader(places.studies_db)
    try:
        with engine.connect() as c:
            for row in book.standing(c, every=told.every) if book.is_made(c) else ():
                print(row.body.decode())
    finally:
        engine.dispose()
    return 0
