"""When the centre is silent past a case's deadline, a small language model here may draft words for its reader.

Off unless the site gave weights. It is asked as the centre's is, from the same coded findings, and its answer meets the
same guard; it sees no picture. The draft moves no study: the case stays escalated and on its way, and the centre's
verdict takes the draft's place on the page when it comes. One question at a time, the most urgent case first.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row

from appliance.config import Config
from appliance.core.case import MODALITIES, Case, Characteristics
from appliance.core.compose import Said, compose
from appliance.core.decide import Model
from appliance.core.document import URGENCIES
from appliance.core.drafting.guard import verdict_on
from appliance.core.drafting.question import question
from appliance.core.drafting.reply import completion_of
from appliance.core.policy import may_draft
from appliance.errors import Fault, Quarantined
from appliance.loop import FAULTS, Moment, Step, guarded
from appliance.triage.sealing import UNKNOWN_LABEL, findings_of, looked_by
from appliance.world import ledger, wire
from appliance.world.drafter import Drafter, Reply
from appliance.world.ledger import drafts, updates

LOG = logging.getLogger("appliance.triage")
LOOK_PERIOD_S = 10.0
WRONG_PERIOD_S = 3600.0  # a runtime or weights that are not there are no case's fault: tried again after this
ATTEMPTS_MAX = 2
SERVER = "llama.cpp on this appliance"
OF_THE_SITE = ("llm-runtime-missing", "draft-weights")


@dataclass(frozen=True, slots=True)
class Asked:
    """The case that is being asked about, and since when (s, monotonic)."""

    case: Case
    since: float


class Drafting:
    """The step draft; without weights there is none.

    models  the installed ones, for the label of the one that looked
    """

    def __init__(
        self,
        config: Config,
        engine: Engine,
        cases: Engine,
        models: Callable[[], Sequence[Model]],
        drafter: Drafter | None,
    ) -> None:
        self.knobs, self.weights_sha256 = config.triage, config.draft.weights_sha256
        self.engine, self.cases, self.models, self.drafter = engine, cases, models, drafter
        self._asked: Asked | None = None
        self._look_again = 0.0

    def steps(self) -> dict[str, Step]:
        return {} if self.drafter is None else {"draft": self.draft}

    def draft(self, moment: Moment) -> bool:
        """Hears what came of the last question, else puts the next one."""
        drafter = self.drafter
        assert drafter is not None
        if self._asked is not None:
            reply = drafter.poll(moment.mono)
            if reply is None:
                return False
            asked, self._asked = self._asked, None
            self._hear(asked, reply, moment)
            return True
        if moment.mono < self._look_again:
            return False
        case = self._next(moment)
        if case is None:
            self._look_again = moment.mono + LOOK_PERIOD_S
            return False
        drafter.begin(question(case, drafter.name).body, moment.mono)
        self._asked = Asked(case, moment.mono)
        return True

    def _next(self, moment: Moment) -> Case | None:
        """The most urgent, then oldest case whose verdict is overdue and which was not asked about yet."""
        with self.cases.connect() as c:
            waiting = [
                row for row in wire.open_cases(c) if moment.wall - row.created_at > self.knobs.deadline_s(row.urgency)
            ]
        waiting.sort(key=lambda row: (-URGENCIES.index(row.urgency), row.created_at))
        with self.engine.begin() as c:
            policy = updates.policy(c)
            waiting = [row for row in waiting if may_draft(policy, row.case_id)]
            spent = drafts.spent(c, ATTEMPTS_MAX) if waiting else set()
            for row in waiting:
                result = None if row.case_id in spent else ledger.result_of_case(c, row.case_id)
                study = None if result is None else ledger.study_by_number(c, result.study_number)
                if result is None or study is None or study.state != "escalated" or study.revision != result.revision:
                    continue
                drafts.begin(c, row.case_id, study.number, study.revision, self.weights_sha256, moment.wall)
                case = guarded("triage.draft", lambda: self._case(row, study, result))  # noqa: B023 - called here
                if isinstance(case, Fault):
                    drafts.end(c, row.case_id, state="none", code=case.code, body=None, seconds=0.0, at=moment.wall)
                    continue
                return case
        return None

    def _case(self, row: Row[Any], study: Row[Any], result: Row[Any]) -> Case:
        """The case without pictures, of what the ledger holds in codes and numbers."""
        looked = looked_by(self.models(), result.model)
        return compose(
            case_id=row.case_id,
            revision=study.revision,
            said=Said(
                modality=study.modality if study.modality in MODALITIES else "",
                body_part="",
                view="",
                patient=Characteristics(age="", sex="", size_m=None, weight_kg=None),
            ),
            images=0,
            frames=0,
            urgency=result.priority,
            reasons=[reason["code"] for reason in result.reasons],
            would_be=result.would_be,
            scores=findings_of(result.scores),
            label=looked.manifest.label.name if looked else UNKNOWN_LABEL,
            model=None,
        )

    def _hear(self, asked: Asked, reply: Reply, moment: Moment) -> None:
        drafter = self.drafter
        assert drafter is not None

        def judged() -> dict[str, Any]:
            # Asked for only: no canary was sung to a process that answers once. The guard looks at all of it anyway.
            answered = completion_of(reply.data).answered(SERVER, drafter.name, enforced=False)
            if answered is None:
                raise Quarantined("llm-answer-invalid")
            return verdict_on(asked.case, answered).model_dump(mode="json")

        code, body = reply.code, None
        if not code:
            found = guarded("triage.draft", judged)
            code, body = (found.code, None) if isinstance(found, Fault) else ("", found)
        if code:
            FAULTS[code] += 1
            LOG.warning("triage.draft: no offline draft: %s", code)
        if code in OF_THE_SITE:
            self._look_again = moment.mono + WRONG_PERIOD_S
        state = "none" if body is None else "shown" if body["status"] == "ok" else "withheld"
        with self.engine.begin() as c:
            drafts.end(
                c,
                asked.case.case_id,
                state=state,
                code=code,
                body=body,
                seconds=moment.mono - asked.since,
                at=moment.wall,
            )

    def close(self) -> None:
        """Ends the question that is being asked; it counts as an attempt."""
        if self.drafter is not None:
            self.drafter.close()
