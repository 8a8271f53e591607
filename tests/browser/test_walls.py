"""The page's walls, spoken to byte by byte: hosts, origins, tokens, sessions, passwords, paths."""

import logging
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from seeding import PASSWORD, USER, Seeded, seed, served
from speaking import Hands, Visitor
from starlette.datastructures import Headers

from appliance import review
from appliance.config import Config, Places
from appliance.errors import Misconfigured, Refused
from appliance.review import backoff, entrance, members, proofs, walls
from appliance.world import desk

PAGES = (
    "/",
    "/rows",
    "/quarantine",
    "/status",
    "/pulse",
    "/studies/1",
    "/studies/1/images",
    "/studies/1/images/1/frames/1",
)


@pytest.fixture
def visitor(address: str) -> Visitor:
    return Visitor(address)


@pytest.fixture
def reader(visitor: Visitor) -> Visitor:
    answer = visitor.sign_in()
    assert (answer.status, answer.headers["location"]) == (303, "/")
    return visitor


def test_nothing_is_shown_to_a_stranger(visitor: Visitor, address: str) -> None:
    for path in PAGES:
        answer = visitor.ask("GET", path)
        assert answer.status in (303, 401), path
        assert "DOE" not in answer.body
    for path in ("/sign-out", "/studies/1/sign", "/studies/1/command"):
        answer = visitor.ask("POST", path, "decision=agree")
        assert (answer.status, answer.headers["location"]) == (303, "/sign-in")
    stranger = Visitor(address, {entrance.SESSION_COOKIE: "a" * 43})
    assert stranger.ask("GET", "/").headers["location"] == "/sign-in"


def test_every_answer_bears_the_headers(reader: Visitor) -> None:
    for path in (*PAGES, "/sign-in", "/static/review.css", "/nowhere", "/studies/99999"):
        headers = reader.ask("GET", path).headers
        for name, value in walls.SECURITY_HEADERS.items():
            assert headers[name.lower()] == value, (path, name)
        assert "server" not in headers
    policy = walls.SECURITY_HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8042", "", "127.0.0.1@evil.example", "[::1", "a/b"]
)
def test_a_foreign_host_is_turned_away(reader: Visitor, host: str) -> None:
    answer = reader.ask("GET", "/", Host=host or " ")
    assert answer.status == 400
    assert "DOE" not in answer.body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8042"])
def test_our_own_hosts_are_known(host: str) -> None:
    assert walls.why_refused("GET", Headers({"host": host})) is None


@pytest.mark.parametrize(
    ("site", "origin", "taken"),
    [
        ("same-origin", "http://127.0.0.1:8042", True),
        ("same-origin", "null", True),
        ("same-origin", None, True),
        (None, "http://127.0.0.1:8042", True),
        ("cross-site", "http://127.0.0.1:8042", False),
        ("same-site", "null", False),
        ("none", None, False),
        ("same-origin", "http://127.0.0.1:9999", False),
        ("same-origin", "https://127.0.0.1:8042", False),
        (None, "null", False),
        (None, None, False),
    ],
)
def test_who_may_write(site: str | None, origin: str | None, taken: bool) -> None:
    said = {"host": "127.0.0.1:8042", "sec-fetch-site": site, "origin": origin}
    assert walls.same_origin(Headers({name: value for name, value in said.items() if value})) is taken


def test_a_form_without_its_check_token_is_refused(reader: Visitor, seeded: Seeded) -> None:
    form = reader.hidden("/studies/1") | {"decision": "agree"}
    for check in ("", "0" * 64, "ü"):
        answer = reader.ask("POST", "/studies/1/sign", urlencode({**form, "check": check}))
        assert answer.status == 403
    other = Visitor(reader.address)
    other.sign_in()
    stolen = other.hidden("/studies/1")["check"]
    assert reader.ask("POST", "/studies/1/sign", urlencode({**form, "check": stolen})).status == 403
    del form["check"]
    assert reader.ask("POST", "/studies/1/sign", urlencode(form)).status == 403
    assert seeded.desk_rows(desk.signatures) == []


def test_a_write_from_elsewhere_is_refused(reader: Visitor, seeded: Seeded) -> None:
    form = urlencode(reader.hidden("/studies/1") | {"decision": "agree"})
    assert reader.ask("POST", "/studies/1/sign", form, Origin="http://evil.example").status == 403
    assert reader.ask("POST", "/studies/1/sign", form, Origin="").status == 403
    assert reader.ask("POST", "/studies/1/sign", form, Content_Type="text/plain").status == 415
    assert reader.ask("POST", "/studies/1/sign", "x" * (walls.FORM_BYTES_MAX + 1)).status == 413
    assert reader.ask("DELETE", "/studies/1").status == 405
    assert seeded.desk_rows(desk.signatures) == []


@pytest.mark.parametrize(
    "said",
    [
        {"decision": "normal"},
        {"decision": ""},
        {"decision": "correct", "correction": ""},
        {"decision": "correct", "correction": "left", "reason": "no-such-reason"},
        {"decision": "correct", "correction": "left", "reason": "image-quality"},
        {"decision": "cannot_tell", "correction": "left"},
        {"decision": "agree", "reason": "missed-finding"},
        {"decision": "correct", "reason": "other", "correction": " "},
        {"decision": "agree", "patient": ""},
        {"decision": "agree", "exam": "no"},
        {"decision": "agree", "correction": "x" * (desk.CORRECTION_CHARACTERS_MAX + 1)},
        {"decision": "agree", "nonce": "short"},
        {"decision": "agree", "revision": "-1"},
        {"decision": "agree", "seq": "x"},
        {"decision": "agree", "seq": ""},
    ],
)
def test_an_odd_signature_is_refused(reader: Visitor, seeded: Seeded, said: dict[str, str]) -> None:
    form = reader.hidden("/studies/1") | {"patient": "yes", "exam": "yes"} | said
    assert reader.ask("POST", "/studies/1/sign", urlencode(form)).status == 400
    assert seeded.desk_rows(desk.signatures) == []


def test_what_cannot_be_signed_or_ordered_is_not(reader: Visitor, seeded: Seeded) -> None:
    form = reader.hidden("/studies/1")
    waiting = {**form, "decision": "agree", "revision": "1", "seq": "0"}
    for key in ("waiting", "broken"):
        seq = {"waiting": "0", "broken": "2"}[key]
        answer = reader.ask("POST", f"/studies/{seeded.numbers[key]}/sign", urlencode({**waiting, "seq": seq}))
        assert answer.status == 409
    answer = reader.ask("POST", "/studies/1/command", urlencode({**form, "kind": "release"}))
    assert answer.status == 409
    assert reader.ask("POST", "/studies/1/command", urlencode({**form, "kind": "delete"})).status == 400
    assert reader.ask("POST", "/studies/999/sign", urlencode({**form, "decision": "agree"})).status == 404
    assert seeded.desk_rows(desk.signatures) == []
    assert seeded.desk_rows(desk.commands) == []


@pytest.mark.parametrize(
    "path",
    [
        "/static/../__init__.py",
        "/static/..%2f__init__.py",
        "/static/%2e%2e/%2e%2e/errors.py",
        "/static/....//errors.py",
        "//static/../../phi/studies.db",
        "/studies/1/images/1/frames/..%2f..%2fframes.json",
        "/studies/1/images/1/frames/0",
        "/studies/1/images/0/frames/1",
        "/studies/1/images/-1/frames/1",
        "/studies/1/images/2/frames/1",
        "/studies/1/images/1/frames/99999999999999999999999",
        "/studies/99999999999999999999999",
        "/studies/99999999999999999999999/images",
        "/studies/1.0",
        "/studies/%00",
        "/phi/studies.db",
    ],
)
def test_no_path_leads_elsewhere(reader: Visitor, path: str) -> None:
    assert reader.ask("GET", path).status == 404


@pytest.mark.parametrize("path", ["/studies/{}", "/studies/{}/images", "/studies/1/images/{}/frames/1", "/?lane={}"])
def test_an_endless_address_is_turned_away(visitor: Visitor, path: str) -> None:
    assert visitor.ask("GET", path.format("9" * 5_000)).status == 414


def test_odd_questions_of_the_worklist_are_harmless(reader: Visitor) -> None:
    for query in ("lane=x", "lane=<script>", "page=-1", "page=99999999999999", "page=0", "page=٣", "lane=all&page=7"):
        answer = reader.ask("GET", f"/?{quote(query, safe='=&')}")
        assert answer.status == 200
        assert "<script>" not in answer.body.replace('<script type="module"', "")


def test_a_frame_that_does_not_fit_its_description_is_not_served(reader: Visitor, seeded: Seeded) -> None:
    path = seeded.places.frames / f"{100:064x}" / "frame-0001.raw"
    whole = path.read_bytes()
    assert reader.ask("GET", "/studies/1/images").status == 200
    path.write_bytes(whole[:-1])
    try:
        assert reader.ask("GET", "/studies/1/images/1/frames/1").status == 409
    finally:
        path.write_bytes(whole)


def test_the_session_cookie_is_kept_close_and_ends_with_sign_out(visitor: Visitor) -> None:
    answer = visitor.sign_in()
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    stolen = Visitor(visitor.address, dict(visitor.cookies))
    assert stolen.ask("GET", "/").status == 200
    check = visitor.hidden("/")["check"]
    assert visitor.ask("POST", "/sign-out", urlencode({"check": check})).headers["location"] == "/sign-in"
    assert stolen.ask("GET", "/").status == 303


def test_the_desk_keeps_no_token_and_no_password(reader: Visitor, seeded: Seeded) -> None:
    token = reader.cookies[entrance.SESSION_COOKIE]
    kept = b"".join(path.read_bytes() for path in seeded.places.review.glob("review.db*"))
    assert b"argon2id" in kept
    assert token.encode() not in kept
    assert PASSWORD.encode() not in kept


def test_a_guess_at_a_stolen_hash_is_dear(as_the_product_hashes: str) -> None:
    """RFC 9106 4, the second recommended option: 64 MiB, three passes, four lanes."""
    assert as_the_product_hashes.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_try_at_nobodys_hash_is_as_dear_and_in_vain(as_the_product_hashes: str) -> None:
    """The same kind, cost, and lengths of salt and digest: whoever measures cannot tell which of the two was tried."""
    *cost, salt, digest = proofs.NOBODY.split("$")
    *own_cost, own_salt, own_digest = as_the_product_hashes.split("$")
    assert (cost, len(salt), len(digest)) == (own_cost, len(own_salt), len(own_digest))
    assert not proofs.HASHES.verify("", proofs.NOBODY)


def test_a_wrong_password_and_a_wrong_name_read_the_same(visitor: Visitor, seeded: Seeded) -> None:
    wrong = [visitor.sign_in(password="not the password"), visitor.sign_in(user="nobody.here")]
    assert [answer.status for answer in wrong] == [403, 403]
    texts = {re.sub(r'value="[^"]*"', "", answer.body) for answer in wrong}
    assert len(texts) == 1
    assert "Name or password is wrong" in texts.pop()
    assert entrance.SESSION_COOKIE not in visitor.cookies
    failed = [row for row in seeded.desk_rows(desk.audit) if row.act == "sign-in-failed"]
    assert [row.user for row in failed[-2:]] == [USER, ""]  # what was typed for a name may be a password


def test_the_sign_in_form_has_a_check_token_too(visitor: Visitor) -> None:
    visitor.ask("GET", "/sign-in")
    form = urlencode({"check": "0" * 64, "name": USER, "password": PASSWORD})
    assert visitor.ask("POST", "/sign-in", form).status == 403
    assert Visitor(visitor.address).ask("POST", "/sign-in", form).status == 403


# With a clock of our own: idleness, age, failures.


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    made = Hands(Places(tmp_path), session_idle_s=100)
    members.add_user(made.ledgers, USER, PASSWORD, at=1.0)
    yield made
    made.close()


def test_a_session_locks_after_idling_and_refreshing_is_no_sign_of_life(hands: Hands) -> None:
    assert hands.sign_in().status_code == 303
    for _ in range(5):
        hands.now += 60
        assert hands.get("/").status_code == 200  # every page is a sign of life
    hands.now += 60
    assert hands.get("/rows").status_code == 200
    assert hands.get("/pulse").status_code == 204
    hands.now += 60
    assert hands.get("/pulse").status_code == 401
    assert hands.get("/rows").status_code == 401
    assert hands.get("/?lane=all").headers["location"] == "/lock?to=/%3Flane%3Dall"


def test_no_session_lasts_for_ever(hands: Hands) -> None:
    hands.sign_in()
    for _ in range(Config().review.session_age_s // 90):
        hands.now += 90
        assert hands.get("/").status_code == 200
    hands.now += 90
    assert hands.get("/").headers["location"] == "/sign-in"


def test_failures_make_the_next_try_wait_and_lock_nobody_out(hands: Hands) -> None:
    for _ in range(backoff.FAILURES_FREE):
        assert hands.sign_in("a wrong password").status_code == 403
    answer = hands.sign_in()
    assert answer.status_code == 429
    assert "Wait 60 s" in answer.text
    hands.now += backoff.FAILURE_WAIT_S + 1
    assert hands.sign_in("a wrong password").status_code == 403
    assert "Wait 120 s" in hands.sign_in().text  # longer each time
    hands.now += 2 * backoff.FAILURE_WAIT_S + 1
    assert hands.sign_in().status_code == 303
    assert hands.sign_in("a wrong password").status_code == 403  # and the count began anew
    assert hands.sign_in().status_code == 303


def test_the_memory_of_failures_is_bounded() -> None:
    failures = backoff.Failures()
    for n in range(backoff.FAILING_KEYS_MAX // 2 + 50):
        failures.add(f"user-{n}", "10.0.0.1", float(n) / 10)
    assert len(failures._keys) == backoff.FAILING_KEYS_MAX
    failures.add("last", "10.0.0.2", 1e6)
    assert len(failures._keys) == 3


def test_guessing_from_one_place_or_at_one_account_waits_too_and_keeps_no_owner_out_for_long() -> None:
    failures = backoff.Failures()
    for n in range(backoff.FREE_ELSEWHERE):
        failures.add(f"user-{n}", "10.0.0.1", 0.0)
        failures.add("kim", f"10.0.1.{n}", 0.0)
    assert failures.wait_s("somebody", "10.0.0.1", 1.0) == backoff.FAILURE_WAIT_S - 1  # every account from one place
    assert failures.wait_s("kim", "10.0.2.1", 1.0) == backoff.FAILURE_WAIT_S - 1  # one account from everywhere
    assert failures.wait_s("kim", "10.0.2.1", backoff.FAILURE_WAIT_S) == 0
    assert failures.wait_s("lee", "10.0.2.1", 1.0) == 0


def test_the_page_before_triage_has_started_says_so(hands: Hands) -> None:
    hands.sign_in()
    for path in ("/", "/rows", "/quarantine", "/status"):
        answer = hands.get(path)
        assert answer.status_code == 200
        assert "Starting" in answer.text
    assert hands.get("/studies/1").headers["location"] == "/"
    assert hands.get("/studies/1/images").status_code == 404


def test_a_ledger_just_being_made_is_one_that_is_not_there(hands: Hands) -> None:
    hands.sign_in()
    hands.ledgers.places.phi.mkdir()
    hands.ledgers.places.studies_db.touch()
    assert "Starting" in hands.get("/").text
    made = seed(hands.ledgers.places.root)
    assert "No study here" in hands.get("/").text
    made.engine.dispose()


def test_a_ledger_that_cannot_be_read_now_is_said_to_be_busy(hands: Hands) -> None:
    hands.sign_in()
    made = seed(hands.ledgers.places.root)
    with made.engine.begin() as c:
        c.exec_driver_sql("DROP TABLE strays")
    made.engine.dispose()
    answer = hands.get("/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "strays" not in answer.text


def test_a_bug_tells_nobody_what_a_data_set_says(hands: Hands, caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("DOE^JANE")
    except ValueError as error:
        record = logging.LogRecord(
            "uvicorn.error", logging.ERROR, __file__, 1, "Exception in ASGI application\n", None, None
        )
        record.exc_info = (type(error), error, error.__traceback__)
    assert review._without_values(record)
    said = logging.Formatter().format(record)
    assert "DOE" not in said
    assert "ValueError" in said
    assert "test_a_bug_tells_nobody" in said


@pytest.mark.parametrize(
    ("user", "password", "code"),
    [
        ("kim", "short", "password-weak"),
        ("kim", "aaaaaaaaaaaaaaaa", "password-weak"),
        ("kim", "x" * 201, "password-weak"),
        ("dr.kim", "my name is dr.kim", "password-weak"),
        ("../kim", PASSWORD, "user-name"),
        (USER, PASSWORD, "user-exists"),
    ],
)
def test_who_cannot_be_added(hands: Hands, user: str, password: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        review.add_user(hands.ledgers.places, user, password)
    assert refused.value.code == code


def test_a_password_can_be_replaced(hands: Hands) -> None:
    hands.sign_in()
    review.add_user(hands.ledgers.places, USER, "quite another password", replace=True)
    assert hands.get("/").status_code == 303
    assert hands.sign_in().status_code == 403
    assert hands.sign_in("quite another password").status_code == 303


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        config = Config.model_validate({"review": {"port": other.getsockname()[1], "tls": "off"}})
        with pytest.raises(Misconfigured, match=r"port-taken at review\.port"):
            review.serve(config, Places(tmp_path), stop=threading.Event(), ready=print)


def test_nobody_but_loopback_can_be_configured_without_tls() -> None:
    with pytest.raises(ValueError, match=r"review\.host"):
        Config.model_validate({"review": {"host": "0.0.0.0", "tls": "off"}})
    assert Config.model_validate({"review": {"host": "0.0.0.0"}}).review.tls == "own"


def test_the_page_stands_on_an_empty_state_folder(tmp_path: Path) -> None:
    """No user, no ledger: the page serves, says so, and makes nothing but its own database."""
    for address in served(Places(tmp_path)):
        assert "There is no user yet" in Visitor(address).ask("GET", "/sign-in").body
    assert {path.name for path in tmp_path.iterdir()} == {"review"}
