"""The package on a machine that boots: installed without a network, set up, used, killed, upgraded, unplugged, filled.

    python -m tests.faults.boot [--films 3] [--keep FOLDER] [--package DEB --former DEB]

Debian 12 under systemd as process 1 (tests.faults.machine), with no network but its loopback, and four gigabytes. The
broker is Debian's mosquitto inside; the centre runs outside and comes in by the machine's network name space.
From within each service's own name spaces and control group it is tried what its unit forbids, and beside it what must
work, so that a wall that is no wall is seen. Prints a table; exits with 1 where anything is wrong. Root only.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sample_dicom.scanner import Story, drop, stories, synthetic
from tests.faults.machine import Machine, NoMachine

ROOT = Path(__file__).parents[2]
SERVICES = ("receive", "triage", "uplink", "review", "deliver")
STATE, KEYS = "/var/lib/appliance", "/etc/appliance/keys"
PASSWORD = "blue whale counting 7 stars"
FORMER = "0.0.9"
PATIENCE_S = 300.0
ENDS = frozenset({"routine", "answered"})
ELSEWHERE = "192.0.2.1"  # an address that no unit allows (RFC 5737), put on the machine's loopback
HOSTS = ("clock: held", "disk: power", "kernel: ")  # lines of check about the host, which a container cannot mend
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


@dataclass
class Centre:
    """The centre, outside the machine and inside its network."""

    folder: Path
    running: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def verb(self, *words: object) -> str:
        command = [sys.executable, "-m", "central.cli", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        return done.stdout.strip().splitlines()[-1]

    def come(self, machine: Machine) -> None:
        inside = ["nsenter", "-t", str(machine.init), "-n", "--", sys.executable, "-m", "central.cli"]
        worker = ["run", "--state", str(self.folder / "state"), "--keys", str(self.folder / "keys")]
        worker += ["--broker", "127.0.0.1:1883", "--endpoint", "http://127.0.0.1:8099/v1"]
        with (self.folder / "log.txt").open("ab") as log:
            for words in (["no-model", "--port", "8099"], worker):
                self.running.append(subprocess.Popen([*inside, *words], stdout=log, stderr=log, cwd=ROOT))

    def go(self) -> None:
        for each in self.running:
            each.kill()
            each.wait()
        self.running.clear()


class Boot:
    """The story, a step after the other; `table` is what was seen."""

    def __init__(self, folder: Path, former: Path, package: Path, films: int) -> None:
        self.machine = Machine(folder / "machine")
        self.centre = Centre(folder / "centre")
        self.centre.folder.mkdir()
        self.former, self.package, self.films = former, package, films
        self.table: list[tuple[str, str]] = []
        self.sent: list[Story] = []
        self.seed = 0

    def step(self, name: str, work: Callable[[], str]) -> None:
        began = time.monotonic()
        print(f"... {name}", file=sys.stderr, flush=True)
        said = work()
        self.table.append((name, f"{time.monotonic() - began:6.1f} s  {said}"))

    def run(self) -> None:
        for name, work in (
            ("boot a bare Debian 12", lambda: f"{self.machine.start():.1f} s until systemd is idle"),
            ("install, no network", self.install),
            ("setup with three mistakes", self.mistakes),
            ("setup, enrolment, again", self.setup),
            ("studies to their lanes", lambda: self.studies(stories(7, None, self.films, "synthetic"))),
            ("walls, from within each unit", self.walls),
            ("kill -9 of each service", self.kills),
            ("site key sealed to the machine", self.seal_key),
            ("upgrade, cases in flight", self.upgrade),
            ("roll back, and on again", self.roll_back),
            ("signed release, on a stick", self.release),
            ("plug pulled, booted again", self.power),
            ("disk full, room again", self.full),
            ("books", self.books),
            ("memory", self.memory),
            ("prove, beside all that runs", self.prove),
            ("remove, purge", self.purge),
        ):
            self.step(name, work)

    # What happens to it.

    def install(self) -> str:
        machine = self.machine
        assert machine.do("ip -br link | grep -v ^lo | wc -l") == "0", "there must be no network"
        machine.put(self.former, "/mnt/former.deb")
        machine.put(self.package, "/mnt/package.deb")
        machine.do("DEBIAN_FRONTEND=noninteractive dpkg -i /mnt/former.deb")
        assert machine.do("systemctl is-enabled appliance.target") == "enabled"
        machine.do("systemctl start appliance.target")
        active = machine.try_(f"systemctl is-active {units()}")[1].split()
        assert set(active) == {"inactive"}, "nothing may start before setup"
        size = machine.do("du -sm /opt/appliance | cut -f1")
        return f"{self.former.stat().st_size / 2**20:.0f} MiB package, {size} MiB on disk; nothing started"

    def mistakes(self) -> str:
        self.machine.write("/mnt/mistaken.toml", MISTAKEN)
        status, said = self.machine.try_("appliance setup --from /mnt/mistaken.toml")
        assert status == 78, said
        assert all(key in said for key in ("site.name", "receive.watched_folder", "network: ")), said
        assert self.machine.try_("test -e /etc/appliance/appliance.toml")[0] == 1, "nothing may be written"
        return "all three named, status 78, nothing written"

    def setup(self) -> str:
        machine, centre = self.machine, self.centre
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
        before = self._as_it_stands()
        machine.do("appliance setup --from /mnt/setup.toml")
        assert self._as_it_stands() == before, "setup twice must change nothing"
        centre.come(machine)
        return "five services run; the third setup changed no file and restarted nothing"

    def _as_it_stands(self) -> str:
        return self.machine.do(
            "find /etc/appliance /etc/systemd/system -type f -printf '%p %T@ %m %U\\n' | sort; "
            f"systemctl show -p ActiveEnterTimestampMonotonic -p MainPID -p ActiveState {units()}"
        )

    def studies(self, told: list[Story], *, wait: bool = True) -> str:
        scanner = self.machine.root / "srv/scanner"
        for story in told:
            drop(story, scanner)
        self.sent += told
        return self.settled() if wait else ""

    def more(self, films: int = 3) -> list[Story]:
        self.seed += 1
        return list(synthetic(self.seed, films, 0.5))

    def settled(self) -> str:
        """Waits until every study that was ever sent is in its lane, and every hard one has its verdict."""
        wanted = {story.study_instance_uid: story.expect for story in self.sent if story.study_instance_uid}
        ends, found = time.monotonic() + PATIENCE_S, {}
        while time.monotonic() < ends:
            found = {row["study_instance_uid"]: row for row in self._rows()}
            if all(uid in found and found[uid]["state"] in ENDS for uid in wanted):
                break
            time.sleep(1)
        open_ = [
            f"{found.get(uid, {}).get('state', 'not here')}"
            for uid in wanted
            if uid not in found or found[uid]["state"] not in ENDS
        ]
        assert not open_, f"still open: {open_}; {self.last_words()}"
        lanes = [found[uid]["lane"] for uid in wanted]
        wrong = [uid for uid, expect in wanted.items() if expect == "escalated" and found[uid]["lane"] != "escalated"]
        assert not wrong, f"in a wrong lane: {wrong}"
        assert set(lanes) > {"escalated"}, f"no lane opened, so no model decided: {self.last_words()}"
        counts = {lane: lanes.count(lane) for lane in ("cleared", "flagged", "escalated")}
        return ", ".join(f"{count} {lane}" for lane, count in counts.items()) + "; each escalated one has its verdict"

    def _rows(self) -> list[dict[str, Any]]:
        status, said = self.machine.try_("appliance studies --json 2>/dev/null")
        rows: list[dict[str, Any]] = json.loads(said) if status == 0 and said.startswith("[") else []
        return rows

    def last_words(self) -> str:
        return self.machine.try_("journalctl -b --no-pager -n 25 -u 'appliance*'")[1]

    def seal_key(self) -> str:
        """By the recipe of docs/at-rest.md, with the machine's own secret: a container has no TPM. Then open again."""
        machine, key = self.machine, "/etc/appliance/site.key"
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
        said = self.studies(self.more())
        machine.do(f"mv /mnt/kept.key {key}; rm {key}.cred {drop_in} /mnt/a.age /mnt/backup.key")
        machine.do("systemctl daemon-reload; systemctl restart appliance-triage")
        return f"setup makes no other, the backup has it; {said}"

    # The walls.

    def _within(self, name: str, command: str) -> int:
        """The status of a command run as root in a service's mount and network name spaces and its control group."""
        group = f"/sys/fs/cgroup/system.slice/appliance-{name}.service/cgroup.procs"
        pid = f"$(systemctl show -P MainPID appliance-{name})"
        inside = f"echo $$ > {group}; exec nsenter -t {pid} -m -n -- timeout 5 bash -c {shlex.quote(command)}"
        return self.machine.try_(inside)[0]

    def walls(self) -> str:
        machine = self.machine
        machine.do(f"ip address add {ELSEWHERE}/32 dev lo; ip link set lo up")
        machine.do(f"systemd-run -q --unit=elsewhere python3 -m http.server 9999 --bind {ELSEWHERE}")
        machine.until(f"exec 3<>/dev/tcp/{ELSEWHERE}/9999", 20)
        allowed: list[str] = []
        for name, command, may in (
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
        ):
            if (self._within(name, command) == 0) != may:
                allowed.append(f"{name}: {command} {'fails' if may else 'is possible'}")
        assert not allowed, allowed
        return "26 tries as root in the units' name spaces: 20 forbidden ones failed, 6 that must work did"

    def kills(self) -> str:
        said = []
        self.studies(self.more(), wait=False)
        for name in SERVICES:
            unit = f"appliance-{name}.service"
            pid = self.machine.do(f"systemctl show -P MainPID {unit}")
            self.machine.do(f"kill -9 {pid}")
            if name == "review":  # systemd holds the socket: whoever comes meanwhile waits
                self.machine.do("timeout 60 bash -c 'exec 3<>/dev/tcp/127.0.0.1/8042'")
            again = f"systemctl is-active -q {unit} && [ $(systemctl show -P MainPID {unit}) != {pid} ]"
            said.append(f"{name} {self.machine.until(again, 120):.1f}")
        self.settled()
        return f"back after s: {', '.join(said)}; the page's door never shut"

    def upgrade(self) -> str:
        self.centre.go()  # so that cases are in flight, with nobody to answer
        self.studies(self.more(), wait=False)
        self.machine.until("appliance status --json | grep -q '\"incoming\": 0'", 60)
        self.machine.do("DEBIAN_FRONTEND=noninteractive dpkg -i /mnt/package.deb")
        wanted = self.machine.do("dpkg-query -W -f '${Version}' edge-diagnostic-appliance")
        self._all_run()
        assert self.machine.do("appliance --version") == wanted
        kept = self.machine.do("appliance-version")
        assert f"{FORMER}" in kept, kept
        self.centre.come(self.machine)
        return f"{FORMER} -> {wanted}, {FORMER} kept beside it; {self.settled()}"

    def roll_back(self) -> str:
        wanted = self.machine.do("appliance --version")
        self.studies(self.more(2), wait=False)
        self.machine.do(f"appliance-version {FORMER}")
        self._all_run()
        assert self.machine.do("appliance --version") == FORMER
        said = self.settled()
        self.machine.do(f"appliance-version {wanted}")
        self._all_run()
        return said

    def release(self) -> str:
        """The same package, signed: the former version tests it, installs it, watches it, and lies beside it after."""
        machine, folder = self.machine, self.centre.folder / "publish"
        wanted = machine.do("appliance --version")
        machine.do(f"appliance-version {FORMER}")
        self._all_run()
        keys = ("--repository", folder / "updates", "--keys", folder / "keys")
        self.centre.verb("publish", "init", *keys, "--offline", folder / "offline")
        self.centre.verb("publish", "add", "release", self.package, "--ring", "all", *keys)
        machine.put(folder / "updates", "/mnt/updates")
        machine.put(folder / "updates/metadata/1.root.json", "/etc/appliance/updates-root.json")
        machine.do("chmod -R a+rX /mnt/updates /etc/appliance/updates-root.json")
        machine.do("runuser -u appliance-uplink -- appliance updates import /mnt/updates", timeout_s=300)
        machine.do("systemctl is-active -q release-appliance.timer")
        took = machine.until(f"appliance release --install {wanted}", 900)
        assert machine.do("appliance --version") == wanted
        self._all_run()
        told = machine.do("appliance updates list")
        assert f"{wanted}  installed" in told, told
        machine.do(f"test -x /opt/appliance/versions/{FORMER}/bin/appliance && ! test -e /opt/appliance/release/former")
        machine.do(f"rm -r /etc/appliance/updates-root.json /mnt/updates {STATE}/wire/targets/repository")
        return f"tested, installed, watched and kept in {took:.0f} s; {FORMER} lies beside it"

    def _all_run(self) -> None:
        """The page, to which readers come, runs when the socket has its first visitor; the others always."""
        for name in SERVICES:
            self.machine.until(f"systemctl is-active -q appliance-{name}.service", 120)

    def power(self) -> str:
        self.studies(self.more(), wait=False)
        time.sleep(2.0)  # the plug is pulled in the midst of it, whatever was reached
        self.machine.cut()
        self.centre.go()
        booted = self.machine.start()
        began = time.monotonic()
        self._all_run()
        ran = time.monotonic() - began
        self.centre.come(self.machine)
        return f"booted in {booted:.1f} s, all five ran {ran:.1f} s later; {self.settled()}"

    def full(self) -> str:
        machine = self.machine
        machine.do(f"fallocate -l $(($(df -B1 --output=avail {STATE} | tail -1) - 4096)) {STATE}/filler || true")
        machine.do(f"dd if=/dev/zero of={STATE}/filler2 bs=64k 2>/dev/null || true")
        told = self.more(2)
        self.studies(told, wait=False)
        machine.until(f"! test -e {STATE}/ballast", 120)
        machine.do("appliance status | grep -q . ")
        waiting = machine.do("find /srv/scanner -maxdepth 1 -name '*.dcm' | wc -l")
        assert waiting == str(len(told)), f"{waiting} files wait in the scanner's folder"
        machine.do(f"rm {STATE}/filler {STATE}/filler2")
        said = self.settled()
        machine.until(f"test -e {STATE}/ballast", 120)
        return f"taking stopped, nothing was taken half, ballast given and taken again; {said}"

    def books(self) -> str:
        self.machine.do("appliance reconcile --deep")
        status, said = self.machine.try_("appliance check --json")
        every = [line["name"] for line in json.loads(said[said.index("[") :]) if not line["ok"]]
        red = [name for name in every if not name.startswith(HOSTS)]
        failed = self.machine.do("systemctl list-units --failed --plain --no-legend 'appliance*'")
        assert not failed, failed
        assert not red, (status, red)
        host = f", but for what the machine under the container is: {', '.join(every)}" if every else ""
        return f"reconcile --deep is clean over {len(self._rows())} studies; every line of check is green{host}"

    def memory(self) -> str:
        told = []
        for name in SERVICES:
            pids = f"$(cat /sys/fs/cgroup/system.slice/appliance-{name}.service/cgroup.procs)"
            said = self.machine.do(f"for p in {pids}; do grep VmHWM /proc/$p/status; done")
            told.append(f"{name} {sum(int(line.split()[1]) for line in said.splitlines()) // 1024}")
        peak = self.machine.memory_peak() // 2**20
        return f"machine held to 4096 MiB; peak {peak or '?'} MiB with page cache; resident MiB: {', '.join(told)}"

    def prove(self) -> str:
        """With what the package brings and nothing else: the machine's mosquitto is out of sight."""
        program = "/usr/sbin/mosquitto"
        command = f"mv {program} {program}.aside; appliance prove --quick -o /var/tmp/prove.html; status=$?"
        said = self.machine.do(f"{command}; mv {program}.aside {program}; exit $status", timeout_s=900)
        told = json.loads(self.machine.do("cat /var/tmp/prove.json"))
        seen = {name: told[name] for name in ("broker", "broken", "generator")}
        assert seen == {"broker": "iotcore", "broken": [], "generator": True}, seen
        return "; ".join(said.splitlines()[-5:-1])

    def purge(self) -> str:
        machine, package = self.machine, "edge-diagnostic-appliance"
        machine.do(f"DEBIAN_FRONTEND=noninteractive dpkg -r {package}")
        assert machine.try_("pgrep -f 'appliance.* run '")[0] == 1, "removed, and something runs"
        machine.do(
            f"test -s {STATE}/phi/studies.db && test -s /etc/appliance/site.key && ! test -e /opt/appliance/current"
        )
        machine.do(f"DEBIAN_FRONTEND=noninteractive dpkg -P {package}")
        machine.do(f"test -s {STATE}/phi/studies.db && test -s /etc/appliance/site.key")
        machine.do("DEBIAN_FRONTEND=noninteractive dpkg -i /mnt/package.deb")
        self._all_run()
        self.settled()
        question = f"{package} {package}/purge-patient-data boolean true"
        machine.do(f"echo {question} | debconf-set-selections && DEBIAN_FRONTEND=noninteractive dpkg -P {package}")
        assert machine.try_(f"test -e {STATE}/phi || test -e /etc/appliance/site.key")[0] == 1
        return "removed and purged unasked: data kept, and all there after a new installation; purged on a yes: gone"


def units() -> str:
    return " ".join(f"appliance-{name}.service" for name in SERVICES)


def built(version: str | None) -> Path:
    """The package of this tree, under its own version or another one."""
    more = ["--version", version] if version else []
    command = [sys.executable, "systemd/package/make_deb.py", *more, "-o", "build/boot/packages"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return ROOT / done.stdout.split()[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="The package on a machine that boots.")
    parser.add_argument("--films", type=int, default=3, help="synthetic films beside the usual mix (default: 3)")
    parser.add_argument("--keep", type=Path, help="work there and leave it")
    parser.add_argument("--former", type=Path, help=f"a package of version {FORMER}; built when not given")
    parser.add_argument("--package", type=Path, help="the package to upgrade to; built when not given")
    told = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as passing:
        folder = told.keep or Path(passing)
        former, package = told.former or built(FORMER), told.package or built(None)
        try:
            boot = Boot(folder, former, package, told.films)
        except NoMachine as why:
            print(f"no machine can be booted here: {why}", file=sys.stderr)
            return 1
        fault = ""
        try:
            boot.run()
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
