"""Every word that the page says is marked, gathered and translated, with the same placeholders; planted faults show."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from appliance.core.reasons import REASONS
from appliance.core.say import Figure, Said, again, clause_of, joined, kept, say, say_n
from appliance.review import language, words
from docs.make_catalogue import LOCALE, gathered, refreshed, written
from tests.sentences import english_left, said_in_script, unmarked_in_python, unmarked_in_template, wrong_places

ROOT = Path(__file__).parents[1]
REVIEW = ROOT / "appliance" / "review"
OTHERS = sorted(LOCALE.glob("*.po"))
# Strings of the review room that look like words and are none for the page.
NO_WORDS = {
    *("study ", "audit ", "user ", "viewer "),  # of a row in the trail, before a number or a name
    *(" ms", " min"),  # units as they are everywhere
    *("PRAGMA data_version", "PRAGMA user_version", "too few", "nobody has this password"),
    *("review: unexpected ", " at ", "\nevent: changed\ndata: "),  # of the log and of a stream
    *("This frame is not in the cache.", "This table is not in the cache.", "This frame does not fit its description."),
}


@pytest.fixture(scope="module")
def told() -> Catalog:
    return gathered()


@pytest.fixture
def german() -> Catalog:
    with (LOCALE / "de.po").open("rb") as file:
        return read_po(file, locale="de")


@pytest.fixture
def speaking() -> Iterator[Callable[[str], None]]:
    before = language.LANGUAGE.get()
    yield language.use
    language.use(before)


def test_every_language_has_a_catalogue_and_every_catalogue_a_language() -> None:
    assert {path.stem for path in OTHERS} | {"en"} == set(language.LANGUAGES)


@pytest.mark.parametrize("path", sorted(REVIEW.glob("static/**/*.js")), ids=lambda path: path.name)
def test_what_a_script_says_is_gathered(path: Path, told: Catalog) -> None:
    assert {text for text in said_in_script(path.read_text()) if told.get(text) is None} == set()


def test_what_is_said_within_another_call_is_seen() -> None:
    planted = 'view.tell(say("Not here")); say(`${say("lossy")}`); use({ date: date || say("no \\"date\\"") });'
    assert said_in_script(planted) == {"Not here", "lossy", 'no "date"'}


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_a_catalogue_is_whole_and_fresh(path: Path) -> None:
    made = refreshed(path)
    empty = [each.id for each in made if each.id and not all(each.string if each.pluralizable else [each.string])]
    assert empty == [], "translate them, then: python -m docs.make_catalogue"
    assert written(made) == path.read_bytes(), "python -m docs.make_catalogue"


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_translations_hold_the_same_placeholders(path: Path) -> None:
    with path.open("rb") as file:
        assert wrong_places(read_po(file, locale=path.stem)) == []


@pytest.mark.parametrize(
    "string", ["vor", "vor %(age)s %(age)s", "vor %(aeg)s", "vor %(age)s %%", "vor <b>%(age)s</b>"]
)
def test_a_planted_placeholder_is_caught(german: Catalog, string: str) -> None:
    german.get("%(age)s ago").string = string  # type: ignore[union-attr]
    assert wrong_places(german) == ["%(age)s ago"]


def test_templates_say_nothing_that_is_not_marked() -> None:
    for path in sorted(REVIEW.glob("templates/*.html")):
        assert unmarked_in_template(path.read_text("utf-8")) == [], path.name


@pytest.mark.parametrize(
    "planted",
    [
        "<p>Not marked</p>",
        '<p title="Not marked">{{ x }}</p>',
        '<p>{{ "Yes" if x else _("No") }}</p>',
        '<p>{{ x or "nothing here" }}</p>',
        '{{ row(words=("Not marked", "x")) }}',
        '<b aria-label="Study {{ n }}"></b>',
        "{% if x %}<p>Not marked</p>{% else %}{{ _('fine') }}{% endif %}",
    ],
)
def test_a_planted_word_in_a_template_is_found(planted: str) -> None:
    assert unmarked_in_template(planted)


def test_what_a_template_marks_is_none() -> None:
    fine = (
        '<p class="a late">{{ _("Yes, it is %(n)s", n=n) }} {% trans %}Not here{% endtrans %}</p>{{ a | join(", ") }}'
    )
    assert unmarked_in_template(fine + '{% if reader.may("look") and key in ("one two", "b") %}· ✓ 1:1{% endif %}') == [
        "one two"
    ]
    assert unmarked_in_template(fine) == []


def test_python_says_nothing_that_is_not_marked(told: Catalog) -> None:
    known = {one for each in told if each.id for one in (each.id if isinstance(each.id, tuple) else (each.id,))}
    for path in sorted([*REVIEW.glob("*.py"), ROOT / "appliance" / "silence.py"]):
        if path.name in ("bundle.py", "bundle_check.py", "walls.py", "description.py"):  # machines read what these say
            continue
        found = [each for each in unmarked_in_python(path.read_text("utf-8"), known) if each not in NO_WORDS]
        assert found == [], path.name


@pytest.mark.parametrize(
    "planted",
    [
        'said = "Not marked anywhere."',
        'said = f"{n} of them wait"',
        'told = {"title": "Nothing marked"}',
        'return _form(request, f"Wait {n} s, then", 429)',
        'said = f"overdue {span}"',
    ],
)
def test_a_planted_word_in_python_is_found(planted: str) -> None:
    assert unmarked_in_python(f"def f():\n    {planted}", {"Known to translators."})


def test_marked_python_is_fine() -> None:
    fine = 'a = _("Not here %(n)s", n=1)\nb = say_n("one of it", "two of it", 2)\nc = "Known to translators."\n'
    assert unmarked_in_python(fine + 'note(subject=f"study {n}")', {"Known to translators."}) == []


def test_a_clause_begins_small_in_german(speaking: Callable[[str], None]) -> None:
    """A reason stands in the middle of a sentence too: its first word must be one that may be written small."""
    small = re.compile(r"(?:Der|Die|Das|Ein|Eine|Kein|Keine|Zwei|An|Auf|Unter|Hier)\b")
    speaking("de")
    for reason in REASONS.values():
        assert small.match(language.tr(reason)), language.tr(reason)


def test_a_sentence_is_english_by_itself_and_german_where_it_is_asked(speaking: Callable[[str], None]) -> None:
    why = joined([clause_of("The image is turned."), say("top score")])
    said = say("%(lead)s: %(why)s.", lead=say("Flagged here"), why=why)
    assert said == "Flagged here: the image is turned; top score."
    assert language.tr(said) == str(said)
    speaking("de")
    assert language.tr(said) == "Hier markiert: das Bild ist gedreht; höchster Score."
    two = say_n("%(count)s year", "%(count)s years", 2)
    assert (two, language.tr(two), language.tr(Figure("+0.48"))) == ("2 years", "2 Jahre", "+0,48")
    assert isinstance(two, Said)
    assert language.tr("") == ""
    assert language.tr("words that no list of ours holds") == "words that no list of ours holds"


def test_dates_numbers_and_names_stand_in_the_readers_order(speaking: Callable[[str], None]) -> None:
    def shown() -> tuple[str, ...]:
        return (
            words.calendar_date("20210203"),
            words.iso_date("2027-01-31"),
            words.clock_time(0.0)[:10],
            words.byte_count(1536),
            words.person_name("MÜLLER^Hans^Peter^Dr."),
            words.age("003Y"),
        )

    speaking("en")
    english = ("2021-02-03", "2027-01-31", "1970-01-01", "1.5 KiB", "MÜLLER, Hans Peter Dr.", "3 years")
    assert shown() == english
    speaking("de")
    assert shown() == ("03.02.2021", "31.01.2027", "01.01.1970", "1,5 KiB", "MÜLLER, Dr. Hans Peter", "3 Jahre")
    assert words.calendar_date("no date") == "no date"


@pytest.mark.parametrize(
    ("accept", "code"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("en;q=0.3, de-CH;q=0.2", "en"),
        ("fr-FR, fr;q=0.9", "site"),
        ("de;q=0, en", "en"),
        ("*", "site"),
        ("", "site"),
        ("de" * 500, "site"),
        (";;q=,de;q=9", "site"),
    ],
)
def test_a_browser_is_asked_for_its_language(accept: str, code: str) -> None:
    assert language.preferred(accept, "site") == code


def test_english_that_is_left_is_seen(german: Catalog) -> None:
    assert english_left(["Zur Arbeitsliste", "Nobody has signed this study."], german) == [
        "Nobody has signed this study."
    ]
    assert english_left(["vor 5 min", "dr.keller has signed; the signature is being filed."], german) != []
    assert english_left(["Outbox"], german) == ["Outbox"]


def test_a_sentence_kept_in_a_ledger_is_said_again_in_another_language(speaking: Callable[[str], None]) -> None:
    made = say(
        "%(images)s, quiet for %(quiet)s s", images=say_n("%(count)s image", "%(count)s images", 3), quiet=Figure("4.5")
    )
    filed = json.loads(json.dumps(kept(made)))
    assert filed["text"] == "3 images, quiet for 4.5 s"
    speaking("de")
    assert language.tr(again(filed)) == "3 Bilder, seit 4,5 s ruhig"


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": "as it was"},
        {"text": "as it was", "msgid": "%(gone)s", "plural": "", "number": 1, "values": {"x": 1}, "figures": []},
        {"text": "as it was", "msgid": "another sentence", "plural": "", "number": 1, "values": {}, "figures": []},
        {"text": "as it was", "msgid": 7, "plural": "", "number": 1, "values": [], "figures": []},
    ],
    ids=["before there were others", "a value that is gone", "another sentence", "junk"],
)
def test_a_kept_sentence_that_does_not_fit_is_said_as_it_was(wrong: object) -> None:
    assert again(wrong) == "as it was"
