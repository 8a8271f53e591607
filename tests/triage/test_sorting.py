"""Files that belong to no study, as persons order: tried again from the beginning, or set aside for good."""

from typing import Any

import pytest

from appliance.triage import judge as judging
from appliance.world import archive, desk, file_desk, ledger, sqlite
from appliance.world.ledger import stray_files
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench
from tests.triage.test_broken_beside import clearing
from tests.triage.test_glance import FILM_UID
from tests.triage.test_headers import DATA


def order(bench: Bench, sha256: str, kind: Any, nonce: str = "") -> None:
    bench.places.review.mkdir(exist_ok=True)
    sqlite.open_writer(bench.places.review_db, desk.METADATA).dispose()
    engine = sqlite.open_writer(bench.places.review_db, file_desk.METADATA)
    with engine.begin() as c:
        told = {"kind": kind, "sha256": sha256, "user": "anna", "because": "seen", "at": bench.now}
        file_desk.command(c, nonce=nonce or f"{kind}-{sha256}", **told)
    engine.dispose()


def outcomes(bench: Bench) -> list[str]:
    with bench.triage.engine.connect() as c:
        return list(c.execute(stray_files.file_commands.select()).scalars("outcome"))  # type: ignore[call-overload]


def waiting(bench: Bench) -> list[Any]:
    with bench.triage.engine.connect() as c:
        return stray_files.waiting(c, 10)


@pytest.fixture
def killer(bench: Bench, film: bytes) -> str:
    """A sound film whose reading was given up, as after a death of the process at each try."""
    digest = bench.put(film)
    with bench.triage.engine.begin() as c:
        for _ in range(bench.config.triage.attempts_max):
            ledger.count_arrivals(c, [f"{digest}.dcm"])
    bench.step("admit")
    assert [row.code for row in waiting(bench)] == ["file-attempts-spent"]
    return digest


def test_a_released_file_goes_the_whole_road(bench: Bench, killer: str) -> None:
    order(bench, killer, "release")
    bench.step("sort")
    assert waiting(bench) == []
    assert (bench.places.incoming / f"{killer}.dcm").exists()
    bench.step(passed=1)
    bench.step(passed=5)
    assert bench.study(UID).state in ("routine", "escalated")
    assert archive.instance_path(bench.places.instances, killer).exists()
    bench.step("sort")
    assert outcomes(bench) == ["moved"]


def test_a_death_between_file_and_row_loses_nothing(bench: Bench, killer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(BaseException):
        pass

    def dies(*_: object) -> None:
        raise Died

    order(bench, killer, "release")
    with monkeypatch.context() as patch:
        patch.setattr(stray_files, "forget", dies)
        with pytest.raises(Died):
            bench.step("sort")
    bench.start()
    bench.step("admit")  # before the order is looked at again: the file is an instance by now, and its row still there
    bench.step("sort", "admit")
    assert waiting(bench) == []
    assert archive.instance_path(bench.places.instances, killer).exists()
    assert list(bench.places.incoming.iterdir()) == []
    assert outcomes(bench) == ["moved"]


def test_a_rejected_file_is_kept_and_asked_about_no_more(bench: Bench, killer: str) -> None:
    order(bench, killer, "reject")
    bench.step("sort")
    assert waiting(bench) == []
    assert [row.rejected_by for row in bench.strays()] == ["anna"]
    assert archive.instance_path(bench.places.instances, killer).exists()
    order(bench, killer, "release")
    bench.step("sort")
    assert outcomes(bench) == ["moved", "stale"]


def test_what_receive_refused_cannot_be_fetched(bench: Bench) -> None:
    with bench.triage.engine.begin() as c:
        ledger.add_stray(c, "ab" * 32, 0, "file-empty", ledger.REFUSED_PLACE, bench.now)
    order(bench, "ab" * 32, "release")
    order(bench, "cd" * 32, "release")
    bench.step("sort")
    assert outcomes(bench) == ["gone", "stale"]
    assert len(waiting(bench)) == 1


def test_a_desk_of_before_has_no_such_orders(bench: Bench) -> None:
    bench.places.review.mkdir(exist_ok=True)
    sqlite.open_writer(bench.places.review_db, desk.METADATA).dispose()
    bench.step("sort")
    assert outcomes(bench) == []


def released(bench: Bench, uid: str = UID) -> None:
    study = bench.study(uid)
    with bench.triage.engine.begin() as c:
        ledger.move(
            c, study, "complete", who="review:anna", at=bench.now, code="release", revision=study.revision + 1,
            released=True,
        )  # fmt: skip
    bench.step("judge")


def test_a_study_of_two_patients_is_never_decided_however_often_it_is_released(bench: Bench) -> None:
    bench.put(tiny(UID, 1, "PAT-1", "CR", 3))
    bench.put(tiny(UID, 2, "PAT-2", "CR", 9))
    bench.step("admit", "assemble")
    released(bench)
    assert (bench.study().state, bench.study().fault_code) == ("quarantined", "study-patient-mismatch")


def test_two_files_under_one_uid_are_never_routine_after_a_release(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a court says of them: this one looks at the first and clears it."""
    clearing(bench)
    real = judging.judge
    monkeypatch.setattr(
        judging, "judge", lambda court, instances, *told, **named: real(court, instances[:1], *told, **named)
    )
    bench.put(DATA)
    bench.put(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    bench.step("admit", "assemble")
    assert bench.study(FILM_UID).fault_code == "study-conflicting-instance"
    released(bench, FILM_UID)
    assert bench.study(FILM_UID).state == "hard"
    assert [each["code"] for each in bench.result(FILM_UID).reasons] == ["released-in-conflict"]
