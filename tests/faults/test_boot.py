"""What the machine that boots is given: packages under other numbers, one that is spoilt, and tries on every wall.

The machine itself takes ten minutes and root: `make boot`.
"""

import shutil
import subprocess
from pathlib import Path

from tests.faults.boot import story
from tests.faults.boot_versions import renumbered, uplink_ends_at_once
from tests.faults.boot_walls import TRIES
from tests.faults.booted import NAME, ROOT, SERVICES

INSIDE = "lib/python3.11/site-packages"


def a_package(folder: Path, number: str) -> Path:
    """Control files of the real one, and of its tree what names the number or is spoilt."""
    tree = folder / "made"
    home = tree / "opt/appliance/versions" / number
    (home / "bin").mkdir(parents=True)
    (home / "bin/appliance").write_text(f"#!/opt/appliance/versions/{number}/bin/python3 -IB\n")
    (home / "bin/python3").symlink_to("/usr/bin/python3")
    (home / INSIDE / "appliance/cli").mkdir(parents=True)
    (home / INSIDE / "appliance/__init__.py").write_text(f'__version__ = "{number}"\n')
    shutil.copy(ROOT / "appliance/cli/services.py", home / INSIDE / "appliance/cli")
    (tree / "DEBIAN").mkdir()
    for name in ("control", "preinst", "postinst", "prerm", "postrm"):
        text = (ROOT / "systemd/package/debian" / name).read_text()
        (tree / "DEBIAN" / name).write_text(text.replace("@VERSION@", number).replace("@SIZE@", "1"))
        (tree / "DEBIAN" / name).chmod(0o644 if name == "control" else 0o755)
    made = folder / f"{NAME}_{number}_amd64.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, made], check=True, capture_output=True)
    return made


def test_a_package_under_another_number_names_it_everywhere_and_the_old_one_nowhere(tmp_path: Path) -> None:
    made = renumbered(a_package(tmp_path, "0.7.3"), "0.7.4", tmp_path, uplink_ends_at_once)
    subprocess.run(["dpkg-deb", "-R", made, tmp_path / "back"], check=True, capture_output=True)
    files = [path for path in (tmp_path / "back").rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) == 8
    assert [path.name for path in files if "0.7.3" in path.read_text()] == []
    home = tmp_path / "back/opt/appliance/versions/0.7.4"
    assert (home / "bin/appliance").read_text().startswith("#!/opt/appliance/versions/0.7.4/")
    assert (home / INSIDE / "appliance/__init__.py").read_text() == '__version__ = "0.7.4"\n'
    assert (home / "bin/python3").is_symlink()
    assert "Version: 0.7.4\n" in (tmp_path / "back/DEBIAN/control").read_text()
    spoilt = (home / INSIDE / "appliance/cli/services.py").read_text()
    compile(spoilt, "services.py", "exec")
    assert spoilt.count('if name == "uplink":\n        raise SystemExit(3)\n') == 1


def test_every_service_has_walls_that_are_tried_and_something_that_must_work_beside_them() -> None:
    for name in SERVICES:
        assert {may for who, _, may in TRIES if who == name} == {True, False}, name


def test_every_step_is_in_the_story() -> None:
    """A step that nobody calls shows nothing."""
    source = (ROOT / "tests/faults/boot.py").read_text()
    for module in ("boot_walls", "boot_versions", "boot_after"):
        text = (ROOT / f"tests/faults/{module}.py").read_text()
        steps = [line.split("(")[0][4:] for line in text.splitlines() if line.endswith("(boot: Boot) -> str:")]
        assert steps
        for step in steps:
            assert f"{module}.{step})" in source, step
    assert story.__doc__
