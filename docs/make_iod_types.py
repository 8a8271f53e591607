"""Makes deidentify/iod_types.json of core: the Type (PS3.5 7.4) of attributes whose action in Table E.1-1 needs it.

Run it with highdicom installed, whose wheel carries PS3.3 as data: python docs/make_iod_types.py
Only Types 1 and 2 are written: what is not named is Type 3 where it stands, or no part of the object at all, and may
go. For compound actions (X/Z, X/D, X/Z/D, Z/D) a conditional Type counts as its unconditional one: a value where none
was needed is valid, none where one was needed is not. For the plain actions X and Z only attributes count that the
object must have whatever its conditions, such as the creation date of a presentation state.
"""

import json
from importlib import metadata, resources
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent.parent / "appliance" / "core"
STRICTNESS = {"1": 1, "1C": 1, "2": 2, "2C": 2}


def made() -> dict[str, Any]:
    """{"source", "objects": {SOP Class UID: {keyword: Type}}, "items": {sequence keyword: {keyword: Type}}}."""
    standard = resources.files("highdicom").joinpath("_standard")
    modules, iods, classes = (
        json.loads(standard.joinpath(f"{name}.json").read_text("utf-8"))
        for name in ("module_attribute_map", "iod_module_map", "sop_class_iod_map")
    )
    rows = json.loads((HERE / "annex_e.json").read_text("utf-8"))["rows"]
    compound = {row["keyword"] for row in rows if "/" in row["basic_profile"]}
    plain = {row["keyword"] for row in rows if row["basic_profile"] in ("X", "Z")}
    objects: dict[str, dict[str, int]] = {}
    items: dict[str, dict[str, int]] = {}
    for sop_class, iod in classes.items():
        top = objects.setdefault(sop_class, {})
        for module in iods[iod]:
            for attribute in modules.get(module["key"], ()):
                keyword, strictness = attribute["keyword"], STRICTNESS.get(attribute["type"])
                must = attribute["type"] in ("1", "2") and (module["usage"] == "M" or attribute["path"])
                if strictness and (keyword in compound or (keyword in plain and must)):
                    into = items.setdefault(attribute["path"][-1], {}) if attribute["path"] else top
                    into[keyword] = min(strictness, into.get(keyword, 9))
    return {
        "source": f"PS3.3 as carried by highdicom {metadata.version('highdicom')} (MIT)",
        "objects": dict(sorted(objects.items())),
        "items": dict(sorted(items.items())),
    }


def written(content: dict[str, Any]) -> str:
    """One object a line, so that the next edition reads as a difference."""
    parts = []
    for name in ("objects", "items"):
        lines = ",\n".join(
            f"  {json.dumps(key)}: {json.dumps(types, sort_keys=True)}" for key, types in content[name].items()
        )
        parts.append(f'"{name}": {{\n{lines}\n }}')
    return "{\n " + f'"source": {json.dumps(content["source"])},\n ' + ",\n ".join(parts) + "\n}\n"


if __name__ == "__main__":
    (HERE / "deidentify" / "iod_types.json").write_text(written(made()), "utf-8")
