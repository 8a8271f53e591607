"""What has been decided about models and certificates since they were installed; `decide` asks it at every study.

It only ever takes away: a model that is not named here may do what its certificate lets it, no more. Whoever cannot
tell what stands must not make up an empty one: then nothing is decided.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """What may not decide, or may decide less.

    stopped  models under the kill switch: "name/version", or "name" for every version of it
    revoked  digests of certificates that an alarm or a person took away
    shrunk   digests of certificates under warning: their half thresholds count
    clock_behind  the clock reads earlier than what was decided before: whether a certificate has expired, nobody knows
    """

    stopped: frozenset[str] = frozenset()
    revoked: frozenset[str] = frozenset()
    shrunk: frozenset[str] = frozenset()
    clock_behind: bool = False

    def stops(self, title: str) -> bool:
        """Whether the model of this title, "name/version", is stopped, by its title or by its name."""
        return title in self.stopped or title.partition("/")[0] in self.stopped
