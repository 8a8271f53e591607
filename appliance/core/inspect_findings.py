"""What the inspector says: where, and what kind of reason. Never a value."""

from typing import Literal, NamedTuple

FINDINGS_MAX = 32


class Finding(NamedTuple):
    """One reason not to let go.

    kind  identity: something of the source was found there; structure: no object that our cleaner made has this;
          unreadable: nobody can say
    """

    place: str
    kind: Literal["identity", "structure", "unreadable"]
