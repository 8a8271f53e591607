"""The policy of `central balance` among what is published: what people published is read and never touched.

Its own policies are told by their titles. The newest stands for what is decided now; those before it are withdrawn, the
last but one excepted, whose bytes an appliance may still need, and what was withdrawn long ago is dropped, so that
neither metadata nor an appliance's ledger grows with the months.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tuf.api.metadata import Snapshot, TargetFile

from appliance.core.document import decode
from appliance.core.policy import NONE, Policy, written
from appliance.core.updates import RINGS, ROLES, Ring, Terms, offer
from appliance.errors import Misconfigured, Quarantined
from central import publish

OWN = "balance-"
ROLE = ROLES["policy"]
KEPT = 2  # of its own not withdrawn
REMEMBERED = 20  # of its own listed at all
VERSIONS_KEPT = 50  # of metadata that only the newest of is read


@dataclass(frozen=True, slots=True)
class Shelf:
    """The policies that are published and not withdrawn.

    base       the newest by people that reaches the whole ring; NONE where there is none
    own        the newest by the balance, and not withdrawn; None where there is none
    number     the highest that was ever given
    under_way  a person's newer policy has not reached the whole ring yet: nothing is published over it
    """

    base: Policy
    own: Policy | None
    number: int
    under_way: bool

    @property
    def base_number(self) -> int:
        return 0 if self.base is NONE else self.base.number


def shelf(made: publish.Published, ring: Ring) -> Shelf:
    """What stands there for a ring. Raises Misconfigured("publish-source"): a policy's bytes are gone or unreadable."""
    base, own, most, newest = NONE, None, 0, 0
    for target, terms in _policies(made):
        number = int(target.path.partition("/")[2].removesuffix(".json"))
        most = max(most, number)
        if terms.withdrawn:
            continue
        if terms.title.startswith(OWN):
            own = _read(made, target) if own is None or number > own.number else own
            continue
        newest = max(newest, number)
        if RINGS.index(terms.ring) >= RINGS.index(ring) and (base is NONE or number > base.number):
            base = _read(made, target)
    return Shelf(base, own, most, newest > (0 if base is NONE else base.number))


def _policies(made: publish.Published) -> Iterator[tuple[TargetFile, Terms]]:
    for target in made.targets(ROLE).targets.values():
        yield target, Terms.model_validate(target.custom)


def _read(made: publish.Published, target: TargetFile) -> Policy:
    told = offer(target.path, target.length, target.hashes, target.custom)
    assert told is not None, "it was published by ourselves"
    try:
        return decode(Policy, (made.folder / publish.TARGETS / told.place).read_bytes())
    except (OSError, Quarantined):
        raise Misconfigured("publish-source", target.path) from None


def put(made: publish.Published, policy: Policy, ring: Ring) -> None:
    """Publishes a policy of the balance, then takes the ones before it back. Again is no harm."""
    terms = Terms(kind="policy", title=f"{OWN}{policy.number}", ring=ring)
    publish.add(made, "policy", f"{policy.number}.json", written(policy), terms)
    own = sorted(
        (int(target.path.partition("/")[2].removesuffix(".json")), target.path, terms.withdrawn)
        for target, terms in _policies(made)
        if terms.title.startswith(OWN)
    )
    former = [path for _, path, withdrawn in own[:-KEPT] if not withdrawn]
    dropped = [path for _, path, _ in own[:-REMEMBERED]]
    if former or dropped:
        with made.edit_targets(ROLE) as targets:
            for path in former:
                custom = Terms.model_validate(targets.targets[path].custom).model_copy(update={"withdrawn": True})
                targets.targets[path].unrecognized_fields["custom"] = custom.model_dump(mode="json")
            for path in dropped:
                del targets.targets[path]
        made.say()
    for role in (ROLE, Snapshot.type):
        _forget_versions(made, role)


def withdraw(made: publish.Published) -> int:
    """Takes back every policy of the balance; returns how many."""
    own = [terms.title for _, terms in _policies(made) if terms.title.startswith(OWN) and not terms.withdrawn]
    for title in own:
        publish.change(made, title, withdrawn=True)
    return len(own)


def _forget_versions(made: publish.Published, role: str) -> None:
    """Metadata of long ago: a client reads the newest, or one that it began with a moment ago."""
    folder = made.folder / publish.METADATA
    found = sorted(folder.glob(f"*.{role}.json"), key=lambda path: int(path.name.partition(".")[0]))
    for path in found[:-VERSIONS_KEPT]:
        path.unlink()
