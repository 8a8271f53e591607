"""`make sbom`: a CycloneDX bill of materials of what is shipped, from requirements.lock, into dist/sbom.cdx.json.

cyclonedx-py reads the lock (names, versions, package URLs, hashes); what it leaves out is added here: licences, and
which components are asked for directly. It is the same bytes for the same lock.

python -m docs.make_sbom CYCLONEDX_PY      the program, of a virtual environment for tools
"""

import json
import re
import subprocess
import sys
import tomllib
from typing import Any

from docs.make_licences import LOCK, ROOT, licence

OUT = ROOT / "dist" / "sbom.cdx.json"


def whole(bare: dict[str, Any], direct: set[str]) -> dict[str, Any]:
    """The bill with licences and the first row of the graph."""
    root = bare["metadata"]["component"]["bom-ref"]
    for component in bare["components"]:
        component["licenses"] = [_choice(licence(component["name"]))]
    asked = sorted(each["bom-ref"] for each in bare["components"] if each["name"] in direct)
    rows = [row for row in bare.get("dependencies", []) if row["ref"] != root]
    return {**bare, "dependencies": [*rows, {"ref": root, "dependsOn": asked}]}


def _choice(expression: str) -> dict[str, Any]:
    """BSD without a number is no SPDX word, so it stands as a name."""
    return {"license": {"name": "BSD"}} if expression == "BSD" else {"expression": expression}


def direct() -> set[str]:
    """What pyproject.toml asks for, by canonical name (PEP 503)."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return {re.sub(r"[-_.]+", "-", re.split(r"[\[=]", each)[0]).lower() for each in told}


def main() -> None:
    OUT.parent.mkdir(exist_ok=True)
    options = ["requirements", "--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--of", "JSON"]
    done = subprocess.run([sys.argv[1], *options, str(LOCK)], capture_output=True, text=True, check=True)  # noqa: S603
    made = whole(json.loads(done.stdout), direct())
    OUT.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    print(f"{OUT.relative_to(ROOT)}: {len(made['components'])} components")


if __name__ == "__main__":
    main()
