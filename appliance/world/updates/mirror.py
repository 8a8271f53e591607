"""A copy of a repository in its own format: what uplink lays down for triage, and what an operator brings on a stick.

The timestamp comes last and names all else by version or digest, so that a reader sees the old state or the new one.
Nothing here decides what is true; whoever reads the copy goes through the whole workflow again.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from tuf.api.metadata import Metadata, Snapshot

from appliance.core.updates import KIND_OF, Offer
from appliance.errors import Misconfigured, Quarantined, Unavailable
from appliance.world.updates import CHUNK_BYTES, ROOT_BYTES_MAX, Folder, Seen, look, open_plain

METADATA, TARGETS, TIMESTAMP = "metadata", "targets", "timestamp.json"
NAME = re.compile(r"([0-9]{1,10})\.([a-z]{1,40})\.json")
PARTIAL = ".partial"
FILES_MAX = 2000
METADATA_BYTES_MAX = 512 * 1024


def verified(mirror: Path, root_file: Path, memory: Path) -> Seen:
    """What the mirror's metadata says, verified from a root given in person, with the reader's own memory of versions.

    raises  Misconfigured("updates-root-invalid"): the root cannot be read; else what `look` raises
    """
    try:
        with open_plain(root_file) as file:
            root = file.read(ROOT_BYTES_MAX)
    except OSError:
        raise Misconfigured("updates-root-invalid", "updates.root") from None
    folder = Folder(mirror)
    return look(memory, root, f"{folder.URL}/{METADATA}/", folder)


def target(mirror: Path, offer: Offer) -> Path:
    return mirror / TARGETS / offer.place


def holds(mirror: Path, offer: Offer) -> bool:
    """Whether the very bytes of an offer lie there."""
    try:
        with open_plain(target(mirror, offer)) as file:
            if os.fstat(file.fileno()).st_size != offer.length:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == offer.sha256
    except OSError:
        return False


def lies(mirror: Path, offer: Offer) -> bool:
    """Whether a plain file lies under the name of an offer, whatever it holds."""
    try:
        open_plain(target(mirror, offer)).close()
    except OSError:
        return False
    return True


def read_target(mirror: Path, offer: Offer) -> bytes | None:
    """The bytes of a target, if they are those that were signed; None while they are not there or not whole.

    raises  Quarantined("update-tampered"): other bytes lie under its name
    """
    try:
        with open_plain(target(mirror, offer)) as file:
            data = file.read(offer.length + 1)
    except OSError:
        return None
    if len(data) != offer.length or hashlib.sha256(data).hexdigest() != offer.sha256:
        raise Quarantined("update-tampered", offer.kind)
    return data


def lay_metadata(memory: Path, mirror: Path) -> None:
    """Copies verified metadata out of a client's memory, the timestamp last; what is not named any more goes."""
    into = mirror / METADATA
    into.mkdir(parents=True, exist_ok=True)
    named = {f"{path.stem.partition('.')[0]}.root.json": path for path in (memory / "root_history").glob("*.root.json")}
    snapshot = Metadata[Snapshot].from_bytes((memory / "snapshot.json").read_bytes()).signed
    named[f"{snapshot.version}.snapshot.json"] = memory / "snapshot.json"
    for file, meta in snapshot.meta.items():
        if (memory / file).exists():
            named[f"{meta.version}.{file}"] = memory / file
    for name, path in sorted(named.items()):
        _put(into / name, path.read_bytes())
    _put(into / TIMESTAMP, (memory / TIMESTAMP).read_bytes())
    for path in into.iterdir():
        if path.name not in named and path.name != TIMESTAMP:
            path.unlink(missing_ok=True)


def adopt(partial: Path, mirror: Path, offer: Offer) -> None:
    """A whole target takes its place. The same again is no harm."""
    path = target(mirror, offer)
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    _sync(path.parent)


def prune(mirror: Path, wanted: Collection[Offer]) -> None:
    """Targets that nobody offers any more go."""
    keep = {target(mirror, each) for each in wanted}
    for role in KIND_OF:
        for path in (mirror / TARGETS / role).glob("*"):
            if path not in keep:
                path.unlink(missing_ok=True)


def take_in(source: Path, mirror: Path, offers: Collection[Offer]) -> int:
    """Copies a repository from another folder: metadata, and of the targets those that are signed; returns how many.

    raises  Quarantined("updates-untrusted"): it is no repository; Unavailable("disk-low")
    """
    found = list(_files(source, offers))
    if source / METADATA / TIMESTAMP not in found:
        raise Quarantined("updates-untrusted", str(source.name))
    mirror.mkdir(parents=True, exist_ok=True)
    count = 0
    for path in sorted(found, key=lambda each: (each.name == TIMESTAMP, each.parent.name == METADATA, each.name)):
        size = path.lstat().st_size
        if path.parent.name == METADATA and size > METADATA_BYTES_MAX:
            raise Quarantined("updates-untrusted", path.parent.name)
        if size > shutil.disk_usage(mirror).free // 2:
            raise Unavailable("disk-low")
        _copy(path, mirror / path.relative_to(source))
        count += 1
    return count


def _files(source: Path, offers: Collection[Offer]) -> Iterator[Path]:
    for count, path in enumerate(sorted(source.glob(f"{METADATA}/*.json"))):
        if count < FILES_MAX and (path.name == TIMESTAMP or NAME.fullmatch(path.name)) and not path.is_symlink():
            yield path
    for path, length in {target(source, each): each.length for each in offers}.items():
        if not path.is_symlink() and path.is_file() and path.stat().st_size == length:
            yield path


def _copy(source: Path, into: Path) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    partial = into.with_name(into.name + PARTIAL)
    with open_plain(source) as file, partial.open("wb") as out:
        while chunk := file.read(CHUNK_BYTES):
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(into)
    _sync(into.parent)


def _put(path: Path, data: bytes) -> None:
    """A file whole or not at all; one that holds these bytes already is left alone."""
    if path.is_file() and path.read_bytes() == data:
        return
    partial = path.with_name(path.name + PARTIAL)
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
