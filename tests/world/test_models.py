"""The model store: what it believes, what it refuses, and that what ships is sound."""

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.core.certificate import own_digest, signed
from appliance.core.signature import public_of, sign
from appliance.errors import Misconfigured
from appliance.world.inference import Bench
from appliance.world.models import Damaged, Package, load_package, load_packages
from appliance.world.models.making import install_certificate, package_of, sign_package
from tests.core.drawn_graphs import net
from tests.core.test_decide import a_certificate
from tests.world.drawn_packages import KEYS, SECRET, write

MODELS = Path(__file__).parents[2] / "models"
TRUSTED = MODELS / "trusted"
FORGER = SECRET  # a trusted key of these tests: what is tried is what the other walls hold
TITLE = "drawn/1.0.0"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed package with a certificate of its own."""
    folder = write(tmp_path_factory.mktemp("made"), weights="trained", graphs={"model.onnx": net()})
    package = load_package(folder, KEYS)
    plan = a_certificate().plan.model_copy(
        update={
            "model_sha256": package.model.sha256,
            "gates_digest": package.model.references["default"].digest,
            "preparation_digest": package.model.preparation_digest,
        }
    )
    certificate = signed(a_certificate(plan=plan, plan_digest=plan.digest), SECRET)
    (folder / "certificates").mkdir()
    (folder / "certificates/harbour.json").write_text(json.dumps(certificate.model_dump(mode="json"), indent=1))
    sign_package(folder, SECRET)
    return folder


@pytest.fixture
def folder(tmp_path: Path, made: Path) -> Path:
    """A copy of it to break."""
    copy = tmp_path / "models" / TITLE
    shutil.copytree(made, copy)
    return copy


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    """The shipped keys and the forger's."""
    copy = tmp_path / "trusted"
    shutil.copytree(TRUSTED, copy)
    (copy / "forger.pub").write_text(public_of(FORGER).hex() + "\n")
    return copy


def sum_up(folder: Path) -> None:
    """Honest checksums over whatever lies there now, and a trusted signature: the forger's next step."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in names
        if name not in ("SHA256SUMS", "SHA256SUMS.sig")
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))
    sign_up(folder)


def sign_up(folder: Path) -> None:
    made = sign(FORGER, (folder / "SHA256SUMS").read_bytes())
    (folder / "SHA256SUMS.sig").write_text(made.model_dump_json())


def loaded(folder: Path) -> Package:
    return load_package(folder, KEYS)


def self_test(package: Package) -> None:
    with Bench([package]) as bench:
        for fault in bench.faults.values():
            raise fault


def code_of(folder: Path) -> str:
    with pytest.raises(Misconfigured) as caught:
        self_test(loaded(folder))
    return caught.value.code


# Protobuf by hand, so that no test needs the onnx package: (field, number) or (field, bytes).


def message(*fields: tuple[int, int | bytes | str]) -> bytes:
    out = b""
    for field, value in fields:
        if isinstance(value, int):
            out += _varint(field << 3) + _varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += _varint(field << 3 | 2) + _varint(len(data)) + data
    return out


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def a_graph(weight: bytes, op: str = "Add", domain: str = "") -> bytes:
    """y [1] = x [1] + w, with the weight given as TensorProto fields."""
    dimension = message((1, 1))
    tensor_type = message((1, 1), (2, message((1, dimension))))

    def value(name: str) -> bytes:
        return message((1, name), (2, message((1, tensor_type))))

    node = message((1, "x"), (1, "w"), (2, "y"), (4, op), *(((7, domain),) if domain else ()))
    graph = message((1, node), (2, "g"), (5, weight), (11, value("x")), (12, value("y")))
    return message((1, 8), (8, message((2, 17))), (7, graph))


INLINE = message((1, 1), (2, 1), (8, "w"), (9, np.ones(1, np.float32).tobytes()))
EXTERNAL = message((1, 1), (2, 1), (8, "w"), (13, message((1, "location"), (2, "weights.bin"))), (14, 1))


# What ships


@pytest.fixture(scope="module")
def shipped() -> tuple[list[Package], list[Damaged]]:
    return load_packages([MODELS], TRUSTED)


def test_what_ships_is_signed_audited_and_gives_its_golden_answers(shipped: tuple[list[Package], list[Damaged]]):
    sound, damaged = shipped
    assert sound
    assert [(each.folder.name, each.fault.code) for each in damaged] == []
    with Bench(sound) as bench:
        assert bench.faults == {}


def test_the_shipped_models_are_small(shipped: tuple[list[Package], list[Damaged]]):
    for package in shipped[0]:
        assert sum(map(len, package.graphs.values())) < 10 * 2**20


def test_shipped_certificates_are_bound_to_their_very_packages(shipped: tuple[list[Package], list[Damaged]]):
    for package in shipped[0]:
        for certificate in package.model.certificates:
            plan = certificate.plan
            assert certificate.digest == own_digest(certificate)
            assert certificate.plan_digest == plan.digest
            assert plan.model_sha256 == package.model.sha256
            assert plan.gates_digest in {each.digest for each in package.model.references.values()}
            assert plan.preparation_digest == package.model.preparation_digest


# One package


def test_a_package_is_what_its_files_say(folder: Path):
    package = loaded(folder)
    assert package.title == TITLE
    assert package.model.sha256 == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert [each.name for each in package.model.certificates] == ["harbour/test"]
    assert package.untrusted == ()
    assert len(repr(package)) < 20_000, "a graph has no place in a log"


# Damage without new checksums


def flip(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)


def test_the_copy_is_sound_before_it_is_broken(folder: Path):
    self_test(loaded(folder))


@pytest.mark.parametrize(
    "name",
    ["model.onnx", "gates.json", "gates.npz", "golden.npz", "CARD.md", "LICENSE", "certificates/harbour.json"],
)
def test_one_flipped_bit_anywhere_is_noticed(folder: Path, name: str):
    flip(folder, name)
    assert code_of(folder) == "model-package-damaged"


def link_out(folder: Path) -> None:
    outside = folder.parent / "outside.onnx"
    (folder / "model.onnx").rename(outside)
    (folder / "model.onnx").symlink_to(outside)


def climb_out(folder: Path) -> None:
    (folder.parent / "LICENSE").write_bytes((folder / "LICENSE").read_bytes())
    sums = (folder / "SHA256SUMS").read_text().replace("  LICENSE", "  ../LICENSE")
    (folder / "SHA256SUMS").write_text(sums)
    sign_up(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "LICENSE").unlink(),
        lambda folder: (folder / "SHA256SUMS").unlink(),
        lambda folder: ((folder / "SHA256SUMS").write_text(""), sign_up(folder)),
        lambda folder: ((folder / "SHA256SUMS").write_bytes(b"\xff\xfe"), sign_up(folder)),
        lambda folder: (folder / "weights.bin").write_bytes(b"unlisted"),
        link_out,
        climb_out,
    ],
    ids=["file missing", "no sums", "empty sums", "sums no text", "unlisted file", "link", "climbing out"],
)
def test_sums_must_name_exactly_the_plain_files_there(folder: Path, damage: Callable[[Path], object]):
    damage(folder)
    assert code_of(folder) == "model-package-damaged"


# Forgeries whose checksums are right


def rewrite(name: str, change: Callable[[dict], object]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    def damage(folder: Path) -> None:
        told = json.loads((folder / name).read_text())
        change(told)
        (folder / name).write_text(json.dumps(told))

    return damage


def rewrite_arrays(name: str, **changed: np.ndarray) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with np.load(folder / name) as opened:
            arrays = {**opened, **changed}
        np.savez(folder / name, **arrays)

    return damage


def pickled(folder: Path) -> None:
    np.savez(folder / "gates.npz", projection=np.array([object()]), centres=np.zeros((2, 2)))


def patched_zip(local: int, central: int, value: int) -> Callable[[Path], None]:
    """Changes a field of the first entry in both of its headers (APPNOTE.TXT 4.3.7, 4.3.12)."""

    def damage(folder: Path) -> None:
        data = bytearray((folder / "gates.npz").read_bytes())
        data[local] = value
        data[data.index(b"PK\x01\x02") + central] = value
        (folder / "gates.npz").write_bytes(data)

    return damage


def array_header(text: str) -> Callable[[Path], None]:
    """An array whose .npy header says what it likes."""

    def damage(folder: Path) -> None:
        with zipfile.ZipFile(folder / "gates.npz", "w") as archive:
            for name in ("projection", "centres"):
                told = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
                archive.writestr(f"{name}.npy", told)

    return damage


FORGERIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "unknown key": (rewrite("manifest.json", lambda m: m.update(run="rm")), "model-manifest-invalid"),
    "another name": (rewrite("manifest.json", lambda m: m.update(name="other")), "model-manifest-invalid"),
    "another version": (rewrite("manifest.json", lambda m: m.update(version="9.0.0")), "model-manifest-invalid"),
    "gates no JSON": (lambda f: (f / "gates.json").write_text("{"), "model-package-damaged"),
    "gates loosened to NaN": (
        lambda f: (f / "gates.json").write_text((f / "gates.json").read_text().replace("null", "NaN", 1)),
        "model-package-damaged",
    ),
    "certificate with overlapping lanes": (
        rewrite("certificates/harbour.json", lambda c: c.update(clear_at_or_below=9.0)),
        "model-package-damaged",
    ),
    "array encrypted": (patched_zip(6, 8, 1), "model-package-damaged"),
    "array in an unknown compression": (patched_zip(8, 10, 98), "model-package-damaged"),
    "array header unfinished": (array_header("{'descr': '<f8', 'shape': (2,"), "model-package-damaged"),
    "array beyond any memory": (
        array_header("{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000, 2), }"),
        "model-package-damaged",
    ),
    "array beyond any number": (
        array_header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999, 2), }"),
        "model-package-damaged",
    ),
    "projection of another width": (
        rewrite_arrays("gates.npz", projection=np.zeros((4, 5), np.float32)),
        "model-package-damaged",
    ),
    "projection not finite": (
        rewrite_arrays("gates.npz", projection=np.full((4, 4), np.nan, np.float32)),
        "model-package-damaged",
    ),
    "pickle": (pickled, "model-package-damaged"),
    "arrays no archive": (lambda f: (f / "gates.npz").write_bytes(b"PK"), "model-package-damaged"),
    "golden tolerance of anything": (
        rewrite_arrays("golden.npz", tolerance=np.array(1e9)),
        "model-package-damaged",
    ),
    "golden answers of another graph": (
        rewrite_arrays("golden.npz", logits=np.full(2, 3.0, np.float32)),
        "model-package-damaged",
    ),
    "graph no protobuf": (lambda f: (f / "model.onnx").write_bytes(b"not a graph" * 9), "model-graph-refused"),
    "graph of another signature": (lambda f: (f / "model.onnx").write_bytes(a_graph(INLINE)), "model-graph-refused"),
    "graph with a weight outside": (
        lambda f: (f / "model.onnx").write_bytes(a_graph(EXTERNAL)),
        "model-graph-refused",
    ),
    "graph with a custom operator": (
        lambda f: (f / "model.onnx").write_bytes(a_graph(INLINE, op="Evil", domain="evil")),
        "model-graph-refused",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forgeries_with_right_checksums_are_refused(folder: Path, forgery: str):
    damage, code = FORGERIES[forgery]
    damage(folder)
    sum_up(folder)
    assert code_of(folder) == code


def test_graphs_of_the_forgeries_are_refused_for_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Control: the same graph with its weight inside runs; with the weight in a file beside us it does not load."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(np.ones(1, np.float32).tobytes())
    session = onnxruntime.InferenceSession(a_graph(INLINE), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.ones(1, np.float32)})[0] == pytest.approx([2.0])
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4
    with pytest.raises(Exception, match=r"model_path|external"):
        onnxruntime.InferenceSession(a_graph(EXTERNAL), quiet, providers=["CPUExecutionProvider"])


# The store


def test_a_damaged_package_is_named_and_the_others_are_used(folder: Path, trusted: Path):
    root = folder.parents[1]
    newer = folder.parent / "1.0.1"
    shutil.copytree(folder, newer)
    flip(newer, "model.onnx")
    newest = folder.parent / "1.10.0"
    shutil.copytree(folder, newest)
    rewrite("manifest.json", lambda m: m.update(version="1.10.0"))(newest)
    sum_up(newest)
    (root / "notes.txt").write_text("no package")
    sound, damaged = load_packages([root], trusted)
    assert [package.model.manifest.version for package in sound] == ["1.10.0", "1.0.0"]
    assert [(d.folder.name, d.fault.code, d.fault.place) for d in damaged] == [
        ("1.0.1", "model-package-damaged", "model.onnx")
    ]


@pytest.mark.parametrize("lost", ["manifest.json", "SHA256SUMS"])
def test_a_package_that_lost_a_paper_is_named(folder: Path, trusted: Path, lost: str):
    (folder / lost).unlink()
    sound, damaged = load_packages([folder.parents[1]], trusted)
    assert sound == []
    assert [d.fault.code for d in damaged] == ["model-package-damaged"]


def test_no_store_is_an_empty_store(tmp_path: Path):
    assert load_packages([tmp_path / "absent"], tmp_path / "nobody") == ([], [])


def test_other_gates_void_the_certificate(folder: Path):
    """Checksums can be made anew by whoever opens a gate wide; the certificate's digests cannot follow."""
    rewrite("gates.json", lambda g: g["bounds"]["distance"].update(high=1e9))(folder)
    sum_up(folder)
    package = loaded(folder)
    assert package.model.certificates[0].plan.gates_digest != package.model.references["default"].digest


def test_an_archive_that_claims_to_be_huge_is_not_unpacked(folder: Path):
    big = io.BytesIO()
    np.savez_compressed(big, projection=np.zeros((4096, 4200)), centres=np.zeros((2, 4200)))
    (folder / "gates.npz").write_bytes(big.getvalue())
    sum_up(folder)
    assert code_of(folder) == "model-package-damaged"


# Who vouches


def test_a_package_signed_by_nobody_trusted_is_damaged(folder: Path, tmp_path: Path):
    for keys, code in ((KEYS, ""), ({}, "model-unsigned"), ({next(iter(KEYS)): bytes(32)}, "model-unsigned")):
        if not code:
            load_package(folder, keys)
            continue
        with pytest.raises(Misconfigured) as caught:
            load_package(folder, keys)
        assert caught.value.code == code
    assert load_packages([folder.parents[1]], tmp_path / "nobody")[0] == []


@pytest.mark.parametrize(
    "signature",
    [None, b"", b"{", b"null", b'{"key_id": "", "signature": ""}', b"[" * 2000, b"\xff" * 100],
    ids=["absent", "empty", "cut", "null", "blank", "deep", "no text"],
)
def test_a_signature_that_is_none_is_none(folder: Path, signature: bytes | None):
    if signature is None:
        (folder / "SHA256SUMS.sig").unlink()
    else:
        (folder / "SHA256SUMS.sig").write_bytes(signature)
    assert code_of(folder) == "model-unsigned"


FILES = (
    *("CARD.md", "LICENSE", "README.md", "SHA256SUMS", "SHA256SUMS.sig", "certificates/harbour.json", "eval/README.md"),
    *("gates.json", "gates.npz", "golden.npz", "manifest.json", "model.onnx", "sbom.json"),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES), st.integers(0, 10**9), st.integers(1, 255))
def test_a_flipped_byte_anywhere_in_a_package_is_refused(folder: Path, name: str, place: int, flipped: int):
    """Checksums and signature among them: there is no byte whose change goes unseen."""
    assert {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()} == set(FILES)
    path = folder / name
    before = path.read_bytes()
    after = bytearray(before)
    after[place % len(after)] ^= flipped
    path.write_bytes(after)
    try:
        found = loaded(folder) if name == "SHA256SUMS.sig" and json_alike(before, bytes(after)) else None
        if found is None:
            with pytest.raises(Misconfigured):
                loaded(folder)
    finally:
        path.write_bytes(before)
    assert loaded(folder).title == TITLE


def json_alike(before: bytes, after: bytes) -> bool:
    """Whether only blanks between the words of a JSON text were exchanged: then it says the same."""
    try:
        return bool(json.loads(before) == json.loads(after))
    except ValueError:
        return False


@pytest.mark.parametrize("told", ["", "zz", "0" * 63, "0" * 65, "G" * 64, "0" * 64 + "\n" + "0" * 64])
def test_a_key_file_that_holds_no_key_is_named_and_trusts_nobody(folder: Path, trusted: Path, told: str):
    (trusted / "odd.pub").write_text(told)
    sound, damaged = load_packages([folder.parents[1]], trusted)
    assert [package.title for package in sound] == [TITLE]
    assert [(each.folder.name, each.fault.code) for each in damaged] == [("odd.pub", "trusted-key-invalid")]


def test_a_certificate_that_nobody_trusted_signed_opens_nothing_and_is_named(folder: Path, trusted: Path):
    rewrite("certificates/harbour.json", lambda c: c.update(signature=None))(folder)
    sum_up(folder)
    sound, damaged = load_packages([folder.parents[1]], trusted)
    assert [package.model.certificates for package in sound] == [()]
    assert [(each.fault.code, each.fault.place) for each in damaged] == [
        ("certificate-untrusted", "certificates/harbour.json")
    ]


def test_a_site_s_own_certificate_hides_none_of_the_package(folder: Path, trusted: Path, tmp_path: Path):
    """A file of the same name beside it, say an older certificate, must not stand in for the package's own."""
    (certificate,) = loaded(folder).model.certificates
    older = certificate.model_copy(update={"created": certificate.created - timedelta(days=1), "signature": None})
    older = signed(older.model_copy(update={"digest": own_digest(older)}), SECRET)
    own = tmp_path / "own" / folder.parent.name / folder.name
    own.mkdir(parents=True)
    (own / "harbour.json").write_text(json.dumps(older.model_dump(mode="json")))
    (package,), damaged = load_packages([folder.parents[1]], trusted, tmp_path / "own")
    assert damaged == []
    assert {each.digest for each in package.model.certificates} == {certificate.digest, older.digest}


def test_a_site_s_own_certificate_counts_beside_those_of_the_package(folder: Path, trusted: Path, tmp_path: Path):
    own = tmp_path / "certificates"
    path = folder / "certificates/harbour.json"
    data = path.read_bytes()
    (certificate,) = loaded(folder).model.certificates
    source = tmp_path / "here.json"
    source.write_bytes(data)
    path.unlink()
    sum_up(folder)
    assert loaded(folder).model.certificates == ()
    package = package_of(source, [loaded(folder)], KEYS)
    assert install_certificate(source, package.model.manifest, own).name == f"{certificate.digest}.json"
    sound, damaged = load_packages([folder.parents[1]], trusted, own)
    assert damaged == []
    assert [each.model.certificates for each in sound] == [(certificate,)]
    with pytest.raises(Misconfigured, match="certificate-untrusted"):
        package_of(source, [package], {})
    with pytest.raises(Misconfigured, match="certificate-unfitting"):
        package_of(source, [], KEYS)
