"""What goes up next, how much may be under way, and how fast: three small rules without a clock of their own.

Order: by urgency, the series last; whoever waits climbs one class every AGEING_S, up to urgent and never to critical,
so that nothing starves and nothing delays a critical case. Which part goes next is asked anew for every part, so that
a critical case overtakes a bulky one that is half sent.

Window: bytes handed to the connection and not acknowledged by the broker. It grows while acknowledgements come soon and
shrinks when they take longer than TARGET_S, because a queue in the line is a queue that nobody can overtake
(additive increase, multiplicative decrease: Chiu and Jain 1989; a target for the delay: RFC 6817, LEDBAT).
"""

from dataclasses import dataclass, replace

from appliance.core.document import AGEING_S, Urgency
from appliance.core.transfer import PART_HEAD_BYTES, SEALED_PART_BYTES, Tier

SERIES_TIER: Tier = 2
SERIES_CLASS, CLIMB_TO = 0, 2
CLASSES: dict[Urgency, int] = {"routine": 1, "urgent": 2, "critical": 3}
TARGET_S = 1.0
SHRINK = 0.7
PART_MESSAGE_BYTES = PART_HEAD_BYTES + SEALED_PART_BYTES


def class_of(urgency: Urgency, tier: Tier, waited_s: float) -> int:
    """The class in which a transfer stands now: the higher goes first, the older first within one."""
    own = SERIES_CLASS if tier == SERIES_TIER else CLASSES[urgency]
    return max(own, min(CLIMB_TO, own + int(max(waited_s, 0.0) / AGEING_S)))


def exempt(urgency: Urgency, tier: Tier) -> bool:
    """Whether no budget of bytes may hold it back."""
    return urgency == "critical" and tier != SERIES_TIER


@dataclass(frozen=True, slots=True)
class Window:
    """How many bytes may be under way to the broker.

    size_bytes     now; never below one part, never above most_bytes
    shrunk_at      when it last shrank (s, monotonic): once for each crowd, not for each of those in it
    """

    most_bytes: int
    size_bytes: float = 2 * PART_MESSAGE_BYTES
    shrunk_at: float = -1e9

    def answered(self, count_bytes: int, delay_s: float, now: float) -> "Window":
        """After the broker acknowledged a message of count_bytes, delay_s after it was handed to the connection."""
        if delay_s <= TARGET_S:
            grown = self.size_bytes + PART_MESSAGE_BYTES * count_bytes / self.size_bytes
            return replace(self, size_bytes=self._bounded(grown))
        if now - self.shrunk_at < delay_s:
            return self
        return replace(self, size_bytes=self._bounded(self.size_bytes * SHRINK), shrunk_at=now)

    def broken(self) -> "Window":
        """After the connection broke: the next line may be another one."""
        return Window(self.most_bytes)

    def fits(self, count_bytes: int, under_way_bytes: int) -> bool:
        """Whether so much more may go; one message always may when nothing else is under way."""
        return under_way_bytes == 0 or under_way_bytes + count_bytes <= self._bounded(self.size_bytes)

    def _bounded(self, size_bytes: float) -> float:
        return max(min(size_bytes, float(self.most_bytes)), float(min(PART_MESSAGE_BYTES, self.most_bytes)))


@dataclass(frozen=True, slots=True)
class Bucket:
    """A budget of bytes that fills evenly; no budget when per_s is 0.

    It may be overdrawn by one message, so that a message larger than what ever lies in it still goes.
    """

    per_s: float
    most_bytes: float
    left_bytes: float
    at: float

    def filled(self, now: float) -> "Bucket":
        """What lies in it at a later moment (s, monotonic)."""
        grown = self.left_bytes + max(now - self.at, 0.0) * self.per_s
        return replace(self, left_bytes=min(grown, self.most_bytes), at=now)

    @property
    def open(self) -> bool:
        return self.per_s == 0 or self.left_bytes > 0

    def without(self, count_bytes: int) -> "Bucket":
        return self if self.per_s == 0 else replace(self, left_bytes=self.left_bytes - count_bytes)


def per_second(bytes_per_s: int, now: float) -> Bucket:
    """A cap of the bandwidth: at most one second's worth may have gathered."""
    most = float(max(bytes_per_s, 1))
    return Bucket(float(bytes_per_s), most, most, now)


def per_hour(bytes_per_hour: int, now: float) -> Bucket:
    """A budget by the hour: a quiet hour may be caught up with, once."""
    most = float(max(bytes_per_hour, 1))
    return Bucket(bytes_per_hour / 3600.0, most, most, now)
