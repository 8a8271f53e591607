"""What is done to an account, by an administrator on the page or by the operator on the command line; all of it noted.

The trail's user is who did it, its subject whom it was done to.
"""

from sqlalchemy import Connection

from appliance.errors import Refused
from appliance.review.ledgers import Ledgers
from appliance.review.proofs import HASHES, PASSWORD_CHARACTERS_MAX
from appliance.world import accounts, desk

PASSWORD_CHARACTERS_MIN = 12
# Long enough and still the first that is tried; held against the whole password in small letters.
COMMON = frozenset({
    *("password1234", "passwordpassword", "qwertyuiop12", "qwertyuiop123", "123456789012", "1234567890123"),
    *("iloveyou1234", "administrator", "administrator1", "letmeinletmein", "changemechangeme", "welcome12345"),
    *("radiology123", "radiologyradiology", "hospital1234", "correcthorsebatterystaple", "1q2w3e4r5t6y"),
})  # fmt: skip


def checked(name: str, password: str) -> str:
    """The hash of a password that may be used. Raises Refused("password-weak")."""
    lowered = password.lower()
    too_plain = len(set(password)) < 5 or lowered in COMMON or (len(name) > 3 and name.lower() in lowered)
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX or too_plain:
        raise Refused("password-weak")
    return HASHES.hash(password)


def add_user(
    ledgers: Ledgers,
    name: str,
    password: str,
    *,
    at: float,
    role: str = "reader",
    replace: bool = False,
    by: str = "",
    given: bool = False,
) -> None:
    """Adds a named user. Raises Refused("password-weak"), ("user-name"), ("user-exists") or ("users-full").

    given  whoever adds thought of the password, so its user is to choose another
    """
    hashed = checked(name, password)
    with ledgers.pen().begin() as c:
        there = accounts.user(c, name) is not None
        accounts.put_user(c, name, hashed, at, role=role, replace=replace)
        act, subject = ("password-changed", f"user {name}") if there else ("user-added", f"user {name} {role}")
        if given:
            accounts.mark_given(c, name)
        desk.note(c, at=at, user=by or name, act=act, subject=subject)


def change_role(c: Connection, name: str, role: str, *, at: float, by: str) -> None:
    accounts.set_role(c, name, role)
    desk.note(c, at=at, user=by, act="user-role", subject=f"user {name} {role}")


def admit(c: Connection, issuer: str, subject: str, name: str, role: str, *, at: float) -> str:
    """The name of the account of somebody for whom a provider answers: made at the first sign-in, with the role as the
    provider says it now. A local account is never taken over.

    raises  Refused("oidc-name"), ("oidc-name-taken"), ("oidc-disabled"), ("users-full") or ("last-administrator")
    """
    found = accounts.provided(c, issuer, subject)
    if found is None:
        accounts.put_provided(c, name, issuer, subject, at, role)
        desk.note(c, at=at, user=name, act="user-added-by-provider", subject=f"user {name} {role}")
        return name
    if found.disabled_at is not None:
        raise Refused("oidc-disabled")
    known: str = found.name
    if found.role != role:
        accounts.set_role(c, known, role)
        desk.note(c, at=at, user=known, act="user-role-by-provider", subject=f"user {known} {role}")
    return known


def disable(c: Connection, name: str, *, at: float, by: str) -> None:
    accounts.disable(c, name, at)
    desk.note(c, at=at, user=by, act="user-disabled", subject=f"user {name}")


def enable(c: Connection, name: str, *, at: float, by: str) -> None:
    accounts.enable(c, name)
    desk.note(c, at=at, user=by, act="user-enabled", subject=f"user {name}")


def reset_factor(c: Connection, name: str, *, at: float, by: str) -> None:
    """Takes a second factor away whose telephone is lost, and ends the user's sessions."""
    accounts.set_factor(c, name, None, [])
    accounts.end_sessions(c, name)
    desk.note(c, at=at, user=by, act="factor-reset", subject=f"user {name}")
