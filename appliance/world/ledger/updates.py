"""What became of updates: one row a target of the verified repository, one row of how that repository stands.

A row says what was done with which bytes under which terms; the same again finds it done. An attempt is counted before
it is made. Nothing here opens a file.
"""

from typing import Any

from sqlalchemy import Column, Connection, Float, Integer, Row, String, Table, Text, inspect, select
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.core.document import decode
from appliance.core.policy import NONE, Policy
from appliance.core.updates import RINGS, Offer, Ring
from appliance.errors import Quarantined
from appliance.world.ledger.tables import METADATA

targets = Table(
    "update_targets",
    METADATA,
    Column("path", String, primary_key=True),
    Column("sha256", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("title", String, nullable=False),
    Column("ring", String, nullable=False),
    Column("state", String, nullable=False),  # left | awaited | begun | refused | held | withdrawn
    Column("code", String, nullable=False),  # why left or refused; "" otherwise
    Column("attempts", Integer, nullable=False),
    Column("installed", String, nullable=False),  # what it is called here: title, file or number
    Column("body", Text),  # of a policy, as it came
    Column("activate", String),  # of a model, the ring in which it may come to decide by itself
    Column("at", Float, nullable=False),
)
repository = Table(  # one row
    "update_repository",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("number", Integer, nullable=False),  # of the timestamp verified last; 0: none yet
    Column("expires", Float),
    Column("verified_at", Float),
    Column("looked_at", Float, nullable=False),
    Column("code", String, nullable=False),  # why the last look believed nothing; "" where it did
    Column("roles", String, nullable=False),  # role=code of those that could not be verified, by commas
)


def is_made(c: Connection) -> bool:
    """Whether this version's triage has opened the ledger: one of before has no such table."""
    return inspect(c).has_table(targets.name)


def of(c: Connection, path: str) -> Row[Any] | None:
    return c.execute(select(targets).where(targets.c.path == path)).one_or_none()


def everything(c: Connection) -> list[Row[Any]]:
    """Every target that was ever offered, by kind and path."""
    return list(c.execute(select(targets).order_by(targets.c.kind, targets.c.path))) if is_made(c) else []


def begin(c: Connection, offer: Offer, at: float) -> int:
    """Counts an attempt at these bytes before it is made; returns which it is."""
    known = of(c, offer.path)
    attempts = 1 + (known.attempts if known is not None and known.sha256 == offer.sha256 else 0)
    _put(c, offer, at, state="begun", code="", attempts=attempts)
    return attempts


def end(
    c: Connection, offer: Offer, state: str, at: float, *, code: str = "", installed: str = "", body: str | None = None
) -> bool:
    """What became of a target; an attempt that ended is none any more. False where all of that was on file."""
    known = of(c, offer.path)
    told = (offer.sha256, state, code, *_terms(offer).values())
    if known is not None and (known.sha256, known.state, known.code, known.title, known.ring, known.activate) == told:
        return False
    kept = {} if state == "withdrawn" else {"installed": installed, "body": body}
    _put(c, offer, at, state=state, code=code, attempts=0, **kept)
    return True


def _put(c: Connection, offer: Offer, at: float, **told: Any) -> None:
    row = {"sha256": offer.sha256, "kind": offer.kind, "at": at, **_terms(offer), **told}
    made = upsert(targets).values(path=offer.path, **{"installed": "", **row})
    c.execute(made.on_conflict_do_update(index_elements=["path"], set_=row))


def _terms(offer: Offer) -> dict[str, str | None]:
    if offer.terms is None:
        return {"title": "", "ring": "", "activate": None}
    return {"title": offer.terms.title, "ring": offer.terms.ring, "activate": offer.terms.activate}


def activates(c: Connection, title: str) -> Ring | None:
    """How far a model that is held here may come to decide by itself, by the terms that were verified last."""
    where = (targets.c.kind == "model", targets.c.title == title, targets.c.state == "held")
    said = c.execute(select(targets.c.activate).where(*where)).scalars().first() if is_made(c) else None
    return next((ring for ring in RINGS if ring == said), None)


def policy(c: Connection) -> Policy:
    """The policy in force: that of the highest number which is held; without one nothing is moved."""
    if not is_made(c):
        return NONE
    where = (targets.c.kind == "policy", targets.c.state == "held")
    found = []
    for body in c.execute(select(targets.c.body).where(*where)).scalars():
        try:
            found.append(decode(Policy, body.encode()))
        except Quarantined:  # of a later version that was here before
            continue
    return max(found, key=lambda each: each.number, default=NONE)


def verified(c: Connection, number: int, expires: float, roles: str, at: float) -> None:
    """The repository was verified whole but for these roles."""
    _stands(c, number=number, expires=expires, verified_at=at, looked_at=at, code="", roles=roles)


def unverified(c: Connection, code: str, at: float) -> None:
    """Nothing that lies there is believed now; what was verified before is remembered."""
    _stands(c, looked_at=at, code=code)


def _stands(c: Connection, **told: Any) -> None:
    made = upsert(repository).values(**{"id": 1, "number": 0, "roles": "", **told})
    c.execute(made.on_conflict_do_update(index_elements=["id"], set_=told))


def stands(c: Connection) -> Row[Any] | None:
    """number, expires, verified_at, looked_at, code, roles; None before the first look."""
    return c.execute(select(repository)).one_or_none() if is_made(c) else None
