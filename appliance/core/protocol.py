"""docs/wire-protocol.md, printed from the documents of `appliance.core.case`: what the text says is what is parsed.

It describes; it checks nothing and sends nothing.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from appliance.core.case import (
    CASE_BYTES_MAX,
    DOWN_KINDS,
    KEY_IMAGES_MAX,
    ROLL_MAX,
    Case,
    FormerCase,
    Receipt,
    Refusal,
    Roll,
    Standing,
    Taken,
    Verdict,
    topic_down,
    topic_up,
)
from appliance.core.command import Command
from appliance.core.document import MESSAGE_BYTES_MAX, Document
from appliance.core.lifecycle import WIRE_MOVES, WIRE_STATES
from appliance.core.link import NO_SUBSCRIBERS
from appliance.core.picture import SIDE_PX_MAX

DOCUMENTS: dict[str, type[Document]] = {
    "case": Case,
    "taken": Taken,
    "roll": Roll,
    "receipt": Receipt,
    "refusal": Refusal,
    "verdict": Verdict,
    "standing": Standing,
    "command": Command,
}

FORMER: tuple[type[Document], ...] = (FormerCase,)  # still read by the centre, no longer sent

RULES = f"""\
# The wire protocol

Printed by `appliance.core.protocol` from the models that parse every message; do not edit.

The edge and the centre speak MQTT 5.0 at QoS 1, each under a fixed client id with *clean start* off and a session
that outlives an outage. Payloads are JSON in UTF-8; the sender writes it canonically (sorted keys, no blanks), so that
equal documents are equal bytes. Numbers are finite. An unknown field, another type, a longer list or text, or more
than {MESSAGE_BYTES_MAX} bytes makes the whole message invalid: its receiver keeps it aside for a person, acknowledges
it to the broker and believes nothing of it. A case has at most {CASE_BYTES_MAX} bytes, which a line of 64 kbit/s
carries in {CASE_BYTES_MAX * 8 // 64_000} s: at a keep alive of 30 s nobody hangs up before that.

The centre also reads the case of the version before, as one without pictures, so that what lies sealed at an edge
while both are renewed is not lost: **renew the centre first.** An older centre refuses a newer case, and the study is
then a person's here.

## Key images

A case bears at most {KEY_IMAGES_MAX} pictures (tier 1) of at most {SIDE_PX_MAX} pixels a side, 8 bits a sample, grey
or RGB, out of objects whose header and picture were cleaned: the only frame of a study, or evenly spaced ones with the
middle among them; CT in one or two customary windows, else the header's window, else the middle 99 % of values. A PNG
consists of IHDR, IDAT and IEND and unpacks to exactly its size; a JPEG is baseline, JFIF without thumbnail, without
comment or any other segment. Base64, digest, size and structure are part of the document: a picture that is anything
more makes the case invalid on either side. When a case is too large pictures are left out, the outermost first, and
`key_images_shed` counts them. There are no crops: no model here says where on a film its finding lies.

`receipt` ties a case to the de-identification receipt that stays at the hospital: digest, Ed25519 signature and key id
of it. The receipt itself does not travel: it names attributes and objects, and nobody at the centre needs them.

## What may be relied on

1. **The broker's acknowledgement is not delivery.** PUBACK only opens the sender's window; reason code
   0x{NO_SUBSCRIBERS:02x} (no subscribers) and codes from 0x80 on mean *not sent*. Brokers lose what they acknowledged
   when they are killed.
2. **A receipt is delivery.** The centre sends it after it has committed the case; it names the SHA-256 of the bytes.
   The edge compares that digest with the part it sealed, commits, and only then may let go of the bytes.
3. **A case is sent again until its receipt, a refusal or a verdict is here,** after a wait that doubles up to a limit
   and is spread at random. What is sent again is the same bytes. The case id names it: a second copy changes nothing
   and is answered with the same receipt; other bytes under a known id are refused.
4. **A verdict is sent again until it is taken.** The edge commits it, then acknowledges it to the broker, then says
   `taken`; a second copy is answered with `taken` again. (case id, rev) names it, and the first text under it stands.
5. **A roll asks how cases stand,** on every connect and every few minutes, at most {ROLL_MAX} at a time. The centre
   answers with one word each and sends again the receipts and verdicts that seem to be missing. What it does not know
   although it was sent before the roll is due again at once; what it once acknowledged and no longer knows is named by
   `appliance reconcile`.
6. **A receiver commits before it acknowledges,** on both sides, so that a killed process is handed the message again.
"""


def protocol_text() -> str:
    """The whole page as Markdown, ending in a newline; equal on every machine."""
    return "\n".join([RULES, *_topics(), *_states(), *_documents()]) + "\n"


def _topics() -> Iterator[str]:
    yield "## Topics\n\n`DEVICE` is the appliance's `site.device_id`; nothing else is in a topic.\n"
    yield "| topic | from | document | meaning |\n|---|---|---|---|"
    rows = [(topic_up("DEVICE", kind), "edge", kind) for kind in ("case", "taken", "roll")]
    rows += [(topic_down("DEVICE", kind), "centre", kind) for kind in DOWN_KINDS]
    for topic, sender, kind in rows:
        model = DOCUMENTS[kind]
        version = model.model_fields["schema_version"].default
        yield f"| `{topic}` | {sender} | `{version}` | {_sentence(model)} |"


def _states() -> Iterator[str]:
    yield f"\n## Where a case stands\n\n{', '.join(f'*{state}*' for state in WIRE_STATES)}.\n"
    yield "| from | to | when |\n|---|---|---|"
    for (start, end), event in WIRE_MOVES.items():
        yield f"| {start} | {end} | {event} |"


def _documents() -> Iterator[str]:
    yield "\n## Documents"
    parts: dict[str, Any] = {}
    for model in (*DOCUMENTS.values(), *FORMER):
        schema = model.model_json_schema()
        parts.update(schema.get("$defs", {}))
        yield from _document(model.__name__, _sentence(model), schema)
    for name, schema in sorted(parts.items()):
        yield from _document(name, _in_words(schema["description"]), schema)


def _document(name: str, sentence: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n### {name}\n\n{sentence}\n"
    yield "| field | value | limits |\n|---|---|---|"
    for field, found in schema["properties"].items():
        value, limits = _value(found)
        yield f"| `{field}` | {value} | {limits} |"


def _value(schema: Mapping[str, Any]) -> tuple[str, str]:
    """One field's type and limits in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1], ""
    if "anyOf" in schema:
        each = [_value(choice) for choice in schema["anyOf"]]
        return " or ".join(value for value, _ in each), "; ".join(limits for _, limits in each if limits)
    if "const" in schema:
        return f"`{schema['const']}`", ""
    if "enum" in schema:
        return " or ".join(f"`{word}`" if word else "empty" for word in schema["enum"]), ""
    match schema["type"]:
        case "array":
            value, limits = _value(schema["items"])
            return f"list of {value}", _join(f"at most {schema['maxItems']}", limits)
        case "object":
            ((key, found),) = schema["patternProperties"].items()
            value, limits = _value(found)
            return f"map of text to {value}", _join(f"at most {schema['maxProperties']}; keys {_code(key)}", limits)
        case "string" if "pattern" in schema:
            return "text", _code(schema["pattern"])
        case "string":
            return "text", f"at most {schema['maxLength']} characters"
        case "integer" | "number" as kind:
            return kind, f"{_number(schema['minimum'])} to {_number(schema['maximum'])}"
        case plain:
            return str(plain), ""


def _join(*limits: str) -> str:
    return "; each ".join(each for each in limits if each)


def _code(pattern: str) -> str:
    return f"`{pattern}`".replace("|", "\\|")


def _number(value: float) -> str:
    return f"{value:g}"


def _sentence(model: type[Document]) -> str:
    return _in_words(model.__doc__ or "")


def _in_words(text: str) -> str:
    """A document's own words: its sentences, then what each of the fields named below them holds."""
    sentences, *fields = inspect.cleandoc(text).split("\n\n")
    told = re.sub(r"^(\w+)  +", r"; `\1`: ", "\n".join(fields), flags=re.MULTILINE).removeprefix("; ")
    return " ".join(f"{sentences} {told}".replace("\n; ", "; ").split())
