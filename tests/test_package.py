"""The Debian package, as far as it can be known unbuilt: whence its wheels come, and what it says of itself.

That it installs and runs is shown by tests/faults/boot.py.
"""

import gzip
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from appliance.errors import CATALOGUE

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "systemd/package"
DOC = "/usr/share/doc/edge-diagnostic-appliance"
SHARED = {"optional": "systemd/optional", "dicomweb": "systemd/dicomweb", "monitoring": "systemd/monitoring"}


@pytest.fixture
def make_deb(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(PACKAGE))
    return importlib.import_module("make_deb")


@pytest.fixture
def documents(make_deb: ModuleType) -> ModuleType:
    return importlib.import_module("documents")


@pytest.fixture
def pages(documents: ModuleType, tmp_path: Path) -> Path:
    """The package's folder of documents; the models to which it leads are the tree's."""
    documents.pages(tmp_path / "doc")
    (tmp_path / "doc/models").unlink()
    (tmp_path / "doc/models").symlink_to(ROOT / "models")
    return tmp_path / "doc"


def test_a_wheel_is_taken_only_by_a_digest_of_the_lock(
    make_deb: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(make_deb, "STAGE", tmp_path)

    def run(*words: str, **_: Any) -> str:
        called.append(words)
        return ""

    monkeypatch.setattr(make_deb, "_run", run)
    made = make_deb.environment()
    (pip,) = [words for words in called if "pip" in words and "install" in words]
    told = pip[pip.index("install") + 1 :]
    assert "--require-hashes" in told
    assert "--only-binary=:all:" in told
    assert told[told.index("-r") + 1] == str(ROOT / "requirements.lock")
    assert not {"-c", "--constraint", "--no-deps", "--trusted-host"} & set(told)
    assert [word for word in told if not word.startswith("-")] == [str(ROOT / "requirements.lock")], "nothing beside it"
    called.clear()
    assert make_deb.environment() == made
    assert not called, "it is made once for one lock"


LDD = """/h/numpy/a.so:
\tlinux-vdso.so.1 (0x00007ffd)
\tlibstdc++.so.6 => /lib/x86_64-linux-gnu/libstdc++.so.6 (0x00007f1e)
\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f1e)
\tlibblas.so => /h/numpy.libs/libblas.so (0x00007f1e)
\tlibpreloaded.so => not found
\t/lib64/ld-linux-x86-64.so.2 (0x00007f1e)
"""


def test_a_library_of_the_build_machine_that_is_not_declared_stops_the_build(make_deb: ModuleType) -> None:
    (depends,) = re.findall(r"^Depends: (.+)$", (PACKAGE / "debian/control").read_text(), re.MULTILINE)
    inside = {"libblas.so", "libpreloaded.so"}
    assert set(make_deb.OF_THE_SYSTEM.values()) <= set(re.split(r"[, ]+", depends))
    assert make_deb.undeclared(LDD, Path("/h"), inside, depends) == []
    assert make_deb.undeclared(LDD, Path("/h"), inside, depends.replace(", zlib1g", "")) == ["libz.so.1"]
    assert make_deb.undeclared(LDD, Path("/h"), {"libblas.so"}, depends) == ["libpreloaded.so"]
    more = LDD.replace("libz.so.1", "libGL.so.1")
    assert make_deb.undeclared(more, Path("/h"), inside, depends) == ["libGL.so.1"]


def test_every_link_of_every_page_holds_where_the_package_puts_it(pages: Path) -> None:
    found = sorted(pages.rglob("*.md"))
    assert len(found) > 100
    broken = {}
    for page in found:
        if page.is_relative_to(pages / "models"):
            continue
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken[f"{page.relative_to(pages)} -> {target}"] = 1
    assert not broken


def shipped(path: str, pages: Path) -> bool:
    """Whether the package brings what is named by an absolute path under /usr/share."""
    if path.startswith(DOC):
        return (pages / path.removeprefix(DOC).strip("/")).exists() or path == f"{DOC}/sbom.cdx.json"
    name, _, rest = path.removeprefix("/usr/share/appliance/").partition("/")
    return (ROOT / SHARED[name] / rest).exists() if name in SHARED else name == "models"


def test_what_the_program_its_units_and_its_pages_name_under_usr_share_is_there(pages: Path) -> None:
    files = [
        *(ROOT / "appliance").rglob("*.py"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "README.md",
        ROOT / "SECURITY.md",
    ]
    files += [path for path in (ROOT / "systemd").rglob("*") if path.is_file() and path.suffix not in (".json", ".pyc")]
    named = {
        path: file
        for file in files
        for path in re.findall(
            rf"{DOC}/[\w./-]*\w|/usr/share/appliance/[\w/.-]*\w", file.read_text("utf-8").replace("\\-", "-")
        )
    }
    assert len(named) >= 8
    assert {path: str(file.relative_to(ROOT)) for path, file in named.items() if not shipped(path, pages)} == {}
    assert not shipped(f"{DOC}/docs/gone.md", pages)
    assert not shipped("/usr/share/appliance/optional/gone.conf", pages)


def test_no_hint_names_a_folder_of_the_sources() -> None:
    assert {code for code, entry in CATALOGUE.items() if re.search(r"(?<![/\w])systemd/", entry.hint)} == set()


def test_whose_it_is_is_said_and_no_licence_is_made_up(pages: Path) -> None:
    text = (pages / "copyright").read_text("utf-8")
    assert text.startswith("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n")
    assert "All rights are the makers'" in text
    assert f"{DOC}/docs/licences.md" in text
    assert (pages / "docs/licences.md").exists()
    given = set(re.findall(r"^License: (\S+)$", text, re.MULTILINE))
    assert given == {"all-rights-reserved", "of-each-library", "of-each-model"}
    assert not list(ROOT.glob("LICEN[CS]E*")), "then the copyright file has to say so"


def test_the_licences_inside_the_wheels_stay(make_deb: ModuleType) -> None:
    assert [pattern for pattern in make_deb.UNUSED if re.search("licen[cs]e", pattern, re.IGNORECASE)] == []


def test_the_manual_is_made_from_the_parsers_and_has_every_verb(
    documents: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ".SH COMMAND \\fI\\,'appliance run'\\/\\fR\n.SH COMMAND \\fI\\,'appliance support\\-bundle'\\/\\fR\n"
    assert documents.unsaid(page, "appliance", ["run", "support-bundle"]) == []
    assert documents.unsaid(page, "appliance", ["run", "bundle", "support"]) == ["bundle", "support"]
    asked: list[tuple[str, ...]] = []

    def run(*words: str, **_: Any) -> str:
        asked.append(words)
        return page if "--module" in words else "run support-bundle"

    monkeypatch.setattr(documents, "TOOLS", tmp_path)
    (tmp_path / "lib/python3.11/site-packages").mkdir(parents=True)
    both = documents.MANUALS
    monkeypatch.setattr(documents, "MANUALS", {"appliance": both["appliance"]})
    documents.manuals(tmp_path / "man", tmp_path / "python3", "1.2.3", run, {})
    assert gzip.decompress((tmp_path / "man/man1/appliance.1.gz").read_bytes()).decode() == f"{page}\n"
    assert gzip.decompress((tmp_path / "man/man8/appliance-version.8.gz").read_bytes()).startswith(b".TH APPLIANCE")
    assert asked[0][asked[0].index("--module") + 1] == "appliance.cli.verbs"
    monkeypatch.setattr(documents, "MANUALS", {"central": both["central"]})
    with pytest.raises(SystemExit, match="says nothing of run"):
        documents.manuals(tmp_path / "man", tmp_path / "python3", "1.2.3", run, {})


def test_the_parsers_of_the_manual_are_where_it_looks(documents: ModuleType) -> None:
    for program, (module, function, _) in documents.MANUALS.items():
        assert getattr(importlib.import_module(module), function)().prog == program


def test_the_tools_of_the_build_are_pinned_and_made_before_it() -> None:
    text = (ROOT / "Makefile").read_text()
    (pinned,) = re.findall(r"^TOOLS_PINNED := (.+)$", text, re.MULTILINE)
    assert all(re.fullmatch(r"[a-z-]+==[0-9.]+", each) for each in pinned.split())
    assert {"argparse-manpage", "cyclonedx-bom"} <= {each.partition("==")[0] for each in pinned.split()}
    for target in ("deb", "boot", "faults"):
        assert re.search(rf"^{target}:.*\.venv-tools/made", text, re.MULTILINE), target
