"""A release is installed only if it is signed for here, does here, and in no case's way; else the former one runs.

Metadata, packages, trees and links are real; dpkg, systemctl and the versions' interpreters are stand-ins
(tests.releases): `make boot` has the real ones.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.release import JUDGE, former_goes_on
from appliance.cli.updates import lines
from appliance.errors import Misconfigured, Quarantined, Unavailable
from appliance.world import ledger, release, sqlite
from tests.publisher import Publisher
from tests.releases import NEWER, RUNNING, House, Killed


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "centre")


@pytest.fixture
def house(tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> House:
    made = House(tmp_path / "edge", publisher)
    monkeypatch.setenv("PATH", f"{made.root / 'bin'}:/usr/bin:/bin")
    return made


def knobs(house: House, **told: Any) -> None:
    updates = house.config.updates.model_copy(update=told)
    house.config = house.config.model_copy(update={"updates": updates})


def test_a_release_is_installed_watched_and_kept_and_the_former_one_lies_beside(house: House) -> None:
    house.publish()
    assert house.run() == NEWER
    assert house.kept() == [RUNNING, NEWER]
    assert house.said == ["dpkg"]
    record = release.read(house.home)
    assert [each.version for each in record.installed] == [NEWER]
    assert record.trial is None
    assert not record.waits
    assert not house.versions.former.exists()
    assert not house.versions.package.exists()
    assert house.run() == NEWER
    assert house.said == ["dpkg"]


def test_asked_it_is_said_and_installed_only_by_a_person(house: House) -> None:
    house.publish()
    knobs(house, releases="ask")
    assert house.run() == RUNNING
    assert not house.said
    record = release.read(house.home)
    assert record.waits == NEWER
    told = "\n".join(
        lines(
            {"root": True, "fetched": None, "verified": None, "updates": [], "releases": record.model_dump(mode="json")}
        )
    )
    assert f"appliance release --install {NEWER}" in told
    with pytest.raises(Misconfigured, match="release-unknown"):
        house.run("0.3.0")
    assert house.run(NEWER) == NEWER


def test_outside_the_window_and_switched_off_nothing_is_done(house: House) -> None:
    house.publish()
    for told in ({"releases": "off"}, {"window": "02:00-02:01", "releases": "install"}):
        knobs(house, **told)
        assert house.run() == RUNNING
        assert release.read(house.home).trial is None


def test_never_in_the_middle_of_a_case(house: House) -> None:
    house.publish()
    engine = sqlite.open_writer(_made(house.places.studies_db), ledger.METADATA)
    (house.places.incoming / "a.dcm").write_bytes(b"")
    assert house.run() == RUNNING
    assert not house.said
    trial = release.read(house.home).trial
    assert trial is not None
    assert trial.stage == "tested"
    (house.places.incoming / "a.dcm").unlink()
    blank = {str: "", int: 1, float: 1.0, bool: False, object: {}}
    told = {column.name: blank[column.type.python_type] for column in ledger.studies.columns}
    with engine.begin() as c:
        c.execute(ledger.studies.insert().values({**told, "state": "hard"}))
    assert house.run() == RUNNING
    assert not house.said
    with engine.begin() as c:
        c.execute(ledger.studies.update().values(state="escalated"))
    engine.dispose()
    assert house.run() == NEWER


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ({"status": 1}, "release-selftest"),
        ({"said": "0.3.0"}, "release-selftest"),
        ({"check": {"SQLite": False}}, "release-selftest"),
        ({"schema": 99}, "release-one-way"),
        ({"called": "0.3.0"}, "release-wrong"),
        ({"breaks": "uplink"}, "release-worse"),
        ({"running": {"SQLite": False}}, "release-worse"),
        ({"running": {"new line": False}}, "release-worse"),
    ],
)
def test_what_does_not_do_here_is_left_or_taken_back_and_not_tried_again(
    house: House, faults: dict[str, Any], code: str
) -> None:
    house.publish(**faults)
    assert house.run() == f"{RUNNING} {code}"
    switched = code == "release-worse"
    assert (house.said[:1] == ["dpkg"]) == switched
    assert any(said.startswith("restart ") for said in house.said) == switched
    assert RUNNING in house.kept()
    assert not house.versions.trial.exists()
    before = house.said
    assert house.run() == f"{RUNNING} {code}"
    assert house.said == before
    house.publish("0.2.1")  # a mended one is another one
    assert house.run() == "0.2.1"


def test_dpkg_that_refuses_is_asked_again_and_then_the_former_one_is_put_back(house: House) -> None:
    house.publish()
    (house.home / "refuses").touch()  # after it has taken the former version away
    assert house.run() == f"{RUNNING} release-dpkg"
    assert house.said.count("dpkg") == 3
    (house.home / "refuses").unlink()
    assert house.run(NEWER) == NEWER  # a person may try it again


def test_tampered_bytes_metadata_of_before_another_ring_and_a_withdrawn_one(house: House, publisher: Publisher) -> None:
    path = house.publish(ring="lab")
    assert house.run() == RUNNING
    assert release.read(house.home).trial is None
    shutil.copytree(publisher.folder, house.root / "before")
    publisher.change(path, ring="all")
    house.lay()
    (target,) = (house.places.mirror / "targets/releases").glob("*.deb")
    target.write_bytes(target.read_bytes()[:-1] + b"?")
    with house.versions.alone():
        house.made().run()
    record = release.read(house.home)
    assert (house.stands, record.code) == (RUNNING, "update-tampered")
    assert not house.said
    with house.versions.alone(), pytest.raises(Quarantined, match="update-tampered"):
        house.made(NEWER).run()
    assert record.failed == (), "whoever can write there must not keep a release away for ever"
    shutil.rmtree(house.places.mirror)
    shutil.copytree(house.root / "before", house.places.mirror)  # older than what root has seen
    with house.versions.alone():
        house.made().run()
    assert release.read(house.home).code == "updates-untrusted"
    publisher.change(path, withdrawn=True)
    with pytest.raises(Misconfigured, match="release-unknown"):
        house.run(NEWER)


def test_other_bytes_in_uplinks_folder_do_not_hinder_those_that_triage_keeps(house: House) -> None:
    house.publish()
    house.lay()
    (target,) = (house.places.mirror / "targets/releases").glob("*.deb")
    house.places.releases.mkdir(parents=True)
    shutil.copy(target, house.places.releases / target.name.partition(".")[2])
    target.write_bytes(b"?")
    with house.versions.alone():
        house.made().run()
    assert house.stands == NEWER


def test_what_is_withdrawn_while_it_waits_beside_the_running_one_is_dropped(
    house: House, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = house.publish()
    house.lay()
    real = house.versions.place

    def place(version: str, former: str) -> None:
        real(version, former)
        (house.places.incoming / "a.dcm").write_bytes(b"")  # a case comes at the last moment

    made = house.made()
    monkeypatch.setattr(made.versions, "place", place)
    with made.versions.alone():
        made.run()
    trial = release.read(house.home).trial
    assert trial is not None
    assert trial.stage == "placed"
    publisher.change(path, withdrawn=True)
    (house.places.incoming / "a.dcm").unlink()
    assert house.run() == RUNNING
    assert release.read(house.home).trial is None
    assert house.kept() == [RUNNING]
    assert not house.said


def test_without_room_or_without_its_bytes_it_waits_and_says_why(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.publish()
    house.lay()
    (target,) = (house.places.mirror / "targets/releases").glob("*.deb")
    target.unlink()
    for code in ("updates-away", "disk-low"):
        with house.versions.alone():
            house.made().run()
        assert house.stands == RUNNING
        record = release.read(house.home)
        assert (record.code, record.trial) == (code, None)
        with pytest.raises(Unavailable, match=code):
            house.made(NEWER).run()
        monkeypatch.setattr("appliance.world.archive.free_bytes", lambda _: 0)


def test_the_former_versions_copy_goes_on_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: begun.append(words))
    monkeypatch.setattr(sys, "argv", ["appliance", "release", "--install", NEWER])
    monkeypatch.setenv(JUDGE, "")
    monkeypatch.delenv(JUDGE)
    former_goes_on(house.versions)
    assert not begun  # there is no copy yet
    house.versions.own.mkdir()
    house.versions.place(NEWER, RUNNING)
    former_goes_on(house.versions)
    former_goes_on(house.versions)
    python = str(house.versions.former / "bin/python3")
    assert begun == [[python, "-IB", "-m", "appliance", "release", "--install", NEWER]]


def test_an_older_version_is_no_release_and_one_run_at_a_time(house: House) -> None:
    house.publish("0.0.9")
    assert house.run() == RUNNING
    assert not house.said
    with house.versions.alone(), pytest.raises(Unavailable, match="release-busy"), house.versions.alone():
        pass


@pytest.mark.parametrize(("faults", "ends"), [({}, NEWER), ({"breaks": "triage"}, f"{RUNNING} release-worse")])
def test_the_power_goes_between_any_two_effects_and_what_runs_is_whole(
    house: House, faults: dict[str, Any], ends: str
) -> None:
    """The metadata is verified once for all of these runs; that each run verifies it is shown above."""
    house.publish(**faults)
    house.lay()
    house.versions.own.mkdir()
    seen = house.made()._verified()
    shutil.copytree(house.home, house.root / "begin", symlinks=True)
    steps, point = 1, 0
    while point < steps:
        shutil.rmtree(house.home)
        shutil.copytree(house.root / "begin", house.home, symlinks=True)
        passed: list[str] = []

        def at_step(name: str, passed: list[str] = passed, point: int = point) -> None:
            if len(passed) == point:
                raise Killed
            passed.append(name)

        for step in (at_step, lambda _: None):
            made = house.made()
            made.at_step, made._verified = step, lambda: seen  # type: ignore[method-assign]
            try:
                made.run()
                steps = max(steps, len(passed))
            except Killed:
                steps = point + 2
            house.now += 600.0
            assert house.stands in (RUNNING, NEWER, ends)
        assert house.stands == ends, f"cut off after {passed}"
        assert RUNNING in house.kept()
        assert release.read(house.home).trial is None
        assert not house.versions.former.exists()
        point += 1
    assert point >= 12


def test_a_step_that_ends_the_machine_is_not_made_for_ever(house: House) -> None:
    house.publish()
    house.lay()
    for where, least in (("unpacked", 3), ("dpkg", 3)):
        for _ in range(8):
            made = house.made(NEWER)

            def at_step(name: str, where: str = where) -> None:
                if name == where:
                    raise Killed

            made.at_step = at_step
            try:
                made.run()
            except Killed:
                least -= 1
            else:
                break
        assert least == 0
        assert house.stands == f"{RUNNING} release-attempts-spent"
        assert RUNNING in house.kept()
