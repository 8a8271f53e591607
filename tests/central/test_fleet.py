"""`central fleet`: fifty appliances on one page, who needs a person first, and nothing that could name a patient."""

import asyncio
import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from centre_samples import DEVICE, a_case, enrol
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from appliance.core.bulletin import Bulletin, Day, Running, UpdatesStanding
from appliance.core.document import URGENCIES, decode, encode
from appliance.core.messages import Status, Waiting
from appliance.core.roles import TITLE_PATTERN
from appliance.errors import CATALOGUE, Misconfigured
from central import fleet, store
from central.balance import RUNGS, Limits, Standing, Watched
from central.balanced import WHY_WORDS, taken_away
from central.cli import main
from central.fleet import exposition, looked, page, view
from central.overview import WORDS
from central.registry import DEVICE_ID
from central.store import lives, loading
from tests.editions import then

ROOT = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium-headless-shell"
TOKEN = "7f" * 20
BEARER = {"Authorization": f"Bearer {TOKEN}"}
KEY_ID, LIFE, DAY_S = "c" * 32, "a" * 32, 86_400
NAME = "MUELLER^ANNA"
PLANTED = ("MUELLER", "Mueller", "mueller", "ANNA", "19470213", "Zufallsbefund", "PAT-4711")
LANES = ("cleared", "flagged", "escalated", "quarantined", "undecided")


def a_bulletin(at: float, **changes: Any) -> Bulletin:
    fields: dict[str, Any] = {
        "made_at": int(at) - 40,
        "alarms": {},
        "day": Day(cleared=61, flagged=7, escalated=12, quarantined=1, undecided=0),
        "models": (
            Running(title="cxr-paediatric/2.0.0", sha256="5" * 64, part="deciding", certificates=("7" * 64,)),
            Running(title="cxr-paediatric/2.1.0", sha256="6" * 64, part="beside", certificates=()),
        ),
        "policy": 3,
        "updates": UpdatesStanding(
            number=41, expires=int(at) + 5 * DAY_S, code=None, held=6, awaited=0, refused=0, left=2, withdrawn=0
        ),
    }
    return Bulletin(**{**fields, **changes})


def a_status(at: float, **changes: Any) -> Status:
    fields: dict[str, Any] = {
        "number": 1,
        "life": LIFE,
        "said_at": int(at),
        "product": "edge-diagnostic-appliance/0.2.0",
        "waiting": Waiting(critical=0, urgent=1, routine=4),
        "oldest_s": 240,
        "free_bytes": 7 * 2**30,
        "line_ends": int(at) + 200 * DAY_S,
        "bulletin": a_bulletin(at),
    }
    return Status(**{**fields, **changes})


def of_edition_1(at: float) -> Status:
    """What an appliance of that edition said, as its program wrote it; said now."""
    told = json.loads(then.document("05a8df0", "status"))
    return decode(Status, json.dumps({**told, "number": 1, "life": LIFE, "said_at": int(at)}).encode())


def say(engine: Engine, name: str, said: Status, now: float) -> None:
    with store.transaction(engine) as c:
        store.heard_of(c, {name}, float(said.said_at))
        assert lives.file_status(c, name, KEY_ID, said, now)


def fill(engine: Engine, now: float, count: int) -> list[str]:
    """So many appliances: some with alarms, one silent, one older, one behind; the others well."""
    names = [f"site-{number:03d}-room-{number % 4 + 1}" for number in range(count)]
    told = {
        1: a_status(now, bulletin=a_bulletin(now, alarms={"disk-low": "alarm", "scanner-silent": "warning"})),
        2: a_status(now - 3 * DAY_S),
        3: of_edition_1(now),
        4: a_status(now, oldest_s=9 * 3600, waiting=Waiting(critical=1, urgent=2, routine=30)),
        5: a_status(now, bulletin=a_bulletin(now - 2 * 3600.0)),
        6: a_status(now, line_ends=int(now) + 3 * DAY_S),
        7: a_status(now, bulletin=a_bulletin(now, alarms={"model-silent": "notice"})),
        8: a_status(now, bulletin=a_bulletin(now, alarms={"verdict-overdue": "alarm"}), oldest_s=2 * 3600),
        9: a_status(now, bulletin=a_bulletin(now, updates=None, policy=0, models=())),
    }
    for number, name in enumerate(names):
        say(engine, name, told.get(number, a_status(now)), now)
    return names


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Engine]:
    made = store.open_store(tmp_path / "centre", "")
    yield made
    made.dispose()


class Door:
    """The page without a socket. headers: of every request that says none."""

    def __init__(self, engine: Engine, keys: Path | None = None, headers: Mapping[str, str] = BEARER) -> None:
        self.page, self.headers = page.app(lambda: looked(engine, keys), TOKEN), headers

    def get(self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.page)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, headers=self.headers if headers is None else headers)

        with ThreadPoolExecutor(1) as pool:  # a browser of another test may hold this thread's loop
            return pool.submit(asyncio.run, ask()).result()


def by_name(client: Door) -> dict[str, Any]:
    return {each["device"]: each for each in client.get("/fleet.json").json()["devices"]}


class Words(HTMLParser):
    """What a page says to eyes: text, and every value of an attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.said += [value for _, value in attrs if value]

    def handle_data(self, data: str) -> None:
        self.said += [data.strip()] if data.strip() else []


def test_who_needs_a_person_stands_first(sqlite_store: Engine, tmp_path: Path) -> None:
    now = time.time()
    names = fill(sqlite_store, now, 50)
    client = Door(sqlite_store, enrol(tmp_path / "keys", *names, "never-heard"))
    told = client.get("/fleet.json").json()
    order = [each["device"] for each in told["devices"]]
    assert len(order) == 51
    assert order[:2] == [names[8], names[1]], "alarms, the oldest queue first"
    assert set(order[2:4]) == {names[2], "never-heard"}, "then who is silent"
    assert order[4] == names[4], "then who is to be looked at, the oldest queue first"
    assert set(order[5:7]) == {names[5], names[6]}
    assert told["levels"] == {"alarm": 2, "silent": 2, "warning": 3, "well": 44}
    found = by_name(client)
    assert [found[names[number]]["found"] for number in (2, 4, 5, 6)] == [
        ["silent"],
        ["queue-old"],
        ["triage-silent"],
        ["line-ends"],
    ]
    assert found[names[7]]["level"] == "well", "a notice calls nobody"
    text = client.get("/?by=name").text
    assert [text.index(f">{name}<") for name in names] == sorted(text.index(f">{name}<") for name in names)
    assert client.get("/?by=<script>").text.count("<tr") == 53, "an order that is none is the usual one"


def test_what_an_older_appliance_does_not_say_is_shown_as_not_said(sqlite_store: Engine) -> None:
    say(sqlite_store, DEVICE, of_edition_1(time.time()), time.time())
    client = Door(sqlite_store)
    found = by_name(client)[DEVICE]
    assert (found["version"], found["level"], found["bulletin"]) == ("0.1.0", "well", False)
    assert [found[name] for name in ("day", "models", "policy", "updates", "line_days")] == [None] * 5
    assert client.get("/").text.count("not said") == 4
    metrics = client.get("/metrics").text
    assert f'central_appliance_waiting{{device="{DEVICE}",urgency="routine"}} 1.0' in metrics
    assert "central_appliance_studies_day{" not in metrics
    assert "central_appliance_policy{" not in metrics


def test_a_list_of_updates_that_has_ended_is_said_in_a_word(sqlite_store: Engine) -> None:
    now = time.time()
    for name, days in ((DEVICE, 5), ("another", -2)):
        made = a_bulletin(now)
        assert made.updates is not None
        ends = made.updates.model_copy(update={"expires": int(now) + days * DAY_S + 60})
        say(sqlite_store, name, a_status(now, bulletin=made.model_copy(update={"updates": ends})), now)
    text = Door(sqlite_store).get("/").text
    assert "updates 41 (5 d): 6 held" in text
    assert "updates 41 (ended): 6 held" in text


def test_editions_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="edition 2"):
        a_status(1e9, schema_version="status/1")


def test_five_hundred_appliances(sqlite_store: Engine) -> None:
    now = time.time()
    body = encode(a_status(now))
    with store.transaction(sqlite_store) as c:
        names = [f"site-{number:03d}" for number in range(500)]
        store.heard_of(c, set(names), now)
        rows = {"key_id": KEY_ID, "life": LIFE, "number": 1, "lived_at": now, "heard_at": now, "body": body}
        c.execute(store.METADATA.tables["statuses"].insert(), [{"device_id": name, **rows} for name in names])
    client = Door(sqlite_store)
    assert client.get("/").text.count('scope="row"') == 500
    families = {each.name: each for each in text_string_to_metric_families(client.get("/metrics").text)}
    assert len(families["central_appliance_studies_day"].samples) == 500 * len(LANES)


# Nothing in it can identify a patient.


def plant(engine: Engine, names: list[str], now: float) -> None:
    """A patient's name wherever the store has room for a word."""
    case = encode(a_case(1)).replace(b"pneumonia", NAME.encode())
    assert NAME.encode() in case
    with store.transaction(engine) as c:
        told = {"transfer_id": "d" * 32, "sha256": "0" * 64, "tier": 1, "urgency": "urgent", "code": ""}
        row, _ = store.file_case(c, names[0], "e" * 32, body=case, at=now, **told)
        store.file_verdict(
            c, row.id, rev=1, request_hash="0" * 64, status="ok", body=b"Zufallsbefund " + case, letter=None, at=now
        )
        store.put_aside(c, names[0], "case", NAME, b"PAT-4711 19470213", keep_body=True, at=now)
        c.execute(store.METADATA.tables["tallies"].insert().values(name=NAME, times=1, at=now))
        c.execute(store.METADATA.tables["workers"].insert().values(name=NAME, until=now + 60))
        store.heard_of(c, {NAME, "<script>alert(1)</script>", "Mueller, Anna 1947-02-13"}, now)
    hostile = a_bulletin(now, alarms={"Mueller-Anna": "alarm", "ANNA.19470213": "warning"})
    say(engine, names[10], a_status(now, number=2, product="MUELLER/ANNA-19470213", bulletin=hostile), now)
    lost = UpdatesStanding(number=1, expires=None, code="PAT-4711", held=0, awaited=0, refused=0, left=0, withdrawn=0)
    say(engine, names[11], a_status(now, number=2, bulletin=a_bulletin(now, updates=lost)), now)


def all_words(told: Any) -> Iterator[str]:
    """Every text in a JSON document, keys too."""
    if isinstance(told, dict):
        for key, value in told.items():
            yield from (key, *all_words(value))
    elif isinstance(told, list):
        for each in told:
            yield from all_words(each)
    elif isinstance(told, str):
        yield told


FIELDS = frozenset(
    [
        "at",
        "devices",
        "former",
        "not_shown",
        "lives",
        "levels",
        "versions",
        "centre",
        "device",
        "level",
        "life",
        "found",
        "enrolled",
        "status_ago_s",
        "heard_ago_s",
        "version",
        "waiting",
        "oldest_s",
        "free_bytes",
        "line_days",
        "bulletin",
        "alarms",
        "alarms_unknown",
        "code",
        "severity",
        "day",
        "models",
        "title",
        "sha256",
        "part",
        "certificates",
        "policy",
        "updates",
        "number",
        "days_left",
        "held",
        "awaited",
        "refused",
        "left",
        "withdrawn",
        *("balance", "rung", "rungs", "word", "why", "moved_s", "looked_s", "thin"),
    ]
)
OUR_WORDS = {
    *FIELDS,
    *WORDS,
    *URGENCIES,
    *LANES,
    *lives.LIVES,
    *view.LEVELS,
    *view.FOUND,
    *CATALOGUE,
    *WHY_WORDS,
    *(rung.word for rung in RUNGS),
    *("alarm", "warning", "notice", "deciding", "beside", "stopped", "not said", "unknown-code"),
}
SHAPES = re.compile(rf"{DEVICE_ID.pattern}|{TITLE_PATTERN}|[0-9a-f]{{16}}|[0-9]{{1,4}}(\.[0-9]{{1,4}}){{2}}")


def strange(words: Iterator[str], names: set[str]) -> set[str]:
    """Words that are neither ours, nor an appliance's name, nor a title, a version or a digest."""
    found = {word for word in words if word not in OUR_WORDS | names}
    return {word for word in found if not SHAPES.fullmatch(word) or (DEVICE_ID.fullmatch(word) and not is_digest(word))}


def is_digest(word: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{16}", word))


def weigh(engine: Engine, now: float, *thin: str, rung: int = 2) -> None:
    """What `central balance` left there."""
    line = Watched(thin=True, since=now, waiting=40, calm=None, patience=1800.0, gave=None, seen=now)
    told = {"rung": rung, "moved": now - 700, "patience": Limits().patience_s, "why": ("queue-long", "line-thin")}
    standing = Standing(**told, lines=dict.fromkeys(thin, line))
    with store.transaction(engine) as c:
        assert loading.look(c, 1, encode(standing), now - 50)
        loading.published(c, 12, now - 50)


def test_the_balance_is_shown_and_whose_line_is_thin(sqlite_store: Engine) -> None:
    now = time.time()
    names, client = fill(sqlite_store, now, 50), Door(sqlite_store)
    assert client.get("/fleet.json").json()["balance"] is None
    assert "central_balance" not in client.get("/metrics").text
    assert "The balance" not in client.get("/").text
    weigh(sqlite_store, now, names[20])
    told = client.get("/fleet.json").json()["balance"]
    assert (told["rung"], told["word"], told["policy"], told["thin"]) == (2, "one-picture", 12, 1)
    assert by_name(client)[names[20]]["found"] == ["line-thin"]
    assert by_name(client)[names[20]]["level"] == "warning"
    shown = client.get("/").text
    assert "at most 1 picture a case, no whole series" in shown
    assert "does <code>central balance</code> still run?" not in shown
    assert "central_balance_rung 2.0" in client.get("/metrics").text
    with store.transaction(sqlite_store) as c:
        c.execute(store.METADATA.tables["balances"].update().values(looked_at=now - 3000))
    assert "does <code>central balance</code> still run?" in client.get("/").text


def test_nothing_that_is_shown_can_identify_a_patient(sqlite_store: Engine, tmp_path: Path) -> None:
    """Of page, metrics and JSON: no planted word, and no word at all that is not on a closed list or of a shape."""
    now = time.time()
    names = fill(sqlite_store, now, 50)
    client = Door(sqlite_store, enrol(tmp_path / "keys", *names))
    shapes_before = {path: len(client.get(path).text) for path in ("/", "/metrics", "/fleet.json")}
    plant(sqlite_store, names, now)
    weigh(sqlite_store, now, names[20], NAME)
    for path in shapes_before:
        shown = client.get(path).text
        assert [word for word in PLANTED if word in shown] == [], path
        assert "<script" not in shown
        assert "e" * 32 not in shown, "nor the name of a case"
    told = client.get("/fleet.json").json()
    assert strange(all_words(told), set(names)) == set()
    assert told["not_shown"] == 3
    found = by_name(client)
    assert (found[names[10]]["alarms_unknown"], found[names[10]]["version"]) == (2, None)
    assert found[names[10]]["level"] == "warning", "alarms that we do not know are looked at"
    assert found[names[11]]["updates"]["code"] == "unknown-code"
    metrics = client.get("/metrics").text
    labels = (
        value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        for value in sample.labels.values()
    )
    assert strange(labels, set(names)) == set()
    assert strange_on_page(client.get("/").text, told) == set()


LETTERS = re.compile(r"[A-Za-z]{2,}")


def strange_on_page(text: str, told: Any) -> set[str]:
    """Runs of letters on the page that stand neither in the template, nor in our lists of words, nor in the JSON."""
    template = (page.HERE / "fleet.html").read_text("utf-8")
    hints = [each.text for each in CATALOGUE.values()] + list(view.FOUND.values()) + list(WORDS.values())
    hints += [*WHY_WORDS.values(), *map(taken_away, RUNGS)]
    ours = [template, *hints, *OUR_WORDS, *all_words(told), *(word for _, word in page.LEVEL_WORDS.values())]
    known = set(LETTERS.findall(" ".join(ours))) | {"min"}
    # A digest is cut shorter on the page: its letters are no word.
    plain = (re.sub(r"\b[0-9a-f]{8,16}\b", " ", each) for each in Words(text).said)
    return {word for each in plain for word in LETTERS.findall(each)} - known


def test_the_search_for_strange_words_finds_a_planted_one() -> None:
    told = {"devices": [{"device": "site-001", "version": NAME}], "mueller-anna": 1}
    assert strange(all_words(told), {"site-001"}) == {NAME, "mueller-anna"}
    assert strange_on_page(f"<td title='{NAME}'>Anna</td><td>Zufallsbefund deadbeef</td>", {}) == {
        "MUELLER",
        "ANNA",
        "Anna",
        "Zufallsbefund",
    }
    assert strange(iter(["Anna Mueller", "2025-11-28", "a" * 16]), set()) == {"Anna Mueller", "2025-11-28"}


def test_what_lies_in_cases_changes_only_counts(sqlite_store: Engine) -> None:
    """The devices' rows are the same whatever a case says, to the byte."""
    now = time.time()
    names = fill(sqlite_store, now, 3)

    def rows() -> list[Any]:
        with store.transaction(sqlite_store) as c:
            return list(view.fleet_now(c, None, now)["devices"])

    before = rows()
    with store.transaction(sqlite_store) as c:
        told = {"transfer_id": "d" * 32, "sha256": "0" * 64, "tier": 1, "urgency": "urgent", "code": ""}
        store.file_case(c, names[0], "e" * 32, body=NAME.encode(), at=now, **told)
    assert rows() == before


# Who may look.


def test_without_the_token_nothing_is_said(sqlite_store: Engine) -> None:
    fill(sqlite_store, time.time(), 3)
    client = Door(sqlite_store, headers={})
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    wrong = base64.b64encode(f"{TOKEN}:{TOKEN[:-1]}".encode()).decode()
    for path in ("/", "/metrics", "/fleet.json", "/fleet.css", "/nowhere"):
        for shown in (
            "",
            f"Bearer {TOKEN[:-1]}",
            f"Bearer {TOKEN}0",
            f"Basic {wrong}",
            "Basic %%%",
            "Basic /w==",
            TOKEN,
        ):
            answer = client.get(path, {"Authorization": shown} if shown else {})
            assert (answer.status_code, answer.text) == (401, "Show the token.\n"), (path, shown)
            assert answer.headers["www-authenticate"].startswith("Basic")
        assert client.get(path, headers={"Authorization": f"Basic {basic}"}).status_code == (
            404 if "no" in path else 200
        )
    assert client.get("/", BEARER, method="POST").status_code == 405


def test_every_answer_has_the_walls(sqlite_store: Engine) -> None:
    client = Door(sqlite_store)
    for answer in (client.get("/"), client.get("/nowhere"), client.get("/", headers={"Authorization": ""})):
        assert {name: answer.headers[name] for name in page.HEADERS} == page.HEADERS
        assert "set-cookie" not in answer.headers
        assert "unsafe" not in answer.headers["content-security-policy"]
    text = client.get("/").text
    assert "<script" not in text
    assert "style=" not in text
    assert '<meta http-equiv="refresh" content="60">' in text
    assert "No appliance is on file" in text


def test_a_store_that_is_away_is_told_by_its_code(sqlite_store: Engine) -> None:
    with store.transaction(sqlite_store) as c:
        c.exec_driver_sql("DROP TABLE statuses")
    answer = Door(sqlite_store).get("/metrics")
    assert answer.status_code == 503
    assert answer.text.startswith("store-away: ")
    assert "content-security-policy" in answer.headers


def test_a_status_that_is_not_read_here_is_named(sqlite_store: Engine) -> None:
    say(sqlite_store, DEVICE, a_status(time.time()), time.time())
    with store.transaction(sqlite_store) as c:
        c.execute(
            store.METADATA.tables["statuses"].update().values(body=b'{"schema_version":"status/3","x":"Mueller"}')
        )
    client = Door(sqlite_store)
    assert by_name(client)[DEVICE]["found"] == ["not-understood"]
    assert "Mueller" not in client.get("/").text


# The command.


def asked(folder: Path, *words: str, token: str = TOKEN) -> list[str]:
    path = folder / "token"
    path.write_text(token)
    path.chmod(0o600)
    return ["fleet", "--state", str(folder), "--token-file", str(path), *words]


@pytest.mark.parametrize(
    ("words", "token", "code"),
    [
        ((), "short", "fleet-token"),
        ((), "a b" * 20, "fleet-token"),
        (("--listen", "0.0.0.0:0"), TOKEN, "fleet-open"),
        (("--listen", "fleet.example:0"), TOKEN, "fleet-open"),
        (("--tls-certificate", "/nowhere.pem"), TOKEN, "fleet-tls"),
        (("--listen", "127.0.0.1:1"), TOKEN, "fleet-port"),
        ((), TOKEN, "state-folder"),
    ],
)
def test_a_wrong_set_up_is_told(
    words: tuple[str, ...], token: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if code == "fleet-port":
        store.open_store(tmp_path, "").dispose()
        with fleet._listening("127.0.0.1", 0) as taken:
            words = ("--listen", f"127.0.0.1:{taken.getsockname()[1]}")
            assert main(asked(tmp_path, *words, token=token)) == 78
    else:
        assert main(asked(tmp_path, *words, token=token)) == 78
    assert f"central: {code}" in capsys.readouterr().err


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o640)
    assert fleet.read_token(path) == TOKEN, "a group may: of the reverse proxy, of Prometheus"
    path.chmod(0o644)
    with pytest.raises(Misconfigured, match="fleet-token"):
        fleet.read_token(path)


def test_every_metric_is_in_the_page_about_it() -> None:
    text = (ROOT / "docs" / "fleet.md").read_text("utf-8")
    rows = re.findall(r"^\| `(central_[a-z_]+)` \| ([a-z0-9, ]*) ?\|", text, re.MULTILINE)
    assert {name: labels.strip() for name, labels in rows} == {
        f"{exposition.PREFIX}_{name}": ", ".join(labels) for name, (_, labels) in exposition.GAUGES.items()
    }
    assert [code for code in view.FOUND if f"`{code}`" not in text] == []
