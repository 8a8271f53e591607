"""`appliance backup` and `appliance restore`: the whole state in one encrypted file, made while everything runs.

Files first, then all databases as of one instant, then the files that came meanwhile: whatever a row names was copied
before or after. The last member names every other with its digest. A restore believes nothing before it has read the
whole; it writes beside, and renames once.
"""

import argparse
import fcntl
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, func, select

from appliance import __version__
from appliance.cli import settling, site_key
from appliance.cli.salvage import take_certificates_away
from appliance.condition import books
from appliance.config import Config, Places
from appliance.core.lifecycle import State
from appliance.errors import Misconfigured, Quarantined, Unavailable
from appliance.world import age, archive, ledger, sqlite
from appliance.world.ledger import epochs

SCHEMA = "backup/1"
UNSEALED: tuple[State, ...] = ("received", "complete", "hard")
MANIFEST = "manifest.json"
BECAUSE = "a backup was restored, and what the watch found since is not in it"
CONFIGURATION = "configuration/"  # before the names of what does not lie in the state folder
DATABASES = ("phi/studies.db", "wire/cases.db", "wire/link.db", "review/review.db")  # in the order of pens
FOLDERS = (
    "incoming",
    "phi/instances",
    "phi/outbox",
    "phi/receipts",
    "phi/reports",
    "phi/updates/memory",
    "phi/updates/models",
    "phi/updates/certificates",
    "wire/parts",
    "review/keys",
    "models",
    "certificates",
)  # phi/frames is a cache, the ballast empty space; wire/targets is fetched again, releases with it
CHUNK_BYTES = 2**20
MANIFEST_BYTES_MAX = 2**30
COPIES = "backup-"  # before the name of a folder for copies of databases


@dataclass(slots=True)
class Copied:
    """What went into a backup: name -> [SHA-256, bytes, 1 copied before the databases or 2 after]."""

    members: dict[str, list[Any]] = field(default_factory=dict)


def run(config: Config, places: Places, told: argparse.Namespace) -> int:
    if told.verb == "restore":
        stand = told.certificates_stand
        return restore(places, told.file, told.key, told.configuration, config=config, certificates_stand=stand)
    if told.new_key is not None:
        return _new_key(told.new_key)
    if told.out is None or told.to is None:
        print("appliance backup needs OUT and --to, or --new-key", file=sys.stderr)
        return 2
    return backup(config, places, told.config, told.out, told.to, secrets=not told.without_keys)


def _new_key(path: Path) -> int:
    if path.exists():
        raise Misconfigured("bundle-there", path.name)
    private, public = age.new_key()
    path.touch(0o600)
    archive.put(path.absolute(), f"# public key: {public}\n{private}\n".encode())
    path.chmod(0o600)
    print(f"{public}\nKeep {path} where this machine cannot be lost with it: no backup opens without it.")
    return 0


def backup(config: Config, places: Places, config_file: Path | None, out: Path, to: str, *, secrets: bool) -> int:
    """Writes OUT whole or not at all. Raises Misconfigured: "bundle-there", "ledger-damaged", "deid-site-key" or
    "site-key-sealed" where the key cannot go in; Unavailable, Quarantined."""
    if out.exists():
        raise Misconfigured("bundle-there", out.name)
    if lost := books.lost(places):  # a backup without it would in time take the place of one with it
        raise Misconfigured("ledger-damaged", ", ".join(lost))
    partial = out.absolute().with_name(f"{out.name}{archive.PARTIAL}")
    copied = Copied()
    try:
        key = site_key.needed(config) if secrets else None
        with age.writing(partial, to) as stream, tarfile.open(mode="w|", fileobj=stream) as tar:
            if key is not None:
                copied.members[f"{CONFIGURATION}site.key"] = [hashlib.sha256(key).hexdigest(), len(key), 1]
                _put(tar, f"{CONFIGURATION}site.key", key)
            for name, path in site_key.beside(config, config_file) if secrets else ():
                _add(tar, copied, f"{CONFIGURATION}{name}", path, 1)
            _add_files(tar, copied, places, 1)
            _add_databases(tar, copied, places)
            _add_files(tar, copied, places, 2)
            about = {"schema": SCHEMA, "version": __version__, "at": time.time(), "members": copied.members}
            _put(tar, MANIFEST, json.dumps(about).encode())
        with partial.open("rb+") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
            os.fsync(written.fileno())
        archive.rename(partial, out.absolute())
    finally:
        archive.remove(partial)
    size = sum(member[1] for member in copied.members.values())
    print(f"{out}: {len(copied.members)} files, {size} bytes\nsha256 {digest}")
    return 0


def _add_files(tar: tarfile.TarFile, copied: Copied, places: Places, when: int) -> None:
    for folder in FOLDERS:
        for where, inside, names in os.walk(places.root / folder):
            inside.sort()
            for name in sorted(names):
                path = Path(where, name)
                if not name.endswith(archive.PARTIAL) and not path.is_symlink():
                    _add(tar, copied, str(path.relative_to(places.root)), path, when)


def _add(tar: tarfile.TarFile, copied: Copied, name: str, path: Path, when: int) -> None:
    """One file, its digest taken of the very bytes that go in; one that has gone meanwhile was moved on or let go."""
    if name in copied.members:
        return
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        size, digest = os.fstat(file.fileno()).st_size, hashlib.sha256()
        told = tarfile.TarInfo(name)
        told.size, told.mode = size, 0o600
        tar.addfile(told, _Digesting(file, digest))
    copied.members[name] = [digest.hexdigest(), size, when]


class _Digesting(io.RawIOBase):
    """A file whose digest is taken while it is read."""

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self.file, self.digest = file, digest

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        return data


def _put(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    told = tarfile.TarInfo(name)
    told.size, told.mode = len(data), 0o600
    tar.addfile(told, io.BytesIO(data))


def _add_databases(tar: tarfile.TarFile, copied: Copied, places: Places) -> None:
    """Copies lie for a moment in the state folder: as well guarded as what they are copies of."""
    there = [name for name in DATABASES if (places.root / name).exists()]
    _sweep(places.root)
    with tempfile.TemporaryDirectory(dir=places.root, prefix=COPIES) as folder, _held(Path(folder)):
        pairs = [(places.root / name, Path(folder, name.replace("/", "-"))) for name in there]
        room = sum(source.stat().st_size for source, _ in pairs)
        if archive.free_bytes(places.root) < 2 * room:
            raise Unavailable("disk-low")
        sqlite.snapshots(pairs)
        for name, (_, target) in zip(there, pairs, strict=True):
            _add(tar, copied, name, target, 1)
            if name not in copied.members:
                raise Unavailable("ledger-busy")  # taken from under our hands: a backup without it is none


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """While it is open no other backup takes the folder for one that died."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _sweep(root: Path) -> None:
    """Copies in clear that a backup left which was killed: nobody would forget what stands in them."""
    for folder in root.glob(f"{COPIES}*"):
        with suppress(BlockingIOError, FileNotFoundError, NotADirectoryError), _held(folder):
            shutil.rmtree(folder)


def restore(
    places: Places,
    file: Path,
    key: Path,
    configuration: Path | None,
    *,
    config: Config | None = None,
    certificates_stand: bool = False,
) -> int:
    """Into a state folder in which nothing is kept yet. configuration: where settings and keys of the backup go.

    certificates_stand  somebody knows that none was taken away since the backup; else all of them are
    """
    kept = [name for name in (*DATABASES, "incoming", "phi", "wire", "review") if settling.holds(places.root / name)]
    if kept or (configuration is not None and configuration.exists() and any(configuration.iterdir())):
        raise Misconfigured("backup-over", kept[0] if kept else "configuration")
    # Inside a state folder that is there: what lies beside it may lie on a disk that is not encrypted.
    there = places.root.exists()
    beside = places.root / ".restoring" if there else places.root.with_name(f"{places.root.name}.restoring")
    if beside.exists():
        shutil.rmtree(beside)  # of a restore that died: nothing believed it
    beside.mkdir(mode=0o700, parents=True)
    found: dict[str, list[Any]] = {}
    try:
        age.read(file, key, lambda stream: _unpack(stream, beside, found))
        about = _verified(beside, found)
        takes_away = None if certificates_stand else config or Config()
        sorted_out, taken = _sort_out(Places(beside), about["members"], takes_away)
        made = time.strftime("%Y-%m-%d %H:%M", time.gmtime(about["at"]))
        print(f"read and compared: {len(found) - 1} files of {made} UTC")
        for name in DATABASES:
            if (beside / name).exists() and not sqlite.is_sound(beside / name, lambda: False):
                raise Quarantined("backup-invalid", name)
        if configuration is not None and (beside / CONFIGURATION).exists():
            configuration.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(beside / CONFIGURATION, configuration, dirs_exist_ok=True)
            print(f"settings and keys: {configuration}")
        shutil.rmtree(beside / CONFIGURATION, ignore_errors=True)
        (beside / MANIFEST).unlink()
        os.sync()
        if there:
            settling.settle(beside, places.root)
        else:
            archive.rename(beside, places.root)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    print(f"{sorted_out} files that came while the backup was made are taken in anew")
    if taken:
        print(f"{taken} certificates are taken away: what the watch found since the backup is lost (docs/backup.md)")
    print("next: appliance reconcile --deep")
    return 0


def _unpack(stream: IO[bytes], folder: Path, found: dict[str, list[Any]]) -> None:
    """Members into a folder of their own, by plain names only."""
    try:
        with tarfile.open(mode="r|", fileobj=stream) as tar:
            for member in tar:
                source, target = tar.extractfile(member), folder / member.name
                plain = member.isreg() and source is not None and ".." not in target.parts
                if not plain or member.name in found or not target.resolve().is_relative_to(folder.resolve()):
                    raise Quarantined("backup-invalid", "names")
                target.parent.mkdir(parents=True, exist_ok=True)
                digest, size = hashlib.sha256(), 0
                with target.open("xb") as written:
                    os.fchmod(written.fileno(), 0o600)
                    while source is not None and (data := source.read(CHUNK_BYTES)):
                        digest.update(data)
                        size += written.write(data)
                found[member.name] = [digest.hexdigest(), size]
    except (tarfile.TarError, OSError, EOFError):
        raise Quarantined("backup-invalid") from None


def _verified(folder: Path, found: dict[str, list[Any]]) -> dict[str, Any]:
    """The manifest, once every member is what it says and none is missing or too many."""
    if MANIFEST not in found or found[MANIFEST][1] > MANIFEST_BYTES_MAX:
        raise Quarantined("backup-invalid", MANIFEST)
    about: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
    told = {name: member[:2] for name, member in about["members"].items()}
    if about["schema"] != SCHEMA or told != {name: each for name, each in found.items() if name != MANIFEST}:
        raise Quarantined("backup-invalid", MANIFEST)
    return about


def _sort_out(places: Places, members: dict[str, list[Any]], config: Config | None) -> tuple[int, int]:
    """Images whose row is not in the ledger: those that came after its copy are taken in anew, those whose row had gone
    were forgotten meanwhile and go; how many are taken in, and how many certificates away. config: None, none is."""
    if not places.studies_db.exists():
        return 0, 0
    engine = sqlite.open_writer(places.studies_db, ledger.METADATA)
    with engine.begin() as c:
        known = set(ledger.known_digests(c))
        _begin_epoch(c, time.time())
        taken = 0 if config is None else take_certificates_away(c, config, places, time.time(), BECAUSE)
    sqlite.write_through(engine)
    engine.dispose()
    again = 0
    places.incoming.mkdir(parents=True, exist_ok=True)
    for path in list(places.instances.rglob("*.dcm")) if places.instances.exists() else ():
        if path.stem in known:
            continue
        if members[str(path.relative_to(places.root))][2] == 2:
            path.replace(places.incoming / path.name)
            again += 1
        else:
            path.unlink()
    return again, taken


def _begin_epoch(c: Connection, at: float) -> None:
    """The centre may hold cases of after the backup, under revisions that this ledger would give again to other images.

    What is not with the centre by this ledger begins anew, above all of them.
    """
    highest = c.execute(select(func.max(ledger.studies.c.revision))).scalar_one() or 0
    epochs.begin(c, "restored", revision=highest, at=at)
    for state in UNSEALED:
        for study in ledger.in_state(c, state, -1):
            revision = epochs.next_revision(c, study.revision)
            ledger.move(c, study, "received", who="restore", at=at, code="restored", revision=revision)
            ledger.supersede_results(c, study.number, at)
