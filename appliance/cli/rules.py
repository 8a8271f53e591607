"""`appliance rules test IN…`: a study in, out what the site's table says of it: which models may look, what goes where.

It keeps nothing, sends nothing and runs no model. Paths and header values that name a person are not printed.
"""

import argparse
import logging
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, get_args

from appliance.cli.files import bears_magic, named, quiet_libraries
from appliance.cli.look import show
from appliance.config import Config, Places
from appliance.core.admit import admit
from appliance.core.decide import Model
from appliance.core.rules import Decided, said_of, sent
from appliance.core.study import LANES, Instance
from appliance.errors import Fault, Refused
from appliance.loop import guarded
from appliance.world.models import load_packages

FACTS = ("modality", "body_part_examined", "view_position", "manufacturer_model_name", "patient_age", "sop_class_uid")


def run(config: Config, places: Places, told: argparse.Namespace) -> int:
    """Prints one block, or one document, a study; status 1 where a file could not be read or none was named."""
    quiet_libraries()
    logging.getLogger("appliance").setLevel(logging.CRITICAL)
    studies: dict[str, list[Instance]] = {}
    refused: list[str] = []
    for path, _ in named(told.inputs):
        instance = guarded("rules.admit", partial(_admitted, path))
        if isinstance(instance, Fault):
            refused.append(instance.code)
        else:
            studies.setdefault(instance.study_instance_uid, []).append(instance)
    models = _models(config, places)
    documents = [_study(config, models, instances) for instances in studies.values()]
    lines = [line for number, each in enumerate(documents, 1) for line in _lines(number, each)]
    lines += [f"a file is not counted: {code}" for code in refused] + ([] if studies else ["no study was named"])
    show({"studies": documents, "refused": refused}, told.json, lines)
    return 0 if studies and not refused else 1


def _admitted(path: Path) -> Instance:
    data = path.read_bytes()
    if not bears_magic(data):
        raise Refused("file-not-dicom")
    return admit(data)


def _models(config: Config, places: Places) -> list[Model]:
    folders = [config.triage.model_folder, *places.beside]
    packages, _ = load_packages(folders, config.triage.trusted_keys, *places.site_certificates)
    return [replace(package.model, rules=config.rules.models) for package in packages]


def _study(config: Config, models: list[Model], instances: list[Instance]) -> dict[str, Any]:
    """What the table says of one study; images that are alike in all that a rule can ask are told once."""
    rules = config.rules
    alike: dict[tuple[str, ...], Instance] = {}
    for each in instances:
        alike.setdefault((*(str(getattr(each, fact)) for fact in FACTS), each.patient.study_description), each)
    images = [
        {
            **{fact: getattr(each, fact) for fact in FACTS},
            "models": [asdict(said) for said in said_of(rules.models, each)],
            "results": [asdict(said) for said in said_of(rules.results, each)],
        }
        for each in alike.values()
    ]
    goes: list[dict[str, Any]] = []
    for lane, decision in product(LANES, get_args(Decided)):
        found = sent(rules.results, instances, lane=lane, decision=decision, everything=config.results.everywhere())
        goes += [{"lane": lane, "decision": decision, "sends": found}] if found else []
    looks = [{"model": model.manifest.title, "why_not": model.why_not(instances)} for model in models]
    return {"images": len(instances), "kinds": images, "models": looks, "goes": goes}


def _lines(number: int, told: dict[str, Any]) -> list[str]:
    lines = [f"study {number}, {told['images']} images"]
    for image in told["kinds"]:
        lines.append("  " + " ".join(str(image[fact]) for fact in FACTS[:5] if image[fact]))
        lines += [f"    {which} rule {_words(said)}" for which in ("models", "results") for said in image[which]]
    for each in told["models"]:
        lines.append(f"  {each['model']}: " + ("may look" if each["why_not"] is None else f"no, {each['why_not']}"))
    for each in told["goes"]:
        sends = ", ".join(f"{kind} to {' and '.join(to)}" for kind, to in each["sends"].items())
        lines.append(f"  {each['lane']}, {each['decision']}: {sends}")
    return lines


def _words(said: dict[str, str]) -> str:
    words = {"yes": "matches", "no": f"does not match by {said['key']}", "unknown": f"cannot tell: no {said['key']}"}
    return f"{said['rule']}: {words[said['matched']]}"
