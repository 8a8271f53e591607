"""The model store: packages on disk, verified before they are believed, and the runtime that scores one film.

A package is <root>/<name>/<version>/ and holds data only. Whatever does not match its checksums, its manifest or its
expected graph is named as damaged and not used; it never stops the appliance and never decides anything. The graph is
read into memory and given to the runtime as bytes, so that no other file of the disk can become part of it.
"""

import hashlib
import io
import re
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import ValidationError

from appliance.core.certificate import Certificate
from appliance.core.decide import Model
from appliance.core.gates import GateReference, Gates, gates_digest
from appliance.core.manifest import Manifest
from appliance.errors import Misconfigured

PACKAGES_MAX = 100
FILES_MAX = 200
FILE_BYTES_MAX = 64 * 2**20
ARRAY_ITEMS_MAX = 16 * 2**20
CERTIFICATES_MAX = 50
GOLDEN_MAX = 32
# What zipfile and numpy raise on archives that are none, found by damaging one: encrypted entries, unknown compression,
# a header that is no Python literal, a shape beyond any memory.
ARRAY_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,  # NotImplementedError and RecursionError among them
    OverflowError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
SUM_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*){0,3})")


@dataclass(frozen=True, slots=True)
class Golden:
    """Drawn inputs [n, 1, 1, side, side] and what they must give: logits [n], features [n, f], within tolerance."""

    films: NDArray[np.float32]
    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    tolerance: float


@dataclass(frozen=True, slots=True)
class Package:
    """A package that matched its checksums; the graph as bytes."""

    folder: Path
    model: Model
    graph: bytes
    golden: Golden


@dataclass(frozen=True, slots=True)
class Damaged:
    """A package that is not used, and what an operator is told of it."""

    folder: Path
    fault: Misconfigured


def load_packages(root: Path) -> tuple[list[Package], list[Damaged]]:
    """Every package under root, sorted by name and version, newest version first; the damaged ones apart."""
    sound: list[Package] = []
    damaged: list[Damaged] = []
    # Either file makes a folder a package, so that one which lost the other is named, not overlooked.
    folders = {path.parent for name in ("manifest.json", "SHA256SUMS") for path in root.glob(f"*/*/{name}")}
    for folder in sorted(folders)[:PACKAGES_MAX]:
        try:
            sound.append(load_package(folder))
        except Misconfigured as fault:
            damaged.append(Damaged(folder, fault))
    sound.sort(key=lambda package: _order(package.model.manifest))
    return sound, damaged


def _order(manifest: Manifest) -> tuple[str, list[int]]:
    return manifest.name, [-int(number) for number in manifest.version.split(".")]


def load_package(folder: Path) -> Package:
    """One verified package.

    raises  Misconfigured("model-package-damaged"): a file is missing, unlisted, too large, a link, or has another
            digest; an array or certificate is not understood
            Misconfigured("model-manifest-invalid"): the manifest is not understood or speaks of other files
    """
    sums = _checksums(folder)
    files = {name: _verified(folder, name, digest) for name, digest in sums.items()}
    if "manifest.json" not in files:
        raise Misconfigured("model-package-damaged", "SHA256SUMS")
    try:
        manifest = Manifest.model_validate_json(files["manifest.json"])
    except ValidationError as error:
        raise Misconfigured("model-manifest-invalid", "manifest.json") from error
    if (manifest.name, manifest.version) != (folder.parent.name, folder.name):
        raise Misconfigured("model-manifest-invalid", "name, version")
    for name, digest in manifest.files.items():
        if sums.get(name) != digest:
            raise Misconfigured("model-package-damaged", name)
    gates = _gates(files, manifest)
    model = Model(manifest, gates, _certificates(files))
    return Package(folder, model, files["model.onnx"], _golden(files["golden.npz"], manifest))


def _checksums(folder: Path) -> dict[str, str]:
    """SHA256SUMS as {relative name: hex}: every file of the package must be in it, and nothing else may lie there."""
    try:
        lines = (folder / "SHA256SUMS").read_text(encoding="ascii").splitlines()
        lying = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured("model-package-damaged", "SHA256SUMS") from error
    matches = [SUM_LINE.fullmatch(line) for line in lines]
    sums = {match[2]: match[1] for match in matches if match is not None}
    if len(sums) != len(lines) or len(sums) > FILES_MAX or ".." in "/".join(sums).split("/"):
        raise Misconfigured("model-package-damaged", "SHA256SUMS")
    if set(sums) | {"SHA256SUMS"} != set(lying) or any(path.is_symlink() for path in lying.values()):
        raise Misconfigured("model-package-damaged", "SHA256SUMS")
    return sums


def _verified(folder: Path, name: str, digest: str) -> bytes:
    """The bytes of one file, read once: what was hashed is what is used."""
    try:
        with (folder / name).open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Misconfigured("model-package-damaged", name) from error
    if len(data) > FILE_BYTES_MAX or hashlib.sha256(data).hexdigest() != digest:
        raise Misconfigured("model-package-damaged", name)
    return data


def _arrays(data: bytes, name: str, wanted: dict[str, int]) -> dict[str, NDArray[Any]]:
    """Finite numeric arrays of an .npz by name and rank; no pickle is ever opened."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
        if total > 8 * ARRAY_ITEMS_MAX:
            raise Misconfigured("model-package-damaged", name)
        with np.load(io.BytesIO(data), allow_pickle=False) as opened:
            arrays = {key: opened[key] for key in wanted}
    except ARRAY_DAMAGE as error:
        raise Misconfigured("model-package-damaged", name) from error
    for key, rank in wanted.items():
        array = arrays[key]
        if array.ndim != rank or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise Misconfigured("model-package-damaged", name)
    return arrays


def _gates(files: dict[str, bytes], manifest: Manifest) -> GateReference:
    try:
        gates = Gates.model_validate_json(files["gates.json"])
    except ValidationError as error:
        raise Misconfigured("model-package-damaged", "gates.json") from error
    arrays = _arrays(files["gates.npz"], "gates.npz", {"projection": 2, "centres": 2})
    projection, centres = arrays["projection"].astype(np.float64), arrays["centres"].astype(np.float64)
    fits = projection.shape[1] == manifest.outputs.features_count and projection.shape[0] == centres.shape[1]
    if not fits or len(centres) == 0:
        raise Misconfigured("model-package-damaged", "gates.npz")
    digest = gates_digest(manifest.files["gates.json"], manifest.files["gates.npz"])
    return GateReference(gates, projection, centres, digest)


def _certificates(files: dict[str, bytes]) -> tuple[Certificate, ...]:
    """Certificates of the package, by file name. Whether one is valid for a study is asked at every decision."""
    names = sorted(name for name in files if name.startswith("certificates/") and name.endswith(".json"))
    if len(names) > CERTIFICATES_MAX:
        raise Misconfigured("model-package-damaged", "certificates")
    found = []
    for name in names:
        try:
            found.append(Certificate.model_validate_json(files[name]))
        except ValidationError as error:
            raise Misconfigured("model-package-damaged", name) from error
    return tuple(found)


def _golden(data: bytes, manifest: Manifest) -> Golden:
    arrays = _arrays(data, "golden.npz", {"films": 5, "logits": 1, "features": 2, "tolerance": 0})
    count, side = len(arrays["logits"]), manifest.input.side_px
    films_fit = arrays["films"].shape == (count, 1, 1, side, side)
    if not films_fit or arrays["features"].shape != (count, manifest.outputs.features_count):
        raise Misconfigured("model-package-damaged", "golden.npz")
    if not 0 < count <= GOLDEN_MAX or not 0 < arrays["tolerance"] <= 0.01:
        raise Misconfigured("model-package-damaged", "golden.npz")
    films = arrays["films"].astype(np.float32)
    return Golden(films, arrays["logits"], arrays["features"], float(arrays["tolerance"]))


class Runner:
    """One package's graph in the runtime: one thread, fixed shapes, no other file, no custom operators.

    raises  Misconfigured("model-package-damaged"): the runtime refuses the graph, or its inputs and outputs are not
            those of the manifest
    """

    def __init__(self, package: Package) -> None:
        manifest = package.model.manifest
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # the runtime's own log could name values of the graph
        try:
            # From bytes the runtime has no folder to look for external data in, so it refuses any.
            self.session = onnxruntime.InferenceSession(package.graph, options, providers=["CPUExecutionProvider"])
        except tuple(RUNTIME_FAULTS) as error:
            raise Misconfigured("model-package-damaged", "model.onnx") from error
        side, outputs = manifest.input.side_px, manifest.outputs
        inputs = [(i.name, i.type, list(i.shape)) for i in self.session.get_inputs()]
        names = {o.name: (o.type, list(o.shape)) for o in self.session.get_outputs()}
        expected = {
            outputs.logit: ("tensor(float)", [1]),
            outputs.features: ("tensor(float)", [1, outputs.features_count]),
        }
        if inputs != [(manifest.input.name, "tensor(float)", [1, 1, side, side])] or names != expected:
            raise Misconfigured("model-package-damaged", "model.onnx")
        self.input_name = manifest.input.name
        self.output_names = list(expected)

    def run(self, tensor: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for one prepared film, float32 [1, 1, side, side].

        Nothing where the runtime gives up on it: the decision then says that there was no answer, and escalates.
        """
        try:
            found = self.session.run(self.output_names, {self.input_name: tensor})
        except tuple(RUNTIME_FAULTS):
            return {}
        return dict(zip(self.output_names, found, strict=True))


def _runtime_faults() -> list[type[Exception]]:
    """The runtime's own exception classes: they share no public base class but Exception and RuntimeError."""
    state = onnxruntime.capi.onnxruntime_pybind11_state
    found = [getattr(state, name) for name in dir(state)]
    own = [kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception)]
    return [*own, RuntimeError, ValueError]


RUNTIME_FAULTS = _runtime_faults()


def self_test(package: Package) -> Runner:
    """The runner of a package whose golden films gave what they must.

    raises  Misconfigured("model-package-damaged"): another answer than on the machine that made the package
    """
    runner, golden = Runner(package), package.golden
    names = package.model.manifest.outputs
    for film, logit, features in zip(golden.films, golden.logits, golden.features, strict=True):
        found = runner.run(film)
        near = np.abs(found[names.logit][0] - logit) <= golden.tolerance
        near &= (np.abs(found[names.features][0] - features) <= golden.tolerance).all()
        if not near:
            raise Misconfigured("model-package-damaged", "golden.npz")
    return runner
