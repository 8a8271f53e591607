"""Gathers every sentence of the review page for translators, and brings the catalogues up to date.

python -m docs.make_catalogue      new sentences come in untranslated, sentences that are gone go

What is marked in place (_("..."), say("...") and their plurals) is found by Babel; words that stand in closed lists of
codes are taken from those lists, named below.
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from appliance.core import decision_reasons, display_pattern, gauges, lifecycle, permits, receipt, routing, study
from appliance.core.document import URGENCIES
from appliance.core.drafting import guard, question
from appliance.core.reasons import REASONS
from appliance.errors import CATALOGUE
from appliance.review import (
    account,
    administration,
    alarms,
    audits,
    blinding,
    casefile,
    departure,
    display,
    emergency,
    grounds,
    models,
    outbox,
    promotion,
    proofs,
    provider,
    quality,
    quarantine,
    signed,
    signing,
    switch,
    updates,
    words,
    worklist,
)
from appliance.world import reading_desk
from appliance.world.ledger import quality as counted

ROOT = Path(__file__).parents[1]
REVIEW = ROOT / "appliance" / "review"
LOCALE = REVIEW / "locale"
PYTHON_MARKS = {"_": None, "n_": (1, 2), "say": None, "say_n": (1, 2)}
TEMPLATE_MARKS = {"_": None, "gettext": None, "ngettext": (1, 2)}
SCRIPT_MARKS = {"say": None, "mark": None}


def closed_lists() -> Iterator[tuple[str, Iterable[str]]]:
    """Words by the module whose list they stand in."""
    yield "appliance/errors.py", (text for entry in CATALOGUE.values() for text in (entry.text, entry.hint))
    yield "appliance/core/reasons.py", REASONS.values()
    yield "appliance/core/document.py", URGENCIES
    yield "appliance/core/study.py", (*study.LANE_WORDS.values(), *study.LANE_WORDS)
    yield "appliance/core/decision_reasons.py", _decisions()
    yield "appliance/core/display_pattern.py", display_pattern.QUESTIONS.values()
    yield "appliance/core/gauges.py", gauges.GAUGE_WORDS.values()
    yield "appliance/core/permits.py", (*permits.ROLES, *permits.RIGHT_WORDS.values(), *permits.ADDRESS_CLASSES)
    yield "appliance/core/receipt.py", receipt.ACTION_WORDS.values()
    yield "appliance/core/lifecycle.py", (*lifecycle.STATES, *lifecycle.WIRE_STATES, *lifecycle.OWNERS.values())
    yield "appliance/core/lifecycle.py", lifecycle.MOVES.values()
    yield "appliance/core/routing.py", (*routing.LEADS.values(), "Not decided", *(each[2] for each in _measured()))
    drafts = (guard.WITHHELD, guard.UNREAD, guard.SCORES_ONLY, guard.IMAGES_SEEN, question.NO_MODEL_NOTICE)
    yield "appliance/core/drafting/guard.py", (*drafts, "present", "uncertain", "absent")
    yield "appliance/world/reading_desk.py", reading_desk.HOW.values()
    yield "appliance/world/ledger/quality.py", (counted.NO_MODEL,)
    yield "appliance/review/words.py", _words()
    yield "appliance/review/worklist.py", (*(tab.word for tab in worklist.TABS.values()), *worklist.NOTICES.values())
    yield "appliance/review/alarms.py", alarms.CAUSE_WORDS.values()
    yield "appliance/review/blinding.py", (*blinding.SAID_WORDS.values(), blinding.BADGE.word, blinding.BADGE.meaning)
    yield "appliance/review/signed.py", (*signed.IMPRESSION_WORDS.values(), *signed.ORDER_WORDS.values())
    yield "appliance/review/grounds.py", grounds.STANDING.values()
    yield (
        "appliance/review/models.py",
        (*(each[1] for each in models.STAGE_WORDS.values()), *models.ROLE_WORDS.values()),
    )
    shown = (*(word for _, word in updates.STATE_WORDS.values()), *updates.KIND_WORDS.values())
    yield "appliance/review/updates.py", shown
    worded = (*(word for _, word in promotion.STATE_WORDS.values()), *promotion.WHO_WORDS.values())
    yield "appliance/review/promotion.py", worded
    yield "appliance/review/outbox.py", (*outbox.TIER_WORDS.values(), *outbox.STATE_WORDS.values())
    yield "appliance/review/proofs.py", (proofs.WRONG, proofs.WRONG_PROOF)
    yield "appliance/review/quality.py", quality.SOURCE_WORDS.values()
    yield "appliance/review/quarantine.py", (*quarantine.OUTCOMES.values(), *list(quarantine.READ_FIRST.values())[1:])
    yield "appliance/review/departure.py", (departure.PART_NOTE, *(word for _, word in departure.MARKS.values()))
    yield "appliance/review/signing.py", signing.IDENTIFIERS.values()
    yield "appliance/review/account.py", (account.NO_CODE,)
    for module in (account, administration, audits, casefile, display, models, quarantine):
        yield f"appliance/review/{module.__name__.split('.')[-1]}.py", module.NOTICES.values()
    yield "appliance/review/provider.py", provider.NOT_DONE.values()
    for told in (audits.GONE, casefile.NOT_FOUND, emergency.NEVER, models.NO_CERTIFICATE, quarantine.NO_FILE):
        yield "appliance/review/templates/problem.html", _problem(told)
    yield "appliance/review/templates/problem.html", _problem(switch.NO_MODEL)
    yield "appliance/review/templates/problem.html", _problem(provider.NO_PROVIDER)


def _problem(told: dict[str, str]) -> Iterable[str]:
    return (text for name, text in told.items() if name != "link")


def _decisions() -> Iterator[str]:
    yield from decision_reasons.DISAGREE.values()
    yield from decision_reasons.CANNOT_TELL.values()
    yield from decision_reasons.FINDING_SAID.values()


def _measured() -> Iterable[tuple[str, str, str]]:
    return routing.MEASURED.values()


def _words() -> Iterator[str]:
    for badge in words.BADGES.values():
        yield from (badge.word, badge.meaning)
    for told in (words.STATE_WORDS, words.WIRE_WORDS, words.REPEAT_WORDS, words.URGENCY_WORDS, words.DECISION_WORDS):
        yield from told.values()  # type: ignore[attr-defined]


def gathered() -> Catalog:
    """Every msgid with the files it stands in; no line numbers, so that a catalogue changes only with its sentences."""
    found = Catalog(project="edge diagnostic appliance", version="", msgid_bugs_address="", copyright_holder="")
    sources = [
        *((path, "jinja2.ext:babel_extract", TEMPLATE_MARKS) for path in sorted(REVIEW.glob("templates/*.html"))),
        *((path, "python", PYTHON_MARKS) for path in sorted(ROOT.glob("appliance/core/*.py"))),
        *((path, "python", PYTHON_MARKS) for path in sorted(ROOT.glob("appliance/*.py"))),
        *((path, "python", PYTHON_MARKS) for path in sorted(REVIEW.glob("**/*.py"))),
        *((path, "javascript", SCRIPT_MARKS) for path in sorted(REVIEW.glob("static/**/*.js"))),
    ]
    for path, method, marks in sources:
        with path.open("rb") as file:
            options = {"newstyle_gettext": "true", "parse_template_string": "true"}
            for _line, msgid, _comments, _context in extract(method, file, marks, (), options):
                if msgid:
                    found.add(msgid, locations=[(str(path.relative_to(ROOT)), 0)])
    for place, texts in closed_lists():
        for text in texts:
            if text:
                found.add(str(text), locations=[(place, 0)])
    return found


def refreshed(path: Path) -> Catalog:
    """A catalogue of today's sentences with the translations that it has; what is new is empty, never guessed."""
    with path.open("rb") as file:
        held = read_po(file, locale=path.stem, abort_invalid=True)
    held.update(gathered(), no_fuzzy_matching=True)
    held.obsolete.clear()
    return held


def written(catalogue: Catalog) -> bytes:
    """A catalogue as its file holds it: the head says what a reader of it must know, and no date."""
    made = io.BytesIO()
    write_po(made, catalogue, width=120, sort_output=True, include_lineno=False, omit_header=True)
    head = (
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Language: {catalogue.locale}\\n"\n"Plural-Forms: {catalogue.plural_forms}\\n"\n\n'
    )
    return head.encode() + made.getvalue().lstrip()


def main() -> None:
    for path in sorted(LOCALE.glob("*.po")):
        made = refreshed(path)
        path.write_bytes(written(made))
        print(
            f"{path.relative_to(ROOT)}: {sum(not each.string for each in made if each.id)} of {len(made)} to translate"
        )


if __name__ == "__main__":
    main()
