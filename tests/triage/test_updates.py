"""What came down is verified anew by triage, whoever laid it there; then shadowed, never activated, and taken back."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row

from appliance.cli import backup
from appliance.condition import condition
from appliance.config import Config, Places
from appliance.core.certificate import signed
from appliance.core.updates import in_tenth
from appliance.errors import Misconfigured
from appliance.loop import Moment
from appliance.triage.lineup import Lineup
from appliance.triage.updates import LOOK_PERIOD_S, Updates
from appliance.world import age, ledger, sqlite, updates
from appliance.world.ledger import roles as orders
from appliance.world.ledger import updates as book
from appliance.world.ledger import watch
from appliance.world.models import load_packages
from appliance.world.updates import mirror
from central import publish
from tests.core.drawn_graphs import net
from tests.core.test_decide import a_certificate
from tests.publisher import DAY_S, Publisher
from tests.world.drawn_packages import SECRET, trust, write

NOW = 1_000_000.0


class House:
    """A state folder, its lineup and the part that believes updates, over what somebody laid into wire/targets."""

    def __init__(self, root: Path, publisher: Publisher, **knobs: Any) -> None:
        self.root, self.publisher = root, publisher
        self.places = Places(root / "state")
        self.places.phi.mkdir(parents=True)
        (root / "shipped").mkdir()
        told = {"model_folder": root / "shipped", "trusted_keys": trust(root / "trusted"), "attempts_max": 2}
        self.config = Config.model_validate(
            {
                "triage": told,
                "updates": {"root": publisher.root, **knobs},
                "site": {"device_id": "edge-a", "name": "harbour"},
            }
        )
        self.engine = sqlite.open_writer(self.places.studies_db, ledger.METADATA)
        self.now = NOW
        self.start()

    def start(self) -> None:
        self.lineup = Lineup(self.config, self.places, self.engine)
        self.updates = Updates(self.config, self.places, self.engine, self.lineup)

    def close(self) -> None:
        self.lineup.close()
        self.engine.dispose()

    def lay(self) -> None:
        """What uplink would lay down, all of it."""
        shutil.rmtree(self.places.mirror, ignore_errors=True)
        shutil.copytree(self.publisher.folder, self.places.mirror)

    def step(self, lay: bool = True) -> None:
        if lay:
            self.lay()
        self.now += LOOK_PERIOD_S
        while self.updates.take(Moment(self.now, self.now)):
            pass

    def row(self, path: str) -> Row[Any]:
        with self.engine.connect() as c:
            found = book.of(c, path)
        assert found is not None
        return found

    def state(self, path: str) -> str:
        row = self.row(path)
        return f"{row.state} {row.code}".strip()

    @property
    def code(self) -> str:
        with self.engine.connect() as c:
            found = book.stands(c)
        assert found is not None
        return str(found.code)

    @property
    def shadows(self) -> dict[str, float]:
        return {
            each.manifest.title: self.lineup.court.shares[each.manifest.title] for each in self.lineup.court.shadows
        }

    @property
    def deciding(self) -> list[str]:
        return [each.manifest.title for each in self.lineup.court.models]

    def orders(self) -> list[str]:
        with self.engine.connect() as c:
            return [f"{each.kind} {each.subject}" for each in orders.done(c)]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("made"), "chest", "1.1.0", graphs={"model.onnx": net()})


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "centre")


@pytest.fixture
def house(tmp_path: Path, publisher: Publisher):
    made = House(tmp_path / "edge", publisher)
    yield made
    made.close()


def test_a_model_runs_beside_and_decides_only_by_an_order(house: House, publisher: Publisher, package: Path):
    path = publisher.model(package)
    house.step()
    assert house.state(path) == "held"
    assert house.shadows == {"chest/1.1.0": 1.0}
    assert house.deciding == []
    house.step()
    house.start()
    house.step()
    assert house.orders() == ["model-shadow chest/1.1.0"]


def test_what_is_withdrawn_is_stopped(house: House, publisher: Publisher, package: Path):
    path = publisher.model(package)
    house.step()
    publisher.change("chest/1.1.0", withdrawn=True)
    house.step()
    assert house.state(path) == "withdrawn"
    with house.engine.connect() as c:
        assert house.lineup.stopped(c, Moment(house.now, house.now)) == {"chest/1.1.0"}


def test_rings_grow_from_a_laboratory_to_all(tmp_path: Path, publisher: Publisher):
    path = publisher.policy(drafts=0.5)
    publisher.change(path, ring="lab")
    names = [f"edge-{number}" for number in range(1, 6)]
    devices = {inside: next(name for name in names if in_tenth(name) == inside) for inside in (True, False)}
    houses = [House(tmp_path / "site", publisher, ring="site")]
    for inside, device in devices.items():
        houses.append(House(tmp_path / f"all-{inside}", publisher))
        object.__setattr__(houses[-1].config.site, "device_id", device)
    seen = []
    for ring in ("lab", "site", "tenth", "all"):
        publisher.change(path, ring=ring)
        for each in houses:
            each.step()
        seen.append((ring, *(each.state(path) for each in houses)))
    for each in houses:
        each.close()
    left = "left update-other-ring"
    assert seen == [
        ("lab", left, left, left),
        ("site", "held", left, left),
        ("tenth", "held", "held", left),
        ("all", "held", "held", "held"),
    ]


def test_a_newer_appliance_is_asked_for(house: House, publisher: Publisher):
    path = publisher.add("policy", "1.json", b"{}", app_version_min="9.0.0")
    house.step()
    assert house.state(path) == "left update-needs-newer"


def a_paper(house: House, **changes: Any) -> bytes:
    """A certificate for the package that is held, signed by a trusted key, as a file."""
    found, _ = load_packages([house.places.delivered_models], house.config.triage.trusted_keys)
    plan = a_certificate().plan.model_copy(update={"model_sha256": found[0].model.sha256})
    made = a_certificate(**changes).model_copy(update={"plan": plan, "signature": None})
    return json.dumps(signed(made, SECRET).model_dump(mode="json")).encode()


def counted(house: House) -> list[str]:
    return [each.name for each in house.lineup.packages["chest/1.1.0"].model.certificates]


def test_a_certificate_finds_its_model_and_is_taken_away_again(house: House, publisher: Publisher, package: Path):
    publisher.model(package)
    house.step()
    path = publisher.add("certificate", "a.json", a_paper(house))
    house.step()
    assert house.state(path) == "held"
    assert counted(house) == [a_certificate().name]
    publisher.change(path, withdrawn=True)
    house.step()
    assert counted(house) == []


def test_a_certificate_is_withdrawn_by_its_bytes_whatever_it_was_called_and_whoever_laid_it_there(
    house: House, publisher: Publisher, package: Path
):
    """Its row may have gone to other bytes of the same name, as only a captured key signs them; a person may have
    installed it by hand, too, where triage cannot remove it."""
    publisher.model(package)
    house.step()
    first, second = a_paper(house), a_paper(house, name="second")
    path = publisher.add("certificate", "a.json", first)
    house.step()
    role = publisher.made()
    with role.edit_targets("certificates") as targets:
        old = targets.targets.pop(path)
    role.say()
    publisher.add("certificate", "a.json", second)
    house.step()
    assert len(counted(house)) == 2
    own = house.places.certificates / "chest" / "1.1.0" / "by-hand.json"
    own.parent.mkdir(parents=True)
    own.write_bytes(first)
    old.path = "certificates/b.json"
    old.unrecognized_fields["custom"] |= {"withdrawn": True, "title": "the-first"}
    with role.edit_targets("certificates") as targets:
        targets.targets["certificates/b.json"] = old
    shutil.copy(
        publisher.folder / "targets/certificates" / f"{old.hashes['sha256']}.a.json",
        publisher.folder / "targets/certificates" / f"{old.hashes['sha256']}.b.json",
    )
    role.say()
    house.step()
    assert house.state("certificates/b.json") == "withdrawn"
    left = [p.read_bytes() for p in house.places.delivered_certificates.rglob("*.json")]
    assert left == [second]
    with house.engine.connect() as c:
        assert [row.certificate for row in watch.revoked(c)] == [json.loads(first)["digest"]]


def test_another_sites_certificate_is_left(house: House, publisher: Publisher, package: Path):
    """Or the fleet's fifty-first would be one too many for every package."""
    publisher.model(package)
    house.step()
    path = publisher.add("certificate", "a.json", a_paper(house, site="elsewhere"))
    house.step()
    assert house.state(path) == "left update-other-site"
    assert not list(house.places.delivered_certificates.rglob("*.json"))


def test_what_is_withdrawn_goes_before_whatever_comes(house: House, publisher: Publisher, package: Path):
    publisher.model(package)
    house.step()
    path = publisher.add("certificate", "a.json", a_paper(house))
    house.step()
    for number in range(3):
        publisher.policy(number + 1)
    publisher.change(path, withdrawn=True)
    house.lay()
    house.now += LOOK_PERIOD_S
    assert house.updates.take(Moment(house.now, house.now))  # the look
    assert house.updates.take(Moment(house.now, house.now))
    assert house.state(path) == "withdrawn"


def test_a_certificate_nobody_trusts_opens_nothing(house: House, publisher: Publisher, package: Path):
    publisher.model(package)
    house.step()
    found, _ = load_packages([house.places.delivered_models], house.config.triage.trusted_keys)
    plan = a_certificate().plan.model_copy(update={"model_sha256": found[0].model.sha256})
    made = signed(a_certificate().model_copy(update={"plan": plan, "signature": None}), b"9" * 32)
    path = publisher.add("certificate", "a.json", json.dumps(made.model_dump(mode="json")).encode())
    house.step()
    assert house.state(path) == "refused certificate-untrusted"


def test_a_package_must_bear_a_trusted_signature_too(house: House, publisher: Publisher, package: Path):
    path = publisher.model(package)
    (house.root / "trusted/tests.pub").unlink()
    house.step()
    assert house.state(path) == "refused model-unsigned"
    trust(house.root / "trusted")
    house.step(lay=False)
    assert house.state(path) == "held"


def test_the_highest_policy_that_is_held_counts(house: House, publisher: Publisher):
    publisher.policy(3, drafts=0.25)
    publisher.policy(2, drafts=0.5)
    house.step()
    with house.engine.connect() as c:
        assert book.policy(c).drafts == 0.25
    publisher.change("policy-3", withdrawn=True)
    house.step()
    with house.engine.connect() as c:
        assert book.policy(c).drafts == 0.5


@pytest.mark.parametrize("data", [b"", b"{}", b'{"schema_version":"policy/1","number":1,"lanes":"open"}', b"\xff"])
def test_a_policy_that_says_anything_else_is_refused(house: House, publisher: Publisher, data: bytes):
    path = publisher.add("policy", "1.json", data or b" ")
    house.step()
    assert house.state(path) == "refused message-invalid"


def test_a_release_is_held_and_nothing_more(house: House, publisher: Publisher):
    path = publisher.add("release", "appliance-0.2.0.tar", b"bytes of it", title="0.2.0")
    house.step()
    assert house.state(path) == "held"
    assert (house.places.releases / "appliance-0.2.0.tar").read_bytes() == b"bytes of it"


def test_the_key_of_one_role_pushes_nothing_of_anothers(house: House, publisher: Publisher):
    """Whoever holds the models' key, and those at hand, names a policy in the models' metadata."""
    held = publisher.policy(1, drafts=0.5)
    house.step()
    made = publisher.made()
    for role in ("certificates", "policy", "releases"):
        (publisher.keys / f"{role}.key").unlink()
    with made.edit_targets("models") as targets, pytest.MonkeyPatch.context():
        planted = made.targets("policy").targets[held]
        planted.path = "policy/9.json"
        targets.targets["policy/9.json"] = planted
    made.say()
    house.step()
    assert house.code == ""
    with house.engine.connect() as c:
        assert {row.path for row in book.everything(c)} == {held}


def test_metadata_of_a_role_that_another_signed_blocks_that_role_alone(house: House, publisher: Publisher):
    kept = publisher.policy(1)
    house.step()
    shutil.copy(publisher.keys / "models.key", publisher.keys / "releases.key")
    made = publisher.made()
    forged = made.open("releases")
    forged.signed.version += 1
    forged.sign(next(iter(made.keys.values())))
    made.path("releases", forged.signed.version).write_bytes(forged.to_bytes())
    made.say()
    house.step()
    with house.engine.connect() as c:
        stands = book.stands(c)
    assert stands is not None
    assert stands.roles == "releases=updates-untrusted"
    assert house.state(kept) == "held"


def corrupted(name: str) -> Callable[[Path], None]:
    def change(mirror: Path) -> None:
        path = sorted(mirror.glob(name))[-1]
        data = bytearray(path.read_bytes())
        place = data.index(b'"version": ') + 11
        data[place] ^= 1
        path.write_bytes(data)

    return change


ATTACKS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a timestamp changed": (corrupted("metadata/timestamp.json"), "updates-untrusted"),
    "a snapshot changed": (corrupted("metadata/*.snapshot.json"), "updates-untrusted"),
    "another root": (lambda mirror: (mirror / "metadata/2.root.json").write_bytes(b"{}"), "updates-untrusted"),
    "no JSON": (lambda mirror: (mirror / "metadata/timestamp.json").write_bytes(b"\x00" * 100), "updates-untrusted"),
    "endless": (lambda mirror: (mirror / "metadata/timestamp.json").write_bytes(b" " * 2**20), "updates-untrusted"),
    "deep": (lambda mirror: (mirror / "metadata/timestamp.json").write_bytes(b"[" * 16_000), "updates-untrusted"),
    "a list": (lambda mirror: (mirror / "metadata/timestamp.json").write_bytes(b"[]"), "updates-untrusted"),
    "a pipe": (lambda mirror: _pipe(mirror / "metadata/timestamp.json"), "updates-away"),
    "a link": (lambda mirror: _link(mirror / "metadata/timestamp.json"), "updates-away"),
    "a folder": (lambda mirror: _folder(mirror / "metadata/timestamp.json"), "updates-away"),
}


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_a_captured_uplink_gains_nothing(house: House, publisher: Publisher, attack: str):
    kept = publisher.policy(1, drafts=0.5)
    house.step()
    publisher.renew()
    house.lay()
    done, code = ATTACKS[attack]
    done(house.places.mirror)
    house.step(lay=False)
    assert house.code == code
    assert house.state(kept) == "held"
    publisher.renew()
    house.step()
    assert house.code == ""


def test_a_captured_timestamp_key_stops_no_decision(house: House, publisher: Publisher):
    """A number that no ledger and no bulletin holds: whoever has the key that signs daily must not end the service."""
    made = publisher.made()
    with made.edit_timestamp() as timestamp:
        timestamp.version = 2**70
    house.step()
    assert house.code == "updates-untrusted"


def test_no_target_is_passed_over_for_there_being_many(
    house: House, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
):
    """A withdrawal behind the last that is read would never be seen: the publisher is refused, and a role is not read
    in part."""
    for number in (1, 2):
        publisher.policy(number)
    monkeypatch.setattr(publish, "TARGETS_MAX", 2)
    with pytest.raises(Misconfigured, match="publish-full"):
        publisher.policy(3)
    house.step()
    monkeypatch.setattr(updates, "TARGETS_MAX", 1)
    publisher.renew()
    house.step()
    with house.engine.connect() as c:
        stands = book.stands(c)
    assert stands is not None
    assert "policy=updates-untrusted" in stands.roles


def test_a_role_that_is_held_back_is_said(house: House, publisher: Publisher):
    """Whoever carries could bring all but one role: a withdrawal there is never seen, and the rest looks fresh."""
    publisher.policy(1)
    house.lay()
    for path in house.places.mirror.glob("metadata/*.certificates.json"):
        path.unlink()
    house.step(lay=False)
    assert house.code == ""
    with house.engine.connect() as c:
        now = condition(house.config, house.root, house.now, c, None, None)
    assert now.updates_stand


def test_reading_what_is_too_large_for_this_machine_is_counted_like_all_else(
    house: House, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
):
    path = publisher.add("release", "edge-diagnostic-appliance_9.9.9_amd64.deb", b"a release")

    def killed(*_: Any) -> bytes:
        raise KeyboardInterrupt  # as by the kernel, for memory

    with monkeypatch.context() as patched:
        patched.setattr(mirror, "read_target", killed)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                house.step()
            house.lineup.close()
            house.start()
    house.step()
    assert house.state(path) == "refused update-attempts-spent"


def test_what_was_seen_is_never_older_again(house: House, publisher: Publisher):
    """Rollback, and parts of two states put together."""
    publisher.policy(1)
    house.lay()
    old = house.root / "old"
    shutil.copytree(house.places.mirror, old)
    publisher.policy(2)
    house.step()
    shutil.copy(old / "metadata/timestamp.json", house.places.mirror / "metadata/timestamp.json")
    house.step(lay=False)
    assert house.code == "updates-untrusted"
    house.lay()
    for path in house.places.mirror.glob("metadata/*.policy.json"):
        path.write_bytes(sorted(old.glob("metadata/*.policy.json"))[-1].read_bytes())
    house.now += 3600.0
    shutil.rmtree(house.places.updates_memory)
    house.step(lay=False)
    with house.engine.connect() as c:
        stands = book.stands(c)
    assert stands is not None
    assert "policy=updates-untrusted" in stands.roles


def test_what_came_and_what_was_seen_comes_back_with_a_backup(
    house: House, publisher: Publisher, package: Path, tmp_path: Path
):
    """A model that decides here is no cache: its row says that it is held, so nobody would bring it again."""
    path = publisher.model(package)
    house.step()
    older = shutil.copytree(publisher.folder, tmp_path / "older")
    publisher.renew()
    house.step()
    private, public = age.new_key()
    (tmp_path / "key").write_text(private)
    assert backup.backup(house.config, house.places, None, tmp_path / "out", public, secrets=False) == 0
    house.close()
    shutil.rmtree(house.places.root)
    assert backup.restore(house.places, tmp_path / "out", tmp_path / "key", None) == 0
    house.engine = sqlite.open_writer(house.places.studies_db, ledger.METADATA)
    house.start()
    assert house.state(path) == "held"
    assert house.shadows == {"chest/1.1.0": 1.0}
    shutil.copytree(older, house.places.mirror)
    house.step(lay=False)
    assert house.code == "updates-untrusted", "older than what was seen before the backup"


def test_a_target_of_other_bytes_is_refused_until_the_right_ones_come(house: House, publisher: Publisher):
    path = publisher.policy(1)
    house.lay()
    (target,) = (house.places.mirror / "targets/policy").iterdir()
    target.write_bytes(target.read_bytes().replace(b"1", b"2"))
    house.step(lay=False)
    assert house.state(path) == "refused update-tampered"
    target.unlink()
    house.step(lay=False)
    assert house.state(path) == "awaited"
    house.step()
    assert house.state(path) == "held"


def test_forty_days_off_then_nothing_until_fresh_metadata_then_everything(tmp_path: Path, package: Path):
    """Freeze: what lies here ended meanwhile; models that run go on running."""
    publisher = Publisher(tmp_path / "centre", fresh=False)
    publisher.model(package, ago_s=40 * DAY_S)
    house = House(tmp_path / "edge", publisher)
    house.step()
    assert house.code == "updates-expired"
    assert house.shadows == {}
    publisher.renew()
    house.step()
    assert house.code == ""
    assert house.shadows == {"chest/1.1.0": 1.0}
    publisher.renew(ago_s=40 * DAY_S)  # old again, with a version that grows
    house.step()
    assert house.code == "updates-expired"
    assert house.shadows == {"chest/1.1.0": 1.0}
    house.start()
    assert house.shadows == {"chest/1.1.0": 1.0}
    house.close()


def test_keys_are_rotated_under_a_running_appliance(house: House, publisher: Publisher, package: Path):
    publisher.policy(1)
    house.step()
    for role in ("root-2", "targets", "policy", "timestamp"):
        publisher.rotate(role)
        house.step()
        assert house.code == "", role
    path = publisher.model(package)
    house.step()
    assert house.state(path) == "held"


def test_a_rotation_without_enough_roots_changes_nothing(house: House, publisher: Publisher):
    from appliance.errors import Misconfigured

    for number in (2, 3):
        (publisher.offline / f"root-{number}.key").unlink()
    with pytest.raises(Misconfigured, match="publish-key"):
        publisher.rotate("timestamp")
    publisher.policy(1)
    house.step()
    assert house.code == ""


STEPS = ("begin", "install", "fsync the folders", "rename", "fsync the store", "shadow", "withdraw", "withdrawn")


def test_killed_at_every_step_it_comes_out_the_same(tmp_path: Path, publisher: Publisher, package: Path):
    """In one process: what a kill leaves is what an exception nobody catches leaves, as every effect is a file or row
    by then."""

    class Killed(BaseException):
        pass

    path = publisher.model(package)
    house = House(tmp_path / "edge", publisher)
    reached = set()
    for at in STEPS:
        if at == "withdraw":
            house.step()
            assert house.state(path) == "held"
            publisher.change(path, withdrawn=True)

        def end(name: str, at: str = at) -> None:
            if name == at:
                reached.add(at)
                raise Killed

        house.updates.at_step = end
        with pytest.raises(Killed):
            house.step()
        house.lineup.close()
        with house.engine.begin() as c:  # each kill here is one attempt; there are more kills than attempts
            c.execute(book.targets.update().values(attempts=0))
        house.start()
    house.step()
    assert reached == set(STEPS)
    assert house.state(path) == "withdrawn"
    assert house.orders() == ["model-shadow chest/1.1.0", "model-stop chest/1.1.0"]
    house.close()


def test_an_update_that_ends_the_service_is_left_alone(house: House, publisher: Publisher, package: Path):
    path = publisher.model(package)

    def end(name: str) -> None:
        if name == "install":
            raise KeyboardInterrupt

    for _ in range(2):
        house.updates.at_step = end
        with pytest.raises(KeyboardInterrupt):
            house.step()
        house.lineup.close()
        house.start()
    house.step()
    assert house.state(path) == "refused update-attempts-spent"
    house.step()
    assert house.state(path) == "refused update-attempts-spent"
