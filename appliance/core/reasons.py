"""Every reason a decision can give, in words: a stable code for machines, a sentence without patient data for people.

Each part of the rule words its own; here they are one dict, for the page, the wire and the documentation.
"""

from collections.abc import Sequence

from appliance.core.applies import APPLIES_REASONS
from appliance.core.certificate import CERTIFICATE_REASONS
from appliance.core.gates import GATE_REASONS
from appliance.core.outputs import OUTPUT_REASONS
from appliance.core.series import SERIES_REASONS
from appliance.core.study import Reason

REASONS: dict[str, str] = {
    "no-model-installed": "No model is installed here.",
    "no-model-applies": "No model here was made for this study.",
    "rule-takes-model-away": "A rule of this site keeps every model that covers this study from looking at it.",
    "model-stopped": "The model was stopped here, so it decides nothing.",
    "weights-random": "The model's weights are random: it says nothing of the patient and can only escalate.",
    "values-not-hounsfield": "The header does not say that the values are Hounsfield units, as the model needs them.",
    "certificate-revoked": "The certificate was taken away by an alarm or by a person.",
    "clock-behind": "The clock here reads earlier than what was decided before, so no certificate's dates can be told.",
    "certificate-shrunk": "The certificate is under warning: only the safest half of its lanes is open.",
    "certificate-other-exit": "The certificate was made for another rule at the network's first exit.",
    "image-broken-beside": "Another image of this study came broken and cannot be read.",
    "study-came-again": "The study was signed and forgotten here before, and has come again.",
    "study-salvaged": "The ledger was lost, and the study was taken in anew from its kept files.",
    "released-in-conflict": "Two different files bear one UID; a person released the study all the same.",
    "score-between": "The score lies in no lane that the certificate opens.",
    "cleared-under-certificate": "The score lies in the cleared lane of a valid certificate.",
    "flagged-under-certificate": "The score lies in the flagged lane of a valid certificate.",
    **APPLIES_REASONS,
    **SERIES_REASONS,
    **OUTPUT_REASONS,
    **GATE_REASONS,
    **CERTIFICATE_REASONS,
}


def in_words(codes: Sequence[str]) -> tuple[Reason, ...]:
    return tuple(Reason(code, REASONS[code]) for code in codes)
