"""What the verified files of a package mean: gate references, golden films, certificates.

Nothing here touches the disk: bytes come in by file name. What is not understood makes the package a damaged one.
"""

import io
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from appliance.core.certificate import Certificate, vouched
from appliance.core.gates import GateReference, Gates, gates_digest
from appliance.core.manifest import Manifest, Reference
from appliance.core.package import Golden
from appliance.errors import Misconfigured

ARRAY_ITEMS_MAX = 16 * 2**20
CERTIFICATES_MAX = 50
GOLDEN_MAX = 32
TOLERANCE_MAX = 0.01
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


def arrays(data: bytes, name: str, wanted: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Finite numeric arrays of an .npz by name and rank; no pickle is ever opened.

    raises  Misconfigured("model-package-damaged", name)
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
        if total > 8 * ARRAY_ITEMS_MAX:
            raise Misconfigured("model-package-damaged", name)
        with np.load(io.BytesIO(data), allow_pickle=False) as opened:
            found = {key: opened[key] for key in wanted}
    except ARRAY_DAMAGE as error:
        raise Misconfigured("model-package-damaged", name) from error
    for key, rank in wanted.items():
        array = found[key]
        if array.ndim != rank or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise Misconfigured("model-package-damaged", name)
    return found


def gate_reference(files: Mapping[str, bytes], manifest: Manifest, reference: Reference) -> GateReference:
    """One gate reference. Raises Misconfigured("model-package-damaged", file name)."""
    try:
        gates = Gates.model_validate_json(files[reference.gates])
    except ValidationError as error:
        raise Misconfigured("model-package-damaged", reference.gates) from error
    told = arrays(files[reference.arrays], reference.arrays, {"projection": 2, "centres": 2})
    projection, centres = told["projection"].astype(np.float64), told["centres"].astype(np.float64)
    fits = projection.shape[1] == manifest.exits[-1].features_count and projection.shape[0] == centres.shape[1]
    if not fits or len(centres) == 0:
        raise Misconfigured("model-package-damaged", reference.arrays)
    digest = gates_digest(manifest.files[reference.gates], manifest.files[reference.arrays])
    return GateReference(gates, projection, centres, digest)


def certificates(
    files: Mapping[str, bytes], trusted: Mapping[str, bytes]
) -> tuple[tuple[Certificate, ...], tuple[str, ...]]:
    """Certificates that a trusted key signed, by file name, and the files of the others.

    Whether one is valid for a study is asked at every decision.
    raises  Misconfigured("model-package-damaged", file name)
    """
    names = sorted(name for name in files if name.startswith("certificates/") and name.endswith(".json"))
    if len(names) > CERTIFICATES_MAX:
        raise Misconfigured("model-package-damaged", "certificates")
    found, untrusted = [], []
    for name in names:
        try:
            certificate = Certificate.model_validate_json(files[name])
        except ValidationError as error:
            raise Misconfigured("model-package-damaged", name) from error
        if vouched(certificate, trusted):
            found.append(certificate)
        else:
            untrusted.append(name)
    return tuple(found), tuple(untrusted)


def golden(data: bytes, manifest: Manifest) -> Golden:
    """The golden films of a package. Raises Misconfigured("model-package-damaged", "golden.npz").

    `logits` and `features` are of the last exit; of a first exit before it they are `logits_1` and `features_1`.
    """
    suffixes = [*(f"_{number}" for number in range(1, len(manifest.exits))), ""]
    wanted = {"films": 5, "tolerance": 0}
    for suffix in suffixes:
        wanted |= {f"logits{suffix}": 1, f"features{suffix}": 2}
    wanted |= {} if manifest.check is None else {"pictures": 5, "kinds": 2}
    told = arrays(data, "golden.npz", wanted)
    count, tolerance = len(told["logits"]), float(told["tolerance"])
    expected: dict[str, tuple[int, ...]] = {"films": (count, *manifest.input.shape)}
    for suffix, own in zip(suffixes, manifest.exits, strict=True):
        expected |= {f"logits{suffix}": (count,), f"features{suffix}": (count, own.features_count)}
    if manifest.check is not None:
        side = manifest.check.side_px
        expected |= {"pictures": (len(told["kinds"]), 1, 1, side, side)}
        expected |= {"kinds": (len(told["pictures"]), len(manifest.check.kinds))}
    fits = all(told[name].shape == shape for name, shape in expected.items())
    if not fits or not 0 < count <= GOLDEN_MAX or not 0 < tolerance <= TOLERANCE_MAX:
        raise Misconfigured("model-package-damaged", "golden.npz")
    films = {name: array.astype(np.float32) for name, array in told.items()}
    exits = tuple((films[f"logits{suffix}"], films[f"features{suffix}"]) for suffix in suffixes)
    return Golden(films["films"], exits, films.get("pictures"), films.get("kinds"), tolerance)
