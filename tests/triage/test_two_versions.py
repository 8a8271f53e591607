"""Two versions of a model, and two of this program, on one study: each result by its own name, none half believed."""

import base64
import dataclasses
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from appliance.core.case import Case, Verdict
from appliance.core.decide import Model
from appliance.core.document import decode, encode
from appliance.core.letter import sealed
from appliance.core.messages import verdict_place
from appliance.loop import FAULTS
from appliance.triage import post
from appliance.triage.looking import Court
from appliance.world import desk, ledger, sqlite, wire
from tests import correspondents
from tests.core.test_decide import FEATURES, MODEL, a_certificate
from tests.correspondents import CENTRE, DEVICE, TRIAGE
from tests.triage.conftest import Bench
from tests.triage.test_glance import FILM_UID
from tests.triage.test_headers import DATA
from tests.triage.test_triage import say, verdict


class Doubting:
    """A bench whose networks are sure of nothing: every film is hard, and the score is the version's own."""

    def run(self, title: str, exit: int, tensor: np.ndarray) -> dict[str, np.ndarray]:
        logit = {"drawn/1.2.3": 0.25, "drawn/1.3.0": -0.5}[title]
        return {"logit": np.array([logit], np.float32), "features": np.zeros((1, FEATURES), np.float32)}

    def check(self, title: str, picture: np.ndarray) -> dict[str, np.ndarray]:
        raise AssertionError("the model of this test has no check network")

    def close(self) -> None:
        pass


def a_model(version: str, graphs: str) -> Model:
    """One version with a certificate of its own, made for its very graphs."""
    files = {**MODEL.manifest.files, "model.onnx": graphs}
    manifest = MODEL.manifest.model_copy(update={"version": version, "files": files})
    model = dataclasses.replace(MODEL, manifest=manifest, certificates=())
    plan = a_certificate().plan.model_copy(
        update={"model_sha256": graphs, "preparation_digest": model.preparation_digest}
    )
    told = {"plan": plan, "plan_digest": plan.digest, "created": date(1970, 1, 1), "expires": date(1971, 1, 1)}
    return dataclasses.replace(model, certificates=(a_certificate(name=f"harbour/{version}", **told),))


FORMER, LATER = a_model("1.2.3", "1" * 64), a_model("1.3.0", "2" * 64)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.start(Court((FORMER,), Doubting(), "harbour"))
    made.put(DATA)
    made.step(passed=1)
    made.step(passed=9)
    yield made
    made.triage.close()


def case_of(house: Bench, case_id: str) -> Case:
    with house.triage.cases.connect() as c:
        return decode(Case, correspondents.documents(c, house.places.parts)[case_id, 0])


def result(house: Bench, revision: int) -> Any:
    with house.triage.engine.connect() as c:
        return ledger.result_of(c, house.study(FILM_UID).number, revision)


def refused_as_newer(house: Bench, case_id: str) -> None:
    """The centre does not understand the case: its study is a person's."""
    engine = house.link()
    with engine.begin() as c:
        wire.record_refusal(c, case_id, "message-newer")
    engine.dispose()
    house.step("refusals")
    assert (house.study(FILM_UID).state, house.study(FILM_UID).fault_code) == ("quarantined", "case-refused")


def released(house: Bench) -> None:
    """A person says that the study goes on, once both sides were brought together."""
    study = house.study(FILM_UID)
    house.places.review.mkdir(exist_ok=True)
    engine = sqlite.open_writer(house.places.review_db, desk.METADATA)
    with engine.begin() as c:
        told = {"study_number": study.number, "seq_seen": study.seq, "user": "anna", "nonce": "n", "at": house.now}
        desk.command(c, kind="release", **told)
    engine.dispose()
    house.step("obey")


def test_a_study_that_two_versions_saw_has_both_on_file_each_with_its_own_result(house: Bench) -> None:
    former = case_of(house, result(house, 1).case_id)
    refused_as_newer(house, former.case_id)
    house.start(Court((LATER,), Doubting(), "harbour"))
    released(house)
    house.step(passed=1)
    house.step(passed=9)
    assert (house.study(FILM_UID).state, house.study(FILM_UID).revision) == ("escalated", 2)
    later = case_of(house, result(house, 2).case_id)
    for revision, case, model, logit in ((1, former, FORMER, 0.25), (2, later, LATER, -0.5)):
        on_file, (certificate,) = result(house, revision), model.certificates
        assert (on_file.model, on_file.certificate) == (model.manifest.title, certificate.name)
        assert on_file.scores[-1]["logit"] == logit
        assert (on_file.superseded_at is None) == (revision == 2), "kept, and marked"
        assert case.model is not None
        assert (case.revision, case.model.version) == (revision, model.manifest.version)
        assert (case.model.sha256, case.model.certificate) == (model.sha256, certificate.digest)
        assert [each.logit for each in case.findings] == [logit]
    assert former.case_id != later.case_id
    say(house, verdict(later.case_id))
    house.step("absorb")
    with house.triage.engine.connect() as c:
        (told,) = ledger.verdicts_of(c, house.study(FILM_UID).number)
    assert (told.revision, told.case_id) == (2, later.case_id)


def of_edition_2(case_id: str) -> str:
    """A verdict that a later centre gave, in a sound letter."""
    told = {**json.loads(encode(verdict(case_id))), "schema_version": "verdict/2", "withdraws": None}
    letter = sealed(
        json.dumps(told).encode(),
        place=verdict_place(DEVICE, case_id, 1),
        sender=CENTRE,
        recipient=TRIAGE.public,
    )
    return base64.b64encode(letter).decode()


class VerdictOfNextVersion(Verdict):
    """What the next version of this program understands."""

    schema_version: Literal["verdict/2", "verdict/1"] = "verdict/2"  # type: ignore[assignment]
    withdraws: str | None = None


def test_a_verdict_of_a_later_edition_leaves_the_case_open_and_is_read_after_the_upgrade(
    house: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = result(house, 1).case_id
    engine = house.link()
    with engine.begin() as c:
        assert wire.record_verdict(c, case_id, 1, of_edition_2(case_id), house.now) == "new"
    engine.dispose()
    before = FAULTS["message-newer"]
    for _ in range(2):
        house.step("absorb", passed=60)
    assert FAULTS["message-newer"] == before + 1, "said by its code, and not again at every look"
    assert house.study(FILM_UID).state == "escalated"
    assert house.cases() == {case_id: "queued"}, "open, so that its deadline names it"
    with house.triage.engine.connect() as c:
        assert list(ledger.verdicts_of(c, house.study(FILM_UID).number)) == [], "not read in part"
    monkeypatch.setattr(post, "Verdict", VerdictOfNextVersion)
    house.start()
    house.step("absorb")
    assert house.study(FILM_UID).state == "answered"
    assert house.cases() == {case_id: "closed"}
