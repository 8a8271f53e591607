"""A small Debian 12, really booted: systemd as process 1 in namespaces (systemd-nspawn), 4 GB, and a plug to pull.

The base is made once with debootstrap and kept under build/boot/. Each machine is an overlay on it, so every run begins
with a system that has never seen the product. It has no network but its own loopback. The state folder is a file system
of its own, small enough to be filled. What is real: systemd, users, units, seccomp, name spaces, the packet filters of
IPAddressDeny, dpkg. What is not: the kernel is the host's, and pulling the plug kills every process at once but keeps
what the kernel had not written yet (`make power` is about that).
"""

import os
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).parents[2] / "build/boot"
TREE = HOME / "tree"
PACKAGES = "systemd,systemd-sysv,python3,ca-certificates,e2fsprogs,iproute2,procps,dbus,mosquitto"
MIRROR = "http://deb.debian.org/debian"
MEMORY_BYTES, STATE_MIB = 4 * 2**30, 2048
BOOT_S, COMMAND_S = 120.0, 600.0
NEEDS = {"systemd-nspawn": "systemd-container", "debootstrap": "debootstrap", "mkfs.ext4": "e2fsprogs"}
# nspawn looks at the host's /sys/fs/cgroup; a host without systemd often has the old hierarchies there.
BOOT = """
mount --make-rprivate /
umount -R /sys/fs/cgroup 2>/dev/null || umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec systemd-nspawn --quiet --directory="$1" --machine=appliance-boot --register=no --keep-unit --private-network \
    --boot --capability=all --system-call-filter="bpf @keyring" --link-journal=no --resolv-conf=off --timezone=off
"""


class NoMachine(Exception):
    """Why no machine can be booted here, in a sentence."""


def tree() -> Path:
    """The base system; made when it is not there (about two minutes and a network)."""
    missing = [package for name, package in NEEDS.items() if shutil.which(name) is None]
    if missing:
        raise NoMachine(f"these packages are needed: {' '.join(missing)}")
    if os.geteuid():
        raise NoMachine("only root can boot a machine")
    if not (TREE / "etc/made").exists():
        shutil.rmtree(TREE, ignore_errors=True)
        HOME.mkdir(parents=True, exist_ok=True)
        _do("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", TREE, MIRROR)
        for name in ("mosquitto.service", "apt-daily.timer", "apt-daily-upgrade.timer"):
            _do("systemctl", f"--root={TREE}", "disable", name)
        (TREE / "etc/hostname").write_text("appliance\n")
        shutil.rmtree(TREE / "var/cache/apt/archives", ignore_errors=True)
        (TREE / "etc/made").touch()
    return TREE


def _do(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoMachine(f"{words[0]}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout.strip()


@dataclass
class Machine:
    """One machine in a folder of its own; `start` boots it, `cut` pulls the plug, and it may be started again."""

    folder: Path
    process: "subprocess.Popen[bytes] | None" = None
    init: int = 0

    def __post_init__(self) -> None:
        base = tree()
        self.root, state = self.folder / "root", self.folder / "state.img"
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={base},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
        _do("mount", "-t", "overlay", "overlay", "-o", options, self.root)
        with state.open("wb") as file:
            file.truncate(STATE_MIB * 2**20)
        _do("mkfs.ext4", "-q", state)
        (self.root / "var/lib/appliance").mkdir(exist_ok=True)
        _do("mount", "-o", "loop", state, self.root / "var/lib/appliance")
        self.memory = _memory_group(self.folder.name)

    def start(self) -> float:
        """Boots; seconds until every job of systemd is done."""
        began = time.monotonic()
        with (self.folder / "console.log").open("ab") as log:
            command = ["unshare", "--mount", "sh", "-c", BOOT, "boot", str(self.root)]
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=self._limit
            )
        while True:
            self.init = _child(self.process.pid)
            if self.init and self.try_("systemctl is-system-running --wait")[1].strip() in ("running", "degraded"):
                return time.monotonic() - began
            if self.process.poll() is not None or time.monotonic() > began + BOOT_S:
                said = (self.folder / "console.log").read_text(errors="replace")
                raise AssertionError(f"no boot: {said[-2000:]}")
            time.sleep(0.1)

    def _limit(self) -> None:
        if self.memory is not None:
            (self.memory / "cgroup.procs").write_text(str(os.getpid()))

    def memory_peak(self) -> int:
        """Most bytes that everything in the machine had at a time, page cache included; 0 where nobody counts."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            if self.memory is not None and (self.memory / name).exists():
                return int((self.memory / name).read_text())
        return 0

    def enter(self) -> list[str]:
        """The words before a command that make it run inside."""
        return ["nsenter", "-t", str(self.init), "-m", "-u", "-i", "-n", "-p", "-C", "--"]

    def try_(self, command: str, *, given: str | None = None, timeout_s: float = COMMAND_S) -> tuple[int, str]:
        """Runs a shell command as root; its status and everything that it said."""
        words = [*self.enter(), "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "LANG=C.UTF-8"]
        try:
            done = subprocess.run(
                [*words, "bash", "-c", command],
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_s,
                input=given or "",
                errors="replace",
                preexec_fn=self._limit,
            )
        except subprocess.TimeoutExpired:
            return 124, "time is up"
        return done.returncode, (done.stdout + done.stderr).strip()

    def do(self, command: str, *, given: str | None = None, timeout_s: float = COMMAND_S) -> str:
        """The same, and it must go well."""
        status, said = self.try_(command, given=given, timeout_s=timeout_s)
        assert status == 0, f"{command}: status {status}: {said[-3000:]}"
        return said

    def put(self, source: Path, target: str) -> None:
        """Copies a file or folder in."""
        _do("cp", "-r", source, f"{self.root}{target}")

    def write(self, target: str, text: str, mode: int = 0o644) -> None:
        self.do(f"cat > {shlex.quote(target)} && chmod {mode:o} {shlex.quote(target)}", given=text)

    def until(self, command: str, wait_s: float) -> float:
        """Seconds until the command goes well, asked about twice a second inside the machine."""
        began = time.monotonic()
        loop = f"end=$(($(date +%s)+{int(wait_s)})); until ( {command} ) >/dev/null 2>&1; do " + (
            "[ $(date +%s) -lt $end ] || exit 1; sleep 0.4; done"
        )
        status, _ = self.try_(loop, timeout_s=wait_s + 30)
        assert status == 0, f"not within {wait_s:.0f} s: {command}\n{self.try_(command)[1][-2000:]}"
        return time.monotonic() - began

    def cut(self) -> None:
        """The plug is pulled: every process of it ends in the same moment, and none is told."""
        if self.process is not None:
            if self.init:
                os.kill(self.init, 9)
            self.process.kill()
            self.process.wait()
            self.process, self.init = None, 0

    def close(self) -> None:
        """Ends it and gives back what it mounted; its folder stays."""
        self.cut()
        for place in (self.root / "var/lib/appliance", self.root):
            for _ in range(50):
                if subprocess.run(["umount", place], capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.1)
        for _ in range(50):  # the kernel counts its last pages off a moment after the last process
            try:
                if self.memory is not None:
                    self.memory.rmdir()
                break
            except OSError:
                time.sleep(0.1)


def _child(nspawn: int) -> int:
    """The machine's process 1, a child of nspawn (into which the shell of BOOT turned); 0 while there is none."""
    children = Path(f"/proc/{nspawn}/task/{nspawn}/children")
    try:
        found = [int(each) for each in children.read_text().split()]
        return next((pid for pid in found if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd"), 0)
    except OSError:
        return 0


def _memory_group(name: str) -> Path | None:
    """A group with the machine's memory limit below our own; None where the host hands out none."""
    own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    found = Path("/sys/fs/cgroup/memory" + own["memory"] if "memory" in own else "/sys/fs/cgroup" + own.get("", ""))
    group = found / f"appliance-boot-{name}"
    limit = "memory.limit_in_bytes" if "memory" in own else "memory.max"
    try:
        group.mkdir(exist_ok=True)
        (group / limit).write_text(str(MEMORY_BYTES))
    except OSError:
        return None
    return group
