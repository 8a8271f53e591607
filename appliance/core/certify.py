"""From scores, labels and a plan to a certificate, and what a site is told on the way.

One film a patient; a film that a gate refused, or whose score is no number, is never decided and still counts as a
finding where it is one. A network of two exits is one path: the films that the first exit decides by ends fixed
beforehand, safest first, then those the second exit decides of the rest, safest first. A place on that path is all that
Learn then Test sees, so one delta pays for both exits (docs/decisions/0012-certificate.md). It opens no lane that the
test did not reach, and it knows no file, clock or key.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from appliance.core.certificate import (
    MEASURES_MAX,
    REFERENCE_MAX,
    Certificate,
    Ends,
    Evidence,
    Group,
    Plan,
    canonical_sha256,
    own_digest,
)
from appliance.core.learn_then_test import Lane, chosen_films, open_lane, upper_bound

NO_DIGEST = "0" * 64
FILM_CHOICE = "one film a patient: the lowest SHA-256 of the film's id"
STARTS = (0, 1, 2)
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


class ExitLanes(NamedTuple):
    """The lanes of one exit, thresholds as logits; films and errors are of all exits up to this one."""

    clear: Lane | None
    flag: Lane | None


@dataclass(frozen=True, slots=True)
class Scored:
    """One film as the rule met it, without its label.

    logits    one for each exit; NaN where an exit gave none
    passed    for each exit, whether every gate let the film pass there
    measures  gate measures by name
    """

    film: str
    patient: str
    logits: tuple[float, ...]
    passed: tuple[bool, ...]
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """Calibration patients, one film each, sorted by film. scores, passed [exit, patient]; no labels."""

    films: tuple[str, ...]
    scores: Floats
    passed: Bools
    measures: dict[str, Floats]

    @property
    def patients_sha256(self) -> str:
        """What the attempts on these patients are counted under."""
        return canonical_sha256(list(self.films))


def sample_of(scored: Sequence[Scored], exits: int = 1) -> Sample:
    """One film a patient, chosen by hash before any label is read."""
    chosen = [scored[i] for i in chosen_films([s.patient for s in scored], [s.film for s in scored])]
    chosen.sort(key=lambda film: film.film)
    names = sorted({name for film in chosen for name in film.measures})[: MEASURES_MAX - 1]
    return Sample(
        films=tuple(film.film for film in chosen),
        scores=np.array([film.logits for film in chosen], np.float64).reshape(len(chosen), exits).T,
        passed=np.array([film.passed for film in chosen], bool).reshape(len(chosen), exits).T,
        measures={name: np.array([film.measures.get(name, np.nan) for film in chosen], float) for name in names},
    )


class LanePath(NamedTuple):
    """One lane's path. place [patient]: 0, 1, ... from the safest, equal scores alike, infinite: never decided.

    block    [patient]: the exit that decides the film, counted from 0; -1: none
    towards  [exit, patient]: the lower, the safer to decide in this lane
    end      the first of two exits decides at or below it; None: nothing in this lane
    """

    place: Floats
    block: NDArray[np.int64]
    towards: Floats
    end: float | None


def lane_path(towards: Floats, passed: Bools, *, end: float | None, other: float | None) -> LanePath:
    """The path of one lane; `other` is where, on this lane's scale, the first of two exits decides otherwise."""
    exits, patients = towards.shape
    usable = passed & np.isfinite(towards)
    if exits == 1:
        blocks = [usable[0]]
    else:
        ours = usable[0] & (towards[0] <= (-np.inf if end is None else end))
        theirs = usable[0] & (towards[0] >= (np.inf if other is None else other))
        # A first exit that gave no number ends the matter: the second one is not asked.
        blocks = [ours, usable[1] & np.isfinite(towards[0]) & ~ours & ~theirs]
    place, block, before = np.full(patients, np.inf), np.full(patients, -1), 0
    for number, here in enumerate(blocks):
        distinct, rank = np.unique(towards[number][here], return_inverse=True)
        place[here], block[here] = before + rank, number
        before += len(distinct)
    return LanePath(place, block, towards, end)


def _lane(
    way: LanePath, last: int, wrong: Bools, plan: Plan, *, rate_max: float, miss_max: float | None, short_of: float
) -> Lane | None:
    """The lane up to and with exit `last`; None where the test ends before that exit decides anything."""
    here = way.block == last
    beyond = way.place[here & (way.towards[last] >= short_of)]
    found = open_lane(
        np.where(way.block <= last, way.place, np.inf),
        wrong,
        rate_max=rate_max,
        miss_max=miss_max,
        starts=plan.starts,
        delta=plan.delta_sequence,
        short_of=float(beyond.min()) if len(beyond) else np.inf,
    )
    if found is None or not (here & (way.place <= found.threshold)).any():
        return None
    whole = len(way.towards) > 1 and last == 0 and not (here & (way.place > found.threshold)).any()
    threshold = way.end if whole else float(way.towards[last][here & (way.place <= found.threshold)].max())
    assert threshold is not None
    return Lane(threshold, found.films, found.errors, found.start)


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def paths(scores: Floats, passed: Bools, plan: Plan) -> tuple[LanePath, LanePath]:
    """The cleared and the flagged lane's path through all exits; scores, passed [exit, patient]."""
    clear, flag = (None, None) if plan.exit_1 is None else (plan.exit_1.clear_at_or_below, plan.exit_1.flag_at_or_above)
    return (
        lane_path(scores, passed, end=clear, other=flag),
        lane_path(-scores, passed, end=_minus(flag), other=_minus(clear)),
    )


def open_lanes(scores: Floats, finding: Bools, passed: Bools, plan: Plan) -> list[ExitLanes]:
    """The lanes of every exit of one group.

    Where both lanes claim a film it is flagged: the cleared lane ends before the flagged one begins. A second exit's
    lane opens only behind a first one's that passed alone, up to the end it was given: the path leads through it.
    scores, passed  [exit, patient], or [patient] of one exit: the logit, whether every gate let the film pass
    finding         [patient]: the reference label
    """
    scores, passed, contract = np.atleast_2d(scores), np.atleast_2d(passed), plan.contract
    assert scores.shape == passed.shape == (1 if plan.exit_1 is None else 2, len(finding))
    clears, flags = paths(scores, passed, plan)
    opened: list[ExitLanes] = []
    for last in range(len(scores)):
        flag = _lane(flags, last, ~finding, plan, rate_max=contract.false_discovery_max, miss_max=None, short_of=np.inf)
        if flag is not None:
            flag = Lane(-flag.threshold, flag.films, flag.errors, flag.start)
        clear = _lane(
            clears,
            last,
            finding,
            plan,
            rate_max=contract.false_omission_max,
            miss_max=contract.miss_max,
            short_of=np.inf if flag is None else flag.threshold,
        )
        opened.append(ExitLanes(clear, flag))
    if len(opened) > 1:
        first, second = opened
        whole = (
            (None if first.clear is None else first.clear.threshold) == clears.end,
            (None if first.flag is None else first.flag.threshold) == _minus(flags.end),
        )
        opened[1] = ExitLanes(second.clear if whole[0] else None, second.flag if whole[1] else None)
    return opened


def evidence(lane: Lane | None, findings: int, delta: float, *, misses: bool) -> Evidence | None:
    """The numbers of a lane as the certificate prints them."""
    if lane is None:
        return None
    return Evidence(
        films=lane.films,
        errors=lane.errors,
        error_upper=upper_bound(lane.errors, lane.films, delta),
        findings=findings,
        miss_upper=upper_bound(lane.errors, findings, delta) if misses else None,
        start=lane.start,
    )


def half_end(towards: Floats, passed: Bools, end: float | None) -> float | None:
    """Where the safest half of a lane's calibration films lies; towards: the lower, the safer."""
    if end is None:
        return None
    inside = np.sort(towards[passed & np.isfinite(towards) & (towards <= end)])
    return float(inside[(len(inside) - 1) // 2])


def label_free(sample: Sample, exit_number: int) -> dict[str, tuple[float, ...]]:
    """What the calibration films were like, for watching drift: at most 512 films, chosen by hash, values sorted."""
    hashed = [hashlib.sha256(f"reference {film}".encode()).hexdigest() for film in sample.films]
    kept = sorted(range(len(hashed)), key=hashed.__getitem__)[:REFERENCE_MAX]
    told = {"logit": sample.scores[exit_number - 1], **sample.measures}
    values = {name: column[kept] for name, column in told.items()}
    return {name: tuple(sorted(map(float, each[np.isfinite(each)]))) for name, each in values.items()}


def scores_table(sample: Sample, finding: Bools) -> list[list[object]]:
    """What scores_sha256 is taken of: film, logit, whether it passed, label; of two exits lists of both."""

    def plain(values: list[float]) -> object:
        told = [value if np.isfinite(value) else None for value in values]
        return told[0] if len(told) == 1 else told

    return [
        [film, plain(logits), passed[0] if len(passed) == 1 else passed, bool(found)]
        for film, logits, passed, found in zip(
            sample.films, sample.scores.T.tolist(), sample.passed.T.tolist(), finding, strict=True
        )
    ]


def certificates(
    sample: Sample,
    finding: Bools,
    plan: Plan,
    *,
    name: str,
    note: str,
    site: str,
    group: Group,
    created: date,
    days: int,
) -> list[Certificate]:
    """One certificate an exit, unsigned, with whatever lanes the test opened; `opens` says whether there are any."""
    findings, delta = int(finding.sum()), plan.delta_sequence
    made = []
    for number, (clear, flag) in enumerate(open_lanes(sample.scores, finding, sample.passed, plan), 1):
        clear_end, flag_end = (None if lane is None else lane.threshold for lane in (clear, flag))
        scores, passed = sample.scores[number - 1], sample.passed[number - 1]
        # Under a warning nothing of a second exit is left: its half was tested behind the whole of the first.
        halved = number == 1 or plan.exit_1 == Ends(clear_at_or_below=None, flag_at_or_above=None)
        fields = {
            "schema_version": 2,
            "name": name if number == 1 else f"{name}/exit-{number}",
            "note": note,
            "site": site,
            "group": group,
            "plan": plan,
            "plan_digest": plan.digest,
            "exit": number,
            "scores_sha256": canonical_sha256(scores_table(sample, finding)),
            "patients": len(finding),
            "findings": findings,
            "gated_out": int((~sample.passed.any(axis=0)).sum()),
            "clear_at_or_below": clear_end,
            "clear_at_or_below_half": half_end(scores, passed, clear_end) if halved else None,
            "flag_at_or_above": flag_end,
            "flag_at_or_above_half": _minus(half_end(-scores, passed, _minus(flag_end))) if halved else None,
            "cleared": evidence(clear, findings, delta, misses=True),
            "flagged": evidence(flag, findings, delta, misses=False),
            "reference": label_free(sample, number),
            "created": created,
            "expires": created + timedelta(days=days),
            "digest": NO_DIGEST,
        }
        draft = Certificate.model_validate(fields)
        made.append(draft.model_copy(update={"digest": own_digest(draft)}))
    return made
