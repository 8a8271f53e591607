"""The README's three sentences, read off the unit files; and systemd's own opinion of them.

This one fails when somebody loosens a line. What a site opens is judged in tests/test_units_opened.py, and
tests/faults/boot.py tries each wall from within, on a machine that boots.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd_says import EXPOSURE_MAX, PLACE, SERVICES, UNITS, a_root, complaints, exposure

REPORTS = UNITS / "optional" / "receive-reports.conf"
DIMSE = UNITS / "optional" / "receive-dimse.conf"
TARGETS = UNITS / "optional" / "deliver-targets.conf"
MEMORY_MIB = 4096  # of the machine: two cores, four gigabytes
FOR_THE_SYSTEM_MIB = 512


def settings(name: str, folder: Path = UNITS, *more: Path) -> dict[str, str]:
    """The [Service] section as systemd sees it: shared walls, then the unit, then what a site adds; lists add up."""
    merged: dict[str, str] = {}
    for path in (folder / "appliance-.service.d" / "10-walls.conf", folder / f"appliance-{name}.service", *more):
        section = ""
        for line in path.read_text().splitlines():
            if match := re.fullmatch(r"\[(\w+)\]", line):
                section = match[1]
            elif section == "Service" and "=" in line and not line.startswith("#"):
                key, value = line.split("=", 1)
                adds = key in (
                    "InaccessiblePaths",
                    "ReadWritePaths",
                    "SystemCallFilter",
                    "IPAddressAllow",
                    "LoadCredential",
                )
                merged[key] = f"{merged[key]} {value}" if adds and key in merged else value
    return merged


def hidden(unit: dict[str, str]) -> set[str]:
    return {path.lstrip("-") for path in unit.get("InaccessiblePaths", "").split()}


def writable(unit: dict[str, str]) -> list[str]:
    return unit.get("ReadWritePaths", "").split()


def parser_has_no_network(unit: dict[str, str]) -> bool:
    return (
        unit.get("PrivateNetwork") == "yes"
        and unit.get("RestrictAddressFamilies") == "AF_UNIX"
        and unit.get("IPAddressDeny") == "any"
        and "IPAddressAllow" not in unit
    )


def dialler_sees_no_patient(unit: dict[str, str]) -> bool:
    needed = {"/var/lib/appliance/phi", "/var/lib/appliance/incoming", "/var/lib/appliance/review"} | {
        "/srv/scanner",
        "/srv/reports",
    }
    groups = set(unit.get("SupplementaryGroups", "").split())
    return needed <= hidden(unit) and writable(unit) == ["/var/lib/appliance/wire"] and groups == {"appliance-wire"}


def scanner_side_only_adds(unit: dict[str, str]) -> bool:
    needed = {"/var/lib/appliance/phi", "/var/lib/appliance/review", "/var/lib/appliance/wire"}
    return needed <= hidden(unit) and writable(unit) == ["/var/lib/appliance/incoming", "/srv/scanner"]


def page_dials_nothing(unit: dict[str, str]) -> bool:
    """Its socket comes from systemd, so it needs no network: whoever takes it over cannot speak first."""
    return unit.get("PrivateNetwork") == "yes" and unit.get("RestrictAddressFamilies") == "AF_UNIX"


def credentials(unit: dict[str, str]) -> set[str]:
    return {told.split(":")[0] for told in unit.get("LoadCredential", "").split()}


def uplink_has_no_key_of_triage(unit: dict[str, str]) -> bool:
    return credentials(unit) == {"uplink-key", "centre", "tls", "tls-ca"} and "/etc/appliance/keys" in hidden(unit)


def triage_has_no_key_of_uplink(unit: dict[str, str]) -> bool:
    return credentials(unit) == {"site-key", "triage-key", "centre"} and "/etc/appliance/keys" in hidden(unit)


def test_each_service_is_handed_its_own_keys_and_no_other() -> None:
    assert uplink_has_no_key_of_triage(settings("uplink"))
    assert triage_has_no_key_of_uplink(settings("triage"))
    assert credentials(settings("review")) == {"review-tls-key"}
    for name in ("receive", "review", "deliver"):
        assert name == "review" or not credentials(settings(name))
        assert "/etc/appliance/keys" in hidden(settings(name))


def test_every_credential_has_a_place_before_enrolment() -> None:
    """A unit whose credential is missing does not start, and triage must run without enrolment."""
    kept = set(re.findall(r"^f (/etc/appliance/\S+)", (UNITS / "tmpfiles.conf").read_text(), re.MULTILINE))
    for name in ("triage", "uplink", "review"):
        for told in settings(name)["LoadCredential"].split():
            assert told.split(":")[1] in kept | {"/etc/appliance/site.key"}


def test_the_program_that_parses_hostile_bytes_has_no_network() -> None:
    assert parser_has_no_network(settings("triage"))


def test_the_page_has_no_network_but_the_socket_it_is_handed() -> None:
    assert page_dials_nothing(settings("review"))
    door = (UNITS / "appliance-review.socket").read_text()
    assert "ListenStream=127.0.0.1:8042\n" in door
    assert {"IPAddressDeny=any", "IPAddressAllow=localhost"} <= set(door.splitlines())


def test_all_services_together_leave_room_for_the_system() -> None:
    """At their limits, the door to the scanners opened."""
    limits = [settings("receive", UNITS, DIMSE), *(settings(name) for name in SERVICES if name != "receive")]
    sizes = {"M": 1, "G": 1024}
    held = sum(int(unit["MemoryMax"][:-1]) * sizes[unit["MemoryMax"][-1]] for unit in limits)
    assert held + FOR_THE_SYSTEM_MIB <= MEMORY_MIB


@pytest.mark.parametrize("unit", ["release-appliance.service", "monitoring/metrics-appliance.service"])
def test_what_runs_beside_the_services_is_in_no_sum_and_gives_way_first(unit: str) -> None:
    """At their limits all together would not fit: the kernel takes these before any of the five."""
    told = dict(line.split("=", 1) for line in (UNITS / unit).read_text().splitlines() if re.match(r"[A-Z]\w+=", line))
    assert 0 < int(told["MemoryMax"].removesuffix("M")) <= 1536
    assert int(told["OOMScoreAdjust"]) >= 500
    assert not any("OOMScoreAdjust" in settings(name) for name in SERVICES)
    page = (UNITS.parent / "docs/decisions/0047-units.md").read_text()
    assert f"`{Path(unit).stem}` ({int(told['MemoryMax'].removesuffix('M')):,} MiB" in page


def test_nothing_starts_before_setup_and_nothing_gives_up() -> None:
    walls = (UNITS / "appliance-.service.d/10-walls.conf").read_text()
    assert "ConditionPathExists=/etc/appliance/appliance.toml\n" in walls
    assert "StartLimitIntervalSec=0\n" in walls
    assert "ConditionPathExists=/etc/appliance/appliance.toml\n" in (UNITS / "appliance-review.socket").read_text()


def test_users_and_folders_are_made_as_systemd_reads_them(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for program, name in (("systemd-sysusers", "sysusers.conf"), ("systemd-tmpfiles", "tmpfiles.conf")):
        words = [program, f"--root={tmp_path}", *(["--create"] if program == "systemd-tmpfiles" else [])]
        if program == "systemd-tmpfiles" and os.geteuid():
            continue  # only root may give folders away
        done = subprocess.run([*words, UNITS / name], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    users = (tmp_path / "etc/passwd").read_text()
    assert all(f"appliance-{name}:" in users for name in SERVICES)


def test_the_program_that_dials_out_cannot_open_a_patients_file() -> None:
    assert dialler_sees_no_patient(settings("uplink"))
    assert settings("uplink")["ProtectSystem"] == "strict"


def test_the_program_the_scanner_talks_to_can_only_add() -> None:
    assert scanner_side_only_adds(settings("receive"))


def test_final_reports_open_a_folder_and_nothing_else() -> None:
    closed, opened = settings("receive"), settings("receive", UNITS, REPORTS)
    assert {key for key in opened if opened[key] != closed.get(key)} == {"ReadWritePaths"}
    assert writable(opened) == [*writable(closed), "/srv/reports"]


def test_a_scanner_s_network_opens_one_door_and_no_other() -> None:
    """Receive on the network still can only add, and speaks with named addresses alone."""
    closed, opened = settings("receive"), settings("receive", UNITS, DIMSE)
    assert closed["PrivateNetwork"] == "yes"
    assert "IPAddressAllow" not in closed
    changed = {key for key in opened if opened[key] != closed.get(key)}
    assert changed == {"PrivateNetwork", "RestrictAddressFamilies", "LoadCredential", "MemoryMax", "IPAddressAllow"}
    assert opened["IPAddressDeny"] == "any"
    assert scanner_side_only_adds(opened)
    assert credentials(opened) == {"dimse-tls-key"}
    assert "f /etc/appliance/dimse.key" in (UNITS / "tmpfiles.conf").read_text()


def deliver_sees_results_only(unit: dict[str, str]) -> bool:
    needed = {"studies.db", "instances", "frames"}
    elsewhere = {"/var/lib/appliance/incoming", "/var/lib/appliance/review", "/var/lib/appliance/wire", "/srv/scanner"}
    return (
        {f"/var/lib/appliance/phi/{name}" for name in needed} | elsewhere <= hidden(unit)
        and writable(unit) == ["/var/lib/appliance/phi/receipts"]
        and unit["IPAddressDeny"] == "any"
        and credentials(unit) == set()
    )


def test_targets_open_addresses_and_nothing_else() -> None:
    closed, opened = settings("deliver"), settings("deliver", UNITS, TARGETS)
    assert "IPAddressAllow" not in closed
    assert deliver_sees_results_only(closed)
    assert deliver_sees_results_only(opened)
    assert {key for key in opened if opened[key] != closed.get(key)} == {"IPAddressAllow"}


@pytest.mark.parametrize(
    ("name", "check", "old", "new"),
    [
        ("deliver", deliver_sees_results_only, "-/var/lib/appliance/phi/studies.db ", ""),
        ("deliver", deliver_sees_results_only, "phi/receipts", "phi"),
        ("triage", parser_has_no_network, "PrivateNetwork=yes", "PrivateNetwork=no"),
        ("triage", parser_has_no_network, "RestrictAddressFamilies=AF_UNIX", "RestrictAddressFamilies=AF_UNIX AF_INET"),
        ("uplink", dialler_sees_no_patient, "-/var/lib/appliance/phi ", ""),
        ("uplink", dialler_sees_no_patient, "=appliance-wire", "=appliance-wire appliance-phi"),
        (
            "uplink",
            uplink_has_no_key_of_triage,
            "=tls:",
            "=triage-key:/etc/appliance/keys/triage.key\nLoadCredential=tls:",
        ),
        ("triage", triage_has_no_key_of_uplink, "=triage-key:", "=uplink-key:"),
        ("review", page_dials_nothing, "PrivateNetwork=yes", "PrivateNetwork=no"),
        ("receive", scanner_side_only_adds, " -/var/lib/appliance/wire", ""),
        ("receive", scanner_side_only_adds, "/incoming /srv", "/incoming /var/lib/appliance/phi /srv"),
    ],
)
def test_a_loosened_line_is_caught(tmp_path: Path, name: str, check: object, old: str, new: str) -> None:
    shutil.copytree(UNITS, tmp_path / "units")
    unit = tmp_path / "units" / f"appliance-{name}.service"
    text = unit.read_text()
    assert old in text
    unit.write_text(text.replace(old, new))
    assert callable(check)
    assert not check(settings(name, tmp_path / "units"))


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_user_and_the_shared_walls(name: str) -> None:
    unit = settings(name)
    assert unit["User"] == f"appliance-{name}"
    assert f"u appliance-{name} " in (UNITS / "sysusers.conf").read_text()
    assert unit["ExecStart"].endswith(f" run {name}")
    for key in ("NoNewPrivileges", "PrivateDevices", "ProtectHome", "RestrictNamespaces", "MemoryDenyWriteExecute"):
        assert unit[key] == "yes"
    assert unit["CapabilityBoundingSet"] == ""
    assert unit["RestartPreventExitStatus"] == "78"
    assert "MemoryMax" in unit


def test_units_and_groups_agree() -> None:
    sysusers = (UNITS / "sysusers.conf").read_text()
    for name in SERVICES:
        told = set(settings(name).get("SupplementaryGroups", "").split())
        members = set(re.findall(rf"^m appliance-{name}\s+(\S+)", sysusers, re.MULTILINE))
        assert told == members, name


@pytest.mark.parametrize("name", SERVICES)
def test_exposure_as_systemd_judges_it(tmp_path: Path, name: str) -> None:
    assert exposure(a_root(tmp_path), name) <= EXPOSURE_MAX[name]


def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    names = ["appliance.target", "appliance-review.socket", *(f"appliance-{name}.service" for name in SERVICES)]
    assert complaints(a_root(tmp_path), names) == []


def test_verify_would_see_a_fault(tmp_path: Path) -> None:
    root = a_root(tmp_path)
    unit = root / PLACE / "appliance-triage.service"
    unit.write_text(unit.read_text().replace("Nice=5", "Nicety=5"))
    assert any("Nicety" in line for line in complaints(root, [unit.name]))


# DICOMweb's opening


def page_sees_no_original(unit: dict[str, str]) -> bool:
    return "/var/lib/appliance/phi/instances" in hidden(unit) and unit["MemoryMax"] == "512M"


def opened(text: str) -> dict[str, str]:
    """The review unit as systemd sees it with the drop-in: an empty list forgets what stood before."""
    unit = settings("review")
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            adds = key in ("InaccessiblePaths", "SupplementaryGroups", "SystemCallFilter")
            unit[key] = f"{unit.get(key, '')} {value}" if adds and value else value
    return unit


def opens_originals_only(unit: dict[str, str]) -> bool:
    before = hidden(settings("review"))
    return (
        before - hidden(unit) == {"/var/lib/appliance/phi/instances"}
        and unit.get("ReadOnlyPaths") == "/var/lib/appliance/phi/instances"
        and unit["IPAddressDeny"] == "any"
    )


def test_the_page_sees_no_original_unless_the_site_opens_them() -> None:
    assert page_sees_no_original(settings("review"))
    kept = re.search(r"phi/instances +(\d+) +(\S+) +(\S+)", (UNITS / "tmpfiles.conf").read_text())
    assert kept is not None
    assert kept.groups() == ("0700", "appliance-triage", "appliance-triage")
    text = (UNITS / "dicomweb/appliance-review.service.d/20-dicomweb.conf").read_text()
    assert opens_originals_only(opened(text))
    assert not opens_originals_only(opened(text.replace("-/etc/appliance/keys", "")))
    assert not opens_originals_only(opened(text.replace("ReadOnlyPaths", "ReadWritePaths")))
    assert "process_vm_writev" in opened(text)["SystemCallFilter"]


def test_releases_are_installed_by_root_apart_from_the_walls_and_judged_by_the_former_version() -> None:
    unit, timer = ((UNITS / f"release-appliance.{kind}").read_text() for kind in ("service", "timer"))
    assert not list(UNITS.glob("appliance-release*")), "the walls of the services would lie over it"
    assert "ExecStart=/usr/lib/appliance/judge --config /etc/appliance/appliance.toml release\n" in unit
    assert "PrivateNetwork=yes\n" in unit  # it brings nothing in by itself
    assert "WantedBy=appliance.target\n" in timer
    package = UNITS / "package"
    judge = (package / "judge").read_text()
    assert judge.index("/opt/appliance/release/former") < judge.index("exec /usr/bin/appliance")
    assert "usr/lib/appliance/judge" in (package / "make_deb.py").read_text()
    for script in ("postinst", "prerm"):
        assert "release-appliance.timer" in (package / "debian" / script).read_text()
