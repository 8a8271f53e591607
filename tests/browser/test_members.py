"""Accounts as people meet them: the first administrator, second factors, proofs, emergencies, sessions, the trail."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pyotp
import pytest
from seeding import PASSWORD, USER, filled, seed
from speaking import Hands

from appliance.config import Places
from appliance.core.audit_export import audit_event, syslog_line
from appliance.review import beginning, entrance, members, proofs
from appliance.review.proofs import HASHES, factor_key, seal, unseal
from appliance.world import desk, sqlite, wire

ADA, VIC = "ada.admin", "vic.view"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Hands]:
    """A page on which each act that bears a name asks who it is, as by default."""
    made = seed(tmp_path)
    filled(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    hands = Hands(made.places)
    for name, role in ((USER, "reader"), (ADA, "administrator"), (VIC, "viewer")):
        members.add_user(hands.ledgers, name, PASSWORD, at=1.0, role=role)
    yield hands
    hands.close()
    made.engine.dispose()


def form_of(text: str) -> dict[str, str]:
    """The hidden fields of the last form on a page."""
    return {k: unescape(v) for k, v in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text)}


def signatures(hands: Hands) -> list[Any]:
    with hands.ledgers.eyes().begin() as c:
        return desk.signatures_of(c, 1)


# The first administrator


def test_the_first_administrator_is_made_with_the_code_of_the_log_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "appliance"):
        hands = Hands(Places(tmp_path))
    (said,) = [each.getMessage() for each in caplog.records if "one-time code" in each.getMessage()]
    code = said.rpartition(" ")[2]
    try:
        assert 'href="/first"' in hands.get("/sign-in").text
        wrong = hands.post("/first", "/first", code="AAAA-BBBB", name=ADA, password=PASSWORD)
        assert (wrong.status_code, "The code is wrong" in wrong.text) == (403, True)
        weak = hands.post("/first", "/first", code=code, name=ADA, password="short")
        assert (weak.status_code, "too short" in weak.text) == (400, True)
        made = hands.post("/first", "/first", code=code.lower().replace("-", " "), name=ADA, password=PASSWORD)
        assert (made.status_code, made.headers["location"]) == (303, "/administration")
        assert hands.get("/administration").status_code == 200
        assert hands.get("/first").status_code == 404
        again = hands.post("/first", "/sign-in", code=code, name="eve.evil", password=PASSWORD)
        assert again.status_code == 404
        assert code not in "".join(path.read_text("latin-1") for path in hands.ledgers.places.review.glob("review.db*"))
    finally:
        hands.close()


def test_a_code_is_not_guessed(tmp_path: Path) -> None:
    hands = Hands(Places(tmp_path))
    try:
        answers = [
            hands.post("/first", "/first", code=f"{n}", name=ADA, password=PASSWORD).status_code for n in range(51)
        ]
        assert answers[0] == 403
        assert answers[-1] == 429
    finally:
        hands.close()


def test_with_an_administrator_there_is_no_code(house: Hands, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "appliance"):
        beginning.Beginning(house.ledgers, "a token")
    assert not caplog.records
    assert "/first" not in house.get("/sign-in").text


# Proofs


def test_a_signature_asks_again_who_it_is_and_loses_nothing(house: Hands) -> None:
    house.sign_in()
    case = house.get("/studies/1").text
    assert 'name="proof" type="password"' in case
    form = {**form_of(case[case.index('id="decide"') :]), "decision": "correct", "correction": "left <b>lobe</b>"}
    form |= {"reason": "missed-finding", "patient": "yes", "exam": "yes"}
    asked = house.post("/studies/1/sign", "/studies/1", **form)
    assert (asked.status_code, signatures(house)) == (403, [])
    kept = form_of(asked.text[asked.text.index("Is it you") :])
    assert kept["correction"] == "left <b>lobe</b>"
    assert "<b>lobe" not in asked.text
    wrong = house.post("/studies/1/sign", "/studies/1", **{**kept, "proof": "not my password"})
    assert (wrong.status_code, "not right" in wrong.text, signatures(house)) == (403, True, [])
    done = house.post("/studies/1/sign", "/studies/1", **{**kept, "proof": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (303, "/studies/1?done=signed")
    (row,) = signatures(house)
    assert (row.user, row.correction) == (USER, "left <b>lobe</b>")
    assert [act for _, act, _ in house.acts()].count("proof-failed") == 1


def test_within_the_time_that_a_site_allows_a_signature_does_not_ask(house: Hands) -> None:
    fresh = Hands(house.ledgers.places, signature_fresh_s=300)
    try:
        fresh.sign_in()
        case = fresh.get("/studies/1").text
        assert 'name="proof"' not in case
        fresh.now += 301
        case = fresh.get("/studies/1").text
        assert 'name="proof"' in case
        form = form_of(case[case.index('id="decide"') :]) | {"decision": "agree", "patient": "yes", "exam": "yes"}
        assert fresh.post("/studies/1/sign", "/studies/1", **form).status_code == 403
        assert fresh.post("/studies/1/sign", "/studies/1", **form, proof=PASSWORD).status_code == 303
    finally:
        fresh.close()


# The lock


def test_a_lock_is_opened_by_its_owner_only_and_gives_a_new_token(house: Hands) -> None:
    house.sign_in()
    before = house.client.cookies[entrance.SESSION_COOKIE]
    locked = house.post("/lock", "/status", to="/studies/1?x=1#image-3")
    assert locked.headers["location"].startswith("/lock?to=/studies/1")
    assert house.get("/studies/1").headers["location"] == "/lock?to=/studies/1"
    assert house.get("/sign-in").headers["location"] == "/lock"
    assert house.post("/studies/1/sign", "/lock", decision="agree").headers["location"].startswith("/lock")
    shown = house.get("/lock?to=/studies/1").text
    assert "DOE" not in shown
    assert house.post("/unlock", "/lock", proof="not my password").status_code == 403
    back = house.post("/unlock", "/lock", proof=PASSWORD, to="/studies/1?x=1#image-3")
    assert back.headers["location"] == "/studies/1?x=1#image-3"
    assert house.client.cookies[entrance.SESSION_COOKIE] != before
    assert house.get("/studies/1").status_code == 200
    house.client.cookies.clear()
    house.client.cookies.set(entrance.SESSION_COOKIE, before, domain="127.0.0.1")
    assert house.get("/studies/1").headers["location"] == "/sign-in"


@pytest.mark.parametrize(
    "to", ["//evil.example/", "https://evil.example/", "/\\evil.example", "/lock", "javascript:1", "/a b", "/x\n"]
)
def test_a_lock_leads_nowhere_else(house: Hands, to: str) -> None:
    house.sign_in()
    house.post("/lock", "/status")
    assert house.post("/unlock", "/lock", proof=PASSWORD, to=to).headers["location"] == "/"


def test_somebody_else_may_sign_in_at_a_locked_chair(house: Hands) -> None:
    house.sign_in()
    house.post("/lock", "/status")
    assert house.post("/leave", "/lock").headers["location"] == "/sign-in"
    assert house.sign_in(user=VIC).headers["location"] == "/"
    assert "vic.view · viewer" in house.get("/").text


def test_a_moving_hand_is_a_sign_of_life(house: Hands) -> None:
    house.sign_in()
    for _ in range(4):
        house.now += 500
        asked = house.client.get("/pulse", headers={entrance.ACTIVE: "1"})
        assert house._run(asked).status_code == 204
    house.now += 700
    assert house.get("/pulse").status_code == 401


# Second factors


def set_up(house: Hands, user: str = USER) -> tuple[str, list[str]]:
    """Sets a second factor up; returns its seed and recovery codes."""
    house.sign_in(user=user)
    seed = form_of(house.get("/account").text)["seed"]
    wrong = house.post("/account/factor", "/account", seed=seed, code="000000", proof=PASSWORD)
    assert "This was no code" in wrong.text
    code = pyotp.TOTP(seed).at(int(house.now))
    done = house.post("/account/factor", "/account", seed=seed, code=code, proof=PASSWORD)
    codes = re.findall(r"<li><code>([A-Z2-7-]+)</code>", done.text)
    assert len(codes) == 10
    house.post("/sign-out", "/status")
    return seed, codes


def test_a_second_factor_is_asked_for_and_opens_once(house: Hands) -> None:
    seed, codes = set_up(house)
    now = pyotp.TOTP(seed).at(int(house.now))
    texts = [house.sign_in(code=code).text for code in ("", "000000", now)]  # the last set it up: used
    texts.append(house.sign_in("not the password", code=now).text)
    assert len({re.sub(r'value="[^"]*"', "", text) for text in texts}) == 1
    house.now += 1000
    later = pyotp.TOTP(seed).at(int(house.now))
    assert house.sign_in(code=later).status_code == 303
    house.post("/sign-out", "/status")
    assert house.sign_in(code=later).status_code == 403
    assert house.sign_in(code=codes[0].lower()).status_code == 303
    house.post("/sign-out", "/status")
    assert house.sign_in(code=codes[0]).status_code == 403
    assert "recovery-code-used" in [act for _, act, _ in house.acts()]
    kept = b"".join(path.read_bytes() for path in house.ledgers.places.review.glob("review.db*"))
    assert seed.encode() not in kept
    assert codes[1].replace("-", "").encode() not in kept


def test_a_code_proves_who_signs_and_an_administrator_takes_a_lost_factor_away(house: Hands) -> None:
    seed, _ = set_up(house)
    house.now += 60
    house.sign_in(code=pyotp.TOTP(seed).at(int(house.now)))
    house.now += 60
    case = house.get("/studies/1").text
    form = form_of(case[case.index('id="decide"') :]) | {"decision": "agree", "patient": "yes", "exam": "yes"}
    code = pyotp.TOTP(seed).at(int(house.now))
    assert house.post("/studies/1/sign", "/studies/1", **form, proof=code).status_code == 303
    with house.ledgers.pen().begin() as c:
        members.reset_factor(c, USER, at=house.now, by=ADA)
    assert house.get("/").headers["location"] == "/sign-in"
    assert house.sign_in().status_code == 303


def test_a_seed_opens_for_its_user_and_under_its_key_only(tmp_path: Path) -> None:
    key = factor_key(Places(tmp_path))
    assert factor_key(Places(tmp_path)) == key
    assert (Places(tmp_path).review_keys / "factors.key").stat().st_mode & 0o777 == 0o600
    sealed = seal(key, "kim", "A" * 32)
    assert unseal(key, "kim", sealed) == "A" * 32
    assert unseal(key, "lee", sealed) is None
    assert unseal(bytes(32), "kim", sealed) is None


def test_a_new_password_ends_the_other_sessions(house: Hands) -> None:
    other = Hands(house.ledgers.places)
    try:
        other.sign_in()
        house.sign_in()
        said = {"password": "another long walk", "repeated": "another long walk", "proof": PASSWORD}
        assert house.post("/account/password", "/account", **{**said, "repeated": "not it"}).status_code == 400
        assert house.post("/account/password", "/account", **{**said, "proof": "wrong"}).status_code == 403
        assert house.post("/account/password", "/account", **said).headers["location"] == "/account?done=password"
        assert house.get("/").status_code == 200
        assert other.get("/").headers["location"] == "/sign-in"
    finally:
        other.close()


# Emergencies


def test_glass_is_broken_with_a_reason_for_a_while_and_kept(house: Hands) -> None:
    house.sign_in(user=VIC)
    assert house.get("/audits").status_code == 403
    assert house.post("/emergency", "/status", reason="  ", proof=PASSWORD).status_code == 400
    assert house.post("/emergency", "/status", reason="night, no reader").status_code == 403  # without a proof
    assert house.post("/emergency", "/status", reason="night,  no reader", proof=PASSWORD).status_code == 303
    case = house.get("/studies/1").text
    assert "EMERGENCY ACCESS" in case
    assert "night, no reader" in case
    form = form_of(case[case.index('id="decide"') :]) | {"decision": "agree", "proof": PASSWORD}
    form |= {"patient": "yes", "exam": "yes"}
    assert house.post("/studies/1/sign", "/studies/1", **form).status_code == 303
    assert house.get("/administration").status_code == 403, "an emergency lends no administrator's rights"
    for _ in range(4):
        house.now += 450
        assert house.get("/status").status_code == 200
    assert house.get("/audits").status_code == 403
    assert "EMERGENCY" not in house.get("/status").text
    acts = [each for each in house.acts() if each[1] not in ("user-added", "proof-failed")]
    assert acts == [
        (VIC, "sign-in", ""),
        (VIC, "glass-broken", "night, no reader"),
        (VIC, "case-opened", "study 1"),
        (VIC, "case-opened", "study 1"),  # the page that gives the form its token
        (VIC, "signed-agree", "study 1"),
    ]


def test_an_emergency_is_ended_by_hand_and_can_be_switched_off(house: Hands) -> None:
    house.sign_in(user=ADA)
    assert house.get("/studies/1").status_code == 403
    house.post("/emergency", "/status", reason="fire", proof=PASSWORD)
    assert house.get("/studies/1").status_code == 200
    assert house.post("/emergency/end", "/status").headers["location"] == "/administration"
    assert house.get("/studies/1").status_code == 403
    off = Hands(house.ledgers.places, break_glass_s=0)
    try:
        off.sign_in(user=VIC)
        assert off.get("/emergency").status_code == 404
        assert off.post("/emergency", "/status", reason="fire", proof=PASSWORD).status_code == 404
        assert off.get("/audits").status_code == 403
    finally:
        off.close()


# Administration


def test_users_are_kept_on_the_page(house: Hands) -> None:
    house.sign_in(user=ADA)
    new = {"name": "new.one", "role": "viewer", "password": "a first passphrase"}
    for odd in ({"role": "emperor"}, {"password": "short"}, {"name": USER}, {"name": "<b>"}):
        assert house.post("/administration/users", "/administration", **new | odd, proof=PASSWORD).status_code == 400
    added = house.post("/administration/users", "/administration", **new, proof=PASSWORD)
    assert added.headers["location"] == "/administration?done=added"
    change = "/administration/users/new.one"
    for what in ("reader", "disable", "enable", "reset-factor"):
        assert house.post(change, "/administration", what=what, proof=PASSWORD).status_code == 303
    own = f"/administration/users/{ADA}"
    refused = house.post(own, "/administration", what="disable", proof=PASSWORD)
    assert (refused.status_code, "nobody would be left" in refused.text) == (400, True)
    assert house.post(change, "/administration", what="rule", proof=PASSWORD).status_code == 400
    acts = [(user, act, subject) for user, act, subject in house.acts() if subject.startswith("user new.one")]
    assert acts == [
        (ADA, "user-added", "user new.one viewer"),
        (ADA, "user-role", "user new.one reader"),
        (ADA, "user-disabled", "user new.one"),
        (ADA, "user-enabled", "user new.one"),
        (ADA, "factor-reset", "user new.one"),
    ]


def test_a_password_that_somebody_else_thought_of_is_changed_first(house: Hands) -> None:
    house.sign_in(user=ADA)
    new = {"name": "new.one", "role": "reader", "password": "a first passphrase", "proof": PASSWORD}
    house.post("/administration/users", "/administration", **new)
    house.post("/sign-out", "/status")
    house.sign_in("a first passphrase", "new.one")
    for path in ("/", "/studies/1", "/audits"):
        assert house.get(path).headers["location"] == "/account?done=given"
    assert "Choose one of your own" in house.get("/account?done=given").text
    said = {"password": "a second passphrase", "repeated": "a second passphrase", "proof": "a first passphrase"}
    assert house.post("/account/password", "/account", **said).status_code == 303
    assert house.get("/studies/1").status_code == 200


def test_an_emergency_is_looked_at_by_an_administrator_who_is_somebody_else(house: Hands) -> None:
    house.sign_in(user=ADA)
    house.post("/emergency", "/status", reason="fire", proof=PASSWORD)
    review_it = "/administration/glass/1/review"
    assert review_it not in house.get("/administration").text
    house.post(review_it, "/administration")
    assert "glass-reviewed" not in [act for _, act, _ in house.acts()]
    house.post("/sign-out", "/status")
    members.add_user(house.ledgers, "bea.admin", PASSWORD, at=house.now, role="administrator")
    house.sign_in(user="bea.admin")
    assert review_it in house.get("/administration").text
    for _ in range(2):
        house.post(review_it, "/administration")
    assert house.acts().count(("bea.admin", "glass-reviewed", "emergency 1")) == 1
    assert "looked at by bea.admin" in house.get("/administration").text


def test_a_session_is_ended_from_the_page(house: Hands) -> None:
    other = Hands(house.ledgers.places)
    try:
        other.sign_in()
        house.sign_in(user=ADA)
        text = house.get("/administration").text
        (ends,) = re.findall(r'action="(/administration/sessions/\w+/end)">.*?session of dr\.keller', text)
        assert house.post(ends, "/administration").status_code == 303
        assert other.get("/").headers["location"] == "/sign-in"
        assert house.get("/administration").status_code == 200
    finally:
        other.close()


def test_the_trail_is_filtered_paged_and_turns_red_when_it_was_changed(house: Hands) -> None:
    house.sign_in()
    for number in (1, 2, 1):
        house.get(f"/studies/{number}")
    house.post("/sign-out", "/status")
    house.sign_in(user=ADA)

    def rows(query: str) -> list[int]:
        return [int(each) for each in re.findall(r'data-row="(\d+)"', house.get(f"/administration?{query}").text)]

    assert len(rows(f"user={USER}&act=case-opened")) == 3
    assert len(rows("study=1")) == 2
    assert rows("study=1&day=1970-01-12") == rows("study=1")  # the clock of this house says the twelfth
    assert rows("day=1999-01-01") == []
    assert rows("day=never&study=x&before=x") == rows("")
    with house.ledgers.pen().begin() as c:
        for _ in range(120):
            desk.note(c, at=house.now, user="many", act="case-opened", subject="study 9")
    first = rows("user=many")
    assert len(first) == 100
    assert len(rows(f"user=many&before={first[-1]}")) == 20
    assert 'data-chain="unbroken"' in house.get("/administration").text
    with house.ledgers.pen().begin() as c:
        c.exec_driver_sql("DROP TRIGGER audit_no_update")  # as somebody who can write the file would
        c.execute(desk.audit.update().where(desk.audit.c.id == 6).values(user="somebody.else"))
    broken = house.get("/administration").text
    assert 'data-chain="broken"' in broken
    assert "Row 6 does not follow" in broken


def test_every_open_failure_and_sign_out_is_one_row_with_its_origin(house: Hands) -> None:
    house.sign_in("not the password")
    house.sign_in()
    house.get("/studies/2")
    house.post("/sign-out", "/status")
    with house.ledgers.eyes().begin() as c:
        rows = [row for row in desk.trail(c) if row.act != "user-added"]
    assert [(row.user, row.act, row.subject, row.origin) for row in rows] == [
        (USER, "sign-in-failed", "", "loopback"),
        (USER, "sign-in", "", "loopback"),
        (USER, "case-opened", "study 2", "loopback"),
        (USER, "sign-out", "", "loopback"),
    ]
    events = [audit_event(row, "box-1") for row in rows]
    assert [event["outcome"] for event in events] == ["4", "0", "0", "0"]
    read = events[2]
    assert read["meta"]["profile"] == ["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.Read"]
    assert (read["type"]["code"], read["subtype"][0]["code"], read["action"]) == ("rest", "read", "R")
    assert read["entity"][0]["what"]["identifier"]["value"] == "study 2"
    assert [agent["requestor"] for agent in read["agent"]] == [False, False, True]
    assert json.dumps(events).count(USER) == 4
    for row in rows:
        assert re.fullmatch(
            r"<8[45]>1 1970-01-12T\S+Z box-1 appliance-review - DICOM\+RFC3881 - \ufeff<\?xml .*</AuditMessage>",
            syslog_line(row, "box-1"),
        )


def test_what_a_user_types_cannot_break_out_of_an_export(tmp_path: Path) -> None:
    engine = sqlite.open_writer(tmp_path / "review.db", desk.METADATA)
    hostile = 'a"/><evil x="\n<14>1 forged'
    with engine.begin() as c:
        desk.note(c, at=1.0, user="vic", act="glass-broken", subject=hostile)
        (row,) = desk.trail(c)
    engine.dispose()
    assert "<evil" not in syslog_line(row, "box-1")
    assert "\n" not in syslog_line(row, "box-1")
    assert audit_event(row, "box-1")["entity"][0]["what"]["identifier"]["value"] == hostile


def test_pictures_asked_for_without_opening_the_study_are_one_row_a_session(house: Hands) -> None:
    house.sign_in()
    for _ in range(2):
        house.get("/studies/1/images")
        assert house.get("/studies/1/images/1/frames/1").status_code == 200
    house.get("/studies/2")
    house.get("/studies/2/images")
    acts = [(act, subject) for _, act, subject in house.acts() if subject.startswith("study")]
    assert acts == [("images-opened", "study 1"), ("case-opened", "study 2")]


@dataclass
class Counting:
    """The hashes of the page, counted."""

    verified: int = 0

    def hash(self, password: str) -> str:
        return HASHES.hash(password)

    def verify(self, password: str, hashed: str) -> bool:
        self.verified += 1
        return HASHES.verify(password, hashed)


def test_whoever_nobody_knows_costs_the_same_work(house: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    with house.ledgers.pen().begin() as c:
        members.disable(c, VIC, at=house.now, by=ADA)
    counting = Counting()
    monkeypatch.setattr(proofs, "HASHES", counting)
    tries = {"known": (USER, "not it"), "unknown": ("nobody.here", PASSWORD), "disabled": (VIC, PASSWORD)}
    for said, (user, password) in tries.items():
        counting.verified = 0
        answer = house.sign_in(password, user)
        assert (said, answer.status_code, counting.verified) == (said, 403, 1)


def test_a_queue_of_hashes_that_grows_too_long_is_turned_away(house: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "VERIFICATIONS_WAITING_MAX", 0)
    answer = house.sign_in()
    assert (answer.status_code, "Busy" in answer.text) == (503, True)
