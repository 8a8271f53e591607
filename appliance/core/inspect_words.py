"""Words that identify nobody: of the standard, of machines, and of what cases speak of.

They are left out of the search when they come out of free text; a person's name is searched for even if it is one of
them, but for a few defined terms. It refuses to hold anything that only one hospital says.
"""

import re
from functools import cache
from typing import Any

from pydicom._dicom_dict import DicomDictionary

# Defined terms and equipment makers that occur in honest output; a name made of one of them alone is not searched for.
DEFINED_TERMS = frozenset(
    re.findall(
        r"\w+",
        """abdomen adult anon anonymous axial brain breast chest child coronal ct derived dicom ear elbow extremity eye
        female foot hand head heart hip image jaw knee left leg localizer male mpr mri neck none normal nose original
        other pelvis phantom primary removed right sagittal secondary shoulder skull spine study test thorax unknown
        unspecified whole code composite container contains continuous date datetime num pname separate text time
        uidref waveform yes modified unmodified""",
    )
)
# What cases themselves speak of: the question a film was taken for is no identity when the answer repeats it.
CASE_TERMS = frozenset(
    re.findall(
        r"\w+",
        """atelectasis cardiomegaly cleared consolidation covered cough drift edema effusion emphysema escalated fever
        fibrosis flagged fracture hernia infiltrate infiltration lesion mass oedema opacity paediatric pediatric
        pleural pneumonia pneumothorax quality routine score sharpness thickening triage tuberculosis urgent viral
        bacterial""",
    )
)
# What scanners write into code strings and into series descriptions alike.
SCANNER_TERMS = frozenset(
    re.findall(
        r"\w+",
        """bitewing boost colour fatsat fluorospot freeze imaginary landscape lossless minip portrait recon reformatted
        scanogram scout screensave smart surview topogram tracew tracker""",
    )
)
MAKERS = frozenset(
    re.findall(
        r"\w+",
        """acuson agfa aloka canon carestream elekta fuji fujifilm fujitsu general electric ge gems healthcare hitachi
        hologic kodak konica medical medison minolta mindray philips picker samsung shimadzu siemens sony systems
        toshiba ultrasound varian""",
    )
)
_TOKEN = re.compile(r"[^\W_]+")


# What a de-identifier says of itself, in the two places where it may: no patient is meant, whoever is called so, and
# "PS3.15 2026" is no day in March.
METHOD_PLACES = frozenset({"DeidentificationMethod", "ImplementationVersionName"})
_METHOD = re.compile(
    r"PS ?3\.15|\b20\d\d[a-e]\b|\d{6}(?= )|(?<![a-z])(?:and|annex|appliance|application|basic|characteristics|clean|"
    r"confidentiality|content|deid|dates|descriptors|device|diagnostic|earlier|edge|features|full|graphics|identity|"
    r"institution|its|level|longitudinal|method|modified|options?|patient|pixel data|private|profile|recognizable|"
    r"removed|retain|safe|structured|temporal|text|uids|visual|with)(?![a-z])",
    re.IGNORECASE,
)


def without_method(text: str) -> str:
    """A text of METHOD_PLACES without what any de-identifier may say there."""
    return _METHOD.sub(" ", text)


def words_of(text: str) -> list[str]:
    """Runs of letters and digits of any script."""
    return _TOKEN.findall(text)


@cache
def _concepts() -> dict[str, Any]:
    # pydicom's own copy of the codes of PS3.16; a private module name, but the version is pinned.
    from pydicom.sr._concepts_dict import concepts

    return dict(concepts)


@cache
def standard_codes() -> frozenset[str]:
    """Code values and meanings of PS3.16, and what the older values are called: they name no person."""
    from pydicom.sr._snomed_dict import mapping

    found = {str(value) for value in mapping["SRT"]}
    for by_keyword in _concepts().values():
        for codes in by_keyword.values():
            for value, entry in codes.items():
                meaning = str(entry[0])
                found |= {str(value), meaning, meaning.encode("ascii", "replace").decode()[:64].strip()}
    return frozenset(found)


@cache
def common_words() -> frozenset[str]:
    """Words of the standard's attribute names and code meanings: in free text they identify nobody."""
    texts = [str(entry[2]) for entry in DicomDictionary.values()]
    for by_keyword in _concepts().values():
        texts += [str(code[0]) for codes in by_keyword.values() for code in codes.values()]
    words = frozenset(word.casefold() for text in texts for word in words_of(text))
    return words | DEFINED_TERMS | MAKERS | CASE_TERMS | SCANNER_TERMS
