"""Alert rules and dashboard ask only for what the exporter gives; each line of `check` can be red."""

import json
import re
from pathlib import Path

import pytest
import yaml

from appliance.cli.metrics import ALARM_CODES, GAUGES, PREFIX, STANDINGS
from appliance.cli.surroundings import days_line, rights_line, surroundings, unit_line
from appliance.cli.up import lay_out
from appliance.cli.verbs import SERVICES
from appliance.config import Places, load
from appliance.core.document import URGENCIES
from appliance.core.lifecycle import STATES
from appliance.world.units import Unit, parsed

FOLDER = Path(__file__).parents[1] / "systemd" / "monitoring"
OTHERS = {"node_textfile_mtime_seconds": "file"}  # of node exporter
LABELS = {f"{PREFIX}_{name}": label for name, (_, label) in GAUGES.items()} | OTHERS
VALUES = {"code": ALARM_CODES, "urgency": URGENCIES, "state": STATES, "standing": tuple(STANDINGS), "service": SERVICES}
WORDS = {"time", "predict_linear", "increase", "sum", "max", "min", "by", "or", "label_values", "instance"}


def rules() -> list[dict[str, str]]:
    told = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    return [rule for group in told["groups"] for rule in group["rules"]]


def questions() -> list[str]:
    board = json.loads((FOLDER / "dashboard.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return asked + [each["query"] for each in board["templating"]["list"] if each["type"] == "query"]


def strange(question: str) -> list[str]:
    """Names, labels and their values in a PromQL expression that nothing exports."""
    found = []
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", question)
    grouped = re.findall(r"by \((\w+)\)", bare)
    bare = re.sub(r"by \(\w+\)", " ", bare)
    names = [word for word in re.findall(r"[a-zA-Z_]\w*", bare) if word not in WORDS]
    found += [name for name in names if name not in LABELS]
    known = {LABELS.get(name, "") for name in names} | {"instance"}
    found += [label for label in grouped if label not in known]
    for label, value in re.findall(r'(\w+)=~?"([^"]*)"', question):
        if label not in known:
            found.append(label)
        elif label in VALUES:
            found += [each for each in value.split("|") if each not in VALUES[label]]
    return found


def test_every_question_can_be_answered() -> None:
    asked = [*(rule["expr"] for rule in rules()), *questions()]
    assert len(asked) > 25
    for question in asked:
        assert strange(question) == [], question


@pytest.mark.parametrize(
    "question",
    [
        "appliance_queue_age_seconds > 1",
        'appliance_alarm{code="disk-full"} == 1',
        'appliance_cases_waiting{state="routine"} > 1',
        "max by (urgency) (appliance_drift_psi)",
    ],
)
def test_a_question_that_nothing_answers_is_noticed(question: str) -> None:
    assert strange(question)


def test_every_alarm_and_every_gauge_is_asked_for() -> None:
    every = " ".join([*(rule["expr"] for rule in rules()), *questions()])
    asked = re.findall(r'code=~"([^"]*)"', every)
    assert sorted(code for group in asked for code in group.split("|")) == sorted(ALARM_CODES), "each once"
    ruled = " ".join(rule["expr"] for rule in rules())
    for topic in (
        "queue_oldest",
        "source_silent",
        "drift",
        "disk_free",
        "clock",
        "certificate_days",
        "service_restarts",
    ):
        assert f"{PREFIX}_{topic}" in ruled, topic
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] in ("page", "ticket") for rule in rules())  # type: ignore[index]


def test_the_walls_of_the_services_are_not_laid_over_the_timer_s_unit() -> None:
    """systemd reads appliance-.service.d for every unit of that prefix: Type=notify, and no sight of others' files."""
    units = {path.name: path.read_text() for path in FOLDER.glob("*.service")}
    assert list(units) == ["metrics-appliance.service"]
    assert "PrivateNetwork=yes" in units["metrics-appliance.service"]
    assert (FOLDER / "metrics-appliance.timer").exists()


# appliance check, the machine's lines


def test_each_red_line_says_what_to_do(tmp_path: Path) -> None:
    config = load(lay_out(tmp_path))
    lines = surroundings(config, Places(config.state.folder), 1e9)
    names = {line.name for line in lines}
    assert {"clock: held to another", "disk: power loss", "key of uplink", "keys of the centre"} <= names
    assert any(name.startswith("kernel: ") for name in names)
    assert all(line.todo for line in lines if not line.ok)
    (site_key,) = [line for line in lines if line.name.endswith("site.key")]
    assert site_key.ok
    (tmp_path / "site.key").chmod(0o644)
    (site_key,) = [line for line in surroundings(config, Places(config.state.folder), 1e9) if "site.key" in line.name]
    assert not site_key.ok
    assert site_key.todo.startswith("chmod o=")


def test_what_others_may_read_is_red() -> None:
    assert not rights_line(Path("/x/phi"), 0o40755).ok
    assert rights_line(Path("/x/phi"), 0o42770).ok


@pytest.mark.parametrize(("days", "ok"), [(15, True), (13, False), (-2, False)])
def test_a_certificate_that_ends_soon_is_red(days: int, ok: bool) -> None:
    line = days_line("certificate of the line", 1e9 + days * 86_400.0 + 60, 1e9, "line-certificate")
    assert line.ok == ok
    assert not days_line("certificate of the line", None, 1e9, "line-certificate").ok


def test_a_unit_that_its_watchdog_ended_is_red() -> None:
    text = (
        "Id=appliance-triage.service\nLoadState=loaded\nActiveState=active\nResult=watchdog\nNRestarts=3\n\n"
        "Id=appliance-uplink.service\nLoadState=not-found\nActiveState=inactive\nResult=success\nNRestarts=0\n"
    )
    assert parsed(text) == [Unit("triage", "active", "watchdog", 3)]
    assert not unit_line(parsed(text)[0]).ok
    assert unit_line(Unit("triage", "active", "success", 1)).ok
    assert parsed("") == []
