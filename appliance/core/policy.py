"""What a policy of the centre may move: the order in which cases leave, how much of a picture, how much is drafted.

It can only take away or put in another order. Nothing in it speaks of lanes, thresholds, certificates, models that
decide, or what is cleaned: there is no field by which it could. Of what a site allows and what a policy allows, the
lesser counts.
"""

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from appliance.core.case import KEY_IMAGES_MAX
from appliance.core.document import Document, Probability, Urgency

MODALITIES_MAX = 16


class Policy(Document):
    """One policy, whole: what it does not name stands as without it.

    number       of this policy; a lower one than was taken in is refused
    first        modalities (0008,0060) whose hard studies are sealed first, the foremost first; nothing critical waits
                 for them
    key_images   most pictures of one case
    full_series  `never`: no whole series leaves, whatever the site allows
    drafts       share of overdue cases for which the appliance's own small language model may draft
    shadows      largest share of studies that a shadow may see
    """

    schema_version: Literal["policy/1"] = "policy/1"
    number: Annotated[int, Field(ge=1, le=2**31)]
    first: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Z]{2,8}$")], ...], Field(max_length=MODALITIES_MAX)] = ()
    key_images: Annotated[int, Field(ge=0, le=KEY_IMAGES_MAX)] = KEY_IMAGES_MAX
    full_series: Literal["on-request", "never"] = "on-request"
    drafts: Probability = 1.0
    shadows: Probability = 1.0


NONE = Policy(number=1)  # what stands without a policy: nothing is moved


def place(policy: Policy, *, attempts: int, urgency: Urgency, modality: str) -> tuple[int, bool, int]:
    """Where a hard study stands among those that wait to be sealed: what was tried less often first, as without a
    policy; what is critical before all that a policy prefers; then by its list."""
    rank = policy.first.index(modality) if modality in policy.first else len(policy.first)
    return attempts, urgency != "critical", rank


def may_draft(policy: Policy, case_id: str) -> bool:
    """Whether a case is among the share of which drafts may be made: the same case is always answered the same."""
    drawn = int.from_bytes(hashlib.sha256(f"draft {case_id}".encode()).digest()[:8], "big")
    return drawn < policy.drafts * 2**64
