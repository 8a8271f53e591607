"""`appliance support-bundle OUT.tar`: made, looked through by something that did not make it, then written."""

import time
from pathlib import Path

from appliance.config import Config, Places
from appliance.errors import Misconfigured
from appliance.review import bundle_check
from appliance.review.bundle import bundle
from appliance.world import archive


def write(config: Config, places: Places, out: Path) -> int:
    """Writes the bundle whole or not at all.

    raises  Quarantined("bundle-identity"), ("bundle-unreadable"); Misconfigured("bundle-there")
    """
    if out.exists():
        raise Misconfigured("bundle-there", out.name)
    data = bundle(config, places, time.time())
    bundle_check.check(data, places)
    archive.put(out.absolute(), data)
    print(f"{out}: {len(data)} bytes; no name, number, date or UID of a patient of this ledger was found in it")
    return 0
