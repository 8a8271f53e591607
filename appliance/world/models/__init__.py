"""The model store: packages on disk, verified before they are believed.

A package is <root>/<name>/<version>/ and holds data only. Whatever does not match its checksums, bears no signature of
a trusted key or is not understood is named as damaged and not used; it never stops the appliance and never decides
anything. Graphs are read into memory once: what was hashed is what is run. A generator of films is a package too,
checked alike, and never among those that may decide.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from appliance.core.decide import Model
from appliance.core.generator import PAPER, Generator
from appliance.core.manifest import Manifest
from appliance.core.package import Package
from appliance.core.signature import Signature, verified
from appliance.errors import Misconfigured
from appliance.world.models.contents import certificates, gate_reference, golden
from appliance.world.models.trust import trusted_keys

__all__ = [
    "SIGNATURE",
    "SUMS",
    "Damaged",
    "GeneratorPackage",
    "Package",
    "generators",
    "load_generator",
    "load_package",
    "load_packages",
    "read_verified",
    "trusted_keys",
]

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
PACKAGES_MAX = 100
FILES_MAX = 200
FILE_BYTES_MAX = 64 * 2**20
SIGNATURE_BYTES_MAX = 1024
CERTIFICATE_BYTES_MAX = 2**20
SUM_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*){0,3})")


@dataclass(frozen=True, slots=True)
class Damaged:
    """A package, or a key file, that is not used, and what an operator is told of it."""

    folder: Path
    fault: Misconfigured


@dataclass(frozen=True, slots=True)
class GeneratorPackage:
    """A generator that matched its checksums and bears a trusted signature; its files by name, as bytes."""

    generator: Generator
    files: Mapping[str, bytes] = field(repr=False)


def load_packages(
    roots: Sequence[Path], trusted: Path, *certificates_beside: Path
) -> tuple[list[Package], list[Damaged]]:
    """Every package under the roots, sorted by name, newest version first; the damaged ones apart.

    A generator is among neither, unless it is damaged. Where two roots hold the same name and version the earlier
    root's counts, if it is sound.
    trusted              folder of the public keys that are believed
    certificates_beside  folders whose <name>/<version>/*.json are certificates made after the package
    """
    keys, odd = trusted_keys(trusted)
    damaged = [Damaged(path, Misconfigured("trusted-key-invalid", path.name)) for path in odd]
    sound: dict[str, Package] = {}
    # Any of these files makes a folder a package, so that one which lost another is named, not overlooked.
    papers = ("manifest.json", PAPER, SUMS, SIGNATURE)
    for root in roots:
        folders = {path.parent for name in papers for path in root.glob(f"*/*/{name}")}
        for folder in sorted(folders)[:PACKAGES_MAX]:
            own = [each / folder.parent.name / folder.name for each in certificates_beside]
            try:
                if is_generator(folder):
                    load_generator(folder, keys)
                    continue
                package = load_package(folder, keys, *own)
            except Misconfigured as fault:
                damaged.append(Damaged(folder, fault))
                continue
            sound.setdefault(package.title, package)
            damaged += [Damaged(folder, Misconfigured("certificate-untrusted", name)) for name in package.untrusted]
    return sorted(sound.values(), key=lambda package: _order(package.model.manifest)), damaged


def _order(manifest: Manifest) -> tuple[str, list[int]]:
    return manifest.name, [-int(number) for number in manifest.version.split(".")]


def load_package(folder: Path, trusted: Mapping[str, bytes], *site_certificates: Path) -> Package:
    """One verified package.

    trusted            raw public keys by key id
    site_certificates  folders of more certificates for this very package, beside those in it
    raises   Misconfigured("model-unsigned"): no signature, or none of a trusted key, over these checksums
             Misconfigured("model-package-damaged"): a file is missing, unlisted, too large, a link, or has another
             digest; an array or certificate is not understood
             Misconfigured("model-manifest-invalid"): the manifest is not understood or speaks of other files
    """
    files = read_verified(folder, trusted)
    if "manifest.json" not in files:
        raise Misconfigured("model-package-damaged", SUMS)
    try:
        manifest = Manifest.model_validate_json(files["manifest.json"])
    except ValidationError as error:
        raise Misconfigured("model-manifest-invalid", "manifest.json") from error
    if (manifest.name, manifest.version) != (folder.parent.name, folder.name):
        raise Misconfigured("model-manifest-invalid", "name, version")
    for name, digest in manifest.files.items():
        if name not in files or hashlib.sha256(files[name]).hexdigest() != digest:
            raise Misconfigured("model-package-damaged", name)
    references = {site: gate_reference(files, manifest, each) for site, each in manifest.references.items()}
    graphs = {name: files[name] for name in sorted(manifest.graphs)}
    papers = {**files, **_beside(site_certificates)}
    vouched_for, untrusted = certificates(papers, trusted)
    model = Model(manifest, references, vouched_for)
    return Package(model, graphs, golden(files["golden.npz"], manifest), untrusted)


def generators(roots: Sequence[Path], trusted: Path) -> list[Generator]:
    """Every sound generator under the roots, sorted by folder; load_packages names the damaged ones."""
    keys, _ = trusted_keys(trusted)
    found: dict[str, Generator] = {}
    for root in roots:
        folders = sorted(path.parent for path in root.glob(f"*/*/{PAPER}") if is_generator(path.parent))
        for folder in folders[:PACKAGES_MAX]:
            with suppress(Misconfigured):
                told = load_generator(folder, keys).generator
                found.setdefault(told.title, told)
    return list(found.values())


def is_generator(folder: Path) -> bool:
    """A folder with both papers is read as a triage package, and is damaged if it is none."""
    return (folder / PAPER).exists() and not (folder / "manifest.json").exists()


def load_generator(folder: Path, trusted: Mapping[str, bytes]) -> GeneratorPackage:
    """One verified generator.

    raises  Misconfigured("model-unsigned" | "model-package-damaged") as load_package does;
            ("model-manifest-invalid"): generator.json is not understood or speaks of other files
    """
    files = read_verified(folder, trusted)
    try:
        told = Generator.model_validate_json(files[PAPER])
    except (KeyError, ValidationError) as error:
        raise Misconfigured("model-manifest-invalid", PAPER) from error
    if (told.name, told.version) != (folder.parent.name, folder.name):
        raise Misconfigured("model-manifest-invalid", "name, version")
    for name, digest in told.files.items():
        if name not in files or hashlib.sha256(files[name]).hexdigest() != digest:
            raise Misconfigured("model-package-damaged", name)
    return GeneratorPackage(told, files)


def _beside(folders: Sequence[Path]) -> dict[str, bytes]:
    """Certificates kept for a package, as files of it; each says by its own signature whether it counts."""
    paths = [path for folder in folders for path in sorted(folder.glob("*.json"))[:FILES_MAX]]
    try:
        return {
            f"certificates/beside/{path.name}": _read(path.parent, path.name, CERTIFICATE_BYTES_MAX) for path in paths
        }
    except OSError as error:
        raise Misconfigured("model-package-damaged", "certificates") from error


def read_verified(folder: Path, trusted: Mapping[str, bytes]) -> dict[str, bytes]:
    """Every file of a signed package by its name in it, read once: what was hashed is what is used.

    raises  Misconfigured("model-unsigned" | "model-package-damaged")
    """
    return {name: _verified(folder, name, digest) for name, digest in _checksums(folder, trusted).items()}


def _checksums(folder: Path, trusted: Mapping[str, bytes]) -> dict[str, str]:
    """SHA256SUMS as {relative name: hex}: every file of the package must be in it, and nothing else may lie there."""
    try:
        data = _read(folder, SUMS, FILE_BYTES_MAX)
        signature = _read(folder, SIGNATURE, SIGNATURE_BYTES_MAX) if (folder / SIGNATURE).exists() else None
        lines = data.decode("ascii").splitlines()
        lying = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured("model-package-damaged", SUMS) from error
    if not _signed(data, signature, trusted):
        raise Misconfigured("model-unsigned", SIGNATURE)
    matches = [SUM_LINE.fullmatch(line) for line in lines]
    sums = {match[2]: match[1] for match in matches if match is not None}
    if len(sums) != len(lines) or len(sums) > FILES_MAX or ".." in "/".join(sums).split("/"):
        raise Misconfigured("model-package-damaged", SUMS)
    if set(sums) | {SUMS, SIGNATURE} != set(lying) or any(path.is_symlink() for path in lying.values()):
        raise Misconfigured("model-package-damaged", SUMS)
    return sums


def _signed(data: bytes, signature: bytes | None, trusted: Mapping[str, bytes]) -> bool:
    if signature is None:
        return False
    try:
        return verified(data, Signature.model_validate_json(signature), trusted)
    except ValidationError:
        return False


def _read(folder: Path, name: str, bytes_max: int) -> bytes:
    """The bytes of one file, up to one more than may be."""
    with (folder / name).open("rb") as file:
        return file.read(bytes_max + 1)


def _verified(folder: Path, name: str, digest: str) -> bytes:
    """The bytes of one file, read once: what was hashed is what is used."""
    try:
        data = _read(folder, name, FILE_BYTES_MAX)
    except OSError as error:
        raise Misconfigured("model-package-damaged", name) from error
    if len(data) > FILE_BYTES_MAX or hashlib.sha256(data).hexdigest() != digest:
        raise Misconfigured("model-package-damaged", name)
    return data
