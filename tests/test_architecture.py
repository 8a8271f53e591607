"""The picture of docs/architecture.md, read off the code: who imports whom, how long things are, what is refused.

This file *is* the paragraph on imports. Extend it; never loosen it.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = sorted([*ROOT.glob("appliance/**/*.py"), *ROOT.glob("central/**/*.py")])
SERVICES = {"receive", "triage", "uplink", "review", "deliver"}
LOOKS = {"condition", "silence"}  # read only: how the appliance stands, for more than one service (decision 0056)
FILE_LINES_MAX, FUNCTION_LINES_MAX = 330, 70
NAMELESS = {"utils", "util", "helpers", "helper", "common", "manager", "handler", "misc", "stuff", "base"}
# Ours that the centre may use: the wire's documents and shape, and two technology modules that know no patient
# (docs/decisions/0002-what-the-centre-may-import.md).
CENTRAL_MAY = {
    "appliance",
    "appliance.core.bulletin",
    "appliance.core.case",
    "appliance.core.correction",
    "appliance.core.document",
    "appliance.core.drafting.guard",
    "appliance.core.drafting.question",
    "appliance.core.drafting.reply",
    "appliance.core.drafting.signs",
    "appliance.core.enrolment",
    "appliance.core.keys",
    "appliance.core.letter",
    "appliance.core.link",
    "appliance.core.messages",
    "appliance.core.parcel",
    "appliance.core.policy",
    "appliance.core.transfer",
    "appliance.core.updates",
    "appliance.errors",
    "appliance.loop",
    "appliance.world.keyfile",
    "appliance.world.mqtt",
    "appliance.world.sqlite",
}


def room(module: str) -> str:
    """appliance.world.ledger.tables -> world.ledger; appliance.triage.judge -> triage; central.llm -> central."""
    parts = module.split(".")
    if parts[0] == "central":
        return "central"
    if len(parts) == 1:
        return ""
    if parts[1] in ("core", "world"):
        return ".".join(parts[1:3])
    return parts[1]


def imports(source: str, module: str, package: bool) -> set[str]:
    """Our own modules a file imports, as full dotted names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = module.split(".")
            up = start[: len(start) - node.level + package] if node.level else []
            stem = ".".join([*up, *([node.module] if node.module else [])])
            inside = ROOT.joinpath(*stem.split("."))
            for alias in node.names:
                whole = f"{stem}.{alias.name}"
                is_module = inside.joinpath(f"{alias.name}.py").exists() or inside.joinpath(alias.name).is_dir()
                found.add(whole if is_module else stem)
    return {name for name in found if name.split(".")[0] in ("appliance", "central", "sample_dicom", "tests", "bench")}


def allowed(importer: str, imported: str) -> bool:
    """Whether a room may look into another one."""
    mine, other = room(importer), room(imported)
    if mine == other or imported == "appliance":
        return True
    if mine == "central":
        return imported in CENTRAL_MAY
    if other == "central" or not imported.startswith("appliance"):
        return False
    if mine == "errors":
        return False
    if mine.startswith("core."):
        return other == "errors" or other.startswith("core.")
    if mine == "config":
        return other == "errors" or other.startswith("core.")
    if mine == "loop":
        return other == "errors"
    if mine in LOOKS:
        return other in ("errors", "config", *LOOKS) or other.startswith(("core.", "world."))
    if mine.startswith("world."):
        return other in ("errors", "config") or other.startswith("core.")
    if mine in SERVICES:
        return other in ("errors", "config", "loop", *LOOKS) or other.startswith(("core.", "world."))
    return mine in ("cli", "__main__")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", PYTHON, ids=module_of)
def test_imports_keep_to_the_picture(path: Path) -> None:
    module = module_of(path)
    wrong = {
        name for name in imports(path.read_text(), module, path.name == "__init__.py") if not allowed(module, name)
    }
    assert not wrong, f"{module} may not import {sorted(wrong)}"


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("appliance.core.decide", "from appliance.world import ledger"),
        ("appliance.core.decide", "import appliance.config"),
        ("appliance.world.ledger", "from appliance.world.sqlite import open_writer"),
        ("appliance.world.mqtt", "from appliance import uplink"),
        ("appliance.uplink", "from appliance.triage import intake"),
        ("appliance.review.app", "from appliance import receive"),
        ("appliance.condition", "from appliance.review import alarms"),
        ("appliance.world.ledger", "from appliance.condition import condition"),
        ("appliance.errors", "from appliance.core import study"),
        ("central.worker", "from appliance.world import ledger"),
        ("central.worker", "from appliance.core.identity import identity"),
        ("appliance.cli.up", "import central.worker"),
    ],
)
def test_a_hole_in_a_wall_is_seen(importer: str, line: str) -> None:
    found = imports(line, importer, package=False)
    assert any(not allowed(importer, name) for name in found)


# Effects that core must not have: it is values in, values out.
IMPURE = {
    *("asyncio", "logging", "multiprocessing", "os", "pathlib", "random", "requests", "secrets", "shutil", "signal"),
    *("socket", "sqlalchemy", "sqlite3", "subprocess", "tempfile", "threading", "time", "httpx", "paho"),
}


@pytest.mark.parametrize("path", sorted(ROOT.glob("appliance/core/**/*.py")), ids=module_of)
def test_core_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("open", "print", "input"), f"{called} at line {node.lineno}"
            assert not called.endswith((".now", ".today", ".utcnow")), f"{called} at line {node.lineno}"
    assert not names & IMPURE


DIALS = {"aiohttp", "ftplib", "http.client", "httpx", "requests", "smtplib", "telnetlib", "urllib.request", "urllib3"}


def test_the_page_has_nothing_to_dial_with() -> None:
    """Sign-in by a provider included: the reader's browser goes there, the service does not."""
    pages = [*ROOT.glob("appliance/review/**/*.py"), ROOT / "appliance/world/openid_keys.py"]
    for path in pages:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & DIALS, path.name
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert not {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)} & DIALS, path.name
            elif isinstance(node, ast.Attribute):
                assert node.attr not in ("create_connection", "open_connection"), path.name


@pytest.mark.parametrize("path", PYTHON, ids=module_of)
def test_only_the_guard_catches_everything(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            wide = {"everything", "Exception", "BaseException"} & set(re.findall(r"\w+", caught))
            rethrown = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in node.body)
            assert not wide or module_of(path) == "appliance.loop" or rethrown, f"line {node.lineno} catches {caught}"


@pytest.mark.parametrize("path", PYTHON, ids=module_of)
def test_sizes_and_names(path: Path) -> None:
    assert path.stem not in NAMELESS
    text = path.read_text()
    assert len(text.splitlines()) <= FILE_LINES_MAX or path.name == "errors.py", "what second thing does it do?"
    tree = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(tree), "a file's head says what it is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < FUNCTION_LINES_MAX, f"{node.name} is longer than a screen"


def test_one_place_makes_a_verdict() -> None:
    """Whoever drafts, at the centre or on the appliance, the guard alone turns an answer into what a reader sees."""
    makers = {
        module_of(path)
        for path in PYTHON
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rsplit(".")[-1] == "Verdict"
    }
    assert makers == {"appliance.core.drafting.guard"}


def test_one_place_writes_a_state() -> None:
    """Only ledger.move gives a study a new state."""
    writers = [
        module_of(path)
        for path in PYTHON
        if path.parent.name != "central"
        and re.search(r"update\((ledger\.)?studies\)[^#]*?\bstate=", path.read_text(), re.DOTALL)
    ]
    assert writers == ["appliance.world.ledger"]


def test_every_move_has_an_owner_and_the_end_is_reachable() -> None:
    from appliance.core.lifecycle import END_STATES, MOVES, OWNERS, STATES

    assert set(OWNERS) == set(STATES)
    assert {state for move in MOVES for state in move} == set(STATES)
    for state in STATES:
        seen, todo = {state}, [state]
        while todo:
            here = todo.pop()
            for start, end in MOVES:
                if start == here and end not in seen:
                    seen.add(end)
                    todo.append(end)
        assert seen & END_STATES, f"no end can be reached from {state}"


def test_nothing_leads_to_routine_but_a_decision() -> None:
    from appliance.core.lifecycle import MOVES

    assert [start for (start, end) in MOVES if end == "routine"] == ["complete"]


def test_nothing_of_the_workplace_is_in_the_tree() -> None:
    """No path of a developer's machine and no registry host in any text we ship."""
    places = re.compile("|".join(["/wo" + "rk/", "/ho" + "me/", "/ro" + "ot/", "index-" + "url", "pypi-" + "more"]))
    for path in ROOT.rglob("*"):
        inside = path.relative_to(ROOT).parts
        if path.suffix in (".py", ".md", ".toml", ".txt", ".sh", ".json", ".service", ".conf") and not (
            {".venv", ".venv-train", ".git", "node_modules"} & set(inside)
            or inside[0].startswith(".")
            or inside[0] in ("build", "dist")  # made, and not in git
        ):
            match = places.search(path.read_text("utf-8", "replace"))
            assert match is None, f"{path.relative_to(ROOT)} names {match and match[0]}"


def test_no_two_test_files_have_the_same_name() -> None:
    """pytest knows a file outside a package by its name alone: of two of one name only the first would be run."""
    names = [path.name for path in ROOT.glob("tests/**/test_*.py")]
    assert sorted(names) == sorted(set(names))


# Whoever reads the policy of the centre; who decides is not among them (docs/decisions/0055-what-policy-may-move.md).
POLICY_READERS = {
    *("triage.bulletins", "triage.drafting", "triage.handover", "triage.lineup", "triage.series", "triage.spool"),
    *("triage.updates", "world.ledger.updates", "cli.updates", "core.policy"),
}


def test_who_decides_reads_no_policy() -> None:
    """`Lineup` reads one field of it, the share of shadows, which run after the decision and beside it."""
    readers = {
        module_of(path).removeprefix("appliance.")
        for path in ROOT.glob("appliance/**/*.py")
        if "appliance.core.policy" in imports(path.read_text(), module_of(path), path.name == "__init__.py")
        or re.search(r"updates\.policy\(|handover\.policy\(", path.read_text())
    }
    assert readers <= POLICY_READERS
    lineup = (ROOT / "appliance/triage/lineup.py").read_text()
    assert re.findall(r"updates\.policy\(c\)(\.\w+)?", lineup) == [".shadows"]
    assert not readers & {"triage.judge", "triage.looking", "triage.watch", "triage.released", "core.decide"}
