"""`central simulate` in small: a real broker, worker and balance; nothing lost or twice, and figures that add up."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.core.policy import NONE, Policy, Thin, mark_of
from bench import simulate, simulate_report
from bench.simulate import BALANCE, SPLITS, Course, Outcome, broken, courses
from bench.simulated_sites import Plan, Site, Study, sites_of
from central import simulating
from central.cli import EX_CONFIG, main

PLAN = Plan(0.5, appliances=3, pace_s=0.4, edge_s=0.2, seal_s=0.01, picture_px=24, thin=1, thin_bytes_s=20_000)
TINY = Course("small", "on", PLAN, 0.2, 0.2, scan_s=1.5, drain_s=120.0, balance=True)
NERVOUS = {**BALANCE, "wait_high_s": 0.4, "wait_low_s": 0.1, "hold_s": 0.2, "line_high_s": 600.0}


def test_a_tiny_edition_of_it(tmp_path: Path) -> None:
    """A centre of one case a second is offered four: pictures are taken away, and every case gets its verdict, once."""
    outcome = simulate.run(TINY, lambda _: None, NERVOUS)
    told = simulate_report.figures(outcome)
    assert broken(outcome) == []
    assert (told["open_at_end"], told["sent"]) == (0, told["escalated"])
    assert told["escalated"] >= 3
    assert all(each.told_times == 1 for each in outcome.studies)
    assert [each["rung"] for each in told["moves"]][:1] == [1], "the balance published a policy"
    assert told["questions"] >= told["sent"]
    assert told["a_case"]["model_s"] > 0.2
    assert told["a_case"]["kib"] * told["sent"] == pytest.approx(told["a_study"]["kib"] * told["studies"], rel=0.02)
    assert 0 < told["jain_waits"] <= 1
    paths = simulate_report.write(tmp_path, [outcome], "make central-simulate", "A machine.", NERVOUS)
    assert [path.name for path in paths] == ["simulate.html", "simulate.svg", "simulate.json"]
    assert json.loads(paths[2].read_text())["courses"][0]["studies"] == told["studies"]
    assert "balance on" in paths[1].read_text()


def outcome_of(*studies: Study, site: Site | None = None) -> Outcome:
    site = site or sites_of(PLAN)[0]
    site.studies = list(studies)
    return Outcome(TINY, list(studies), [site], 100.0, 100.0, 1.0, 2.0, len(studies))


def a_study(number: int, **changes: object) -> Study:
    return replace(Study(number, "routine", "CR", False, 90.0, "a" * 32, 6, 91.0, 92.0, 93.0, 94.0, 1), **changes)  # type: ignore[arg-type]


def test_a_verdict_told_twice_or_of_nothing_is_seen() -> None:
    assert broken(outcome_of(a_study(1), a_study(2))) == []
    assert broken(outcome_of(a_study(1, told_times=2))) == [f"told twice: {'a' * 32}"]
    assert broken(outcome_of(a_study(1, sent_at=None))) == [f"told unsent: {'a' * 32}"]


def test_a_case_without_a_verdict_counts_as_a_lower_bound() -> None:
    told = simulate_report.figures(outcome_of(a_study(1), a_study(2, told_at=None)))
    assert (told["open_at_end"], told["sent_s"]["99"]) == (1, 10.0)


def test_what_a_smaller_share_keeps_a_larger_one_keeps_too() -> None:
    kept: list[set[int]] = []
    for keeps in SPLITS:
        site = sites_of(replace(PLAN, keeps=keeps))[0]
        site.begin(0.0)
        for number in range(200):
            site._scan(float(number))
        kept.append({each.number for each in site.studies if each.kept})
    assert all(one <= other for one, other in itertools.pairwise(kept))
    assert [abs(len(each) / 200 - keeps) < 0.08 for each, keeps in zip(kept, SPLITS, strict=True)] == [True] * 4


class Line(Site):
    """A site whose messages go nowhere."""

    def send(self, messages: list[tuple[str, bytes]], case_id: str) -> None:
        self.sent_bytes += sum(len(payload) for _, payload in messages)


def sent(policy: Policy, *, place: int = 0, rounds: int = 40) -> list[Study]:
    plain = sites_of(replace(PLAN, keeps=0.0, edge_s=0.0, picture_px=96))[place]
    site = Line(name=plain.name, place=place, plan=plain.plan, pictures=plain.pictures)
    site.begin(0.0)
    site.status_due = 1e9
    for number in range(rounds):
        site.turn(number * 0.05, policy, scanning=True)
    return [each for each in site.studies if each.sent_at is not None]


def test_it_does_as_the_policy_says() -> None:
    assert {each.pictures for each in sent(NONE, place=1)} == {6}
    assert {each.pictures for each in sent(Policy(number=1, key_images=2), place=1)} == {2}
    bare = sent(Policy(number=1, pictures_from="critical"), place=1)
    assert {each.pictures > 0 for each in bare} <= {each.urgency == "critical" for each in bare}
    thin = Policy(number=1, thin=Thin(lines=(mark_of("site-000"),), pictures_from="critical"))
    assert {each.pictures for each in sent(thin, place=0) if each.urgency != "critical"} == {0}
    assert {each.pictures for each in sent(thin, place=1)} == {6}


def test_a_thin_line_holds_back_what_it_cannot_carry() -> None:
    assert len(sent(NONE, place=0)) < len(sent(NONE, place=1))


def test_every_course_stands_for_something_and_the_balance_is_tried_on_and_off() -> None:
    made = courses(30.0, 20, ["splits", "small", "thin"])
    assert [each.plan.keeps for each in made if each.name == "splits"] == list(SPLITS)
    assert [(each.name, each.balance) for each in made[4:]] == [
        ("small", False),
        ("small", True),
        ("thin", False),
        ("thin", True),
    ]
    assert sum(each.scan_s + each.drain_s for each in made) < 500


def test_where_the_source_tree_is_not_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulating, "SOURCE", tmp_path)
    assert main(["simulate", "--only", "thin"]) == EX_CONFIG
    assert "simulate-source" in capsys.readouterr().err


def test_the_verb_becomes_the_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(simulating.os, "execve", lambda _path, command, _around: given.append(command[1:]))
    main(["simulate", "--only", "thin", "--seconds", "5"])
    assert given == [["-m", "bench.simulate", "--only", "thin", "--seconds", "5"]]


def test_a_line_of_progress_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    say = simulate.progress()
    for number in range(5):
        say(f"thin on: {number} s")
    assert capsys.readouterr().err == "thin on: 0 s\n", "where nobody looks, one line a course and every ten seconds"
