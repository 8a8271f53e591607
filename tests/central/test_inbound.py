"""What an edge may say, and that nothing else is believed."""

import json
from typing import Any

import pytest
from centre_pipe import Known
from centre_samples import (
    CENTRE,
    DEVICE,
    OTHER,
    a_case,
    case_number,
    enclosing,
    letter_up,
    parcel,
    private_keys,
    triage_keys,
    uplink_keys,
)
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.case import CASE_BYTES_MAX, Case, Finding, Model
from appliance.core.document import encode
from appliance.core.letter import sealed
from appliance.core.messages import Roll, Taken, topic_up
from central.inbound import CaseRead, Keyring, identity_in_bytes, identity_in_case, read, read_case

KNOWN = Known(DEVICE, OTHER)
KEYRING = Keyring(KNOWN.own, KNOWN.device)
TAKEN = Taken(case_id=case_number(1), rev=1)
ROLL = Roll(nonce="7" * 32, case_ids=(case_number(1),), transfer_ids=())


def of_case(document: bytes) -> CaseRead:
    return read_case(document, parcel().manifest)


def test_a_sound_transfer_is_believed() -> None:
    made = parcel()
    found = read(*made.announcement, KEYRING)
    assert (found.device_id, found.kind, found.code, found.said) == (DEVICE, "manifest", "", made.manifest)
    part = read(*made.part(0), KEYRING).said
    assert (part.transfer_id, part.index) == (made.transfer_id, 0)
    assert of_case(made.document) == CaseRead(a_case(), "", False)


def test_taken_and_roll_are_believed_on_their_own_topics_only() -> None:
    topic, letter = letter_up("taken", TAKEN)
    assert read(topic, letter, KEYRING).said == TAKEN
    assert read(*letter_up("roll", ROLL), KEYRING).said == ROLL
    assert read(topic_up(DEVICE, "roll"), letter, KEYRING).code == "letter-invalid"
    assert read(topic_up(OTHER, "taken"), letter, KEYRING).code == "letter-invalid"
    assert read(*letter_up("taken", ROLL), KEYRING).code == "message-invalid"


@pytest.mark.parametrize("kind", ["manifest", "taken", "roll"])
def test_each_kind_is_signed_by_its_own_key(kind: Any) -> None:
    """Uplink cannot announce a case, triage's key opens no other door, and a stranger's opens none."""
    topic = topic_up(DEVICE, kind)
    document = {"manifest": parcel().manifest, "taken": TAKEN, "roll": ROLL}[kind]
    right = triage_keys(DEVICE) if kind == "manifest" else uplink_keys(DEVICE)
    wrong = uplink_keys(DEVICE) if kind == "manifest" else triage_keys(DEVICE)
    for signer, code in ((right, ""), (wrong, "letter-invalid"), (private_keys("stranger"), "letter-invalid")):
        letter = sealed(encode(document), place=topic, sender=signer, recipient=CENTRE.public)
        assert read(topic, letter, KEYRING).code == code


def test_a_stranger_and_a_device_in_another_partition_are_nobody() -> None:
    topic, letter = letter_up("taken", TAKEN, "appliance-3")
    found = read(topic, letter, KEYRING)
    assert (found.device_id, found.code, found.said) == ("", "not-enrolled", None)
    topic, letter = letter_up("taken", TAKEN)
    moved = topic.split("/")
    moved[3] = f"{(int(moved[3], 16) + 1) % 64:02x}"
    assert read("/".join(moved), letter, KEYRING).device_id == ""


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "edge/2/up/00/appliance-1/verdict",
        "edge/2/down/appliance-1/receipt",
        "edge/1/up/appliance-1/case",
        "edge/2/up/00/Appliance_1/part",
        "edge/2/up/00/appliance-1/part/more",
        "edge/2/up/00/appliance-1/part\n",
    ],
)
def test_an_unknown_topic_is_nobody(topic: str) -> None:
    found = read(topic, parcel().announcement[1], KEYRING)
    assert (found.device_id, found.kind, found.said) == ("", "unknown", None)


def changed(**fields: Any) -> bytes:
    plain = json.loads(encode(a_case()))
    plain.update(fields)
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "payload",
    [
        changed(PatientName="unknown field"),
        changed(urgency="stat"),
        changed(revision="1"),
        changed(revision=True),
        changed(schema_version="case/2"),
        changed(reasons=["a b"]),
        changed(reasons=["line\nbreak"]),
        changed(reasons=["trailing\n"]),
        changed(gates={"a": float("inf")}),
        changed(findings=[{}] * 21),
        json.dumps(json.loads(encode(a_case())), indent=1).encode(),  # the same document in other bytes
        encode(a_case()).replace(b'"images":1', b'"images":9,"images":1'),  # a key said twice
        encode(a_case())[:-1],
    ],
)
def test_what_is_no_case_is_refused(payload: bytes) -> None:
    assert of_case(payload) == CaseRead(None, "case-invalid", identity_in_bytes(payload))


def test_a_case_is_the_one_of_its_manifest() -> None:
    for other in (a_case(2), a_case(urgency="critical")):
        assert of_case(encode(other)).code == "case-invalid"
    in_a_hurry = enclosing(a_case(), urgency="critical")
    assert read_case(in_a_hurry.document, in_a_hurry.manifest).code == "", "asked for at once, whatever was found"


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"[" * 60_000, b" " * CASE_BYTES_MAX + encode(a_case())])
def test_what_is_no_document_is_no_case(payload: bytes) -> None:
    assert of_case(payload) == CaseRead(None, "case-invalid", False)


IDENTITY: list[dict[str, Any]] = [
    {"reasons": ("born-19840213",)},
    {"reasons": ("1984-02-13",)},
    {"reasons": ("13.02.1984",)},
    {"reasons": ("mrn1234567",)},
    {"reasons": ("jane.doe@example.org",)},
    {"reasons": ("020-7946-0958",)},
    {"reasons": ("1.2.840.10008.5.1",)},
    {"body_part": "19840213"},
    {"view": "1234567"},
    {"modality": "DOE 4471182"},
    {"gates": {"19840213": 1.0}},
    {"gates": {"distance": 19840213.0}},
    {"findings": (Finding(id="F1", label="id4471182", logit=0.0, probability=None),)},
    {"findings": (Finding(id="F1", label="pneumonia", logit=4471182.0, probability=None),)},
    {"model": Model(name="a@b.example", version="1", sha256="5" * 64, certificate=None)},
    {"model": Model(name="m", version="1.2.840.10008.5.1", sha256="5" * 64, certificate=None)},
]


@pytest.mark.parametrize("planted", IDENTITY, ids=lambda planted: str(next(iter(planted))))
def test_planted_identity_is_found(planted: dict[str, Any]) -> None:
    assert of_case(encode(a_case(**planted))) == CaseRead(None, "case-identity", True)


def test_what_an_edge_really_says_is_not_taken_for_identity() -> None:
    ordinary = a_case(
        reasons=("gate-out-of-distribution", "certificate-other-site", "not-a-chest-radiograph"),
        gates={"grey_levels": 256.0, "aspect": 1.171875, "distance": 123456.789, "clipped_dark": 1e-9},
        findings=(Finding(id="F1", label="RADLEX:RID5350", logit=-12.123456789, probability=0.000012345678),),
        images=100_000,
    )
    assert identity_in_case(ordinary) is None
    assert read_case(encode(ordinary), enclosing(ordinary).manifest).code == ""


def test_identity_in_bytes_that_are_no_case_is_found_and_ordinary_bytes_are_not() -> None:
    assert not identity_in_bytes(encode(a_case(gates={"distance": 1234.56789012345}, model=None)))
    assert not of_case(changed(model=None, unknown="field")).identity
    for planted in ({"name": "DOE^JANE"}, {"birth": "19840213"}, {"uid": "1.2.840.113619.2.5"}):
        assert of_case(changed(model=None, **planted)).identity


def test_a_code_bears_no_blank_quote_bracket_or_line() -> None:
    for letter in " \"<>{}\n\r\t\\`^;,'\x00é":
        found = of_case(changed(reasons=[f"a{letter}b"]))
        assert found.code == "case-invalid", repr(letter)


@given(st.binary(max_size=2000), st.sampled_from(["manifest", "part", "taken", "roll"]))
def test_no_bytes_are_believed_by_chance(payload: bytes, kind: Any) -> None:
    found = read(topic_up(DEVICE, kind), payload, KEYRING)
    assert found.said is None
    assert found.code in ("letter-invalid", "part-invalid")
    assert of_case(payload).case is None


@given(st.data())
def test_a_damaged_case_is_the_same_case_or_none(data: st.DataObject) -> None:
    """Bytes cut, doubled, changed anywhere: reading never raises, and what it believes is canonical and says so."""
    payload = bytearray(encode(a_case()))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    found = of_case(bytes(payload))
    if found.case is not None:
        assert encode(found.case) == bytes(payload)
    else:
        assert found.code in ("case-invalid", "case-identity", "message-newer")


@given(st.data())
def test_a_damaged_letter_is_no_letter(data: st.DataObject) -> None:
    topic, letter = parcel().announcement
    payload = bytearray(letter)
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    found = read(topic, bytes(payload), KEYRING)
    assert (found.said is None) == (bytes(payload) != letter)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(sorted(Case.model_fields)), json_values)
def test_any_value_in_any_field_is_refused_or_legal(field: str, value: Any) -> None:
    found = of_case(changed(**{field: value}))
    assert found.code in ("", "case-invalid", "case-identity", "message-newer")
    assert (found.case is None) == bool(found.code)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "piece", ["a", "a@", "1", "1.", "20", ":1.1", '"case_id"', '"case_id" ', ":", " ", "0.0", "[", '"']
)
def test_no_text_makes_the_scan_slow(piece: str) -> None:
    """The largest packet the link takes, of the worst repetitions: quadratic time would be hours."""
    payload = (piece * 262_144)[:262_144].encode()
    for kind in ("manifest", "part", "taken", "roll"):
        assert read(topic_up(DEVICE, kind), payload, KEYRING).said is None  # type: ignore[arg-type]
    assert of_case(payload).case is None
    assert read(payload.decode()[:65_535], b"", KEYRING).said is None
