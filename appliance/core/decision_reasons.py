"""Why a reader does not agree with the machine, or cannot tell: a closed list of codes, so that it can be counted.

A code is stable; its words may be bettered. `other` says nothing by itself, so it needs a note.
"""

from appliance.core.say import say

DISAGREE: dict[str, str] = {
    "missed-finding": "The machine missed the finding",
    "false-finding": "The finding it flagged is not there",
    "other-finding": "Another finding matters more",
    "urgency-wrong": "The urgency is wrong",
    "not-for-model": "The machine should not have looked at this study",
    "draft-wrong": "The centre's draft is wrong",
    "other": "Something else: see the note",
}
CANNOT_TELL: dict[str, str] = {
    "image-quality": "The images are not good enough",
    "view-missing": "A view or series is missing",
    "needs-comparison": "Earlier images are needed",
    "needs-clinic": "Clinical facts are needed",
    "needs-other-exam": "Another kind of examination is needed",
    "other": "Something else: see the note",
}
OF_DECISION: dict[str, dict[str, str]] = {"agree": {}, "correct": DISAGREE, "cannot_tell": CANNOT_TELL}
NEEDS_NOTE = "other"
# Of a finding as it was proposed. Beside a cleared study the bare word could mean the lane, and train the opposite.
FINDING_SAID = {"right": "right: it is there", "wrong": "wrong: it is not there", "cannot_tell": "cannot tell"}
FINDINGS_MAX = 6


def words_of(code: str) -> str:
    """A code as a person reads it; one of a later version as it stands."""
    return DISAGREE.get(code) or CANNOT_TELL.get(code) or code


def why_refused(decision: str, reason: str, note: str) -> str | None:
    """What a reader must still do before this decision can be signed, as a sentence; None: nothing."""
    if decision not in OF_DECISION:
        return say("Choose agree, disagree or cannot tell; nothing was signed.")
    known = OF_DECISION[decision]
    if known and reason not in known:
        if decision == "correct":
            return say("Choose a reason from the list that says why you disagree; nothing was signed.")
        return say("Choose a reason from the list that says why it cannot be told; nothing was signed.")
    if not known and reason:
        return say("A reason goes with disagree or cannot tell only: choose one of them, or take the reason away.")
    if reason == NEEDS_NOTE and not note:
        return say("Say in the note what it is: the reason you chose does not tell; nothing was signed.")
    return None
