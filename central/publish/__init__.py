"""A repository of The Update Framework on plain files, by python-tuf: models, certificates, policy and releases.

Who may say what is divided: the root (n keys, some of them needed together, kept away from any network) names the keys
of all others; `targets` names one role for each kind and signs nothing else; each of those signs files of its own
folder only; snapshot and timestamp, which are at hand, sign which state is the newest and for how long. So whoever
captures one key cannot push what another one is for. Metadata appears before the timestamp that names it: a run that
is cut off leaves the old state in force, and the same verb again completes it.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer
from tuf.repository import Repository

from appliance.core.updates import ROLE_BYTES_MAX, ROLES, TARGETS_MAX, Kind, Ring, Terms, offer
from appliance.errors import Misconfigured
from appliance.world.keyfile import put

ONLINE = (Snapshot.type, Timestamp.type)
DAYS: Mapping[str, int] = {Root.type: 730, Targets.type: 730, Snapshot.type: 14, Timestamp.type: 14}
ROLE_DAYS = 365
METADATA, TARGETS = "metadata", "targets"
SUFFIX = ".key"
logging.getLogger("tuf").setLevel(logging.ERROR)  # it tells of every key that did not sign
PLAIN = JSONSerializer(compact=False, validate=True)


def first_key(path: Path) -> CryptoSigner:
    """A new key of a role, written where it is to be kept. Raises Misconfigured("publish-key"): there is one."""
    if path.exists():
        raise Misconfigured("publish-key", path.name)
    made = Ed25519PrivateKey.generate()
    put(path, (made.private_bytes_raw().hex() + "\n").encode(), private=True)
    return CryptoSigner(made)


def read_key(path: Path) -> CryptoSigner:
    """A role's key out of its file. Raises Misconfigured("publish-key")."""
    try:
        return CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text("ascii").strip())))
    except (OSError, ValueError):
        raise Misconfigured("publish-key", path.name) from None


class Published(Repository):
    """The repository in one folder, and the keys that are at hand now.

    keys  folders in which <role>.key and root-<number>.key are looked for
    now   the publisher's clock, seconds since 1970
    """

    def __init__(self, folder: Path, keys: Sequence[Path], now: float) -> None:
        self.folder, self.now = folder, datetime.fromtimestamp(int(now), UTC)
        found = [path for each in keys for path in sorted(each.glob(f"*{SUFFIX}"))]
        self.keys = {signer.public_key.keyid: signer for signer in map(read_key, found)}

    def path(self, role: str, version: int) -> Path:
        return self.folder / METADATA / ("timestamp.json" if role == Timestamp.type else f"{version}.{role}.json")

    def newest(self, role: str) -> Path | None:
        """The metadata of a role as it was written last."""
        if role == Timestamp.type:
            path = self.path(role, 0)
            return path if path.exists() else None
        found = {int(path.name.partition(".")[0]): path for path in (self.folder / METADATA).glob(f"*.{role}.json")}
        return found[max(found)] if found else None

    def open(self, role: str) -> Metadata[Any]:
        path = self.newest(role)
        if path is not None:
            return Metadata.from_file(str(path))
        made: Mapping[str, Callable[[], Signed]] = {Root.type: Root, Snapshot.type: Snapshot, Timestamp.type: Timestamp}
        signed = made.get(role, Targets)()
        signed.version = 0
        if isinstance(signed, Snapshot):
            signed.meta.clear()
        return Metadata(signed)

    def close(self, role: str, md: Metadata[Any]) -> None:
        """One version further, signed by every key that may. raises Misconfigured("publish-key" | "publish-full")"""
        md.signed.version += 1
        md.signed.expires = self.now + timedelta(days=DAYS.get(role, ROLE_DAYS))
        before = self.open(Root.type).signed if role == Root.type and md.signed.version > 1 else None
        md.signatures.clear()
        delegator = md.signed if role == Root.type else self.open(self.delegator(role)).signed
        for signed in (delegator, before):
            self._sign(md, role, signed)
        data = md.to_bytes(PLAIN)
        if len(data) > ROLE_BYTES_MAX or len(getattr(md.signed, "targets", ())) > TARGETS_MAX:
            raise Misconfigured("publish-full", role)
        for signed in (delegator, before):
            if signed is not None and not signed.get_verification_result(role, md.signed_bytes, md.signatures).verified:
                raise Misconfigured("publish-key", role)
        put(self.path(role, md.signed.version), data)

    def _sign(self, md: Metadata[Any], role: str, delegator: Root | Targets | None) -> None:
        for keyid in () if delegator is None else delegator.get_delegated_role(role).keyids:
            if keyid in self.keys and keyid not in md.signatures:
                md.sign(self.keys[keyid], append=True)

    def delegator(self, role: str) -> str:
        """Whose metadata names the keys of a role."""
        return Root.type if role in (Root.type, Targets.type, *ONLINE) else Targets.type

    @property
    def targets_infos(self) -> dict[str, MetaFile]:
        found = {}
        for role in (Targets.type, *ROLES.values()):
            path = self.newest(role)
            if path is not None:
                version = int(path.name.partition(".")[0])
                found[f"{role}.json"] = MetaFile.from_data(version, path.read_bytes(), ["sha256"])
        return found

    @property
    def snapshot_info(self) -> MetaFile:
        path = self.newest(Snapshot.type)
        assert path is not None, "a snapshot is written before its timestamp"
        return MetaFile.from_data(int(path.name.partition(".")[0]), path.read_bytes(), ["sha256"])

    def say(self, *, force: bool = False) -> None:
        """What was written is the newest from now on."""
        self.do_snapshot(force)
        self.do_timestamp(force)


def begin(folder: Path, keys: Path, offline: Path, *, roots: int, threshold: int, now: float) -> Published:
    """A new repository with all its keys. Raises Misconfigured: "publish-repository" where there is one already."""
    if (folder / METADATA).exists():
        raise Misconfigured("publish-repository", folder.name)
    for each in (folder / METADATA, folder / TARGETS, keys, offline):
        each.mkdir(parents=True, exist_ok=True)
    named = {f"root-{number}": offline / f"root-{number}{SUFFIX}" for number in range(1, roots + 1)}
    named |= {Targets.type: offline / f"{Targets.type}{SUFFIX}"}
    named |= {role: keys / f"{role}{SUFFIX}" for role in (*ROLES.values(), *ONLINE)}
    public = {role: first_key(path).public_key for role, path in named.items()}
    made = Published(folder, [keys, offline], now)
    with made.edit_root() as root:
        root.consistent_snapshot = True
        for name, key in public.items():
            if name.startswith("root-"):
                root.add_key(key, Root.type)
        for role in (Targets.type, *ONLINE):
            root.add_key(public[role], role)
        root.roles[Root.type].threshold = threshold
    with made.edit_targets() as targets:
        targets.delegations = delegations({role: public[role] for role in ROLES.values()})
    for role in ROLES.values():
        with made.edit_targets(role):
            pass
    made.say()
    made.say(force=True)  # the first timestamp of the library names its snapshot without a digest
    return made


def delegations(keys: Mapping[str, Key]) -> Delegations:
    """One role for each folder, none of which may name anything in another's."""
    roles = {role: DelegatedRole(role, [key.keyid], 1, True, paths=[f"{role}/*"]) for role, key in keys.items()}
    return Delegations({key.keyid: key for key in keys.values()}, roles)


def add(made: Published, kind: Kind, name: str, data: bytes, terms: Terms) -> str:
    """Publishes one file; returns its path.

    raises  Misconfigured("publish-known"): other bytes stand under this name; a name never changes what it means
    """
    path = f"{ROLES[kind]}/{name}"
    target = TargetFile.from_data(path, data, ["sha256"])
    target.unrecognized_fields["custom"] = terms.model_dump(mode="json")
    told = offer(path, target.length, target.hashes, target.custom)
    if told is None or told.terms is None:
        raise Misconfigured("publish-source", name)
    known = made.targets(ROLES[kind]).targets.get(path)
    if known is not None and known.hashes != target.hashes:
        raise Misconfigured("publish-known", path)
    put(made.folder / TARGETS / told.place, data)
    if known is None:
        with made.edit_targets(ROLES[kind]) as targets:
            targets.targets[path] = target
    made.say()
    return path


def change(
    made: Published,
    named: str,
    *,
    ring: Ring | None = None,
    withdrawn: bool | None = None,
    activate: Ring | None = None,
) -> str:
    """Other terms for what is published already, named by path or title; returns its path.

    raises  Misconfigured("publish-unknown"): nothing is called so; ("publish-source"): only a model is activated
    """
    for role in ROLES.values():
        for path, target in made.targets(role).targets.items():
            terms = Terms.model_validate(target.custom)
            if named not in (path, terms.title):
                continue
            told: dict[str, Any] = {"ring": ring or terms.ring, "activate": activate or terms.activate}
            told["withdrawn"] = terms.withdrawn if withdrawn is None else withdrawn
            if activate is not None and terms.kind != "model":
                raise Misconfigured("publish-source", named)
            with made.edit_targets(role) as targets:
                changed = terms.model_copy(update=told).model_dump(mode="json")
                targets.targets[path].unrecognized_fields["custom"] = changed
            made.say()
            return path
    raise Misconfigured("publish-unknown", named)


def rotate(made: Published, role: str, file: Path) -> Path:
    """A new key for a role, or for root-<number>: the old one counts for nothing any more and is kept aside.

    The new key is written before anything names it, and takes its place when everything does: a run that was cut off
    is completed by the same verb again.
    file    of the key in force
    raises  Misconfigured("publish-key"): it is not there, or the keys that have to sign this are not at hand
    """
    before, new = read_key(file).public_key, file.with_name(f"next-{file.name}")
    signer = read_key(new) if new.exists() else first_key(new)
    made.keys[signer.public_key.keyid] = signer
    top = Root.type if role.startswith("root-") else role
    delegator = made.open(made.delegator(top)).signed
    if before.keyid in delegator.get_delegated_role(top).keyids:
        with made.edit(made.delegator(top)) as signed:
            assert isinstance(signed, Root | Targets), "only these name keys"
            signed.revoke_key(before.keyid, top)
            signed.add_key(signer.public_key, top)
    if top == Targets.type or top in ROLES.values():
        with made.edit_targets(top):
            pass
    made.say(force=True)
    kept = file.with_suffix(f".old-{before.keyid[:8]}")
    file.rename(kept)
    new.rename(file)
    return kept


def standing(made: Published) -> list[dict[str, str | int]]:
    """Every role: version, end, keys needed of keys named, files."""
    rows: list[dict[str, str | int]] = []
    for role in (Root.type, Targets.type, *ONLINE, *ROLES.values()):
        signed = made.open(role).signed
        delegated = made.open(made.delegator(role)).signed.get_delegated_role(role)
        row: dict[str, str | int] = {"role": role, "version": signed.version, "expires": f"{signed.expires:%Y-%m-%d}"}
        row |= {
            "days_left": (signed.expires - made.now).days,
            "keys": f"{delegated.threshold} of {len(delegated.keyids)}",
        }
        rows.append(row)
    return rows


def published(made: Published) -> Iterable[tuple[str, int, Terms]]:
    """Path, bytes and terms of everything that is published."""
    for role in ROLES.values():
        for path, target in sorted(made.targets(role).targets.items()):
            yield path, target.length, Terms.model_validate(target.custom)
