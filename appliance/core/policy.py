"""What a policy of the centre may move: the order in which cases leave, how much of a picture, how much is drafted.

It can only take away or put in another order. Nothing in it speaks of lanes, thresholds, certificates, models that
decide, or what is cleaned: there is no field by which it could. Of what a site allows and what a policy allows, the
lesser counts; so it does of what it says for all and what it says for thin lines (docs/balance.md).
"""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from appliance.core.case import KEY_IMAGES_MAX
from appliance.core.document import URGENCIES, Document, Probability, Urgency, encode

MODALITIES_MAX = 16
THIN_LINES_MAX = 2000  # each takes 19 bytes of the 64 KiB that a policy may have
OF_EDITION_2 = frozenset({"pictures_from", "thin"})

Pictures = Annotated[int, Field(ge=0, le=KEY_IMAGES_MAX)]
FullSeries = Literal["on-request", "never"]
Mark = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Thin(Document):
    """What is taken away on top where a line is thin.

    lines  marks of the appliances it is for (`mark_of`): every site reads this file, and none need learn of another
    """

    lines: Annotated[tuple[Mark, ...], Field(max_length=THIN_LINES_MAX)]
    key_images: Pictures = KEY_IMAGES_MAX
    pictures_from: Urgency = "routine"
    full_series: FullSeries = "on-request"


class Policy(Document):
    """One policy, whole: what it does not name stands as without it.

    number         of this policy; a lower one than was taken in is refused
    first          modalities (0008,0060) whose hard studies are sealed first, the foremost first; nothing critical
                   waits for them
    key_images     most pictures of one case
    pictures_from  the least urgency of a case that goes with pictures; a less urgent one goes without (edition 2)
    full_series    `never`: no whole series leaves, whatever the site allows
    drafts         share of overdue cases for which the appliance's own small language model may draft
    shadows        largest share of studies that a shadow may see
    thin           what is taken away besides where a line is thin (edition 2)
    """

    schema_version: Literal["policy/2", "policy/1"] = "policy/2"
    number: Annotated[int, Field(ge=1, le=2**31)]
    first: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Z]{2,8}$")], ...], Field(max_length=MODALITIES_MAX)] = ()
    key_images: Pictures = KEY_IMAGES_MAX
    pictures_from: Urgency = "routine"
    full_series: FullSeries = "on-request"
    drafts: Probability = 1.0
    shadows: Probability = 1.0
    thin: Thin | None = None

    @model_validator(mode="after")
    def _edition(self) -> Self:
        if self.schema_version == "policy/1" and (self.pictures_from != "routine" or self.thin is not None):
            raise ValueError("a field of edition 2")
        return self


NONE = Policy(number=1)  # what stands without a policy: nothing is moved


def mark_of(device_id: str) -> str:
    """What stands for an appliance in a policy."""
    return hashlib.sha256(f"thin line {device_id}".encode()).hexdigest()[:16]


def here(policy: Policy, device_id: str) -> Policy:
    """What a policy says for one appliance: with what is taken away on thin lines, if its line is one of them."""
    thin = policy.thin
    if thin is None or mark_of(device_id) not in thin.lines:
        return policy.model_copy(update={"thin": None})
    return policy.model_copy(update={"thin": None, **lesser(policy, thin)})


def lesser(one: Policy, other: "Policy | Thin") -> dict[str, Any]:
    """Of three fields the one that lets less leave."""
    return {
        "key_images": min(one.key_images, other.key_images),
        "pictures_from": max(one.pictures_from, other.pictures_from, key=URGENCIES.index),
        "full_series": "never" if "never" in (one.full_series, other.full_series) else "on-request",
    }


def pictures_of(policy: Policy, urgency: Urgency) -> int:
    """Most pictures with which a case may go."""
    return policy.key_images if URGENCIES.index(urgency) >= URGENCIES.index(policy.pictures_from) else 0


def taken_away(policy: Policy) -> list[str]:
    """What a policy takes away or puts first, in words for a person at the appliance."""
    found = []
    if policy.key_images < KEY_IMAGES_MAX:
        found.append(f"pictures of a case: {policy.key_images} at most")
    if policy.pictures_from != "routine":
        found.append(f"pictures only of cases that are at least {policy.pictures_from}")
    if policy.full_series == "never":
        found.append("no whole series")
    if policy.first:
        found.append(f"sealed first: {', '.join(policy.first)}")
    if policy.drafts < 1:
        found.append(f"local drafts of {policy.drafts:.0%} of overdue cases")
    if policy.shadows < 1:
        found.append(f"shadows see at most {policy.shadows:.0%} of studies")
    return found


def written(policy: Policy) -> bytes:
    """A policy's bytes as they are published, in the earliest edition that can say it: older appliances read that."""
    if policy.pictures_from == "routine" and policy.thin is None:
        told = policy.model_dump(mode="json", exclude=set(OF_EDITION_2)) | {"schema_version": "policy/1"}
        return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    return encode(policy.model_copy(update={"schema_version": "policy/2"}))


def place(policy: Policy, *, attempts: int, urgency: Urgency, modality: str) -> tuple[int, bool, int]:
    """Where a hard study stands among those that wait to be sealed: what was tried less often first, as without a
    policy; what is critical before all that a policy prefers; then by its list."""
    rank = policy.first.index(modality) if modality in policy.first else len(policy.first)
    return attempts, urgency != "critical", rank


def may_draft(policy: Policy, case_id: str) -> bool:
    """Whether a case is among the share of which drafts may be made: the same case is always answered the same."""
    drawn = int.from_bytes(hashlib.sha256(f"draft {case_id}".encode()).digest()[:8], "big")
    return drawn < policy.drafts * 2**64
