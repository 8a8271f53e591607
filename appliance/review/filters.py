"""What a reader narrows the worklist to: modality, urgency, model, mine, and words to look for.

All but the words stand in the address, so that a list can be kept as a bookmark. The words may be a name or a number of
a patient: they come in a form's body, and no address, log or history has them. Counts on the tabs are of everything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true

from appliance.core.document import URGENCIES
from appliance.review.worklist_order import said
from appliance.world.ledger import results, signatures, studies, watch

WORDS_CHARACTERS_MAX = 64
CHOICE_CHARACTERS_MAX = 128
CHOICES_MAX = 50
MINE_MAX = 200


@dataclass(frozen=True, slots=True)
class Filters:
    """An empty value asks for nothing.

    words  at most WORDS_CHARACTERS_MAX characters of a name, an ID or an accession number
    """

    modality: str = ""
    urgency: str = ""
    model: str = ""
    mine: bool = False
    words: str = ""

    @property
    def any(self) -> bool:
        return self != Filters()

    @property
    def query(self) -> str:
        """For an address, after lane and page: "" or "&modality=CR"; without the words."""
        told = {"modality": self.modality, "urgency": self.urgency, "model": self.model, "mine": self.mine and "yes"}
        asked = urlencode({key: value for key, value in told.items() if value})
        return f"&{asked}" if asked else ""

    def where(self, user: str, held: list[int]) -> ColumnElement[bool]:
        """On studies joined with their results. held: numbers of studies that this user has open."""
        wanted: list[ColumnElement[bool]] = []
        if self.modality:
            wanted.append(studies.c.modality == self.modality)
        if self.urgency:
            at_least = URGENCIES[URGENCIES.index(self.urgency) :]
            wanted.append(said(*at_least))
        if self.model:
            wanted.append(results.c.model == self.model)
        if self.mine:
            own = select(signatures.c.study_number).where(signatures.c.user == user)
            wanted.append(or_(studies.c.number.in_(held), studies.c.number.in_(own)))
        for word in self.words.split():
            like = f"%{_literally(word)}%"
            columns = (studies.c.patient_name, studies.c.patient_id, studies.c.accession_number)
            wanted.append(or_(*(column.ilike(like, escape="\\") for column in columns)))
        return and_(*wanted) if wanted else true()


def filters_of(query: Mapping[str, str], words: str = "") -> Filters:
    """Out of an address or a form; what cannot be asked for is not asked for."""
    urgency = query.get("urgency", "")
    return Filters(
        modality=query.get("modality", "")[:CHOICE_CHARACTERS_MAX],
        urgency=urgency if urgency in URGENCIES[1:] else "",
        model=query.get("model", "")[:CHOICE_CHARACTERS_MAX],
        mine=query.get("mine") == "yes",
        words=" ".join(words[:WORDS_CHARACTERS_MAX].split()),
    )


def choices(c: Connection) -> dict[str, list[str]]:
    """What can be chosen from: every modality that is or was on file, and every model that was ever at work here."""
    models = c.execute(select(watch.installed.c.title).order_by(watch.installed.c.loaded_at.desc()).limit(CHOICES_MAX))
    return {"modalities": list(_modalities(c)), "models": sorted(models.scalars())}


def _modalities(c: Connection) -> Iterator[str]:
    """In their order, each by one leap in their index: DISTINCT would look at every study."""
    found = ""
    for _each in range(CHOICES_MAX):
        found = c.execute(select(func.min(studies.c.modality)).where(studies.c.modality > found)).scalar_one()
        if not found:
            return
        yield found


def _literally(word: str) -> str:
    """A pattern of LIKE that the word itself fits."""
    return "".join(f"\\{each}" if each in "\\%_" else each for each in word)
