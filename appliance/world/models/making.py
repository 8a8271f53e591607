"""How a package comes to be believed and to lie in the store: checksums, a signature, a durable copy.

The only module of the store that writes. A private key is read, used and forgotten here; it is never kept. What is
installed is the bytes that were verified, under a name that appears only when all of them are on the disk.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from appliance.core.certificate import Certificate, signed, vouched
from appliance.core.generator import PAPER
from appliance.core.manifest import Manifest
from appliance.core.package import Package
from appliance.core.signature import public_of, sign
from appliance.errors import Misconfigured
from appliance.world.models import SIGNATURE, SUMS, is_generator, load_package, read_verified

PRIVATE_KEY = re.compile(r"[0-9a-f]{64}\s*")
KEY_CHARACTERS_MAX = 256
PUBLIC_SUFFIX = ".pub"
UNFINISHED = ".unfinished-"


def make_key(path: Path) -> Path:
    """A new key pair: the private half at path, readable by its owner alone, the public half beside it (*.pub).

    returns  the file of the public half, which goes into triage.trusted_keys
    raises   Misconfigured("signing-key"): there is a file already; a key is never overwritten
    """
    private = secrets.token_bytes(32)
    public = path.with_name(path.name + PUBLIC_SUFFIX)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Misconfigured("signing-key", path.name) from error
    with os.fdopen(file, "w") as out:
        out.write(private.hex() + "\n")
    public.write_text(public_of(private).hex() + "\n")
    return public


def read_key(path: Path) -> bytes:
    """The raw private key of a file. Raises Misconfigured("signing-key")."""
    try:
        with path.open(encoding="ascii") as file:
            told = file.read(KEY_CHARACTERS_MAX)
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured("signing-key", path.name) from error
    if not PRIVATE_KEY.fullmatch(told):
        raise Misconfigured("signing-key", path.name)
    return bytes.fromhex(told.strip())


def files_of(folder: Path) -> list[str]:
    """Names of the package's files but for checksums and signature, sorted."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name not in (SUMS, SIGNATURE))


def sum_up(folder: Path) -> None:
    """Digests anew: those in the manifest, of whatever it names, then SHA256SUMS, which `sha256sum -c` reads.

    raises  Misconfigured("model-manifest-invalid"): the manifest, or generator.json, is no JSON object with `files`
    """
    path = folder / (PAPER if is_generator(folder) else "manifest.json")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        told = {name: _sha256(folder / name) for name in manifest["files"]}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Misconfigured("model-manifest-invalid", path.name) from error
    if told != manifest["files"]:
        path.write_text(json.dumps({**manifest, "files": told}, indent=2, ensure_ascii=False) + "\n", "utf-8")
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in files_of(folder)]
    (folder / SUMS).write_text("".join(lines), "ascii")


def sign_package(folder: Path, private: bytes) -> None:
    """Signs certificates that bear no signature yet, renews every digest, and signs the checksums.

    raises  Misconfigured("model-manifest-invalid"); ("model-package-damaged"): a certificate is not understood
    """
    for path in sorted(folder.glob("certificates/*.json")):
        try:
            certificate = Certificate.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise Misconfigured("model-package-damaged", f"certificates/{path.name}") from error
        if certificate.signature is None:
            path.write_text(json.dumps(signed(certificate, private).model_dump(mode="json"), indent=2) + "\n")
    sum_up(folder)
    made = sign(private, (folder / SUMS).read_bytes())
    (folder / SIGNATURE).write_text(json.dumps(made.model_dump(mode="json")) + "\n")


def install(
    folder: Path, store: Path, trusted: Mapping[str, bytes], at_step: Callable[[str], None] | None = None
) -> str:
    """Copies a sound package into the store as <store>/<name>/<version>/, whole or not at all.

    at_step  told before each step, by name; for tests that end the process there
    returns  its title; a package that lies there already, bytes for bytes, is left as it is
    raises   Misconfigured as load_package does; ("model-installed-otherwise"): other bytes lie there already
    """
    before = at_step or (lambda _: None)
    package = load_package(folder, trusted)
    files = read_verified(folder, trusted)
    files |= {name: (folder / name).read_bytes() for name in (SUMS, SIGNATURE)}
    manifest = package.model.manifest
    target = store / manifest.name / manifest.version
    if target.exists():
        if (target / SUMS).read_bytes() != files[SUMS]:
            raise Misconfigured("model-installed-otherwise", package.title)
        load_package(target, trusted)
        return package.title
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(store)
    unfinished = store / f"{UNFINISHED}{secrets.token_hex(8)}"
    unfinished.mkdir()
    for name, data in sorted(files.items()):
        before(f"write {name}")
        path = unfinished / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    before("fsync the folders")
    for inner in sorted({(unfinished / name).parent for name in files}, reverse=True):
        _fsync(inner)
    before("rename")
    unfinished.rename(target)
    before("fsync the store")
    for outer in (target.parent, store, store.parent):
        _fsync(outer)
    load_package(target, trusted)  # what lies there now, not what we meant to write
    return package.title


def package_of(path: Path, packages: Sequence[Package], trusted: Mapping[str, bytes]) -> Package:
    """The package that a certificate was made for.

    raises  Misconfigured("certificate-untrusted"): the file is no certificate that a trusted key signed;
            ("certificate-unfitting"): none of the packages is its
    """
    try:
        certificate = Certificate.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise Misconfigured("certificate-untrusted", path.name) from error
    if not vouched(certificate, trusted):
        raise Misconfigured("certificate-untrusted", path.name)
    found = next((each for each in packages if each.model.sha256 == certificate.plan.model_sha256), None)
    if found is None:
        raise Misconfigured("certificate-unfitting", path.name)
    return found


def install_certificate(path: Path, manifest: Manifest, folder: Path) -> Path:
    """Lays a site's certificate beside those of its package, under its own digest; whole or not at all.

    raises  Misconfigured("certificate-untrusted"): the file is no certificate
    """
    try:
        data = path.read_bytes()
        digest = Certificate.model_validate_json(data).digest
    except (OSError, ValidationError) as error:
        raise Misconfigured("certificate-untrusted", path.name) from error
    target = folder / manifest.name / manifest.version / f"{digest}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(target)
    _fsync(target.parent)
    return target


def _sweep(folder: Path) -> None:
    """What an installation left that was cut off."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path)


def _fsync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
