"""The site key that lies sealed to this machine, or is gone: no other takes its place, and every verb tells the truth.

systemd-creds itself is stood in for here; tests.faults.boot seals a key with the real one, on a machine that boots.
"""

import json
from pathlib import Path

import pytest

from appliance.cli import backup, look, main, setup, site_key, up
from appliance.config import Config, Places
from appliance.errors import Misconfigured
from appliance.world import age, archive, sealed_key
from tests.simulate.house import SITE_KEY
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench
from tests.triage.test_leaving import left
from tests.triage.test_lost_ledgers import leave
from tests.triage.test_salvage import gone

CREDS = """#!/bin/sh
# Opens what `sealed` made, by the name that was sealed with it.
[ "$1" = decrypt ] && [ "$4" = - ] || exit 2
[ "$2" = "--name=$(head -n 1 "$3")" ] || { echo "Embedded credential name does not match, refusing." >&2; exit 1; }
tail -n +2 "$3"
"""


FILM = tiny(UID, 1, "PAT-1", "CR", 3)


class Site:
    """A configuration, its site key, and a stand-in for systemd-creds."""

    def __init__(self, root: Path) -> None:
        self.root, self.key, self.path = root, root / "site.key", root / "appliance.toml"
        self.sealed, self.places = root / "site.key.cred", Places(root / "state")
        self.path.write_text(f'[state]\nfolder = "{self.places.root}"\n[triage]\nsite_key_file = "{self.key}"\n')
        told = {"state": {"folder": str(self.places.root)}, "triage": {"site_key_file": str(self.key)}}
        self.config = Config.model_validate(told)

    def seal(self, name: str = "site-key") -> None:
        self.sealed.write_bytes(name.encode() + b"\n" + SITE_KEY)

    def line(self) -> tuple[bool, str, str]:
        found = look._site_key(self.config)
        return found.ok, found.found, found.todo


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    program = tmp_path / "systemd-creds"
    program.write_text(CREDS)
    program.chmod(0o700)
    monkeypatch.setattr(sealed_key, "PROGRAM", str(program))
    monkeypatch.setattr(setup, "_do", lambda *_: None)
    monkeypatch.setattr(setup.openings, "folders", lambda _: [])
    return Site(tmp_path)


def test_setup_makes_a_key_once_and_none_beside_a_sealed_one(site: Site) -> None:
    """With another one every patient of before would get another pseudonym, and no letter of before would be ours."""
    assert setup.prepare(site.config)
    first = site.key.read_bytes()
    assert len(first) == 32
    assert not setup.prepare(site.config)
    assert site.key.read_bytes() == first
    site.seal()
    site.key.unlink()
    assert not setup.prepare(site.config)
    assert not site.key.exists()


@pytest.mark.parametrize("what", ["instance", "signature", "cases", "set aside"])
def test_setup_makes_none_where_studies_were_taken_in(site: Site, what: str) -> None:
    leave(site.places, what)
    with pytest.raises(Misconfigured, match="site-key-gone"):
        setup.prepare(site.config)
    assert not site.key.exists()


def test_neither_does_a_state_folder_of_ones_own(tmp_path: Path) -> None:
    path = up.lay_out(tmp_path)
    (tmp_path / "site.key").unlink()
    assert up.lay_out(tmp_path) == path, "nothing was taken in under it"
    (tmp_path / "site.key").unlink()
    leave(Places(tmp_path / "state"), "instance")
    with pytest.raises(Misconfigured, match="site-key-gone"):
        up.lay_out(tmp_path)


def test_a_ledger_alone_is_enough(tmp_path: Path, site: Site) -> None:
    bench = Bench(tmp_path)
    bench.put(b"no DICOM")
    bench.step("admit")
    bench.triage.close()
    for path in bench.places.instances.rglob("*.dcm"):
        path.unlink()
    with pytest.raises(Misconfigured, match="site-key-gone"):
        site_key.may_be_made(site.config, bench.places)
    gone(bench.places.studies_db)
    assert site_key.may_be_made(site.config, bench.places)


def test_check_says_what_is_true(site: Site) -> None:
    assert site.line()[:2] == (False, "missing")
    site.key.write_bytes(SITE_KEY)
    assert site.line()[:2] == (True, "present")
    site.seal()
    ok, found, todo = site.line()
    assert (ok, found) == (False, "sealed, and the plain file is still there")
    assert str(site.key) in todo
    site.key.unlink()
    assert site.line()[:2] == (True, "sealed to this machine, and opens")
    site.seal("site.key.cred")  # as systemd-creds names it without --name: triage's unit would not start with it
    assert site.line()[:2] == (False, "sealed, and does not open here")
    assert "root" in site.line()[2]


def backed_up(site: Site, *words: str) -> tuple[int, Path, Path]:
    private, public = age.new_key()
    key, out = site.root / "backup.key", site.root / "a.age"
    key.write_text(private)
    archive.put(site.places.root / "incoming" / "a.dcm", b"x")
    return main(["--config", str(site.path), "backup", str(out), "--to", public, *words]), out, key


def test_a_backup_has_the_sealed_key_open_because_no_other_machine_could_open_it(site: Site) -> None:
    site.seal()
    status, out, key = backed_up(site)
    assert status == 0
    assert backup.restore(Places(site.root / "other"), out, key, site.root / "settings") == 0
    assert (site.root / "settings" / "site.key").read_bytes() == SITE_KEY


@pytest.mark.parametrize(("sealed", "code"), [("", "deid-site-key"), ("other-name", "site-key-sealed")])
def test_a_backup_that_cannot_have_the_key_is_refused_and_says_how(
    site: Site, capsys: pytest.CaptureFixture[str], sealed: str, code: str
) -> None:
    if sealed:
        site.seal(sealed)
    status, out, _ = backed_up(site)
    assert status == 78
    assert code in capsys.readouterr().err
    assert not out.exists()
    assert backed_up(site, "--without-keys")[0] == 0


def test_a_receipt_is_held_against_the_sealed_key(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(site.root)
    left(bench, FILM)
    bench.triage.close()
    for seal, holds in ((site.seal, True), (lambda: site.seal("other"), None)):
        seal()
        assert main(["--config", str(site.path), "receipt", "1", "--json"]) == 0
        told = {each["name"]: each["holds"] for each in json.loads(capsys.readouterr().out)["checks"]}
        assert told["the key is this site's"] is holds
        assert told["every source file lies in the archive as it came"] is holds


def test_what_is_sealed_and_does_not_open_gives_no_random_pseudonyms(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.seal("other")
    (site.root / "in.dcm").write_bytes(FILM)
    words = ["deidentify", str(site.root / "in.dcm"), "-o", str(site.root / "out")]
    assert main(["--config", str(site.path), *words]) == 78
    assert "site-key-sealed" in capsys.readouterr().err


def test_what_takes_too_long_or_is_not_installed_opens_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.seal()
    monkeypatch.setattr(sealed_key, "OPENS_S", 0.0)
    assert sealed_key.opened(site.sealed) is None
    monkeypatch.setattr(sealed_key, "PROGRAM", str(site.root / "none"))
    assert sealed_key.opened(site.sealed) is None
