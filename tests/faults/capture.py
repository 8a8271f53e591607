"""What went over the lines, byte by byte: every MQTT packet read, every topic and property held against the rules.

Reads the streams a proxy recorded (proxy.py --record). It has a reader of MQTT 5 of its own (OASIS MQTT 5.0, chapter 2
and 3.1 to 3.3), so that it trusts nothing of ours. With the centre's key it opens what an eavesdropper cannot, and
searches the whole of it for whoever was scanned.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.core.document import decode
from appliance.core.enclosure import disclosed
from appliance.core.letter import opened
from appliance.core.schedule import SERIES_TIER
from appliance.core.transfer import Manifest, opened_part, read_part_message
from appliance.errors import Quarantined
from central.registry import Registry

TOPIC_UP = re.compile(r"edge/2/up/[0-3][0-9a-f]/[a-z0-9-]{3,40}/(manifest|part|taken|roll|status|correction)")
TOPIC_DOWN = re.compile(r"edge/2/down/[a-z0-9-]{3,40}/(receipt|have|refusal|verdict|standing|request|command|filed)")
LETTER, PART = b"EDL1", b"EDP1"
CONNECT, PUBLISH, AUTH = 1, 3, 15
# Property identifiers that carry nobody's words (OASIS MQTT 5.0, 2.2.2.2), with the length of each.
SILENT = {0x01: 1, 0x02: 4, 0x11: 4, 0x17: 1, 0x19: 1, 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x27: 4}


@dataclass(slots=True)
class Heard:
    """What an eavesdropper on all lines has."""

    packets: int = 0
    publishes: int = 0
    stream_bytes: int = 0
    clients: set[str] = field(default_factory=set)
    topics: set[str] = field(default_factory=set)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    corrections: list[bytes] = field(default_factory=list)
    opened_cases: int = 0
    wrong: list[str] = field(default_factory=list)


def listened(folders: list[Path], keys: Path, needles: set[bytes]) -> Heard:
    """All streams of all lines.

    keys     the centre's key folder
    needles  bytes that may be in no stream and in no opened case
    """
    heard, registry = Heard(), Registry(keys)
    for path in sorted(path for folder in folders for path in folder.glob("*.[ud]*")):
        data = path.read_bytes()
        heard.stream_bytes += len(data)
        heard.wrong += [f"{path.name} bears an identity in the clear" for needle in needles if needle in data]
        for kind, flags, body in packets(data):
            heard.packets += 1
            _one(heard, registry, kind, flags, body, up=path.suffix == ".up")
    heard.wrong += [
        "a correction bears an identity" for said in heard.corrections for needle in needles if needle in said
    ]
    for transfer_id, manifest in heard.manifests.items():
        got = heard.parts.get(transfer_id, {})
        if manifest.tier == SERIES_TIER:
            pieces = [opened_part(manifest, index, data) for index, data in got.items()]
        elif len(got) == manifest.parts:
            heard.opened_cases += 1
            pieces = [disclosed(manifest, b"".join(got[index] for index in range(manifest.parts)))]
        else:
            continue
        named = [needle for needle in needles if any(needle in piece for piece in pieces)]
        heard.wrong += [f"case {manifest.case_id[:8]} bears an identity"] if named else []
    return heard


def packets(stream: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, flags, body) of each whole packet; a stream may end within one, where the line broke."""
    at = 0
    while at + 2 <= len(stream):
        length, start = _varint(stream, at + 1)
        if length is None or start + length > len(stream):
            return
        yield stream[at] >> 4, stream[at] & 15, stream[start : start + length]
        at = start + length


def _varint(data: bytes, at: int) -> tuple[int | None, int]:
    value = 0
    for place in range(4):
        if at + place >= len(data):
            return None, at
        value |= (data[at + place] & 127) << (7 * place)
        if not data[at + place] & 128:
            return value, at + place + 1
    raise ValueError("no variable byte integer")


def _text(data: bytes, at: int) -> tuple[str, int]:
    length = int.from_bytes(data[at : at + 2], "big")
    return data[at + 2 : at + 2 + length].decode(), at + 2 + length


def _one(heard: Heard, registry: Registry, kind: int, flags: int, body: bytes, *, up: bool) -> None:
    if kind == CONNECT:
        _, at = _text(body, 0)
        properties, at = _varint(body, at + 4)
        assert properties is not None
        heard.wrong += _properties(body[at : at + properties], "CONNECT")
        client, _ = _text(body, at + properties)
        heard.clients.add(client)
    elif kind == PUBLISH:
        heard.publishes += 1
        topic, at = _text(body, 0)
        at += 2 if flags & 6 else 0
        properties, at = _varint(body, at)
        assert properties is not None
        heard.wrong += _properties(body[at : at + properties], topic)
        heard.topics.add(topic)
        _payload(heard, registry, topic, body[at + properties :], up=up)


def _properties(data: bytes, where: str) -> list[str]:
    """Every property must be one that can carry no words of ours."""
    at = 0
    while at < len(data):
        if data[at] == 0x0B:  # subscription identifier
            _, at = _varint(data, at + 1)
        elif data[at] in SILENT:
            at += 1 + SILENT[data[at]]
        else:
            return [f"{where} has property {data[at]:#04x}, which can carry words"]
    return []


def _payload(heard: Heard, registry: Registry, topic: str, payload: bytes, *, up: bool) -> None:
    if not (TOPIC_UP if up else TOPIC_DOWN).fullmatch(topic):
        heard.wrong.append(f"topic {topic} is not in the plan of topics")
        return
    magic = PART if topic.endswith("/part") else LETTER
    if not payload.startswith(magic):
        heard.wrong.append(f"a payload on {topic} is neither letter nor part")
        return
    if magic == PART:
        part = read_part_message(payload)
        heard.parts.setdefault(part.transfer_id, {})[part.index] = part.ciphertext
    elif topic.endswith("/manifest"):
        device = registry.device(topic.split("/")[4])
        assert device is not None
        try:
            letter = opened(payload, place=topic, senders=[device.triage], recipients=registry.own)
        except Quarantined:
            heard.wrong.append("a manifest that the centre's key does not open")
            return
        manifest = decode(Manifest, letter)
        heard.manifests[manifest.transfer_id] = manifest
    elif topic.endswith("/correction"):
        device = registry.device(topic.split("/")[4])
        assert device is not None
        try:
            said = opened(payload, place=topic, senders=[device.triage], recipients=registry.own)
        except Quarantined:
            heard.wrong.append("a correction that the centre's key does not open")
            return
        heard.corrections.append(said)
