"""Every state of the page that somebody can meet, by name: its route, who sees it, and how one comes there.

The list is held against the table of doors and against the folder of templates: a page without an entry fails.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from playwright.sync_api import Page, expect
from seeding import NOW, Seeded, an_instance, patient, put_frames, ramp
from test_audit import NEW, OLD, TITLE, Rows, audit_of
from test_outbox import fill

from appliance import review
from appliance.config import Places
from appliance.core.roles import Order
from appliance.world import desk, ledger, reading_desk
from appliance.world.ledger import roles, watch

READER, VIEWER, ADMINISTRATOR = "dr.keller", "vic.view", "ada.admin"
ROLES = {READER: "reader", VIEWER: "viewer", ADMINISTRATOR: "administrator"}


class House(NamedTuple):
    """Three services over three state folders: a full one, one that shows no machine's word first, an empty one."""

    seeded: Seeded
    bare: Places  # of the empty one
    address: str
    blinded: str
    empty: str


class State(NamedTuple):
    """One state. template: what is drawn last; where: its address; act: what is done there before it is looked at."""

    route: str
    template: str
    user: str | None
    where: Callable[[House], str]
    act: Callable[[Page], None] | None = None


def at(path: str) -> Callable[[House], str]:
    return lambda house: f"{house.address}{path}"


def study(key: str, rest: str = "") -> Callable[[House], str]:
    return lambda house: f"{house.address}studies/{house.seeded.numbers[key]}{rest}"


def empty(path: str) -> Callable[[House], str]:
    return lambda house: f"{house.empty}{path}"


def press(name: str, **filled: str) -> Callable[[Page], None]:
    """Fills fields by their label and presses a button."""

    def done(page: Page) -> None:
        for label, value in filled.items():
            page.get_by_label(label.replace("_", " ")).first.fill(value)
        with page.expect_navigation():  # until it is loaded: without its style sheet a page is another one
            page.get_by_role("button", name=re.compile(name)).first.click()

    return done


def drawn(page: Page) -> None:
    expect(page.locator("#viewer")).to_have_attribute("data-ready", "yes")


def opened_out(page: Page) -> None:
    """A case with everything that can be opened on it open."""
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


def mistaken(page: Page) -> None:
    """A decision sent without its identifiers: the form comes again with what is missing."""
    page.evaluate("for (const each of document.querySelectorAll('#decide [required]')) each.required = false")
    page.locator("#decide input[value=agree]").check()
    press("^Sign as")(page)
    expect(page.locator("#mistake")).to_be_visible()


def locked(page: Page) -> None:
    press("^Lock$")(page)
    expect(page.get_by_role("button", name="Unlock")).to_be_visible()


def wrongly_unlocked(page: Page) -> None:
    locked(page)
    press("Unlock", Password="not this one")(page)


STATES: dict[str, State] = {
    "sign-in": State("/sign-in", "sign_in", None, at("sign-in")),
    "sign-in, wrong": State(
        "/sign-in", "sign_in", None, at("sign-in"), press("Sign in", Name="who", Password="not this one")
    ),
    "first administrator": State("/first", "first", None, empty("first")),
    "worklist": State("/", "worklist", READER, at("")),
    "worklist, all": State("/", "worklist", READER, at("?lane=all")),
    "worklist, no row": State("/", "worklist", VIEWER, at("?lane=all&page=9")),
    "worklist, read first": State("/", "worklist", READER, lambda house: house.blinded),
    "worklist, starting": State("/", "worklist", READER, empty("")),
    "case, flagged": State("/studies/{number:int}", "case", READER, study("flagged"), drawn),
    "case, answered and opened out": State("/studies/{number:int}", "case", READER, study("answered"), opened_out),
    "case, late at the centre": State("/studies/{number:int}", "case", VIEWER, study("late")),
    "case, quarantined": State("/studies/{number:int}", "case", READER, study("broken")),
    "case, signed, late image": State("/studies/{number:int}", "case", READER, study("signed"), opened_out),
    "case, hostile header": State("/studies/{number:int}", "case", READER, study("evil"), drawn),
    "case, a mistake": State("/studies/{number:int}", "case", READER, study("cleared"), mistaken),
    "case, none": State("/studies/{number:int}", "problem", READER, at("studies/99999")),
    "case, read first": State("/studies/{number:int}", "case_blind", READER, lambda house: f"{house.blinded}studies/1"),
    "what left": State("/studies/{number:int}/left", "left", READER, study("answered", "/left"), opened_out),
    "what left, nothing": State("/studies/{number:int}/left", "left", READER, study("cleared", "/left")),
    "printed": State("/studies/{number:int}/print", "printed", READER, study("signed", "/print")),
    "printed, a draft": State("/studies/{number:int}/print", "printed", READER, study("answered", "/print")),
    "display": State("/display", "display", READER, at("display")),
    "critical results": State("/critical", "critical", READER, at("critical")),
    "quality": State("/quality", "quality", READER, at("quality?days=all")),
    "what the edge missed": State("/quality/missed", "missed", READER, at("quality/missed")),
    "blinded reads": State("/audits", "audits", READER, at("audits")),
    "blinded read": State(
        "/audits/{audit:int}",
        "audit",
        READER,
        lambda house: f"{house.address}audits/{audit_of(house.seeded, 'read-a')}",
    ),
    "quarantine": State("/quarantine", "quarantine", READER, at("quarantine"), opened_out),
    "quarantine, by its old address": State("/strays", "quarantine", ADMINISTRATOR, at("strays")),
    "status": State("/status", "status", READER, at("status")),
    "status, starting": State("/status", "status", READER, empty("status")),
    "outbox": State("/outbox", "outbox", READER, at("outbox"), opened_out),
    "outbox, empty": State("/outbox", "outbox", READER, empty("outbox")),
    "models": State("/models", "models", READER, at("models"), opened_out),
    "stop a model": State("/models/switch", "confirm", READER, at(f"models/switch?model={TITLE}")),
    "take a certificate away": State(
        "/certificates/{certificate}/withdraw", "confirm", READER, at(f"certificates/{NEW}/withdraw")
    ),
    "account": State("/account", "account", READER, at("account"), opened_out),
    "emergency access": State("/emergency", "emergency", VIEWER, at("emergency")),
    "emergency access, open": State("/", "worklist", VIEWER, at("emergency"), press("Break the glass", Why="a test")),
    "administration": State("/administration", "administration", ADMINISTRATOR, at("administration")),
    "self-test": State("/administration/self-test", "selftest", ADMINISTRATOR, at("administration/self-test")),
    "is it you": State(
        "/administration",
        "prove",
        ADMINISTRATOR,
        lambda house: f"{house.blinded}administration",
        press("^Do it to vic"),
    ),
    "external viewers": State("/administration/viewers", "viewers", ADMINISTRATOR, at("administration/viewers")),
    "external viewers, a token": State(
        "/administration/viewers", "viewers", ADMINISTRATOR, at("administration/viewers"), press("Add", Name="ohif.1")
    ),
    "not for this role": State("/administration", "problem", VIEWER, at("administration")),
    "locked": State("/lock", "lock", VIEWER, at("status"), locked),
    "locked, wrong": State("/lock", "lock", VIEWER, at("status"), wrongly_unlocked),
}

# Doors that answer with no page of their own, each with why; a test holds that they answer with no HTML document.
NO_PAGE = {
    "/pulse": "nothing",
    "/events": "a stream",
    "/banners": "a piece of every page, which is looked at whole",
    "/rows": "the rows of the worklist, which is looked at whole",
    "/studies/{number:int}/images": "JSON",
    "/studies/{number:int}/images/{image:int}/frames/{frame:int}": "pixels",
    "/studies/{number:int}/images/{image:int}/luts/{lut:int}": "a table of numbers",
    "/studies/{number:int}/priors/{prior:int}/images": "JSON",
    "/studies/{number:int}/hold": "JSON",
    "/studies/{number:int}/overlay": "JSON",
    "/audits/{audit:int}/images": "JSON",
    "/audits/{audit:int}/images/{image:int}/frames/{frame:int}": "pixels",
    "/audits/{audit:int}/images/{image:int}/luts/{lut:int}": "a table of numbers",
    "/administration/authority.pem": "a certificate",
}


# Pages that are looked at by another test: this one leads on to another site at once.
ELSEWHERE = {"led": "test_openid_road.py"}


def furnished(seeded: Seeded) -> None:
    """What the pages show beyond the usual: certificates, blinded reads, a stopped model, a signed case with all that
    can stand beside a signature, a late image, cases on the road."""
    rows = Rows(seeded)
    rows.model()
    rows.certificate(NEW, "harbour@2")
    rows.certificate(OLD, "harbour@1")
    for n, key in enumerate(("read-a", "read-b")):
        seeded.study(key, ["complete", "routine"], lane="cleared")
        rows.drawn(key, NEW, "first")
        with seeded.engine.begin() as c:
            film = ledger.instances_of(c, seeded.numbers[key])[0].sha256
        put_frames(seeded.places, int(film, 16), [ramp(start=n)], windows=[[475.5, 951]])
    with seeded.engine.begin() as c:
        watch.set_monitor(c, OLD, stage="warn")
        stop = Order("model-stop", "other-model")
        roles.file(c, "desk", "n" * 20, stop, who=READER, issued_at=NOW, at=NOW, outcome="done")
    fill(seeded)
    seeded.study("refused", ["complete", "hard", "escalated", "quarantined"], lane="escalated", case_id="9" * 32)
    number = seeded.study("signed", ["complete", "routine"], who=patient("DOE^SIGNED", "P-90"))
    said = {"nonce": "signed-" + "n" * 20, "study_number": number, "revision": 1, "user": READER}
    with review.opened(seeded.places) as ledgers, ledgers.pen().begin() as c:
        desk.sign(c, **said, seq_seen=2, decision="correct", correction="effusion", at=NOW, saw_ai=True)
        row = desk.signature_with(c, said["nonce"])
        reading_desk.put_facts(
            c, row.id, reason="missed-finding", findings={"pneumonia": "wrong"}, confirmed="patient_id"
        )
        reading_desk.add(c, **{**said, "nonce": "added-" + "n" * 20}, text="small", at=NOW)
    with seeded.engine.begin() as c:
        seeded.move(c, number, "reviewed")
        ledger.take_over_signature(c, row, "moved")
        late = an_instance(number * 100 + 50, patient("DOE^SIGNED", "P-90"), study=number)
        ledger.add_instance(c, late, NOW)
