"""Which decided studies are read again without the machine's word, and the dice that nobody can see or load.

The dice are an HMAC under the site key: whoever lacks the key cannot tell which study will be drawn, whoever has it
cannot choose, and the same study is drawn or not whatever happens in between. A list that held cleared studies only
would tell its reader what the machine had said, so that some studies of the other lanes stand in it as decoys.

source: HMAC-SHA256 of RFC 2104 as a random function.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from appliance.core.decide import Said

DrawnAs = Literal["first", "random", "decoy", "no"]
DECOY_SHARE = 0.2  # of the studies in other lanes, times the rate in force: one decoy in a handful of reads
UNIFORM_BITS = 53  # what a float holds exactly


@dataclass(frozen=True, slots=True)
class Draw:
    """Whether a study is audited: `first` and `random` count for the certificate, a `decoy` does not.

    rate  the share of cleared studies that was being drawn at that moment
    """

    drawn_as: DrawnAs
    rate: float

    @property
    def drawn(self) -> bool:
        return self.drawn_as != "no"


def uniform(site_key: bytes, purpose: str, *names: str) -> float:
    """A number in 0..1 (1 excluded), evenly spread over names, always the same for the same key, purpose and names."""
    told = "\0".join(("sampling/1", purpose, *names)).encode("utf-8", "surrogatepass")
    drawn = hmac.new(site_key, told, hashlib.sha256).digest()
    return float(int.from_bytes(drawn[:8], "big") >> (64 - UNIFORM_BITS)) / float(1 << UNIFORM_BITS)


def draw(
    site_key: bytes,
    certificate: str,
    study_instance_uid: str,
    *,
    lane: Said,
    cleared_before: int,
    first: int,
    rate: float,
) -> Draw:
    """Whether one decided study is audited.

    certificate     digest of the certificate that spoke of the study: another one draws anew
    cleared_before  how many studies were cleared under it before this one
    first           so many cleared studies are audited without exception
    rate            share of the later ones, 0..1; a number outside, or none at all, audits every one
    """
    beginning = cleared_before < first
    share = rate if 0.0 <= rate <= 1.0 and not beginning else 1.0
    dice = uniform(site_key, "audit" if lane == "cleared" else "decoy", certificate, study_instance_uid)
    if lane != "cleared":
        return Draw("decoy" if dice < DECOY_SHARE * share else "no", share)
    if beginning:
        return Draw("first", share)
    return Draw("random" if dice < share else "no", share)
