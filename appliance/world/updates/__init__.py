"""The client's side of The Update Framework, by python-tuf: the same workflow whether a repository is far or a folder.

What was once verified is remembered in a folder of the caller's own, so that nothing older is ever believed after it
(rollback), nothing expired (freeze) and nothing of two states of the repository together (mix and match). Uplink runs
it over HTTPS with its memory in wire/; triage runs it anew over what uplink left, with a memory and a first root that
uplink cannot write. It opens no target.
"""

import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from appliance.core.updates import KIND_OF, ROLE_BYTES_MAX, TARGETS_MAX, Offer, offer
from appliance.errors import Fault, Misconfigured, Quarantined, Unavailable

# Of each file of metadata; python-tuf's own are ten times as much.
LIMITS = {
    "max_root_rotations": 32,
    "max_delegations": 8,
    "root_max_length": 64 * 1024,
    "timestamp_max_length": 16 * 1024,
    "snapshot_max_length": 64 * 1024,
    "targets_max_length": ROLE_BYTES_MAX,
}
ROOT_BYTES_MAX = LIMITS["root_max_length"]
BYTES_MAX = max(value for name, value in LIMITS.items() if name.endswith("_length"))
CHUNK_BYTES = 64 * 1024
NUMBER_MAX = 2**31  # of the timestamp: a signed number that no ledger holds must end a look, and not the service
TOP = (Timestamp.type, Snapshot.type, Targets.type)
DAMAGE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)  # of metadata that is no metadata at all

logging.getLogger("tuf").setLevel(logging.ERROR)  # it quotes what it fetched


@dataclass(frozen=True, slots=True)
class Seen:
    """A repository as far as it could be verified.

    number     version of the timestamp: it grows with everything that is published
    root       version of the root in force
    expires    the earliest end of all that was verified, seconds since 1970
    offers     every target of every role that could be verified
    faults     role -> code, of those that could not
    """

    number: int
    root: int
    expires: float
    offers: tuple[Offer, ...]
    faults: tuple[tuple[str, str], ...]


def look(memory: Path, first_root: bytes, metadata_url: str, fetcher: FetcherInterface) -> Seen:
    """Goes through the client workflow (TUF 5) and remembers what it verified.

    first_root  the root this appliance was given in person; whatever the repository says later follows from it
    raises      Misconfigured("updates-root-invalid"), Unavailable("updates-away"), Unavailable("updates-expired"),
                Quarantined("updates-untrusted"): a signature, version, length or digest is not what it must be
    """
    memory.mkdir(parents=True, exist_ok=True)
    config = UpdaterConfig(**cast(Any, LIMITS))
    try:
        client = Updater(str(memory), metadata_url, fetcher=fetcher, config=config, bootstrap=first_root)
    except (exceptions.RepositoryError, *DAMAGE):
        raise Misconfigured("updates-root-invalid", "updates.root") from None
    try:
        client.refresh()
    except (exceptions.RepositoryError, exceptions.DownloadError, OSError, *DAMAGE) as error:
        raise _fault(error) from None
    if cast(Targets, _signed(memory, Targets.type)).targets:
        raise Quarantined("updates-untrusted")  # it says which role may name which folder, and no file
    offers: list[Offer] = []
    faults: list[tuple[str, str]] = []
    for role in KIND_OF:
        try:
            offers += _offers(client, memory, role)
        except (exceptions.RepositoryError, exceptions.DownloadError, OSError, *DAMAGE) as error:
            faults.append((role, _fault(error).code))
    _durable(memory)
    signed = [_signed(memory, role) for role in (Root.type, *TOP)]
    if signed[1].version > NUMBER_MAX:
        raise Quarantined("updates-untrusted")
    expires = min(each.expires.timestamp() for each in signed)
    return Seen(signed[1].version, signed[0].version, expires, tuple(offers), tuple(faults))


def _offers(client: Updater, memory: Path, role: str) -> list[Offer]:
    """Targets of one delegated role. One that names anything outside its own folder is believed in nothing: nobody who
    holds its key rightly signs that."""
    client.get_targetinfo(f"{role}/-")  # fetches and verifies the role's metadata, and remembers it
    named = cast(Targets, _signed(memory, role)).targets
    if len(named) > TARGETS_MAX:
        raise ValueError("too many")  # one that is passed over may be one that is taken back
    if not all(path.startswith(f"{role}/") for path in named):
        raise ValueError("another's folder")
    found = []
    for path in sorted(named):
        target = client.get_targetinfo(path)
        made = None if target is None else offer(path, target.length, target.hashes, target.custom)
        if made is not None:
            found.append(made)
    return found


def remember(memory: Path, first_root: bytes, repository: Path) -> None:
    """Fills an empty memory with what lies in a folder, as far as it is signed, whether or not it has ended since."""
    folder = Folder(repository)
    try:
        look(memory, first_root, f"{folder.URL}/metadata/", folder)
    except (Unavailable, Quarantined):
        return


def _signed(memory: Path, role: str) -> Signed:
    found: Signed = Metadata[Any].from_bytes((memory / f"{role}.json").read_bytes()).signed
    return found


def _fault(error: Exception) -> Fault:
    if isinstance(error, exceptions.ExpiredMetadataError):
        return Unavailable("updates-expired")
    if isinstance(error, exceptions.RepositoryError | exceptions.DownloadLengthMismatchError):
        return Quarantined("updates-untrusted")
    if isinstance(error, exceptions.DownloadError | OSError):
        return Unavailable("updates-away")
    return Quarantined("updates-untrusted")


def _durable(memory: Path) -> None:
    """python-tuf renames without fsync: after a power cut its memory must not be shorter than what was acted on."""
    for path in (*memory.glob("*.json"), *memory.glob("root_history/*.json"), memory / "root_history", memory):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Folder(FetcherInterface):
    """A repository that lies in a folder, whoever wrote it: uplink's copy, or a stick.

    Only plain files are read and no link is followed; a pipe or a device there must not hold anybody up.
    """

    URL = "folder:"

    def __init__(self, root: Path) -> None:
        self.root = root

    def _fetch(self, url: str) -> Iterator[bytes]:
        # Read at once, one byte more than the largest metadata may have: python-tuf drops an iterator of what is too
        # long in the midst, and a file held open by it would be closed whenever the collector comes by.
        name = unquote(url.removeprefix(self.URL))
        try:
            with open_plain(self.root / name.lstrip("/")) as file:
                return iter([file.read(BYTES_MAX + 1)])
        except OSError:
            raise exceptions.DownloadHTTPError("not there", 404) from None


def open_plain(path: Path) -> BufferedReader:
    """A plain file for reading; OSError for a link, a pipe, a device or a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("no plain file")
    return os.fdopen(descriptor, "rb")
