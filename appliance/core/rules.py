"""A site's own table: which studies which models may look at, and which result of which study goes where.

A rule for models can only take a model away from a study, never give it one that its manifest does not cover. The
first rule that matches an image counts for it, and a study may be looked at by what all its images allow. Where a
header does not tell what a rule asks, the rule may match or not: then both outcomes must allow a model. What no rule
matches, every model may look at. Why a certificate speaks for one table only: docs/decisions/0039-rules.md.

Rules for results add up: each that matches names what is sent where. Without any, everything built goes everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field, model_validator

from appliance.core.strict import Strict, canonical_sha256
from appliance.core.study import Instance, Lane, age_years

RULES_MAX = 100
NAME = r"^[a-z][a-z0-9-]{0,39}$"
MODEL = r"^[a-z][a-z0-9-]{0,62}(/[0-9]+\.[0-9]+\.[0-9]+)?$"
Matched = Literal["yes", "no", "unknown"]
Decided = Literal["agree", "disagree", "cannot-tell", "none"]
Result = Literal["sr", "key-image", "oru", "fhir"]
# What each kind of target takes.
TAKES: dict[str, tuple[Result, ...]] = {
    "dimse": ("sr", "key-image"),
    "stow": ("sr", "key-image"),
    "hl7": ("oru",),
    "fhir": ("fhir",),
}


Code = Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{1,16}$")]
Text = Annotated[str, Field(min_length=1, max_length=64)]
Uid = Annotated[str, Field(pattern=r"^[0-9.]{3,64}$")]


class Match(Strict):
    """What an image must be; several values of one key are alternatives, several keys must all hold.

    study_description  patterns with * and ?, in any case; the words are the site's own and never leave
    years_min, years_max  completed years of PatientAge, both ends included
    """

    name: Annotated[str, Field(pattern=NAME)]
    modality: Annotated[tuple[Code, ...], Field(strict=False, max_length=20)] = ()
    sop_class_uid: Annotated[tuple[Uid, ...], Field(strict=False, max_length=20)] = ()
    body_part_examined: Annotated[tuple[Code, ...], Field(strict=False, max_length=50)] = ()
    view_position: Annotated[tuple[Code, ...], Field(strict=False, max_length=20)] = ()
    manufacturer_model_name: Annotated[tuple[Text, ...], Field(strict=False, max_length=50)] = ()
    study_description: Annotated[tuple[Text, ...], Field(strict=False, max_length=50)] = ()
    years_min: Annotated[int | None, Field(ge=0, le=150)] = None
    years_max: Annotated[int | None, Field(ge=0, le=150)] = None

    @model_validator(mode="after")
    def _ages_in_order(self) -> "Match":
        if self.years_min is not None and self.years_max is not None and self.years_min > self.years_max:
            raise ValueError("years_min is above years_max")
        return self

    def of(self, instance: Instance) -> tuple[Matched, str]:
        """Whether an image is meant, and the key that says no or that its header does not tell ("" for a plain yes)."""
        unknown = ""
        for key, wanted, told in self._asked(instance):
            if not told:
                unknown = unknown or key
            elif not any(fnmatchcase(told, each) for each in wanted):
                return "no", key
        age = age_years(instance.patient_age)
        if self.years_min is not None or self.years_max is not None:
            low, high = self.years_min or 0, 150 if self.years_max is None else self.years_max
            if age is None:
                unknown = unknown or "patient_age"
            elif not low <= age <= high:
                return "no", "patient_age"
        return ("unknown", unknown) if unknown else ("yes", "")

    def _asked(self, instance: Instance) -> list[tuple[str, list[str], str]]:
        """Key, patterns and what the header tells, of every key that this rule names."""
        exact = ("modality", "sop_class_uid", "body_part_examined", "view_position", "manufacturer_model_name")
        asked = [(key, [_literally(each) for each in getattr(self, key)], str(getattr(instance, key))) for key in exact]
        words = [each.casefold() for each in self.study_description]
        asked.append(("study_description", words, instance.patient.study_description.casefold()))
        return [each for each in asked if each[1]]


def _literally(value: str) -> str:
    """A pattern that only the value itself fits."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in value)


class ModelRule(Match):
    """Which models may look at an image that matches, each by name or name/version; none: straight to the centre."""

    models: Annotated[tuple[Annotated[str, Field(pattern=MODEL)], ...], Field(strict=False, max_length=50)]

    def allows(self, title: str) -> bool:
        return title in self.models or title.partition("/")[0] in self.models


class ResultRule(Match):
    """What is sent where, of a study any image of which matches.

    lane      where the study ended; empty: any
    decision  what the reader decided; empty: any; "none" is a result that nobody signed
    """

    lane: Annotated[tuple[Lane, ...], Field(strict=False, max_length=4)] = ()
    decision: Annotated[tuple[Decided, ...], Field(strict=False, max_length=4)] = ()
    send: Annotated[tuple[Result, ...], Field(strict=False, max_length=8)]
    to: Annotated[tuple[Annotated[str, Field(pattern=NAME)], ...], Field(strict=False, max_length=20)]


@dataclass(frozen=True, slots=True)
class RuleSaid:
    """What one rule said of one image."""

    rule: str
    matched: Matched
    key: str


def may_look(rules: Sequence[ModelRule], title: str, instances: Sequence[Instance]) -> bool:
    """Whether the table lets a model look at a study: every image must allow it, whatever its header leaves open."""
    return all(_allows(rules, title, instance) for instance in instances)


def _allows(rules: Sequence[ModelRule], title: str, instance: Instance) -> bool:
    for rule in rules:
        matched, _ = rule.of(instance)
        if matched != "no" and not rule.allows(title):
            return False
        if matched == "yes":
            return True
    return True


def said_of(rules: Sequence[Match], instance: Instance) -> list[RuleSaid]:
    """What each rule says of an image, in order; for people who test their table."""
    return [RuleSaid(rule.name, *rule.of(instance)) for rule in rules]


def sent(
    rules: Sequence[ResultRule],
    instances: Sequence[Instance],
    *,
    lane: Lane,
    decision: Decided,
    everything: Mapping[Result, Sequence[str]],
) -> dict[Result, tuple[str, ...]]:
    """Where each kind of result goes, by target names; a kind that goes nowhere is left out.

    everything  what is built and where it could go: the answer without any rule, and the bounds with one
    """
    if not rules:
        return {kind: tuple(targets) for kind, targets in everything.items() if targets}
    wanted: dict[Result, set[str]] = {}
    for rule in rules:
        met = (not rule.lane or lane in rule.lane) and (not rule.decision or decision in rule.decision)
        if met and any(rule.of(instance)[0] == "yes" for instance in instances):
            for kind in rule.send:
                wanted.setdefault(kind, set()).update(rule.to)
    found = {
        kind: tuple(each for each in targets if each in wanted.get(kind, ())) for kind, targets in everything.items()
    }
    return {kind: targets for kind, targets in found.items() if targets}


def selection_sha256(rules: Sequence[ModelRule], modalities: Sequence[str]) -> str | None:
    """What a certificate is tied to: the rules that can concern a model of these modalities; None where none can.

    A rule chooses whom a model sees, and with it how common the finding is among them. Names do not count.
    """
    concerned = [each for each in rules if not each.modality or set(each.modality) & set(modalities)]
    if not concerned:
        return None
    return canonical_sha256([each.model_dump(mode="json", exclude={"name"}) for each in concerned])
