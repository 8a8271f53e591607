"""What the package says of itself under /usr/share: pages, whose it is, the bill of materials, the manual.

The pages lie as in the repository, so that a link from one to another holds. The bill and the manual are made by the
tools of .venv-tools (pinned in the Makefile, which makes it), without a network.
"""

import gzip
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
TOOLS = ROOT / ".venv-tools"
PAGES = (
    "*.md",
    "docs/*.md",
    "docs/decisions/*.md",
    "docs/screens/*",
    "bench/RESULTS.*",
    "bench/*.svg",
    "central/systemd/*",
)
MODELS = "/usr/share/appliance/models"  # where links to the cards of models lead
STILL_THERE = ("configuration.md",)  # the head of appliance.toml names it there
MANUALS = {  # program -> where its parser is, what makes it, and what it is in a line
    "appliance": (
        "appliance.cli.verbs",
        "parser",
        "decides routine imaging studies here, asks a centre about the others",
    ),
    "central": ("central.cli", "_parser", "the centre's command, which comes with the wheel and not with the package"),
}
MADE = "import sys; sys.path.append({!r}); from argparse_manpage.cli import main; sys.exit(main())"
VERBS = "from {} import {} as made; print(*made()._subparsers._group_actions[0].choices)"
Run = Callable[..., str]


def pages(doc: Path) -> None:
    """Pages, copyright and the package's own notes, into its folder of /usr/share/doc."""
    for pattern in PAGES:
        for page in sorted(ROOT.glob(pattern)):
            target = doc / page.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(page, target)
    for name in ("README.Debian", "copyright"):
        shutil.copy(HERE / "debian" / name, doc)
    for name in STILL_THERE:
        (doc / name).symlink_to(f"docs/{name}")
    (doc / "models").symlink_to(MODELS)


def bill(doc: Path, run: Run) -> None:
    """What is inside, as CycloneDX: what `make sbom` writes."""
    run(sys.executable, "-m", "docs.make_sbom", str(_tool("bin/cyclonedx-py")), folder=ROOT)
    shutil.copy(ROOT / "dist/sbom.cdx.json", doc)


def manuals(man: Path, python: Path, number: str, run: Run, environ: dict[str, str]) -> None:
    """appliance(1) and central(1) from the parsers of what is shipped, and appliance-version(8).

    raises  SystemExit: a page leaves a verb out
    """
    tools = _tool("lib/python3.11/site-packages")
    for program, (module, function, sentence) in MANUALS.items():
        words = ["--module", module, "--function", function, "--prog", program, "--description", sentence]
        words += ["--version", number, "--project-name", program, "--manual-title", "Edge diagnostic appliance"]
        page = run(str(python), "-IB", "-c", MADE.format(str(tools)), *words, environ={**environ, "COLUMNS": "80"})
        verbs = run(str(python), "-IB", "-c", VERBS.format(module, function)).split()
        if missing := unsaid(page, program, verbs):
            raise SystemExit(f"{program}(1) says nothing of {', '.join(missing)}")
        _put(man / f"man1/{program}.1.gz", f"{page}\n")
    _put(man / "man8/appliance-version.8.gz", (HERE / "appliance-version.8").read_text())


def unsaid(page: str, program: str, verbs: list[str]) -> list[str]:
    """Verbs of which a manual's page has no section of their own."""
    heads = [line.replace("\\-", "-") for line in page.splitlines() if line.startswith(".SH COMMAND ")]
    return [verb for verb in verbs if not any(f"'{program} {verb}'" in head for head in heads)]


def _put(path: Path, text: str) -> None:
    """Packed as Debian packs a page of the manual, the same bytes for the same text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _tool(name: str) -> Path:
    if not (TOOLS / name).exists():
        raise SystemExit(f"{name} of {TOOLS.name} is missing: `make deb` makes it, or `make .venv-tools/made`")
    return TOOLS / name
