"""The language a page is said in: its reader's choice, gettext catalogues, and the order of dates and numbers.

English stands in the code and is its own catalogue. A translation is a file locale/<code>.po, compiled in memory when
somebody first asks for it. What is not in a catalogue is said in English: no text is ever left out, and no word of a
patient, a site or a language model is looked up by a page (`tr` is for what comes from closed lists of ours).
"""

import gettext
import io
import re
from contextvars import ContextVar
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from babel.core import negotiate_locale
from babel.dates import format_date
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import get_decimal_symbol
from jinja2 import Environment

from appliance.core.say import Figure, Said, inner

HERE = Path(__file__).parent / "locale"
LANGUAGES = {"en": "English", "de": "Deutsch"}
LANGUAGE: ContextVar[str] = ContextVar("language", default="en")
ACCEPT_CHARACTERS_MAX = 200
RANGE = re.compile(
    r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*|\*)\s*(?:;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?\s*"
)


def preferred(accept: str, default: str) -> str:
    """The language of ours that a browser asks for (Accept-Language, RFC 9110 12.5.4), else the site's."""
    found: list[tuple[float, str]] = []
    for each in accept[:ACCEPT_CHARACTERS_MAX].split(","):
        told = RANGE.fullmatch(each)
        if told is not None and told[1] != "*" and float(told[2] or 1):
            found.append((float(told[2] or 1), told[1]))
    asked = [name for _weight, name in sorted(found, key=lambda each: -each[0])]
    return negotiate_locale(asked, list(LANGUAGES), sep="-") or default


def use(code: str | None) -> None:
    """From now on this request is answered in that language; a code of none of ours changes nothing."""
    if code in LANGUAGES:
        LANGUAGE.set(code)


@lru_cache
def catalogue(code: str) -> Catalog:
    """What translators wrote, with the places in the code where each sentence stands."""
    with (HERE / f"{code}.po").open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


@lru_cache
def _spoken(code: str) -> gettext.NullTranslations:
    if code == "en":
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, catalogue(code))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _(msgid: str, /, **values: object) -> str:
    """A sentence of the review room in the reader's language; %(name)s in it takes a value."""
    return tr(Said(msgid, values=values))


def n_(msgid: str, plural: str, count: int, /, **values: object) -> str:
    """The same about so many things; %(count)s is their number."""
    return tr(Said(msgid, plural, count, {"count": count, **values}))


def tr(said: object) -> str:
    """Words of ours in the reader's language: a sentence with its values, a number, or an entry of a closed list.

    It is escaped on a page as any text is; what no catalogue holds is said as it stands.
    """
    if not said:
        return ""  # gettext has its header there
    if isinstance(said, Figure):
        return said if LANGUAGE.get() == "en" else said.replace(".", get_decimal_symbol(LANGUAGE.get()))
    spoken = _spoken(LANGUAGE.get())
    if not isinstance(said, Said):
        return spoken.gettext(str(said))
    worded = spoken.ngettext(said.msgid, said.plural, said.number) if said.plural else spoken.gettext(said.msgid)
    told = {name: tr(value) if isinstance(value, Said | Figure) else value for name, value in said.values.items()}
    text = worded % told if told else worded
    return inner(text) if said.clause else text


def capital(text: str) -> str:
    """A sentence's beginning; the rest as it stands, because German nouns are capital throughout."""
    return text[:1].upper() + text[1:]


class Moment(float):
    """A wall time in a sentence that is said to several readers: s since 1970."""

    def __str__(self) -> str:
        return moment(datetime.fromtimestamp(self, UTC).astimezone())


def in_order(day: date) -> str:
    """A calendar day: ISO 8601 in English, which no two English-speaking countries read differently; else as usual."""
    return day.isoformat()[:10] if LANGUAGE.get() == "en" else format_date(day, "medium", locale=LANGUAGE.get())


def moment(then: datetime, *, seconds: bool = True) -> str:
    """A day and a time of day."""
    return f"{in_order(then.date())} {then:%H:%M:%S}" if seconds else f"{in_order(then.date())} {then:%H:%M}"


def script_words() -> dict[str, str]:
    """What the page's scripts say, English to the reader's language: nothing where that is English."""
    if LANGUAGE.get() == "en":
        return {}
    return _script_words(LANGUAGE.get())


@lru_cache
def _script_words(code: str) -> dict[str, str]:
    return {
        str(each.id): str(each.string)
        for each in catalogue(code)
        if each.id and any(str(place).endswith(".js") for place, _line in each.locations)
    }


def speak(templates: Environment) -> None:
    """Lets templates mark their words: {% trans %}, _("..."), and the filter `tr` for words that come from the code."""
    templates.add_extension("jinja2.ext.i18n")
    made: Any = templates
    made.install_gettext_callables(
        lambda msgid: _spoken(LANGUAGE.get()).gettext(msgid),
        lambda one, other, count: _spoken(LANGUAGE.get()).ngettext(one, other, count),
        newstyle=True,
    )
    templates.filters["tr"], templates.filters["capital"] = tr, capital
    templates.globals |= {"script_words": script_words, "language": LANGUAGE.get, "languages": LANGUAGES}
