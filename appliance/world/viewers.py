"""External viewers in review/review.db: who may fetch images by a token instead of a session, and on whose behalf.

Only the review service writes it. A token is kept as its SHA-256. It belongs to a user and can do no more than that
user may: whoever is disabled takes the viewer along. A row is never deleted; the trail names viewers for ever.
"""

from typing import Any

from sqlalchemy import Column, Connection, Float, Integer, MetaData, Row, String, Table, func, insert, select, update

from appliance.errors import Refused

VIEWERS_MAX = 100

METADATA = MetaData()

viewers = Table(
    "viewers",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("user", String, nullable=False),
    Column("token_hash", String, nullable=False, unique=True),
    Column("made_at", Float, nullable=False),
    Column("made_by", String, nullable=False),
    Column("used_at", Float),
    Column("revoked_at", Float),
    sqlite_autoincrement=True,
)


def add(c: Connection, *, name: str, user: str, token_hash: str, at: float, by: str) -> None:
    """A viewer under a name that no other has. Raises Refused("viewer-name")."""
    standing = select(func.count()).select_from(viewers).where(viewers.c.revoked_at.is_(None))
    if named(c, name) is not None or c.execute(standing).scalar_one() >= VIEWERS_MAX:
        raise Refused("viewer-name")
    c.execute(insert(viewers).values(name=name, user=user, token_hash=token_hash, made_at=at, made_by=by))


def named(c: Connection, name: str) -> Row[Any] | None:
    return c.execute(select(viewers).where(viewers.c.name == name)).one_or_none()


def of_token(c: Connection, token_hash: str) -> Row[Any] | None:
    """The viewer of a token that was not taken back."""
    here = (viewers.c.token_hash == token_hash, viewers.c.revoked_at.is_(None))
    return c.execute(select(viewers).where(*here)).one_or_none()


def every(c: Connection) -> list[Row[Any]]:
    """All of them, those that stand first."""
    return list(c.execute(select(viewers).order_by(viewers.c.revoked_at.is_not(None), viewers.c.name)))


def mark_used(c: Connection, number: int, at: float) -> None:
    c.execute(update(viewers).where(viewers.c.id == number).values(used_at=at))


def revoke(c: Connection, number: int, at: float) -> Row[Any] | None:
    """Takes a token back for good; the row as it is now, None where there was none to take back."""
    here = (viewers.c.id == number, viewers.c.revoked_at.is_(None))
    if c.execute(update(viewers).where(*here).values(revoked_at=at)).rowcount != 1:
        return None
    return c.execute(select(viewers).where(viewers.c.id == number)).one()
