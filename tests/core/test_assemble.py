"""A study is whole by evidence, by quiet or by the cap; and two patients are never one."""

from dataclasses import replace

import pytest

from appliance.core.assemble import Completeness, completeness, conflicts
from appliance.core.performed_step import PerformedStep, State, step_of
from appliance.core.study import Instance, Patient

PATIENT = Patient("H-1", "Harbour^Anna", "20210101", "F", "A1", "20260101", "Chest")
ONE = Instance(
    "1.2", "1.2.1", "1.2.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", "a" * 64, 9, PATIENT, "CT", "CHEST",
    "", "040Y", "M", "N", 1, None, 1, 8, 8, True,
)  # fmt: skip


def series(count: int, promised: int | None = None, uid: str = "1.2.1") -> list[Instance]:
    return [
        replace(
            ONE,
            series_instance_uid=uid,
            sop_instance_uid=f"{uid}.{n}",
            sha256=f"{uid}-{n}",
            instance_number=n,
            images_in_acquisition=promised,
        )
        for n in range(1, count + 1)
    ]


def asked(instances: list[Instance], quiet_s: float, age_s: float = 0) -> Completeness:
    return completeness(
        instances,
        quiet_s=quiet_s,
        age_s=max(age_s, quiet_s),
        quiet_period_s=30,
        quiet_period_with_evidence_s=5,
        hard_cap_s=600,
    )


def test_a_promise_kept_shortens_the_wait() -> None:
    assert not asked(series(3, promised=3), 4).complete
    found = asked(series(3, promised=3), 5)
    assert found.complete
    assert found.reason.code == "complete-evidence"
    assert "3 of 3 images" in found.reason.text


def test_a_promise_not_kept_waits_for_quiet() -> None:
    assert not asked(series(2, promised=3), 29).complete
    found = asked(series(2, promised=3), 30)
    assert (found.complete, found.reason.code) == (True, "complete-quiet")


def test_a_gap_is_no_evidence() -> None:
    whole, gap = series(4), [each for each in series(4) if each.instance_number != 2]
    assert asked(whole, 6).complete
    assert not asked(gap, 6).complete


def test_one_series_without_evidence_holds_the_study_back() -> None:
    assert not asked(series(3) + series(1, uid="1.2.2"), 10).complete


def test_a_single_image_proves_nothing_of_a_second_one() -> None:
    assert not asked(series(1), 10).complete
    assert asked(series(1), 30).complete


def test_a_study_that_never_falls_quiet_meets_the_cap() -> None:
    assert not asked(series(1), 1, age_s=599).complete
    found = asked(series(1), 1, age_s=600)
    assert (found.complete, found.reason.code) == (True, "complete-cap")


def test_nothing_is_complete_without_time() -> None:
    assert not asked(series(3, promised=3), 0).complete


def test_two_patients_in_one_study_conflict() -> None:
    first, second = series(2)
    other = replace(second, patient=replace(PATIENT, patient_id="H-2"))
    found = conflicts([first, other])
    assert found is not None
    assert found.code == "study-patient-mismatch"


@pytest.mark.parametrize(
    ("changes", "differ"),
    [
        ({"patient_name": "HARBOUR^ANNA^^"}, False),
        ({"patient_name": "Harbour^Anna=x=y"}, False),
        ({"patient_name": "Harbour^Berta"}, False),
        ({"patient_birth_date": "20210102"}, False),
        ({"patient_name": "Harbour^Berta", "patient_birth_date": "20210102"}, True),
        ({"patient_id": " H-1 "}, False),
        ({"patient_sex": "M"}, False),
    ],
)
def test_a_correction_is_not_another_patient(changes: dict[str, str], differ: bool) -> None:
    first, second = series(2)
    assert (conflicts([first, replace(second, patient=replace(PATIENT, **changes))]) is not None) == differ


def test_two_files_under_one_uid_conflict() -> None:
    first = series(1)[0]
    assert conflicts([first, first]) is None
    found = conflicts([first, replace(first, sha256="other")])
    assert found is not None
    assert found.code == "study-conflicting-instance"


def one_go(instances: list[Instance], *bursts: str) -> Completeness:
    return completeness(
        instances,
        bursts=set(bursts),
        quiet_s=6,
        age_s=6,
        quiet_period_s=30,
        quiet_period_with_evidence_s=5,
        hard_cap_s=600,
    )


def unnumbered(count: int) -> list[Instance]:
    return [replace(each, instance_number=None) for each in series(count)]


def test_a_study_that_came_in_one_go_and_was_released_waits_less() -> None:
    assert not one_go(unnumbered(4)).complete
    found = one_go(unnumbered(4), "a")
    assert (found.complete, found.reason.code) == (True, "complete-evidence")
    assert "released" in found.reason.text
    two_films = [*series(1, uid="1.2.1"), *series(1, uid="1.2.2")]
    assert not one_go(two_films, "").complete
    assert one_go(two_films, "a").complete


@pytest.mark.parametrize(
    "instances",
    [
        series(1),  # one object an association looks the same, and the next may come a minute later
        series(3, promised=4),
        [*series(3, promised=4), *series(2, uid="1.2.2")],
        [each for each in series(4) if each.instance_number != 2],
    ],
)
def test_a_release_is_no_evidence_against_a_promise_a_gap_or_of_a_single_object(instances: list[Instance]) -> None:
    assert not one_go(instances, "a").complete


def test_a_release_is_no_evidence_when_some_came_otherwise() -> None:
    assert not one_go(unnumbered(4), "a", "").complete
    assert not one_go(unnumbered(4), "a", "b").complete


def step(state: State, *instances: Instance, missing: tuple[tuple[str, str], ...] = ()) -> PerformedStep:
    return step_of(state, [*((each.series_instance_uid, each.sop_instance_uid) for each in instances), *missing])


def with_steps(instances: list[Instance], *steps: PerformedStep, quiet_s: float = 6) -> Completeness:
    return completeness(
        instances,
        steps=steps,
        quiet_s=quiet_s,
        age_s=quiet_s,
        quiet_period_s=30,
        quiet_period_with_evidence_s=5,
        hard_cap_s=600,
    )


def test_completed_steps_whose_images_are_all_here_shorten_the_wait() -> None:
    films = [*series(1, uid="1.2.1"), *series(1, uid="1.2.2")]
    assert not with_steps(films).complete
    found = with_steps(films, step("COMPLETED", *films))
    assert (found.complete, found.reason.code) == (True, "complete-evidence")
    assert found.reason.text == "2 objects of completed procedure steps; quiet for 6.0 s"
    assert not with_steps(films, step("COMPLETED", *films), quiet_s=4).complete
    assert with_steps(films, step("COMPLETED", films[0]), step("COMPLETED", films[1])).complete
    assert with_steps(series(1), step("COMPLETED", *series(1))).complete, "one film that is told to be all there is"


def test_a_step_under_way_or_unclear_lets_nothing_end_early() -> None:
    whole = series(3, promised=3)
    assert with_steps(whole).complete
    for state in ("IN PROGRESS", "UNCLEAR"):
        assert not with_steps(whole, step(state)).complete  # type: ignore[arg-type]
        assert not with_steps(whole, step("COMPLETED", *whole), step(state)).complete  # type: ignore[arg-type]
    found = with_steps(whole, step("IN PROGRESS"), quiet_s=30)
    assert (found.complete, found.reason.code) == (True, "complete-quiet")
    assert found.reason.text.endswith("; a procedure step of the modality is not known to be over")


def test_an_image_that_a_step_names_and_that_is_not_here_lets_nothing_end_early() -> None:
    whole = series(3, promised=3)
    lacks = step("COMPLETED", *whole, missing=(("1.2.1", "1.2.1.9"),))
    assert not with_steps(whole, lacks).complete
    assert with_steps(whole, lacks, quiet_s=30).reason.text.endswith("; 1 object of a procedure step is missing")
    broken_off = step("DISCONTINUED", missing=(("1.2.1", "1.2.1.8"), ("1.2.1", "1.2.1.9")))
    assert not with_steps(whole, step("COMPLETED", *whole), broken_off).complete
    other_series = step("COMPLETED", *whole, missing=(("1.2.5", ""),))
    assert with_steps(whole, other_series, quiet_s=30).reason.text.endswith("; a series of a procedure step is missing")


@pytest.mark.parametrize(
    "instances",
    [
        series(3, promised=4),
        [*series(3, promised=4), *series(2, uid="1.2.2")],
        [each for each in series(4) if each.instance_number != 2],
    ],
)
def test_a_completed_step_is_no_evidence_against_a_promise_or_a_gap(instances: list[Instance]) -> None:
    assert not with_steps(instances, step("COMPLETED", *instances)).complete


def test_a_completed_step_says_nothing_of_what_it_does_not_name() -> None:
    films = [*series(1, uid="1.2.1"), *series(1, uid="1.2.2")]
    assert not with_steps(films, step("COMPLETED", films[0])).complete
    assert not with_steps(films, step("COMPLETED")).complete


def test_a_step_that_was_broken_off_speaks_only_beside_one_that_was_completed() -> None:
    first, second = films = [*series(1, uid="1.2.1"), *series(1, uid="1.2.2")]
    assert not with_steps(films, step("DISCONTINUED", *films)).complete
    assert with_steps(films, step("DISCONTINUED", first), step("COMPLETED", second)).complete
    assert with_steps(series(3, promised=3), step("DISCONTINUED")).complete, "it speaks against nothing"
