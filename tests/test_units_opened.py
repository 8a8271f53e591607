"""What a site opens in the walls: systemd judges each drop-in that setup writes, and each loosened line says why."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import openings
from appliance.cli.setup_answers import judged
from tests.systemd_says import EXPOSURE_MAX, PLACE, SERVICES, UNITS, a_root, complaints, exposure

TLS = {"tls": True, "tls_certificate_file": "/k/c.pem", "tls_key_file": "/k/c.key", "authority_file": "/k/ca.pem"}
DIMSE = {"port": 11112, "host": "10.20.0.5", "peers": ["CT_1@10.20.0.17", "CR_2@10.20.0.18"]}
MUTUAL = {
    "tls": "mutual",
    "tls_certificate_file": "/k/d.pem",
    "tls_key_file": "/k/d.key",
    "tls_authority_file": "/k/ca.pem",
}
PACS = {"name": "pacs", "kind": "dimse", "host": "10.40.0.9", "port": 104, "ae_title": "PACS"}
HL7 = {"name": "ris", "kind": "hl7", "host": "10.40.0.10", "port": 2575}
STOW = {"name": "web", "kind": "stow", "url": "https://10.40.0.11/dicom-web", "token_file": "/k/web.token"}
FHIR = {"name": "fhir", "kind": "fhir", "url": "https://fhir.example/r4", "token_file": "/k/fhir.token"}
RIS = {
    "folder": "/srv/ris",
    "senders": ["RIS@HARBOUR"],
    "findings": [{"label": "pneumonia", "observation": "18748-4^LN", "present": ["J18.9^I10"], "absent": ["NONE^99S"]}],
}
HERE = {"name": "here", "kind": "stow", "url": "http://127.0.0.1:8042/dicom-web"}
BROKER = {"broker_port": 8883, "broker_tls": True}
# What a site may answer; a test holds that together they reach every line that setup can write.
ANSWERS: dict[str, dict[str, Any]] = {
    "a broker by its address": {"network": {"broker_host": "192.0.2.7", **BROKER}},
    "a broker by its name": {
        "network": {"broker_host": "broker.example", **BROKER},
        "setup": {"broker_addresses": ["192.0.2.0/24", "2001:db8::/32"]},
    },
    "updates by address": {"updates": {"url": "https://192.0.2.9/"}},
    "updates by name": {"updates": {"url": "https://u.example/"}, "setup": {"update_addresses": ["192.0.2.9"]}},
    "scanners": {"dimse": DIMSE},
    "scanners over TLS": {"dimse": {**DIMSE, **MUTUAL}},
    "folders of its own": {"receive": {"watched_folder": "/srv/ct"}, "reports": RIS},
    "readers": {"review": {"host": "10.30.0.5", "port": 443}, "setup": {"readers": ["10.30.0.0/16"]}},
    "a PACS": {"results": {"targets": [PACS]}},
    "a PACS over TLS": {"results": {"targets": [{**PACS, **TLS}]}},
    "HL7 over TLS": {"results": {"targets": [{**HL7, **TLS}]}},
    "STOW-RS with a token": {"results": {"targets": [STOW]}},
    "FHIR by name": {"results": {"targets": [FHIR]}, "setup": {"target_addresses": ["10.40.0.0/24"]}},
    "a target on this machine": {"results": {"targets": [HERE]}},
    "commitments": {"dimse": {**DIMSE, "commit_peers": ["CT_1@10.20.0.17:104"]}},
    "commitments over TLS": {"dimse": {**DIMSE, **MUTUAL, "commit_peers": ["CT_1@10.20.0.17:104"]}},
    "a drafting model": {"draft": {"weights": "/srv/llm.gguf", "weights_sha256": "0" * 64}},
}
ANSWERS["all of it"] = {
    "network": {"broker_host": "192.0.2.7", **BROKER},
    "updates": {"url": "https://192.0.2.9/"},
    "receive": {"watched_folder": "/srv/ct"},
    "reports": RIS,
    "dimse": {**DIMSE, **MUTUAL, "commit_peers": ["CT_1@10.20.0.17:104"]},
    "review": {"host": "10.30.0.5"},
    "results": {"targets": [{**PACS, **TLS}, {**HL7, **TLS}, STOW, FHIR, HERE]},
    "draft": {"weights": "/srv/llm.gguf", "weights_sha256": "0" * 64},
    "setup": {"readers": ["10.30.0.0/16"], "target_addresses": ["10.40.0.0/24"]},
}
SHIPPED = {
    "optional/receive-dimse.conf": "receive",
    "optional/receive-reports.conf": "receive",
    "optional/deliver-targets.conf": "deliver",
    "dicomweb/appliance-review.service.d/20-dicomweb.conf": "review",
}


def written(raw: dict[str, Any]) -> dict[Path, str]:
    """The drop-ins that setup writes for these answers, by their place below a root."""
    told = judged(raw, "answers")
    return {path.relative_to("/"): text for path, text in openings.drop_ins(told.config, told.once).items()}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_root(tmp_path_factory.mktemp("units"))


@pytest.fixture
def root(machine: Path) -> Iterator[Path]:
    """The machine's root with no drop-in but the shared walls."""
    yield machine
    for folder in (machine / PLACE).glob("appliance-*.d"):
        if folder.name != "appliance-.service.d":
            shutil.rmtree(folder)


def lay(root: Path, drop_ins: dict[Path, str]) -> list[str]:
    """Puts them there; the units that they belong to."""
    for path, text in drop_ins.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return sorted({path.parent.name.removesuffix(".d") for path in drop_ins})


@pytest.mark.parametrize("name", ANSWERS)
def test_what_setup_opens_stays_under_the_bounds(root: Path, name: str) -> None:
    units = lay(root, written(ANSWERS[name]))
    assert units, "it opens nothing"
    assert complaints(root, units) == []
    for service in SERVICES:
        if f"appliance-{service}.service" in units:
            assert exposure(root, service) <= EXPOSURE_MAX[service], service


def test_the_answers_reach_every_line_that_setup_can_write() -> None:
    source = Path(openings.__file__).read_text()
    texts = [text for raw in ANSWERS.values() for text in written(raw).values()]
    units = {path.parent.name.removesuffix(".d") for raw in ANSWERS.values() for path in written(raw)}
    assert units == {f"appliance-{each}" for each in re.findall(r'^        "([a-z.]+)": _', source, re.MULTILINE)}
    lines = re.findall(r'f?"([A-Z][A-Za-z]+=)', source)
    reasons = re.findall(r'_(?:because|allowed)\("([^"]+)"', source) + re.findall(r'"# ([^"{\\]+)"', source)
    assert len(lines) >= 8
    assert len(reasons) >= 8
    for told in (*lines, *reasons):
        assert any(told in text for text in texts), told


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_to_be_opened_by_hand_stays_under_the_bounds(root: Path, name: str) -> None:
    service, closed = SHIPPED[name], exposure(root, SHIPPED[name])
    units = lay(root, {PLACE / f"appliance-{service}.service.d/site.conf": (UNITS / name).read_text()})
    assert complaints(root, units) == []
    opened = exposure(root, service)
    assert opened <= EXPOSURE_MAX[service]
    assert (opened > closed) == ("IPAddressAllow" in (UNITS / name).read_text()), "systemd does not read it"
    assert {str(path.relative_to(UNITS)) for path in UNITS.glob("*/**/*.conf") if "appliance-." not in str(path)} == {
        *SHIPPED,
        "dicomweb/tmpfiles.conf",
    }


def test_an_opening_too_far_would_be_seen(root: Path) -> None:
    (path,) = (each for each in written(ANSWERS["a PACS"]) if "deliver" in str(each))
    lay(root, {path: "[Service]\nIPAddressAllow=any\nPrivateUsers=no\nPrivateDevices=no\nProtectSystem=no\n"})
    assert exposure(root, "deliver") > EXPOSURE_MAX["deliver"]


# Each loosened line says why.

GIVES = {"ReadWritePaths", "ReadOnlyPaths", "BindPaths", "BindReadOnlyPaths", "SupplementaryGroups", "DeviceAllow"} | {
    "IPAddressAllow",
    "LoadCredential",
    "LoadCredentialEncrypted",
    "AmbientCapabilities",
    "CapabilityBoundingSet",
}
SHUTS = {"InaccessiblePaths", "IPAddressDeny", "SystemCallFilter", "RestrictAddressFamilies"}  # empty: nothing is shut


def loosens(key: str, value: str) -> bool:
    """Whether a line gives a service more than it would have without it."""
    if key in GIVES:
        return value != ""
    if key == "RestrictAddressFamilies" and value:
        return value not in ("AF_UNIX", "none")
    if key == "SystemCallFilter" and value:
        return not value.startswith("~")
    return value in ("no", "false") or (key in SHUTS and value == "")


def unreasoned(text: str) -> list[str]:
    """Loosening lines before which no comment stands; one comment serves a run of lines with the same key."""
    found, before = [], ""
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if not line.startswith("#") and loosens(key, value):
            if before.startswith("#") or before.partition("=")[0] == key:
                before = line
                continue
            found.append(line)
        before = line
    return found


def test_each_loosened_line_of_a_unit_says_why() -> None:
    files = sorted(
        [*UNITS.glob("*.service"), *UNITS.glob("*.socket"), *UNITS.glob("*/**/*.conf"), *UNITS.glob("*/*.service")]
    )
    assert len(files) >= 12
    assert {path.name: wrong for path in files if (wrong := unreasoned(path.read_text()))} == {}


@pytest.mark.parametrize("name", ANSWERS)
def test_each_line_that_setup_opens_says_why(name: str) -> None:
    assert [line for text in written(ANSWERS[name]).values() for line in unreasoned(text)] == []


def test_a_line_without_a_reason_is_seen() -> None:
    for name in SERVICES:
        text = (UNITS / f"appliance-{name}.service").read_text()
        bare = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        assert {"SupplementaryGroups", "ReadWritePaths"} <= {line.partition("=")[0] for line in unreasoned(bare)}
    assert unreasoned("PrivateNetwork=no\nRestrictAddressFamilies=AF_UNIX AF_INET\nInaccessiblePaths=\n") == [
        "PrivateNetwork=no",
        "RestrictAddressFamilies=AF_UNIX AF_INET",
        "InaccessiblePaths=",
    ]
    assert unreasoned("# why\nLoadCredential=a:/a\nLoadCredential=b:/b\nReadWritePaths=/c\n") == ["ReadWritePaths=/c"]
    assert unreasoned("PrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX\nCapabilityBoundingSet=\n") == []
