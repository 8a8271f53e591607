"""Triage, what is said of a study to other systems: findings out of the ledger's rows, as a statement bears them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from appliance.core.decide import Model
from appliance.core.results.statement import Finding
from appliance.core.results.words import Term


def edge(result: Row[Any], models: Sequence[Model]) -> list[Finding]:
    """What the models here said: of each the last exit; nothing of one whose weights are random."""
    known = {model.manifest.title: model.manifest for model in models}
    last: dict[str, dict[str, Any]] = {}
    for told in sorted(result.scores, key=lambda each: int(each.get("exit", 1))):
        if told.get("weights", "trained") == "trained":
            last[told["model"]] = told
    found = []
    for title, told in last.items():
        name, _, version = title.partition("/")
        manifest = known.get(title)
        label = None
        if manifest is not None:
            of = manifest.label
            label = Term(of.code, of.scheme, of.name[:64])
        found.append(Finding(name, version, told.get("model_sha256", ""), label, float(told["logit"])))
    return found


def centre(verdicts: Sequence[Row[Any]], models: Sequence[Model]) -> list[Finding]:
    """What the centre's model said of each label; nothing where none was connected or it asks for a person."""
    if not verdicts or verdicts[0].body["status"] != "ok" or not verdicts[0].body["reader"]["connected"]:
        return []
    body = verdicts[0].body
    labels = {model.manifest.label.name: model.manifest.label for model in models}
    found = []
    for opinion in body["opinions"]:
        of = labels.get(opinion["label"])
        label = None if of is None else Term(of.code, of.scheme, of.name[:64])
        prompt = body["reader"]["prompt_sha256"]
        model = body["reader"]["model"][:64] or "central"
        found.append(Finding(model, prompt[:16], prompt, label, None, opinion["assessment"]))
    return found
