"""Triage, the watch over certificates: blinded audits of cleared studies, drift of scores and films, and what follows.

What a certificate promises was tested on films of the past. Here each of its decided studies is counted and measured,
some are drawn for a blinded read, and clinicians' answers are wagered against the promise. A warning halves the lanes;
an alarm takes the certificate away for good: only another certificate, of another digest, opens a lane again. A
language model's answer never gets here. Every step ends in fewer lanes, none in more.
"""

import logging
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, Row

from appliance.config import Audit, Places
from appliance.core.certificate import Certificate, best_certificate, why_invalid
from appliance.core.decide import Decision, Model, Said
from appliance.core.monitor import AUDIT_FIRST, audit_rate
from appliance.core.sampling import draw, uniform
from appliance.core.standing import Standing
from appliance.core.study import Instance, Scores
from appliance.core.watch import (
    Monitor,
    beside,
    certificate_facts,
    model_facts,
    p_value,
    read_back,
    reference,
    started,
    told,
    with_answer,
    with_ranks,
)
from appliance.loop import Moment, Step
from appliance.triage.looking import Court
from appliance.world import audit_desk, ledger, sqlite
from appliance.world.ledger import watch as book

LOG = logging.getLogger("appliance.triage")
ROWS_A_STEP = 200
DAY_S = 86_400.0
CLOCK_SLACK_S = DAY_S  # by which a clock may be set back: certificates count days, and a time zone is soon mistaken


class Watch:
    """The step audits, and what judge asks and tells.

    court  the models now loaded and the site whose certificates count, asked anew every time
    """

    def __init__(
        self,
        knobs: Audit,
        places: Places,
        site_key: bytes,
        engine: Engine,
        court: Callable[[], Court],
    ) -> None:
        self.knobs = knobs
        self.places = places
        self.site_key = site_key
        self.engine = engine
        self.court = court
        self.desk: Engine | None = None
        self.registered: tuple[str, ...] | None = None

    def steps(self) -> dict[str, Step]:
        return {"audits": self.audits}

    def standing(self, c: Connection, moment: Moment) -> Standing:
        """What opens fewer lanes than its certificate says, or none.

        A withdrawal counts from the moment it can be read, even before it is taken over. Half of each lane counts under
        a warning, and while drawn audits stay unanswered: nobody is looking then.
        """
        late = book.overdue(c, moment.wall - self.knobs.answer_days * DAY_S)
        waiting: list[Row[Any]] = []
        desk = self._opened()
        if desk is not None:
            with desk.connect() as other:
                waiting = audit_desk.withdrawals_after(other, book.last_heard(c)[1], ROWS_A_STEP)
        ordered = [row.certificate for row in waiting]
        gone = {*ordered, *(other for digest in ordered for other in self._beside(c, digest))}
        return Standing(
            revoked=frozenset(row.certificate for row in book.revoked(c)) | gone,
            shrunk=frozenset(book.under_warning(c)) | frozenset(late),
            clock_behind=moment.wall < book.last_decided(c) - CLOCK_SLACK_S,
        )

    def on_decided(self, c: Connection, study: Row[Any], decision: Decision, moment: Moment) -> None:
        """Counts, measures and perhaps draws one decided study; in the transaction of its move, once a study.

        Of a network with two exits each exit's clears are held against the promise alone. The promise of both together
        follows, and no exit hides behind the other.
        study  the row as it was read before the move
        """
        model = next((each for each in self.court().models if each.manifest.title == decision.model), None)
        if model is None or not decision.scores or model.manifest.weights == "random":
            return
        self._register(c, moment)
        instance = ledger.instances_of(c, study.number)[0]
        revoked = {row.certificate for row in book.revoked(c)}
        certificates = sorted(model.certificates, key=lambda each: each.digest in revoked)  # as decide chooses
        for score in decision.scores:
            certificate = best_certificate(
                certificates, site=self.court().site, instance=instance, exit_number=score.exit
            )  # fmt: skip
            if certificate is not None and self._is_own(certificate, model, instance):
                lane: Said = decision.lane if decision.exit == score.exit else "escalated"
                fresh = self._count(c, study, certificate, score, lane, moment)
                # Only the exit that spoke last draws: a film that is read twice tells its reader something.
                if fresh and score is decision.scores[-1]:
                    self._draw(c, study, certificate, lane, moment)

    def _is_own(self, certificate: Certificate, model: Model, instance: Instance) -> bool:
        """Whether the study is one of those a certificate was made for, in force today or not."""
        wrong = why_invalid(
            certificate,
            today=certificate.created,
            model_sha256=model.sha256,
            gates_digest=model.reference_for(certificate, self.court().site).digest,
            preparation_digest=model.preparation_digest,
            selection_sha256=model.selection_sha256,
            site=self.court().site,
            instance=instance,
        )
        return wrong is None

    def _count(
        self, c: Connection, study: Row[Any], certificate: Certificate, score: Scores, lane: Said, moment: Moment
    ) -> bool:
        """Files and measures a study; whether it is new to the certificate, or newly cleared."""
        digest, uid = certificate.digest, study.study_instance_uid
        watched_id, new, newly_cleared = book.see(c, digest, study.number, lane, moment.wall)
        if new:
            values = {"logit": score.logit, **score.gates}
            known = {name: values[name] for name in reference(certificate) if name in values}
            self._measure(c, certificate, uid, known, moment)
            book.put_gauges(c, watched_id, digest, known)
        return new or newly_cleared

    def _draw(self, c: Connection, study: Row[Any], certificate: Certificate, lane: Said, moment: Moment) -> None:
        digest, uid = certificate.digest, study.study_instance_uid
        cleared_before = book.cleared_count(c, digest) - (lane == "cleared")  # the study itself is filed already
        rate = self.rate(certificate)
        drawn = draw(
            self.site_key, digest, uid, lane=lane, cleared_before=cleared_before, first=AUDIT_FIRST, rate=rate
        )  # fmt: skip
        if drawn.drawn:
            book.put_audit(
                c,
                certificate=digest,
                number=study.number,
                revision=study.revision,
                drawn_as=drawn.drawn_as,
                rate=drawn.rate,
                at=moment.wall,
            )

    def rate(self, certificate: Certificate) -> float:
        """The share of cleared studies audited after the first ones."""
        bound = certificate.plan.contract.false_omission_max
        return audit_rate(bound, cleared_a_day=self.knobs.cleared_per_day, days=self.knobs.detect_days)

    def audits(self, moment: Moment) -> bool:
        """Readers' answers and withdrawals, each once, in the order in which they were given."""
        if self.registered != self._present():
            with self.engine.begin() as c:
                self._register(c, moment)
        desk = self._opened()
        if desk is None:
            return False
        with self.engine.connect() as c:
            answered, withdrawn = book.last_heard(c)
        with desk.connect() as c:
            answers = audit_desk.answers_after(c, answered, ROWS_A_STEP)
            withdrawals = audit_desk.withdrawals_after(c, withdrawn, ROWS_A_STEP)
        for row in withdrawals:
            with self.engine.begin() as c:
                self._withdrawn(c, row, moment)
        for row in answers:
            with self.engine.begin() as c:
                self._answered(c, row, moment)
        return bool(answers or withdrawals)

    def _roles(self) -> list[tuple[str, Model]]:
        """The loaded models, each with what it does."""
        court = self.court()
        return [("shadow", each) for each in court.shadows] + [("decides", each) for each in court.models]

    def _present(self) -> tuple[str, ...]:
        """What is loaded, in a form that can be compared."""
        return tuple(
            f"{role} {each.manifest.title} {' '.join(sorted(one.digest for one in each.certificates))}"
            for role, each in self._roles()
        )

    def _register(self, c: Connection, moment: Moment) -> None:
        """Files the loaded models and their certificates, so that the page shows what is in force here."""
        present = self._present()
        if present == self.registered:
            return
        book.forget_presence(c)
        for role, model in self._roles():
            book.put_installed(c, model.manifest.title, {**model_facts(model), "role": role}, moment.wall)
            for each in model.certificates:
                start = {**told(started(reference(each))), "stage": "quiet", "stage_since": moment.wall}
                facts = {**certificate_facts(each, model.manifest.label.name), "audit_rate": self.rate(each)}
                book.put_monitor(c, each.digest, model.manifest.title, facts, start)
        for row in book.revoked(c):
            self._bar_older(c, row, moment)
        self.registered = present

    def _bar_older(self, c: Connection, gone: Row[Any], moment: Moment) -> None:
        """An older certificate that is put back later makes no new promise: it goes with the one taken away."""
        known = book.monitor(c, gone.certificate)
        if known is None:
            return
        others = book.facts_of_model(c, known.model)
        for digest in beside(known.facts, others):
            if others[digest]["created"] < known.facts["created"]:
                because = f"older than {gone.certificate[:12]}: {gone.because}"
                book.revoke(c, digest, at=moment.wall, cause=gone.cause, who=gone.who, because=because)

    def _measure(
        self, c: Connection, certificate: Certificate, uid: str, values: dict[str, float], moment: Moment
    ) -> None:
        """Each measure's rank among the certificate's films and all studies since, into its martingale."""
        row = book.monitor(c, certificate.digest)
        assert row is not None, "registered before"
        monitor = read_back(row.state, reference(certificate))
        if monitor is not None:
            p_values = {}
            for name, value in values.items():
                dice = uniform(self.site_key, f"tie {name}", certificate.digest, uid)
                before = book.ranks(c, certificate.digest, name, value)
                p_values[name] = p_value(certificate.reference[name], before, value, dice)
            monitor = with_ranks(monitor, p_values)
        self._conclude(c, row, monitor, moment)

    def _answered(self, c: Connection, row: Row[Any], moment: Moment) -> None:
        """One answer into the wager of the certificate under which the study was cleared."""
        audit = book.audit(c, row.audit_id)
        if audit is None or audit.answer is not None:
            book.take_over_answer(c, row, "unknown" if audit is None else "again")
            return
        book.take_over_answer(c, row, "counted" if audit.counts else "decoy")
        if audit.counts:
            self._wagered(c, audit, row.answer, moment)

    def reported(self, c: Connection, audit_id: int, by: str, moment: Moment) -> None:
        """A final report says that the finding is there: of a study that chance drew and nobody has answered for."""
        audit = book.audit(c, audit_id)
        if audit is not None and audit.counts and audit.answer is None:
            book.answer_audit(c, audit_id, "present", by, moment.wall)
            self._wagered(c, audit, "present", moment)

    def _wagered(self, c: Connection, audit: Row[Any], answer: str, moment: Moment) -> None:
        monitored = book.monitor(c, audit.certificate)
        assert monitored is not None, "an audit is drawn after its certificate was filed"
        monitor = read_back(monitored.state, monitored.facts["reference"])
        if monitor is not None:
            bound = float(monitored.facts["contract"]["false_omission_max"])
            monitor = with_answer(monitor, answer, rate_max=bound)
        self._conclude(c, monitored, monitor, moment)

    def _withdrawn(self, c: Connection, row: Row[Any], moment: Moment) -> None:
        """A person takes a certificate away: no reason of ours is asked for, and no way back."""
        known = book.monitor(c, row.certificate) is not None
        made = known and self._revoke(c, row.certificate, moment, "person", f"review:{row.user}", row.because)
        book.take_over_withdrawal(c, row, "revoked" if made else "again" if known else "unknown")

    def _conclude(self, c: Connection, row: Row[Any], monitor: Monitor | None, moment: Moment) -> None:
        """Writes the evidence of a certificate and draws its consequence; nothing lifts a revocation."""
        if row.stage == "revoke":
            return
        if monitor is None:
            self._revoke(c, row.certificate, moment, "state", "triage", "what was gathered about it cannot be read")
            return
        since = row.stage_since if monitor.stage == row.stage else moment.wall
        book.set_monitor(c, row.certificate, **told(monitor), stage=monitor.stage, stage_since=since)
        if monitor.stage == "revoke":
            self._revoke(c, row.certificate, moment, monitor.cause, "triage", monitor.because)
        elif monitor.stage != row.stage:
            LOG.warning("certificate %s: %s", row.certificate[:12], monitor.stage)

    def _revoke(self, c: Connection, digest: str, moment: Moment, cause: str, who: str, because: str) -> bool:
        """Takes a certificate away, and those that would take its place."""
        made = book.revoke(c, digest, at=moment.wall, cause=cause, who=who, because=because)
        if made:
            LOG.error("certificate %s is taken away: %s", digest[:12], cause)
            for other in self._beside(c, digest):
                book.revoke(c, other, at=moment.wall, cause=cause, who=who, because=f"with {digest[:12]}: {because}")
        return made

    def _beside(self, c: Connection, digest: str) -> list[str]:
        row = book.monitor(c, digest)
        return [] if row is None else beside(row.facts, book.facts_of_model(c, row.model))

    def _opened(self) -> Engine | None:
        """The clinicians' desk, once the review service of this version has made it."""
        if self.desk is None and self.places.review_db.exists():
            opened = sqlite.open_reader(self.places.review_db)
            with opened.connect() as c:
                made = audit_desk.is_made(c)
            if made:
                self.desk = opened
            else:
                opened.dispose()
        return self.desk

    def close(self) -> None:
        """Closes the mailbox; for tests that open it again in the same process."""
        if self.desk is not None:
            self.desk.dispose()
            self.desk = None
