"""What every document of a stranger is made of, and the one way in which it is written down to be digested or signed.

Apart from the documents themselves, because every service reads some of them and few need what stands around them.
"""

import hashlib
import json

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Strangers' values: no coercion, no unknown key, no infinity, no change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def canonical(told: object) -> bytes:
    """Sorted, compact JSON; no NaN."""
    return json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def canonical_sha256(told: object) -> str:
    """SHA-256 (hex) of sorted, compact JSON."""
    return hashlib.sha256(canonical(told)).hexdigest()
