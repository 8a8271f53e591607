"""A captured publishing key pushes no model, whichever role's it is but that of models: uplink and triage both refuse.

The thief carries, too: whatever can be written into the repository is served to uplink and laid before triage. The
package is a good one, signed by whom this appliance trusts, so that nothing but the roles stands in its way.
"""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, TargetFile, Targets

from appliance.core.parcel import packed
from appliance.core.updates import ROLES, Terms
from appliance.world.ledger import updates as book
from appliance.world.models.making import sign_package
from central import publish
from tests.core.drawn_graphs import net
from tests.publisher import Publisher
from tests.triage.test_updates import House
from tests.world.drawn_packages import write
from tests.world.test_updates_fetching import Site

MODELS, TITLE, PATH = ROLES["model"], "chest/1.1.0", "models/chest-1.1.0.tar"
OTHERS = ("certificates", "policy", "releases", "snapshot", "timestamp", "targets", "root-1")
LOOKED_FOR = ("timestamp", "root")  # by a name that nothing else has to say
UNTRUSTED = "updates-untrusted"


@pytest.fixture(scope="module")
def parcel(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return parcel_of(write(tmp_path_factory.mktemp("made"), "chest", "1.1.0", graphs={"model.onnx": net()}))


def parcel_of(folder: Path) -> bytes:
    return packed({p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    made.publisher.policy(1, drafts=0.5)
    yield made
    made.close()


@pytest.fixture
def house(tmp_path: Path, site: Site) -> Iterator[House]:
    made = House(tmp_path / "edge", site.publisher)
    made.step()
    yield made
    made.close()


class Thief:
    """Who holds the key of one role, and writes what that key signs into the repository.

    helped  with the two keys that are at hand at the centre, which say what is the newest; without them metadata can
            only be put where other metadata of the same version lay, for who has not seen that yet
    """

    def __init__(self, publisher: Publisher, root: Path, role: str, *, helped: bool) -> None:
        root.mkdir()
        for name in {role, *(publish.ONLINE if helped else ())}:
            found = next(
                path for each in (publisher.keys, publisher.offline) if (path := each / f"{name}.key").exists()
            )
            shutil.copy(found, root)
        self.role, self.helped = role.partition("-")[0], helped
        self.made = publish.Published(publisher.folder, (root,), time.time())
        self.signer = publish.read_key(root / f"{role}.key")

    def put(self, place: str, md: Metadata[Any]) -> None:
        """Metadata in the place of a role's, signed by the captured key."""
        md.signed.version += self.helped and place not in LOOKED_FOR
        md.signatures.clear()
        md.sign(self.signer)
        self.made.path(place, md.signed.version).write_bytes(md.to_bytes())
        if self.helped and place == "snapshot":
            self.made.do_timestamp(True)
        elif self.helped and place not in LOOKED_FOR:
            self.made.say(force=True)

    def named(self, data: bytes) -> TargetFile:
        """A model as its publisher would name it, its bytes put where they are looked for."""
        target = TargetFile.from_data(PATH, data, ["sha256"])
        target.unrecognized_fields["custom"] = Terms(kind="model", title=TITLE, ring="all").model_dump(mode="json")
        publish.put(self.made.folder / "targets/models" / f"{target.hashes['sha256']}.chest-1.1.0.tar", data)
        return target

    def own(self, data: bytes) -> None:
        """Named in the metadata of the role whose key was captured; one that names no files has a list put there."""
        md = self.made.open(self.role)
        if not isinstance(md.signed, Targets):
            a_year = datetime.fromtimestamp(int(time.time()), UTC) + timedelta(days=365)
            md = Metadata(Targets(version=md.signed.version + (self.role == "root"), expires=a_year))
        md.signed.targets[PATH] = self.named(data)
        self.put(self.role, md)

    def models(self, data: bytes) -> None:
        """Named in the metadata of models, signed with the captured key."""
        md = self.made.open(MODELS)
        md.signed.targets[PATH] = self.named(data)
        self.put(MODELS, md)

    def delegation(self, data: bytes) -> None:
        """The captured key written down as that of models, and by itself."""
        md = self.made.open("targets")
        md.signed.add_key(self.signer.public_key, MODELS)
        self.put("targets", md)
        self.models(data)


def standing(house: House) -> tuple[Any, ...]:
    """All that an update could change here but for when and why the last look failed."""
    with house.engine.connect() as c:
        rows = [(row.path, row.sha256, row.state, row.code) for row in book.everything(c)]
        policy = book.policy(c)
    lie = sorted(path.name for path in house.places.delivered_models.rglob("*"))
    return rows, policy, house.shadows, house.deciding, house.orders(), lie


def refused(house: House) -> str:
    """Which role is not believed, "" for all of them, with the code on file."""
    with house.engine.connect() as c:
        stands = book.stands(c)
    assert stands is not None
    return stands.roles or f"={stands.code}"


def where(way: str, role: str) -> str:
    """Whose metadata is not believed then: a role's, or the whole state."""
    if way == "models":
        return MODELS
    return role if way == "own" and role in ROLES.values() else ""


# The last is what that key is for: see the next test.
CASES = [
    pytest.param(role, way, helped, id=f"{role}, {way}, {'with the keys at hand' if helped else 'alone'}")
    for role in OTHERS
    for way in ("own", "models", "delegation")
    for helped in (False, True)
    if (role, way, helped) != ("targets", "delegation", True)
]


@pytest.mark.parametrize(("role", "way", "helped"), CASES)
def test_it_pushes_no_model(
    site: Site, house: House, tmp_path: Path, parcel: bytes, role: str, way: str, helped: bool
) -> None:
    before = standing(house)
    if helped:
        assert site.pull().code == ""
    else:
        shutil.rmtree(house.places.updates_memory)
    getattr(Thief(site.publisher, tmp_path / "stolen", role, helped=helped), way)(parcel)

    told = site.pull()
    assert told.code == UNTRUSTED
    assert not list(site.places.mirror.rglob("*chest*"))
    house.step()  # as if uplink were the thief's, too
    assert refused(house) == f"{where(way, role)}={UNTRUSTED}"
    assert standing(house) == before


def test_the_key_over_the_roles_still_needs_a_package_that_is_signed(site: Site, house: House, tmp_path: Path) -> None:
    """Whoever holds targets and the keys at hand may name another key for models: that is what targets is, and why
    it is offline. What comes then is refused all the same where its own signature is not trusted here."""
    folder = write(tmp_path / "made", "chest", "1.1.0", graphs={"model.onnx": net(gain=3.0)})
    sign_package(folder, bytes(range(1, 33)))
    Thief(site.publisher, tmp_path / "stolen", "targets", helped=True).delegation(parcel_of(folder))
    assert site.pull().code == ""
    house.step()
    assert house.state(PATH) == "refused model-unsigned"
    assert house.shadows == {}


@pytest.mark.parametrize("role", sorted(set(ROLES.values()) - {MODELS}))
def test_no_delegation_reaches_into_the_folder_of_models(site: Site, role: str) -> None:
    delegated = site.publisher.made().open("targets").signed.delegations.roles
    assert delegated[MODELS].is_delegated_path(PATH)
    assert not delegated[role].is_delegated_path(PATH)
