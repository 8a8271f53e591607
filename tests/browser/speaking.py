"""Two who speak to the page without a browser: one byte by byte to a running service, one under its own clock."""

import asyncio
import http.client
import re
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from seeding import PASSWORD, USER

from appliance import review
from appliance.config import Config, Places
from appliance.review.ledgers import Ledgers
from appliance.world import desk

FORM = "application/x-www-form-urlencoded"
WAIT_S = 20


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str


@dataclass
class Visitor:
    """Somebody who speaks HTTP and keeps cookies as a browser would."""

    address: str
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        place = urlsplit(self.address)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
        try:
            sent = {"Host": place.netloc, "Origin": self.address.rstrip("/")} if method == "POST" else {}
            sent |= {"Content-Type": FORM} if body is not None else {}
            sent |= {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {name: value for name, value in sent.items() if value})
            answer = connection.getresponse()
            found = Answer(
                answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode("utf-8", "replace")
            )
            for line in answer.msg.get_all("set-cookie") or []:
                name, _, rest = line.partition("=")
                value = rest.split(";")[0].strip('"')
                self.cookies.pop(name, None)
                if value:
                    self.cookies[name] = value
        finally:
            connection.close()
        return found

    def hidden(self, path: str) -> dict[str, str]:
        """The hidden fields of the last form on a page."""
        found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.ask("GET", path).body)
        return {name: unescape(value) for name, value in found}

    def sign_in(self, user: str = USER, password: str = PASSWORD) -> Answer:
        check = self.hidden("/sign-in")["check"]
        return self.ask("POST", "/sign-in", urlencode({"check": check, "name": user, "password": password}))


class Hands:
    """The application called under a clock that the test moves, in a loop and thread of its own."""

    def __init__(self, places: Places, **knobs: object) -> None:
        self.now = 1_000_000.0
        self.ledgers = Ledgers(places)
        self.config = Config.model_validate({"review": {"tls": "off", **knobs}})
        self.app: Any = review.app(self.config, self.ledgers, clock=lambda: self.now)
        self.runner = asyncio.Runner()
        self.thread = ThreadPoolExecutor(1)  # Playwright keeps a loop in the main thread
        self.address = f"http{'s' if knobs.get('tls', 'off') != 'off' else ''}://127.0.0.1:8042"
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=self.address)

    def get(self, path: str) -> httpx.Response:
        return self._run(self.client.get(path))

    def sign_in(self, password: str = PASSWORD, user: str = USER, code: str = "") -> httpx.Response:
        return self.post("/sign-in", "/sign-in", name=user, password=password, code=code)

    def post(self, path: str, page: str, **form: str) -> httpx.Response:
        """Posts a form with the check token that a page gives."""
        found = re.search(r'name="check" value="([^"]*)"', self.get(page).text)
        return self.send(path, {"check": found[1] if found else "", **form})

    def send(self, path: str, form: dict[str, str], **headers: str) -> httpx.Response:
        """Posts a form as it is."""
        return self._run(self.client.post(path, data=form, headers={"origin": self.address, **headers}))

    def acts(self) -> list[tuple[str, str, str]]:
        """The audit trail as (user, act, subject)."""
        with self.ledgers.eyes().begin() as c:
            return [(row.user, row.act, row.subject) for row in desk.trail(c)]

    def _run(self, asked: Coroutine[Any, Any, Any]) -> Any:
        return self.thread.submit(self.runner.run, asked).result(WAIT_S)

    def close(self) -> None:
        self._run(self.client.aclose())
        self.thread.submit(self.runner.close).result(WAIT_S)
        self.thread.shutdown()
        self.ledgers.close()
