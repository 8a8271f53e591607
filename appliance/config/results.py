"""The section of results: where they go, when, and what is built."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from appliance.config.dimse import AE_TITLE
from appliance.config.section import LOOPBACK, Folder, Section
from appliance.core.rules import NAME, TAKES, Result

TARGETS_MAX = 20
UNSET = Path()


class Target(Section):
    """One system that results are sent to.

    kind            dimse: C-STORE; stow: STOW-RS; hl7: ORU^R01 over MLLP; fhir: a FHIR R4 server
    commit          the target is asked for storage commitment (PS3.4 J), and only its yes lets our copy go
    authority_file  who signs the target's certificate; empty with stow and fhir: the system's own authorities
    token_file      with stow and fhir: a bearer token in a file (credential target-<name>); empty: none
    """

    name: Annotated[str, Field(pattern=NAME)]
    kind: Literal["dimse", "stow", "hl7", "fhir"]
    host: Annotated[str, Field(pattern=r"^([A-Za-z0-9.:-]{1,253})?$")] = ""
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    ae_title: Annotated[str, Field(pattern=rf"^({AE_TITLE})?$")] = ""
    calling_ae_title: Annotated[str, Field(pattern=rf"^{AE_TITLE}$")] = "EDGE"
    tls: bool = False
    tls_certificate_file: Folder = UNSET
    tls_key_file: Folder = UNSET
    authority_file: Folder = UNSET
    url: Annotated[str, Field(pattern=r"^(https?://[^\s@?#]{1,400})?$")] = ""
    token_file: Folder = UNSET
    commit: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.commit and self.kind != "dimse":
            raise ValueError(f"target {self.name}: storage commitment is asked for over dimse only")
        if self.kind in ("dimse", "hl7"):
            if not (self.host and self.port and (self.ae_title or self.kind == "hl7")):
                also = " and ae_title" if self.kind == "dimse" else ""
                raise ValueError(f"target {self.name}: {self.kind} needs host, port{also}")
            if self.tls and UNSET in (self.tls_certificate_file, self.tls_key_file, self.authority_file):
                raise ValueError(f"target {self.name}: tls needs tls_certificate_file, tls_key_file and authority_file")
            return self
        if not self.url:
            raise ValueError(f"target {self.name}: {self.kind} needs url")
        host = self.url.partition("://")[2].partition("/")[0].rpartition(":")[0] or self.url.partition("://")[2]
        if self.url.startswith("http://") and host.partition("/")[0] not in LOOPBACK:
            raise ValueError(f"target {self.name}: another machine is spoken to with https only")
        return self


class Results(Section):
    targets: Annotated[tuple[Target, ...], Field(strict=False, max_length=TARGETS_MAX)] = Field(
        (), description="The systems that results are sent to (docs/results.md); none: none are built."
    )
    send_on: Literal["signature", "release"] = Field(
        "signature",
        description="signature: when a reader has signed; release: flagged and answered studies before, again after.",
    )
    objects: Annotated[tuple[Result, ...], Field(strict=False, max_length=8)] = Field(
        ("sr", "key-image", "oru", "fhir"),
        description="What is built where a target takes it: report (TID 1500), image not for diagnosis, HL7 v2, FHIR.",
    )

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        names = [each.name for each in self.targets]
        if len(set(names)) != len(names):
            raise ValueError("two of results.targets have one name")
        return self

    def everywhere(self) -> dict[Result, tuple[str, ...]]:
        """Of each kind that is built, the names of the targets that take it."""
        return {kind: tuple(each.name for each in self.targets if kind in TAKES[each.kind]) for kind in self.objects}
