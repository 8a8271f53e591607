"""An appliance that was off for 40 days: it decides under the certificate that it holds while its list of updates has
ended, takes nothing of that list, and with a fresh one catches up in one go, what was withdrawn meanwhile included.

The clocks are the appliance's own and that of python-tuf; nothing of the mirror changes while it is off.
"""

import dataclasses
import datetime
import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tuf.ngclient._internal import trusted_metadata_set as tuf_clock

from appliance.core.certificate import Certificate
from appliance.triage.looking import Court
from appliance.world.ledger import updates as book
from appliance.world.ledger import watch
from tests.core.test_decide import MODEL, a_certificate
from tests.publisher import DAY_S, Publisher
from tests.triage.conftest import Bench
from tests.triage.test_glance import FILM_UID
from tests.triage.test_headers import DATA
from tests.triage.test_policy_never_decides import SOP_UID
from tests.triage.test_shadow import Voices

OFF_DAYS = 40
LOGIT = -9.0  # of every film
CLEARED, ESCALATED = ("cleared", ["cleared-under-certificate"]), "escalated"


class Edge:
    """A triage whose certified model clears every film, with a root of updates, and a publisher far away."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch, *, answer_days: float, half: float | None) -> None:
        self.publisher, self.patch, self.films, self.off_days = Publisher(root / "centre"), patch, 0, 0
        told = {"updates": {"root": self.publisher.root}, "audit": {"answer_days": answer_days}}
        self.certificate: Certificate = a_certificate(
            created=date(1970, 1, 1), expires=date(1971, 1, 1), clear_at_or_below_half=half
        )
        self.bench = Bench(root, {**told, "site": {"device_id": "edge-a", "name": "harbour"}})
        self.paper = json.dumps(self.certificate.model_dump(mode="json")).encode()
        path = self.bench.places.certificates / "drawn/1.2.3/first.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(self.paper)
        self.comes_up()

    def comes_up(self) -> None:
        model = dataclasses.replace(MODEL, certificates=(self.certificate,))
        self.bench.start(Court((model,), Voices(drawn_1_2_3=LOGIT), "harbour"))

    def is_off(self, days: int) -> None:
        """Nothing runs, and every clock goes on."""
        self.off_days += days
        self.bench.now += days * DAY_S
        now = datetime.datetime.now

        def later(zone: datetime.tzinfo) -> datetime.datetime:
            return now(zone) + datetime.timedelta(days=self.off_days)

        clock = SimpleNamespace(datetime=SimpleNamespace(now=later), timezone=datetime.timezone)
        self.patch.setattr(tuf_clock, "datetime", clock)
        self.comes_up()

    def mirrors(self) -> None:
        """What uplink brings of the centre as it stands."""
        shutil.rmtree(self.bench.places.mirror, ignore_errors=True)
        shutil.copytree(self.publisher.folder, self.bench.places.mirror)

    def looks(self) -> str:
        """A look of triage at what lies there; the code of it."""
        self.bench.step("updates", passed=10.0)
        with self.bench.triage.engine.connect() as c:
            stands = book.stands(c)
        assert stands is not None
        return str(stands.code)

    def film(self) -> tuple[str, list[str]]:
        """One more film, to its end: lane and codes."""
        self.films += 1
        uid, data = f"{FILM_UID[:-2]}{self.films + 10}", DATA
        for name in (FILM_UID, SOP_UID):
            data = data.replace(name.encode(), f"{name[:-2]}{self.films + 10}".encode())
        self.bench.put(data)
        self.bench.step("admit", "assemble")
        self.bench.step("assemble", "judge", passed=9)
        result = self.bench.result(uid)
        return result.lane, [each["code"] for each in result.reasons]

    @property
    def policy(self) -> int:
        with self.bench.triage.engine.connect() as c:
            return book.policy(c).number


@pytest.fixture
def edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made: list[Edge] = []

    def make(**told: Any) -> Edge:
        made.append(Edge(tmp_path, monkeypatch, **told))
        return made[-1]

    yield make
    for each in made:
        each.bench.triage.close()


def test_it_decides_before_in_and_after_and_catches_up(edges: Any) -> None:
    edge = edges(answer_days=90.0, half=None)
    edge.publisher.policy(1)
    edge.mirrors()
    assert edge.looks() == ""
    assert edge.film() == CLEARED

    edge.is_off(OFF_DAYS)
    assert edge.looks() == "updates-expired"
    assert edge.film() == CLEARED
    edge.publisher.policy(2)  # as of the day it went off: an honest but stale mirror
    edge.mirrors()
    assert edge.looks() == "updates-expired"
    assert edge.policy == 1

    edge.publisher.renew(ago_s=-OFF_DAYS * DAY_S)
    edge.mirrors()
    assert edge.looks() == ""
    assert edge.policy == 2
    assert edge.film() == CLEARED


def test_what_was_withdrawn_meanwhile_decides_until_it_is_known_and_then_no_more(edges: Any) -> None:
    """A freeze cannot be told from a line that is away; what bounds it is the certificate's own end."""
    edge = edges(answer_days=90.0, half=None)
    edge.mirrors()
    assert edge.looks() == ""
    path = edge.publisher.add("certificate", "first.json", edge.paper, title="the-first")
    edge.publisher.change(path, withdrawn=True)
    edge.is_off(OFF_DAYS)
    edge.looks()
    assert edge.film() == CLEARED
    edge.publisher.renew(ago_s=-OFF_DAYS * DAY_S)
    edge.mirrors()
    assert edge.looks() == ""
    with edge.bench.triage.engine.connect() as c:
        assert [row.certificate for row in watch.revoked(c)] == [edge.certificate.digest]
    lane, codes = edge.film()
    assert (lane, codes[0]) == (ESCALATED, "certificate-revoked")


@pytest.mark.parametrize(
    ("answer_days", "half", "lane"),
    [(90.0, None, "cleared"), (14.0, -8.0, "cleared"), (14.0, -12.0, ESCALATED), (14.0, None, ESCALATED)],
    ids=["not late yet", "within the safest half", "outside of it", "a certificate that names no half"],
)
def test_an_audit_that_was_open_narrows_the_lanes_after_such_an_absence(
    edges: Any, answer_days: float, half: float | None, lane: str
) -> None:
    """The first film cleared under a certificate is always drawn for a blinded read, and nobody read it."""
    edge = edges(answer_days=answer_days, half=half)
    assert edge.film() == CLEARED
    edge.is_off(OFF_DAYS)
    told, codes = edge.film()
    assert told == lane
    assert ("certificate-shrunk" in codes) == (lane == ESCALATED)


def test_a_certificate_that_ended_meanwhile_opens_nothing(edges: Any) -> None:
    edge = edges(answer_days=90.0, half=None)
    assert edge.film() == CLEARED
    edge.is_off(366)
    lane, codes = edge.film()
    assert (lane, codes[0]) == (ESCALATED, "certificate-expired")
