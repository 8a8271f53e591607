"""`appliance setup`: what it is told, what stands against it, what it opens in the walls; tests.faults.boot runs it."""

import tomllib
from pathlib import Path

import pytest

from appliance.cli import main
from appliance.cli.files import toml_text
from appliance.cli.openings import drop_ins
from appliance.cli.setup_answers import Answers, at_terminal, judged, of_the_machine, read
from appliance.config import Config, ConfigMistakes

SCANNERS = {"port": 11112, "host": "10.20.0.5", "peers": ["CT_1@10.20.0.17", "CR_2@10.20.0.18"]}


def wrong(raw: dict[str, object]) -> set[str]:
    with pytest.raises(ConfigMistakes) as caught:
        judged(raw, "answers")
    return {key for _, key, _ in caught.value.mistakes}


def texts(raw: dict[str, object]) -> dict[str, str]:
    """The drop-ins by unit."""
    told = judged(raw, "answers")
    return {path.parent.name.removesuffix(".d"): text for path, text in drop_ins(told.config, told.once).items()}


def opened(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_every_mistake_is_said_at_once() -> None:
    raw = {
        "site": {"name": "Harbour Hospital"},
        "receive": {"watched_folder": "/etc"},
        "network": {"broker_host": "broker.example", "broker_tls": True},
        "updates": {"url": "https://updates.example/"},
        "review": {"host": "10.30.0.5"},
        "setup": {"answer": "/mnt/answer", "readers": ["ward 7"], "colour": "green"},
    }
    assert wrong(raw) == {"site.name", "setup.colour"}
    raw["site"], raw["setup"] = {"name": "harbour"}, {"answer": "/mnt/answer", "readers": ["ward 7"]}
    assert wrong(raw) == {
        "setup.broker_addresses",
        "setup.update_addresses",
        "setup.readers",
        "setup.fingerprint",
        "receive.watched_folder",
    }


@pytest.mark.parametrize(
    "odd", ["/srv/my scanner", "/srv/100%h", "/srv/a\nExecStart=/bin/sh", '/srv/"ct"', "/srv/c\\t"]
)
def test_a_folder_that_a_unit_would_read_otherwise_is_refused(odd: str) -> None:
    """In two words it hides nothing from the other services: systemd would leave the line out and go on."""
    assert wrong({"receive": {"watched_folder": odd}}) == {"receive.watched_folder"}


def test_a_site_on_one_machine_opens_nothing() -> None:
    assert texts({}) == {}


def test_scanners_open_their_own_addresses_alone() -> None:
    text = texts({"dimse": SCANNERS})["appliance-receive.service"]
    assert {line for line in text.splitlines() if line.startswith("IPAddressAllow=")} == {
        "IPAddressAllow=10.20.0.17",
        "IPAddressAllow=10.20.0.18",
        "IPAddressAllow=localhost",
    }
    assert "PrivateNetwork=no" in text


def test_a_folder_of_the_sites_own_is_hidden_from_the_others() -> None:
    found = texts({"receive": {"watched_folder": "/srv/ct"}})
    assert "ReadWritePaths=/srv/ct" in found["appliance-receive.service"]
    for name in ("triage", "uplink", "review", "deliver"):
        assert "InaccessiblePaths=-/srv/ct" in found[f"appliance-{name}.service"]


def test_broker_page_and_targets_open_what_they_name() -> None:
    raw = {
        "network": {"broker_host": "192.0.2.7", "broker_port": 8883, "broker_tls": True},
        "updates": {"url": "https://192.0.2.9/"},
        "review": {"host": "10.30.0.5"},
        "results": {"targets": [{"name": "pacs", "kind": "dimse", "host": "10.40.0.9", "port": 104, "ae_title": "P"}]},
        "setup": {"readers": ["10.30.0.0/16"]},
    }
    found = texts(raw)
    assert opened(found["appliance-uplink.service"]) == [
        "[Service]",
        "IPAddressAllow=192.0.2.7",
        "IPAddressAllow=192.0.2.9",
    ]
    assert opened(found["appliance-review.socket"]) == [
        "[Socket]",
        "ListenStream=",
        "ListenStream=10.30.0.5:8042",
        "IPAddressAllow=10.30.0.0/16",
    ]
    assert opened(found["appliance-deliver.service"]) == ["[Service]", "IPAddressAllow=10.40.0.9"]


def test_what_is_written_is_read_again_as_told(tmp_path: Path) -> None:
    sections = {"site": {"name": "harbour"}, "dimse": SCANNERS, "review": {"oidc_name": 'The "Clinic" – Nørd\\'}}
    path = tmp_path / "answers.toml"
    path.write_text(toml_text({**sections, "setup": {"administrator": "anna"}}))
    told = read(path)
    assert tomllib.loads(toml_text(told.sections)) == sections
    assert told.once.administrator == "anna"


def test_secrets_that_others_may_read_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("blue whale counting 7 stars")
    told = judged({"setup": {"administrator": "anna", "password_file": str(file)}}, "answers")
    file.chmod(0o644)
    assert any("chmod 600" in reason for _, _, reason in of_the_machine(told, 0))
    file.chmod(0o600)
    assert not any("chmod 600" in reason for _, _, reason in of_the_machine(told, 0))
    assert any("as root" in reason for _, _, reason in of_the_machine(Answers({}, Config(), told.once), 1000))


def test_a_person_at_a_terminal_is_asked_what_matters() -> None:
    said = {"Name of this site": "harbour", "Port for scanners": "11112", "Scanners, each": "CT_1@10.20.0.17"}
    said |= {"This machine's address": "10.20.0.5", "MQTT broker": "broker.example", "Addresses of": "192.0.2.7"}
    said |= {"Name of the page's first": "anna"}

    def ask(sentence: str, default: str) -> str:
        return next((answer for start, answer in said.items() if sentence.startswith(start)), default)

    raw, password = at_terminal(ask, lambda _: "blue whale counting 7 stars")
    told = judged(raw, "answers")
    assert told.config.state.unencrypted_because == ""
    assert (told.config.dimse.port, told.config.network.broker_tls) == (11112, True)
    assert (told.once.administrator, told.once.broker_addresses) == ("anna", ["192.0.2.7"])
    assert password.startswith("blue")
    raw["network"]["broker_port"] = "eight"
    assert wrong(raw) == {"network.broker_port"}


def test_the_verb_says_what_is_wrong_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "answers.toml"
    path.write_text('[site]\nname = "Not A Name"\n[network]\nbroker_port = 0\n')
    assert main(["setup", "--from", str(path)]) == 78
    said = capsys.readouterr().err
    assert "site.name" in said
    assert "network.broker_port" in said
