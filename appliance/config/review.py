"""The section of the review page: where it listens, what stands behind its address, how long who may stay."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from appliance.config.section import LOOPBACK, Folder, Section
from appliance.core.pacs_link import why_refused
from appliance.core.permits import Role
from appliance.core.worklist_order import Waits

HTTPS_OR_NONE = r"^(https://[A-Za-z0-9.:\[\]-]{1,253}(/[!-~]{0,300})?)?$"


class Review(Section):
    host: str = Field(
        "127.0.0.1",
        pattern=r"^[A-Za-z0-9.:-]{1,253}$",
        description="Where the page listens; on another address than loopback with TLS only.",
    )
    port: int = Field(8042, ge=0, le=65_535, description="The page's port; 0 takes a free one.")
    names: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$")]] = Field(
        [],
        max_length=20,
        description="Names and addresses by which readers open it: they stand in its certificate, others are refused.",
    )
    tls: Literal["own", "files", "off"] = Field(
        "own",
        description="own: an authority and a certificate made here; files: the hospital's; off: loopback only.",
    )
    tls_certificate_file: Folder = Field(
        Path("/etc/appliance/review.pem"), description="With tls = files: certificate and chain, PEM."
    )
    tls_key_file: Folder = Field(
        Path("/etc/appliance/review.key"),
        description="With tls = files: its private key, PEM (credential review-tls-key).",
    )
    language: Literal["en", "de"] = Field(
        "en", description="Language of the page for whoever chose none and whose browser asks for none that is here."
    )
    session_idle_s: int = Field(600, ge=30, le=86_400, description="A session locks after this idle time.")
    session_age_s: int = Field(43_200, ge=300, le=86_400, description="A session ends after this, idle or not.")
    signature_fresh_s: int = Field(
        0,
        ge=0,
        le=900,
        description="Who gave the password within this time signs without being asked again; 0: each signature asks.",
    )
    hold_s: int = Field(
        120,
        ge=20,
        le=3600,
        description="A study that a reader has open is shown as theirs until no hand moves this long.",
    )
    pacs_url: str = Field(
        "",
        max_length=500,
        description="Address of a study in the PACS: https, and {accession} in it once; empty: no link is shown.",
    )
    read_first: bool = Field(
        False, description="Readers write down their own impression before they are shown what the machine said."
    )
    overlays: bool = Field(
        True,
        description="Where a model's signed manifest allows it, readers may be shown where its answer comes from; "
        "false: never.",
    )
    wait_flagged_s: int = Field(
        3600,
        ge=60,
        le=604_800,
        description="The longest that flagged or raised studies wait; then they go before all but the critical.",
    )
    wait_escalated_s: int = Field(14_400, ge=60, le=604_800, description="The same for escalated ones.")
    wait_cleared_s: int = Field(86_400, ge=60, le=604_800, description="The same for cleared ones.")
    oidc_issuer: str = Field(
        "",
        pattern=HTTPS_OR_NONE,
        description="Sign-in by an OpenID Connect provider as well: its issuer, exactly as it says it; empty: none.",
    )
    oidc_authorize: str = Field("", pattern=HTTPS_OR_NONE, description="The provider's authorization_endpoint.")
    oidc_client_id: str = Field(
        "", pattern=r"^[ -~]{0,200}$", description="What the provider knows this page by (client_id)."
    )
    oidc_name: str = Field(
        "OpenID Connect", min_length=2, max_length=60, description="What readers call the provider, on the button."
    )
    oidc_keys_file: Folder = Field(
        Path("/etc/appliance/oidc-keys.json"),
        description="Its public keys (the JSON of its jwks_uri), put there by an administrator: nothing is fetched.",
    )
    oidc_roles_claim: str = Field(
        "roles", pattern=r"^[ -~]{1,100}$", description="The claim of the ID token that names roles or groups."
    )
    oidc_roles: dict[Annotated[str, Field(pattern=r"^[ -~]{1,200}$")], Role] = Field(
        {},
        max_length=50,
        description="Value of that claim = viewer, reader or administrator; the first that fits counts, none: refused.",
    )
    oidc_without_asking: bool = Field(
        False,
        description="Whoever is still signed in at the provider is not asked again at sign-in; not for shared chairs.",
    )
    break_glass_s: int = Field(
        1800, ge=0, le=14_400, description="How long an emergency lends a reader's rights; 0: never."
    )
    dicomweb: bool = Field(
        False, description="Other viewers may search and fetch studies here, read-only (docs/dicomweb.md)."
    )
    dicomweb_origins: list[Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:\[\]-]{1,253}$")]] = Field(
        [],
        max_length=20,
        description="Origins of viewers in a browser, such as https://ohif.example: no other may read the answers.",
    )

    @model_validator(mode="after")
    def _in_clear_on_loopback_only(self) -> Self:
        if self.tls == "off" and self.host not in LOOPBACK:
            raise ValueError("without TLS the page listens on loopback only: set review.tls, or review.host")
        return self

    @model_validator(mode="after")
    def _provider_whole(self) -> Self:
        if self.oidc_issuer and not (self.oidc_authorize and self.oidc_client_id and self.oidc_roles):
            raise ValueError("review.oidc_issuer needs oidc_authorize, oidc_client_id and oidc_roles beside it")
        if self.oidc_issuer and self.tls == "off":
            raise ValueError("sign-in by a provider needs TLS: set review.tls, or leave review.oidc_issuer empty")
        return self

    @field_validator("pacs_url")
    @classmethod
    def _leads_into_the_pacs(cls, template: str) -> str:
        wrong = why_refused(template) if template else None
        if wrong is not None:
            raise ValueError(wrong)
        return template

    @property
    def waits(self) -> Waits:
        """The longest waits, as the reading order takes them."""
        return Waits(float(self.wait_flagged_s), float(self.wait_escalated_s), float(self.wait_cleared_s))

    @property
    def provider_name(self) -> str:
        """What readers call the provider by which they may sign in as well; "" where there is none."""
        return self.oidc_name if self.oidc_issuer else ""

    def hosts(self) -> list[str]:
        """Every name by which the page may be called, without ports."""
        wild = ("0.0.0.0", "::")  # noqa: S104 - listened on, never a name
        own = [self.host] if self.host not in (*LOOPBACK, *wild) else []
        return list(dict.fromkeys([*LOOPBACK, *own, *self.names]))
