"""The lines of `appliance check` about the machine: clock, disk, kernel, keys and certificates, rights, units, targets.

It dials nobody but the broker. Whether a PACS is reached is said by deliver, the one service that may dial it: a dial
from an operator's shell would go past the walls that the service stands behind, and prove nothing about it.
"""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.cli.verbs import SERVICES
from appliance.config import Config, Places
from appliance.core.enrolment import ends_at
from appliance.core.machine import disk_line
from appliance.core.selftest import Line
from appliance.errors import CATALOGUE, Misconfigured
from appliance.world import clock, keyring, machine, openid_keys, targets, units

DAY_S = 86_400.0
ENDS_SOON_DAYS = 14
OTHERS = stat.S_IRWXO
KERNEL = {  # what a wall of the units needs, and where the kernel says that it has it
    "seccomp": (Path("/proc/sys/kernel/seccomp/actions_avail"), "errno"),
    "memory limits (cgroup v2)": (Path("/sys/fs/cgroup/cgroup.controllers"), "memory"),
    "namespaces": (Path("/proc/self/ns/net"), ""),
    "user namespaces": (Path("/proc/self/ns/user"), ""),
}


def surroundings(config: Config, places: Places, now: float) -> list[Line]:
    """Everything but what the self-test and the first lines of `check` look at. now: s since 1970."""
    return [
        _clock(),
        _disk(places),
        *_keys(config, now),
        *_rights(config, places),
        *_kernel(),
        *_units(),
        *_targets(config, places, now),
    ]


def _clock() -> Line:
    held = clock.synchronised()
    if held is None:
        return Line("clock: held to another", True, "not told here", "")
    found = "by the kernel's word" if held else "free-running"
    return Line("clock: held to another", held, found, CATALOGUE["clock-free"].hint)


def _disk(places: Places) -> Line:
    folder = places.root
    while not folder.exists():
        folder = folder.parent
    return disk_line(machine.disk(folder))


def _keys(config: Config, now: float) -> Iterator[Line]:
    """Own keys and the centre's read, and how long what ends still lasts."""
    readers: dict[str, Callable[[], object]] = {
        "key of triage": lambda: keyring.own(config.keys, "triage"),
        "key of uplink": lambda: keyring.own(config.keys, "uplink"),
        "keys of the centre": lambda: keyring.centre(config.keys),
    }
    for name, read in readers.items():
        try:
            read()
        except Misconfigured as fault:
            yield Line(name, False, fault.text, fault.hint)
        else:
            yield Line(name, True, "present and well-formed", "")
    if config.network.broker_tls:
        yield days_line("certificate of the line", keyring.line_ends_at(config.keys), now, "line-certificate")
    if config.dimse.port and config.dimse.tls != "off":
        yield days_line("certificate for scanners", _ends(config.dimse.tls_certificate_file), now, "dimse-tls")
    if config.review.oidc_issuer:
        try:
            openid_keys.read(config.review.oidc_keys_file)
        except Misconfigured as fault:
            yield Line("keys of the OpenID provider", False, fault.text, fault.hint)
        else:
            yield Line("keys of the OpenID provider", True, "present; their age is the provider's to say", "")


def _ends(path: Path) -> float | None:
    try:
        return ends_at(path.read_bytes())
    except OSError:
        return None


def days_line(name: str, ends: float | None, now: float, code: str) -> Line:
    """Green while it lasts two weeks more."""
    if ends is None:
        return Line(name, False, "cannot be read", CATALOGUE[code].hint)
    days = int((ends - now) // DAY_S)
    found = f"{days} days left" if days >= 0 else f"ended {-days} days ago"
    return Line(name, days >= ENDS_SOON_DAYS, found, CATALOGUE[code].hint)


def _rights(config: Config, places: Places) -> Iterator[Line]:
    """Nobody but those whom the groups let in: what others may do to a folder of patients or to a key is red."""
    for path in (
        places.phi,
        places.incoming,
        places.wire,
        places.review,
        config.keys.folder,
        config.triage.site_key_file,
    ):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # that it is missing, or not ours to see, is another line's
        yield rights_line(path, mode)


def rights_line(path: Path, mode: int) -> Line:
    open_to_all = mode & OTHERS
    found = f"{stat.filemode(mode)}" + (": open to every user of this machine" if open_to_all else "")
    return Line(f"rights of {path}", not open_to_all, found, f"chmod o= {path}")


def _kernel() -> Iterator[Line]:
    for name, (path, word) in KERNEL.items():
        try:
            there = word in path.read_text() if word else path.exists()
        except OSError:
            there = False
        todo = f"Use a kernel with {name}: a wall of the units stands on it."
        yield Line(f"kernel: {name}", there, "there" if there else f"not found in {path}", todo)


def _units() -> Iterator[Line]:
    """Where systemd runs them: each unit, whether it stands, and whether its watchdog had to end it."""
    for unit in units.units(SERVICES):
        yield unit_line(unit)


def unit_line(unit: units.Unit) -> Line:
    found = f"{unit.active}, last end: {unit.result}, {unit.restarts} restarts since it was loaded"
    ok = unit.active in ("active", "activating") and unit.result == "success"
    name = f"appliance-{unit.service}"
    todo = f"journalctl -x -u {name} says what happened; then systemctl restart {name}."
    return Line(f"service {unit.service}", ok, found, todo)


def _targets(config: Config, places: Places, now: float) -> Iterator[Line]:
    """What deliver last wrote down of each target."""
    away = {each.name: each for each in targets.away(places.receipts)}
    for target in config.results.targets:
        found = away.get(target.name)
        if found is None:
            told = "deliver has not said that it is away" if places.receipts.is_dir() else "deliver never ran"
            yield Line(f"target {target.name}", True, told, "")
        else:
            since = (
                "never reached" if found.since is None else f"not reached for {(now - found.since) / 60:.0f} minutes"
            )
            yield Line(f"target {target.name}", False, f"{since}: {found.code}", CATALOGUE[found.code].hint)
