"""Released versions beside today's: what their programs made is read today, what is made today is read by their code.

05a8df0 speaks status/1; 2f38db2 speaks status/2, policy/1 and correction/1. Nothing here was written by hand: see
make.py. What an older side cannot read is part of it, and each such case is named.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.config import Config
from appliance.core.case import Verdict, decode_case
from appliance.core.correction import decode_correction
from appliance.core.document import Document, decode, encode
from appliance.core.enclosure import enclosed
from appliance.core.letter import opened
from appliance.core.messages import DOWN_DOCUMENTS, Delivery, Filed, Receipt, Roll, Status, Taken, topic_down, topic_up
from appliance.core.policy import Policy, Thin, pictures_of
from appliance.core.policy import written as published
from appliance.core.transfer import Manifest, part_message
from appliance.loop import Moment
from appliance.triage.post import Post
from central.inbound import Keyring, read, read_case
from tests.correspondents import CENTRE, CENTRE_KEYS, DEVICE, ENROLLED, SENDER, TRIAGE, UPLINK
from tests.editions import then
from tests.editions.then import NAMES, document, line, text, transfer, written

ROOT = Path(__file__).parents[2]
KEYRING = Keyring((CENTRE,), lambda name: ENROLLED if name == DEVICE else None)
FIRST, SECOND = NAMES
MODEL_SHA256 = "e92cf62977e0afcb431966c08e46c3650041a118b5347a945a334e8d451380be"


def edition(data: bytes) -> str:
    return str(json.loads(data)["schema_version"])


def test_the_recordings_are_of_the_editions_that_the_page_names() -> None:
    kinds = ("case", "verdict", "manifest", "status", "policy", "correction")
    held = {name: [edition(document(name, kind)) for kind in kinds if there(name, kind)] for name in NAMES}
    assert held[FIRST] == ["case/3", "verdict/1", "manifest/1", "status/1"]
    assert held[SECOND] == ["case/3", "verdict/1", "manifest/1", "status/2", "policy/1", "correction/1"]
    page = (ROOT / "docs" / "wire-protocol.md").read_text()
    assert all(f"**`{name}`** speaks" in page and f"`{each}`" in page for name in NAMES for each in held[name])


def there(name: str, kind: str) -> bool:
    return (then.HERE / name / f"{kind}.json").exists()


# Made then, read today.


@pytest.mark.parametrize("name", NAMES)
def test_a_case_of_then_means_today_what_it_meant(name: str) -> None:
    case = decode_case(document(name, "case"))
    assert (case.modality, case.body_part, case.view, case.images, case.urgency) == ("CR", "CHEST", "AP", 1, "routine")
    assert case.model is not None
    assert f"{case.model.name}/{case.model.version}" == "cxr-paediatric-pneumonia/2.0.0"
    assert case.model.sha256 == MODEL_SHA256
    package = ROOT / "models" / "cxr-paediatric-pneumonia" / "2.0.0" / "certificates" / "harbour-exit-2.json"
    assert case.model.certificate == json.loads(package.read_bytes())["digest"]
    (finding,) = case.findings
    assert (finding.id, finding.label, round(finding.logit, 3), finding.probability) == (
        "F1",
        "pneumonia",
        -0.563,
        None,
    )
    assert case.reasons == ("gate-turned", "gate-out-of-distribution", "gate-exposure")
    assert (case.would_be, case.patient.age, case.patient.sex) == ("escalated", "003Y", "F")
    (image,) = case.key_images
    assert (image.rows, image.columns, image.media_type, case.key_images_shed) == (160, 160, "image/png", 0)
    assert hashlib.sha256(image.picture()).hexdigest() == image.sha256
    assert case.receipt is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_verdict_of_then_is_opened_by_triage_today(name: str) -> None:
    delivery = decode(Delivery, document(name, "delivery"))
    found = Post(Config(), lambda: (TRIAGE, CENTRE_KEYS)).verdict(
        delivery.case_id, delivery.rev, delivery.letter, Moment(0.0, 0.0)
    )
    assert found == decode(Verdict, document(name, "verdict"))
    (opinion,) = found.opinions
    assert (opinion.label, opinion.assessment, opinion.evidence) == ("pneumonia", "uncertain", ("F1",))
    assert (found.case_id, found.status, found.urgency) == (decode_case(document(name, "case")).case_id, "ok", "urgent")
    assert found.impression.startswith("The assessment of pneumonia is uncertain.")
    assert (found.reader.model, found.reader.connected) == ("reader-one", True)


def test_a_status_of_the_first_edition_means_what_it_says_and_nothing_more() -> None:
    status = decode(Status, document(FIRST, "status"))
    assert (status.waiting.routine, status.oldest_s, status.product) == (1, 60, "edge-diagnostic-appliance/0.1.0")
    assert (status.line_ends, status.bulletin) == (None, None), "not said"
    assert not {"line_ends", "bulletin"} & json.loads(document(FIRST, "status")).keys(), (
        "the old code wrote no such key"
    )


def test_a_status_of_the_second_edition_brings_its_bulletin() -> None:
    status = decode(Status, document(SECOND, "status"))
    assert status.bulletin is not None
    assert (status.bulletin.day.undecided, status.bulletin.policy, status.bulletin.updates) == (1, 0, None)
    running = {each.title: each for each in status.bulletin.models}["cxr-paediatric-pneumonia/2.0.0"]
    assert (running.sha256, running.part, len(running.certificates)) == (MODEL_SHA256, "deciding", 2)


def test_a_policy_of_the_first_edition_takes_away_what_it_took_away() -> None:
    policy = decode(Policy, document(SECOND, "policy"))
    assert (policy.number, policy.first, policy.full_series) == (7, ("CT",), "never")
    assert (policy.drafts, policy.shadows) == (0.5, 0.1)
    assert [pictures_of(policy, urgency) for urgency in ("routine", "urgent", "critical")] == [2, 2, 2]
    assert policy.thin is None


def test_a_correction_of_then_is_a_label_today() -> None:
    said = decode_correction(document(SECOND, "correction"))
    assert (said.decision, said.reason, said.lane, said.saw_ai) == ("disagree", "missed-finding", "escalated", True)
    (finding,) = said.findings
    assert (finding.label.scheme, finding.label.code, finding.said) == ("SCT", "233604007", "right")
    assert finding.scorer is not None
    assert (finding.scorer.graphs_sha256, finding.scorer.exit) == (MODEL_SHA256, 2)
    assert said.case_id == decode_case(document(SECOND, "case")).case_id


@pytest.mark.parametrize("name", NAMES)
def test_every_letter_of_then_opens_today(name: str) -> None:
    """At the centre what went up, at uplink what came down; each says what was written down beside it."""
    heard = dict[str, Any]()
    for topic, payload in line(then.HERE / name):
        kind = topic.rsplit("/", 1)[1]
        if "/up/" in topic:
            found = read(topic, payload, KEYRING)
            assert (found.device_id, found.kind, found.code) == (DEVICE, kind, "")
            heard[kind] = found.said
        else:
            assert topic == topic_down(DEVICE, kind)  # type: ignore[arg-type]
            said = opened(payload, place=topic, senders=(CENTRE.public,), recipients=(UPLINK,))
            heard["delivery" if kind == "verdict" else kind] = decode(DOWN_DOCUMENTS[kind], said)
    part = heard.pop("part")
    assert set(heard) == {"roll", "manifest", "status", "receipt", "delivery", "taken"} | (
        {"correction", "filed"} if name == SECOND else set()
    )
    for kind, said in heard.items():
        assert said == decode(type(said), document(name, kind)), kind
    assert heard["receipt"].transfer_id == heard["manifest"].transfer_id == part.transfer_id


# Made today, read then.


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What today's programs say: the same play, recorded on this very tree."""
    out = tmp_path_factory.mktemp("today")
    words = [sys.executable, "-P", str(then.HERE / "record.py"), str(out)]
    told = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, env=told, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return out


# Kinds of messages that an edge or a centre of then does not read from today's other side, but puts aside.
UNREAD = {FIRST: {"status", "correction", "filed"}, SECOND: set[str]()}


def test_what_is_said_today_is_read_by_the_code_of_then_or_refused_by_name(today: Path) -> None:
    messages = line(today)
    kinds = [topic.rsplit("/", 1)[1] for topic, _ in messages]
    assert {"manifest", "part", "status", "taken", "receipt", "verdict", "correction", "filed"} <= set(kinds)
    for name in NAMES:
        asked = [{"topic": topic, "payload": text(payload)} for topic, payload in messages]
        found = then.read(name, [*asked, transfer(messages), {"verdict": text((today / "delivery.json").read_bytes())}])
        *told, (case_code, case), (verdict_code, verdict) = found
        for kind, (code, said) in zip(kinds, told, strict=True):
            if kind in UNREAD[name]:
                assert (code, said) == ("message-invalid", None), (name, kind)
            elif kind == "part":
                assert code == ""
            else:
                file = today / ("delivery.json" if kind == "verdict" else f"{kind}.json")
                assert (code, said) == ("", json.loads(file.read_bytes())), (name, kind)
        assert (case_code, case) == ("", json.loads((today / "case.json").read_bytes()))
        assert (verdict_code, verdict) == ("", json.loads((today / "verdict.json").read_bytes()))


def test_a_policy_is_read_by_the_version_before_where_it_can_be_said_to_it() -> None:
    plain = Policy(number=9, first=("MR",), key_images=1, drafts=0.25)
    thin = Policy(number=9, thin=Thin(lines=("0" * 16,), key_images=0))
    urgent = Policy(number=9, pictures_from="urgent")
    found = then.read(SECOND, [written(published(each)) for each in (plain, thin, urgent)])
    expected = {**plain.model_dump(mode="json"), "schema_version": "policy/1"}
    assert found[0] == ("", {name: value for name, value in expected.items() if name not in ("pictures_from", "thin")})
    assert found[1:] == [("message-newer", None)] * 2, "refused as a whole: the policy before stays in force"
    filed = Filed(key="a" * 32, rev=1, letter_sha256="b" * 64, code="message-newer")
    assert then.read(SECOND, [written(filed)]) == [("", filed.model_dump(mode="json"))]


def test_the_first_one_refuses_a_case_that_was_asked_for_in_more_of_a_hurry_than_what_was_found() -> None:
    """One reason more to bring the centre up to date first: such a study goes to a person, with `case-refused`."""
    case = document(FIRST, "case")
    drawn = hashlib.sha256(b"a hurry").digest()
    told, manifest, data = enclosed(
        case,
        case_id=decode_case(case).case_id,
        tier=1,
        urgency="critical",
        transfer_id=drawn.hex()[:32],
        key=drawn,
        sender=SENDER,
    )
    part = (topic_up(DEVICE, "part"), part_message(told.transfer_id, 0, data))
    messages = [(topic_up(DEVICE, "manifest"), told.letter), part]
    assert manifest.parts == 1
    assert [then.read(name, [transfer(messages)])[0][0] for name in NAMES] == ["case-invalid", ""]
    assert read_case(case, manifest).code == ""


def test_a_document_of_a_later_edition_is_named_as_such_from_the_second_one_on() -> None:
    """The first one knew no editions: it says `message-invalid` of them, and keeps them aside all the same."""
    kinds: list[Document] = [
        decode_case(document(SECOND, "case")),
        decode(Verdict, document(SECOND, "verdict")),
        decode(Manifest, document(SECOND, "manifest")),
        decode(Receipt, document(SECOND, "receipt")),
        decode(Taken, document(SECOND, "taken")),
        decode(Roll, document(SECOND, "roll")),
    ]
    asked = [{"as": type(each).__name__, "data": text(later(each))} for each in kinds]
    assert then.read(FIRST, asked) == [("message-invalid", None)] * len(kinds)
    assert then.read(SECOND, asked) == [("message-newer", None)] * len(kinds)


def later(said: Document) -> bytes:
    told = json.loads(encode(said))
    stem, number = told["schema_version"].split("/")
    return json.dumps({**told, "schema_version": f"{stem}/{int(number) + 1}", "more": 1}).encode()
