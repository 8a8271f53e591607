"""`appliance prove`: its figures, its judges on planted faults, its page. The trial itself: make prove."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.cli import main, prove
from appliance.cli.prove import load, scans, trouble
from appliance.cli.prove.books import Acknowledged, broken_since
from appliance.cli.prove.report import Trial, html, write
from appliance.cli.prove.synthetic import SHIPPED, Source
from appliance.config import Places
from appliance.core.chart import Chart, svg, ticks
from appliance.core.figures import Figure, mean, quantile
from appliance.core.machine import Disk, disk_line
from appliance.world import machine

GOOD = Disk("ext4", ("rw", "relatime"), "nvme0n1", "Drive 9", "write through", False)


def a_trial(**changed: object) -> Trial:
    some = Figure(2.5, 2.0, 3.0, 30)
    course = ((0.0, 0), (1.0, 3), (4.0, 10))
    whole = Trial(
        made_at="2026-11-28 02:00 UTC",
        version="0.1.0",
        command="appliance prove --quick",
        machine=machine.machine(),
        disk=GOOD,
        disk_says=disk_line(GOOD).found,
        disk_ok=True,
        others=0.5,
        broker="mosquitto",
        generator=True,
        models=("chest/1.0.0",),
        waits={"receive.settle_s": (0.2, 1.0)},
        sync=(some, some),
        films=load.Burst(10, 512_000, some, course),
        slices=load.Burst(10, 5_120_000, Figure(9.0, None, None, 1), course),
        steady=load.Steady(1.25, some, some, replace(some, high=None), (1.0, 2.0, 3.0), {"cleared": 2, "flagged": 1}),
        memory={"triage": 700 * 2**20},
        cuts=trouble.Cuts(trouble.CUT, 3, 3, (2.0, 3.0), ()),
        outage=trouble.Outage(6, 10.0, 4.0, ((0.0, 0), (5.0, 6), (14.0, 0)), ()),
        took_s=90.0,
    )
    return replace(whole, **changed)  # type: ignore[arg-type]


def test_the_page_stands_alone_and_names_the_machine(tmp_path: Path) -> None:
    trial = a_trial()
    beside = write(trial, tmp_path / "prove.html")
    page = (tmp_path / "prove.html").read_text()
    assert trial.machine.cpu in page
    assert "Drive 9" in page
    assert "2.50 (2.00 to ?)" in page
    assert page.count("<svg") == 3
    fetched = re.findall(r"""(?:src|href)=|url\(|@import|<script|https?://(?!www\.w3\.org/2000/svg)""", page)
    assert fetched == [], "the page fetches nothing"
    told = json.loads(beside.read_text())
    assert (told["schema"], told["broken"], told["films"]["rate"]["n"]) == (1, [], 30)
    assert str(tmp_path) not in page + beside.read_text()


def test_a_broken_promise_leads_the_page() -> None:
    page = html(
        a_trial(cuts=trouble.Cuts(trouble.KILL.format(why="that needs root"), 3, 3, (2.0,), ("1 files <lost>",)))
    )
    assert "A promise was broken" in page
    assert "1 files &lt;lost&gt;" in page
    assert "Nothing was lost" not in page
    assert "SIGKILL" in page


def test_figures_say_how_sure_they_are() -> None:
    assert quantile(range(1, 101), 0.5) == Figure(50, 40, 61, 100)
    assert quantile(range(30), 0.99).high is None
    assert quantile([3.0], 0.5) == Figure(3.0, None, None, 1)
    assert mean([1.0, 2.0, 3.0]).low == pytest.approx(-0.4843, abs=1e-4)
    assert mean([1.0]) == Figure(1.0, None, None, 1)


def test_the_rate_leaves_out_the_start_and_the_end() -> None:
    steady = [
        (0.0, 0),
        *((10.0 + n / 5, n) for n in range(1, 91)),
        (100.0, 100),
    ]  # five a second, but slow at both ends
    found = load.rate(steady, 100)
    assert found.value == pytest.approx(5.0, rel=0.01)
    assert found.low is not None
    assert found.low <= found.value


def test_a_chart_holds_its_points_and_escapes_its_names() -> None:
    picture = svg(Chart("a < b", "s", "n", [(0.0, 0.0), (2.0, 5.0)], marks=[(1.0, "<i>")]))
    assert "a &lt; b" in picture
    assert "&lt;i&gt;" in picture
    assert ticks(6.0) == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"options": ("rw", "nobarrier")}, "nobarrier"),
        ({"options": ("rw", "data=writeback")}, "data=writeback"),
        ({"filesystem": "overlay"}, "not one that is known"),
        ({"filesystem": "nfs4", "device": "", "model": ""}, "no block device"),
    ],
)
def test_a_disk_that_may_lose_what_it_acknowledged_is_red(changed: dict[str, object], said: str) -> None:
    line = disk_line(replace(GOOD, **changed))  # type: ignore[arg-type]
    assert not line.ok
    assert line.todo
    assert said in line.found


def test_a_disk_that_keeps_it_is_green() -> None:
    assert disk_line(GOOD).ok
    assert "flushed" in disk_line(replace(GOOD, write_cache="write back")).found
    assert "cannot be seen" in disk_line(replace(GOOD, write_cache="")).found
    assert disk_line(GOOD, 10e-6).ok, "a cache that survives may be that fast"


def test_a_disk_that_is_too_fast_to_be_true_is_red() -> None:
    volatile = replace(GOOD, write_cache="write back")
    assert disk_line(volatile, 3e-3).ok
    assert "not believable" in disk_line(volatile, 10e-6).found
    assert not disk_line(volatile, 10e-6).ok


def test_this_machine_is_read(tmp_path: Path) -> None:
    here = machine.machine()
    assert here.cpu
    assert here.cores >= 1
    assert here.memory_bytes > 2**20
    assert machine.disk(tmp_path).filesystem
    assert all(each > 0 for each in machine.sync_times(tmp_path, 3))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_taken_and_is_gone_is_noticed(tmp_path: Path) -> None:
    (scan,) = scans.slices(1, "planted", scans.SMALL_PX)
    places = Places(tmp_path)
    before = Acknowledged(0.0, frozenset({scan.name}), {}, frozenset())
    assert broken_since(before, places, [scan]) == ["1 taken files gone"]
    places.incoming.mkdir()
    (places.incoming / f"{scan.sha256}.dcm").write_bytes(scan.data)
    assert broken_since(before, places, [scan]) == []


def test_scans_are_studies_of_their_own_with_or_without_the_generator(tmp_path: Path) -> None:
    drawn = scans.films(2, SHIPPED)
    plain = scans.films(2, Source(tmp_path, tmp_path))
    assert scans.is_drawn(SHIPPED)
    assert not scans.is_drawn(Source(tmp_path, tmp_path))
    for found in (drawn, plain):
        assert len({each.study for each in found}) == len({each.sha256 for each in found}) == 2
    ct = scans.slices(3, "ct", scans.SMALL_PX)
    assert len({each.study for each in ct}) == 1
    ct[0].drop(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [ct[0].name]


def test_without_room_it_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[state]\nfolder = "{tmp_path}/state"\n')
    words = ["--config", str(config), "prove", "--quick", "--folder"]
    assert main([*words, str(tmp_path / "nowhere")]) == 78
    monkeypatch.setattr(prove, "ROOM_BYTES", 2**60)
    assert main([*words, str(tmp_path)]) == 78
    assert "2 GiB free" in capsys.readouterr().err
    assert not list(tmp_path.glob("appliance-prove-*"))
