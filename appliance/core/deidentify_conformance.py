"""What the cleaner does, printed from the rules that it follows: the text of docs/deidentification.md.

It refuses to describe a rule that it does not read from the same tables as the cleaner.
"""

from collections import Counter

from appliance.core import annex_e, pseudonym
from appliance.core import deidentify_values as values
from appliance.core.deidentify import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, METHOD

_ACTIONS = {
    "X": "removed",
    "Z": "emptied",
    "D": "replaced by a dummy",
    "U": "replaced by a pseudonym; in a sequence, its items are cleaned and their UIDs replaced",
}
_INTRODUCTION = """# De-identification

Printed by `make docs` from `appliance/core/annex_e.json` and the tables of `appliance/core/deidentify_values.py`. Do
not edit.

Every object that is to leave goes through the Basic Application Level Confidentiality Profile of PS3.15 Annex E, at
every nesting level, and then through an inspector that shares no code with it and sees only the finished bytes and
the identity of the source. Pixel values stay as they are: text burned into a picture is not looked for here, and
until it is redacted no pixels leave the house.
"""
_LIMITS = """## Limits

- Pixels are not looked at. A received Burned In Annotation of NO is removed, except in the Enhanced classes, which may
  bear no other value.
- Refused as `deid-unsupported`: private and unknown SOP classes, media directories, private transfer syntaxes, video,
  codestreams that cannot be walked to their end, encapsulated documents other than PDF, damaged headers.
- ICC profiles are removed, because they hold text: a Color Palette object is then incomplete.
- Content of structured reports, graphic annotations and encapsulated PDF is replaced as a whole.
- The inspector searches bulk data for words of six characters or more only, because shorter ones would be found in
  noise; it does not read pictures. Words of the standard's attribute names, of defined terms and of equipment
  makers are not searched for when they come out of free text.
- A name that stands only in a code string, a product text or a number, and in no name, identifier or free text of the
  same object, is not known to be one and stays; so does a patient whose short identifier is also an honest number.
- Maker, model, software version and convolution kernel are kept, as the Basic Profile keeps them, unless they bear a
  word of a person's or institution's name.
"""


def conformance_text() -> str:
    """The conformance description that PS3.15 E.1.1 demands, as Markdown."""
    return "\n".join((_INTRODUCTION, _profile(), _outside(), _replacements(), _LIMITS, _rows()))


def _profile() -> str:
    counts = Counter(rule.basic_profile for rule in annex_e.RULES)
    lines = [
        "## Profile",
        "",
        f"PS3.15 edition {annex_e.EDITION}, Table E.1-1, {len(annex_e.RULES)} rows, content digest (SHA-256)",
        f"`{annex_e.CONTENT_SHA256}`.",
        "",
        "| action of the table | rows | what is done |",
        "|---|---|---|",
    ]
    lines += [f"| {code} | {counts[code]} | {_ACTIONS[annex_e.RESOLVED[code]]} |" for code in annex_e.RESOLVED]
    lines += [
        "",
        "Compound codes depend on the attribute's Type in its object; the choice here is valid for every Type. An",
        "attribute that is empty in the source stays empty. Exceptions:",
        "",
    ]
    lines += [f"- {keyword}: {action}, {why}." for keyword, (action, why) in annex_e.CHOSEN.items()]
    return "\n".join(lines) + "\n"


def _outside() -> str:
    return f"""## Attributes outside the table

Removed: private attributes, overlays (60xx) and curves (50xx) with all their attributes, group lengths, groups 0002,
0004 and FFFC of the data set, attributes that no dictionary knows, values of unknown representation, values whose
representation is not the standard's, binary data other than the bulk data listed, binary numbers beyond their Value
Multiplicity, URIs, pictures inside items of sequences (icons).

Kept: binary numbers, arrays of numbers, decimal and integer strings that read as numbers, code strings in the form of
PS3.5 unless they bear a word of a name, and these:

- bulk data: {", ".join(sorted(values.BULK))};
- texts in a fixed form: {", ".join(sorted(values.TEXTS))};
- codes that PS3.16 lists, with the meaning that it gives; any other code becomes `0`, `99REMOVED`.

Every other text, name, date and time is replaced by a dummy; sequences are cleaned item by item; UIDs are replaced.
Beside the picture: bits outside Bits Stored are cleared, bytes and fragments beyond the last frame cut off, offset
tables that do not fit made anew, unused offsets of RLE headers cleared, comments and foreign application segments taken
out of JPEG, JPEG-LS and JPEG 2000 codestreams.
"""


def _replacements() -> str:
    dummies = ", ".join(f"{vr} `{text}`" for vr, text in values.DUMMIES.items() if isinstance(text, str))
    return f"""## Replacements and insertions

- Dummies by representation: {dummies}; OB and OW two zero bytes.
- UIDs: HMAC-SHA256 under the site key, as a version 8 UUID under 2.25. UIDs that the standard registers stay. The same
  UID gives the same pseudonym in every object that this site key cleans, so references resolve.
- Patient's Name and Patient ID: `{pseudonym.PATIENT_PREFIX}` and 80 bits of HMAC-SHA256 over the Patient ID (over the
  name where there is no ID): patients stay distinct, and one patient stays one. An empty ID and name stay empty.
- The site key is at least {pseudonym.SITE_KEY_BYTES_MIN} random bytes; nothing is reversible without trying identities
  under the key.
- Dates and times are dummies; intervals between them are not kept.
- Inserted: Patient Identity Removed YES; De-identification Method `{METHOD}` and its code 113100, after earlier ones
  (their own words replaced, since they may name somebody); Longitudinal Temporal Information Modified REMOVED.
- Preamble: 128 zero bytes. File meta information is made anew: class, instance, transfer syntax, implementation
  `{IMPLEMENTATION_CLASS_UID}`, `{IMPLEMENTATION_VERSION_NAME}`; no AE titles, no private information.
"""


def _rows() -> str:
    lines = ["## Table E.1-1 as carried out", "", "| tag | attribute | VR | table | done |", "|---|---|---|---|---|"]
    rules = sorted(annex_e.RULES, key=lambda rule: rule.tag)
    lines += [f"| {rule.tag} | {rule.name} | {rule.vr} | {rule.basic_profile} | {rule.action} |" for rule in rules]
    return "\n".join(lines) + "\n"
