"""Versions of the package on a machine that boots: upgraded, gone back, a signed release, and one that is worse.

Other versions are this tree's package under another number: only what names the number differs, and what is spoilt.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.faults.booted import FORMER, NAME, STATE, Boot

MIRROR, ROOT_OF_UPDATES = f"{STATE}/wire/targets/repository", "/etc/appliance/updates-root.json"
CONFIGURATION = "/etc/appliance/appliance.toml"
WATCH_S = 60  # of the worse one: the least that a site may set


def renumbered(package: Path, number: str, folder: Path, spoil: Callable[[Path], None] = lambda _: None) -> Path:
    """The package under another number. spoil: is given the folder of its Python packages."""
    tree, was = folder / f"tree-{number}", _do("dpkg-deb", "-f", package, "Version")
    _do("dpkg-deb", "-R", package, tree)
    home = tree / "opt/appliance/versions" / number
    home.with_name(was).rename(home)
    inside = home / "lib/python3.11/site-packages"
    for file in (*(tree / "DEBIAN").iterdir(), *(home / "bin").iterdir(), inside / "appliance/__init__.py"):
        if not file.is_symlink() and (head := file.read_bytes()).isascii():
            file.write_bytes(head.replace(was.encode(), number.encode()))
    spoil(inside)
    made = folder / f"{NAME}_{number}_amd64.deb"
    _do("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, made)
    _do("rm", "-r", tree)
    return made


def uplink_ends_at_once(inside: Path) -> None:
    """It imports, it passes every test of itself, and it does not run."""
    file = inside / "appliance/cli/services.py"
    text, first = file.read_text(), '    """Runs one service to its end; returns the exit status."""\n'
    assert first in text, "services.serve is not where it was"
    file.write_text(text.replace(first, f'{first}    if name == "uplink":\n        raise SystemExit(3)\n'))


def _do(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words[0]}: {(done.stderr or done.stdout).strip()[-600:]}"
    return done.stdout.strip()


def upgrade(boot: Boot) -> str:
    boot.centre.go()  # so that cases are in flight, with nobody to answer
    boot.studies(boot.more(), wait=False)
    boot.machine.until("appliance status --json | grep -q '\"incoming\": 0'", 60)
    boot.machine.do("DEBIAN_FRONTEND=noninteractive dpkg -i /mnt/package.deb")
    wanted = boot.machine.do("dpkg-query -W -f '${Version}' edge-diagnostic-appliance")
    boot.all_run()
    assert boot.machine.do("appliance --version") == wanted
    kept = boot.machine.do("appliance-version")
    assert f"{FORMER}" in kept, kept
    boot.centre.come(boot.machine)
    return f"{FORMER} -> {wanted}, {FORMER} kept beside it; {boot.settled()}"


def roll_back(boot: Boot) -> str:
    wanted = boot.machine.do("appliance --version")
    boot.studies(boot.more(2), wait=False)
    boot.machine.do(f"appliance-version {FORMER}")
    boot.all_run()
    assert boot.machine.do("appliance --version") == FORMER
    said = boot.settled()
    boot.machine.do(f"appliance-version {wanted}")
    boot.all_run()
    return said


def release(boot: Boot) -> str:
    """The same package, signed: the former version tests it, installs it, watches it, and lies beside it after."""
    machine, folder = boot.machine, boot.centre.folder / "publish"
    wanted = machine.do("appliance --version")
    machine.do(f"appliance-version {FORMER}")
    boot.all_run()
    boot.centre.verb("publish", "init", *_keys(boot), "--offline", folder / "offline")
    _bring(boot, boot.package)
    machine.do("systemctl is-active -q release-appliance.timer")
    took = machine.until(f"appliance release --install {wanted}", 900)
    assert machine.do("appliance --version") == wanted
    boot.all_run()
    told = machine.do("appliance updates list")
    assert f"{wanted}  installed" in told, told
    machine.do(f"test -x /opt/appliance/versions/{FORMER}/bin/appliance && ! test -e /opt/appliance/release/former")
    _take_away(boot)
    return f"tested, installed, watched and kept in {took:.0f} s; {FORMER} lies beside it"


def worse_release(boot: Boot) -> str:
    """One whose uplink ends at once: taken back by itself, said as what it is, and nothing is lost meanwhile."""
    machine = boot.machine
    running = machine.do("appliance --version")
    number = f"{running.rpartition('.')[0]}.{int(running.rpartition('.')[2]) + 1}"
    _bring(boot, renumbered(boot.package, number, boot.folder, uplink_ends_at_once))
    machine.do(
        f"cp -p {CONFIGURATION} /mnt/kept.toml && printf '\n[updates]\nwatch_s = {WATCH_S}\n' >> {CONFIGURATION}"
    )
    boot.studies(boot.more(), wait=False)
    took = machine.until(f"appliance release --install {number} 2>&1 | tee /mnt/said | grep -q release-failed", 900)
    machine.do(f"cp -p /mnt/kept.toml {CONFIGURATION}")
    assert machine.do("appliance --version") == running
    boot.all_run()
    told = machine.try_("appliance updates list")[1]
    assert f"{number}  failed" in told, told
    (line,) = (line.strip() for line in told.splitlines() if f"{number}  failed" in line)
    assert "release-worse" in line, line
    assert "release-failed" in machine.do("appliance status --json"), "the alarm"
    began = machine.do("journalctl --no-pager -u appliance-uplink | grep -c 'status=3' || true")
    assert int(began) >= 1, "its uplink never ran: it was no trial"
    said = boot.settled()
    _take_away(boot)
    return f"{number} ran, its uplink ended {began} times, {running} came back by itself in {took:.0f} s; {said}"


def _keys(boot: Boot) -> tuple[object, ...]:
    return ("--repository", boot.centre.folder / "publish/updates", "--keys", boot.centre.folder / "publish/keys")


def _bring(boot: Boot, package: Path) -> None:
    """Signs a release and carries it over on a stick."""
    machine, repository = boot.machine, boot.centre.folder / "publish/updates"
    boot.centre.verb("publish", "add", "release", package, "--ring", "all", *_keys(boot))
    machine.put(repository, "/mnt/updates")
    machine.put(repository / "metadata/1.root.json", ROOT_OF_UPDATES)
    machine.do(f"chmod -R a+rX /mnt/updates {ROOT_OF_UPDATES}")
    machine.do("runuser -u appliance-uplink -- appliance updates import /mnt/updates", timeout_s=300)


def _take_away(boot: Boot) -> None:
    boot.machine.do(f"rm -r {ROOT_OF_UPDATES} /mnt/updates {MIRROR}")
