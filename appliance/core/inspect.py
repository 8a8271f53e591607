"""The last look before anything leaves: the finished bytes against the identity of their source.

It is handed bytes, not the cleaner's word, and shares no code with the cleaner. It parses what it is given to the
last element, searches values and bytes, and demands the structure of a de-identified object. It refuses what it
finds identity in and what it cannot read; it mends nothing. A finding names the place, never the value.
"""

from collections.abc import Iterator

from appliance.core.identity import Identity
from appliance.core.inspect_document import in_document
from appliance.core.inspect_findings import FINDINGS_MAX, Finding
from appliance.core.inspect_object import in_object
from appliance.core.inspect_read import Unreadable
from appliance.core.options import Options
from appliance.errors import Quarantined

__all__ = ["FINDINGS_MAX", "Finding", "findings", "inspect"]


def inspect(
    data: bytes, identity: Identity, vocabulary: frozenset[str] = frozenset(), kept: Options = frozenset()
) -> None:
    """Returns if `data` may leave.

    data        a complete DICOM Part 10 file, or a JSON document in UTF-8
    identity    of every source object that went into it
    vocabulary  whole keys and values that a JSON document of this kind bears whoever the patient is: found as a whole
                string they tell nothing of a patient who happens to be called so; as part of a string they are searched
    kept        options in force: what they keep is no leak where they keep it, and what they promise is demanded
    raises      Quarantined("inspect-identity-found", place), Quarantined("inspect-unreadable", place)
    """
    found = findings(data, identity, vocabulary, kept)
    if found:
        unreadable = found[0].kind == "unreadable"
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise Quarantined("inspect-unreadable" if unreadable else "inspect-identity-found", found[0].place + more)


def findings(
    data: bytes, identity: Identity, vocabulary: frozenset[str] = frozenset(), kept: Options = frozenset()
) -> tuple[Finding, ...]:
    """Every reason not to let go of `data`: unreadable first, then identity, then structure, at most FINDINGS_MAX.

    Same arguments as inspect().
    """
    found: dict[Finding, None] = {}
    counts = {"identity": 0, "structure": 0}
    try:
        for finding in _reasons(data, identity, vocabulary, kept):
            # Faults of structure are many where one is; they must not crowd out what was found.
            if finding not in found and counts[finding.kind] < FINDINGS_MAX:
                found[finding] = None
                counts[finding.kind] += 1
                if min(counts.values()) == FINDINGS_MAX:
                    break
    except Unreadable as fault:
        found = {Finding(fault.place, "unreadable"): None, **found}
    return tuple(sorted(found, key=lambda one: _ORDER.index(one.kind))[:FINDINGS_MAX])


_ORDER = ("unreadable", "identity", "structure")


def _reasons(data: bytes, identity: Identity, vocabulary: frozenset[str], kept: Options) -> Iterator[Finding]:
    if data[128:132] == b"DICM":
        return in_object(data, identity, kept)
    if data[:1] in (b"{", b"["):
        return in_document(data, identity, vocabulary)
    raise Unreadable("document")
