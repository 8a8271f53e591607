"""What a case page says of why a study stands where it stands: routing in words, what was not assessed, the promise.

Only what triage filed is read: facts of the model and of the certificate, headers of the images. It decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from appliance.core.certificate import PRODUCT_CONTRACT, Contract, promise_words
from appliance.core.routing import not_assessed, routed
from appliance.core.study import Instance
from appliance.review import words
from appliance.world.ledger import watch

STANDING = {
    "quiet": "in force",
    "warn": "under warning: half of each lane",
    "revoke": "taken away",
}


@dataclass(frozen=True, slots=True)
class Grounds:
    """Sentences about one result; all empty before a decision.

    label    the finding that the model looks for, "" where none was asked
    promise  of the certificate looked at, None where there is none on file
    """

    routed: str = ""
    not_assessed: tuple[str, ...] = ()
    label: str = ""
    intended_use: str = ""
    promise: dict[str, Any] | None = None


def grounds(c: Connection, study: Row[Any], result: Row[Any] | None, instances: Sequence[Instance]) -> Grounds:
    if result is None:
        return Grounds()
    asked = _models(c, result.model, study.modality)
    certificate = _certificate(c, result)
    facts = certificate.facts if certificate is not None else None
    scores = [each for each in result.scores if isinstance(each, dict)] if isinstance(result.scores, list) else []
    first = instances[0] if instances else None
    scanner = f"{first.manufacturer} {first.manufacturer_model_name}".strip() if first is not None else ""
    told = asked if result.model else []
    return Grounds(
        routed=routed(
            result.lane,
            result.reasons if isinstance(result.reasons, list) else [],
            scores,
            ages=[each.patient_age for each in instances],
            models=asked,
            certificate=facts,
            scanner=scanner,
        ),
        not_assessed=not_assessed(result.lane, scores, told, sum(each.number_of_frames for each in instances)),
        label=str(told[0].get("label", "")) if told else "",
        intended_use=str(told[0].get("intended_use", "")) if told else "",
        promise=None if certificate is None else _promise(certificate),
    )


def _models(c: Connection, title: str | None, modality: str) -> list[dict[str, Any]]:
    """Facts of the model that was asked; where none applied, of all here that were made for this modality."""
    table = watch.installed
    if title:
        return list(c.execute(select(table.c.facts).where(table.c.title == title)).scalars())
    here = c.execute(select(table.c.facts).where(table.c.present).order_by(table.c.title)).scalars()
    return [facts for facts in here if modality in (facts.get("covers") or {}).get("modality", ())]


def _certificate(c: Connection, result: Row[Any]) -> Row[Any] | None:
    """The certificate looked at: the one that was seen with this study, else the newest of the name."""
    if not result.certificate:
        return None
    table = watch.monitors
    seen = select(watch.watched.c.certificate).where(watch.watched.c.study_number == result.study_number)
    named = [
        row
        for row in c.execute(select(table).where(table.c.model == (result.model or "")))
        if row.facts.get("name") == result.certificate
    ]
    with_it = set(c.execute(seen).scalars())
    ranked = sorted(named, key=lambda row: (row.certificate in with_it, row.facts.get("created", "")))
    return ranked[-1] if ranked else None


def _promise(row: Row[Any]) -> dict[str, Any]:
    facts = row.facts
    contract = Contract.model_validate(facts["contract"])
    return {
        "name": facts["name"],
        "digest": row.certificate,
        "standing": STANDING.get(row.stage, row.stage),
        "since": words.clock_time(row.stage_since),
        "words": promise_words(contract, facts["delta"]),
        "demonstration": contract != PRODUCT_CONTRACT,
        "label": facts["label"],
        "site": facts["site"],
        "patients": facts["patients"],
        "created": words.iso_date(facts["created"]),
        "expires": words.iso_date(facts["expires"]),
    }
