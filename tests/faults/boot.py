"""The package on a machine that boots: installed without a network, set up, used, killed, upgraded, unplugged, filled.

    python -m tests.faults.boot [--films 3] [--keep FOLDER] [--package DEB]

Debian 12 under systemd as process 1 (tests.faults.machine), with no network but its loopback, and four gigabytes. The
broker is Debian's mosquitto inside; the centre runs outside and comes in by the machine's network name space. Prints a
table; exits with 1 where anything is wrong. Root only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sample_dicom.scanner import stories
from tests.faults import boot_after, boot_versions, boot_walls
from tests.faults.booted import FORMER, ROOT, SERVICES, UNITS, Boot
from tests.faults.machine import NoMachine

PASSWORD = "blue whale counting 7 stars"
ANSWERS = """
[site]
name = "synthetic"
device_id = "boot-1"
[state]
unencrypted_because = "a machine for a test"
[receive]
settle_s = 0.3
rescan_period_s = 0.5
unlike_dicom_s = 2.0
[triage]
quiet_period_s = 2.0
quiet_period_with_evidence_s = 1.0
[network]
resend_after_s = 2.0
resend_after_max_s = 8.0
[setup]
administrator = "anna"
password_file = "/mnt/password"
"""
MISTAKEN = (
    '[site]\nname = "Harbour Hospital"\n[receive]\nwatched_folder = 7\n[network]\nbroker_host = "broker.example"\n'
)


def story(boot: Boot) -> None:
    """Every step, one after the other; the table grows."""
    for name, work in (
        ("boot a bare Debian 12", lambda boot: f"{boot.machine.start():.1f} s until systemd is idle"),
        ("apt-get install, no network", install),
        ("setup with three mistakes", mistakes),
        ("setup, enrolment, again", setup),
        ("studies to their lanes", studies),
        ("exposure, as systemd counts", boot_walls.exposures),
        ("walls, from within each unit", boot_walls.walls),
        ("kill -9 of each service", kills),
        ("site key sealed to the machine", seal_key),
        ("upgrade, cases in flight", boot_versions.upgrade),
        ("roll back, and on again", boot_versions.roll_back),
        ("signed release, on a stick", boot_versions.release),
        ("signed release that is worse", boot_versions.worse_release),
        ("plug pulled, booted again", boot_after.power),
        ("disk full, room again", boot_after.full),
        ("backup, state gone, restore", boot_after.restored),
        ("metrics by their timer", boot_after.textfile),
        ("books", boot_after.books),
        ("memory", boot_after.memory),
        ("prove, beside all that runs", boot_after.prove),
        ("remove, purge", boot_after.purge),
    ):
        boot.step(name, work)


def install(boot: Boot) -> str:
    machine = boot.machine
    assert machine.do("ip -br link | grep -v ^lo | wc -l") == "0", "there must be no network"
    machine.put(boot.former, "/mnt/former.deb")
    machine.put(boot.package, "/mnt/package.deb")
    # apt reads what the package depends on; dpkg alone would leave it unpacked and say so. Recommends are not there.
    machine.do("cd /mnt && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ./former.deb")
    assert machine.do("dpkg-query -W -f '${db:Status-Abbrev}' edge-diagnostic-appliance") == "ii"
    machine.do("zcat /usr/share/man/man1/appliance.1.gz | grep -q 'COMMAND.*appliance setup'")
    assert machine.do("systemctl is-enabled appliance.target") == "enabled"
    machine.do("systemctl start appliance.target")
    active = machine.try_(f"systemctl is-active {UNITS}")[1].split()
    assert set(active) == {"inactive"}, "nothing may start before setup"
    size = machine.do("du -sm /opt/appliance | cut -f1")
    return f"{boot.former.stat().st_size / 2**20:.0f} MiB package, {size} MiB on disk; nothing started"


def mistakes(boot: Boot) -> str:
    boot.machine.write("/mnt/mistaken.toml", MISTAKEN)
    status, said = boot.machine.try_("appliance setup --from /mnt/mistaken.toml")
    assert status == 78, said
    assert all(key in said for key in ("site.name", "receive.watched_folder", "network: ")), said
    assert boot.machine.try_("test -e /etc/appliance/appliance.toml")[0] == 1, "nothing may be written"
    return "all three named, status 78, nothing written"


def setup(boot: Boot) -> str:
    machine, centre = boot.machine, boot.centre
    machine.do("systemctl enable -q --now mosquitto")
    machine.write("/mnt/password", PASSWORD, 0o600)
    machine.write("/mnt/setup.toml", f'{ANSWERS}request = "/mnt/request"\n')
    said = machine.do("appliance setup --from /mnt/setup.toml")
    finger = next(line for line in said.splitlines() if line.startswith("appliance boot-1")).split(" ", 2)[2]
    theirs = centre.verb("init", "--keys", centre.folder / "keys").removeprefix("centre ")
    request, answer = machine.root / "mnt/request", machine.root / "mnt/answer"
    words = ("--keys", centre.folder / "keys", request, "-o", answer, "--fingerprint", finger)
    centre.verb("enrol-accept", *words)
    machine.write("/mnt/setup.toml", f'{ANSWERS}answer = "/mnt/answer"\nfingerprint = "{theirs}"\n')
    machine.do("appliance setup --from /mnt/setup.toml")
    before = _as_it_stands(boot)
    machine.do("appliance setup --from /mnt/setup.toml")
    assert _as_it_stands(boot) == before, "setup twice must change nothing"
    centre.come(machine)
    return "five services run; the third setup changed no file and restarted nothing"


def _as_it_stands(boot: Boot) -> str:
    return boot.machine.do(
        "find /etc/appliance /etc/systemd/system -type f -printf '%p %T@ %m %U\\n' | sort; "
        f"systemctl show -p ActiveEnterTimestampMonotonic -p MainPID -p ActiveState {UNITS}"
    )


def studies(boot: Boot) -> str:
    return boot.studies(stories(7, None, boot.films, "synthetic"))


def kills(boot: Boot) -> str:
    said = []
    boot.studies(boot.more(), wait=False)
    for name in SERVICES:
        unit = f"appliance-{name}.service"
        pid = boot.machine.do(f"systemctl show -P MainPID {unit}")
        boot.machine.do(f"kill -9 {pid}")
        if name == "review":  # systemd holds the socket: whoever comes meanwhile waits
            boot.machine.do("timeout 60 bash -c 'exec 3<>/dev/tcp/127.0.0.1/8042'")
        again = f"systemctl is-active -q {unit} && [ $(systemctl show -P MainPID {unit}) != {pid} ]"
        said.append(f"{name} {boot.machine.until(again, 120):.1f}")
    boot.settled()
    return f"back after s: {', '.join(said)}; the page's door never shut"


def seal_key(boot: Boot) -> str:
    """By the recipe of docs/at-rest.md, with the machine's own secret: a container has no TPM. Then open again."""
    machine, key = boot.machine, "/etc/appliance/site.key"
    drop_in = "/etc/systemd/system/appliance-triage.service.d/30-site-key.conf"
    machine.do(f"cp -p {key} /mnt/kept.key")
    machine.do(f"systemd-creds encrypt --with-key=host --name=site-key {key} {key}.cred")
    machine.do(f"mkdir -p {Path(drop_in).parent}")
    machine.write(drop_in, f"[Service]\nLoadCredentialEncrypted=site-key:{key}.cred\n")
    machine.do(f"rm {key}; systemctl daemon-reload; systemctl restart appliance-triage")
    assert machine.do("systemctl is-active appliance-triage") == "active"
    lines = {each["name"]: each for each in json.loads(machine.try_("appliance check --json")[1])}
    assert lines["site key"]["found"] == "sealed to this machine, and opens", lines["site key"]
    machine.do("appliance setup --from /mnt/setup.toml")
    assert machine.try_(f"test -e {key}")[0] == 1, "setup made another key"
    machine.do("appliance backup --new-key /mnt/backup.key")
    machine.do("appliance backup /mnt/a.age --to $(sed -n 's/^# public key: //p' /mnt/backup.key)")
    machine.write("/mnt/other.toml", '[state]\nfolder = "/mnt/other"\n')
    back = "--config /mnt/other.toml restore /mnt/a.age --key /mnt/backup.key --configuration /mnt/settings"
    machine.do(f"appliance {back} && cmp /mnt/settings/site.key /mnt/kept.key && rm -r /mnt/other /mnt/settings")
    said = boot.studies(boot.more())
    machine.do(f"mv /mnt/kept.key {key}; rm {key}.cred {drop_in} /mnt/a.age /mnt/backup.key")
    machine.do("systemctl daemon-reload; systemctl restart appliance-triage")
    return f"setup makes no other, the backup has it; {said}"


def built() -> Path:
    """The package of this tree."""
    command = [sys.executable, "systemd/package/make_deb.py", "-o", "build/boot/packages"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return ROOT / done.stdout.split()[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="The package on a machine that boots.")
    parser.add_argument("--films", type=int, default=3, help="synthetic films beside the usual mix (default: 3)")
    parser.add_argument("--keep", type=Path, help="work there and leave it")
    parser.add_argument("--former", type=Path, help=f"a package of version {FORMER}; by default the other, renumbered")
    parser.add_argument("--package", type=Path, help="the package to upgrade to; built when not given")
    told = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as passing:
        folder = told.keep or Path(passing)
        folder.mkdir(exist_ok=True)
        package = told.package or built()
        former = told.former or boot_versions.renumbered(package, FORMER, folder)
        try:
            boot = Boot(folder, former, package, told.films)
        except NoMachine as why:
            print(f"no machine can be booted here: {why}", file=sys.stderr)
            return 1
        fault = ""
        try:
            story(boot)
        except AssertionError as error:
            fault = str(error)
        finally:
            boot.centre.go()
            boot.machine.close()
    for name, said in boot.table:
        print(f"{name:<30} {said}")
    print(f"BROKEN: {fault}" if fault else f"all as it should be, {time.monotonic() - began:.0f} s")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
