"""A triage service on an empty state folder, and small studies to put into it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row

from appliance.config import Config, Places
from appliance.loop import Moment
from appliance.triage import Triage
from appliance.triage.looking import Court
from appliance.world import ledger, sqlite, wire
from appliance.world.inference import Bench as Inference
from tests import correspondents
from tests.simulate.house import SITE_KEY
from tests.tiny import tiny
from tests.triage.stand_in import StandIn

UID = "1.2.826.0.1.7"


class Bench:
    """Triage, turned by hand."""

    def __init__(self, root: Path, sections: dict[str, Any] | None = None, **knobs: Any) -> None:
        told = {"quiet_period_s": 3.0, "quiet_period_with_evidence_s": 1.0, "attempts_max": 2, **knobs}
        plain = {"triage": told, "receive": {"disk_reserve_bytes": 0}}
        self.config = Config.model_validate({**plain, **(sections or {})})
        self.places = Places(root / "state")
        self.now = 1000.0
        self.stand_in = StandIn(SITE_KEY)
        self.start()

    def start(self, court: Court | None = None) -> None:
        if hasattr(self, "triage"):
            self.triage.close()
        court = court or Court((), Inference(), "bench")
        self.triage = Triage(
            self.config, self.places, SITE_KEY, court, self.stand_in.cleaning, correspondents.post(self.config)
        )
        self.steps = self.triage.steps()

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        (self.places.incoming / f"{digest}.dcm").write_bytes(data)
        return digest

    def step(self, *names: str, passed: float = 0.0) -> None:
        self.now += passed
        for name in names or self.steps:
            for _ in range(20):
                if not self.steps[name](Moment(self.now, self.now)):
                    break

    def study(self, uid: str = UID) -> Row[Any]:
        with self.triage.engine.connect() as c:
            found = ledger.study_by_uid(c, uid)
        assert found is not None
        return found

    def result(self, uid: str = UID) -> Row[Any]:
        study = self.study(uid)
        with self.triage.engine.connect() as c:
            found = ledger.result_of(c, study.number, study.revision)
        assert found is not None
        return found

    def cases(self) -> dict[str, str]:
        with self.triage.cases.connect() as c:
            return {row.case_id: row.state for row in c.execute(wire.cases.select())}

    def documents(self) -> dict[int, bytes]:
        """Of the one case in the spool, by tier, what the centre would read."""
        with self.triage.cases.connect() as c:
            found = correspondents.documents(c, self.places.parts)
        assert len({case_id for case_id, _ in found}) == 1
        return {tier: document for (_, tier), document in found.items()}

    def document(self) -> bytes:
        """The fullest of them."""
        return max(self.documents().items())[1]

    def strays(self) -> list[Row[Any]]:
        with self.triage.engine.connect() as c:
            return list(c.execute(ledger.strays.select()))

    def link(self) -> Any:
        """Uplink's database, made by its writer."""
        return sqlite.open_writer(self.places.link_db, wire.LINK)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.triage.close()


@pytest.fixture
def film() -> bytes:
    return tiny(UID, 1, "PAT-1", "CR", 3)
