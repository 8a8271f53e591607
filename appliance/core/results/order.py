"""The slips between triage and deliver: an order to send something to one target, and a receipt of what became of it.

Triage writes the payload (`phi/outbox/<sha256>.dcm`; `.msg` where it is no DICOM object), then the order
(`phi/outbox/<id>.json`); deliver sends and writes
the receipt (`phi/receipts/<id>.json`), later perhaps a further one in its place; triage files the receipt, then takes
away the order, the receipt and a payload that no order names any more. Whoever dies in between begins again: the same
order has the same id and the same objects. An id is a keyed digest and tells nothing of a patient.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from appliance.core.document import Code, Document, Hex64, Urgency

OrderId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Uid = Annotated[str, Field(pattern=r"^[0-9.]{1,64}$")]
Title = Annotated[str, Field(pattern=r"^[ -\[\]-~]{1,16}$")]
Outcome = Literal["stored", "committed", "refused", "replied"]
OBJECTS_MAX = 100_000  # of one storage commitment request


class Payload(Document):
    """One DICOM object as it lies in the outbox, so that it can be proposed without being opened."""

    sha256: Hex64
    sop_class_uid: Uid
    sop_instance_uid: Uid
    transfer_syntax_uid: Uid


class Text(Document):
    """A message of HL7 v2 (name: its control id, MSH-10) or a resource of FHIR (name: TYPE/ID) in the outbox."""

    sha256: Hex64
    name: Annotated[str, Field(pattern=r"^([A-Z][A-Za-z]{1,63}/)?[A-Za-z0-9.-]{1,64}$")]


class Order(Document):
    """What is to be sent to one target.

    kind    store: payloads; hl7, fhir: texts, in their order; commit-reply: what of a storage commitment request is
            kept here (PS3.4 J.3); commit-ask: nothing is sent, the target is asked whether it keeps what stands in
            committed
    commit  whether the target is asked to commit to what it stored
    failed  class, instance and Failure Reason (0008,1197) of PS3.3 C.14
    """

    bytes_max: ClassVar[int] = 16 * 2**20

    schema_version: Literal["order/1"] = "order/1"
    id: OrderId
    target: Code
    kind: Literal["store", "commit-reply", "commit-ask", "hl7", "fhir"]
    payloads: Annotated[list[Payload], Field(max_length=200)] = Field(default_factory=list)
    texts: Annotated[list[Text], Field(max_length=10)] = Field(default_factory=list)
    priority: Urgency = "routine"
    created_at_s: float
    commit: bool = False
    transaction_uid: Annotated[str, Field(pattern=r"^[0-9.]{0,64}$")] = ""
    peer_ae_title: Annotated[str, Field(pattern=r"^[ -\[\]-~]{0,16}$")] = ""
    committed: Annotated[list[tuple[Uid, Uid]], Field(max_length=OBJECTS_MAX)] = Field(default_factory=list)
    failed: Annotated[list[tuple[Uid, Uid, int]], Field(max_length=OBJECTS_MAX)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _whole(self) -> "Order":
        if self.kind == "store" and not self.payloads:
            raise ValueError("nothing to store")
        if (self.kind in ("hl7", "fhir")) != bool(self.texts):
            raise ValueError("texts go to those who read them, and nothing else does")
        if self.kind == "commit-reply" and not (self.transaction_uid and self.peer_ae_title):
            raise ValueError("a reply to nobody")
        if self.kind == "commit-ask" and not (self.commit and self.committed):
            raise ValueError("nothing to ask for")
        return self


def files(order: Order) -> list[str]:
    """Names of the files in the outbox that an order needs."""
    return [f"{each.sha256}.dcm" for each in order.payloads] + [f"{each.sha256}.msg" for each in order.texts]


class Receipt(Document):
    """What became of an order.

    code    of the errors' catalogue where it was refused, else ""
    status  of DIMSE (PS3.7 C) or HTTP
    """

    schema_version: Literal["receipt/1"] = "receipt/1"
    id: OrderId
    target: Code
    outcome: Outcome
    code: Annotated[str, Field(pattern=r"^[a-z0-9-]{0,60}$")] = ""
    status: int = 0
    at_s: float
    attempts: int
