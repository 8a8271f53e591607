"""What may be seen on the wire: topics of one shape and ciphertext. Everything else in a recording is a finding.

It knows only the outsides of letters and parts; `documents` opens them with the keys of both ends, to prove that the
ciphertext is the cases, and to know which words must not be found outside.
"""

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from recorder import packets, published

from appliance.core.document import decode
from appliance.core.keys import PrivateKeys, PublicKeys
from appliance.core.letter import HEAD_BYTES, opened
from appliance.core.messages import DOWN_KINDS, UP_KINDS
from appliance.core.transfer import PART_HEAD_BYTES, Manifest, opened_part, read_part_message, unpacked
from appliance.errors import Quarantined

TOPIC = re.compile(
    rf"edge/2/(?:up/[0-9a-f]{{2}}/([a-z0-9-]+)/(?:{'|'.join(UP_KINDS)})|down/([a-z0-9-]+)/(?:{'|'.join(DOWN_KINDS)}))"
)
HEADS = {b"EDL1": HEAD_BYTES, b"EDP1": PART_HEAD_BYTES}
DOCUMENT_BYTES_MAX = 64 * 2**20
WORD_LENGTH_MIN = 6
CONNECT = 1


def findings(streams: Iterable[bytes], device: str) -> list[str]:
    """What is on the wire and should not be, in words; nothing where all is well."""
    found: list[str] = []
    for stream in streams:
        for first, packet in packets(stream):
            if (
                first >> 4 == CONNECT
                and (said := _client_id(packet)) != device
                and not re.fullmatch(r"[a-z0-9-]+", said)
            ):
                found.append(f"client id {said}")
        for each in published(stream):
            match = TOPIC.fullmatch(each.topic)
            if match is None or device not in match.groups():
                found.append(f"topic {each.topic}")
            if each.properties:
                found.append(f"properties {each.properties!r}")
            head = HEADS.get(each.payload[:4])
            if head is None or not _like_noise(each.payload[head:]):
                found.append(f"payload on {each.topic}: {each.payload[:24]!r}")
    return found


def _like_noise(data: bytes) -> bool:
    """Ciphertext does not compress."""
    return len(data) >= 16 and len(zlib.compress(data, 9)) >= len(data)


def _client_id(packet: bytes) -> str:
    """Of a CONNECT: behind protocol name, level, flags, keep alive and properties (MQTT 5.0, 3.1)."""
    start = 2 + int.from_bytes(packet[:2], "big") + 4
    start += 1 + packet[start]  # our properties take less than 128 bytes
    return packet[start + 2 : start + 2 + int.from_bytes(packet[start : start + 2], "big")].decode()


def documents(streams: Iterable[bytes], senders: Iterable[PublicKeys], readers: Iterable[PrivateKeys]) -> list[Any]:
    """Everything said on the wire, opened: each letter, and each case whose parts all passed."""
    senders, readers = tuple(senders), tuple(readers)
    said: list[Any] = []
    manifests: dict[str, Manifest] = {}
    parts: dict[str, dict[int, bytes]] = {}
    for each in (publish for stream in streams for publish in published(stream)):
        if each.payload.startswith(b"EDP1"):
            part = read_part_message(each.payload)
            parts.setdefault(part.transfer_id, {})[part.index] = part.ciphertext
            continue
        try:
            text = opened(each.payload, place=each.topic, senders=senders, recipients=readers)
        except Quarantined:
            continue  # from before these keys, or not a letter: `findings` names it
        said.append(json.loads(text))
        if each.topic.endswith("/manifest"):
            manifest = decode(Manifest, text)
            manifests[manifest.transfer_id] = manifest
    for name, manifest in manifests.items():
        kept = parts.get(name, {})
        if len(kept) == manifest.parts and manifest.codec == "deflate":
            data = b"".join(opened_part(manifest, index, kept[index]) for index in sorted(kept))
            said.append(json.loads(unpacked(data, DOCUMENT_BYTES_MAX)))
    return said


def words(document: Any) -> Iterator[str]:
    """Every key and text of a document that is long enough not to be met by chance, pictures by their beginning."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from words(key)
            yield from words(value)
    elif isinstance(document, list):
        for value in document:
            yield from words(value)
    elif isinstance(document, str) and len(document) >= WORD_LENGTH_MIN:
        yield document[:64]
