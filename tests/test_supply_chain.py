"""What is shipped: the lock agrees with the pins and is complete, licences are allowed, the bill names everything."""

import re
import tomllib
import zlib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from docs.make_licences import licence, locked, not_allowed
from docs.make_sbom import direct, whole

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()


def pins(text: str) -> dict[str, str]:
    return {str(canonicalize_name(n)): v for n, v in re.findall(r"^([A-Za-z0-9._-]+)==([^\s\\]+)", text, re.MULTILINE)}


def disagreeing(lock: dict[str, str], constraints: dict[str, str], asked: list[str]) -> set[str]:
    """Names whose version is another, or which are missing."""
    wanted = {str(canonicalize_name(each.name)): str(each.specifier).lstrip("=") for each in map(Requirement, asked)}
    wrong = {name for name, version in lock.items() if constraints.get(name) != version}
    return wrong | {name for name, version in wanted.items() if lock.get(name) != version}


def asked_for() -> list[str]:
    found: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return found


def test_the_lock_agrees_with_the_pins() -> None:
    lock, constraints = pins(LOCK), pins((ROOT / "constraints.txt").read_text())
    assert len(lock) > 50
    assert disagreeing(lock, constraints, asked_for()) == set(), "make lock"
    assert disagreeing({**lock, "numpy": "1.0"}, constraints, asked_for()) == {"numpy"}
    assert disagreeing({name: v for name, v in lock.items() if name != "rich"}, constraints, asked_for()) == {"rich"}


def test_the_lock_is_complete() -> None:
    """Whatever a locked package needs at run time here is locked, too; nothing else is."""
    lock, needed = set(pins(LOCK)), {str(canonicalize_name(Requirement(each).name)) for each in asked_for()}
    extras = {str(canonicalize_name(one.name)): one.extras for one in map(Requirement, asked_for())}
    for name in lock:
        for text in distribution(name).requires or []:
            requirement = Requirement(text)
            ways = [{"extra": extra} for extra in (*extras.get(name, ()), "")]
            if requirement.marker is None or any(requirement.marker.evaluate(way) for way in ways):
                needed.add(str(canonicalize_name(requirement.name)))
    assert needed == lock


def test_every_package_of_the_lock_has_a_hash_and_no_registry_is_named() -> None:
    blocks = re.split(r"\n(?=\S)", LOCK.strip())
    assert len(blocks) == len(pins(LOCK))
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", block) for block in blocks)
    assert "://" not in LOCK


@pytest.mark.parametrize("name", locked())
def test_each_licence_is_allowed(name: str) -> None:
    assert not_allowed(licence(name)) == set(), licence(name)


def test_a_licence_that_is_not_allowed_is_noticed() -> None:
    assert not_allowed("AGPL-3.0-only") == {"AGPL-3.0-only"}
    assert not_allowed("MIT AND GPL-2.0-only") == {"GPL-2.0-only"}
    assert not_allowed("GPL-2.0-only OR MIT") == set()
    assert not_allowed("")


def test_the_bill_has_a_licence_for_each_and_says_what_is_asked_for() -> None:
    names = locked()
    bare = {
        "metadata": {"component": {"bom-ref": "root-component"}},
        "components": [{"name": name, "bom-ref": name} for name in names],
        "dependencies": [{"ref": "root-component"}, *({"ref": name} for name in names)],
    }
    made = whole(bare, direct())
    assert all(each["licenses"][0] for each in made["components"])
    (root,) = [row for row in made["dependencies"] if row["ref"] == "root-component"]
    assert set(root["dependsOn"]) == direct()


def test_the_page_is_light_and_all_of_it_is_ours() -> None:
    """Under 1 MB of the wheel; whatever is somebody else's would need a licence and a digest beside it."""
    room, packed = ROOT / "appliance" / "review", 0
    for path in room.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            packed += len(zlib.compress(path.read_bytes(), 6))
    assert packed < 1_000_000
    kinds = {path.suffix for path in (room / "static").rglob("*") if path.is_file()}
    assert kinds == {".js", ".css", ".svg"}
    for path in (room / "static").rglob("*.js"):
        assert "@license" not in path.read_text("utf-8"), path.name
        assert max(map(len, path.read_text("utf-8").splitlines())) < 200, f"{path.name} is no source"
