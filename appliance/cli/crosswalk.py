"""`appliance crosswalk PSEUDONYM`: who stands behind a pseudonym or a case id that left this house.

It answers whoever may read the clinical ledger (its file's rights decide), on standard output and nowhere else: the
question and the answer are never logged. Status 1 when nobody does.
"""

import sys
from dataclasses import fields
from typing import Any

from sqlalchemy import Row

from appliance.cli.look import show
from appliance.config import Places
from appliance.core.study import Patient
from appliance.errors import Misconfigured
from appliance.world import sqlite
from appliance.world.ledger import departures

PATIENT = tuple(field.name for field in fields(Patient))


def run(places: Places, pseudonym: str, as_json: bool) -> int:
    """Prints one block a study."""
    if not places.studies_db.exists():
        raise Misconfigured("state-folder")
    engine = sqlite.open_reader(places.studies_db)
    try:
        with engine.connect() as c:
            rows = departures.whose(c, pseudonym.strip())
    finally:
        engine.dispose()
    if not rows:
        print("nobody here goes by this pseudonym", file=sys.stderr)
        return 1
    found = [_person(row) for row in rows]
    show(found, as_json, [line for each in found for line in _lines(each)])
    return 0


def _person(row: Row[Any]) -> dict[str, Any]:
    stands_for = {"kind": getattr(row, "kind", "case"), "source": getattr(row, "source", "")}
    study = {"study_number": row.number, "study_instance_uid": row.study_instance_uid}
    return {**stands_for, **study, **{name: getattr(row, name) for name in PATIENT}}


def _lines(person: dict[str, Any]) -> list[str]:
    return [
        f"{person['kind']} {person['source']}".strip() + f", study {person['study_number']}",
        *(f"  {name.replace('_', ' ')}: {person[name]}" for name in ("study_instance_uid", *PATIENT) if person[name]),
    ]
