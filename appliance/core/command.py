"""An order about a model that comes over the wire, from whoever holds a trusted key; the wire itself is not trusted.

Uplink carries it and can do nothing with it; triage verifies the signature, the time and that it was not obeyed before.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from appliance.core.document import CaseId, Document
from appliance.core.roles import NAME_PATTERN, TITLE_PATTERN, Order, OrderKind, why_malformed
from appliance.core.signature import Signature, sign, verified

AGE_MAX_S = 7 * 86_400  # of an order when it is obeyed; of a stop there is none
AHEAD_MAX_S = 600  # what a clock here may be behind the sender's
EVERY_DEVICE = "*"
Nonce = CaseId


class Command(Document):
    """An order about a model, signed.

    command    as `appliance models` has it
    model      name/version, or the name alone for a stop or resume of every version and for a rollback
    share      of studies that a shadow sees; 1 for every other command
    device     `site.device_id` of the appliance it is for, or `*`
    issued_at  seconds since 1970 by the sender's clock
    nonce      drawn at random, once
    signature  Ed25519 over the canonical JSON of all other fields
    """

    schema_version: Literal["command/1"] = "command/1"
    command: OrderKind
    model: Annotated[str, Field(pattern=rf"^({NAME_PATTERN}|{TITLE_PATTERN})$")]
    share: Annotated[float, Field(ge=0, le=1)]
    device: Annotated[str, Field(pattern=r"^([a-z0-9-]{3,40}|\*)$")]
    issued_at: Annotated[int, Field(ge=0, le=2**40)]
    nonce: Nonce
    signature: Signature

    @model_validator(mode="after")
    def _consistent(self) -> "Command":
        why = why_malformed(self.order)
        if why is not None:
            raise ValueError(why)
        return self

    @property
    def order(self) -> Order:
        return Order(self.command, self.model, self.share)


def _unsigned(command: Command) -> bytes:
    """What is signed: canonical JSON of every field but the signature."""
    told = command.model_dump(mode="json", exclude={"signature"})
    return json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def signed_command(order: Order, *, device: str, issued_at: int, nonce: str, private: bytes) -> Command:
    """An order ready to be sent, signed with a raw private key of 32 bytes."""
    draft = Command(
        command=order.kind,
        model=order.subject,
        share=order.share,
        device=device,
        issued_at=issued_at,
        nonce=nonce,
        signature=Signature(key_id="0" * 32, signature="0" * 128),
    )
    return draft.model_copy(update={"signature": sign(private, _unsigned(draft))})


def why_not_believed(command: Command, *, trusted: Mapping[str, bytes], device: str, now: float) -> str | None:
    """ "forged", "other-device" or "stale"; None where the sender and the time are right. Repeats are the caller's.

    A stop is never stale: neither a long outage nor a clock that was reset, here or there, may outlive a kill switch.
    """
    if not verified(_unsigned(command), command.signature, trusted):
        return "forged"
    if command.device not in (device, EVERY_DEVICE):
        return "other-device"
    if command.command == "model-stop":
        return None
    return None if -AHEAD_MAX_S <= now - command.issued_at <= AGE_MAX_S else "stale"
