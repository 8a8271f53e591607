"""`appliance users` and `appliance audit` as the operator meets them."""

import io
import json
from pathlib import Path

import pytest

from appliance.cli import main
from appliance.config import Places
from appliance.world import desk, sqlite
from tests.test_cli import config  # noqa: F401 - the fixture

PASSWORD = "a long enough passphrase"


@pytest.fixture
def told(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    """Runs a verb; returns status, standard output and standard error."""

    def run(*verb: str, typed: str = f"{PASSWORD}\n") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        capsys.readouterr()
        status = main(["--config", str(config), *verb])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_users_are_kept_on_the_console(told) -> None:
    assert told("users", "list")[1] == "no users yet\n"
    assert told("user", "add", "anna")[0] == 0
    assert told("users", "add", "ada.admin", "--role", "administrator")[1] == "ada.admin may sign in as administrator\n"
    assert told("users", "add", "anna")[0] == 1
    assert told("users", "add", "anna", "--replace", typed="another passphrase\n")[0] == 0
    assert told("users", "role", "anna", "--role", "viewer")[0] == 0
    assert told("users", "disable", "anna")[0] == 0
    status, _, said = told("users", "disable", "ada.admin")
    assert (status, "last-administrator" in said) == (1, True)
    assert told("users", "enable", "nobody")[0] == 1
    assert told("users", "role", "anna")[0] == 2
    assert told("users", "disable")[0] == 2
    users = json.loads(told("users", "list", "--json")[1])["users"]
    assert users == [
        {"name": "ada.admin", "role": "administrator", "second_factor": False, "by_provider": False, "disabled": False},
        {"name": "anna", "role": "viewer", "second_factor": False, "by_provider": False, "disabled": True},
    ]


def test_the_trail_is_checked_and_exported(told, config: Path, tmp_path: Path) -> None:  # noqa: F811
    assert told("audit", "check")[0] == 78
    told("user", "add", "anna")
    told("users", "disable", "anna")
    status, out, _ = told("audit", "check", "--json")
    checked = json.loads(out)
    assert (status, checked["unbroken"], checked["rows"]) == (0, True, 2)
    status, out, _ = told("audit", "export", "--format", "fhir")
    events = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [event["resourceType"] for event in events] == ["AuditEvent"] * 3
    assert events[1]["entity"][1]["detail"][0]["valueString"] == checked["head"]
    assert events[2]["type"]["code"] == "110101"  # the export itself: Audit Log Used
    status, out, _ = told("audit", "export", "--format", "syslog", "--after", "3")
    (line,) = out.splitlines()
    assert line.startswith("<85>1 ")
    engine = sqlite.open_writer(Places(tmp_path / "state").review_db, desk.METADATA)
    with engine.begin() as c:
        c.exec_driver_sql("DROP TRIGGER audit_no_update")
        c.execute(desk.audit.update().where(desk.audit.c.id == 2).values(subject="user somebody.else"))
    engine.dispose()
    status, out, _ = told("audit", "check")
    assert (status, out.splitlines()[0]) == (
        1,
        "broken: row 2 does not follow from the one before it, or is gone; 4 rows",
    )
    status, out, said = told("audit", "export")
    assert (status, len(out.splitlines()), said) == (1, 5, "the chain is broken at row 2\n")
