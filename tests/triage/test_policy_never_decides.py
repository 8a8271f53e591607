"""No policy whatsoever makes a hard study routine or raises a lane: drawn policies through the real triage."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.case import KEY_IMAGES_MAX
from appliance.core.document import URGENCIES, decode, encode
from appliance.core.policy import NONE, Policy, Thin, here, mark_of, pictures_of, written
from appliance.core.updates import Offer, Terms
from appliance.errors import Quarantined
from appliance.triage import judge as judging
from appliance.triage.looking import Court
from appliance.world.ledger import updates
from tests.core.test_decide import MODEL, a_certificate
from tests.triage.conftest import Bench
from tests.triage.test_glance import FILM_UID
from tests.triage.test_headers import DATA
from tests.triage.test_shadow import Voices

DEVICE = "site-1"
SOP_UID = "2.25.68591611754407519088461992231866808290"  # of the same film
OF_THE_FILM = frozenset({"id", "study_number", "case_id", "decided_at", "timings_ms"})
LOGITS = {"cleared": -9.0, "escalated": 0.0, "flagged": 9.0}
PICTURES, URGENCY = st.integers(0, KEY_IMAGES_MAX), st.sampled_from(URGENCIES)
SERIES, SHARE = st.sampled_from(("on-request", "never")), st.floats(0, 1)
LINES = st.lists(st.sampled_from([mark_of(DEVICE), mark_of("another")]), max_size=2).map(tuple)
POLICIES = st.builds(
    Policy,
    number=st.integers(1, 2**31),
    first=st.lists(st.sampled_from(("CR", "CT", "MR")), max_size=3).map(tuple),
    key_images=PICTURES,
    pictures_from=URGENCY,
    full_series=SERIES,
    drafts=SHARE,
    shadows=SHARE,
    thin=st.none() | st.builds(Thin, lines=LINES, key_images=PICTURES, pictures_from=URGENCY, full_series=SERIES),
)
# The ends of every field, and all of them at once.
EXTREMES = (
    Policy(number=2**31, key_images=0, pictures_from="critical", full_series="never", drafts=0.0, shadows=0.0),
    Policy(number=1, first=("CR",), thin=Thin(lines=(mark_of(DEVICE),), key_images=0, pictures_from="critical")),
)


def hold(bench: Bench, policy: Policy) -> None:
    offer = Offer("policy/1.json", "policy", "a" * 64, 10, Terms(kind="policy", title="policy-1", ring="all"))
    with bench.triage.engine.begin() as c:
        updates.end(c, offer, "held", bench.now, body=written(policy).decode())


class Line:
    """A triage whose model says one logit of every film, and films that differ in their names alone."""

    def __init__(self, root: Path, logit: float) -> None:
        self.bench = Bench(root, {"site": {"device_id": DEVICE}})
        certificate = a_certificate(created=date(1970, 1, 1), expires=date(1971, 1, 1))
        model = dataclasses.replace(MODEL, certificates=(certificate,))
        self.bench.start(Court((model,), Voices(drawn_1_2_3=logit), "harbour"))
        self.films = 0

    def outcome(self, policy: Policy | None) -> dict[str, Any]:
        """What becomes of one more film under a policy: its state and all that was decided."""
        self.films += 1
        data, names = DATA, (FILM_UID, SOP_UID)
        for name in names:
            data = data.replace(name.encode(), f"{name[:-2]}{self.films + 10}".encode())
        if policy is not None:
            hold(self.bench, policy)
        self.bench.put(data)
        self.bench.step("admit", "assemble")
        self.bench.step("assemble", "judge", passed=9)
        uid = f"{FILM_UID[:-2]}{self.films + 10}"
        decided = {name: value for name, value in self.bench.result(uid)._mapping.items() if name not in OF_THE_FILM}
        self.bench.step("seal", "shed", "mend", passed=20)
        return {**decided, "state": self.bench.study(uid).state}


def moved(root: Path, policies: Sequence[Policy]) -> list[tuple[str, Policy]]:
    """(lane, policy) wherever a policy made a decision another one."""
    found = []
    for lane, logit in LOGITS.items():
        line = Line(root / lane, logit)
        plain = line.outcome(None)
        assert (plain["lane"], plain["state"]) == (lane, "escalated" if lane == "escalated" else "routine")
        found += [(lane, policy) for policy in policies if line.outcome(policy) != plain]
        line.bench.triage.close()
    return found


def drawn(count: int) -> list[Policy]:
    found: list[Policy] = []

    @settings(max_examples=count, database=None, derandomize=True, deadline=None)
    @given(POLICIES)
    def draw(policy: Policy) -> None:
        found.append(policy)

    draw()
    return found


def test_no_policy_moves_a_decision(tmp_path: Path) -> None:
    assert moved(tmp_path, [*EXTREMES, *drawn(6)]) == []


def test_one_that_did_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: the judge asks the policy in force, and clears where it wants no pictures."""
    plain: Callable[..., Any] = judging.judge

    def listening(court: Court, *told: Any, **named: Any) -> Any:
        found = plain(court, *told, **named)
        with benches[-1].triage.engine.connect() as c:
            if updates.policy(c).key_images:
                return found
        return dataclasses.replace(found, decision=dataclasses.replace(found.decision, lane="cleared"))

    benches: list[Bench] = []
    begin = Bench.start
    monkeypatch.setattr(Bench, "start", lambda self, *told: (benches.append(self), begin(self, *told))[1])
    monkeypatch.setattr(judging, "judge", listening)
    assert {lane for lane, _ in moved(tmp_path, EXTREMES[:1])} >= {"escalated"}


@settings(max_examples=300, database=None, derandomize=True, deadline=None)
@given(POLICIES)
def test_whatever_it_says_it_only_takes_away(policy: Policy) -> None:
    for device in (DEVICE, "another", "a-third"):
        told = here(policy, device)
        for urgency in URGENCIES:
            assert pictures_of(told, urgency) <= pictures_of(policy, urgency) <= pictures_of(NONE, urgency)
        assert told.full_series == "never" or policy.full_series == "on-request"
        assert (told.first, told.drafts, told.shadows, told.number) == (
            policy.first,
            policy.drafts,
            policy.shadows,
            policy.number,
        )
    assert pictures_of(policy, "critical") >= pictures_of(policy, "urgent") >= pictures_of(policy, "routine")
    assert here(decode(Policy, written(policy)), DEVICE) == here(policy, DEVICE).model_copy(
        update={"schema_version": decode(Policy, written(policy)).schema_version}
    )


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)
WORDS = st.sampled_from(
    [*Policy.model_fields, "lanes", "cleared", "thresholds", "certificate", "models", "device_id", "routine"]
)


@settings(max_examples=150, database=None, derandomize=True, deadline=None)
@given(st.dictionaries(WORDS, VALUES, max_size=5))
def test_a_document_with_another_word_in_it_is_no_policy(told: dict[str, Any]) -> None:
    data = json.dumps({"schema_version": "policy/2", "number": 1, **told}).encode()
    try:
        policy = decode(Policy, data)
    except Quarantined:
        return
    assert set(told) <= set(Policy.model_fields)
    assert pictures_of(policy, "routine") <= KEY_IMAGES_MAX


def test_it_is_published_in_the_earliest_edition_that_says_it() -> None:
    """An appliance of before reads on what it can; what it cannot it refuses as newer and keeps the policy before."""
    plain = json.loads(written(Policy(number=3, key_images=2)))
    assert plain["schema_version"] == "policy/1"
    assert set(plain) == {"schema_version", "number", "first", "key_images", "full_series", "drafts", "shadows"}
    later = json.loads(written(Policy(number=3, pictures_from="urgent")))
    assert later["schema_version"] == "policy/2"
    with pytest.raises(Quarantined):
        decode(Policy, json.dumps({**later, "schema_version": "policy/1"}).encode())
    full = Policy(number=1, thin=Thin(lines=tuple(f"{n:016x}" for n in range(2000))))
    assert len(encode(full)) < 64 * 1024
