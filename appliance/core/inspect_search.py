"""What is searched for, given an identity.

From an identity come words, phrases, numbers, dates and UIDs, each with the least length at which a hit is more than
chance. Common words of the standard are not searched for when they come out of free text; words of a person's name
always are, except a few defined terms. It refuses to search for what chance would find in any honest object.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydicom._dicom_dict import DicomDictionary

from appliance.core.identity import Identity, Kind

NAME_LETTERS_MIN = 3  # of a word of a person's name, as a whole word of a text
WORD_LETTERS_MIN = 5  # of a word of any other text
ID_CHARACTERS_MIN = 4  # of an identifier, as a whole word of a text
NUMBER_DIGITS_MIN = 6  # of an identifier among numbers and in bytes
PHRASE_LETTERS_MIN = 10  # of a whole text, letters and digits only
UID_CHARACTERS_MIN = 8
BYTES_MIN = 6  # of anything searched for inside longer words and in raw bytes
ENCODINGS = (
    "utf-8",
    "utf-16-le",
    "utf-16-be",
    "latin-1",
    "iso8859_2",
    "iso8859_5",
    "iso8859_6",
    "iso8859_7",
    "iso8859_8",
    "iso8859_9",
    "tis_620",
    "shift_jis",
    "euc_jp",
    "euc_kr",
    "gb18030",
    "iso2022_jp",
)
NOBODYS_DATE = "18991230"  # the dummy of an earlier de-identification: no date of a patient's
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# The first three letters of months in languages of Latin script, and the number that they stand for.
MONTH_NUMBERS = {
    word: f"{number:02d}"
    for number, words in enumerate(
        (
            "jan ene gen",
            "feb fev fév",
            "mar mär mrz",
            "apr avr abr",
            "may mai mag maj",
            "jun giu",
            "jul lug",
            "aug aou aoû ago",
            "sep set",
            "oct okt ott out",
            "nov",
            "dec dez déc dic",
        ),
        start=1,
    )
    for word in words.split()
}
# Letters whose plain spelling is not the letter without its mark.
TRANSLITERATED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae", "œ": "oe", "ł": "l"})
# Defined terms and equipment makers that occur in honest output; a name made of one of them alone is not searched for.
DEFINED_TERMS = frozenset(
    re.findall(
        r"\w+",
        """abdomen adult anon anonymous axial brain breast chest child coronal ct derived dicom ear elbow extremity eye
        female foot hand head heart hip image jaw knee left leg localizer male mpr mri neck none normal nose original
        other pelvis phantom primary removed right sagittal secondary shoulder skull spine study test thorax unknown
        unspecified whole code composite container contains continuous date datetime num pname separate text time
        uidref waveform""",
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


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for. Text is casefolded; bytes stand in every encoding that can spell them, ASCII in lower case."""

    words: frozenset[str] = field(repr=False)  # whole words of a text
    numbers: frozenset[str] = field(repr=False)  # whole numbers
    groups: tuple[frozenset[str], ...] = field(repr=False)  # all words of one name, in any order
    inside: tuple[str, ...] = field(repr=False)  # anywhere, even inside a longer word
    phrases: tuple[str, ...] = field(repr=False)  # letters and digits only, anywhere
    dates: frozenset[str] = field(repr=False)
    times: frozenset[str] = field(repr=False)
    uids: frozenset[str] = field(repr=False)
    raw: tuple[bytes, ...] = field(repr=False)
    pictures: tuple[bytes, ...] = field(repr=False)  # the rarer part of raw, for bulk data


def words_of(text: str) -> list[str]:
    """Runs of letters and digits of any script."""
    return _TOKEN.findall(text)


@cache
def common_words() -> frozenset[str]:
    """Words of the standard's attribute names and code meanings: in free text they identify nobody."""
    # pydicom's own copy of the codes of PS3.16; a private module name, but the version is pinned.
    from pydicom.sr._concepts_dict import concepts

    vocabularies: dict[str, Any] = concepts
    texts = [str(entry[2]) for entry in DicomDictionary.values()]
    for by_keyword in vocabularies.values():
        texts += [str(code[0]) for codes in by_keyword.values() for code in codes.values()]
    words = frozenset(word.casefold() for text in texts for word in words_of(text))
    return words | DEFINED_TERMS | MAKERS | CASE_TERMS | SCANNER_TERMS


def search_for(identity: Identity) -> Search:
    """What to search for, given what identifies."""
    words: set[str] = set()
    groups: set[frozenset[str]] = set()
    phrases: set[str] = set()
    dates: set[str] = set()
    times: set[str] = set()
    uids: set[str] = set()
    strong: set[str] = set()
    excused = {word.casefold() for text in identity.products for word in words_of(text)}
    excused |= {"".join(words_of(text)).casefold() for text in identity.products}
    for item in identity.items:
        if item.kind == "date":
            dates |= {item.text} - {NOBODYS_DATE}
        elif item.kind == "time":
            if len(item.text) >= 6 and item.text[:6] != "000000":
                times.add(item.text[:6])
        elif item.kind == "uid":
            uids |= {item.text} if len(item.text) >= UID_CHARACTERS_MIN else set()
        else:
            own = _own_words(item.kind, item.text)
            weak = item.kind in ("text", "private")
            own -= excused if weak else set()
            words |= own
            if item.kind in ("name", "id", "phone"):
                strong |= own
            if item.kind == "name":
                groups |= _name_groups(item.text)
            phrases |= _phrase(item.kind, item.text, own) - (excused if weak else set())
    inside = {word for word in words if len(word) >= BYTES_MIN and not word.isdigit()}
    numbers = {word.lstrip("0") for word in words if word.isdigit() and len(word.lstrip("0")) >= NUMBER_DIGITS_MIN}
    spelled = inside | numbers | dates | {word for word in words if _dense(word)}
    return Search(
        words=frozenset(words),
        numbers=frozenset(numbers),
        groups=tuple(groups),
        inside=tuple(sorted(inside)),
        phrases=tuple(sorted(phrases)),
        dates=frozenset(form for date in dates for form in date_forms(date)),
        times=frozenset(times),
        uids=frozenset(uids),
        raw=_encoded(spelled) + tuple(sorted(uid.encode("ascii", "ignore") for uid in uids)),
        pictures=_encoded({word for word in strong & spelled if len(word) >= BYTES_MIN} | dates)
        + tuple(sorted(uid.encode("ascii", "ignore") for uid in uids)),
    )


def _own_words(kind: Kind, text: str) -> set[str]:
    words = {word.casefold() for word in words_of(text) if len(set(word)) > 1}
    if kind == "name":
        words |= _typed(text)
        return {
            word for word in words - DEFINED_TERMS if _long_enough(word, NAME_LETTERS_MIN) and not word.isdigit()
        } | {word for word in words if word.isdigit() and len(word) >= ID_CHARACTERS_MIN}
    if kind == "id":
        whole = text.strip().casefold()
        words = {word for word in words if any(letter.isdigit() for letter in word)} | (
            {whole} if whole.isalnum() else set()
        )
        return {word for word in words - common_words() if len(word) >= ID_CHARACTERS_MIN}
    return {word for word in words - common_words() if _long_enough(word, WORD_LETTERS_MIN)}


def _typed(name: str) -> set[str]:
    """How a name is typed where only plain capitals go: Müller as MUELLER or MULLER, O'Brien as OBRIEN, Li^Wu as LIWU.

    PS3.5 6.2: a code string has no other letters.
    """
    parts = [part for part in ("".join(words_of(part)) for part in re.split(r"[\^ ]+", name.partition("=")[0])) if part]
    whole = {"".join(order) for order in (parts, parts[::-1]) if len("".join(parts)) > NAME_LETTERS_MIN}
    folded = {word.casefold() for word in (*words_of(name), *parts, *whole)}
    plain = {unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode() for word in folded if _latin(word)}
    return folded | plain | {word.translate(TRANSLITERATED) for word in folded}


def _latin(word: str) -> bool:
    return max(word) < "\u0250"


def _long_enough(word: str, least: int) -> bool:
    return len(word) >= (2 if _dense(word) else least)


def _dense(word: str) -> bool:
    """Two characters of Han, Kana or Hangul say as much as a Latin word."""
    return len(word) > 1 and min(word) >= "\u2e80"


def _name_groups(text: str) -> set[frozenset[str]]:
    """Names too short for a search of their own, such as Li^Wu: both words in one text are a hit."""
    groups = (frozenset(word.casefold() for word in words_of(group)) for group in text.split("="))
    return {group for group in groups if len(group) > 1 and not group <= DEFINED_TERMS and sum(map(len, group)) > 3}


def _phrase(kind: Kind, text: str, own: set[str]) -> set[str]:
    squeezed = "".join(words_of(text)).casefold()
    if len(squeezed) < (BYTES_MIN if kind == "name" else PHRASE_LETTERS_MIN) or squeezed in DEFINED_TERMS:
        return set()
    return {squeezed} if own or kind == "name" else set()


def date_forms(date: str) -> tuple[str, ...]:
    """The ways in which people and programs write a date: YYYYMMDD first."""
    year, month, day = date[:4], date[4:6], date[6:8]
    forms = [date]
    for order in ((year, month, day), (day, month, year), (month, day, year)):
        forms += [mark.join(order) for mark in "-/."]
    name = MONTHS[int(month) - 1] if month.isdigit() and 1 <= int(month) <= 12 else month
    plain = day.lstrip("0")
    forms += [f"{plain} {name} {year}", f"{day}-{name}-{year}", f"{day} {name} {year}", f"{name} {plain}, {year}"]
    return tuple(forms)


def _encoded(texts: Iterable[str]) -> tuple[bytes, ...]:
    """Each text in each encoding that can spell it, no shorter than chance allows; ASCII letters in lower case."""
    found: set[bytes] = set()
    for text in texts:
        for form in {text, text.upper(), text.title()} if not text.isascii() else {text}:
            for encoding in ENCODINGS if not text.isascii() else ENCODINGS[:3]:
                spelled = _spelled(form, encoding)
                if len(spelled) >= (4 if _dense(text) else BYTES_MIN):
                    found.add(spelled.lower())
    return tuple(sorted(found))


def _spelled(text: str, encoding: str) -> bytes:
    try:
        raw = text.encode(encoding)
    except UnicodeEncodeError:
        return b""
    # Escape sequences stand around a run, not around each word of it.
    return re.sub(rb"\x1b[$(]+[@BDJ]", b"", raw)
