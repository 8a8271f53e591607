"""Whether somebody is who they say: argon2id, a one-time password where one was set up, and patience with guessers.

A name nobody has costs the same hash and reads the same as a wrong password, and so does a disabled user. Few hashes
run at once, because each takes 64 MiB; a queue that grows too long is turned away. The seed of a second factor is kept
sealed under a key beside the database, so that a copy of the database alone makes no code.
"""

import base64
import secrets
from dataclasses import dataclass
from typing import Any

import anyio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pwdlib import PasswordHash
from sqlalchemy import Row
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from appliance.config import Places
from appliance.core.one_time import SIX_DIGITS, recovery_digest, step_of
from appliance.review.backoff import Failures
from appliance.review.language import _, tr
from appliance.review.ledgers import Page, page_of
from appliance.world import accounts, desk, keyfile

PASSWORD_CHARACTERS_MAX = 200
VERIFICATIONS_MAX, VERIFICATIONS_WAITING_MAX = 2, 16  # each takes 64 MiB and about 0.3 s
NONCE_BYTES, KEY_BYTES = 12, 32
WRONG = "Name or password is wrong."
WRONG_PROOF = "That was not right."

HASHES = PasswordHash.recommended()
# Whom nobody knows is tried against this: all zeros, at the cost of a true one. Made by HASHES it would cost every
# start of the page as much as a sign-in.
NOBODY = f"$argon2id$v=19$m=65536,t=3,p=4${'A' * 22}${'A' * 43}"


@dataclass(frozen=True, slots=True)
class Tried:
    """How a try ended; said and status are for the answer to a wrong one."""

    right: bool
    said: str = ""
    status: int = 200


class Proofs:
    """What verifying needs to keep between requests."""

    def __init__(self) -> None:
        self.failures = Failures()
        self.limiter = anyio.CapacityLimiter(VERIFICATIONS_MAX)

    async def sign_in(self, request: Request, name: str, password: str, code: str) -> Tried:
        """Password, and the code or a recovery code where a second factor was set up."""
        return await self._tried(request, name, password, code, act="sign-in-failed", wrong=WRONG)

    async def again(self, request: Request, name: str, typed: str) -> Tried:
        """A signed-in user shows again who they are: by the password, or by a code of the second factor."""
        return await self._tried(request, name, typed, None, act="proof-failed", wrong=WRONG_PROOF)

    async def _tried(
        self, request: Request, name: str, password: str, code: str | None, *, act: str, wrong: str
    ) -> Tried:
        page, address = page_of(request), request.client.host if request.client else ""
        wait_s = self.failures.wait_s(name, address, page.clock())
        if wait_s:
            return Tried(False, _("Too many failed tries. Wait %(wait)s s, then try again.", wait=f"{wait_s:.0f}"), 429)
        if self.limiter.statistics().tasks_waiting >= VERIFICATIONS_WAITING_MAX:
            return Tried(False, _("Busy. Try again in a moment."), 503)
        password = password[:PASSWORD_CHARACTERS_MAX]
        if await anyio.to_thread.run_sync(self._verify, page, name, password, code, limiter=self.limiter):
            self.failures.forget(name, address)
            return Tried(True)
        self.failures.add(name, address, page.clock())
        await run_in_threadpool(_note_failure, page, name, act)
        return Tried(False, tr(wrong), 403)

    def _verify(self, page: Page, name: str, password: str, code: str | None) -> bool:
        with page.ledgers.eyes().begin() as c:
            found = accounts.user(c, name)
        with_password = found is not None and found.disabled_at is None and found.issuer is None
        known = found if with_password else None
        if code is None and known is not None and known.factor and SIX_DIGITS.fullmatch(password):
            return _code_right(page, known, password)
        right = HASHES.verify(password, known.password_hash if known is not None else NOBODY)
        if not right or known is None:
            return False
        return code is None or not known.factor or _code_right(page, known, code)


def _code_right(page: Page, user: Row[Any], code: str) -> bool:
    """A code of now that was not used yet, or a recovery code, which is used up by it."""
    seed = unseal(factor_key(page.places), user.name, user.factor)
    step = step_of(seed, code.strip(), page.clock()) if seed is not None else None
    with page.ledgers.pen().begin() as c:
        if step is not None:
            return accounts.spend_step(c, user.name, step)
        if accounts.spend_code(c, user.name, recovery_digest(code)):
            desk.note(c, at=page.clock(), user=user.name, act="recovery-code-used", subject="")
            return True
        return False


def _note_failure(page: Page, name: str, act: str) -> None:
    """The name goes into the trail only when it is a user's: people type passwords into name fields."""
    with page.ledgers.pen().begin() as c:
        known = accounts.user(c, name) is not None
        desk.note(c, at=page.clock(), user=name if known else "", act=act, subject="")


def factor_key(places: Places) -> bytes:
    """The key that seals second factors, made when first needed."""
    path = places.review_keys / "factors.key"
    if not path.exists():
        keyfile.put(path, secrets.token_bytes(KEY_BYTES), private=True)
    return path.read_bytes()


def seal(key: bytes, user: str, seed: str) -> str:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, seed.encode(), user.encode())).decode()


def unseal(key: bytes, user: str, sealed: str) -> str | None:
    """The seed; None where it was sealed under another key or for another user, and then no code is right."""
    data = base64.b64decode(sealed)
    try:
        return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], user.encode()).decode()
    except InvalidTag:
        return None
