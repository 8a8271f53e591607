"""Where a study can be, and every move it can make. Nothing else in the house writes a state.

States of a study stand in the clinical ledger, states of a case in the wire's two databases. A move that is not in
MOVES or WIRE_MOVES does not exist; the ledger refuses it, and docs/architecture.md prints its diagram from here.
"""

from typing import Literal, get_args

State = Literal[
    "received", "complete", "routine", "hard", "escalated", "answered", "reviewed", "quarantined", "forgotten"
]
STATES: tuple[State, ...] = get_args(State)

# Who moves a study on from a state. A state with no owner waits for a person or for new images.
OWNERS: dict[State, str] = {
    "received": "triage.assemble",
    "complete": "triage.judge",
    "routine": "a clinician's signature",
    "hard": "triage.seal",
    "escalated": "triage.absorb",
    "answered": "a clinician's signature",
    "reviewed": "triage.forget, where a site set a retention",
    "quarantined": "a person: release or reject",
    "forgotten": "nobody: the end",
}

# (from, to): the event. A late instance is a move to `received` with revision + 1, from any state; a release makes a
# new revision too, so that what was set aside is decided and sealed anew.
MOVES: dict[tuple[State, State], str] = {
    ("received", "complete"): "quieted",
    ("complete", "routine"): "decided",
    ("complete", "hard"): "abstained",
    ("hard", "escalated"): "sealed",
    ("escalated", "answered"): "verdict",
    ("routine", "reviewed"): "signed",
    ("hard", "reviewed"): "signed",
    ("escalated", "reviewed"): "signed",
    ("answered", "reviewed"): "signed",
    ("received", "quarantined"): "gave up",
    ("complete", "quarantined"): "gave up",
    ("hard", "quarantined"): "gave up",
    ("escalated", "quarantined"): "gave up",
    ("quarantined", "complete"): "released",
    ("quarantined", "reviewed"): "rejected",
    ("received", "received"): "late instance",
    ("complete", "received"): "late instance",
    ("routine", "received"): "late instance",
    ("hard", "received"): "late instance",
    ("escalated", "received"): "late instance",
    ("answered", "received"): "late instance",
    ("reviewed", "received"): "late instance",
    ("quarantined", "received"): "late instance",
    ("reviewed", "forgotten"): "forgotten",
    ("forgotten", "received"): "came again",
}

END_STATES: frozenset[State] = frozenset({"routine", "answered", "reviewed", "quarantined", "forgotten"})

WireState = Literal["queued", "sending", "received", "answered", "closed", "refused", "cancelled"]
WIRE_STATES: tuple[WireState, ...] = get_args(WireState)
WIRE_MOVES: dict[tuple[WireState, WireState], str] = {
    ("queued", "sending"): "published",
    ("sending", "queued"): "overdue",
    ("queued", "received"): "receipt",
    ("sending", "received"): "receipt",
    ("queued", "answered"): "verdict before its receipt",
    ("sending", "answered"): "verdict before its receipt",
    ("received", "answered"): "verdict",
    ("answered", "closed"): "absorbed",
    ("queued", "refused"): "refusal",
    ("sending", "refused"): "refusal",
    ("queued", "cancelled"): "superseded",
    ("sending", "cancelled"): "superseded",
    ("received", "cancelled"): "superseded",
    ("answered", "cancelled"): "superseded",
    ("refused", "cancelled"): "superseded",
}

# Where a correction handed over stands; it is made once, and what ended stays ended.
CorrectionState = Literal["waiting", "sending", "filed", "refused", "withdrawn"]
CORRECTION_STATES: tuple[CorrectionState, ...] = get_args(CorrectionState)
CORRECTION_MOVES: dict[tuple[CorrectionState, CorrectionState], str] = {
    ("waiting", "sending"): "published, its case being at the centre",
    ("sending", "filed"): "the centre's word",
    ("sending", "refused"): "the centre's word",
    ("waiting", "withdrawn"): "its case was taken back before the centre had it",
}


def event(start: State, end: State) -> str:
    """The name of the move, or an assertion: an illegal move is our own mistake, never the world's."""
    assert (start, end) in MOVES, f"no move leads from {start} to {end}"
    return MOVES[start, end]
