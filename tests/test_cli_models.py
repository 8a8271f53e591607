"""`appliance models` from an empty folder to a deciding package, as an operator types it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.cli import main
from appliance.core.command import Command, why_not_believed
from appliance.core.document import decode
from appliance.core.roles import Order
from appliance.core.signature import key_id, public_of
from appliance.world import desk, ledger, sqlite
from appliance.world.ledger import roles as book
from appliance.world.models.making import read_key
from tests.core.drawn_graphs import bomb, net
from tests.world.drawn_packages import SECRET, trust, write

ROOT = Path(__file__).parents[1]
SHIPPED = "cxr-paediatric-pneumonia/2.0.0"


class Operator:
    """A configuration, a key, and a shell."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys
        (root / "state").mkdir()
        (root / "shipped").mkdir()
        trust(root / "trusted")
        self.config = root / "appliance.toml"
        self.config.write_text(
            f'[state]\nfolder = "{root}/state"\n[triage]\nmodel_folder = "{root}/shipped"\n'
            f'trusted_keys = "{root}/trusted"\n'
        )
        self.key = root / "tests.key"
        self.key.write_text(SECRET.hex() + "\n")

    def types(self, *words: object) -> int:
        self.capsys.readouterr()
        return main(["--config", str(self.config), "models", *map(str, words)])

    @property
    def reads(self) -> str:
        found = self.capsys.readouterr()
        return found.out + found.err

    def rows(self, what: str = "list") -> list[dict[str, Any]]:
        self.types(what, "--json")
        found = json.loads(self.reads)
        assert isinstance(found, list)
        return found


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys)


def fill_in(folder: Path) -> None:
    """Does what check asks for, badly enough."""
    for path in (folder / "CARD.md", folder / "LICENSE", folder / "sbom.json", folder / "manifest.json"):
        path.write_text(path.read_text().replace("TO FILL", "Drawn for a test"))
    path = folder / "gates.json"
    path.write_text(path.read_text().replace("TO FILL", "Drawn"))
    (folder / "eval/README.md").write_text("None.\n")
    (folder / "README.md").unlink()


def test_from_an_empty_folder_to_an_installed_package(operator: Operator):
    folder = operator.root / "my-model/0.1.0"
    assert operator.types("new", operator.root / "my-model") == 0
    assert operator.types("check", folder) == 1
    told = operator.reads
    for name in ("manifest.json", "CARD.md", "LICENSE", "sbom.json", "gates.json", "eval/README.md"):
        assert f"{name}: says TO FILL" in told
    assert "README.md: the template's own" in told
    assert "weights are random" in told
    assert "model.onnx" not in told
    fill_in(folder)
    assert operator.types("check", folder) == 0
    assert "not signed yet" in operator.reads
    assert operator.types("sign", folder, "--key", operator.key) == 0
    assert operator.types("check", folder) == 0
    assert "ready to be installed" in operator.reads
    assert operator.types("install", folder) == 0
    (row,) = operator.rows("verify")
    assert (row["model"], row["role"], row["weights"], row["damage"]) == ("my-model/0.1.0", "installed", "random", "")
    assert operator.types("install", folder) == 0
    assert operator.types("list") == 0
    assert "RANDOM WEIGHTS" in operator.reads


def test_new_overwrites_nothing_and_wants_a_name(operator: Operator):
    assert operator.types("new", operator.root / "my-model/2.0.0") == 0
    assert operator.types("new", operator.root / "my-model/2.0.0") == 78
    assert operator.types("new", operator.root / "My Model") == 78


def test_a_key_is_made_once_and_its_owner_s_alone(operator: Operator):
    path = operator.root / "site.key"
    assert operator.types("key", path) == 0
    assert path.stat().st_mode & 0o077 == 0
    public = (operator.root / "site.key.pub").read_text().strip()
    assert public_of(read_key(path)).hex() == public
    assert operator.types("key", path) == 78
    folder = write(operator.root / "made", "drawn", "1.0.0")
    assert operator.types("sign", folder, "--key", path) == 0
    assert operator.types("install", folder) == 78
    assert "model-unsigned" in operator.reads
    shutil.copy(f"{path}.pub", operator.root / "trusted")
    assert operator.types("install", folder) == 0
    assert operator.types("sign", folder, "--key", operator.root / "absent") == 78
    (operator.root / "short.key").write_text("00")
    assert operator.types("sign", folder, "--key", operator.root / "short.key") == 78


def broken(folder: Path) -> None:
    """Many mistakes at once."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["exits"][0]["logit_low"] = 99.0
    manifest["stranger"] = True
    manifest["overlay"] = "always"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "CARD.md").write_text("# nothing\n")
    (folder / "sbom.json").write_text("[]")
    (folder / "LICENSE").unlink()
    (folder / "odd name.txt").write_text("")
    (folder / "link").symlink_to("/etc/hostname")


def test_check_names_all_mistakes_at_once(operator: Operator):
    folder = write(operator.root / "made", "drawn", "1.0.0")
    broken(folder)
    assert operator.types("check", folder, "--json") == 1
    mistakes = "\n".join(json.loads(operator.reads)["mistakes"])
    for words in (
        "manifest.json: exits.0: ",
        "manifest.json: stranger: ",
        "manifest.json: overlay: ",
        "LICENSE: missing",
        "odd name.txt: letters",
        "link: a link",
    ):
        assert words in mistakes


def test_check_looks_into_graph_arrays_and_certificates(operator: Operator):
    folder = write(operator.root / "made", "drawn", "1.0.0", graphs={"model.onnx": net()})
    (folder / "certificates").mkdir()
    (folder / "certificates/here.json").write_text("{}")
    (folder / "model.onnx").write_bytes(bomb().SerializeToString())
    assert operator.types("check", folder) == 1
    told = operator.reads
    assert "model.onnx: an array of more than 128 MiB" in told
    assert "certificates/here.json: no certificate" in told
    assert "certificates: nothing is decided with random weights" in told
    np.savez(folder / "gates.npz", projection=np.eye(3), centres=np.zeros((1, 2)))
    np.savez(folder / "golden.npz", films=np.zeros(3))
    assert operator.types("check", folder) == 1
    told = operator.reads
    assert "gates.npz: not understood" in told
    assert "golden.npz: films or answers" in told
    assert operator.types("check", operator.root / "nowhere") == 1


def test_golden_answers_are_written_anew_when_asked(operator: Operator):
    folder = write(operator.root / "made", "drawn", "1.0.0", graphs={"model.onnx": net()})
    (folder / "model.onnx").write_bytes(net(gain=2.0).SerializeToString())
    assert operator.types("check", folder) == 1
    assert "golden.npz: the graphs give other answers" in operator.reads
    assert operator.types("check", folder, "--golden") == 1
    assert "golden.npz: the graphs" not in operator.reads


def test_a_trained_model_must_show_what_was_measured(operator: Operator):
    folder = write(operator.root / "made", "drawn", "1.0.0", weights="trained")
    assert operator.types("check", folder) == 1
    assert "eval/scores.csv: missing" in operator.reads


# Orders


def orders(operator: Operator) -> list[tuple[str, str, float]]:
    engine = sqlite.open_reader(operator.root / "state/review/review.db")
    with engine.connect() as c:
        found = [(row.kind, row.subject, row.share) for row in desk.orders_after(c, 0)]
    engine.dispose()
    return found


def test_orders_are_filed_for_triage_and_kept_in_the_audit_trail(operator: Operator):
    assert operator.types("activate", "drawn/1.0.0") == 0
    assert operator.types("shadow", "drawn/1.1.0", "--share", "0.1") == 0
    assert operator.types("stop", "drawn") == 0
    assert operator.types("resume", "drawn") == 0
    assert operator.types("rollback", "drawn") == 0
    assert orders(operator) == [
        ("model-activate", "drawn/1.0.0", 1.0),
        ("model-shadow", "drawn/1.1.0", 0.1),
        ("model-stop", "drawn", 1.0),
        ("model-resume", "drawn", 1.0),
        ("model-rollback", "drawn", 1.0),
    ]
    engine = sqlite.open_reader(operator.root / "state/review/review.db")
    with engine.connect() as c:
        acts = [row.act for row in c.execute(desk.audit.select())]
        assert desk.first_broken_audit_row(c) is None
    engine.dispose()
    assert acts == [kind for kind, _, _ in orders(operator)]


@pytest.mark.parametrize(
    "words", [("activate", "drawn"), ("rollback", "drawn/1.0.0"), ("stop", "x", "--share", "0.5"), ("stop", "../x")]
)
def test_malformed_orders_are_said_at_once(operator: Operator, words: tuple[str, ...]):
    assert operator.types(*words) == 1
    assert not (operator.root / "state/review/review.db").exists()


def test_list_shows_the_roles_that_triage_has_on_file(operator: Operator):
    write(operator.root / "shipped", "drawn", "1.0.0")
    write(operator.root / "shipped", "drawn", "1.1.0")
    assert {row["model"]: row["role"] for row in operator.rows()} == {
        "drawn/1.0.0": "installed",
        "drawn/1.1.0": "decides",
    }
    (operator.root / "state/phi").mkdir()
    engine = sqlite.open_writer(operator.root / "state/phi/studies.db", ledger.METADATA)
    with engine.begin() as c:
        for number, order in enumerate((Order("model-shadow", "drawn/1.0.0", 0.1), Order("model-stop", "drawn/1.1.0"))):
            book.file(c, "desk", str(number), order, who="reader", issued_at=0.0, at=0.0, outcome="done")
    engine.dispose()
    assert {row["model"]: row["role"] for row in operator.rows()} == {
        "drawn/1.0.0": "shadow of 10%",
        "drawn/1.1.0": "stopped",
    }


def test_a_signed_order_is_printed_for_the_wire(operator: Operator):
    assert operator.types("order", "stop", "drawn", "--device", "appliance-7", "--key", operator.key) == 0
    told = decode(Command, operator.reads.strip().encode())
    public = public_of(SECRET)
    trusted = {key_id(public): public}
    assert why_not_believed(told, trusted=trusted, device="appliance-7", now=float(told.issued_at)) is None
    assert operator.types("order", "activate", "drawn", "--key", operator.key) == 78


# What ships


def test_the_shipped_packages_are_signed_by_the_shipped_key(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    config = tmp_path / "c.toml"
    config.write_text(
        f'[state]\nfolder = "{tmp_path}"\n[triage]\nmodel_folder = "{ROOT}/models"\n'
        f'trusted_keys = "{ROOT}/models/trusted"\n'
    )
    assert main(["--config", str(config), "models", "verify", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["model"]: (row["role"], row["damage"]) for row in rows} == {
        "ct-volume-demo/1.0.0": ("decides", ""),
        SHIPPED: ("decides", ""),
        "synthetic-scanner/1.0.0": ("generator", ""),
    }
    [row] = [row for row in rows if row["model"] == SHIPPED]
    assert sum(each["site"] == "harbour" for each in row["certificates"]) == 2, "one for each exit"
    assert all(each["digest"] for each in row["certificates"])


def test_no_private_key_lies_in_the_repository():
    """Whatever looks like one raw key must be a public one of models/trusted."""
    for path in [*ROOT.glob("models/**/*"), *ROOT.glob("appliance/**/*"), *ROOT.glob("systemd/**/*")]:
        if path.is_file() and path.stat().st_size < 200 and path.suffix not in (".pub", ".pyc"):
            text = path.read_bytes().strip()
            assert not (len(text) in (32, 64) and all(c in b"0123456789abcdef" for c in text)), path
    assert not list(ROOT.glob("models/**/*.key"))
