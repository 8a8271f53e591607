"""Triage, updates: what uplink or a stick laid into wire/targets is verified from the beginning, then taken in.

Whoever can write there is not believed: the whole TUF workflow runs here again, from the root that this appliance was
given in person, with a memory of its own. Then each kind meets the checks it would meet by hand: a package its own
signature, audit and golden films, and it only runs beside; a certificate its signature and its model; a policy its
strict form. What is withdrawn is stopped or taken away. Metadata that is too old blocks all of this and nothing else.
"""

import hashlib
import logging
import shutil
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from pydantic import ValidationError
from sqlalchemy import Engine

from appliance import __version__
from appliance.config import Config, Places
from appliance.core import parcel
from appliance.core.certificate import Certificate
from appliance.core.document import decode
from appliance.core.policy import Policy
from appliance.core.updates import Kind, Offer, why_not_taken
from appliance.errors import Fault, Misconfigured, Quarantined, Unavailable
from appliance.loop import Moment, Step, guarded
from appliance.triage.lineup import Lineup
from appliance.world import archive
from appliance.world import updates as repository
from appliance.world.ledger import updates as book
from appliance.world.ledger import watch
from appliance.world.models import load_packages, making, trusted_keys
from appliance.world.models.trust import look_of
from appliance.world.updates import mirror

LOG = logging.getLogger("appliance.triage")
LOOK_PERIOD_S = 5.0
LOOK_AGAIN_S = 3600.0  # although nothing changed: time alone makes metadata old
ORDER: tuple[Kind, ...] = ("policy", "model", "certificate", "release")  # a certificate wants its model first
FREE_FACTOR = 3  # a package lies packed, unpacked and installed for a moment


class Updates:
    """The step updates."""

    def __init__(self, config: Config, places: Places, engine: Engine, lineup: Lineup) -> None:
        self.config, self.places, self.engine, self.lineup = config, places, engine, lineup
        self.next_look, self.look_by = 0.0, 0.0
        self.seen: object = None
        self.todo: deque[Offer] = deque()
        self.at_step: Callable[[str], None] = lambda _: None  # for tests that end the process there

    def steps(self) -> dict[str, Step]:
        return {"updates": self.take}

    def take(self, moment: Moment) -> bool:
        """Looks whether anything changed, and takes in one thing a step."""
        if self.todo:
            self._one(self.todo[0], moment)
            self.todo.popleft()  # after it: where the disk is full it comes again
            return True
        if moment.mono < self.next_look or not self.config.updates.root.is_file():
            return False
        self.next_look = moment.mono + LOOK_PERIOD_S
        files = look_of([self.places.mirror, self.config.triage.trusted_keys])
        seen = (files, self.config.updates.root.stat().st_mtime_ns)
        if seen == self.seen and moment.mono < self.look_by:
            return False
        self.seen, self.look_by = seen, moment.mono + LOOK_AGAIN_S
        return self._look(moment)

    def _look(self, moment: Moment) -> bool:
        told = guarded("triage.updates", self._verified)
        with self.engine.begin() as c:
            if isinstance(told, Fault):
                book.unverified(c, told.code, moment.wall)
                return False
            roles = ",".join(f"{role}={code}" for role, code in told.faults)
            book.verified(c, told.number, told.expires, roles, moment.wall)
        self.todo.extend(sorted(told.offers, key=_turn))
        return bool(self.todo)

    def _verified(self) -> repository.Seen:
        return mirror.verified(self.places.mirror, self.config.updates.root, self.places.updates_memory)

    def _one(self, offer: Offer, moment: Moment) -> None:
        """One target of verified metadata, brought to where it belongs by its terms."""
        with self.engine.connect() as c:
            known = book.of(c, offer.path)
        known = None if known is None or known.sha256 != offer.sha256 else known
        knobs, device = self.config.updates, self.config.site.device_id
        why = why_not_taken(offer, ring=knobs.ring, device=device, app_version=__version__)
        if offer.terms is not None and offer.terms.withdrawn:
            if known is None or known.state != "withdrawn":
                self._withdraw(offer, "" if known is None else known.installed, moment)
            return
        if known is not None and (known.state == "held" or known.code == "update-attempts-spent"):
            self._end(offer, known.state, known.code, moment, known.installed, known.body)  # its ring may have grown
            return
        if why:
            self._end(offer, "left", why, moment)
            return
        told = guarded("triage.updates", partial(self._taken, offer, moment))
        if told is None:
            self._end(offer, "awaited", "", moment)
        elif isinstance(told, Unavailable):
            self._end(offer, "awaited", told.code, moment)
        elif isinstance(told, Fault):
            self._end(offer, "left" if told.code == "update-other-site" else "refused", told.code, moment)
        else:
            self._end(offer, "held", "", moment, *told)
            if offer.kind in ("policy", "certificate"):
                self.lineup.changed()

    def _taken(self, offer: Offer, moment: Moment) -> tuple[str, str | None] | None:
        """What it is called here, and its body where the ledger keeps that; None while its bytes are not there.

        raises  a fault that says why it is refused
        """
        if archive.free_bytes(self.places.root) < FREE_FACTOR * offer.length:
            raise Unavailable("disk-low")
        if not mirror.lies(self.places.mirror, offer):
            return None
        self.at_step("begin")
        with self.engine.begin() as c:  # before it is read: what is large may end the service by that alone
            if book.begin(c, offer, moment.wall) > self.config.triage.attempts_max:
                raise Quarantined("update-attempts-spent", offer.kind)
        data = mirror.read_target(self.places.mirror, offer)
        if data is None:
            return None
        self.at_step("install")
        match offer.kind:
            case "model":
                return self._model(offer, data, moment), None
            case "certificate":
                return self._certificate(data), None
            case "policy":
                return str(decode(Policy, data).number), data.decode()
            case _:
                name = offer.path.rpartition("/")[2]
                archive.put(self.places.releases / name, data)
                return name, None

    def _model(self, offer: Offer, data: bytes, moment: Moment) -> str:
        assert offer.terms is not None, "its terms were understood"
        name, _, version = offer.terms.title.partition("/")
        files = parcel.opened(data)
        folder = self.places.updates / "unpacked"
        shutil.rmtree(folder, ignore_errors=True)
        for each, body in files.items():
            archive.cache(folder / name / version / each, body)
        trusted, _ = trusted_keys(self.config.triage.trusted_keys)
        try:
            title = making.install(folder / name / version, self.places.delivered_models, trusted, self.at_step)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.at_step("shadow")
        nonce = _nonce("shadow", offer)
        if not self.lineup.delivered(title, nonce, self.config.updates.shadow_share_max, moment):
            raise Quarantined("update-selftest", "model")
        return title

    def _certificate(self, data: bytes) -> str:
        """Where it lies; another site's is left: a package holds few certificates, and a fleet has many sites."""
        try:
            site = Certificate.model_validate_json(data).site
        except ValidationError:
            raise Misconfigured("certificate-untrusted", "certificate.json") from None
        if site != self.config.site.name:
            raise Misconfigured("update-other-site", "certificate.json")
        folder = self.places.updates / "unpacked"
        archive.cache(folder / "certificate.json", data)
        trusted, _ = trusted_keys(self.config.triage.trusted_keys)
        roots = [self.config.triage.model_folder, *self.places.beside]
        packages, _ = load_packages(roots, self.config.triage.trusted_keys)
        try:
            package = making.package_of(folder / "certificate.json", packages, trusted)
            path = making.install_certificate(
                folder / "certificate.json", package.model.manifest, self.places.delivered_certificates
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return path.relative_to(self.places.delivered_certificates).as_posix()

    def _withdraw(self, offer: Offer, installed: str, moment: Moment) -> None:
        """Stopped or taken away first, then filed: what is cut off between is withdrawn again."""
        self.at_step("withdraw")
        if offer.kind == "model" and offer.terms is not None:
            self.lineup.withdrawn(offer.terms.title, _nonce("stop", offer), moment)
        elif offer.kind == "certificate":
            self._take_away(offer, moment)
        elif offer.kind == "release" and installed:
            archive.remove(self.places.releases / installed)
        self.at_step("withdrawn")
        self._end(offer, "withdrawn", "", moment)
        self.lineup.changed()

    def _take_away(self, offer: Offer, moment: Moment) -> None:
        """A certificate by its bytes, whatever a row says: removed where updates laid it, revoked where a person did.

        What cannot be read opens no lane either.
        """
        for path in [path for folder in self.places.site_certificates for path in folder.glob("*/*/*.json")]:
            try:
                data = path.read_bytes()
            except OSError:
                continue
            if hashlib.sha256(data).hexdigest() != offer.sha256:
                continue
            if path.is_relative_to(self.places.delivered_certificates):
                archive.remove(path)
                continue
            told = {"cause": "person", "who": "updates", "because": "withdrawn by whoever published it"}
            with suppress(ValidationError), self.engine.begin() as c:
                watch.revoke(c, Certificate.model_validate_json(data).digest, at=moment.wall, **told)

    def _end(
        self, offer: Offer, state: str, code: str, moment: Moment, installed: str = "", body: str | None = None
    ) -> None:
        with self.engine.begin() as c:
            if book.end(c, offer, state, moment.wall, code=code, installed=installed, body=body):
                LOG.warning("update %s %s: %s %s", offer.kind, offer.sha256[:16], state, code)


def _turn(offer: Offer) -> tuple[bool, int, str]:
    """What is taken back goes first: no golden film of another package is run while it still counts."""
    withdrawn = offer.terms is not None and offer.terms.withdrawn
    return not withdrawn, ORDER.index(offer.kind), offer.path


def _nonce(what: str, offer: Offer) -> str:
    """One order of a kind for the same bytes, however often it is taken over."""
    return hashlib.sha256(f"{what} {offer.path} {offer.sha256}".encode()).hexdigest()[:32]
