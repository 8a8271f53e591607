"""Versions of the appliance beside each other under /opt/appliance, and what puts one in another's place. Root only.

    versions/V          each version whole; current: a link to the one that runs
    release/record      what is remembered, one file, whole or not at all; everybody may read it
    release/package.deb the release's own bytes, checked; release/trial: unpacked, not yet among the versions
    release/former      the version that ran, by hard links: dpkg does not know this copy, so that no power cut while
                        dpkg works takes it away; it judges the new one, and goes back to its place

Nothing here decides. A tree appears by one rename and runs by one rename of a link: there is always a whole version.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.core.document import decode, encode
from appliance.core.release import PACKAGE, Record
from appliance.errors import Fault, Quarantined, Unavailable

HOME = Path("/opt/appliance")
RECORD = "release/record.json"
CHUNK_BYTES = 2**20
PACKING_S, TEST_S, DPKG_S, SYSTEMD_S = 600.0, 900.0, 1800.0, 300.0
QUIETLY = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


class Versions:
    """The folder /opt/appliance. home: another one, for tests."""

    def __init__(self, home: Path = HOME) -> None:
        self.home, self.own = home, home / "release"
        self.record, self.package, self.memory = home / RECORD, self.own / "package.deb", self.own / "memory"
        self.trial, self.former, self.current = self.own / "trial", self.own / "former", home / "current"

    @property
    def running(self) -> str:
        """The version that the link names; "" where nothing is installed from the package."""
        return self.current.readlink().name if self.current.is_symlink() else ""

    def of(self, version: str) -> Path:
        return self.home / "versions" / version

    def unpacked(self, version: str) -> Path:
        return self.trial / "opt/appliance/versions" / version

    def is_whole(self, version: str) -> bool:
        return (self.of(version) / "bin/appliance").exists()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One run at a time. raises Unavailable("release-busy")"""
        self.own.mkdir(mode=0o755, exist_ok=True)
        with (self.own / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable("release-busy") from None
            yield

    def write(self, record: Record) -> None:
        partial = self.record.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(encode(record))
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(self.record)
        _sync(self.own)

    def take(self, source: Path, sha256: str, length: int) -> bool:
        """Copies a release into root's own hands, if these are its very bytes; False where they are not there.

        raises  Quarantined("update-tampered"): whoever can write there laid other bytes under its name
        """
        digest, size = hashlib.sha256(), 0
        try:
            descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        partial = self.package.with_suffix(".partial")
        with os.fdopen(descriptor, "rb") as file, partial.open("wb") as out:
            while size <= length and (chunk := file.read(CHUNK_BYTES)):
                digest.update(chunk)
                size += out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        if size != length or digest.hexdigest() != sha256:
            partial.unlink()
            raise Quarantined("update-tampered", "release")
        partial.replace(self.package)
        return True

    def has(self, sha256: str) -> bool:
        """Whether root's own copy still holds these bytes."""
        if not self.package.is_file():
            return False
        with self.package.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256

    def unpack(self, version: str) -> None:
        """Lays the package's tree aside, whole. raises Quarantined("release-wrong"): it is not what its name says"""
        fields = ("Package", "Version", "Architecture")
        code, told, _ = _call(["dpkg-deb", "-f", str(self.package), *fields], PACKING_S)
        said = dict(line.split(": ", 1) for line in told.splitlines() if ": " in line)
        if code or tuple(said.get(name) for name in fields) != (PACKAGE, version, "amd64"):
            raise Quarantined("release-wrong", version)
        shutil.rmtree(self.trial, ignore_errors=True)
        code, _, _ = _call(["dpkg-deb", "-x", str(self.package), str(self.trial)], PACKING_S)
        if code or not (self.unpacked(version) / "bin/appliance").is_file():
            raise Quarantined("release-wrong", version)

    def place(self, version: str, former: str) -> None:
        """Puts the tested tree among the versions and keeps a copy of the one that runs. Changes not what runs."""
        _linked(self.of(former), self.former)
        if self.unpacked(version).is_dir():
            _away(self.of(version))
            self.unpacked(version).rename(self.of(version))
        os.sync()

    def unplace(self, version: str) -> None:
        """Takes a tree away again that was placed and never ran."""
        if self.running != version:
            _away(self.of(version))

    def point(self, version: str) -> None:
        """What runs from now on, by one rename of a link."""
        following = self.home / ".next"
        following.unlink(missing_ok=True)
        following.symlink_to(self.of(version))
        _sync(self.home)
        following.replace(self.current)
        _sync(self.home)

    def put_back(self, former: str) -> None:
        """The former version at its place, whatever dpkg made of it; from the copy where that is still there.

        Never while it is the one that runs: then it is whole, and taking it away for an instant could be the last.
        """
        if self.former.is_dir() and self.running != former:
            _linked(self.former, self.own / "again")
            _away(self.of(former))
            (self.own / "again").rename(self.of(former))
            os.sync()

    def clean(self) -> None:
        """What only a trial needs goes; versions stay."""
        for folder in (self.former, self.trial, self.own / "again", self.own / "partly"):
            _away(folder)
        self.package.unlink(missing_ok=True)


def read(home: Path = HOME) -> Record:
    """What is remembered; an empty record where nothing is, or where it cannot be read."""
    try:
        return decode(Record, (home / RECORD).read_bytes())
    except (OSError, Fault):
        return Record()


def self_tested(tree: Path, config: Path) -> dict[str, Any] | None:
    """What a version says of itself from where it lies; None where it fails or says nothing that can be read."""
    code, told, _ = _python(tree, config, "release", "--self-test")
    try:
        found = json.loads(told)
    except ValueError:
        return None
    return found if code == 0 and isinstance(found, dict) else None


def checked(tree: Path, config: Path) -> dict[str, bool]:
    """Lines of `appliance check` as that version sees them: name -> well; none where it cannot say."""
    _, told, _ = _python(tree, config, "check", "--json")
    try:
        return {str(line["name"]): bool(line["ok"]) for line in json.loads(told)}
    except (ValueError, TypeError, KeyError):
        return {}


def installed(package: Path) -> bool:
    """Lets dpkg take it in: units, documentation, its database, and a restart of what runs. False where it refuses."""
    code, _, _ = _call(["dpkg", "--force-confdef", "--force-confold", "-i", str(package)], DPKG_S)
    return code == 0


def restart(services: Sequence[str]) -> None:
    """Starts the named services anew, also those that have failed meanwhile."""
    names = [f"appliance-{name}.service" for name in services]
    if names:
        _call(["systemctl", "reset-failed", *names], SYSTEMD_S)
        _call(["systemctl", "restart", *names], SYSTEMD_S)


def _python(tree: Path, config: Path, *words: str) -> tuple[int, str, str]:
    return _call([str(tree / "bin/python3"), "-IB", "-m", "appliance", "--config", str(config), *words], TEST_S)


def _call(words: list[str], limit_s: float) -> tuple[int, str, str]:
    """Status, output and errors; 1 where it cannot be run or does not end in time."""
    environ = {**os.environ, **QUIETLY}
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit_s, check=False, env=environ)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 1, "", ""
    return done.returncode, done.stdout, done.stderr


def _linked(source: Path, target: Path) -> None:
    """A copy by hard links, which costs no room, whole or not at all."""
    partly = target.with_name("partly")
    _away(partly)
    shutil.copytree(source, partly, symlinks=True, copy_function=os.link)
    os.sync()
    _away(target)
    partly.rename(target)


def _away(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
