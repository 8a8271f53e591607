"""Pseudonyms under the site key: the same UID or patient gives the same pseudonym, and nobody without the key can
tell which. One direction only; it refuses a key that can be guessed.

source: HMAC-SHA256 of RFC 2104; UUID version 8 of RFC 9562 5.8 as UID under 2.25, PS3.5 B.2.
"""

import base64
import hashlib
import hmac
import itertools
import uuid
from functools import lru_cache

from appliance.errors import Misconfigured

SITE_KEY_BYTES_MIN = 32
SITE_KEY_SYMBOLS_MIN = 12  # 32 random bytes hold about 30 different ones; 64 random hex digits hold 15 or 16
PATIENT_PREFIX = "ANON"
UIDS_REMEMBERED = 1 << 12  # in the memory of the process only: the files of a study bear the same ones


def checked_key(site_key: bytes) -> bytes:
    """The key itself, if it can be a secret.

    raises  Misconfigured("deid-site-key"): too short, too few different bytes, a pattern
    """
    short = len(site_key) < SITE_KEY_BYTES_MIN or len(set(site_key)) < SITE_KEY_SYMBOLS_MIN
    steps = {(after - before) % 256 for before, after in itertools.pairwise(site_key)}
    repeated = (site_key + site_key).find(site_key, 1) < len(site_key)
    if short or len(steps) < SITE_KEY_SYMBOLS_MIN // 2 or repeated:
        raise Misconfigured("deid-site-key")
    return site_key


def _digest(site_key: bytes, domain: str, value: str) -> bytes:
    # The domain keeps a UID and a patient identifier of equal text from having related pseudonyms.
    return hmac.digest(site_key, f"{domain}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256)


@lru_cache(UIDS_REMEMBERED)
def uid(site_key: bytes, value: str) -> str:
    """2.25.<integer>, at most 44 characters, for one UID of the source."""
    return f"2.25.{uuid.UUID(bytes=_uuid8(_digest(site_key, 'uid', value)[:16])).int}"


def _uuid8(raw: bytes) -> bytes:
    return raw[:6] + bytes([raw[6] & 0x0F | 0x80, raw[7], raw[8] & 0x3F | 0x80]) + raw[9:]


def patient(site_key: bytes, value: str) -> str:
    """ANON and 16 characters A to Z, 2 to 7 (80 bits): Patient's Name and Patient ID of one source patient."""
    return PATIENT_PREFIX + base64.b32encode(_digest(site_key, "patient", value)[:10]).decode("ascii")


def term(site_key: bytes, value: str) -> str:
    """L and 8 characters: a code string that a user chose and that other elements refer to, such as Graphic Layer."""
    return "L" + base64.b32encode(_digest(site_key, "term", value)[:5]).decode("ascii")


def forgotten(site_key: bytes, value: str) -> str:
    """64 hex digits for the Study Instance UID of a forgotten study: known again if it comes, told by nobody."""
    return _digest(site_key, "forgotten", value).hex()
