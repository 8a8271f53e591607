"""docs/licences.md: what every run-time dependency is licensed under, from the metadata of what is installed here.

A licence that is not in ALLOWED fails a test, and so does a package that names none and is not in BY_HAND.
"""

import re
from importlib.metadata import Distribution, distribution
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
ALLOWED = {
    *("MIT", "MIT-0", "MIT-CMU", "0BSD", "BSD", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0", "Zlib"),
    *("CC0-1.0", "MPL-2.0", "EPL-2.0"),  # the last two: changes to their own files would have to be given; none is made
}
SPDX = {  # how older metadata says it
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "BSD License": "BSD",
    "3-Clause BSD License": "BSD-3-Clause",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
BY_HAND = {"pysqlite3": "Zlib"}  # names none in its metadata; LICENSE of its source is the zlib licence


def locked() -> list[str]:
    """Names in requirements.lock, in its order."""
    return re.findall(r"^([a-z0-9-]+)==", LOCK.read_text(), re.MULTILINE)


def licence(name: str) -> str:
    """The SPDX expression of an installed package; "" where it names none that is known."""
    told = distribution(name).metadata
    if expression := told.get("License-Expression"):
        return str(expression)
    classified = [
        each.rsplit(" :: ", 1)[-1] for each in told.get_all("Classifier", []) if each.startswith("License ::")
    ]
    classified = [each for each in classified if each != "OSI Approved"]
    said = classified[0] if classified else (told.get("License") or "").splitlines()[0:1]
    word = said if isinstance(said, str) else "".join(said)
    return SPDX.get(word, word) or BY_HAND.get(name, "")


def not_allowed(expression: str) -> set[str]:
    """Parts of an expression that are not allowed: of an OR one is enough."""
    ways = [set(re.split(r" AND |[()]", way)) - {"", " "} for way in expression.split(" OR ")]
    return min((({part.strip() for part in way} - ALLOWED) for way in ways), key=len) if expression else {"none named"}


def carried(found: Distribution) -> list[str]:
    """Shared libraries that its wheel brings along, by their names."""
    names = [Path(str(file)).name for file in found.files or [] if ".libs/" in str(file)]
    return sorted({re.split(r"[-.]", name)[0] for name in names if ".so" in name})


def page() -> str:
    lines = [
        "# Licences",
        "",
        "Printed by `docs/make_licences.py` from what is installed; do not edit. Run-time dependencies of",
        "`requirements.lock`, their licences in SPDX words (`BSD`: its metadata does not say which), and the shared",
        "libraries that their wheels carry, which have licences of their own: FFmpeg in opencv and GEOS in shapely are",
        "LGPL-2.1, used unchanged and replaceable. Models: each package has its `LICENSE` and `sbom.json`.",
        "",
        "| package | version | licence | its wheel carries |",
        "|---|---|---|---|",
    ]
    for name in locked():
        found = distribution(name)
        lines.append(f"| {name} | {found.version} | {licence(name)} | {', '.join(carried(found))} |")
    return "\n".join(lines) + "\n"
