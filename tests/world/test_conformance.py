"""A probing client finds what docs/conformance.md says of the receive service, and no more."""

from collections.abc import Callable, Sequence

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
    Verification,
)

from docs.make_conformance import STEP_SYNTAXES, STORED, SYNTAXES, page
from tests.world.test_dimse import OURS, SCANNER, Door, open_door  # noqa: F401 - a fixture

CONTEXTS_MAX = 120
NOT_HERE = {
    "Study Root Query/Retrieve - FIND": "1.2.840.10008.5.1.4.1.2.2.1",
    "Study Root Query/Retrieve - MOVE": "1.2.840.10008.5.1.4.1.2.2.2",
    "Study Root Query/Retrieve - GET": "1.2.840.10008.5.1.4.1.2.2.3",
    "Modality Worklist - FIND": "1.2.840.10008.5.1.4.31",
    "Modality Performed Procedure Step Retrieve": "1.2.840.10008.3.1.2.3.4",
    "Basic Grayscale Print Management Meta": "1.2.840.10008.5.1.1.9",
    "Unified Procedure Step - Push": "1.2.840.10008.5.1.4.34.6.1",
}
IMPLICIT = "1.2.840.10008.1.2"


def accepted(door: Door, contexts: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """(SOP class, transfer syntax) of what is taken, asked for in as few associations as it takes."""
    found: set[tuple[str, str]] = set()
    for first in range(0, len(contexts), CONTEXTS_MAX):
        asking = AE(ae_title=SCANNER)
        for sop_class, syntax in contexts[first : first + CONTEXTS_MAX]:
            asking.add_requested_context(sop_class, syntax)
        line = asking.associate("127.0.0.1", door.port, ae_title=OURS)
        found |= {(str(each.abstract_syntax), str(each.transfer_syntax[0])) for each in line.accepted_contexts}
        line.release()
    return found


def test_every_class_and_every_syntax_of_the_statement_is_taken(open_door: Callable[..., Door]) -> None:  # noqa: F811
    """Each class in one of the syntaxes in turn, and each syntax for one class."""
    door = open_door()
    claimed = {(sop_class, SYNTAXES[place % len(SYNTAXES)]) for place, sop_class in enumerate(STORED)}
    claimed |= {(STORED[0], syntax) for syntax in SYNTAXES}
    assert accepted(door, sorted(claimed)) == claimed
    said = page()
    assert all(f"| {sop_class} |" in said for sop_class in STORED)
    assert all(f"({syntax})" in said for syntax in SYNTAXES)


def test_verification_and_commitment_are_there_when_the_statement_says_so(
    open_door: Callable[..., Door],  # noqa: F811
) -> None:
    both = {(str(Verification), IMPLICIT), (str(StorageCommitmentPushModel), IMPLICIT)}
    assert accepted(open_door(), sorted(both)) == {(str(Verification), IMPLICIT)}
    with_commitment = open_door(commit_peers=[f"{SCANNER}@127.0.0.1:104"])
    assert accepted(with_commitment, sorted(both)) == both


def test_procedure_steps_are_there_when_the_statement_says_so(open_door: Callable[..., Door]) -> None:  # noqa: F811
    step = str(ModalityPerformedProcedureStep)
    asked = {(step, syntax) for syntax in SYNTAXES}
    assert accepted(open_door(), [(step, IMPLICIT)]) == set()
    with_steps = open_door(mpps_peers=[f"{SCANNER}@127.0.0.1"])
    assert accepted(with_steps, sorted(asked)) == {(step, syntax) for syntax in STEP_SYNTAXES}
    assert step in page()


@pytest.mark.parametrize("name", NOT_HERE)
def test_what_the_statement_does_not_claim_is_refused(open_door: Callable[..., Door], name: str) -> None:  # noqa: F811
    asked = [(str(Verification), IMPLICIT), (NOT_HERE[name], IMPLICIT)]
    door = open_door(mpps_peers=[f"{SCANNER}@127.0.0.1"])
    assert accepted(door, asked) == {(str(Verification), IMPLICIT)}
    assert NOT_HERE[name] not in page()
