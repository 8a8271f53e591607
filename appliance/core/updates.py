"""What comes down from the centre besides verdicts, for whom it is meant, and what it may be: rules, no effects.

A target is one file of a TUF repository. Its path says by which role it was signed, its terms (`custom` in the signed
metadata) what it is and which appliances it is meant for. Whoever reads them has them from verified metadata only.
source: The Update Framework, specification 1.0.33 (delegated roles, consistent snapshots).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from appliance.core.document import Document, Hex64
from appliance.core.roles import TITLE_PATTERN

Kind = Literal["model", "certificate", "policy", "release"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Each kind has a role with a key of its own, and a folder that no other role may name files in.
ROLES: Mapping[Kind, str] = {
    "model": "models",
    "certificate": "certificates",
    "policy": "policy",
    "release": "releases",
}
KIND_OF: Mapping[str, Kind] = {role: kind for kind, role in ROLES.items()}
BYTES_MAX: Mapping[Kind, int] = {
    "model": 256 * 2**20,
    "certificate": 2**20,
    "policy": 64 * 1024,
    "release": 1024 * 2**20,
}
TARGETS_MAX = 500  # of one role
ROLE_BYTES_MAX = 512 * 1024  # of its metadata
PATH = re.compile(r"(models|certificates|policy|releases)/[a-z0-9][a-z0-9_.-]{0,119}")

# From the narrowest to the widest: who is in one is in all that follow.
Ring = Literal["lab", "site", "tenth", "all"]
RINGS: tuple[Ring, ...] = get_args(Ring)
OwnRing = Literal["lab", "site", "all"]  # what a site says of itself; the tenth is drawn
VERSION = r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}"
MODEL_TITLE = re.compile(TITLE_PATTERN)


class Terms(Document):
    """What a target is, and for whom.

    title            name/version of a model; of anything else what people call it
    ring             how far it is rolled out
    app_version_min  an appliance of an older version leaves it
    certificate      digest of the certificate that a model is published with, for people; it opens nothing by itself
    withdrawn        taken back: who has it must use it no more
    activate         of a model, how far it may come to decide by itself, where the site allows that, its figures are as
                     they must be and it holds a certificate made there; None, and not written: by a person's order only
    """

    schema_version: Literal["update/1"] = "update/1"
    kind: Kind
    title: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_./-]{0,119}$")]
    ring: Ring
    app_version_min: Annotated[str, Field(pattern=rf"^{VERSION}$")] = "0.0.0"
    certificate: Hex64 | None = None
    withdrawn: bool = False
    activate: Ring | None = None

    @model_serializer(mode="wrap")
    def _as_older_versions_read_it(self, plain: SerializerFunctionWrapHandler) -> dict[str, object]:
        told: dict[str, object] = plain(self)
        if self.activate is None:  # an appliance of before leaves terms in which there is a word that it does not know
            told.pop("activate", None)
        return told


@dataclass(frozen=True, slots=True)
class Offer:
    """One target of verified metadata. terms: None where this version does not understand them."""

    path: str
    kind: Kind
    sha256: str
    length: int
    terms: Terms | None

    @property
    def place(self) -> str:
        """Where its bytes lie below targets/ of a repository: consistent snapshots put the digest before the name."""
        folder, _, name = self.path.partition("/")
        return f"{folder}/{self.sha256}.{name}"


def offer(path: str, length: int, hashes: Mapping[str, str], custom: Any) -> Offer | None:
    """A target as it is looked at here; None for one that no appliance takes: no SHA-256, or no such folder."""
    digest = hashes.get("sha256", "")
    if not PATH.fullmatch(path) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        return None
    kind = KIND_OF[path.partition("/")[0]]
    try:
        terms = Terms.model_validate(custom)
    except ValidationError:
        terms = None
    if terms is not None and (terms.kind != kind or not _fits(path, terms)):
        terms = None
    return Offer(path, kind, digest, length, terms)


def _fits(path: str, terms: Terms) -> bool:
    """A model is called in its terms as its file is, so that neither can speak of another one."""
    if terms.kind != "model":
        return True
    return bool(MODEL_TITLE.fullmatch(terms.title)) and path == f"models/{terms.title.replace('/', '-')}.tar"


def why_not_taken(offer: Offer, *, ring: OwnRing, device: str, app_version: str) -> str:
    """A code of the catalogue for an offer that is not for this appliance; "" where it is."""
    if offer.terms is None:
        return "update-not-understood"
    if offer.length > BYTES_MAX[offer.kind]:
        return "update-too-large"
    if _numbers(offer.terms.app_version_min) > _numbers(app_version):
        return "update-needs-newer"
    return "" if in_ring(offer.terms.ring, own=ring, device=device) else "update-other-ring"


def in_ring(ring: Ring, *, own: OwnRing, device: str) -> bool:
    """Whether what is rolled out so far reaches this appliance: a laboratory before pilot sites, these before a tenth
    of all, drawn by a hash of the device's name: always the same tenth, so that it is known who is asked first."""
    if ring == "all" or RINGS.index(own) <= RINGS.index(ring):
        return True
    return ring == "tenth" and in_tenth(device)


def in_tenth(device: str) -> bool:
    drawn = int.from_bytes(hashlib.sha256(f"update ring {device}".encode()).digest()[:8], "big")
    return drawn < 2**64 // 10


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))
