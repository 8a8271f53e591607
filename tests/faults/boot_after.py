"""A machine that boots, after a disaster and in its daily work: unplugged, full, restored, watched, removed."""

import json
import time

from tests.faults.booted import NAME, SERVICES, STATE, Boot

HOSTS = ("clock: held", "disk: power", "kernel: ")  # lines of check about the host, which a container cannot mend
TEXTFILE = "/var/lib/prometheus/node-exporter/appliance.prom"
# Neither in a backup nor the same for two moments: a cache, empty space, indexes of write-ahead logs.
REWRITTEN = ("-wal", "-shm", "-journal", ".accepted.toml", "phi/looked.json")  # the last two: at each service's start
PASSING = ("phi/frames", "phi/draft", "phi/updates/releases", "ballast", "lost+found", "wire/targets")


def power(boot: Boot) -> str:
    boot.studies(boot.more(), wait=False)
    time.sleep(2.0)  # the plug is pulled in the midst of it, whatever was reached
    boot.machine.cut()
    boot.centre.go()
    booted = boot.machine.start()
    began = time.monotonic()
    boot.all_run()
    ran = time.monotonic() - began
    boot.centre.come(boot.machine)
    return f"booted in {booted:.1f} s, all five ran {ran:.1f} s later; {boot.settled()}"


def full(boot: Boot) -> str:
    machine = boot.machine
    machine.do(f"fallocate -l $(($(df -B1 --output=avail {STATE} | tail -1) - 4096)) {STATE}/filler || true")
    machine.do(f"dd if=/dev/zero of={STATE}/filler2 bs=64k 2>/dev/null || true")
    told = boot.more(2)
    boot.studies(told, wait=False)
    machine.until(f"! test -e {STATE}/ballast", 120)
    machine.do("appliance status | grep -q . ")
    waiting = machine.do("find /srv/scanner -maxdepth 1 -name '*.dcm' | wc -l")
    assert waiting == str(len(told)), f"{waiting} files wait in the scanner's folder"
    machine.do(f"rm {STATE}/filler {STATE}/filler2")
    said = boot.settled()
    machine.until(f"test -e {STATE}/ballast", 120)
    return f"taking stopped, nothing was taken half, ballast given and taken again; {said}"


def restored(boot: Boot) -> str:
    """Backed up while it runs, all of it deleted, brought back: each file belongs to the service of its folder."""
    machine, backup, key = boot.machine, "/var/tmp/state.age", "/var/tmp/backup.key"
    public = machine.do(f"appliance backup --new-key {key}").splitlines()[0]
    machine.do(f"appliance backup {backup} --to {public}")
    before = {name for name, told in _owners(boot).items() if told[0] == "f"}
    machine.do("systemctl stop appliance.target appliance-review.socket 'appliance-*.service'")
    machine.do(f"find {STATE} -mindepth 1 -delete; systemd-tmpfiles --create appliance.conf")
    machine.do(f"appliance restore {backup} --key {key} --certificates-stand")
    found = _owners(boot)
    gone = {name for name in before if not name.startswith(PASSING) and not name.endswith(REWRITTEN)}
    assert gone <= set(found), f"not brought back: {sorted(gone - set(found))[:5]}"
    files = {name: told for name, told in found.items() if told[0] == "f" and not name.startswith(PASSING)}
    for name, (_, owner, group, mode) in files.items():
        _, owner_above, group_above, mode_above = found[name.rpartition("/")[0]]
        assert (owner, group) == (owner_above, group_above), f"{name}: {owner}:{group}"
        assert mode == mode_above & 0o666, f"{name}: {mode:o}"
        assert owner.startswith("appliance-") or name.startswith(("models/", "certificates/")), f"{name}: {owner}"
        assert not mode & 0o007 or owner == "root", f"{name}: anybody may {mode:o}"
    machine.do("systemctl start appliance.target")
    boot.all_run()
    boot.studies(boot.more(2), wait=False)
    said = boot.settled()
    machine.do("appliance reconcile --deep")
    machine.do(f"rm {backup} {key}")
    return f"{len(files)} files came back, each its service's; reconcile --deep is clean; {said}"


def _owners(boot: Boot) -> dict[str, tuple[str, str, str, int]]:
    """name below the state folder -> file or folder, owner, group, rights; the state folder itself is \"\"."""
    said = boot.machine.do(f"find {STATE} \\( -type f -o -type d \\) -printf '%y %u %g %m %P\\n'")
    rows = (line.split(" ", 4) for line in said.splitlines())
    return {name: (kind, owner, group, int(mode, 8)) for kind, owner, group, mode, name in rows}


def textfile(boot: Boot) -> str:
    """The timer as a site enables it; the folder is node exporter's."""
    machine = boot.machine
    machine.do(f"mkdir -p $(dirname {TEXTFILE}) && systemctl enable -q --now metrics-appliance.timer")
    took = machine.until(f"test -s {TEXTFILE}", 180)
    lines = [line for line in machine.do(f"cat {TEXTFILE}").splitlines() if not line.startswith("#")]
    assert any(line.startswith("appliance_studies") for line in lines), lines[:5]
    assert machine.do(f"stat -c %a {TEXTFILE}")[-1] in "4567", "node exporter could not read it"
    return f"{len(lines)} values {took:.0f} s after the timer was enabled"


def books(boot: Boot) -> str:
    boot.machine.do("appliance reconcile --deep")
    status, said = boot.machine.try_("appliance check --json")
    every = [line["name"] for line in json.loads(said[said.index("[") :]) if not line["ok"]]
    red = [name for name in every if not name.startswith(HOSTS)]
    failed = boot.machine.do("systemctl list-units --failed --plain --no-legend 'appliance*'")
    assert not failed, failed
    assert not red, (status, red)
    host = f", but for what the machine under the container is: {', '.join(every)}" if every else ""
    return f"reconcile --deep is clean over {len(boot.rows())} studies; every line of check is green{host}"


def memory(boot: Boot) -> str:
    told = []
    for name in SERVICES:
        pids = f"$(cat /sys/fs/cgroup/system.slice/appliance-{name}.service/cgroup.procs)"
        said = boot.machine.do(f"for p in {pids}; do grep VmHWM /proc/$p/status; done")
        told.append(f"{name} {sum(int(line.split()[1]) for line in said.splitlines()) // 1024}")
    peak = boot.machine.memory_peak() // 2**20
    return f"machine held to 4096 MiB; peak {peak or '?'} MiB with page cache; resident MiB: {', '.join(told)}"


def prove(boot: Boot) -> str:
    """With what the package brings and nothing else: the machine's mosquitto is out of sight."""
    program = "/usr/sbin/mosquitto"
    command = f"mv {program} {program}.aside; appliance prove --quick -o /var/tmp/prove.html; status=$?"
    said = boot.machine.do(f"{command}; mv {program}.aside {program}; exit $status", timeout_s=900)
    told = json.loads(boot.machine.do("cat /var/tmp/prove.json"))
    seen = {name: told[name] for name in ("broker", "broken", "generator")}
    assert seen == {"broker": "iotcore", "broken": [], "generator": True}, seen
    return "; ".join(said.splitlines()[-5:-1])


def purge(boot: Boot) -> str:
    machine, package = boot.machine, NAME
    machine.do(f"DEBIAN_FRONTEND=noninteractive dpkg -r {package}")
    assert machine.try_("pgrep -f 'appliance.* run '")[0] == 1, "removed, and something runs"
    assert machine.do("systemctl list-timers | grep -c appliance || true") == "0", "a timer of what is gone"
    machine.do(f"test -s {STATE}/phi/studies.db && test -s /etc/appliance/site.key && ! test -e /opt/appliance/current")
    machine.do(f"DEBIAN_FRONTEND=noninteractive dpkg -P {package}")
    machine.do(f"test -s {STATE}/phi/studies.db && test -s /etc/appliance/site.key")
    machine.do("DEBIAN_FRONTEND=noninteractive dpkg -i /mnt/package.deb")
    boot.all_run()
    boot.settled()
    question = f"{package} {package}/purge-patient-data boolean true"
    machine.do(f"echo {question} | debconf-set-selections && DEBIAN_FRONTEND=noninteractive dpkg -P {package}")
    assert machine.try_(f"test -e {STATE}/phi || test -e /etc/appliance/site.key")[0] == 1
    return "removed and purged unasked: data kept, and all there after a new installation; purged on a yes: gone"
