"""What the cleaner does, printed from the rules that it follows: the text of docs/deidentification.md.

It refuses to describe a rule that it does not read from the same tables as the cleaner.
"""

from collections import Counter

from appliance.core import annex_e, pseudonym
from appliance.core.deidentify import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    METHOD,
    iod_types,
    safe_private,
    values,
)
from appliance.core.deidentify.clinical_words import WORDS
from appliance.core.deidentify.dates import WEEKS_MAX, WEEKS_MIN
from appliance.core.options import CODES, OPTIONS, PROFILES, Option

_ACTIONS = {
    "X": "removed",
    "Z": "emptied",
    "D": "replaced by a dummy",
    "U": "UIDs replaced by pseudonyms, in a sequence those of its items",
}
_OPTION_TEXTS: dict[Option, str] = {
    "clean-pixel-data": "Text in the picture is found, read and blackened in the stored values; marks of laterality, "
    "view, scale and orientation stay. Burned In Annotation becomes NO. An object whose picture nobody can "
    "read is refused.",
    "clean-recognizable-visual-features": "Head CT and MR are defaced; an object for which that cannot be done is "
    "refused. Recognizable Visual Features becomes NO.",
    "clean-graphics": "Graphic annotations stay, their texts cleaned. Overlays and curves are removed all the same: a "
    "bitmap of handwriting has no other cleaning here.",
    "clean-structured-content": "Content items stay, each cleaned by the rules of its elements; items whose concept "
    "Table E.3.4-1 names are removed or replaced as it says.",
    "clean-descriptors": f"Of a description the clinical words stay, {len(WORDS)} of them by list, with quantities and "
    "short terms such as T2; every other word goes, and so does a clinical word that is also a word of a name.",
    "retain-longitudinal-full-dates": "Dates and times stay as they are, in attributes that hold dates.",
    "retain-longitudinal-modified-dates": f"Dates move back by whole weeks, {WEEKS_MIN} to {WEEKS_MAX} of them, one "
    "offset a patient, keyed; times of day stay. Dates inside texts are removed, not moved.",
    "retain-patient-characteristics": "Age, sex, size, weight and the like stay. Ages above 89 years become 090Y; "
    "texts are cleaned as descriptors are.",
    "retain-device-identity": "Names, numbers and UIDs of devices stay; an AE title only if it bears no name.",
    "retain-uids": "UIDs stay.",
    "retain-safe-private": f"Private attributes stay that are known to be safe ({safe_private.COUNT} by creator and "
    "element) and whose value agrees: texts that bear no name, numbers, bytes that do not read as text. Sequences are "
    "gone through element by element.",
    "retain-institution-identity": "Names, addresses and codes of institutions stay unless they bear a person's name.",
}
_INTRODUCTION = """# De-identification

Printed by `make docs` from the tables that the cleaner follows. Do not edit.

Every object that is to leave goes through the Basic Application Level Confidentiality Profile of PS3.15 Annex E with
the options chosen, at every nesting level; then through an inspector that shares no code with the cleaner and sees
only the finished bytes and the identity of the source, in the header and in the picture. What either cannot decide
stays here, with the place named and never the value.
"""
_LIMITS = """## Limits

- Refused as `deid-unsupported`: private and unknown SOP classes, media directories, private transfer syntaxes, video,
  codestreams that cannot be walked to their end, comments inside JPEG 2000 tile-parts, encapsulated documents other
  than PDF and CDA, damaged headers, pictures that no decoder here reads.
- A received ICC profile is replaced by a plain sRGB one: it keeps the object whole and loses the device's own colours.
- Without Clean Structured Content and Clean Graphics, structured reports and graphic annotations are replaced as a
  whole; encapsulated documents always are, by an empty one.
- An object that is redacted is no longer compressed: its blackened frames are written as Explicit VR Little Endian.
- A name that is also a clinical word, that stands in a description and in no name, identifier or institution of the
  same object, is not known to be one and may stay under Clean Descriptors.
- Maker, model, software version and convolution kernel stay, as in the Basic Profile, unless they bear a word of a
  person's or institution's name.
- What defacing does not promise is said in decisions/0009-defacing.md.
"""


def conformance_text() -> str:
    """The conformance description that PS3.15 E.1.1 demands, as Markdown."""
    return "\n".join((_INTRODUCTION, _profile(), _options(), _outside(), _replacements(), _LIMITS, _rows()))


def _profile() -> str:
    counts = Counter(rule.basic_profile for rule in annex_e.RULES)
    lines = [
        "## Profile",
        "",
        f"PS3.15 edition {annex_e.EDITION}, Table E.1-1, {len(annex_e.RULES)} rows, content digest (SHA-256)",
        f"`{annex_e.CONTENT_SHA256}`.",
        "",
        "| action of the table | rows | Type 3 or not in the object | Type 2 | Type 1 | object not listed |",
        "|---|---|---|---|---|---|",
    ]
    for code, count in sorted(counts.items()):
        by_type = annex_e.COMPOUND.get(code)
        if by_type is None:
            lines.append(f"| {code} | {count} | {_ACTIONS[code]} | the same | the same | the same |")
        else:
            done = " | ".join(_ACTIONS[action] for action in (*by_type.values(), annex_e.WHATEVER[code]))
            lines.append(f"| {code} | {count} | {done} |")
    lines += [
        "",
        f"Types are those of {iod_types.SOURCE}. An attribute that is empty in the source stays empty.",
        f"{annex_e.REFERENCES_STAY}.",
        "Exceptions:",
        "",
    ]
    lines += [f"- {keyword}: {_ACTIONS[action]}, {why}." for keyword, (action, why) in annex_e.CHOSEN.items()]
    return "\n".join(lines) + "\n"


def _options() -> str:
    lines = ["## Options", "", "| option | CID 7050 | what it does | in profile |", "|---|---|---|---|"]
    for option in OPTIONS:
        within = ", ".join(name for name, options in PROFILES.items() if option in options)
        lines.append(f"| `{option}` | {CODES[option]} | {_OPTION_TEXTS[option]} | {within} |")
    lines += [
        "",
        "Where one option keeps an attribute and another cleans it, it is cleaned. Full and modified dates exclude",
        "each other. Each option's code is added to De-identification Method Code Sequence after earlier entries.",
    ]
    return "\n".join(lines) + "\n"


def _outside() -> str:
    return f"""## Attributes outside the table

Removed: private attributes, overlays (60xx) and curves (50xx) with all their attributes, group lengths, groups 0002,
0004 and FFFC of the data set, attributes that no dictionary knows, values of unknown representation, values whose
representation is not the standard's, binary data other than the bulk data listed, binary numbers beyond their Value
Multiplicity, URIs, pictures inside items of sequences (icons). A value of unknown representation that reads as a
sequence is cleaned as one.

Kept: binary numbers, arrays of numbers, decimal and integer strings that read as numbers, code strings in the form of
PS3.5 whose longer words are all words of the standard or the clinic and which bear no name, and these:

- bulk data: {", ".join(sorted(values.BULK))};
- texts in a fixed form: {", ".join(sorted(values.TEXTS.keys() | values.PHYSICS_WORDS))};
- codes that PS3.16 lists, with the meaning that it gives; any other code becomes `0`, `99REMOVED`.

Every other text, name, date and time is replaced by a dummy; sequences are cleaned item by item; UIDs are replaced.
Beside the picture: bits outside Bits Stored are cleared, bytes and fragments beyond the last frame cut off, offset
tables that do not fit made anew, unused offsets of RLE headers cleared, comments and foreign application segments taken
out of JPEG, JPEG-LS and JPEG 2000 codestreams.
"""


def _replacements() -> str:
    dummies = ", ".join(f"{vr} `{text.decode()}`" for vr, text in values.DUMMIES.items() if text.strip(b"\0"))
    return f"""## Replacements and insertions

- Dummies by representation: {dummies}; OB and OW two zero bytes.
- UIDs: HMAC-SHA256 under the site key, as a version 8 UUID under 2.25. UIDs that the standard registers stay. The same
  UID gives the same pseudonym in every object that this site key cleans, so references resolve.
- Patient's Name and Patient ID: `{pseudonym.PATIENT_PREFIX}` and 80 bits of HMAC-SHA256 over the Patient ID (over the
  name where there is no ID): patients stay distinct, and one patient stays one. An empty ID and name stay empty.
- The site key is at least {pseudonym.SITE_KEY_BYTES_MIN} random bytes; nothing is reversible without trying identities
  under the key.
- Inserted: Patient Identity Removed YES; De-identification Method `{METHOD}` and the codes of the profile and its
  options, after earlier ones (their own words replaced, since they may name somebody); Longitudinal Temporal
  Information Modified REMOVED, or MODIFIED or UNMODIFIED under the options for dates.
- Preamble: 128 zero bytes. File meta information is made anew: class, instance, transfer syntax, implementation
  `{IMPLEMENTATION_CLASS_UID}`, `{IMPLEMENTATION_VERSION_NAME}`; no AE titles, no private information.
"""


def _rows() -> str:
    lines = [
        "## Table E.1-1 as carried out",
        "",
        "| tag | attribute | VR | Basic Profile | options |",
        "|---|---|---|---|---|",
    ]
    for rule in sorted(annex_e.RULES, key=lambda rule: rule.tag):
        options = ", ".join(f"{name.replace('_', '-')} {action}" for name, action in rule.options)
        lines.append(f"| {rule.tag} | {rule.name} | {rule.vr} | {rule.basic_profile} | {options} |")
    return "\n".join(lines) + "\n"
