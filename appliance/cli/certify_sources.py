"""Where `appliance certify` has its scores from: this site's clinical ledger, or a table. No label is looked at here.

Of the ledger only results of the very same model, gates and preparation count, each study's standing one. A labelled
study that does not count is told with the reason; one that nobody knows is a fault.
"""

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, select

from appliance.config import Places
from appliance.core.certificate import Group
from appliance.core.certify import Scored
from appliance.core.decide import Model
from appliance.core.labels import Label, Labels, read_scores
from appliance.core.manifest import Manifest
from appliance.core.study import Instance
from appliance.errors import Misconfigured, Refused
from appliance.world import ledger, sqlite
from appliance.world.ledger import shadows

IDENTITY = ("model_sha256", "gates_digest", "preparation_digest", "selection_sha256")
SKIPPED = {
    "undecided": "not decided yet, or set aside",
    "other-model": "scored by another model, gates or preparation, or not at all",
    "other-group": "of another group",
}


@dataclass(slots=True)
class Found:
    """Films with scores, the label table's id of each film, the one group they are of, and who does not count."""

    group: Group
    scored: list[Scored] = field(default_factory=list)
    studies: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


def asked_group(told: str, manifest: Manifest) -> Group:
    """MANUFACTURER,MODEL,MODALITY,BODYPART[,AGE-AGE]; ages are the manifest's where none are told."""
    parts = [each.strip() for each in next(csv.reader([told]), [])]
    ages = manifest.applies_to.patient_age
    low, high = (None, None) if ages is None else (ages.years_min, ages.years_max)
    try:
        if len(parts) == 5:
            low, high = (int(each) for each in parts[4].split("-"))
        manufacturer, name, modality, body_part = parts[:4]
    except ValueError:
        raise Misconfigured("certify-group") from None
    return _group(manufacturer, name, modality, body_part, low, high)


def _group(manufacturer: str, name: str, modality: str, body_part: str, low: int | None, high: int | None) -> Group:
    try:
        return Group(
            manufacturer=manufacturer,
            manufacturer_model_name=name,
            modality=modality,
            body_part_examined=body_part,
            patient_age_years_min=low,
            patient_age_years_max=high,
        )
    except ValidationError:
        raise Misconfigured("certify-group") from None


def from_table(data: bytes, labels: Labels, manifest: Manifest, group: str | None) -> Found:
    """Scores of a table, whose films the labels name.

    raises  Refused("labels-unknown" | "labels-contradictory" | "scores-unreadable" | "scores-doubled")
            Misconfigured("certify-group")
    """
    if group is None:
        raise Misconfigured("certify-group")
    films = {film.film: film for film in read_scores(data, len(manifest.exits))}
    found = Found(asked_group(group, manifest))
    for row in labels.rows:
        if row.study not in films:
            raise Refused("labels-unknown", f"line {row.line}")
        if row.patient and row.patient != films[row.study].patient:
            raise Refused("labels-contradictory", f"line {row.line}")
        found.scored.append(films[row.study])
        found.studies[row.study] = row.study
    return found


def from_ledger(places: Places, labels: Labels, model: Model, gates_digest: str, group: str | None) -> Found:
    """Scores of this site's own studies.

    raises  Refused("labels-unknown" | "labels-contradictory" | "labels-patient" | "labels-unreadable")
            Misconfigured("certify-group" | "certify-unscored" | "state-folder")
    """
    if labels.by == "film":
        raise Refused("labels-unreadable", "line 1")
    if not places.studies_db.exists():
        raise Misconfigured("state-folder")
    engine = sqlite.open_reader(places.studies_db)
    try:
        with engine.connect() as c:
            studies = list(_studies(c, labels))
            made_with = (model.sha256, gates_digest, model.preparation_digest, model.selection_sha256)
            identity = dict(zip(IDENTITY, made_with, strict=True))
            return _counted(c, studies, model.manifest, identity, group)
    finally:
        engine.dispose()


def _studies(c: Connection, labels: Labels) -> Iterator[tuple[Label, Row[Any], str]]:
    """Each labelled study with its row and its patient."""
    column = ledger.studies.c[labels.by]
    for row in labels.rows:
        rows = c.execute(select(ledger.studies).where(column == row.study).limit(2)).all()
        if not rows:
            raise Refused("labels-unknown", f"line {row.line}")
        if len(rows) > 1:  # an accession number of two studies does not say which one was read
            raise Refused("labels-contradictory", f"line {row.line}")
        study = rows[0]
        if row.patient and study.patient_id and row.patient != study.patient_id:
            raise Refused("labels-contradictory", f"line {row.line}")
        patient = study.patient_id or row.patient
        if not patient:
            raise Refused("labels-patient", f"line {row.line}")
        yield row, study, patient


def _counted(
    c: Connection,
    studies: list[tuple[Label, Row[Any], str]],
    manifest: Manifest,
    identity: dict[str, str | None],
    group: str | None,
) -> Found:
    skipped: Counter[str] = Counter()
    kept: list[tuple[str, Scored, Instance]] = []
    for label, study, patient in studies:
        instances = ledger.instances_of(c, study.number)
        result = ledger.result_of(c, study.number, study.revision)
        if result is None or result.superseded_at is not None or not instances:
            skipped["undecided"] += 1
            continue
        if result.model != manifest.title:  # it may have run beside the one that decided
            beside = (row for row in shadows.of(c, study.number) if row.revision == study.revision)
            result = next((row for row in beside if row.model == manifest.title), result)
        film = hashlib.sha256(study.study_instance_uid.encode()).hexdigest()
        scored = _scored(film, patient, result, manifest, identity)
        if scored is None:
            skipped["other-model"] += 1
        else:
            kept.append((label.study, scored, instances[0]))
    if not kept:
        raise Misconfigured("certify-unscored")
    found = Found(_one_group([instance for *_, instance in kept], manifest, group))
    for told, scored, instance in kept:
        if not found.group.holds(instance):
            skipped["other-group"] += 1
            continue
        found.scored.append(scored)
        found.studies[scored.film] = told
    if not found.scored:
        raise Misconfigured("certify-unscored")
    found.skipped = dict(skipped)
    return found


def _one_group(instances: list[Instance], manifest: Manifest, group: str | None) -> Group:
    if group is not None:
        return asked_group(group, manifest)
    facts = {(i.manufacturer, i.manufacturer_model_name, i.modality, i.body_part_examined) for i in instances}
    if len(facts) != 1:
        raise Misconfigured("certify-group")
    ages = manifest.applies_to.patient_age
    return _group(*facts.pop(), *((None, None) if ages is None else (ages.years_min, ages.years_max)))


def _scored(
    film: str, patient: str, result: Row[Any], manifest: Manifest, identity: dict[str, str | None]
) -> Scored | None:
    """The scores of one result; None where they are not of this very model."""
    told = {int(each.get("exit", 1)): each for each in result.scores if each.get("model") == manifest.title}
    wanted = [each.get(key) == value for each in told.values() for key, value in identity.items()]
    if not told or not all(wanted) or not all("failed" in each for each in told.values()):
        return None
    exits = range(1, len(manifest.exits) + 1)
    return Scored(
        film=film,
        patient=patient,
        logits=tuple(float(told[number]["logit"]) if number in told else math.nan for number in exits),
        passed=tuple(number in told and not told[number]["failed"] for number in exits),
        measures={name: float(value) for name, value in told[max(told)]["gates"].items()},
    )
