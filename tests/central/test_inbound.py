"""What an edge may say, and that nothing else is believed."""

import json
from typing import Any

import pytest
from centre_samples import DEVICE, a_case, case_number
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.case import CASE_BYTES_MAX, Case, Finding, Model, Roll, Taken, topic_up
from appliance.core.document import encode
from central.inbound import identity_in_bytes, identity_in_case, read

TOPIC = topic_up(DEVICE, "case")


def test_a_sound_case_is_believed() -> None:
    case = a_case()
    found = read(TOPIC, encode(case))
    assert (found.device_id, found.kind, found.code, found.case_id) == (DEVICE, "case", "", case.case_id)
    assert found.document == case


def test_taken_and_roll_are_believed_on_their_own_topics_only() -> None:
    taken, roll = Taken(case_id=case_number(1), rev=1), Roll(case_ids=(case_number(1),))
    assert read(topic_up(DEVICE, "taken"), encode(taken)).document == taken
    assert read(topic_up(DEVICE, "roll"), encode(roll)).document == roll
    assert read(topic_up(DEVICE, "roll"), encode(taken)).code == "message-invalid"
    assert read(topic_up(DEVICE, "taken"), encode(a_case())).code == "message-invalid"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "edge/1/up/appliance-1/verdict",
        "edge/1/down/appliance-1/receipt",
        "edge/2/up/appliance-1/case",
        "edge/1/up/Appliance_1/case",
        "edge/1/up/appliance-1/case/more",
        "edge/1/up/appliance-1/case\n",
    ],
)
def test_an_unknown_topic_is_nobody(topic: str) -> None:
    found = read(topic, encode(a_case()))
    assert (found.device_id, found.kind, found.document, found.case_id) == ("", "unknown", None, "")


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
        changed(schema_version="case/3"),
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
def test_what_is_no_case_is_refused_by_its_id(payload: bytes) -> None:
    found = read(TOPIC, payload)
    assert (found.code, found.document, found.case_id) == ("case-invalid", None, case_number(1))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"case_id":"' + b"0" * 31 + b'"}',
        f'{{"case_id":"{case_number(1)}","also":{{"case_id":"{case_number(2)}"}}}}'.encode(),
        b" " * CASE_BYTES_MAX + encode(a_case()),
    ],
)
def test_without_exactly_one_case_id_nobody_is_told(payload: bytes) -> None:
    found = read(TOPIC, payload)
    assert (found.code, found.document, found.case_id) == ("case-invalid", None, "")


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
    found = read(TOPIC, encode(a_case(**planted)))
    assert (found.code, found.document, found.identity) == ("case-identity", None, True)


def test_what_an_edge_really_says_is_not_taken_for_identity() -> None:
    ordinary = a_case(
        reasons=("gate-out-of-distribution", "certificate-other-site", "not-a-chest-radiograph"),
        gates={"grey_levels": 256.0, "aspect": 1.171875, "distance": 123456.789, "clipped_dark": 1e-9},
        findings=(Finding(id="F1", label="RADLEX:RID5350", logit=-12.123456789, probability=0.000012345678),),
        images=100_000,
    )
    assert identity_in_case(ordinary) is None
    assert read(TOPIC, encode(ordinary)).code == ""


def test_identity_in_bytes_that_are_no_case_is_found_and_ordinary_bytes_are_not() -> None:
    assert not identity_in_bytes(encode(a_case(gates={"distance": 1234.56789012345}, model=None)))
    assert not read(TOPIC, changed(model=None, unknown="field")).identity
    for planted in ({"name": "DOE^JANE"}, {"birth": "19840213"}, {"uid": "1.2.840.113619.2.5"}):
        assert read(TOPIC, changed(model=None, **planted)).identity


def test_a_code_bears_no_blank_quote_bracket_or_line() -> None:
    for letter in " \"<>{}\n\r\t\\`^;,'\x00é":
        found = read(TOPIC, changed(reasons=[f"a{letter}b"]))
        assert found.code == "case-invalid", repr(letter)


@given(st.binary(max_size=2000), st.sampled_from(["case", "taken", "roll"]))
def test_no_bytes_are_believed_by_chance(payload: bytes, kind: Any) -> None:
    found = read(topic_up(DEVICE, kind), payload)
    assert found.document is None
    assert found.code in ("case-invalid", "message-invalid")


@given(st.data())
def test_a_damaged_case_is_the_same_case_or_none(data: st.DataObject) -> None:
    """Bytes cut, doubled, changed anywhere: read never raises, and what it believes is canonical and says so."""
    payload = bytearray(encode(a_case()))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    found = read(TOPIC, bytes(payload))
    if found.document is not None:
        assert isinstance(found.document, Case)
        assert encode(found.document) == bytes(payload)
    else:
        assert found.code in ("case-invalid", "case-identity")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(sorted(Case.model_fields)), json_values)
def test_any_value_in_any_field_is_refused_or_legal(field: str, value: Any) -> None:
    found = read(TOPIC, changed(**{field: value}))
    assert found.code in ("", "case-invalid", "case-identity")
    assert (found.document is None) == bool(found.code)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "piece", ["a", "a@", "1", "1.", "20", ":1.1", '"case_id"', '"case_id" ', ":", " ", "0.0", "[", '"']
)
def test_no_text_makes_the_scan_slow(piece: str) -> None:
    """The largest packet the link takes, of the worst repetitions: quadratic time would be hours."""
    payload = (piece * 262_144)[:262_144].encode()
    for kind in ("case", "taken", "roll"):
        assert read(f"edge/1/up/{DEVICE}/{kind}", payload).document is None
