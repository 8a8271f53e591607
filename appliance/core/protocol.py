"""docs/wire-protocol.md, printed from the documents of `appliance.core.case`: what the text says is what is parsed.

It describes; it checks nothing and sends nothing.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from appliance.core.case import CASE_BYTES_MAX, KEY_IMAGES_MAX, Case, Verdict
from appliance.core.document import AGEING_S, MESSAGE_BYTES_MAX, Document
from appliance.core.letter import OVERHEAD_BYTES
from appliance.core.lifecycle import CORRECTION_MOVES, WIRE_MOVES, WIRE_STATES
from appliance.core.link import NO_SUBSCRIBERS
from appliance.core.messages import (
    DOWN_DOCUMENTS,
    DOWN_KINDS,
    PARTITIONS,
    REFUSED_MAX,
    ROLL_MAX,
    STATUS_PERIOD_S,
    UP_DOCUMENTS,
    UP_KINDS,
    WILL_DELAY_S,
    DownKind,
    UpKind,
    topic_desired,
    topic_down,
    topic_up,
)
from appliance.core.picture import SIDE_PX_MAX
from appliance.core.transfer import PART_BYTES, PARTS_MAX, SEALED_PART_BYTES

ON_TOPICS: Mapping[str, type[Document]] = {**UP_DOCUMENTS, **DOWN_DOCUMENTS}
INSIDE: tuple[type[Document], ...] = (Case, Verdict)  # what a transfer and a delivery bear

RULES = f"""\
# The wire protocol

Printed by `appliance.core.protocol` from the models that parse every message; do not edit.

The edge and the centre speak MQTT 5.0 at QoS 1, each under a fixed client id with *clean start* off and a session
that outlives an outage. A broker sees topics and ciphertext, nothing else. Documents are JSON in UTF-8; the sender
writes them canonically (sorted keys, no blanks), so that equal documents are equal bytes. Numbers are finite. An
unknown
field, another type, a longer list or text, or more than {MESSAGE_BYTES_MAX} bytes (a case: {CASE_BYTES_MAX}) makes the
whole message invalid: its receiver keeps it aside for a person, acknowledges it to the broker and believes nothing of
it.

## Letters

Every message but the parts is a letter:

`EDL1` | key id of the sender, 16 B | key id of the recipient, 16 B | Ed25519 signature, 64 B | HPKE ciphertext

HPKE (RFC 9180) in base mode with X25519, HKDF-SHA256 and AES-256-GCM; its `info` is the topic, and the signature covers
the topic and all but itself, so a letter cannot be moved to another device or kind. It is {OVERHEAD_BYTES} bytes longer
than what it says. Three parties have keys: the centre, and on each appliance **triage** (signs cases and
corrections, opens verdicts) and **uplink** (signs and opens all else). So the program that is connected can neither
read nor forge a case, a correction or a verdict.

## Transfers

What goes up is sealed once and stored. A transfer has a *manifest*, a letter from triage to the centre that bears the
transfer's own AES-256-GCM key, and *parts* of {PART_BYTES} bytes, {SEALED_PART_BYTES} sealed, at most {PARTS_MAX}:

`EDP1` | transfer id, 16 B | index, 4 B | ciphertext

The nonce is the index; authenticated beside it are the transfer id, the index and whether it is the last part: a part
that is missing, moved, cut off or of another transfer does not open. The key is never used for anything else.

| tier | what | when |
|---|---|---|
| 0 | the case document: findings, gates, model and certificate | always; alone when the pictures were shed |
| 1 | the case document with its key images | by default |
| 2 | the whole de-identified series, lossless, as a tar of DICOM files | when the centre asks and the site allows it |

A case document is deflated (zlib) before it is sealed. Tiers 0 and 1 of a case are both sealed when it is made; the
fullest that lies ready is sent. The centre takes the first that arrives whole and answers any later one with the
receipt
of the one it holds. Features of a network never travel: pictures can be made from them again.

## Order

By urgency, the higher of what was found and what was asked for (a request of priority STAT travels as *critical*, HIGH
as *urgent*; the case document bears what was found alone); the series last; who waits climbs a class every
{AGEING_S / 3600:.0f} hours, up to *urgent* and never to
*critical*. Which part goes next is asked for every part, so a critical case overtakes a bulky one that is half sent.
The
bytes under way follow how soon the broker acknowledges. Caps and budgets of bytes hold back all but critical cases.

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
2. **A receipt is delivery.** The centre sends it after it has opened the whole transfer and committed the case; it
   names
   the transfer and the SHA-256 of all sealed bytes. The edge compares both with what it sealed, commits, and only then
   may let go of the bytes.
3. **A part counts when the centre says `have`.** It does so after the part is on its disk. What it has is never sent
   again, not after a broken line, a restart or a power cut on either side; what it does not name is, after a wait that
   doubles up to a limit and is spread at random. `known: false` asks for the manifest and all parts again.
4. **What is sent again is the same bytes.** A second copy changes nothing and is answered with the same receipt. A
   transfer id stands for one manifest for ever, a case id for one case: replayed messages are copies and do nothing.
5. **A verdict is sent again until it is taken.** It lies in a letter to triage within a letter to uplink; the inner one
   is written once. The edge commits it, then acknowledges it to the broker, then says `taken`; a second copy is
   answered
   with `taken` again. (case id, rev) names it, and the first letter under it stands.
6. **A roll asks how cases and half-sent transfers stand,** on every connect and every few minutes, at most {ROLL_MAX}
   cases at a time. The centre answers with one word each under the roll's own nonce and sends again the receipts and
   verdicts that seem to be missing. What it does not know although it was sent before the roll is due again at once;
   what
   it once acknowledged and no longer knows is named by `appliance reconcile`.
7. **A receiver commits before it acknowledges,** on both sides, so that a killed process is handed the message again.
8. **A refusal with the code `part-invalid` is of one transfer, not of its case:** the centre's disk lost it again and
   again. The edge seals the case anew, under another transfer id and key, at most {REFUSED_MAX} times; then the case is
   refused.
9. **A correction is sent again until it is answered,** and only once the centre has its case. It is one letter
   of triage's, made once, which uplink cannot read; (key, rev) names it, and the first one under it stands. A copy of
   an older rev is a copy and never takes the place of a newer one. A correction of a case that the centre does not have
   from this device is refused.

## Who is alive

An appliance says a `status` on every connect and every {STATUS_PERIOD_S} s, in a letter of uplink's. It holds numbers,
codes, versions, digests and times; nothing in it is about a patient. Edition 1 has no `line_ends` and no `bulletin`:
the centre reads both editions, and shows what an appliance of edition 1 does not say as *not said*.

- **Only a status proves life,** and only one whose number is greater than all before it under the same signing key. The
  number is kept on the appliance's disk, counted before it is said, and never smaller than the milliseconds of its
  clock: it grows over restarts, over a clock that is put back, and over a lost `link.db`. Anything else that is heard,
  a copy of a roll or of a part too, proves nothing.
- **An old status that nobody had heard yet** (a broker kept it for a centre that was away, or held it back) bears a new
  number. It counts as a sign of life of the moment at which it was said, not of that at which it came.
- **The last will, `gone`, is a hint and no more.** The broker holds it from the moment of connecting and says it, after
  {WILL_DELAY_S} s, when the line broke without a goodbye. It cannot bear a number that is fresh at that time, so it
  bears the life instead: it is a letter of uplink's, nobody else can write one, and the will of another life is not
  believed. Within one life the broker may say it without cause, twice, late or never. So it changes one word, *away*
  for *alive*, until the next status, and nothing else in the house follows from it. An orderly stop says no will.
- Nothing answers a status. One that is lost is followed by the next.

## Two editions side by side

Appliances and the centre are not brought up to date at one moment. Every document names its edition, `NAME/NUMBER`, in
`schema_version`; a change of any field is a new number.

- A document of a later edition is not read in part: half of a case, or a verdict without the field that takes it back,
  would be worse than none. Its receiver reads its name, edition and, of a manifest, the case and transfer, of a
  correction its key and rev, keeps it aside under `message-newer` and goes on. A manifest or case is answered with a
  refusal of that code, so that its study goes to a person at once, who releases it when the sides were brought
  together: it comes as a new case. A verdict leaves the case open, which its deadline names, and is read by the next
  version that understands it: triage goes through all verdicts again after every start. A correction is answered with
  `filed` of that code: it is not sent again, `appliance status` names it, and each start of uplink tries it once more.
- So the centre is brought up to date first: it reads the editions that its appliances send.
- What is read *as far as it can* is so from the other end: a writer says a thing in the earliest edition that can say
  it, where an older reader is to understand it (a policy).
- **Who said what stays known.** Every case names the edge's model by name, version and digest of its graphs, and the
  digest of the certificate that was asked; every verdict names the model, the server and the prompt's digest. A study
  that two versions saw has both on file, each with its own result.

Nothing has been tagged yet. Two commits stand for the released versions, because the line changed behind each. What
their own triage, uplink and centre said to each other lies in `tests/editions` as they said it, beside the code they
read by; every run of the tests reads the one today and has today's messages read by the other. They are made anew out
of the history by `python -m tests.editions.make`; with `--check` it compares.

- **`05a8df0`** speaks `case/3`, `verdict/1`, `manifest/1` and `status/1`. As an edge beside today's centre: all that it
  says is read. As a centre beside today's edge: cases are taken and answered, but a `status/2` is put aside as
  `message-invalid` and its appliance shown as silent, a correction is put aside and never answered, and a case that was
  asked for in more of a hurry than was found is refused as `case-invalid`, so that a person reads its study.
- **`2f38db2`** speaks the same, but `status/2`, and `policy/1` and `correction/1` besides. As an edge: all that it says
  is read; it reads a policy that edition 1 can say, refuses a `policy/2` as `message-newer` and keeps the one before.
  As a centre: all is read.

## Updates

Models, certificates, policy and releases do not travel over the broker (`docs/updates.md`). It may bear a retained hint
on `{topic_desired("RING")}`: whoever hears it looks at the repository sooner, at most once a minute, whatever it
says.
"""


def protocol_text() -> str:
    """The whole page as Markdown, ending in a newline; equal on every machine."""
    return "\n".join([RULES, *_topics(), *_states(), *_documents()]) + "\n"


def _topics() -> Iterator[str]:
    yield (
        "## Topics\n\n`DEVICE` is the appliance's `site.device_id`, `PP` its partition: the first byte of the SHA-256 "
        f"of that name modulo {PARTITIONS}, two hex digits. Nothing else is in a topic.\n"
    )
    yield "| topic | from | in a letter | meaning |\n|---|---|---|---|"
    stem, name = topic_up("DEVICE", "part").rsplit("/", 3)[0], "DEVICE"
    for up in UP_KINDS:
        yield _row(f"{stem}/PP/{name}/{up}", "edge", up)
    for down in DOWN_KINDS:
        yield _row(topic_down(name, down), "centre", down)


def _row(topic: str, sender: str, kind: UpKind | DownKind) -> str:
    if kind == "part":
        return f"| `{topic}` | {sender} | no letter: a part | One sealed part of a transfer. |"
    model = ON_TOPICS[kind]
    version = model.model_fields["schema_version"].default
    return f"| `{topic}` | {sender} | `{version}` | {_sentence(model)} |"


def _states() -> Iterator[str]:
    yield f"\n## Where a case stands\n\n{', '.join(f'*{state}*' for state in WIRE_STATES)}.\n"
    yield "| from | to | when |\n|---|---|---|"
    for (start, end), event in WIRE_MOVES.items():
        yield f"| {start} | {end} | {event} |"
    yield "\n## Where a correction stands\n\n| from | to | when |\n|---|---|---|"
    for (before, after), event in CORRECTION_MOVES.items():
        yield f"| {before} | {after} | {event} |"


def _documents() -> Iterator[str]:
    yield "\n## Documents"
    parts: dict[str, Any] = {}
    for model in (*ON_TOPICS.values(), *INSIDE):
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
