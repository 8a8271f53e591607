"""The triage service: the only program that parses hostile bytes, and it has no network.

It alone writes the clinical ledger and triage's side of the wire. The lineup says which models sit in the court and
which are stopped, the watch over certificates which of them open fewer lanes than they say. Five parts follow, in the
order in which a study meets them: intake (admit, assemble), glance (is a film worth repeating while the patient is
here), judge (decode, infer, decide; how is in looking), handover (de-identify, inspect, seal; what of is in sealing and
cleaning; the spool within its bytes is in spool, whole series are in series), answers (absorb verdicts, signatures and
commands); strays does what persons order about files of no study. Where a site chose so, drafting has a small language
model draft words while the centre is silent, results makes objects for the PACS of what was signed, and commitments
answers scanners that ask what is kept here; final_reports takes in what the RIS reported; corrections keeps, and where
the site says so sends, what signers said, for training; released believes what receive noted of associations, performed
what modalities tell of their procedure steps; forgetting lets go of what was reviewed long ago and is kept elsewhere;
updates verifies what came down and hands it to the lineup; promotion says which model beside may decide, and goes back
from one that must not; bulletins hands uplink coded numbers of the whole appliance.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection

from appliance.config import Config, Places
from appliance.core.pseudonym import checked_key
from appliance.core.standing import Standing
from appliance.errors import Unavailable
from appliance.loop import Moment, Step
from appliance.triage.answers import Answers
from appliance.triage.bulletins import Bulletins
from appliance.triage.cleaning import for_the_centre
from appliance.triage.commitments import Commitments
from appliance.triage.correction_letters import CorrectionLetters
from appliance.triage.corrections import Corrections
from appliance.triage.drafting import Drafting
from appliance.triage.final_reports import FinalReports
from appliance.triage.forgetting import Forgetting
from appliance.triage.glance import Glancing
from appliance.triage.handover import Handover
from appliance.triage.intake import Intake
from appliance.triage.integrity import Integrity
from appliance.triage.judge import Judging
from appliance.triage.lineup import Lineup
from appliance.triage.looking import Court
from appliance.triage.mending import Mending
from appliance.triage.performed import PerformedSteps
from appliance.triage.post import Post
from appliance.triage.promotion import Promotion
from appliance.triage.released import Released
from appliance.triage.results import Results
from appliance.triage.sealing import Cleaning
from appliance.triage.series import Series
from appliance.triage.spool import Spool
from appliance.triage.strays import Strays
from appliance.triage.watch import Watch
from appliance.world import archive, ledger, sqlite, wire
from appliance.world.drafter import Drafter

if TYPE_CHECKING:
    from appliance.triage.updates import Updates

TRIM_PERIOD_S = 60.0
RESERVE_SHARE = 4  # triage goes on below receive's reserve, down to a quarter of it: what was taken is to be finished
MAKES_ROOM = frozenset(
    {"free", "withdraw", "shed", "forget", "forget.wipe"}
)  # steps that go on however full the disk is: they give bytes back


class Part(Protocol):
    def steps(self) -> dict[str, Step]: ...


class Triage:
    """Opens the ledgers and puts the parts together; `steps` is what the loop runs."""

    def __init__(
        self,
        config: Config,
        places: Places,
        site_key: bytes,
        court: Court | None = None,
        cleaning: Cleaning | None = None,
        post: Post | None = None,
        drafter: Drafter | None = None,
    ) -> None:
        checked_key(site_key)
        for folder in (places.incoming, places.instances, places.frames, places.outbox, places.parts):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (places.instances, places.frames, places.parts):
            archive.sweep(folder)
        self.places = places
        self.reserve = config.receive.disk_reserve_bytes // RESERVE_SHARE
        self.cache_bytes_max = config.triage.frames_cache_bytes_max
        self.cache_reserve = config.receive.disk_reserve_bytes
        self.next_trim = 0.0
        self.mending = Mending(config, places)  # before a database is opened: on a full disk none can be
        self.engine = sqlite.open_writer(places.studies_db, ledger.METADATA)
        self.cases = sqlite.open_writer(places.cases_db, wire.CASES)
        self.lineup = Lineup(config, places, self.engine, court)
        cleaning, post = cleaning or for_the_centre(site_key), post or Post(config)
        self.watch = Watch(config.audit, places, site_key, self.engine, lambda: self.lineup.court)
        judging = Judging(
            config,
            places,
            self.engine,
            self.lineup.court,
            stands=self._standing,
            decided=self.watch.on_decided,
        )
        self.lineup.on_change = judging.sit
        lineup = self.lineup
        handover = Handover(config, places, site_key, self.engine, self.cases, lambda: lineup.models, cleaning, post)
        self.spool, self.series = Spool(config, places, handover), Series(config, places, handover)
        if drafter is None and config.draft.weights:
            drafter = Drafter(config.draft, places.draft)
        self.drafting = Drafting(config, self.engine, self.cases, lambda: lineup.models, drafter)
        self.bulletins = Bulletins(config, places, self.engine, self.cases, judging)
        intake = Intake(config, places, self.engine, site_key)
        self.due = intake.due
        self.parts: tuple[Part, ...] = (
            self.lineup,
            self.watch,
            Promotion(config, site_key, lineup, self._standing),
            PerformedSteps(config, places, self.engine),  # before what it may hold back
            intake,
            Released(places, self.engine),
            Commitments(config, places, self.engine),
            Glancing(config, places, self.engine, judging),
            judging,
            handover,
            self.spool,
            self.series,
            Answers(places, self.engine, self.cases, post),
            Strays(places, self.engine),
            self.drafting,
            Results(config, places, site_key, self.engine, lambda: lineup.models),
            FinalReports(config, places, self.engine, self.watch.reported),
            Corrections(config, places, site_key, self.engine, lambda: lineup.models),
            CorrectionLetters(config, places, self.engine, self.cases, post),
            Forgetting(config, places, site_key, self.engine, self.cases),
            Integrity(places),
            self.bulletins,
            *self._updates(config),  # last: nothing of a patient waits for it
        )

    def steps(self) -> dict[str, Step]:
        """Every step, each held back while the disk is too full to finish what it begins; not those that make room."""
        found: dict[str, Step] = {"trim": self.trim, **self.mending.steps()}
        for part in self.parts:
            for name, step in part.steps().items():
                found[name] = step if name in MAKES_ROOM else self._with_room(step)
        return found

    def _updates(self, config: Config) -> "tuple[Updates, ...]":
        """The part that believes what came down; none, and nothing of it loaded, where there is no root of updates."""
        if not config.updates.root.is_file():
            return ()
        from appliance.triage.updates import Updates

        return (Updates(config, self.places, self.engine, self.lineup),)

    def _standing(self, c: Connection, moment: Moment) -> Standing:
        """What stands against models and certificates at this moment."""
        return replace(self.watch.standing(c, moment), stopped=self.lineup.stopped(c, moment))

    def trim(self, moment: Moment) -> bool:
        """Keeps the frames cache within its bytes, and lets it all go before the disk is too low to take an image."""
        if moment.mono < self.next_trim:
            return False
        self.next_trim = moment.mono + TRIM_PERIOD_S
        low = archive.free_bytes(self.places.root) < self.cache_reserve
        archive.trim(self.places.frames, 0 if low else self.cache_bytes_max)
        return False

    def _with_room(self, step: Step) -> Callable[[Moment], bool]:
        def checked(moment: Moment) -> bool:
            if archive.free_bytes(self.places.root) < self.reserve:
                raise Unavailable("disk-low")
            return step(moment)

        return checked

    def close(self) -> None:
        """Closes ledgers and children; for tests that open them again in the same process."""
        self.lineup.close()
        self.watch.close()
        self.series.close()
        self.drafting.close()
        self.bulletins.close()
        self.engine.dispose()
        self.cases.dispose()
