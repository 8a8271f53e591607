"""What came down, on the page of the models: its state in words, why it was refused, and that updates stand still."""

import re
import time
from collections.abc import Callable

from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from seeding import Seeded

from appliance.core.updates import Kind, Offer, Terms
from appliance.world.ledger import updates


def offer(kind: Kind, path: str, title: str) -> Offer:
    return Offer(path, kind, "a" * 64, 10, Terms(kind=kind, title=title, ring="site"))


def test_what_came_down_and_what_became_of_it(
    signed_in: Tab, seeded: Seeded, address: str, keep: Callable[[str], None]
) -> None:
    page, now = signed_in, time.time()
    with seeded.engine.begin() as c:
        updates.verified(c, 7, now - 3600, "", now - 7200)
        updates.end(c, offer("model", "models/chest-1.2.0.tar", "chest/1.2.0"), "held", now)
        updates.end(c, offer("policy", "policy/4.json", "policy-4"), "withdrawn", now)
        updates.end(c, offer("release", "releases/appliance-0.2.0.tar", "0.2.0"), "held", now)
        refused = offer("certificate", "certificates/b.json", "own-b")
        updates.end(c, refused, "refused", now, code="certificate-untrusted")
    page.goto(f"{address}models")
    panel = page.get_by_role("region", name="Updates")
    expect(panel).to_contain_text("Updates stand still: the signed list of updates is too old to be believed")
    rows = panel.get_by_role("listitem")
    expect(rows.filter(has_text="chest/1.2.0")).to_contain_text(re.compile("verified and taken in.*a model", re.S))
    expect(rows.filter(has_text="own-b")).to_contain_text("a certificate bears no signature of a trusted key")
    expect(rows.filter(has_text="policy-4")).to_contain_text("WITHDRAWN")
    expect(rows.filter(has_text="0.2.0 a release")).to_contain_text("a release, kept here")
    keep("updates")
    page.goto(address)
    alarms = page.get_by_text("Updates stand still: what lies here is too old or not signed as it must be.")
    expect(alarms.first).to_be_visible()
    expect(page.get_by_text("1 update was refused").first).to_be_visible()
