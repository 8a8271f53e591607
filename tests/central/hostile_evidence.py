"""Attacks beside the sentences: what an opinion says it rests on, and what a server calls itself and its model.

Written by an auditor after the sentences had to agree: (kind, changes of the case, whether the model was shown its key
images, changes of the answer), and names.
"""

from collections.abc import Iterator

from appliance.core.case import Opinion
from tests.central.hostile_forms import READ, TWO, Attack, of, saying, scored

MEASURES_THAT_ARE_NONE = (
    *("no-finding", "normal", "seen-by-radiologist", "Dr-Miller", "MRN-12345", "pneumonia-excluded", "benign"),
)
NAMES = (
    *("DOE-JANE-19610302", "jane.doe@hospital.org", "MRN12345678", "0176-123-4567", "1.2.840.113619.2.55"),
    *("Dr.Mueller-radiologist", "read-by-Dr-Smith", "signed-by-radiologist", "seen-by-a-radiologist", "NAD"),
    *("FDA-approved-reader", "board-certified-radiologist", "pneumonia-absent", "study-OK", "no-need-to-read"),
    *("all-good", "discharge-the-patient", "send-home", "https://evil.example/x", "some-model-all-good"),
    *("some-model-19610302", "some-model:DOE", "vllm-pneumonia-absent", "vllm/0.9-Dr.Mueller"),
)


def _evidence() -> Iterator[Attack]:
    kind = "evidence of another finding"
    for cited in (("F2",), ("F2", "F2"), ("entropy_bits", "F2")):
        for other in ("F1", "F2"):
            opinions = (_opinion("pneumonia", "uncertain", *cited), _opinion("effusion", "uncertain", other))
            yield kind, TWO, False, saying(READ, opinions=opinions)
    kind = "the lower of two scores as evidence"
    for high, low in ((0.9, 0.03), (0.9, 0.6)):
        case = scored(("pneumonia", high), ("pneumonia", low))
        for word in ("uncertain", "present"):
            yield kind, case, False, saying(READ, opinions=(_opinion("pneumonia", word, "F2"),))
    kind = "a measure that is none as evidence"
    for name in MEASURES_THAT_ARE_NONE:
        for word in ("uncertain", "present"):
            opinions = (_opinion("pneumonia", word, "F1", name),)
            yield kind, {"gates": {name: 0.03}}, False, saying(READ, opinions=opinions)
    kind = "absent where a gate failed"
    for gate in ("gate-out-of-distribution", "gate-adult", "gate-exposure"):
        for would_be in ("escalated", "flagged", "cleared", None):
            case = {**scored(("pneumonia", 0.04), ("effusion", 0.02)), "reasons": (gate,), "would_be": would_be}
            opinions = of("pneumonia", "uncertain", "effusion", "absent")
            yield kind, case, False, saying(READ, opinions=opinions)


def _opinion(label: str, word: str, *evidence: str) -> Opinion:
    return Opinion.model_validate({"label": label, "assessment": word, "evidence": evidence})


EVIDENCE: tuple[Attack, ...] = tuple(_evidence())
