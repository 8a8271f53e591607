"""The inspector on a JSON document, such as the case that goes to the centre.

Every key and every value is searched, then the bytes as a whole. It refuses documents larger or deeper than any case.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from appliance.core.identity import Identity
from appliance.core.inspect_findings import Finding
from appliance.core.inspect_read import Unreadable
from appliance.core.inspect_scan import in_bytes, in_number, in_text
from appliance.core.inspect_search import Search, search_for
from appliance.core.inspect_streams import Budget, streams_in

DEPTH_MAX = 32
BYTES_MAX = 16 << 20


def in_document(data: bytes, identity: Identity, vocabulary: frozenset[str]) -> Iterator[Finding]:
    """Reasons not to let go of a JSON document. Raises Unreadable("document")."""
    search = search_for(identity)
    if len(data) > BYTES_MAX:
        raise Unreadable("document")
    try:
        document = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        # The cause quotes the document, so it is not kept.
        raise Unreadable("document") from None

    def said(text: str) -> bool:
        return text not in vocabulary and in_text(search, text)

    yield from _in_value(search, said, "document", document, 0)
    for word in vocabulary:
        data = data.replace(f'"{word}"'.encode(), b'""')
    if in_bytes(search, data):
        yield Finding("document bytes", "identity")
    if any(in_bytes(search, stream) for stream in streams_in(data, Budget())):
        yield Finding("document streams", "identity")


def _in_value(search: Search, said: Callable[[str], bool], place: str, value: Any, depth: int) -> Iterator[Finding]:
    if depth > DEPTH_MAX:
        raise Unreadable("document")
    if isinstance(value, dict):
        for number, (key, inner) in enumerate(value.items()):
            # A key may itself be a leak: then it does not name the place.
            if said(key):
                yield Finding(f"{place}.key[{number}]", "identity")
                yield from _in_value(search, said, f"{place}.key[{number}]", inner, depth + 1)
            else:
                yield from _in_value(search, said, f"{place}.{key[:40]}", inner, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _in_value(search, said, f"{place}[{number}]", inner, depth + 1)
    elif isinstance(value, str):
        if said(value):
            yield Finding(place, "identity")
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and in_number(search, repr(value)):
        yield Finding(place, "identity")
