"""A centre that publishes, for tests: a repository with its keys, made once a test run and copied, and a clock."""

import atexit
import functools
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from appliance.core.document import encode
from appliance.core.parcel import packed
from appliance.core.policy import Policy
from appliance.core.updates import Kind, Ring, Terms
from central import publish

DAY_S = 86_400.0


@functools.cache
def _begun() -> Path:
    """A repository begun 50 days ago, so that its roles may have ended by now; copied for each test."""
    root = Path(tempfile.mkdtemp(prefix="publisher-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    publish.begin(
        root / "repository", root / "keys", root / "offline", roots=3, threshold=2, now=time.time() - 50 * DAY_S
    )  # fmt: skip
    return root


class Publisher:
    def __init__(self, root: Path, *, fresh: bool = True) -> None:
        shutil.copytree(_begun(), root)
        self.folder, self.keys, self.offline = root / "repository", root / "keys", root / "offline"
        self.root = self.folder / "metadata/1.root.json"
        if fresh:
            self.renew()

    def made(self, *keys: Path, ago_s: float = 0.0) -> publish.Published:
        return publish.Published(self.folder, keys or (self.keys,), time.time() - ago_s)

    def renew(self, ago_s: float = 0.0) -> None:
        self.made(ago_s=ago_s).say(force=True)

    def add(self, kind: Kind, name: str, data: bytes, ring: Ring = "all", ago_s: float = 0.0, **told: Any) -> str:
        terms = Terms(kind=kind, title=told.pop("title", name), ring=ring, **told)
        return publish.add(self.made(ago_s=ago_s), kind, name, data, terms)

    def model(self, folder: Path, ring: Ring = "all", **told: Any) -> str:
        name, version = folder.parent.name, folder.name
        data = packed({p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
        return self.add("model", f"{name}-{version}.tar", data, ring, title=f"{name}/{version}", **told)

    def policy(self, number: int = 1, **told: Any) -> str:
        return self.add("policy", f"{number}.json", encode(Policy(number=number, **told)), title=f"policy-{number}")

    def change(self, named: str, **told: Any) -> None:
        publish.change(self.made(), named, **told)

    def rotate(self, role: str) -> None:
        file = next(p for each in (self.keys, self.offline) if (p := each / f"{role}.key").exists())
        publish.rotate(self.made(self.keys, self.offline), role, file)
