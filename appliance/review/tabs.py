"""The tabs of the worklist: which studies each shows, and how many they are.

A count is of what waits, and exact where that is no more than COUNT_MAX; of what is history a tab says *at least*. No
page waits for a count of all that ever was, and no second book of counts has to agree with the ledger.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, select, true

from appliance.core.lifecycle import STATES
from appliance.review.language import _
from appliance.review.worklist_order import joined
from appliance.world.ledger import results, studies

COUNT_MAX = 10_000  # of one state

OPEN_STATES = ("routine", "hard", "escalated", "answered", "quarantined")


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab of the list: the states it shows, all where none is named; of routine studies one lane only."""

    word: str
    states: tuple[str, ...] = ()
    lane: str = ""

    def where(self) -> ColumnElement[bool]:
        of_lane = results.c.lane == self.lane if self.lane else true()
        return and_(studies.c.state.in_(self.states), of_lane) if self.states else true()


TABS: dict[str, Tab] = {
    "to-read": Tab("To read", OPEN_STATES),
    "flagged": Tab("▲ Flagged", ("routine",), "flagged"),
    "escalated": Tab("◆ Escalated", ("hard", "escalated", "answered")),
    "quarantined": Tab("■ Quarantined", ("quarantined",)),
    "cleared": Tab("● Cleared", ("routine",), "cleared"),
    "in-work": Tab("○ Not decided", ("received", "complete")),
    "signed": Tab("Signed", ("reviewed",)),
    "all": Tab("All", tuple(state for state in STATES if state != "forgotten")),
}


@dataclass(frozen=True, slots=True)
class Count:
    """How many studies a tab has; more: at least so many, because some of its states were not counted to their end."""

    number: int
    more: bool = False

    def __str__(self) -> str:
        return _("at least %(count)s", count=self.number) if self.more else str(self.number)


def counted(c: Connection) -> dict[str, Count]:
    """Studies under each tab, no state counted further than COUNT_MAX."""
    some = {state: select(studies.c.number).where(studies.c.state == state).limit(COUNT_MAX + 1) for state in STATES}
    asked = [select(func.count()).select_from(each.subquery()).scalar_subquery() for each in some.values()]
    by_state = dict(zip(some, c.execute(select(*asked)).one(), strict=True))
    routine = select(results.c.lane).select_from(joined()).where(studies.c.state == "routine").limit(COUNT_MAX + 1)
    lanes = routine.subquery()
    by_lane: dict[str, int] = dict(c.execute(select(lanes.c.lane, func.count()).group_by(lanes.c.lane)).all())
    found = {}
    for key, tab in TABS.items():
        number = by_lane.get(tab.lane, 0) if tab.lane else sum(min(by_state[each], COUNT_MAX) for each in tab.states)
        found[key] = Count(number, more=any(by_state[each] > COUNT_MAX for each in tab.states))
    return found
