"""Uplink's part of updates: the signed repository fetched over HTTPS and laid down in wire/targets for triage.

A thread of its own looks every so often, or sooner at a hint of the centre; a server that is slow, endless or hostile
costs that thread its bounded time and bytes and holds up no case. What is fetched is verified here so that no rubbish
fills the disk; whether it is true, triage finds out anew. Metadata is laid down before any target: that something is
withdrawn must not wait for a long file.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from sqlalchemy import Engine

from appliance import __version__
from appliance.config import Config, Places, secret_path
from appliance.core.updates import KINDS, Offer, why_not_taken
from appliance.errors import Fault, Misconfigured, Unavailable
from appliance.loop import Moment, Step, guarded
from appliance.world import archive, keyring, sqlite, wire
from appliance.world import updates as repository
from appliance.world.updates import https, mirror
from appliance.world.wire import updates as book

AGAIN_S = 60.0  # after a look that failed, doubling; and the least between two looks, whatever hints come
JITTER = (0.9, 1.1)


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one look found. code: why not everything of it is here; "" where it is."""

    seen: repository.Seen
    files: tuple[book.File, ...]
    code: str


class Updates:
    """The step uplink.updates; none where no server is named."""

    def __init__(self, config: Config, places: Places, wake: Callable[[], None], randomness: random.Random) -> None:
        self.config, self.places, self.wake, self.randomness = config, places, wake, randomness
        self.ledger: Engine | None = None
        self.thread: threading.Thread | None = None
        self.told: Pulled | Fault | None = None
        self.due, self.not_before, self.wait_s = 0.0, 0.0, AGAIN_S

    def steps(self) -> dict[str, Step]:
        return {"uplink.updates": self.look} if self.config.updates.url else {}

    def hint(self) -> None:
        """Somebody says that there is something new: looks sooner, and believes no more than that."""
        self.due = 0.0

    def look(self, moment: Moment) -> bool:
        """Files what the last look found; begins the next one when it is due."""
        if self.thread is not None:
            if self.thread.is_alive():
                return False
            told = self.told
            assert told is not None, "the thread ends with something told"
            self._file(told, moment)
            self.thread = self.told = None
            return True
        if moment.mono < max(self.due, self.not_before):
            return False
        self.not_before = moment.mono + AGAIN_S
        self.thread = threading.Thread(target=self._run, name="uplink-updates", daemon=True)
        self.thread.start()
        return True

    def _run(self) -> None:
        told = guarded("uplink.updates", self.pull)
        self.told = told
        self.wake()

    def _file(self, told: Pulled | Fault, moment: Moment) -> None:
        if self.ledger is None:
            self.places.wire.mkdir(parents=True, exist_ok=True)
            self.ledger = sqlite.open_writer(self.places.link_db, wire.LINK)
        code = told.code
        with self.ledger.begin() as c:
            if isinstance(told, Fault):
                book.failed(c, code, moment.wall)
            else:
                book.saw(c, told.seen.number, told.seen.expires, told.files, code, moment.wall)
        most = self.config.updates.look_every_s
        self.wait_s = min(2 * self.wait_s, most) if code else AGAIN_S
        self.due = moment.mono + (self.wait_s if code else most * self.randomness.uniform(*JITTER))

    def pull(self) -> Pulled:
        """One look: metadata first, then what is for this appliance, small things first. Raises a Fault."""
        knobs, places = self.config.updates, self.places
        try:
            root = knobs.root.read_bytes()[: repository.ROOT_BYTES_MAX]
        except OSError:
            raise Misconfigured("updates-root-invalid", "updates.root") from None
        fetcher = https.Https(self._authority(), monotonic() + knobs.fetch_s)
        url = knobs.url.rstrip("/")
        try:
            seen = repository.look(places.fetching / "memory", root, f"{url}/{mirror.METADATA}/", fetcher)
            mirror.lay_metadata(places.fetching / "memory", places.mirror)
            wanted = self._wanted(seen)
            mirror.prune(places.mirror, wanted)
            self._forget(wanted)
            code, files = next((why for _, why in seen.faults), ""), []
            for offer in wanted:
                why = guarded("uplink.updates", partial(self._fetch, offer, f"{url}/{mirror.TARGETS}/", fetcher))
                code = why.code if isinstance(why, Fault) else code
                have = offer.length if not isinstance(why, Fault) else 0
                files.append((offer.path, offer.length, have, why.code if isinstance(why, Fault) else ""))
            return Pulled(seen, tuple(files), code)
        finally:
            fetcher.close()

    def _authority(self) -> Path | None:
        """Raises Misconfigured("updates-settings")."""
        named = self.config.updates.ca_file
        path = Path(named) if named else secret_path("tls-ca", self.config.keys.folder / keyring.AUTHORITY_FILE)
        if path is not None and not path.is_file():
            raise Misconfigured("updates-settings", "updates.ca_file")
        return path

    def _wanted(self, seen: repository.Seen) -> list[Offer]:
        """What this appliance is to have, within its bytes: the small before the large."""
        ring, device, left, found = (
            self.config.updates.ring,
            self.config.site.device_id,
            self.config.updates.bytes_max,
            [],
        )
        for offer in sorted(
            seen.offers, key=lambda each: (each.kind == "release", each.length, KINDS.index(each.kind))
        ):
            if why_not_taken(offer, ring=ring, device=device, app_version=__version__):
                continue
            if offer.terms is not None and not offer.terms.withdrawn and offer.length <= left:
                left -= offer.length
                found.append(offer)
        return found

    def _fetch(self, offer: Offer, url: str, fetcher: https.Https) -> None:
        if mirror.holds(self.places.mirror, offer):
            return
        if archive.free_bytes(self.places.wire) < offer.length + self.config.receive.disk_reserve_bytes:
            raise Unavailable("disk-low")
        partial_file = self._partial(offer)
        https.download(offer, url, partial_file, fetcher)
        mirror.adopt(partial_file, self.places.mirror, offer)

    def _partial(self, offer: Offer) -> Path:
        return self.places.fetching / "partial" / offer.sha256

    def _forget(self, wanted: list[Offer]) -> None:
        """Beginnings of what is not wanted any more."""
        keep = {self._partial(offer) for offer in wanted}
        for path in (self.places.fetching / "partial").glob("*"):
            if path not in keep:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """A look that is under way ends with the process; the next one goes on with what it left."""
        if self.ledger is not None:
            self.ledger.dispose()
