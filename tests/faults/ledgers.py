"""What a driver writes down outside the house, fsynced before it acts. The house may forget; this does not."""

import hashlib
import json
import os
import random
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.cli.prove.books import acknowledged as acknowledged
from appliance.cli.prove.books import ask as ask
from appliance.cli.prove.books import at_rest as at_rest
from appliance.cli.prove.books import broken_since as broken_since
from appliance.cli.prove.books import states as states
from tests.tiny import tiny

# Requested Procedure Priority (PS3.3 C.4.12) to how a case travels of which no model said more.
REQUESTED = {"": "routine", "ROUTINE": "routine", "LOW": "routine", "HIGH": "urgent", "STAT": "critical"}


@dataclass(frozen=True, slots=True)
class Scan:
    """One file as a scanner writes it; `patient` is planted and must never be met outside.

    urgency  with which its case has to travel, by how soon the study was asked for
    """

    place: int
    name: str
    study: str
    patient: str
    sha256: str
    urgency: str


class External:
    """The driver's own book of what was dropped, one JSON line each, on disk before the scanner writes the file."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("ab")
        self.scans: list[Scan] = []

    def note(self, scan: Scan) -> None:
        self.file.write(json.dumps(asdict(scan)).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.scans.append(scan)

    def of(self, place: int) -> list[Scan]:
        return [scan for scan in self.scans if scan.place == place]

    def needles(self) -> set[bytes]:
        """What no message may bear: names, numbers and UIDs of everybody who was scanned."""
        found = set()
        for scan in self.scans:
            found |= {scan.patient.encode(), f"Simulated^{scan.patient}".encode(), scan.study.encode()}
        return found

    def close(self) -> None:
        self.file.close()


def scanned(dice: random.Random, place: int, number: int) -> list[tuple[Scan, bytes]]:
    """The files of one study, one or two; the same dice give the same bytes."""
    study, patient = f"1.2.826.0.1.{dice.randrange(10**12)}", f"PAT-{place}{number:05d}"
    modality, found = dice.choice(("CR", "MR")), []
    priority = dice.choice(list(REQUESTED))
    for instance in range(1, dice.choice((1, 1, 2)) + 1):
        data = tiny(study, instance, patient, modality, dice.randrange(200), priority)
        digest = hashlib.sha256(data).hexdigest()
        scan = Scan(place, f"{place}-{number:05d}-{instance}.dcm", study, patient, digest, REQUESTED[priority])
        found.append((scan, data))
    return found
