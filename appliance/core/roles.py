"""Which model decides, which only runs beside it, and which may do nothing: told from the orders given so far.

Orders are kept and never changed; what stands follows from them each time, so that a crash can only fall between two
orders. An order can take a model's say away at once; it gives one only to a package that is installed and sound.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

OrderKind = Literal["model-activate", "model-shadow", "model-rollback", "model-stop", "model-resume"]
ORDER_KINDS: tuple[OrderKind, ...] = get_args(OrderKind)
NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
TITLE_PATTERN = NAME_PATTERN + r"/[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}"
SUBJECT = re.compile(f"{NAME_PATTERN}|{TITLE_PATTERN}")


@dataclass(frozen=True, slots=True)
class Order:
    """One order that was carried out.

    subject  "name/version", or the name alone: of a stop or resume for every version, of a rollback always
    share    of studies that a shadow sees, 0..1; a shadow of share 0 is none. 1 for every other kind
    """

    kind: OrderKind
    subject: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Roles:
    """What stands.

    active   name -> title of the version that decides; None where an order chose one that is not here now
    shadows  title -> share of studies that it sees beside the deciding model
    stopped  titles, and names for every version, under the kill switch
    """

    active: Mapping[str, str | None]
    shadows: Mapping[str, float]
    stopped: frozenset[str]

    @property
    def deciding(self) -> tuple[str, ...]:
        """Titles that may decide, in the order of their names."""
        return tuple(title for _, title in sorted(self.active.items()) if title is not None)


def why_malformed(order: Order) -> str | None:
    """What is wrong with an order whatever is installed; None: it can be given."""
    if not SUBJECT.fullmatch(order.subject) or not 0 <= order.share <= 1:
        return "a model is named name or name/version, and a share is 0 to 1"
    named = "/" in order.subject
    if order.kind in ("model-activate", "model-shadow") and not named:
        return "an activation and a shadow name a version: name/version"
    if order.kind == "model-rollback" and named:
        return "a rollback names the model alone"
    if order.kind != "model-shadow" and order.share != 1:
        return "only a shadow has a share"
    return None


def roles(orders: Sequence[Order], shipped: Sequence[str], sound: Collection[str]) -> Roles:
    """What stands after these orders, oldest first.

    shipped  titles of sound packages that came with the appliance, newest version first: without an order the newest
             of each name decides. What a person installed decides only when it was activated
    sound    titles of all packages that may run: what is not among them decides nothing, whatever was ordered
    """
    chosen = histories(orders, shipped)
    shadows: dict[str, float] = {}
    stopped: set[str] = set()
    for order in orders:
        if order.kind == "model-shadow":
            shadows.pop(order.subject, None)
            if order.share > 0:
                shadows[order.subject] = order.share
        elif order.kind == "model-activate":
            shadows.pop(order.subject, None)
        elif order.kind == "model-stop":
            stopped.add(order.subject)
        elif order.kind == "model-resume":
            stopped.discard(order.subject)
    active = {name: titles[-1] if titles[-1] in sound else None for name, titles in chosen.items()}
    running = {title: share for title, share in shadows.items() if title in sound and title not in active.values()}
    return Roles(active, running, frozenset(stopped))


def histories(orders: Sequence[Order], shipped: Sequence[str]) -> dict[str, list[str]]:
    """Of each name the titles that came to decide, the present one last; never empty."""
    found: dict[str, list[str]] = {}
    for title in shipped:
        found.setdefault(title.partition("/")[0], [title])
    for order in orders:
        name = order.subject.partition("/")[0]
        if order.kind == "model-activate":
            titles = found.setdefault(name, [])
            if not titles or titles[-1] != order.subject:
                titles.append(order.subject)
        elif order.kind == "model-rollback" and len(found.get(name, ())) > 1:
            found[name].pop()
    return found


def why_not(order: Order, orders: Sequence[Order], shipped: Sequence[str], sound: Collection[str]) -> str | None:
    """Why an order is not carried out ("unknown" model, "nothing" to do); None where it is. A stop always is."""
    name = order.subject.partition("/")[0]
    now = roles(orders, shipped, sound)
    if order.kind == "model-stop":
        return None
    if order.kind == "model-resume":
        return None if order.subject in now.stopped else "nothing"
    if order.kind == "model-rollback":
        before = histories(orders, shipped).get(name, [])
        if len(before) < 2:
            return "nothing"
        return None if before[-2] in sound else "unknown"
    if order.kind == "model-shadow" and order.share == 0:
        return None if order.subject in now.shadows else "nothing"
    if order.subject not in sound:
        return "unknown"
    return "nothing" if order.kind == "model-activate" and now.active.get(name) == order.subject else None


def in_share(title: str, study: str, share: float) -> bool:
    """Whether a shadow sees a study: by a hash, so that the same study is always answered the same.

    study  what names the study here and nowhere else; it is not told to anybody by this
    """
    drawn = int.from_bytes(hashlib.sha256(f"{title} {study}".encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return drawn < share * 2**64
