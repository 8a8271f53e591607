"""A backup made while a house runs comes back whole, and what happened since doubles nothing."""

import hashlib
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from appliance.cli import backup, main
from appliance.cli.reconcile import reconcile
from appliance.config import Config, Places
from appliance.errors import Fault
from appliance.triage import judge as judging
from appliance.world import age, ledger, sqlite, wire
from appliance.world.ledger import watch
from central import store
from tests.core.test_decide import a_certificate
from tests.simulate.house import CENTRAL_DB, House, fate


class Made:
    """A house, a backup made while it ran, and its key."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.key, self.out = root, root / "backup.key", root / "backup.age"
        root.mkdir(exist_ok=True)
        private, self.public = age.new_key()
        self.key.write_text(private + "\n")
        self.house = House(root / "house", seed)
        self.house.run(60)  # some life first, to its rest
        self.house.net.stormy = False
        self.sent_before = set(self.house.sent)
        real = backup._add

        def lived(*arguments: Any) -> None:
            """The house goes on between any two files."""
            self.live(1)
            real(*arguments)

        with mock.patch.object(backup, "_add", lived), mock.patch.object(judging, "judge", fate):
            assert backup.backup(self.house.config, self.house.places, None, self.out, self.public, secrets=False) == 0
        self.live(30)

    def live(self, rounds: int) -> None:
        with mock.patch.object(judging, "judge", fate):
            for _ in range(rounds):
                self.house._pass_time(jumps=False)
                if self.house.dice.random() < 0.3:
                    self.house.scan()
                name = self.house.dice.choice(("receive", "triage", "triage", "uplink", "central", "review"))
                self.house._turn(name)
                self.house.net.blow()

    def close(self) -> None:
        for engines in self.house.engines.values():
            for engine in engines:
                engine.dispose()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    found = Made(tmp_path_factory.mktemp("backup"), 3)
    yield found
    found.close()


def wrong(places: Places) -> list[str]:
    return [f"{check.name}: {check.wrong}" for check in reconcile(places, deep=True)[0] if not check.holds]


def test_restored_elsewhere_every_book_agrees_and_nothing_of_before_is_missing(made: Made, tmp_path: Path) -> None:
    places = Places(tmp_path / "elsewhere")
    assert backup.restore(places, made.out, made.key, tmp_path / "settings") == 0
    assert wrong(places) == []
    kept = {path.stem for folder in (places.instances, places.incoming) for path in folder.rglob("*.dcm")}
    owed = {hashlib.sha256(made.house.sent[name]).hexdigest() for name in made.sent_before}
    assert owed <= kept
    assert not list(places.root.parent.glob("*.restoring"))


def test_on_an_installed_machine_what_is_restored_belongs_to_the_services(made: Made, tmp_path: Path) -> None:
    """The folders that systemd-tmpfiles made are there, empty, and nothing is unpacked outside them."""
    root = tmp_path / "state"
    folders = {
        ".": 0o1775,
        "incoming": 0o2770,
        "phi": 0o2770,
        "phi/instances": 0o700,
        "phi/outbox": 0o2750,
        "wire": 0o2770,
    }
    for name, mode in folders.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(mode)
    with mock.patch.object(backup, "_verified", wraps=backup._verified) as seen:
        assert backup.restore(Places(root), made.out, made.key, None) == 0
    assert seen.call_args.args[0].is_relative_to(root), "beside it the disk may not be encrypted"
    assert wrong(Places(root)) == []
    assert not (root / ".restoring").exists()
    for name, mode in folders.items():
        assert stat.S_IMODE((root / name).stat().st_mode) == mode, name
    ledger = Places(root).studies_db
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o660
    images = [path for path in (root / "phi/instances").rglob("*") if path.is_file()]
    assert images
    assert {stat.S_IMODE(path.stat().st_mode) for path in images} == {0o600}
    with pytest.raises(Fault, match="backup-over"):
        backup.restore(Places(root), made.out, made.key, None)


@pytest.mark.parametrize("how", ["short", "changed", "other-key", "cut at a block"])
def test_a_backup_that_is_not_whole_or_not_ours_restores_nothing(made: Made, tmp_path: Path, how: str) -> None:
    data, key = made.out.read_bytes(), made.key
    if how == "short":
        data = data[:-7]
    elif how == "cut at a block":
        data = data[: len(data) - len(data) % 65552 - 65552]
    elif how == "changed":
        data = data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]
    else:
        key = tmp_path / "other.key"
        key.write_text(age.new_key()[0])
    (tmp_path / "bad.age").write_bytes(data)
    with pytest.raises(Fault, match="backup-invalid"):
        backup.restore(Places(tmp_path / "state"), tmp_path / "bad.age", key, None)
    assert not (tmp_path / "state").exists()
    assert not list(tmp_path.glob("*.restoring"))


def test_a_manifest_that_lies_is_refused(made: Made, tmp_path: Path) -> None:
    """Sealed to the right key, by somebody who only knows the public one."""
    real = backup._put

    def lying(tar: Any, name: str, data: bytes) -> None:
        real(tar, name, data.replace(b'", ', b'0", ', 1))

    out = tmp_path / "lies.age"
    with mock.patch.object(backup, "_put", lying):
        backup.backup(made.house.config, made.house.places, None, out, made.public, secrets=False)
    with pytest.raises(Fault, match="backup-invalid"):
        backup.restore(Places(tmp_path / "state"), out, made.key, None)


def test_nothing_is_written_over_a_living_state(made: Made) -> None:
    before = sorted(path.name for path in made.house.places.root.rglob("*"))
    with pytest.raises(Fault, match="backup-over"):
        backup.restore(made.house.places, made.out, made.key, None)
    assert sorted(path.name for path in made.house.places.root.rglob("*")) == before


def test_after_a_disaster_the_house_comes_to_rest_with_the_centre_and_nothing_is_doubled(tmp_path: Path) -> None:
    """What the scanner sent since is sent again by it; the centre has cases of after the backup, and drops doubles."""
    made = Made(tmp_path, 5)
    house = made.house
    made.close()
    shutil.rmtree(house.places.root)
    assert backup.restore(house.places, made.out, made.key, None) == 0
    for name in ("receive", "triage", "uplink", "central", "review"):
        house.start(name)
    for number, data in enumerate(house.sent.values()):
        (house.root / "scanner" / f"again-{number}.dcm").write_bytes(data)
    house.run(0)
    assert wrong(house.places) == []
    kept = {path.stem for path in house.places.instances.rglob("*.dcm")}
    assert {hashlib.sha256(data).hexdigest() for data in house.sent.values()} <= kept
    assert sealed_elsewhere(house) == [], "a case of after the backup was given to other bytes"
    made.close()


def sealed_elsewhere(house: House) -> list[str]:
    """Cases known on both sides that the centre holds with bytes that were never sealed here."""
    cases, centre = sqlite.open_reader(house.places.cases_db), sqlite.open_reader(house.root / "central" / CENTRAL_DB)
    with cases.connect() as c, centre.connect() as far:
        own = {row.case_id for row in c.execute(wire.cases.select())}
        sealed_as = wire.freight.digests_of(c)
        held = {row.case_id: row.sha256 for row in far.execute(store.cases.select())}
    cases.dispose()
    centre.dispose()
    assert own & set(held)
    return [name for name in own & set(held) if held[name] not in sealed_as[name]]


class Still:
    """A state folder in which nothing runs: a ledger, and what the updates brought."""

    def __init__(self, root: Path) -> None:
        self.places, self.key, self.out = Places(root / "state"), root / "backup.key", root / "backup.age"
        private, self.public = age.new_key()
        self.key.write_text(private + "\n")
        self.config = Config.model_validate({"triage": {"model_folder": root / "shipped"}})
        self.certificate = a_certificate()
        paper = self.places.delivered_certificates / "chest" / "1.1.0" / f"{self.certificate.digest}.json"
        paper.parent.mkdir(parents=True)
        paper.write_text(self.certificate.model_dump_json())
        self.places.updates_memory.mkdir()
        (self.places.updates_memory / "timestamp.json").write_text("{}")
        sqlite.open_writer(self.places.studies_db, ledger.METADATA).dispose()

    def backup(self) -> None:
        assert backup.backup(self.config, self.places, None, self.out, self.public, secrets=False) == 0

    def restored(self, to: Path, **told: Any) -> Places:
        places = Places(to)
        assert backup.restore(places, self.out, self.key, None, config=self.config, **told) == 0
        return places

    @staticmethod
    def revoked(places: Places) -> set[str]:
        engine = sqlite.open_reader(places.studies_db)
        with engine.connect() as c:
            found = {row.certificate for row in watch.revoked(c)}
        engine.dispose()
        return found


@pytest.fixture
def still(tmp_path: Path) -> Still:
    return Still(tmp_path)


def test_what_the_watch_took_away_after_the_backup_opens_no_lane_again(still: Still, tmp_path: Path) -> None:
    still.backup()
    assert still.revoked(still.restored(tmp_path / "afresh")) == {still.certificate.digest}
    kept = still.restored(tmp_path / "vouched", certificates_stand=True)
    assert still.revoked(kept) == set(), "a person says that none was taken away since"


def test_copies_that_a_backup_which_died_left_in_clear_go_with_the_next_and_those_of_a_running_one_stay(
    still: Still,
) -> None:
    left, own = still.places.root / "backup-died", still.places.root / "backup-runs"
    for folder in (left, own):
        folder.mkdir()
        (folder / "phi-studies.db").write_bytes(b"PAT-1")
    with backup._held(own):
        still.backup()
    assert not left.exists()
    assert (own / "phi-studies.db").exists()


def test_as_typed(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "appliance.toml"
    (tmp_path / "site.key").write_bytes(bytes(range(32)))
    state, places = tmp_path / "state", Places(tmp_path / "state")
    backup.restore(places, made.out, made.key, None)
    config.write_text(f'[state]\nfolder = "{state}"\n[triage]\nsite_key_file = "{tmp_path}/site.key"\n')
    told = ["--config", str(config)]
    assert main([*told, "backup", "--new-key", str(tmp_path / "a.key")]) == 0
    assert (tmp_path / "a.key").stat().st_mode & 0o077 == 0
    public = capsys.readouterr().out.splitlines()[-2]
    assert main([*told, "backup", str(tmp_path / "a.age"), "--to", public]) == 0
    assert main([*told, "backup", str(tmp_path / "a.age"), "--to", public]) == 78, "nothing is written over"
    assert main([*told, "backup", str(tmp_path / "b.age"), "--to", "nobody"]) == 78
    assert main([*told, "restore", str(tmp_path / "a.age"), "--key", str(tmp_path / "a.key")]) == 78
    state.rename(tmp_path / "lost")
    settings = tmp_path / "settings"
    said = ["restore", str(tmp_path / "a.age"), "--key", str(tmp_path / "a.key"), "--configuration", str(settings)]
    assert main([*told, *said]) == 0
    assert (settings / "site.key").read_bytes() == bytes(range(32))
    assert (settings / "appliance.toml").exists()
    assert main([*told, "reconcile"]) == 0
    assert b"PAT-" not in (tmp_path / "a.age").read_bytes()
