"""`appliance forget` and `appliance hold`: what will be forgotten, what was, and what a person orders about it.

It reads with triage's own rule and forgets nothing itself: an order or a hold is a row in review.db, noted in the audit
trail, that triage obeys. Run it as the user of the review service, so that the files stay the service's.
"""

import argparse
import os
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from appliance import review
from appliance.cli.look import show
from appliance.config import Config, Places
from appliance.core.retention import KEPT, why_kept
from appliance.errors import Misconfigured
from appliance.triage.forgetting import in_force, known_of
from appliance.world import desk, ledger, retention_desk, sqlite
from appliance.world.ledger import forgetting

SHOWN = 200


def run(config: Config, places: Places, told: argparse.Namespace) -> int:
    """Status 1 where the study is not known, 2 where a reason is missing or too long."""
    if not places.studies_db.exists():
        raise Misconfigured("state-folder")
    if told.verb == "forget" and told.list:
        return _list(config, places, told.json)
    if not 0 < len(told.because.strip()) <= retention_desk.BECAUSE_CHARACTERS_MAX:
        print(f"--because: say why, in {retention_desk.BECAUSE_CHARACTERS_MAX} characters at most", file=sys.stderr)
        return 2
    kind: retention_desk.Kind = "forget" if told.verb == "forget" else "lift" if told.lift else "hold"
    engine = sqlite.open_reader(places.studies_db)
    with engine.connect() as c:
        study = ledger.study_by_uid(c, told.study)
    engine.dispose()
    if study is None:
        print("no study of this UID is here", file=sys.stderr)
        return 1
    who, at = f"command-line:{os.getuid()}", time.time()
    with review.opened(places) as ledgers, ledgers.pen().begin() as c:
        retention_desk.order(c, study.number, kind, user=who, because=told.because.strip(), at=at)
        desk.note(c, at=at, user=who, act=f"retention-{kind}", subject=f"study {study.number}")
    said = {
        "forget": "is to be forgotten: triage does it once nothing about it is open (appliance forget --list)",
        "hold": "is held, and is not forgotten until the hold is lifted",
        "lift": "is held no more",
    }
    print(f"study {study.number} {said[kind]}")
    return 0


def _list(config: Config, places: Places, as_json: bool) -> int:
    knobs, now = config.retention, time.time()
    with ExitStack() as held:

        def opened(path: Any) -> Connection | None:
            if not path.exists():
                return None
            engine = sqlite.open_reader(path)
            held.callback(engine.dispose)
            return held.enter_context(engine.connect())

        c, cases, own = opened(places.studies_db), opened(places.cases_db), opened(places.review_db)
        assert c is not None
        holds = {} if own is None else retention_desk.held(own)
        orders = {} if own is None else retention_desk.to_forget(own)
        done = forgetting.obeyed(c) if forgetting.is_made(c) else set()
        waiting = []
        chosen = select(ledger.studies).where(ledger.studies.c.state == "reviewed")
        for study in c.execute(chosen.order_by(ledger.studies.c.state_since).limit(SHOWN)).all():
            order = in_force(orders.get(study.number), study)
            ordered = order is not None and order.id not in done
            facts = known_of(c, cases, study, holds, ordered=ordered, config=config)[2]
            kept = why_kept(facts, days=knobs.keep_days, evidence=knobs.copy_kept_by, now=now)
            waiting.append(
                {
                    "study": study.number,
                    "reviewed": study.state_since,
                    "kept_because": {code: KEPT[code] for code in kept},
                    "ordered": ordered,
                }
            )
        gone = [dict(row._mapping) for row in forgetting.records(c, SHOWN)] if forgetting.is_made(c) else []
    document = {"keep_days": knobs.keep_days, "reviewed": waiting, "forgotten": gone}
    lines = [f"retention  {f'{knobs.keep_days} days' if knobs.keep_days else 'none: nothing is forgotten by itself'}"]
    lines += [_waits(each) for each in waiting] or ["no reviewed study is here"]
    lines += [_went(each) for each in gone]
    show(document, as_json, lines)
    return 0


def _waits(row: dict[str, Any]) -> str:
    why = "; ".join(row["kept_because"].values()) or "will be forgotten now"
    return f"study {row['study']:>6}  reviewed {_day(row['reviewed'])}  {why}"


def _went(row: dict[str, Any]) -> str:
    by = {"retention": "its time was over", "order": f"order {row['order_id']}"}[row["rule"]]
    proof = {"committed": "the PACS had committed", "scanner": "the site vouches for its scanner", "none": "no proof"}
    why = f"{row['files']} files; {by}; {proof[row['evidence']]}"
    return f"study {row['study_number']:>6}  forgotten {_day(row['at'])}  {why}"


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
