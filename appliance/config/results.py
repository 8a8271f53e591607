"""The section of results: where they go, when, and what is built."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from appliance.config.dimse import AE_TITLE
from appliance.config.section import LOOPBACK, Folder, Section
from appliance.core.rules import NAME

TARGETS_MAX = 20
UNSET = Path()


class Target(Section):
    """One system that results are sent to.

    commit          the target is asked for storage commitment (PS3.4 J), and only its yes lets our copy go
    authority_file  who signs the target's certificate; empty with stow: the system's own authorities
    token_file      with stow: a bearer token in a file (credential target-<name>); empty: none
    """

    name: Annotated[str, Field(pattern=NAME)]
    kind: Literal["dimse", "stow"]
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
        if self.kind == "dimse":
            if not (self.host and self.port and self.ae_title):
                raise ValueError(f"target {self.name}: dimse needs host, port and ae_title")
            if self.tls and UNSET in (self.tls_certificate_file, self.tls_key_file, self.authority_file):
                raise ValueError(f"target {self.name}: tls needs tls_certificate_file, tls_key_file and authority_file")
            return self
        if not self.url:
            raise ValueError(f"target {self.name}: stow needs url")
        host = self.url.partition("://")[2].partition("/")[0].rpartition(":")[0] or self.url.partition("://")[2]
        if self.url.startswith("http://") and host.partition("/")[0] not in LOOPBACK:
            raise ValueError(f"target {self.name}: another machine is spoken to with https only")
        if self.commit:
            raise ValueError(f"target {self.name}: storage commitment is asked for over dimse only")
        return self


class Results(Section):
    targets: Annotated[tuple[Target, ...], Field(strict=False, max_length=TARGETS_MAX)] = Field(
        (), description="The systems that results are sent to (docs/results.md); none: none are built."
    )
    send_on: Literal["signature", "release"] = Field(
        "signature",
        description="signature: when a reader has signed; release: flagged and answered studies before, again after.",
    )
    objects: Annotated[tuple[Literal["sr", "key-image"], ...], Field(strict=False, max_length=8)] = Field(
        ("sr", "key-image"), description="What is built: a structured report (TID 1500), an image not for diagnosis."
    )

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        names = [each.name for each in self.targets]
        if len(set(names)) != len(names):
            raise ValueError("two of results.targets have one name")
        return self
