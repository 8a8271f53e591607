"""From shadow to deciding and back, on the models page: figures with intervals, what is missing, who ordered it."""

import dataclasses
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from babel.messages.pofile import read_po
from playwright.sync_api import Locator, expect
from playwright.sync_api import Page as Tab
from seeding import Seeded
from test_access import AXE, OVER, RUN, TAGS
from test_audit import DAY_S, Rows
from test_german import SAID

from appliance.core.promotion import WAITS, Figures
from appliance.core.roles import Order
from appliance.world.ledger import promotion, roles, watch
from docs.make_catalogue import LOCALE
from tests.sentences import english_left

OLD, NEW, OTHER = "chest/1.0.0", "chest/1.1.0", "hands/2.0.0"
GOOD = Figures(seen=217, silent=1, decided=151, present_decided=149, flagged=40, crossed=2, read=12, misses=1)
GOOD = dataclasses.replace(GOOD, present_misses=1)


class Filed(Rows):
    """What triage files of models that come and go."""

    def installed(self, title: str, role: str) -> None:
        name, _, version = title.partition("/")
        told = {"name": name, "version": version, "label": "pneumonia", "meaning": "as read", "weights": "trained"}
        with self.seeded.engine.begin() as c:
            watch.put_installed(c, title, {**told, "role": role, "intended_use": "Research."}, time.time() - DAY_S)

    def figures(self, title: str, waits: tuple[str, ...], **changed: int) -> None:
        told: Mapping[str, Any] = {**dataclasses.asdict(dataclasses.replace(GOOD, **changed)), "needed": 200}
        with self.seeded.engine.begin() as c:
            row = {**told, "waits": list(waits)}
            promotion.put(c, title, title.partition("/")[0] + "/1.0.0", next(iter(waits), ""), row, time.time())

    def order(self, kind: Any, subject: str, source: Any = "desk") -> None:
        now = time.time()
        with self.seeded.engine.begin() as c:
            told = {"who": "kim" if source == "desk" else source, "issued_at": now, "at": now, "outcome": "done"}
            roles.file(c, source, f"{kind} {subject} {now}", Order(kind, subject), **told)


@pytest.fixture(scope="module")
def filed(seeded: Seeded) -> Filed:
    made = Filed(seeded)
    made.installed(OLD, "decides")
    made.installed(NEW, "shadow")
    made.installed(OTHER, "shadow")
    return made


def place(page: Tab, address: str, title: str) -> Locator:
    page.goto(f"{address}models")
    return page.get_by_role("article", name=f"How {title} stands beside others")


def test_what_holds_a_shadow_up_is_said_with_its_figures(
    signed_in: Tab, filed: Filed, address: str, keep: Callable[[str], None]
) -> None:
    filed.figures(NEW, ("uncertified", "few", "less"), seen=40, decided=20, present_decided=30, flagged=0, crossed=0)
    told = place(signed_in, address, NEW)
    expect(told).to_contain_text(re.compile("Beside chest/1.0.0.*HELD UP", re.S))
    expect(told).to_contain_text("Studies on which both ran: 40; 200 are asked for.")
    rows = told.get_by_role("row")
    # Wilson's intervals, worked out by hand.
    expect(rows.filter(has_text="Decided")).to_contain_text("20 of 40: 50 % (35 to 65 %)30 of 40: 75 % (60 to 86 %)")
    expect(rows.filter(has_text="Without an answer")).to_contain_text("1 of 40: 2 % (0 to 13 %)")
    expect(rows.filter(has_text="flagged by the present one")).to_contain_text("none yet")
    expect(rows.filter(has_text="read blinded")).to_contain_text("1 of 12: 8 % (1 to 35 %)1 of 12: 8 % (1 to 35 %)")
    missing = told.get_by_role("listitem")
    expect(missing).to_have_text(
        [
            "a certificate made at this site that is valid today",
            "160 more studies beside, under its own certificate",
            "at most 5 points of the studies decided less than by the present one",
        ]
    )
    told.scroll_into_view_if_needed()
    keep("promotion-held-up")


def test_one_that_may_be_activated_is_said_and_lacks_nothing(signed_in: Tab, filed: Filed, address: str) -> None:
    filed.figures(NEW, ())
    told = place(signed_in, address, NEW)
    expect(told).to_contain_text("MAY BE ACTIVATED")
    expect(told).to_contain_text("Nothing is missing")
    expect(told.get_by_role("listitem")).to_have_count(0)


def test_one_that_was_not_compared_yet_shows_no_figure(signed_in: Tab, filed: Filed, address: str) -> None:
    told = place(signed_in, address, OTHER)
    expect(told).to_contain_text("NOT COMPARED YET")
    expect(told.get_by_role("table")).to_have_count(0)


def test_who_came_with_the_appliance_has_no_such_panel(signed_in: Tab, filed: Filed, address: str) -> None:
    expect(place(signed_in, address, OLD)).to_have_count(0)


def test_active_by_whose_order_and_taken_back_by_whom(
    signed_in: Tab, filed: Filed, address: str, keep: Callable[[str], None]
) -> None:
    filed.order("model-activate", NEW)
    filed.installed(NEW, "decides")
    filed.installed(OLD, "shadow")
    filed.figures(OLD, ("silent",), silent=9)
    told = place(signed_in, address, NEW)
    expect(told).to_contain_text(re.compile("ACTIVE.*ordered by kim", re.S))
    expect(place(signed_in, address, OLD)).to_contain_text("at most 1 % of the studies may go without")

    filed.order("model-rollback", "chest", source="promotion")
    filed.installed(OLD, "decides")
    filed.installed(NEW, "shadow")
    filed.figures(NEW, ())
    told = place(signed_in, address, OLD)
    expect(told).to_contain_text(re.compile("ACTIVE.*ordered by the appliance itself", re.S))
    expect(told).to_contain_text(f"{NEW} was taken back then; this version decides again.")
    told = place(signed_in, address, NEW)
    expect(told).to_contain_text(re.compile("TAKEN BACK.*ordered by the appliance itself", re.S))
    expect(told).to_contain_text("only a person's order makes it decide again")
    told.scroll_into_view_if_needed()
    keep("promotion-taken-back")
    filed.order("model-activate", NEW)
    expect(place(signed_in, address, NEW)).not_to_contain_text("TAKEN BACK")


def test_in_german_nothing_english_is_left_and_axe_is_silent(
    signed_in: Tab, filed: Filed, address: str, keep: Callable[[str], None]
) -> None:
    """The last one: the page stays German."""
    filed.installed(NEW, "shadow")
    filed.installed(OLD, "decides")
    filed.figures(NEW, tuple(WAITS), seen=40, silent=2, decided=20, present_decided=30, crossed=9, misses=5)
    place(signed_in, address, NEW)
    signed_in.get_by_role("button", name="Deutsch").click()
    expect(signed_in.locator("html")).to_have_attribute("lang", "de")
    signed_in.goto(f"{address}models")
    expect(signed_in.get_by_text("AUFGEHALTEN")).to_be_visible()
    with (LOCALE / "de.po").open("rb") as file:
        assert english_left(signed_in.evaluate(SAID), read_po(file, locale="de")) == []
    signed_in.evaluate(AXE)
    assert signed_in.evaluate(RUN, TAGS) == []
    keep("promotion-german")
    signed_in.set_viewport_size({"width": 320, "height": 720})
    assert not signed_in.evaluate(OVER)
