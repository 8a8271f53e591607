"""The support bundle: only what is listed is in it, and something that did not build it finds a planted patient."""

import ast
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from seeding import NOW, PASSWORD, USER, Seeded, filled, patient, seed
from speaking import Hands
from test_audit import NEW, Rows

from appliance.cli import main
from appliance.config import Config
from appliance.core.study import Patient
from appliance.errors import CATALOGUE, Quarantined
from appliance.review import bundle as building
from appliance.review import bundle_check, members
from appliance.review.bundle import bundle
from appliance.world import ledger, sqlite, wire

ROOT = Path(__file__).parents[2]
WHO = Patient("PAT-4711-22", "Müller^Hannelore", "19610423", "F", "ACC-908-77", "20261122", "Chest PA")
UID = "2.25.1999"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    made = seed(tmp_path_factory.mktemp("bundle"))
    filled(made)
    rows = Rows(made)
    rows.model()
    rows.certificate(NEW, "harbour@2")
    made.study("known", ["complete", "routine"], who=WHO)
    made.study("short", ["complete", "routine"], who=patient("Li^Wu", "Q7"))
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    hands = Hands(made.places)
    for name, role in ((USER, "reader"), ("ada.admin", "administrator")):
        members.add_user(hands.ledgers, name, PASSWORD, at=1.0, role=role)
    hands.close()
    yield made
    made.engine.dispose()


def opened(data: bytes) -> dict[str, Any]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {each.name: json.loads(tar.extractfile(each).read()) for each in tar.getmembers()}  # type: ignore[union-attr]


def packed(documents: dict[str, Any], change: Callable[[tarfile.TarInfo], None] = lambda _: None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, document in documents.items():
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            change(member)
            tar.addfile(member, io.BytesIO(data) if member.isreg() else None)
    return made.getvalue()


def test_it_says_how_the_appliance_is_made_set_and_stands(house: Seeded) -> None:
    data = bundle(Config.model_validate({"site": {"name": "harbour"}}), house.places, NOW)
    found = opened(data)
    names = ["alarms", "codes", "counts", "metrics", "models", "schemas", "selftest", "settings", "versions"]
    assert sorted(found) == [f"{name}.json" for name in names]
    assert found["counts.json"]["studies"]["quarantined"] == 1
    assert found["counts.json"]["faults"] == {"study-attempts-spent": 1}
    assert found["settings.json"]["triage.attempts_max"] == 3
    assert found["codes.json"][0]["code"] in CATALOGUE
    assert found["models.json"][0]["stages"] == {"quiet": 1}
    assert {each["code"] for each in found["alarms.json"]} >= {"not-enrolled"}
    assert any(each["name"] == "audit trail" and each["ok"] for each in found["selftest.json"])
    bundle_check.check(data, house.places)


def test_no_text_path_name_or_study_is_in_it(house: Seeded, tmp_path: Path) -> None:
    """Every text that a site can set, every name in the ledgers, and the number of no study."""
    told = {"site": {"name": "harbour-clinic", "device_id": "edge-77"}, "keys": {"folder": tmp_path / "secret-place"}}
    data = bundle(Config.model_validate({**told, "network": {"broker_host": "localhost"}}), house.places, NOW)
    text = data.decode("latin-1").lower()
    for word in (
        "harbour",
        "edge-77",
        "secret-place",
        "localhost",
        str(tmp_path).lower(),
        "doe",
        "keller",
        "ada.admin",
    ):
        assert word not in text, word
    assert opened(data)["settings.json"]["site.name"] == "set"
    with house.engine.connect() as c:
        for row in c.execute(ledger.studies.select()):
            assert row.study_instance_uid not in text
            assert not row.patient_name or row.patient_name.lower() not in text


PLANTS: dict[str, Any] = {
    "name": "Müller^Hannelore",
    "name as typed": "MUELLER HANNELORE",
    "family name in a sentence": "seen by mueller yesterday",
    "name without its marks": "hannelore muller",
    "id": "PAT-4711-22",
    "id squeezed": "pat471122",
    "accession number": "ACC90877",
    "birth date": "19610423",
    "birth date with points": "23.04.1961",
    "birth date in letters": "born 1961-04-23",
    "study uid": "2.25.1008",
    "object uid in a sentence": "at 2.25.3800 it failed",
    "series uid": "2.25.2008",
    "digest of an object": f"{800:064x}",
    "digest of a stray": f"{999:064X}",
    "a short name": "Wu Li",
    "a short id": "q7",
    "percent-encoded": "M%C3%BCller",
}


@pytest.mark.parametrize("name", PLANTS)
@pytest.mark.parametrize("as_key", [False, True], ids=["value", "key"])
def test_a_planted_identifier_is_caught(house: Seeded, name: str, as_key: bool) -> None:
    documents = opened(bundle(Config(), house.places, NOW))
    documents["counts.json"] |= {PLANTS[name]: 1} if as_key else {"others": [{"code": PLANTS[name]}]}
    with pytest.raises(Quarantined) as caught:
        bundle_check.check(packed(documents), house.places)
    assert caught.value.code == "bundle-identity"
    assert "counts" in caught.value.place
    assert not {"ller", "4711", "1961", "2.25"} & set(caught.value.place.split())


def test_what_is_no_bundle_is_refused(house: Seeded) -> None:
    fine = {"versions.json": {}}
    bundle_check.check(packed(fine), house.places)

    def of_somebody(member: tarfile.TarInfo) -> None:
        member.uname = "dr.keller"

    def a_link(member: tarfile.TarInfo) -> None:
        member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0

    for data in (
        b"no tar",
        packed({}),
        packed({"Müller.json": {}}),
        packed({"log.txt": {}}),
        packed({"versions.json": b"not JSON"}),
        packed(fine, of_somebody),
        packed(fine, a_link),
        packed({f"{'abcdefghijklmnopqrst'[: n % 20 + 1]}.json": {} for n in range(20)} | {"a" * 30 + ".json": {}}),
        bytes(bundle_check.BYTES_MAX + 1),
    ):
        with pytest.raises(Quarantined, match="bundle-unreadable"):
            bundle_check.check(data, house.places)


def test_the_checker_knows_nothing_of_the_builder() -> None:
    for checker, builder in (("bundle_check", "bundle"), ("bundle", "bundle_check")):
        tree = ast.parse((ROOT / f"appliance/review/{checker}.py").read_text())
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert f"appliance.review.{builder}" not in imported
        assert not {builder, "selftest", "self_test", "condition"} & named or checker == "bundle"


def test_a_patient_called_as_a_word_of_ours_does_not_bar_it_where_the_word_stands_alone(house: Seeded) -> None:
    number = house.study("word", ["complete"], who=patient("Page^Line", "P-1234"))
    assert number
    bundle_check.check(bundle(Config(), house.places, NOW), house.places)


def test_the_page_hands_it_out_and_refuses_a_planted_one(house: Seeded, monkeypatch: pytest.MonkeyPatch) -> None:
    hands = Hands(house.places, signature_fresh_s=900)
    hands.now = NOW + 60
    hands.sign_in(user="ada.admin")
    assert 'action="/administration/support-bundle"' in hands.get("/administration").text
    answer = hands.post("/administration/support-bundle", "/administration")
    assert answer.headers["content-type"] == "application/x-tar"
    assert answer.headers["cache-control"] == "no-store"
    assert "versions.json" in opened(answer.content)
    real = building._counts
    monkeypatch.setattr(building, "_counts", lambda *told: {**real(*told), "leak": "PAT-4711-22"})
    answer = hands.post("/administration/support-bundle", "/administration")
    assert answer.status_code == 409
    assert "not handed out" in answer.text
    assert "4711" not in answer.text
    assert [act for _, act, _ in hands.acts()][-2:] == ["bundle-made", "bundle-refused"]
    hands.close()


def test_on_the_command_line_it_is_written_whole_or_not_at_all(
    house: Seeded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = tmp_path / "appliance.toml", tmp_path / "out.tar"
    config.write_text(f'[state]\nfolder = "{house.places.root}"\n')
    assert main(["--config", str(config), "support-bundle", str(out)]) == 0
    assert "settings.json" in opened(out.read_bytes())
    assert main(["--config", str(config), "support-bundle", str(out)]) == 78
    assert "bundle-there" in capsys.readouterr().err
    real = building._counts
    monkeypatch.setattr(building, "_counts", lambda *told: {**real(*told), "leak": "Hannelore"})
    assert main(["--config", str(config), "support-bundle", str(tmp_path / "other.tar")]) == 1
    said = capsys.readouterr()
    assert "bundle-identity" in said.err
    assert "annelore" not in said.err + said.out
    assert {path.name for path in tmp_path.iterdir()} == {"appliance.toml", "out.tar"}
