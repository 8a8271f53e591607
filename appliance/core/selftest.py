"""One line of a self-test: what was looked at, whether it is well, what to do if not. Never a patient, never a path."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """found: what was seen, in words; todo: what to do where it is not well."""

    name: str
    ok: bool
    found: str
    todo: str


def all_well(lines: list[Line]) -> bool:
    return all(line.ok for line in lines)
