"""Time-based one-time passwords (RFC 6238) and recovery codes: what is right, told from values.

pyotp computes the code; which step it belongs to is found here, because a code that was used once must not open twice.
"""

import hashlib
import hmac
import re

import pyotp

STEP_S = 30
STEPS_AROUND = 1  # a telephone's clock may be half a minute off
SEED = re.compile(r"[A-Z2-7]{32}")  # 160 bits, as RFC 4226 asks
SIX_DIGITS = re.compile(r"[0-9]{6}")
RECOVERY_CODES, RECOVERY_CHARACTERS = 10, 16  # 80 bits each in base 32


def step_of(seed: str, code: str, now: float) -> int | None:
    """The step whose code this is, None when it is none of now and its neighbours; all are compared, always."""
    if not SIX_DIGITS.fullmatch(code):
        return None
    password, found = pyotp.TOTP(seed, interval=STEP_S), None
    present = int(now // STEP_S)
    for step in range(present - STEPS_AROUND, present + STEPS_AROUND + 1):
        if hmac.compare_digest(password.generate_otp(step), code):
            found = step
    return found


def address_of(seed: str, user: str, house: str) -> str:
    """What an authenticator takes in (otpauth URI)."""
    return pyotp.TOTP(seed, interval=STEP_S).provisioning_uri(name=user, issuer_name=f"Edge appliance {house}")


def grouped(code: str) -> str:
    """A code as a person reads and types it."""
    return "-".join(code[at : at + 4] for at in range(0, len(code), 4))


def recovery_digest(typed: str) -> str:
    """How a recovery code is kept; spaces, dashes and small letters of the typist do not count."""
    return hashlib.sha256(re.sub(r"[\s-]", "", typed).upper().encode()).hexdigest()
