"""The walls on a machine that boots: systemd's own opinion of each unit, and each wall tried from within.

A try runs as root in the service's mount and network name spaces and its control group: what its unit forbids must fail
there, and beside it what the service needs must work, so that a wall that is no wall is seen.
"""

import re
import shlex

from tests.faults.booted import KEYS, SERVICES, STATE, Boot
from tests.systemd_says import EXPOSURE_MAX

ELSEWHERE = "192.0.2.1"  # an address that no unit allows (RFC 5737), put on the machine's loopback
# service, command, whether it may
TRIES = (
    ("uplink", f"test -s {STATE}/wire/cases.db", True),
    ("uplink", f"grep -q . {STATE}/phi/studies.db", False),
    ("uplink", f"ls {STATE}/phi/instances/*", False),
    ("uplink", f"ls {STATE}/review/*", False),
    ("uplink", "grep -q . /etc/appliance/site.key", False),
    ("uplink", f"grep -q . {KEYS}/triage.key", False),
    ("uplink", "exec 3<>/dev/tcp/127.0.0.1/1883", True),
    ("uplink", f"exec 3<>/dev/tcp/{ELSEWHERE}/9999", False),
    ("receive", f"touch {STATE}/incoming/.wall && rm {STATE}/incoming/.wall", True),
    ("receive", f"ls {STATE}/phi/*", False),
    ("receive", f"ls {STATE}/wire/*", False),
    ("receive", "exec 3<>/dev/tcp/127.0.0.1/1883", False),
    ("triage", f"test -s {STATE}/phi/studies.db", True),
    ("triage", "exec 3<>/dev/tcp/127.0.0.1/1883", False),
    ("triage", f"exec 3<>/dev/tcp/{ELSEWHERE}/9999", False),
    ("triage", f"grep -q . {KEYS}/uplink.key", False),
    ("triage", "ls /srv/scanner/*", False),
    ("review", f"test -s {STATE}/review/review.db", True),
    ("review", f"ls {STATE}/phi/instances/*", False),
    ("review", "exec 3<>/dev/tcp/127.0.0.1/1883", False),
    ("review", "grep -q . /etc/appliance/site.key", False),
    ("deliver", f"ls {STATE}/phi/receipts", True),
    ("deliver", f"grep -q . {STATE}/phi/studies.db", False),
    ("deliver", f"exec 3<>/dev/tcp/{ELSEWHERE}/9999", False),
    ("deliver", "touch /usr/wall", False),
    ("triage", "touch /etc/appliance/wall", False),
)


def exposures(boot: Boot) -> str:
    """As the running systemd counts, with every drop-in that setup wrote here."""
    told = []
    for name in SERVICES:
        said = boot.machine.do(f"systemd-analyze security --no-pager appliance-{name}.service")
        match = re.search(r"exposure level for \S+: ([0-9.]+)", said)
        assert match, said[-300:]
        assert float(match[1]) <= EXPOSURE_MAX[name], f"{name}: {match[1]}, at most {EXPOSURE_MAX[name]}"
        told.append(f"{name} {match[1]} (at most {EXPOSURE_MAX[name]})")
    return ", ".join(told)


def walls(boot: Boot) -> str:
    machine = boot.machine
    machine.do(f"ip address add {ELSEWHERE}/32 dev lo; ip link set lo up")
    machine.do(f"systemd-run -q --unit=elsewhere python3 -m http.server 9999 --bind {ELSEWHERE}")
    machine.until(f"exec 3<>/dev/tcp/{ELSEWHERE}/9999", 20)
    wrong = [
        f"{name}: {command} {'fails' if may else 'is possible'}"
        for name, command, may in TRIES
        if (_within(boot, name, command) == 0) != may
    ]
    assert not wrong, wrong
    forbidden = sum(not may for *_, may in TRIES)
    return (
        f"{len(TRIES)} tries as root in the units' name spaces: {forbidden} forbidden ones failed, "
        f"{len(TRIES) - forbidden} that must work did"
    )


def _within(boot: Boot, name: str, command: str) -> int:
    group = f"/sys/fs/cgroup/system.slice/appliance-{name}.service/cgroup.procs"
    pid = f"$(systemctl show -P MainPID appliance-{name})"
    inside = f"echo $$ > {group}; exec nsenter -t {pid} -m -n -- timeout 5 bash -c {shlex.quote(command)}"
    return boot.machine.try_(inside)[0]
