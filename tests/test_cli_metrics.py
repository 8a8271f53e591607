"""`metrics` and `status` say the same as the page's list: fed from real ledgers, with a planted silent scanner."""

import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.cli import main
from appliance.cli.metrics import ALARM_CODES, GAUGES, PREFIX, Around, exposition
from appliance.cli.standing import standing
from appliance.cli.up import lay_out
from appliance.config import Places, load
from appliance.core.lifecycle import WIRE_STATES
from appliance.world import ledger, sqlite, wire
from appliance.world.units import Unit
from appliance.world.wire import freight
from sample_dicom.enrolment import enrol_locally
from tests.world.test_wire import way

ONLY_WHERE_THERE_IS_ONE = {
    *("source_silent_seconds", "target_away_seconds", "certificate_days_left", "drift_psi", "drift_martingale"),
    *("service_restarts", "service_watchdog"),
}


@pytest.fixture
def box(tmp_path: Path) -> tuple[Path, Places]:
    """An enrolled appliance whose databases are made."""
    path = lay_out(tmp_path)
    config = load(path)
    enrol_locally(config.keys.folder, tmp_path / "far", config.site.device_id)
    places = Places(config.state.folder)
    places.phi.mkdir(parents=True)
    places.wire.mkdir(parents=True)
    for where, tables in (
        (places.studies_db, ledger.METADATA),
        (places.cases_db, wire.CASES),
        (places.link_db, wire.LINK),
    ):
        sqlite.open_writer(where, tables).dispose()
    return path, places


def gauges(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], float]:
    capsys.readouterr()
    assert main(["--config", str(path), "metrics"]) == 0
    found = {}
    for family in text_string_to_metric_families(capsys.readouterr().out):
        for sample in family.samples:
            found[sample.name.removeprefix(f"{PREFIX}_"), next(iter(sample.labels.values()), "")] = sample.value
    return found


def status(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["--config", str(path), "status", "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def raised(found: dict[tuple[str, str], float]) -> set[str]:
    return {label for (name, label), value in found.items() if name == "alarm" and value}


def test_an_empty_box_is_well_and_tells_every_name(box: tuple[Path, Places], capsys: Any) -> None:
    found = gauges(box[0], capsys)
    assert {name for name, _ in found} == set(GAUGES) - ONLY_WHERE_THERE_IS_ONE
    assert raised(found) == set()
    assert {label for name, label in found if name == "cases"} == set(WIRE_STATES)
    assert {label for name, label in found if name == "alarm"} == set(ALARM_CODES)
    assert status(box[0], capsys)["alarms"] == []


def test_what_waits_too_long_is_told_by_all_three(box: tuple[Path, Places], capsys: Any) -> None:
    path, places = box
    now = time.time()
    cases, link = sqlite.open_writer(places.cases_db, wire.CASES), sqlite.open_writer(places.link_db, wire.LINK)
    with cases.begin() as c, link.begin() as far:
        for number, (urgency, age_s) in enumerate([("critical", 2000.0), ("routine", 2000.0), ("urgent", 10.0)], 1):
            case_id = f"{number:032x}"
            ways = [way(case_id, tier, urgency=urgency) for tier in (0, 1)]
            wire.put_case(c, case_id, ways, revision=1, urgency=urgency, at=now - age_s)
        freight.shed_transfer(c, way(f"{2:032x}", 1).transfer_id, now)
        wire.record_receipt(far, f"{3:032x}", now - 1000)
    cases.dispose()
    link.dispose()
    found = gauges(path, capsys)
    assert raised(found) == {"verdict-overdue", "centre-silent", "spool-shed"}
    assert found["cases_overdue", "critical"] == 1
    assert found["cases_overdue", "routine"] == 0
    assert found["cases_waiting", "urgent"] == 0
    assert found["cases_unanswered", "urgent"] == 1
    assert 1990 <= found["queue_oldest_seconds", "critical"] <= 2100
    assert found["cases_shed", ""] == 1
    told = status(path, capsys)
    assert {alarm["code"] for alarm in told["alarms"]} == {"verdict-overdue", "centre-silent", "spool-shed"}
    assert main(["--config", str(path), "status"]) == 0
    out = capsys.readouterr().out
    assert "1 critical case past the deadline" in out
    assert "Read the study locally" in out


def test_a_scanner_that_went_silent_is_told(box: tuple[Path, Places], capsys: Any) -> None:
    path, places = box
    now = time.time()
    engine = sqlite.open_writer(places.studies_db, ledger.METADATA)
    row = {"state": "reviewed", "seq": 0, "revision": 1, "fault_code": "", "state_since": now}
    with engine.begin() as c:
        columns = {column.name for column in ledger.studies.c}
        number = 0
        for hours in range(28 * 24, 3, -1):  # twelve an hour, day and night, until four hours ago
            for minute in range(0, 60, 5):
                at = now - hours * 3600 + minute * 60
                number += 1
                told = {**row, "number": number, "study_instance_uid": f"1.2.{number}", "modality": "CT"}
                told |= {"first_received_at": at, "last_received_at": at}
                c.execute(ledger.studies.insert().values(**_whole(told, columns)))
    engine.dispose()
    found = gauges(path, capsys)
    assert raised(found) == {"scanner-silent"}
    assert found["source_silent_seconds", "CT"] > 3600
    assert [alarm["code"] for alarm in status(path, capsys)["alarms"]] == ["scanner-silent"]


def _whole(told: dict[str, Any], columns: set[str]) -> dict[str, Any]:
    """A row with every column that must have a value."""
    filled = {name: value for name, value in told.items() if name in columns}
    for column in ledger.studies.c:
        if column.name not in filled and not column.nullable:
            filled[column.name] = {str: "", int: 0, float: 0.0, bool: False}.get(column.type.python_type, "{}")
    return filled


def test_without_keys_it_is_said(box: tuple[Path, Places], capsys: Any) -> None:
    path, _ = box
    (load(path).keys.folder / "centre.json").unlink()
    assert raised(gauges(path, capsys)) == {"not-enrolled"}


def test_a_textfile_is_whole_or_not_there(box: tuple[Path, Places], tmp_path: Path, capsys: Any) -> None:
    target = tmp_path / "collector" / "appliance.prom"
    assert main(["--config", str(box[0]), "metrics", "--textfile", str(target)]) == 0
    assert f"# TYPE {PREFIX}_cases_waiting gauge" in target.read_text()
    assert [path.name for path in target.parent.iterdir()] == ["appliance.prom"]


def test_watch_certificates_and_units_are_told(box: tuple[Path, Places]) -> None:
    config, places = load(box[0]), box[1]
    warned = {
        "standing": "warned",
        "expires": "2026-12-01",
        "audits": {"waiting": 2},
        "gauges": {"score": {"psi": 0.3, "martingale": 25.0}, "input": {"psi": None, "martingale": None}},
    }
    around = Around(
        disk_free_bytes=1,
        clock=False,
        certificates=(warned,),
        units=(Unit("triage", "active", "watchdog", 4),),
        today=date(2026, 11, 28),
    )
    found = {}
    for family in text_string_to_metric_families(exposition(standing(config, places), around).decode()):
        for sample in family.samples:
            found[sample.name.removeprefix(f"{PREFIX}_"), next(iter(sample.labels.values()), "")] = sample.value
    assert raised(found) == {"watch-warned", "service-watchdog"}
    assert found["certificate_days_left", "model"] == 3
    assert found["clock_synchronised", ""] == 0
    assert (found["drift_psi", "score"], found["drift_martingale", "score"]) == (0.3, 25.0)
    assert (found["service_restarts", "triage"], found["service_watchdog", "triage"]) == (4, 1)
    assert ("drift_psi", "input") not in found
