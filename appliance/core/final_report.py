"""Final reports of the RIS as truth: what a coded ORU^R01 says of a finding, by a table that the site wrote.

Only codes count. Words are not read, a status that is not final is no truth, and what the table does not decide, or
decides twice, is *undecided*. Whose report it is must be said by accession number and patient ID both.

source: HL7 v2.5.1 chapter 7; tables 0123 and 0085 for what is final.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from appliance.core import hl7
from appliance.core.results.words import SCHEME
from appliance.core.strict import Strict
from appliance.errors import Quarantined

Truth = Literal["present", "absent", "undecided"]
FINAL = ("F", "C")  # final, corrected
CODED = ("CWE", "CE", "CNE")
SENDER = r"^[^|^~\\&@\s][^|^~\\&@]{0,39}@[^|^~\\&@]{0,39}$"  # MSH-3 @ MSH-4
BYTES_MAX = 1 << 20
PARTS_MAX, VALUE_MAX = 50, 64
Concept = Annotated[str, Field(pattern=r"^[^|^~\\&\s]{1,40}\^[A-Za-z0-9.-]{1,20}$")]  # code ^ coding system


class Reading(Strict):
    """How this site's reports say one finding.

    label        the finding, by the name that a model's manifest gives its label
    observation  the OBX that speaks of it (OBX-3; in a structured report the concept name), as CODE^SYSTEM
    present      values of OBX-5 (of a CODE item) that say it is there, as CODE^SYSTEM
    absent       values that say it is not
    """

    label: Annotated[str, Field(min_length=1, max_length=64)]
    observation: Concept
    present: Annotated[tuple[Concept, ...], Field(strict=False, min_length=1, max_length=200)]
    absent: Annotated[tuple[Concept, ...], Field(strict=False, max_length=200)] = ()

    @model_validator(mode="after")
    def _one_meaning_a_value(self) -> "Reading":
        if set(self.present) & set(self.absent):
            raise ValueError(f"reading of {self.label}: a value says present and absent")
        return self


@dataclass(frozen=True, slots=True)
class FinalReport:
    """One order's report. part: its number in the message, from 1; told: by label, {} where the status is not final."""

    part: int
    sender: str
    control_id: str
    accession_number: str
    patient_ids: tuple[str, ...]
    status: str
    told: dict[str, Truth]


def reports_in(data: bytes, readings: Sequence[Reading], senders: Sequence[str]) -> list[FinalReport]:
    """The reports in a message.

    senders  who is believed, as SENDER
    raises   Quarantined: "report-malformed", "report-stranger", "report-kind", "own-result-returned"
    """
    made = hl7.read(data)
    head = made.segments[0]
    sender = f"{made.first(head, 3)}@{made.first(head, 4)}"
    if sender not in senders:
        raise Quarantined("report-stranger", "MSH-3")
    if (made.first(head, 9), made.first(head, 9, 2), made.first(head, 11)) != ("ORU", "R01", "P"):
        raise Quarantined("report-kind", "MSH-9")
    patients, parts = made.named("PID"), _parts(made)
    if len(patients) != 1 or not 0 < len(parts) <= PARTS_MAX:
        raise Quarantined("report-malformed", "PID" if len(patients) != 1 else "OBR")
    ids = tuple(
        text for each in made.repetitions(patients[0], 3) if (text := made.unescaped(each.split(made.component)[0]))
    )
    if not ids or max(map(len, ids)) > VALUE_MAX or len(ids) > PARTS_MAX:
        raise Quarantined("report-malformed", "PID-3")
    found = []
    for number, (order, rows) in enumerate(parts, 1):
        accession, status = made.first(order, 18).strip(), made.first(order, 25)
        if made.first(order, 4, 3) == SCHEME:
            raise Quarantined("own-result-returned", "OBR-4")
        if not 0 < len(accession) <= VALUE_MAX:
            raise Quarantined("report-malformed", "OBR-18")
        told = {each.label: _truth(made, rows, each) for each in readings} if status in FINAL else {}
        control = made.first(head, 10)[:VALUE_MAX]
        found.append(FinalReport(number, sender, control, accession, ids, status[:4], told))
    return found


def _parts(made: hl7.Read) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Each OBR with the OBX below it."""
    parts: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = []
    for each in made.segments:
        if each[0] == "OBR":
            parts.append((each, []))
        elif each[0] == "OBX":
            if not parts:
                raise Quarantined("report-malformed", "OBX")
            parts[-1][1].append(each)
    return parts


def _truth(made: hl7.Read, rows: Sequence[tuple[str, ...]], reading: Reading) -> Truth:
    """What the rows say of one finding: something only where all that speak of it are final, coded and of one mind."""
    said: set[str] = set()
    for row in rows:
        if reading.observation not in _concepts(made, made.repetitions(row, 3)[0]):
            continue
        final = row[2:3] and row[2] in CODED and made.first(row, 11) in FINAL
        for value in made.repetitions(row, 5) if final else ("",):
            said |= meaning(_concepts(made, value), reading)
    return "present" if said == {"present"} else "absent" if said == {"absent"} else "undecided"


def meaning(codes: set[str], reading: Reading) -> set[str]:
    """What the codes of one value say of a finding; both of two, or that nobody can tell."""
    said = {"present"} if codes & set(reading.present) else set()
    said |= {"absent"} if codes & set(reading.absent) else set()
    return said or {"undecided"}


def _concepts(made: hl7.Read, value: str) -> set[str]:
    """A coded value and its alternate (CWE.1 and .3, .4 and .6), as CODE^SYSTEM."""
    parts = [made.unescaped(each) for each in value.split(made.component)]
    parts += [""] * (6 - len(parts))
    return {f"{code}^{system}" for code, system in ((parts[0], parts[2]), (parts[3], parts[5])) if code and system}
