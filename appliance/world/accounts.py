"""Accounts in review/review.db: users with roles and second factors, sessions, recovery codes, broken glass.

Only the review service and the command line write them. Nothing here opens anything: a password is an argon2id hash,
a session token and a recovery code are SHA-256 digests, and the seed of a second factor is sealed under a key that
lies beside the database. A user is never deleted, because the audit trail and signatures name users for ever.
"""

import re
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy import update as change
from sqlalchemy.sql.elements import ColumnElement

from appliance.core.permits import ROLES
from appliance.errors import Refused

SESSIONS_PER_USER_MAX = 8
USERS_MAX = 1_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,39}")
REASON_CHARACTERS_MAX = 200
NO_PASSWORD = "!"  # no hash is like it  # noqa: S105

METADATA = MetaData()

# Columns with a server's default came later: a database of before gets them when it is opened (world.sqlite.make).
users = Table(
    "users",
    METADATA,
    Column("name", String, primary_key=True),
    Column("password_hash", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("role", String, nullable=False, server_default="reader"),
    Column("disabled_at", Float),
    Column("given", Boolean, nullable=False, server_default="0"),  # the password is one that somebody else thought of
    Column("language", String),  # as the user chose it; empty: as the browser asks
    Column("factor", String),  # the sealed seed of a time-based one-time password, if one was set up
    Column("factor_step", Integer, nullable=False, server_default="0"),  # the last step used: a code opens once
    Column("issuer", String),  # of whom a provider answers for, with the subject: such a user has no password here
    Column("subject", String),
)
sessions = Table(
    "sessions",
    METADATA,
    Column("token_hash", String, primary_key=True),
    Column("user", String, nullable=False, index=True),
    Column("created_at", Float, nullable=False),
    Column("last_seen_at", Float, nullable=False),
    Column("locked_at", Float),
    Column("proved_at", Float, nullable=False, server_default="0"),  # when its user last showed who they are
    Column("origin", String, nullable=False, server_default=""),
)
recovery = Table(
    "recovery_codes",
    METADATA,
    Column("digest", String, primary_key=True),
    Column("user", String, nullable=False, index=True),
)
glass = Table(
    "broken_glass",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("user", String, nullable=False, index=True),
    Column("reason", String, nullable=False),
    Column("opened_at", Float, nullable=False),
    Column("ends_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("reviewed_by", String),
    sqlite_autoincrement=True,
)


def put_user(
    c: Connection, name: str, password_hash: str, at: float, *, role: str = "reader", replace: bool = False
) -> None:
    """A named user. Raises Refused("user-name"), ("user-exists"), ("user-provided") or ("users-full").

    replace  gives an existing user a new password, ends the user's sessions and leaves role and factor as they are
    """
    assert role in ROLES
    if not NAME.fullmatch(name):
        raise Refused("user-name")
    found = user(c, name)
    if found is None:
        if count_users(c) >= USERS_MAX:
            raise Refused("users-full")
        c.execute(insert(users).values(name=name, password_hash=password_hash, created_at=at, role=role))
        return
    if not replace:
        raise Refused("user-exists")
    if found.issuer is not None:
        raise Refused("user-provided")
    _set(c, name, password_hash=password_hash)
    end_sessions(c, name)


def put_provided(c: Connection, name: str, issuer: str, subject: str, at: float, role: str) -> None:
    """A user for whom a provider answers. Raises Refused("oidc-name"), ("oidc-name-taken") or ("users-full").

    A name that differs from somebody's by capitals alone is theirs: readers could not tell the two apart.
    """
    assert role in ROLES
    if not NAME.fullmatch(name):
        raise Refused("oidc-name")
    if c.execute(select(users.c.name).where(func.lower(users.c.name) == name.lower())).first() is not None:
        raise Refused("oidc-name-taken")
    put_user(c, name, NO_PASSWORD, at, role=role)
    _set(c, name, issuer=issuer, subject=subject)


def provided(c: Connection, issuer: str, subject: str) -> Row[Any] | None:
    """The user for whom a provider answers under this subject."""
    return c.execute(select(users).where(users.c.issuer == issuer, users.c.subject == subject)).one_or_none()


def user(c: Connection, name: str) -> Row[Any] | None:
    return c.execute(select(users).where(users.c.name == name)).one_or_none()


def known(c: Connection, name: str) -> Row[Any]:
    """A user that must be there. Raises Refused("user-unknown")."""
    found = user(c, name)
    if found is None:
        raise Refused("user-unknown")
    return found


def all_users(c: Connection) -> list[Row[Any]]:
    return list(c.execute(select(users).order_by(users.c.name)))


def count_users(c: Connection) -> int:
    return c.execute(select(func.count()).select_from(users)).scalar_one()


def count_administrators(c: Connection) -> int:
    """Those who may still sign in."""
    enabled = select(func.count()).select_from(users).where(users.c.role == "administrator", _enabled())
    return c.execute(enabled).scalar_one()


def set_role(c: Connection, name: str, role: str) -> None:
    """Another role, from the next request on. Raises Refused("user-unknown") or ("last-administrator")."""
    assert role in ROLES
    found = known(c, name)
    if role != "administrator":
        _not_the_last(c, found)
    _set(c, name, role=role)


def disable(c: Connection, name: str, at: float) -> None:
    """No sign-in any more, every session ends now. Raises Refused("user-unknown") or ("last-administrator")."""
    found = known(c, name)
    _not_the_last(c, found)
    if found.disabled_at is None:
        _set(c, name, disabled_at=at)
    end_sessions(c, name)
    end_glass(c, name, at)


def enable(c: Connection, name: str) -> None:
    known(c, name)
    _set(c, name, disabled_at=None)


def set_password(c: Connection, name: str, password_hash: str) -> None:
    """A password of the user's own choice."""
    _set(c, name, password_hash=password_hash, given=False)


def set_language(c: Connection, name: str, code: str) -> None:
    """The language that the pages are said in to this user."""
    _set(c, name, language=code)


def mark_given(c: Connection, name: str) -> None:
    """The password was thought of by somebody else: its user is asked for one of their own."""
    _set(c, name, given=True)


def set_factor(c: Connection, name: str, sealed: str | None, codes: list[str]) -> None:
    """A second factor with digests of its recovery codes, in place of what was; None takes it away."""
    known(c, name)
    _set(c, name, factor=sealed, factor_step=0)
    c.execute(delete(recovery).where(recovery.c.user == name))
    if codes:
        c.execute(insert(recovery), [{"digest": each, "user": name} for each in codes])


def spend_step(c: Connection, name: str, step: int) -> bool:
    """Whether a one-time password of this step is still good; it is not good again, nor is one of before."""
    spent = change(users).where(users.c.name == name, users.c.factor_step < step).values(factor_step=step)
    return c.execute(spent).rowcount == 1


def spend_code(c: Connection, name: str, code_digest: str) -> bool:
    return c.execute(delete(recovery).where(recovery.c.user == name, recovery.c.digest == code_digest)).rowcount == 1


def codes_left(c: Connection, name: str) -> int:
    return c.execute(select(func.count()).select_from(recovery).where(recovery.c.user == name)).scalar_one()


def open_session(
    c: Connection, token_hash: str, name: str, at: float, origin: str = "", proved_at: float | None = None
) -> None:
    """A new session; the user's oldest ones beyond SESSIONS_PER_USER_MAX end.

    proved_at  when the user showed who they are, where that was not just now
    """
    proved = at if proved_at is None else proved_at
    row = {"token_hash": token_hash, "user": name, "created_at": at, "last_seen_at": at, "proved_at": proved}
    c.execute(insert(sessions).values(**row, origin=origin))
    newest = select(sessions.c.token_hash).where(sessions.c.user == name)
    kept = newest.order_by(sessions.c.created_at.desc(), sessions.c.token_hash).limit(SESSIONS_PER_USER_MAX)
    c.execute(delete(sessions).where(sessions.c.user == name, sessions.c.token_hash.not_in(kept)))


def session(c: Connection, token_hash: str) -> Row[Any] | None:
    """A session with role and factor of its user; None for a user who may not sign in any more."""
    of_user = (users.c.role, users.c.factor, users.c.given, users.c.language, users.c.issuer, users.c.subject)
    both = select(sessions, *of_user).join(users, users.c.name == sessions.c.user)
    return c.execute(both.where(sessions.c.token_hash == token_hash, _enabled())).one_or_none()


def all_sessions(c: Connection) -> list[Row[Any]]:
    return list(c.execute(select(sessions).order_by(sessions.c.last_seen_at.desc(), sessions.c.token_hash)))


def touch_session(c: Connection, token_hash: str, at: float) -> None:
    c.execute(change(sessions).where(sessions.c.token_hash == token_hash).values(last_seen_at=at))


def lock_session(c: Connection, token_hash: str, at: float) -> None:
    c.execute(change(sessions).where(sessions.c.token_hash == token_hash).values(locked_at=at))


def prove_session(c: Connection, token_hash: str, at: float, *, new_hash: str | None = None) -> None:
    """Its user has shown who they are: it is open from now on, under a new token where one is given."""
    values = {"locked_at": None, "last_seen_at": at, "proved_at": at, "token_hash": new_hash or token_hash}
    c.execute(change(sessions).where(sessions.c.token_hash == token_hash).values(**values))


def close_session(c: Connection, token_hash: str) -> None:
    c.execute(delete(sessions).where(sessions.c.token_hash == token_hash))


def end_sessions(c: Connection, name: str, *, but: str = "") -> None:
    """Ends a user's sessions, all but one."""
    c.execute(delete(sessions).where(sessions.c.user == name, sessions.c.token_hash != but))


def sweep_sessions(c: Connection, *, seen_before: float, made_before: float) -> None:
    """Ends sessions idle since before one moment or made before another (both wall seconds)."""
    c.execute(delete(sessions).where((sessions.c.last_seen_at < seen_before) | (sessions.c.created_at < made_before)))


def break_glass(c: Connection, name: str, reason: str, at: float, ends_at: float) -> None:
    assert 0 < len(reason) <= REASON_CHARACTERS_MAX
    end_glass(c, name, at)
    c.execute(insert(glass).values(user=name, reason=reason, opened_at=at, ends_at=ends_at))


def broken_by(c: Connection, name: str, at: float) -> Row[Any] | None:
    """What a user has broken and what still lends rights now."""
    where = (glass.c.user == name, glass.c.ended_at.is_(None), glass.c.opened_at <= at, glass.c.ends_at > at)
    return c.execute(select(glass).where(*where).order_by(glass.c.id.desc()).limit(1)).one_or_none()


def end_glass(c: Connection, name: str, at: float) -> None:
    c.execute(change(glass).where(glass.c.user == name, glass.c.ended_at.is_(None)).values(ended_at=at))


def review_glass(c: Connection, number: int, by: str) -> bool:
    """An administrator has looked at it; whoever broke it cannot be the one who did."""
    mine = (glass.c.id == number, glass.c.reviewed_by.is_(None), glass.c.user != by)
    return c.execute(change(glass).where(*mine).values(reviewed_by=by)).rowcount == 1


def all_glass(c: Connection, limit: int) -> list[Row[Any]]:
    return list(c.execute(select(glass).order_by(glass.c.id.desc()).limit(limit)))


def _set(c: Connection, name: str, **values: object) -> None:
    c.execute(change(users).where(users.c.name == name).values(**values))


def _enabled() -> ColumnElement[bool]:
    return users.c.disabled_at.is_(None)


def _not_the_last(c: Connection, found: Row[Any]) -> None:
    """A house whose last administrator went would have nobody to mend it."""
    if found.role == "administrator" and found.disabled_at is None and count_administrators(c) == 1:
        raise Refused("last-administrator")
