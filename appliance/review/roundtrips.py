"""Who was led to the provider and has not come back yet: each way back opens once, for one browser, for a while.

The session's own cookie does not travel with a form that another site sends (SameSite=Strict), so a way out has a
cookie of its own. Kept in memory and bounded: a restart forgets who is under way, and they begin again.
"""

import hmac
import threading
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request

from appliance.errors import Refused
from appliance.review.backoff import Failures
from appliance.review.cookies import digest
from appliance.review.language import _
from appliance.review.proofs import Tried

WAY_S = 600.0  # to type a password, find a telephone and type a code
PROOF_S = 300.0  # from the proof until the form that it is for is sent
UNDER_WAY_MAX, PROOFS_MAX = 2_000, 1_000

Purpose = Literal["sign-in", "unlock", "proof"]


@dataclass(frozen=True, slots=True)
class Way:
    """One way out and back.

    browser   SHA-256 of the cookie of the browser that went
    session   digest of the session's token that went: to be unlocked, proved or, at a sign-in, ended
    to        where the person goes on after unlocking
    handle    of the form that waits for this proof
    """

    purpose: Purpose
    browser: str
    nonce: str
    at: float
    fresh: bool
    user: str = ""
    session: str = ""
    to: str = ""
    handle: str = ""
    language: str = ""


class RoundTrips:
    """Ways that are open, and proofs that were brought back and not used yet."""

    def __init__(self) -> None:
        self._ways: dict[str, Way] = {}
        self._proofs: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self.strays = Failures()  # answers to nothing that was asked here, by the address they came from

    def begin(self, state: str, way: Way) -> None:
        with self._lock:
            kept = {key: each for key, each in self._ways.items() if 0 <= way.at - each.at <= WAY_S}
            while len(kept) >= UNDER_WAY_MAX:
                del kept[next(iter(kept))]
            self._ways = {**kept, digest(state): way}

    def end(self, state: str, browser: str, now: float) -> Way:
        """The way that ends here, which opens no more. Raises Refused("oidc-state") or ("oidc-browser")."""
        with self._lock:
            way = self._ways.get(digest(state))
            if way is None or not 0 <= now - way.at <= WAY_S:
                raise Refused("oidc-state")
            if not browser or not hmac.compare_digest(way.browser, digest(browser)):
                raise Refused("oidc-browser")  # the way stays open for the browser that went
            del self._ways[digest(state)]
            return way

    def prove(self, handle: str, session: str, now: float) -> None:
        with self._lock:
            kept = {key: each for key, each in self._proofs.items() if 0 <= now - each[1] <= PROOF_S}
            while len(kept) >= PROOFS_MAX:
                del kept[next(iter(kept))]
            self._proofs = {**kept, digest(handle): (session, now)}

    def tried(self, handle: str, session: str, now: float) -> Tried:
        """Whether this session has a proof for the form with this handle; it has none afterwards."""
        with self._lock:
            found = self._proofs.get(digest(handle))
            if found is not None and found[0] == session:
                del self._proofs[digest(handle)]
                if 0 <= now - found[1] <= PROOF_S:
                    return Tried(True)
        return Tried(False, _("The provider has not said yet that it is you. Nothing has been done."), 403)


def roundtrips_of(request: Request) -> RoundTrips:
    found = request.app.state.roundtrips
    assert isinstance(found, RoundTrips)
    return found
