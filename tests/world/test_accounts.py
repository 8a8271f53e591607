"""Accounts: names are plain, sessions bounded, the last administrator stays, factors open once, glass mends itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from appliance.errors import Refused
from appliance.world import accounts, sqlite


@pytest.fixture
def pen(tmp_path: Path) -> Iterator[Engine]:
    engine = sqlite.open_writer(tmp_path / "review.db", accounts.METADATA)
    yield engine
    engine.dispose()


def test_users_are_named_and_their_names_are_plain(pen: Engine) -> None:
    with pen.begin() as c:
        accounts.put_user(c, "dr.kim", "hash", 1.0)
        with pytest.raises(Refused, match="user-exists"):
            accounts.put_user(c, "dr.kim", "other", 2.0)
        for name in ("", "x", "a b", "../etc", "a" * 41, "<b>", "naïve", "a\n"):
            with pytest.raises(Refused, match="user-name"):
                accounts.put_user(c, name, "hash", 1.0)
        found = accounts.known(c, "dr.kim")
        assert (found.password_hash, found.role, found.disabled_at, found.factor) == ("hash", "reader", None, None)
        assert accounts.count_users(c) == 1


def test_a_new_password_ends_every_session(pen: Engine) -> None:
    with pen.begin() as c:
        accounts.put_user(c, "kim", "hash", 1.0)
        accounts.open_session(c, "token", "kim", 1.0)
        accounts.put_user(c, "kim", "new", 2.0, replace=True)
        assert accounts.session(c, "token") is None
        assert accounts.known(c, "kim").password_hash == "new"


def test_sessions_are_bounded_and_swept(pen: Engine) -> None:
    with pen.begin() as c:
        for name in ("kim", "lee"):
            accounts.put_user(c, name, "hash", 1.0)
        for n in range(accounts.SESSIONS_PER_USER_MAX + 3):
            accounts.open_session(c, f"kim-{n}", "kim", float(n))
        accounts.open_session(c, "lee-0", "lee", 0.0)
        hashes = select(accounts.sessions.c.token_hash)
        left = set(c.execute(hashes.where(accounts.sessions.c.user == "kim")).scalars())
        assert left == {f"kim-{n}" for n in range(3, accounts.SESSIONS_PER_USER_MAX + 3)}
        accounts.touch_session(c, "kim-3", 100.0)
        accounts.sweep_sessions(c, seen_before=50.0, made_before=0.0)
        assert list(c.execute(hashes).scalars()) == ["kim-3"]
        accounts.sweep_sessions(c, seen_before=50.0, made_before=4.0)
        assert accounts.session(c, "kim-3") is None


def test_the_last_administrator_stays(pen: Engine) -> None:
    with pen.begin() as c:
        accounts.put_user(c, "ada", "hash", 1.0, role="administrator")
        for change in (lambda: accounts.disable(c, "ada", 2.0), lambda: accounts.set_role(c, "ada", "reader")):
            with pytest.raises(Refused, match="last-administrator"):
                change()
        accounts.put_user(c, "bea", "hash", 1.0, role="administrator")
        accounts.disable(c, "ada", 2.0)
        with pytest.raises(Refused, match="last-administrator"):
            accounts.disable(c, "bea", 3.0)
        accounts.set_role(c, "bea", "administrator")
        assert accounts.count_administrators(c) == 1
        with pytest.raises(Refused, match="user-unknown"):
            accounts.disable(c, "nobody", 3.0)


def test_a_disabled_user_has_no_session_and_no_glass(pen: Engine) -> None:
    with pen.begin() as c:
        accounts.put_user(c, "vic", "hash", 1.0, role="viewer")
        accounts.open_session(c, "token", "vic", 1.0)
        accounts.break_glass(c, "vic", "night, nobody else", 1.0, 100.0)
        accounts.disable(c, "vic", 2.0)
        assert accounts.session(c, "token") is None
        assert accounts.broken_by(c, "vic", 3.0) is None
        accounts.open_session(c, "late", "vic", 3.0)
        assert accounts.session(c, "late") is None
        accounts.enable(c, "vic")
        assert accounts.session(c, "late") is not None


def test_a_step_and_a_recovery_code_open_once(pen: Engine) -> None:
    with pen.begin() as c:
        accounts.put_user(c, "kim", "hash", 1.0)
        accounts.put_user(c, "lee", "hash", 1.0)
        accounts.set_factor(c, "kim", "sealed", ["a", "b"])
        assert [accounts.spend_step(c, "kim", step) for step in (7, 7, 6, 8)] == [True, False, False, True]
        assert [accounts.spend_code(c, name, "a") for name in ("lee", "kim", "kim")] == [False, True, False]
        assert accounts.codes_left(c, "kim") == 1
        accounts.set_factor(c, "kim", None, [])
        assert accounts.codes_left(c, "kim") == 0


def test_glass_mends_itself(pen: Engine) -> None:
    with pen.begin() as c:
        accounts.break_glass(c, "vic", "first", 10.0, 20.0)
        assert accounts.broken_by(c, "vic", 9.0) is None
        assert accounts.broken_by(c, "vic", 19.0) is not None
        assert accounts.broken_by(c, "vic", 20.0) is None
        accounts.break_glass(c, "vic", "second", 19.0, 29.0)
        assert [row.ended_at for row in accounts.all_glass(c, 9)] == [None, 19.0]
        accounts.end_glass(c, "vic", 20.0)
        assert accounts.broken_by(c, "vic", 21.0) is None


def test_a_database_of_before_there_were_roles_opens_with_readers(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old = sqlite.open_writer(path, type(accounts.METADATA)())
    with old.begin() as c:
        c.exec_driver_sql("CREATE TABLE users (name VARCHAR PRIMARY KEY, password_hash VARCHAR, created_at FLOAT)")
        c.exec_driver_sql(
            "CREATE TABLE sessions (token_hash VARCHAR PRIMARY KEY, user VARCHAR, created_at FLOAT, last_seen_at FLOAT)"
        )
        c.exec_driver_sql("INSERT INTO users VALUES ('kim', 'hash', 1.0)")
        c.exec_driver_sql("INSERT INTO sessions VALUES ('token', 'kim', 1.0, 2.0)")
    old.dispose()
    for _ in range(2):
        engine = sqlite.open_writer(path, accounts.METADATA)
        with engine.begin() as c:
            row = accounts.session(c, "token")
            assert row is not None
            assert (row.user, row.role, row.locked_at, row.proved_at) == ("kim", "reader", None, 0.0)
        engine.dispose()
