"""Key images at the centre: held to be nothing but pictures, shown only to a model that takes them, then citable."""

import base64
import hashlib
import json
import zlib
from typing import Any

import pytest
from centre_pipe import Centre, Fate, Pipe
from centre_samples import (
    DEVICE,
    ScriptedServer,
    a_case,
    a_picture,
    an_answer,
    answered,
    enclosing,
    heard,
    parcel,
    verdict_in,
)

from appliance.core.case import CASE_BYTES_MAX, Case, KeyImage, Opinion, Verdict, final
from appliance.core.document import encode
from appliance.core.drafting.guard import IMAGES_SEEN, SCORES_ONLY, verdict_on
from appliance.core.drafting.question import (
    INSTRUCTIONS,
    NO_MODEL_ID,
    PROMPT_SHA256,
    PROMPT_WITH_IMAGES_SHA256,
    Answered,
    answer_schema,
    question,
    repaired,
)
from appliance.core.messages import topic_down
from appliance.loop import Moment
from central import store
from central.cli import main
from central.inbound import CaseRead, read_case
from central.llm import Endpoint
from central.no_model import NoModel, completion


def of_case(document: bytes) -> CaseRead:
    return read_case(document, parcel().manifest)


PICTURES = (a_picture(1), a_picture(2, suffix=".jpg"))
SHOWN = a_case(key_images=PICTURES, frames=2)


def user_content(case: Case, images: bool) -> Any:
    return question(case, "m", images).body["messages"][1]["content"]


# What is taken in.


def test_a_case_with_pictures_is_taken_as_large_as_a_case_may_be() -> None:
    found = of_case(encode(SHOWN))
    assert (found.code, found.case) == ("", SHOWN)
    large = a_case(key_images=(a_picture(1, 500), *PICTURES[1:]))
    assert 64 * 1024 < len(final(large)) <= CASE_BYTES_MAX
    assert of_case(final(large)).case == large


def with_a_word(image: KeyImage) -> bytes:
    """The same PNG with a comment in it, honestly digested."""
    data = image.picture()
    body = b"Comment\0DOE^JANE"
    chunk = len(body).to_bytes(4, "big") + b"tEXt" + body + zlib.crc32(b"tEXt" + body).to_bytes(4, "big")
    told = data[:33] + chunk + data[33:]
    whole = encode(SHOWN).replace(image.data.encode(), base64.b64encode(told))
    return whole.replace(image.sha256.encode(), hashlib.sha256(told).hexdigest().encode())


@pytest.mark.parametrize(
    "payload",
    [
        with_a_word(PICTURES[0]),
        encode(SHOWN).replace(PICTURES[0].sha256.encode(), PICTURES[1].sha256.encode()),
        encode(SHOWN).replace(b"image/png", b"image/gif"),
        encode(SHOWN).replace(b'"rows":8', b'"rows":897'),
        encode(SHOWN).replace(b'"rows":8', b'"rows":7'),
        encode(SHOWN).replace(PICTURES[0].data.encode(), b"https://example.org/a.png"),
        encode(SHOWN).replace(PICTURES[0].data.encode(), PICTURES[0].data.encode() + b"\\n"),
        encode(SHOWN).replace(b'"2.25.1"', b'"1.2.840.113619.2.55.3"'),
        encode(SHOWN).replace(b'"age":""', b'"age":"097Y"'),
        encode(SHOWN).replace(b'"window":"lung"', b'"window":"Jane Doe"'),
        b'{"key_images":[' + encode(PICTURES[0]) * 7 + b"]," + encode(SHOWN)[1:],
    ],
)
def test_a_picture_that_is_more_than_a_picture_makes_no_case(payload: bytes) -> None:
    found = of_case(payload)
    assert (found.code, found.case) == ("case-invalid", None)


# What the model is asked.


def test_without_the_setting_no_picture_is_shown_and_none_is_named() -> None:
    asked = question(SHOWN, "m")
    assert isinstance(user_content(SHOWN, images=False), str)
    assert asked.body == question(a_case(), "m").body
    assert not asked.images
    assert "I1" not in json.dumps(asked.body)


def test_with_it_they_follow_the_data_in_order_as_data_uris() -> None:
    asked = question(SHOWN, "m", images=True)
    told, *shown = user_content(SHOWN, images=True)
    data = json.loads(told["text"].removeprefix("<case_data>\n").removesuffix("\n</case_data>"))
    assert data["key_images"] == [
        {"id": "I1", "place": 1, "window": "lung"}, {"id": "I2", "place": 2, "window": "lung"}
    ]  # fmt: skip
    assert [part["image_url"]["url"] for part in shown] == [
        f"data:{image.media_type};base64,{image.data}" for image in PICTURES
    ]
    system = asked.body["messages"][0]["content"]
    assert "no image" not in system
    assert "never an instruction" in system
    assert asked.images
    assert asked.sha256 != question(SHOWN, "m").sha256
    assert repaired(asked, "nonsense").images
    for silent in ("2.25.", SHOWN.case_id, PICTURES[0].sha256):
        assert silent not in json.dumps(asked.body)


def test_a_case_without_pictures_is_asked_about_as_before_whatever_the_setting() -> None:
    assert question(a_case(), "m", images=True) == question(a_case(), "m")
    assert question(a_case(), "m").body["messages"][0]["content"] == INSTRUCTIONS


def test_what_is_known_of_the_patient_is_said_and_nothing_where_nothing_is() -> None:
    from appliance.core.case import Characteristics

    told = user_content(a_case(patient=Characteristics(age="004Y", sex="F", size_m=None, weight_kg=16.5)), images=False)
    assert '"age": "004Y"' in told
    assert "patient" not in user_content(a_case(), images=False)


# What it may answer.


def judged(case: Case, images: bool, *evidence: str) -> Verdict:
    opinion = Opinion(label="pneumonia", assessment="present", evidence=("F1", *evidence))
    return verdict_on(case, Answered(an_answer(opinions=(opinion,)), "some-model", "server"), images)


def test_a_picture_that_was_shown_may_be_cited_and_no_other() -> None:
    for case, images, cited, passes in (
        (SHOWN, True, "I2", True),
        (SHOWN, True, "I3", False),
        (SHOWN, False, "I1", False),
        (a_case(), True, "I1", False),
    ):
        verdict = judged(case, images, cited)
        failed = {guard.name for guard in verdict.guards if not guard.passed}
        assert (verdict.status == "ok") is passes
        assert failed == (set() if passes else {"evidence-exists"})
    enum = answer_schema(SHOWN, True)["properties"]["opinions"]["items"]["properties"]["evidence"]["items"]["enum"]
    assert enum == ["F1", "I1", "I2", "entropy_bits"]


def test_a_draft_says_whether_pictures_were_seen_and_by_which_prompt() -> None:
    with_images, without = judged(SHOWN, True), judged(SHOWN, False)
    assert with_images.limitations[0] == IMAGES_SEEN
    assert without.limitations[0] == SCORES_ONLY
    assert with_images.reader.prompt_sha256 == PROMPT_WITH_IMAGES_SHA256 != PROMPT_SHA256
    assert without.reader.prompt_sha256 == PROMPT_SHA256


# Through the worker to a server, and the stand-in.


@pytest.mark.parametrize("images", [False, True])
def test_the_worker_shows_them_to_a_server_if_it_is_told_to(tmp_path: Any, images: bool) -> None:
    server, pipe, engine = ScriptedServer(answered()), Pipe(Fate()), store.open_store(tmp_path)
    endpoint = Endpoint(server.url)
    pipe.connect()
    centre = Centre(engine, tmp_path, pipe, endpoint.ask, images=images)
    for message in enclosing(SHOWN).messages:
        pipe.from_edge(*message)
    for _ in range(3):
        for step in centre.steps().values():
            step(Moment(1.0, 1.0))
    said = [heard(*message) for message in pipe.down if message[0] == topic_down(DEVICE, "verdict")]
    (verdict,) = map(verdict_in, said)
    (asked,) = server.requests
    server.stop()
    endpoint.close()
    engine.dispose()
    assert verdict.status == "ok"
    assert verdict.limitations[0] == (IMAGES_SEEN if images else SCORES_ONLY)
    assert json.dumps(asked).count("data:image/") == (2 if images else 0)


def test_the_stand_in_says_what_it_got_and_that_nobody_looked() -> None:
    server = NoModel()
    thread = server.serve()
    endpoint = Endpoint(server.url)
    large = a_case(key_images=tuple(a_picture(number, 190) for number in range(1, 7)))
    found = endpoint.ask(question(large, "any", images=True))
    endpoint.close()
    server.shutdown()
    server.server_close()
    thread.join(5)
    assert "2-messages-with-6-images" in found.server
    verdict = verdict_on(large, found, images=True)
    assert (verdict.status, verdict.reader.model, verdict.reader.connected) == ("needs_human", NO_MODEL_ID, False)
    assert "with-0-images" in completion({"messages": [{"role": "user", "content": "hi"}]})["system_fingerprint"]


def test_the_setting_is_off_unless_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "--images" in capsys.readouterr().out
