"""Makes appliance/core/annex_e.json, the de-identification rules as data, from an extraction of PS3.15 Table E.1-1.

Run it when an edition of the standard changes the table: python docs/make_annex_e.py EXTRACTION.json
It refuses an extraction whose rows do not give the digest that the extraction itself names, an attribute with no
known value representation, and an action that the cleaner has no word for.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "appliance" / "core" / "annex_e.json"
ROW_KEYS = ("name", "tag", "retired", "in_standard_iod", "basic_profile", "options")
ACTIONS = {"D", "Z", "X", "U", "X/D", "X/Z", "X/Z/D", "Z/D", "X/Z/U*"}

# Keyword and VR of the attributes which pydicom 3.0.2 does not know, after PS3.6: in Implicit VR nobody else
# tells us what they are. Rows for whole groups have neither.
UNKNOWN_TO_PYDICOM = {
    "(0040,B034)": ("AnnotationDateTime", "DT"),
    "(0040,E012)": ("DisplayURI", "UR"),
    "(3004,007F)": ("DoseCalculationModelName", "LO"),
    "(0040,A034)": ("EffectiveStartDateTime", "DT"),
    "(0040,A035)": ("EffectiveStopDateTime", "DT"),
    "(0010,2162)": ("EthnicGroups", "UC"),
    "(0010,0044)": ("GenderIdentityCodeSequence", "SQ"),
    "(0010,0045)": ("GenderIdentityComment", "UT"),
    "(0010,0041)": ("GenderIdentitySequence", "SQ"),
    "(0008,1304)": ("HistologicalDiagnosesCodeSequence", "SQ"),
    "(0040,B03F)": ("MontageChannelLabel", "SH"),
    "(0040,B03B)": ("MontageName", "SH"),
    "(0010,0012)": ("NameToUse", "LT"),
    "(0010,0013)": ("NameToUseComment", "UT"),
    "(0010,0011)": ("PersonNamesToUseSequence", "SQ"),
    "(0008,1302)": ("PrimaryDiagnosisCodeSequence", "SQ"),
    "(0008,1301)": ("PrincipalDiagnosisCodeSequence", "SQ"),
    "(0010,0015)": ("PronounCodeSequence", "SQ"),
    "(0010,0016)": ("PronounComment", "UT"),
    "(0008,1303)": ("SecondaryDiagnosesCodeSequence", "SQ"),
    "(0040,B036)": ("SegmentDefinitionDateTime", "DT"),
    "(0010,0046)": ("SexParametersForClinicalUseCategoryCodeSequence", "SQ"),
    "(0010,0042)": ("SexParametersForClinicalUseCategoryComment", "UT"),
    "(0010,0047)": ("SexParametersForClinicalUseCategoryReference", "UR"),
    "(0010,0043)": ("SexParametersForClinicalUseCategorySequence", "SQ"),
    "(0010,0014)": ("ThirdPersonPronounsSequence", "SQ"),
    "(50xx,xxxx)": ("", ""),
    "(60xx,3000)": ("OverlayData", "OW"),
    "(60xx,4000)": ("OverlayComments", "LT"),
    "(gggg,eeee) where gggg is odd": ("", ""),
}


def rows_sha256(rows: list[dict[str, Any]]) -> str:
    """The digest that names the content of the table: canonical JSON of the standard's own columns, SHA-256, hex."""
    bare = [{key: row[key] for key in ROW_KEYS} for row in rows]
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def made(source: dict[str, Any]) -> dict[str, Any]:
    """The data file's content: the table with keyword and VR for each row, CID 7050, Table E.3.4-1."""
    rows: list[dict[str, Any]] = source["rows"]
    if rows_sha256(rows) != source["content_sha256"]:
        raise SystemExit("the rows do not give the digest that the extraction names")
    if strange := {row["basic_profile"] for row in rows} - ACTIONS:
        raise SystemExit(f"actions nobody carries out: {sorted(strange)}")
    known = {tag: tuple(entry) for tag, entry in source["pydicom_keywords"].items()} | UNKNOWN_TO_PYDICOM
    if nameless := [row["tag"] for row in rows if row["tag"] not in known]:
        raise SystemExit(f"rows without keyword and VR: {nameless}")
    named = [
        {key: row[key] for key in ROW_KEYS} | {"keyword": known[row["tag"]][0], "vr": known[row["tag"]][1]}
        for row in rows
    ]
    return {
        "table": source["table"],
        "edition": source["edition"],
        "acknowledgement": source["acknowledgement"],
        "content_sha256": source["content_sha256"],
        "cid_7050": source["cid_7050"],
        "options": source["options"],
        "rows": named,
        "sr_codes": source["sr_content_items_table_e3_4_1"],
    }


def written(content: dict[str, Any]) -> str:
    """One row a line, so that the next edition reads as a difference."""
    parts = []
    for key, value in content.items():
        if key in ("rows", "sr_codes"):
            lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f'"{key}": [\n{lines}\n ]')
        else:
            parts.append(f'"{key}": {json.dumps(value, ensure_ascii=False)}')
    return "{\n " + ",\n ".join(parts) + "\n}\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    TARGET.write_text(written(made(json.loads(Path(sys.argv[1]).read_text("utf-8")))), "utf-8")
