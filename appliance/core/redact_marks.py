"""Which texts may stay in a picture: marks of side, view, orientation and scale, technique factors, and SYNTHETIC.

An allow-list: whatever is not spelled here is blackened. Nothing on it can be a name, a number of a person or a date:
a single letter, a defined word, or a short number with its unit or its index beside it.
"""

import re

from appliance.core.eyes import Reading

CERTAINTY_MIN, MEAN_CERTAINTY_MIN = 0.5, 0.8  # of the least and of all characters
WORDS_MAX = 3
_WORD = re.compile(
    r"""(?:
    [LRAPHFSI]                                               # side and orientation of the patient, PS3.3 C.7.6.1.1.1
    | LEFT | RIGHT | LT | RT
    | AP | PA | LAT | LATERAL | LL | RL | OBL | OBLIQUE | LPO | RPO | LAO | RAO
    | [LR]?(?:MLO | CC | ML | LM | XCCL | SIO | AT | CV)     # PS3.16 CID 4014, mammography views
    | ERECT | UPRIGHT | SUPINE | PRONE | STANDING | SITTING | PORTABLE | DECUB | DECUBITUS | INSP | EXP
    | FRONTAL | AXIAL | SAGITTAL | CORONAL | CM | MM
    | SYNTHETIC                                              # the film shows nobody; blackening that would be a lie
    )""",
    re.VERBOSE,
)
_SIZED = re.compile(
    r"""(?:
    \d{1,3}(?:[.,]\d)?\ ?(?:CM|MM)                           # scale
    | \d{2,3}\ ?KVP? | \d{1,4}(?:[.,]\d{1,2})?\ ?MAS?        # exposure
    | (?:MI|TI[SBC]?)\ ?[<:]?\ ?\d[.,]\d                     # PS3.3 C.8.5.5: mechanical and thermal index
    )""",
    re.VERBOSE,
)


def benign(reading: Reading) -> bool:
    """Whether a text is a mark that may stay, read with enough certainty to say so."""
    sure = [each for letter, each in zip(reading.text, reading.certainty, strict=True) if not letter.isspace()]
    if not sure or min(sure) < CERTAINTY_MIN or sum(sure) / len(sure) < MEAN_CERTAINTY_MIN:
        return False
    text = " ".join(reading.text.upper().split())
    if _SIZED.fullmatch(text):
        return True
    words = text.split()
    return 0 < len(words) <= WORDS_MAX and all(_WORD.fullmatch(word) for word in words)
