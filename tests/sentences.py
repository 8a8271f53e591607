"""What the tests of languages look with: text that nobody marked for translation, and English left on a page of another
language. Each finder is shown a planted fault by test_sentences.py or test_german.py.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser

from babel.messages.catalog import Catalog
from jinja2 import Environment, nodes

SPOKEN = ("title", "aria-label", "alt", "placeholder", "label")
TWO_LETTERS = re.compile(r"[A-Za-z]{2}")
WORDS = re.compile(r"[A-Za-z]{2,}[,:;.]? +[a-z]{2,}|[A-Za-z]{3,}[,:;.]? +$|^ +[a-z]{2,}")
TWO_WORDS = re.compile(r"[A-Za-z]{2,}[,:;.]? +[a-z]{2,}|^\([a-z ]+\)$")
PLACES = re.compile(r"%\(\w+\)s|%%|</?[a-z]+>|`[^`]*`")
INLINE = {"strong", "em", "code", "b", "kbd", "small", "span", "a", "time"}
MARKS = {"_", "n_", "say", "say_n", "ngettext", "gettext"}
# Where a string is no word for the page: logs, patterns, statements, rows in the trail and names of our own.
SILENT = {"subject", "act", "expression", "doc", "named"}
SILENT_CALLS = {"LOG.warning", "LOG.info", "re.compile", "exec_driver_sql", "c.exec_driver_sql", "own.exec_driver_sql"}


def unmarked_in_template(source: str) -> list[str]:
    """Text, spoken attributes and strings of a template that stand there outside _() and {% trans %}."""
    tree = Environment(extensions=["jinja2.ext.i18n"], autoescape=True).parse(source)
    drawn, found = _Drawn(), []
    for node in _in_order(tree):
        if isinstance(node, nodes.TemplateData):
            drawn.feed(node.data)
        elif isinstance(node, nodes.Const) and isinstance(node.value, str):
            if TWO_WORDS.search(node.value):
                found.append(node.value)
        elif isinstance(node, nodes.Output):
            for each in node.nodes:
                if not isinstance(each, nodes.TemplateData):
                    drawn.feed("".join(_printed(each)) or "\N{SECTION SIGN}")
    drawn.close()
    return [*drawn.found, *found]


def _in_order(node: nodes.Node) -> Iterator[nodes.Node]:
    """Nodes as they stand in the file, without what a mark or a filter's arguments hold."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Call) and _is_mark(child.node):
            continue
        if isinstance(child, nodes.Block) and child.name == "body_class":
            continue  # a class, in an attribute of the page that is extended
        if isinstance(child, nodes.Filter):
            yield from _in_order(nodes.Output([child.node])) if child.node is not None else ()
            continue
        if isinstance(child, nodes.Output):
            for each in child.nodes:
                yield each if isinstance(each, nodes.TemplateData) else nodes.Output([each])
                yield from _in_order(nodes.Output([each])) if not isinstance(each, nodes.TemplateData) else ()
            continue
        yield child
        yield from _in_order(child)


def _is_mark(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name in MARKS


def _printed(node: nodes.Node) -> Iterator[str]:
    """Strings of an expression that may come out of it as they are."""
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, nodes.CondExpr):
        yield from _printed(node.expr1)
        yield from _printed(node.expr2) if node.expr2 is not None else ()
    elif isinstance(node, nodes.Or | nodes.And | nodes.Add):
        yield from (*_printed(node.left), *_printed(node.right))
    elif isinstance(node, nodes.Concat):
        for each in node.nodes:
            yield from _printed(each)
    elif isinstance(node, nodes.Filter) and node.node is not None:
        yield from _printed(node.node)


class _Drawn(HTMLParser):
    """A page as it is drawn, expressions as a sign without letters."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in SPOKEN and value and TWO_LETTERS.search(value)]

    def handle_data(self, data: str) -> None:
        if TWO_LETTERS.search(data):
            self.found.append(data.strip())


def unmarked_in_python(source: str, known: set[str]) -> list[str]:
    """Strings of two words or more in a module that are neither marked nor in a closed list that translators get."""
    found: list[str] = []
    _walk(ast.parse(source), known, found)
    return found


def _walk(node: ast.AST, known: set[str], found: list[str]) -> None:
    if isinstance(node, ast.Call) and (ast.unparse(node.func) in MARKS | SILENT_CALLS):
        for keyword in node.keywords:
            _walk(keyword.value, known, found)
        return
    if isinstance(node, ast.keyword) and node.arg in SILENT:
        return
    if isinstance(node, ast.Assign) and any(ast.unparse(each) in SILENT for each in node.targets):
        return
    if isinstance(node, ast.Assert):
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if WORDS.search(node.value) and node.value not in known:
            found.append(node.value)
        return
    for child in ast.iter_child_nodes(node):
        _walk(child, known, found)


def wrong_places(catalogue: Catalog) -> list[str]:
    """Msgids of translations that do not hold the same placeholders, per cent signs, tags and code."""
    wrong = []
    for each in catalogue:
        if each.id:
            ids, strings = _all(each.id), _all(each.string)
            pairs = zip(ids if len(strings) > 1 else ids[:1], strings, strict=False)
            if any(sorted(PLACES.findall(one)) != sorted(PLACES.findall(other)) for one, other in pairs):
                wrong.append(ids[0])
    return wrong


def _all(told: object) -> tuple[str, ...]:
    return tuple(told) if isinstance(told, tuple | list) else (str(told or ""),)


SAID_IN_SCRIPT = re.compile(r"""(?<![.\w])(?:say|mark)\("((?:[^"\\]|\\.)+)\"""")


def said_in_script(source: str) -> set[str]:
    """What a script marks for translation, found by a pattern: the gatherer's reader of scripts skips nested marks."""
    return {told.replace('\\"', '"') for told in SAID_IN_SCRIPT.findall(source)}


def english_left(text: Iterable[str], catalogue: Catalog) -> list[str]:
    """Msgids that stand on a page although they have a translation: parts of two words or more, or a whole line."""
    lines = {re.sub(r"\s+", " ", each).strip() for each in text}
    whole, found = "\n".join(lines), []
    for msgid, translated in ((one, _all(each.string)) for each in catalogue if each.id for one in _all(each.id)):
        said = re.sub(r"</?[a-z]+>|&[a-z]+;", "", msgid).replace("%%", "%")
        parts = [part.strip(" .:;,") for part in re.split(r"%\(\w+\)s", said)]
        part = max(parts, key=len)
        if any(part in each for each in translated) or not TWO_LETTERS.search(part):
            continue
        if (part in whole) if re.search(r"[a-z]{2,} [a-z]{2,}", part) else (msgid in lines):
            found.append(msgid)
    return found


class Spoken(HTMLParser):
    """The lines of a document as somebody reads or hears them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.lines: list[str] = [""]
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.lines += [value for name, value in attrs if name in SPOKEN and value]
        self._part(tag)

    def handle_endtag(self, tag: str) -> None:
        self._part(tag)

    def _part(self, tag: str) -> None:
        if tag not in INLINE:
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        self.lines[-1] += data
