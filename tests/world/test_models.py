"""The model store: what it believes, what it refuses, and that the first package is what its papers say."""

import csv
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

from appliance.core.certificate import Certificate, canonical_sha256, own_digest, signed
from appliance.core.certify import Sample, Scored, certificates, sample_of, scores_table
from appliance.core.decide import Model
from appliance.core.signature import key_id, public_of, sign
from appliance.errors import Misconfigured
from appliance.world.inference import Bench
from appliance.world.models import Package, load_package, load_packages, trusted_keys
from appliance.world.models.making import install_certificate, package_of
from tests.models.lightbox import Lightbox

MODELS = Path(__file__).parents[2] / "models"
COMMITTED = MODELS / "cxr-paediatric-pneumonia/2.0.0"
TRUSTED = MODELS / "trusted"
KEYS = trusted_keys(TRUSTED)[0]
FORGER = bytes(range(32))  # a trusted key of these tests: what is tried is what the other walls hold
TITLE = "cxr-paediatric-pneumonia/2.0.0"
REFERENCE_OF = {"harbour": "default", "synthetic": "synthetic"}  # site to gate reference
GRAPHS = ("exit1.onnx", "exit2.onnx", "check.onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the first package to break."""
    copy = tmp_path / "models/cxr-paediatric-pneumonia/2.0.0"
    shutil.copytree(COMMITTED, copy)
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
    return load_package(folder, {**KEYS, key_id(public_of(FORGER)): public_of(FORGER)})


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


# The first package


def test_the_committed_packages_are_sound_and_give_their_golden_answers():
    sound, damaged = load_packages([MODELS], TRUSTED)
    assert damaged == []
    assert [package.model.manifest.title for package in sound] == ["ct-volume-demo/1.0.0", TITLE]
    for package in sound:
        self_test(package)


def test_the_committed_model_is_small():
    graphs = [COMMITTED / name for name in loaded(COMMITTED).graphs]
    assert sum(path.stat().st_size for path in graphs) < 10 * 2**20


def of_site(package: Package, site: str = "harbour") -> list[Certificate]:
    """The package's certificates of one site, the first exit's first."""
    found = [each for each in package.model.certificates if each.site == site]
    return sorted(found, key=lambda each: each.exit)


def calibration(folder: Path) -> tuple[Sample, np.ndarray]:
    """The films that the certificates were made of, and their labels, from eval/scores.csv."""
    with (folder / "eval/scores.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["calibration"] == "1"]
    films = [
        Scored(
            row["film"],
            row["patient"],
            (float(row["logit_1"]), float(row["logit"])),
            (row["passed_1"] == "1", row["passed"] == "1"),
            {},
        )
        for row in rows
    ]
    sample = sample_of(films, exits=2)
    assert {row["set"] for row in rows} == {"site"}
    assert len(sample.films) == len(rows), "each line is another patient"
    for row in rows:
        assert (row["failed"] == "") == (row["passed_1"] == row["passed"] == "1")
    label = {row["film"]: row["label"] for row in rows}
    return sample, np.array([label[film] != "normal" for film in sample.films])


def test_the_certificates_follow_from_the_committed_scores():
    """Every number of both certificates again, from eval/scores.csv; only what the drift is told by is not in it."""
    found = of_site(loaded(COMMITTED))
    assert [each.exit for each in found] == [1, 2]
    sample, finding = calibration(COMMITTED)
    assert len(sample.films) == found[0].patients == 213
    assert {each.plan.patients_sha256 for each in found} == {sample.patients_sha256}
    assert {each.scores_sha256 for each in found} == {canonical_sha256(scores_table(sample, finding))}
    facts = {"name": found[0].name, "note": found[0].note, "site": "harbour", "group": found[0].group}
    days = (found[0].expires - found[0].created).days
    made = certificates(sample, finding, found[0].plan, **facts, created=found[0].created, days=days)
    beside = {"digest", "signature", "reference"}
    assert [each.model_dump(exclude=beside) for each in made] == [each.model_dump(exclude=beside) for each in found]
    for again, committed in zip(made, found, strict=True):
        assert again.reference["logit"] == committed.reference["logit"]


def test_both_lanes_are_open_at_the_second_exit_within_the_contract():
    first, second = of_site(loaded(COMMITTED))
    assert (first.cleared, first.flagged) == (None, None)
    assert second.cleared is not None
    assert second.flagged is not None
    assert second.cleared.error_upper <= second.plan.contract.false_omission_max
    assert (second.cleared.miss_upper or 1.0) <= second.plan.contract.miss_max
    assert second.flagged.error_upper <= second.plan.contract.false_discovery_max
    assert second.plan.attempt == 2


def test_the_certificates_are_bound_to_this_very_package():
    package = loaded(COMMITTED)
    assert package.model.certificates
    for certificate in package.model.certificates:
        plan = certificate.plan
        assert certificate.digest == own_digest(certificate)
        assert certificate.plan_digest == plan.digest
        assert plan.model_sha256 == package.model.sha256
        assert plan.gates_digest == package.model.references[REFERENCE_OF[certificate.site]].digest
        assert plan.preparation_digest == package.model.preparation_digest
    for certificate in of_site(package):
        assert certificate.group.manufacturer == "Harbour Imaging"
        assert certificate.group.manufacturer_model_name == "PX-224"


def test_the_model_s_digest_is_of_all_its_graphs():
    package = loaded(COMMITTED)
    manifest = package.model.manifest
    assert set(package.graphs) == set(GRAPHS)
    assert {name: hashlib.sha256(graph).hexdigest() for name, graph in package.graphs.items()} == {
        name: manifest.files[name] for name in package.graphs
    }
    other = manifest.model_copy(update={"files": {**manifest.files, "check.onnx": "0" * 64}})
    assert Model(other, package.model.references, ()).sha256 != package.model.sha256


@pytest.mark.parametrize("kind", ["black", "noise", "ramp", "text"])
@pytest.mark.parametrize("site", ["default", "synthetic"])
def test_drawn_pictures_fail_the_real_gates(kind: str, site: str):
    side = np.arange(224, dtype=np.float32)
    pictures = {
        "black": np.zeros((224, 224), np.float32),
        "noise": np.random.default_rng(0).integers(0, 256, (224, 224)).astype(np.float32),
        "ramp": side[:, None] + np.zeros((1, 224), np.float32),
        "text": 255.0 * ((side[:, None] // 6 + side[None, :] // 9) % 3 == 0).astype(np.float32),
    }
    box = Lightbox()
    assert box.failed(box.seen(pictures[kind]), site) != ()
    box.close()


def test_runner_gives_the_manifest_s_outputs_and_nothing_where_it_cannot():
    film = np.zeros((1, 1, 192, 192), np.float32)
    with Bench([loaded(COMMITTED)]) as bench:
        found = bench.run(TITLE, 1, film)
        shapes = {name: array.shape for name, array in found.items()}
        trunk = found["trunk"]
        assert shapes == {"logit": (1,), "features": (1, 464), "gap": (1,), "trunk": trunk.shape}
        second = bench.run(TITLE, 2, trunk)
        assert {name: array.shape for name, array in second.items()} == {
            "logit": (1,),
            "features": (1, 464),
            "gap": (1,),
        }
        told = bench.check(TITLE, np.zeros((1, 1, 96, 96), np.float32))["kinds"]
        assert told.shape == (1, 8)
        assert bench.run(TITLE, 1, film[:, :, :64, :64]) == {}
        assert bench.run(TITLE, 1, film.astype(np.float64)) == {}  # type: ignore[arg-type]
        assert bench.run(TITLE, 2, film) == {}
        assert bench.check(TITLE, film) == {}


# Damage without new checksums


def flip(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)


def test_the_copy_is_sound_before_it_is_broken(folder: Path):
    self_test(loaded(folder))


@pytest.mark.parametrize(
    "name",
    [
        *("exit1.onnx", "exit2.onnx", "check.onnx", "golden.npz", "gates.json", "gates.npz"),
        *("gates-synthetic.json", "gates-synthetic.npz", "CARD.md", "LICENSE"),
        *("certificates/harbour-exit-1.json", "certificates/harbour-exit-2.json"),
    ],
)
def test_one_flipped_bit_anywhere_is_noticed(folder: Path, name: str):
    flip(folder, name)
    assert code_of(folder) == "model-package-damaged"


def link_out(folder: Path) -> None:
    outside = folder.parent / "outside.onnx"
    (folder / "exit1.onnx").rename(outside)
    (folder / "exit1.onnx").symlink_to(outside)


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


def written(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


FORGERIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "unknown key": (rewrite("manifest.json", lambda m: m.update(run="rm")), "model-manifest-invalid"),
    "another name": (rewrite("manifest.json", lambda m: m.update(name="other")), "model-manifest-invalid"),
    "another version": (rewrite("manifest.json", lambda m: m.update(version="9.0.0")), "model-manifest-invalid"),
    "gates no JSON": (lambda f: (f / "gates.json").write_text("{"), "model-package-damaged"),
    "gates loosened to NaN": (
        lambda f: (f / "gates.json").write_text((f / "gates.json").read_text().replace("0.5", "NaN", 1)),
        "model-package-damaged",
    ),
    "certificate with overlapping lanes": (
        rewrite("certificates/harbour-exit-2.json", lambda c: c.update(clear_at_or_below=9.0)),
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
        rewrite_arrays("gates.npz", projection=np.zeros((248, 463), np.float32)),
        "model-package-damaged",
    ),
    "projection not finite": (
        rewrite_arrays("gates.npz", projection=np.full((248, 464), np.nan, np.float32)),
        "model-package-damaged",
    ),
    "pickle": (pickled, "model-package-damaged"),
    "arrays no archive": (lambda f: (f / "gates.npz").write_bytes(b"PK"), "model-package-damaged"),
    "golden tolerance of anything": (
        rewrite_arrays("golden.npz", tolerance=np.array(1e9)),
        "model-package-damaged",
    ),
    "golden answers of another graph": (
        rewrite_arrays("golden.npz", logits=np.full(4, 3.0, np.float32)),
        "model-package-damaged",
    ),
    "golden answers of another first exit": (
        rewrite_arrays("golden.npz", logits_1=np.full(4, 3.0, np.float32)),
        "model-package-damaged",
    ),
    "golden answers of another check": (
        rewrite_arrays("golden.npz", kinds=np.full((4, 8), 0.125, np.float32)),
        "model-package-damaged",
    ),
    "site's gates loosened to NaN": (
        lambda f: (f / "gates-synthetic.json").write_text(
            (f / "gates-synthetic.json").read_text().replace("0.5", "NaN", 1)
        ),
        "model-package-damaged",
    ),
    **{
        f"{graph} {words}": (written(graph, data), "model-graph-refused")
        for graph in GRAPHS
        for words, data in (
            ("no protobuf", b"not a graph" * 9),
            ("of another signature", a_graph(INLINE)),
            ("with a weight outside", a_graph(EXTERNAL)),
            ("with a custom operator", a_graph(INLINE, op="Evil", domain="evil")),
        )
    },
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
    newer = folder.parent / "2.0.1"
    shutil.copytree(folder, newer)
    flip(newer, "exit2.onnx")
    newest = folder.parent / "2.10.0"
    shutil.copytree(folder, newest)
    rewrite("manifest.json", lambda m: m.update(version="2.10.0"))(newest)
    sum_up(newest)
    (root / "notes.txt").write_text("no package")
    sound, damaged = load_packages([root], trusted)
    assert [package.model.manifest.version for package in sound] == ["2.10.0", "2.0.0"]
    assert [(d.folder.name, d.fault.code, d.fault.place) for d in damaged] == [
        ("2.0.1", "model-package-damaged", "exit2.onnx")
    ]


@pytest.mark.parametrize("lost", ["manifest.json", "SHA256SUMS"])
def test_a_package_that_lost_a_paper_is_named(folder: Path, trusted: Path, lost: str):
    (folder / lost).unlink()
    sound, damaged = load_packages([folder.parents[1]], trusted)
    assert sound == []
    assert [d.fault.code for d in damaged] == ["model-package-damaged"]


def test_no_store_is_an_empty_store(tmp_path: Path):
    assert load_packages([tmp_path / "absent"], tmp_path / "nobody") == ([], [])


@pytest.mark.parametrize(("site", "file"), [("harbour", "gates.json"), ("synthetic", "gates-synthetic.json")])
def test_other_gates_void_the_certificate(folder: Path, site: str, file: str):
    """Checksums can be made anew by whoever opens a gate wide; the certificate's digests cannot follow."""
    before = loaded(folder).model.references
    rewrite(file, lambda g: g["bounds"]["distance"].update(high=1e9))(folder)
    sum_up(folder)
    package = loaded(folder)
    changed = REFERENCE_OF[site]
    assert {name for name, each in package.model.references.items() if each.digest != before[name].digest} == {changed}
    digests = {each.digest for each in package.model.references.values()}
    assert all(each.plan.gates_digest not in digests for each in of_site(package, site))


def test_an_archive_that_claims_to_be_huge_is_not_unpacked(folder: Path):
    big = io.BytesIO()
    np.savez_compressed(big, projection=np.zeros((4096, 4200)), centres=np.zeros((2, 4200)))
    (folder / "gates.npz").write_bytes(big.getvalue())
    sum_up(folder)
    assert code_of(folder) == "model-package-damaged"


# Who vouches


def test_a_package_signed_by_nobody_trusted_is_damaged(folder: Path, tmp_path: Path):
    for keys, code in ((KEYS, ""), ({}, "model-unsigned"), ({next(iter(KEYS)): public_of(FORGER)}, "model-unsigned")):
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


FILES = sorted(path.relative_to(COMMITTED).as_posix() for path in COMMITTED.rglob("*") if path.is_file())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES), st.integers(0, 10**9), st.integers(1, 255))
def test_a_flipped_byte_anywhere_in_a_package_is_refused(folder: Path, name: str, place: int, flipped: int):
    """Checksums and signature among them: there is no byte whose change goes unseen."""
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


@pytest.mark.parametrize("number", [1, 2])
def test_a_certificate_that_nobody_trusted_signed_opens_nothing_and_is_named(folder: Path, trusted: Path, number: int):
    place = f"certificates/harbour-exit-{number}.json"
    rewrite(place, lambda c: c.update(signature=None))(folder)
    sum_up(folder)
    (package,), damaged = load_packages([folder.parents[1]], trusted)
    assert [each.exit for each in of_site(package)] == [3 - number]
    assert [(each.fault.code, each.fault.place) for each in damaged] == [("certificate-untrusted", place)]


def test_a_site_s_own_certificate_hides_none_of_the_package(folder: Path, trusted: Path, tmp_path: Path):
    """A file of the same name beside it, say an older certificate, must not stand in for the package's own."""
    certificate = next(each for each in of_site(loaded(folder)) if each.exit == 2)
    older = certificate.model_copy(update={"created": certificate.created - timedelta(days=1), "signature": None})
    older = signed(older.model_copy(update={"digest": own_digest(older)}), FORGER)
    own = tmp_path / "own" / folder.parent.name / folder.name
    own.mkdir(parents=True)
    (own / "harbour-exit-2.json").write_text(json.dumps(older.model_dump(mode="json")))
    (package,), damaged = load_packages([folder.parents[1]], trusted, tmp_path / "own")
    assert damaged == []
    assert {each.digest for each in of_site(package) if each.exit == 2} == {certificate.digest, older.digest}


def test_a_site_s_own_certificates_count_beside_those_of_the_package(folder: Path, trusted: Path, tmp_path: Path):
    own = tmp_path / "certificates"
    others = [each for each in loaded(folder).model.certificates if each.site != "harbour"]
    theirs, sources = of_site(loaded(folder)), []
    for certificate in theirs:
        path = folder / f"certificates/harbour-exit-{certificate.exit}.json"
        sources.append(path.rename(tmp_path / path.name))
    sum_up(folder)
    package = loaded(folder)
    assert list(package.model.certificates) == others
    for source, certificate in zip(sources, theirs, strict=True):
        fitting = package_of(source, [package], KEYS)
        assert install_certificate(source, fitting.model.manifest, own).name == f"{certificate.digest}.json"
        with pytest.raises(Misconfigured, match="certificate-untrusted"):
            package_of(source, [package], {})
        with pytest.raises(Misconfigured, match="certificate-unfitting"):
            package_of(source, [], KEYS)
    (found,), damaged = load_packages([folder.parents[1]], trusted, own)
    assert damaged == []
    assert of_site(found) == theirs
