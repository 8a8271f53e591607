"""What a policy moves: the order of sealing, pictures, drafts; and that it has no word for anything else."""

from appliance.core.case import Case
from appliance.core.document import decode, encode
from appliance.core.policy import NONE, Policy, Thin, may_draft, place, taken_away
from appliance.core.updates import Offer, Terms
from appliance.loop import Moment
from appliance.world.ledger import updates
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench


def hold(bench: Bench, policy: Policy) -> None:
    offer = Offer("policy/1.json", "policy", "a" * 64, 10, Terms(kind="policy", title="policy-1", ring="all"))
    with bench.triage.engine.begin() as c:
        updates.end(c, offer, "held", bench.now, installed="1", body=encode(policy).decode())


def test_it_has_no_word_for_anything_else():
    assert set(Policy.model_fields) == {
        *("schema_version", "number", "first", "key_images", "full_series", "drafts", "shadows"),
        *("pictures_from", "thin"),
    }
    assert set(Thin.model_fields) == {"lines", "key_images", "pictures_from", "full_series"}


def test_what_it_prefers_is_sealed_first_but_never_before_the_critical():
    policy = Policy(number=1, first=("MR", "CT"))
    waiting = [
        (0, "routine", "CR"),
        (0, "routine", "CT"),
        (0, "urgent", "MR"),
        (0, "critical", "CR"),
        (1, "routine", "MR"),
    ]
    order = sorted(waiting, key=lambda each: place(policy, attempts=each[0], urgency=each[1], modality=each[2]))
    assert order == [waiting[3], waiting[2], waiting[1], waiting[0], waiting[4]]
    assert {place(NONE, attempts=0, urgency="routine", modality=each) for each in ("CR", "MR")} == {(0, True, 0)}


def test_what_it_takes_away_is_said_in_words():
    told = Policy(number=1, key_images=1, pictures_from="urgent", full_series="never", first=("CT",), drafts=0.5)
    assert taken_away(told) == [
        "pictures of a case: 1 at most",
        "pictures only of cases that are at least urgent",
        "no whole series",
        "sealed first: CT",
        "local drafts of 50% of overdue cases",
    ]
    assert taken_away(NONE) == []


def test_drafts_are_a_share_of_the_cases():
    ids = [f"{number:032x}" for number in range(1000)]
    assert all(may_draft(NONE, each) for each in ids)
    assert not any(may_draft(Policy(number=1, drafts=0.0), each) for each in ids)
    assert 400 < sum(may_draft(Policy(number=1, drafts=0.5), each) for each in ids) < 600


def test_a_preferred_study_is_sealed_before_one_that_waits_longer(bench: Bench):
    hold(bench, Policy(number=1, first=("MR",)))
    others = [name for name in bench.steps if name != "seal"]
    for number, modality in ((1, "CR"), (2, "MR")):
        bench.put(tiny(f"{UID}.{number}", 1, f"P{number}", modality, number))
        bench.step(*others)
        bench.step(*others, passed=4.0)
    assert [bench.study(f"{UID}.{number}").state for number in (1, 2)] == ["hard", "hard"]
    assert bench.steps["seal"](Moment(bench.now, bench.now))
    assert [bench.study(f"{UID}.{number}").state for number in (1, 2)] == ["hard", "escalated"]


def test_pictures_stay_where_a_policy_takes_them_away(bench: Bench, film: bytes):
    hold(bench, Policy(number=1, key_images=0))
    bench.put(film)
    bench.step()
    bench.step(passed=4.0)
    case = decode(Case, bench.document())
    assert case.key_images == ()
    assert case.key_images_shed == 1
