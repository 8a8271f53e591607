"""`appliance models check DIR`: everything an operator must mend in a package, at once, and how to mend it.

It looks at a folder before it is signed, so a missing or outdated digest is no mistake; what would be refused later, or
would mislead a reader of the papers, is. Graphs are looked at and run only where the appliance itself would run them.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from appliance.cli.model_template import CARD_HEADINGS, TO_FILL
from appliance.core.certificate import Certificate, own_digest, vouched
from appliance.core.decide import Model
from appliance.core.manifest import Manifest
from appliance.core.package import Golden, Package
from appliance.errors import Misconfigured
from appliance.world.inference import Bench
from appliance.world.models import FILE_BYTES_MAX, FILES_MAX, SIGNATURE, load_package, trusted_keys
from appliance.world.models.contents import gate_reference, golden
from appliance.world.models.making import files_of

NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*){0,3}")
PAPERS = ("manifest.json", "CARD.md", "LICENSE", "sbom.json")
MEASURED = ("eval/scores.csv", "eval/report.json")
TEXTS = (".md", ".json", ".txt", "LICENSE")
PYDANTIC_MAX = 40


@dataclass(frozen=True, slots=True)
class Findings:
    """Lines for people, each "where: what; what to do". Notes are no mistakes."""

    mistakes: list[str]
    notes: list[str]


def check(folder: Path, trusted: Path, *, renew_golden: bool = False) -> Findings:
    """Looks a package over.

    renew_golden  writes golden.npz anew with what the graphs answer here to the films in it, and then checks
    """
    if not folder.is_dir():
        return Findings([f"{folder}: no folder; appliance models new makes one"], [])
    files, mistakes = _files(folder)
    manifest, found = _manifest(folder, files)
    mistakes += found
    notes: list[str] = []
    if manifest is not None:
        mistakes += _papers(manifest, files)
        mistakes += _certificates(manifest, files, trusted)
        package, found = _understood(manifest, files)
        mistakes += found
        if package is not None:
            if renew_golden:
                package = _renewed(folder, package)
            mistakes += _runs(package)
        if manifest.weights == "random":
            notes.append("manifest.json: the weights are random, so this package only ever escalates")
    return Findings(mistakes, [*notes, *_standing(folder, trusted)])


def _files(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """The package's files, and what is wrong with what lies there."""
    files: dict[str, bytes] = {}
    mistakes = [
        f"{path.relative_to(folder)}: a link; put the file itself" for path in folder.rglob("*") if path.is_symlink()
    ]
    names = files_of(folder)
    if len(names) > FILES_MAX:
        mistakes.append(f"more than {FILES_MAX} files; keep what is needed")
    for name in names[:FILES_MAX]:
        path = folder / name
        if path.is_symlink():
            continue
        if not NAMES.fullmatch(name):
            mistakes.append(f"{name}: letters, digits, dot, dash and underscore only, three folders deep; rename it")
        elif path.stat().st_size > FILE_BYTES_MAX:
            mistakes.append(f"{name}: more than {FILE_BYTES_MAX // 2**20} MiB; make it smaller")
        else:
            files[name] = path.read_bytes()
    mistakes += [
        f"{name}: missing; appliance models new shows what belongs into it" for name in PAPERS if name not in files
    ]
    return files, mistakes


def _manifest(folder: Path, files: dict[str, bytes]) -> tuple[Manifest | None, list[str]]:
    """The manifest with the digests that signing would write, and what is wrong with it."""
    if "manifest.json" not in files:
        return None, []
    try:
        told: Any = json.loads(files["manifest.json"])
        told["files"] = dict.fromkeys(told["files"], "0" * 64)
        manifest = Manifest.model_validate_json(json.dumps(told))
    except ValidationError as error:
        lines = []
        for each in error.errors(include_url=False, include_context=False, include_input=False)[:PYDANTIC_MAX]:
            place = ".".join(str(part) for part in each["loc"]) or "as a whole"
            lines.append(f"manifest.json: {place}: {each['msg']}")
        return None, lines
    except (ValueError, TypeError, KeyError, RecursionError):
        return None, ["manifest.json: no JSON object with `files`; appliance models new shows one"]
    mistakes = []
    if (manifest.name, manifest.version) != (folder.absolute().parent.name, folder.absolute().name):
        mistakes.append(f"manifest.json: name and version are not those of the folder; it must be {manifest.title}")
    mistakes += [f"{name}: named in manifest.json and missing; add it" for name in manifest.files if name not in files]
    return manifest, mistakes


def _papers(manifest: Manifest, files: dict[str, bytes]) -> list[str]:
    """Card, licence, bill of materials and evaluation: there, filled in, in the form they are to have."""
    mistakes = []
    for name, data in files.items():
        count = data.count(TO_FILL.encode()) if name.endswith(TEXTS) and name != "README.md" else 0
        if count:
            mistakes.append(f"{name}: says {TO_FILL} {count} times; write what it asks for")
    card = files.get("CARD.md", b"").decode("utf-8", "replace")
    headings = re.findall(r"^## +(.+?)\s*$", card, re.MULTILINE)
    absent = [heading for heading in CARD_HEADINGS if heading not in headings]
    if "CARD.md" in files and absent:
        mistakes.append(f"CARD.md: sections of the CHAI applied model card are missing: {', '.join(absent)}; add them")
    if "sbom.json" in files and not _is_bill(files["sbom.json"]):
        mistakes.append("sbom.json: no CycloneDX document that names the model; appliance models new shows one")
    if manifest.weights == "trained":
        absent = [name for name in MEASURED if name not in files]
        mistakes += [f"{name}: missing; a trained model shows what was measured" for name in absent]
    if "README.md" in files and b"what to do with this folder" in files["README.md"]:
        mistakes.append("README.md: the template's own; take it away when you are done")
    return mistakes


def _is_bill(data: bytes) -> bool:
    try:
        told = json.loads(data)
        named = told.get("components") or told["metadata"]["component"]
        return bool(told["bomFormat"] == "CycloneDX" and told["specVersion"] and named)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def _certificates(manifest: Manifest, files: dict[str, bytes], trusted: Path) -> list[str]:
    keys, odd = trusted_keys(trusted)
    mistakes = [f"{path}: holds no public key; put 64 hex digits into it or take it away" for path in odd]
    names = [name for name in files if name.startswith("certificates/")]
    if names and manifest.weights == "random":
        mistakes.append("certificates: nothing is decided with random weights; take them away")
    for name in names:
        try:
            found = Certificate.model_validate_json(files[name])
        except ValidationError:
            mistakes.append(f"{name}: no certificate of this version; make it again: appliance certify")
            continue
        if found.digest != own_digest(found):
            mistakes.append(f"{name}: changed since it was made; make it again: appliance certify")
        if found.signature is not None and not vouched(found, keys):
            mistakes.append(f"{name}: signed by nobody who is trusted here; add the key to triage.trusted_keys")
    return mistakes


def _understood(manifest: Manifest, files: dict[str, bytes]) -> tuple[Package | None, list[str]]:
    """The package as it would be loaded, and which of its arrays are not understood."""
    mistakes, references = [], {}
    for site, each in manifest.references.items():
        try:
            references[site] = gate_reference(files, manifest, each)
        except Misconfigured as fault:
            mistakes.append(f"{fault.place}: not understood as gates of `{site}`; docs/model-packages.md has the form")
        except KeyError:
            continue  # missing: said before
    answers: Golden | None = None
    try:
        answers = golden(files["golden.npz"], manifest)
    except Misconfigured:
        mistakes.append(
            "golden.npz: films or answers of other shapes than the manifest's; docs/model-packages.md has the form"
        )
    except KeyError:
        pass
    graphs = {name: files[name] for name in manifest.graphs if name in files}
    if answers is None or set(references) != set(manifest.references) or len(graphs) != len(manifest.graphs):
        return None, mistakes
    return Package(Model(manifest, references, ()), graphs, answers), mistakes


def _runs(package: Package) -> list[str]:
    """What the audit says of the graphs; whether they give the golden answers."""
    with Bench([package]) as bench:
        complaints = bench.complaints[package.title]
        fault = bench.faults.get(package.title)
    if complaints or fault is None:
        return list(complaints)
    return ["golden.npz: the graphs give other answers here; look why, or appliance models check DIR --golden"]


def _renewed(folder: Path, package: Package) -> Package:
    """golden.npz with what the graphs answer here; the package itself where they answer nothing."""
    manifest, before = package.model.manifest, package.golden
    arrays: dict[str, Any] = {"films": before.films, "tolerance": np.array(before.tolerance)}
    with Bench([package]) as bench:
        bench.faults.pop(package.title, None)  # its golden answers are what is made anew
        tensors = list(before.films)
        for number, own in enumerate(manifest.exits, start=1):
            found = [bench.run(package.title, number, tensor) for tensor in tensors]
            if not all(found):
                return package
            suffix = "" if number == len(manifest.exits) else f"_{number}"
            arrays[f"logits{suffix}"] = np.array([each[own.logit][0] for each in found])
            arrays[f"features{suffix}"] = np.array([each[own.features][0] for each in found])
            tensors = [each.get(own.trunk or "", tensor) for each, tensor in zip(found, tensors, strict=True)]
        if manifest.check is not None and before.pictures is not None:
            said = [bench.check(package.title, picture) for picture in before.pictures]
            if not all(said):
                return package
            arrays |= {
                "pictures": before.pictures,
                "kinds": np.array([each[manifest.check.output][0] for each in said]),
            }
    np.savez(folder / "golden.npz", **arrays)
    return Package(package.model, package.graphs, golden((folder / "golden.npz").read_bytes(), manifest))


def _standing(folder: Path, trusted: Path) -> list[str]:
    """Whether it could be installed as it lies there."""
    if not (folder / SIGNATURE).exists():
        return ["not signed yet: appliance models sign DIR --key FILE, when nothing is left to mend"]
    try:
        load_package(folder.absolute(), trusted_keys(trusted)[0])
    except Misconfigured as fault:
        return [f"signed, and would not be used as it lies here: {fault}; sign it again, or trust its key"]
    return ["signed by a trusted key, ready to be installed"]
