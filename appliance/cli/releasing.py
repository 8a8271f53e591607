"""The reconciler of releases: what core.release says is to be done, done, and remembered before and after.

It believes neither uplink, which fetched a release, nor triage, which looked at it: the whole TUF workflow runs here a
third time, from the root in /etc/appliance, with a memory of its own. Each run does what is left to do and may be cut
off anywhere: what runs is always a whole version, the former or the new.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from appliance.cli.verbs import SERVICES
from appliance.config import Config, Places
from appliance.core.release import (
    AT_WORK,
    KEPT_MAX,
    TRIES_MAX,
    Ended,
    Facts,
    Step,
    Trial,
    for_here,
    in_window,
    newest,
    next_step,
    worse,
)
from appliance.core.updates import Offer
from appliance.errors import Fault, Misconfigured, Quarantined, Unavailable
from appliance.loop import guarded
from appliance.world import archive, ledger, release, sqlite, units
from appliance.world import updates as repository
from appliance.world.updates import mirror

LOG = logging.getLogger("appliance.release")
WAIT_S, WAIT_PERIOD_S = 540.0, 5.0  # for a pause between cases, in one run
LOOK_PERIOD_S, WELL_S = 5.0, 45.0  # of the watch, and how long all must be well in one stretch
AGAIN_S = 30.0  # where dpkg refuses: somebody else may hold its lock
FREE_FACTOR = 10  # a package lies packed, unpacked here and once more by dpkg for a moment
STEPS_MAX = 20  # of one run


class Releases:
    """The reconciler. sleep, mono, wall: in seconds; at_step is called between effects, for tests that end it."""

    def __init__(
        self, config: Config, places: Places, versions: release.Versions, config_file: Path, ordered: str = ""
    ) -> None:
        self.config, self.places, self.versions, self.config_file = config, places, versions, config_file
        self.ordered = ordered
        self.record = release.read(versions.home)
        self.found: dict[str, Offer] | None = None
        self.unbelieved: Fault | None = None
        self.ended: set[str] = set()  # versions whose trial ended in this run: not begun again by it
        self.sleep: Callable[[float], None] = time.sleep
        self.mono: Callable[[], float] = time.monotonic
        self.wall: Callable[[], float] = time.time
        self.at_step: Callable[[str], None] = lambda _: None
        self.hand_over: Callable[[], None] = lambda: None  # from here on the copy of the former version does it

    def run(self) -> None:
        """Step after step, until nothing can be done now.

        raises  Misconfigured("release-unknown"): what a person ordered is not there
        """
        trial = self.record.trial
        if trial is None:
            self.versions.clean()  # where the end of the last one was cut off
        if trial is None or trial.stage in ("chosen", "tested") or (trial.stage == "placed" and trial.tries == 0):
            self._look()
        if self.ordered and self.unbelieved is not None:
            raise self.unbelieved
        if self.ordered and trial is None and self.ordered not in (self.found or {}):
            raise Misconfigured("release-unknown", "VERSION")
        waited_until = self.mono() + WAIT_S
        for _ in range(STEPS_MAX):
            step = self._step()
            if step == "rest":
                return
            if step == "wait":
                while self.busy() and self.mono() < waited_until:
                    self.sleep(WAIT_PERIOD_S)
                if self.busy():
                    return
                continue
            self._do(step)

    def said(self) -> int:
        """What became of it, for whoever ordered it."""
        if self.versions.running == self.ordered and self.record.trial is None:
            print(f"{self.ordered} is in use")
            return 0
        failed = [each for each in self.record.failed if each.version == self.ordered]
        if failed and self.record.trial is None:
            raise Misconfigured("release-failed", f"{failed[-1].code} {failed[-1].what}".strip())
        raise Unavailable("release-busy")

    def busy(self) -> bool:
        """Whether a case is at work: taken in, and not yet where a person, the centre or nobody has the next move."""
        if any(self.places.incoming.glob("*.dcm")):
            return True
        if not self.places.studies_db.exists():
            return False
        engine = sqlite.open_reader(self.places.studies_db)
        try:
            with engine.connect() as c:
                counts = ledger.counts(c)
        finally:
            engine.dispose()
        return any(counts.get(state, 0) for state in AT_WORK)

    def _look(self) -> None:
        """Verifies the repository; where it cannot be believed, nothing is chosen and nothing that waits goes on."""
        told = guarded("release.updates", self._verified)
        running = self.versions.running
        if isinstance(told, Fault):
            self.unbelieved = told
            self._remember(looked_at=self.wall(), code=told.code, waits="")
            return
        knobs = self.config.updates
        self.found = for_here(told.offers, running=running, ring=knobs.ring, device=self.config.site.device_id)
        failed = {each.sha256 for each in self.record.failed}
        self._remember(looked_at=self.wall(), code="", waits=newest(self.found, failed))

    def _verified(self) -> repository.Seen:
        return mirror.verified(self.places.mirror, self.config.updates.root, self.versions.memory)

    def _step(self) -> Step:
        trial, now = self.record.trial, datetime.fromtimestamp(self.wall(), UTC).astimezone()
        offered = None if self.found is None or trial is None else self._offer(trial) is not None
        if trial is not None and self.ordered and trial.version != self.ordered and trial.stage in ("chosen", "tested"):
            offered = False
        return next_step(
            Facts(
                mode=self.config.updates.releases,
                ordered=bool(self.ordered),
                window=in_window(self.config.updates.window, now.hour * 60 + now.minute),
                candidate=bool(self._candidate()),
                trial=trial,
                offered=offered,
                busy=trial is not None and trial.stage in ("tested", "placed") and self.busy(),
            )
        )

    def _offer(self, trial: Trial) -> Offer | None:
        found = (self.found or {}).get(trial.version)
        return found if found is not None and found.sha256 == trial.sha256 else None

    def _candidate(self) -> str:
        wanted = self.ordered or self.record.waits
        if wanted == self.versions.running or wanted in self.ended:
            return ""
        return wanted if wanted in (self.found or {}) else ""

    def _do(self, step: Step) -> None:
        trial = self.record.trial
        self.at_step(step)
        if step == "choose":
            self._choose()
            return
        assert trial is not None, "every other step is of a trial"
        if step == "install":
            self.hand_over()
        if step in ("test", "install", "watch"):  # counted before it is made: what ends the machine ends here
            trial = self._trial(trial, tries=trial.tries + 1)
        match step:
            case "drop":
                LOG.info("release %s: %s", trial.version, "no longer for this appliance")
                if trial.stage == "placed":
                    self.versions.unplace(trial.version)
                self._end()
            case "fail":
                self._failed(trial, "release-attempts-spent")
            case "test":
                told = guarded("release.test", partial(self._tested, trial))
                if isinstance(told, Fault) and (isinstance(told, Unavailable) or told.code == "update-tampered"):
                    self._end(code=told.code)  # no room, or the signed bytes are not here: not the release's fault
                    self.found = None
                    if self.ordered:
                        raise told
                elif isinstance(told, Fault):
                    self._failed(trial, told.code, told.place)
            case "place":
                self._place(trial)
            case "install":
                self._install(trial)
            case "watch":
                self._watch(trial)
            case "go back":
                self._back(trial, "release-attempts-spent")
            case "restore":
                self._restore(trial)

    def _choose(self) -> None:
        version = self._candidate()
        offer = (self.found or {})[version]
        self.versions.clean()
        LOG.info("release %s: %s", version, "chosen")
        trial = Trial(version=version, sha256=offer.sha256, former=self.versions.running, by_person=bool(self.ordered))
        self._remember(trial=trial)

    def _tested(self, trial: Trial) -> None:
        """Its bytes in root's own hands, its tree aside, and its own test: nothing that runs has changed.

        raises  as _take; else Quarantined: it does not do here
        """
        offer = self._offer(trial)
        assert offer is not None, "the step is only for what is offered"
        if archive.free_bytes(self.versions.home) < FREE_FACTOR * offer.length:
            raise Unavailable("disk-low")
        self._take(offer)
        self.at_step("taken")
        self.versions.unpack(trial.version)
        self.at_step("unpacked")
        tree = self.versions.unpacked(trial.version)
        said = release.self_tested(tree, self.config_file)
        if said is None or said.get("version") != trial.version:
            raise Quarantined("release-selftest", trial.version)
        if said.get("schema") != sqlite.SCHEMA_VERSION:
            raise Misconfigured("release-one-way", trial.version)
        before, after = self._checked(trial.former), release.checked(tree, self.config_file)
        if what := worse(before, {name: ok for name, ok in after.items() if name in before}, (), ()):
            raise Quarantined("release-selftest", what)
        self._trial(trial, stage="tested", tries=0)

    def _take(self, offer: Offer) -> None:
        """Raises Unavailable("updates-away"); Quarantined("update-tampered"): only other bytes lie under its name."""
        other, kept = None, self.places.releases / offer.path.rpartition("/")[2]
        for each in (kept, mirror.target(self.places.mirror, offer)):
            try:
                if self.versions.take(each, offer.sha256, offer.length):
                    return
            except Quarantined as fault:
                other = fault
        raise other or Unavailable("updates-away")

    def _checked(self, version: str) -> dict[str, bool]:
        return release.checked(self.versions.of(version), self.config_file)

    def _place(self, trial: Trial) -> None:
        before = release.checked(self.versions.unpacked(trial.version), self.config_file)
        before |= self._checked(trial.former)
        active = tuple(each.service for each in units.units(SERVICES) if each.active == "active")
        self.versions.place(trial.version, trial.former)
        self.at_step("placed")
        self._trial(trial, stage="placed", tries=0, before=before, active=active)

    def _install(self, trial: Trial) -> None:
        """The link first, so that what dpkg takes away is never what runs; then dpkg, which starts it anew."""
        LOG.info("release %s: %s", trial.version, "installed now")
        if not self.versions.has(trial.sha256) or not self.versions.is_whole(trial.version):
            self._back(trial, "update-tampered")
            return
        self.versions.point(trial.version)
        self.at_step("pointed")
        if not release.installed(self.versions.package):
            if trial.tries >= TRIES_MAX:
                self._back(trial, "release-dpkg")
            else:
                self.sleep(AGAIN_S)
            return
        self.at_step("dpkg")
        self._trial(trial, stage="installed", tries=0)

    def _watch(self, trial: Trial) -> None:
        """Kept where all was well in one stretch within the time; else back."""
        end, since, restarts, what = self.mono() + self.config.updates.watch_s, self.mono(), -1, ""
        while self.mono() < end:
            looked = units.units(SERVICES)
            now = [each.service for each in looked if each.active == "active"]
            what = worse(trial.before, self._checked(trial.version), trial.active, now)
            again = sum(each.restarts for each in looked)
            if what or again != restarts:
                since, restarts = self.mono(), again
            elif self.mono() - since >= WELL_S:
                self._keep(trial)
                return
            self.at_step("watched")
            self.sleep(LOOK_PERIOD_S)
        self._back(trial, "release-worse", what or "restarts")

    def _keep(self, trial: Trial) -> None:
        self.versions.put_back(trial.former)  # dpkg took it away: kept beside, for appliance-version
        self.at_step("kept")
        done = _ended(trial, self.wall())
        LOG.info("release %s: %s", trial.version, "in use, and well")
        failed = tuple(each for each in self.record.failed if each.sha256 != trial.sha256)
        self._remember(trial=None, waits="", failed=failed, installed=(*self.record.installed, done)[-KEPT_MAX:])
        self.versions.clean()

    def _back(self, trial: Trial, code: str, what: str = "") -> None:
        self._trial(trial, stage="back", tries=0, code=code, what=what)

    def _restore(self, trial: Trial) -> None:
        """The former version runs again; done twice it is no harm."""
        self.versions.put_back(trial.former)
        self.at_step("put back")
        self.versions.point(trial.former)
        self.at_step("pointed back")
        release.restart(trial.active)
        self._failed(trial, trial.code, trial.what)

    def _failed(self, trial: Trial, code: str, what: str = "") -> None:
        LOG.error("release %s: %s; %s runs", trial.version, code, trial.former)
        failed = _ended(trial, self.wall(), code, what[:200])
        others = tuple(each for each in self.record.failed if each.sha256 != trial.sha256)
        self.ended.add(trial.version)
        self._end(failed=(*others, failed)[-KEPT_MAX:], waits="")

    def _end(self, **changed: Any) -> None:
        self._remember(trial=None, **changed)
        self.at_step("ended")
        self.versions.clean()

    def _trial(self, trial: Trial, **changed: Any) -> Trial:
        made = trial.model_copy(update=changed)
        self._remember(trial=made)
        return made

    def _remember(self, **changed: Any) -> None:
        self.record = self.record.model_copy(update=changed)
        self.versions.write(self.record)


def _ended(trial: Trial, at: float, code: str = "", what: str = "") -> Ended:
    return Ended(version=trial.version, former=trial.former, sha256=trial.sha256, at=at, code=code, what=what)
