"""The table is the standard's, whole and unaltered, and every row of it can be carried out."""

import copy
import hashlib
import importlib.util
import json
from importlib import resources
from pathlib import Path
from types import ModuleType

import pytest
from pydicom.datadict import dictionary_has_tag, dictionary_VR

from appliance.core import annex_e
from appliance.core.deidentify import values
from appliance.core.deidentify.conformance import conformance_text

# As recorded by two independent extractions of PS3.15 2026d, one from DocBook and one from HTML.
PUBLISHED_SHA256 = "e257bc5e1cfecb3156ad3b871c43e6d73581cba6e80df460f4a4a87694e89442"
GENERATOR = Path(__file__).parents[2] / "docs" / "make_annex_e.py"


@pytest.fixture
def table() -> dict:
    return json.loads(resources.files("appliance.core").joinpath("annex_e.json").read_text("utf-8"))


@pytest.fixture
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_annex_e", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_edition_and_digest_are_the_published_ones(table: dict) -> None:
    assert annex_e.EDITION == "2026d"
    assert annex_e.CONTENT_SHA256 == PUBLISHED_SHA256
    keys = ("name", "tag", "retired", "in_standard_iod", "basic_profile", "options")
    rows = [{key: row[key] for key in keys} for row in table["rows"]]
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == PUBLISHED_SHA256
    assert len(annex_e.RULES) == 657
    assert len(table["sr_codes"]) == 214


def test_a_changed_row_changes_the_digest(table: dict) -> None:
    rows = copy.deepcopy(table["rows"])
    rows[100]["basic_profile"] = "K"
    assert annex_e.rows_sha256(rows) != PUBLISHED_SHA256


def test_the_generator_makes_exactly_this_file(table: dict, generator: ModuleType) -> None:
    known = {row["tag"]: [row["keyword"], row["vr"]] for row in table["rows"]}
    source = dict(table, pydicom_keywords=known, sr_content_items_table_e3_4_1=table["sr_codes"])
    again = generator.written(generator.made(source))
    assert again == resources.files("appliance.core").joinpath("annex_e.json").read_text("utf-8")


@pytest.mark.parametrize("fault", ["row", "action", "keyword"])
def test_the_generator_refuses_a_faulty_extraction(table: dict, generator: ModuleType, fault: str) -> None:
    known = {row["tag"]: [row["keyword"], row["vr"]] for row in table["rows"]}
    source = copy.deepcopy(dict(table, pydicom_keywords=known, sr_content_items_table_e3_4_1=[]))
    if fault == "keyword":
        del source["pydicom_keywords"]["(0010,0010)"]
    else:
        source["rows"][0]["basic_profile"] = "Q" if fault == "action" else "X"
    if fault == "action":
        source["content_sha256"] = generator.rows_sha256(source["rows"])
    with pytest.raises(SystemExit):
        generator.made(source)


@pytest.mark.parametrize(
    ("tag", "actions"),  # for Types 1, 2, 3 and for an object that is not listed
    [
        (0x00100010, "DZZZ"),
        (0x00100020, "DZZD"),
        (0x00080018, "UUUU"),
        (0x00081140, "UUUU"),
        (0x00080022, "DZXZ"),
        (0x00080021, "DDXD"),
        (0x00181030, "DDXD"),
        (0x00101000, "DZXX"),
        (0x00100012, "DZXX"),  # Name to Use, unknown to pydicom
        (0x50042500, "DZXX"),
        (0x60023000, "DZXX"),
        (0x60FE4000, "DZXX"),
        (0x00291010, "DZXX"),
        (0xFFFCFFFC, "DZXX"),
    ],
)
def test_the_rule_of_a_tag(tag: int, actions: str) -> None:
    rule = annex_e.rule_for(tag)
    assert rule is not None
    assert "".join(rule.action(kind) for kind in (1, 2, 3, None)) == actions


def test_the_table_is_silent_on_pixels() -> None:
    assert annex_e.rule_for(0x7FE00010) is None
    assert annex_e.vr_for(0x00100012) == "LT"
    assert annex_e.vr_for(0x00091001) is None


def test_every_row_has_a_representation_that_agrees_with_the_dictionary() -> None:
    for rule in annex_e.RULES:
        if (
            rule.tag.isalnum()
            and "x" not in rule.tag
            and rule.tag != "private"
            and dictionary_has_tag(int(rule.tag, 16))
        ):
            assert rule.vr == dictionary_VR(int(rule.tag, 16)), rule.tag
        elif rule.tag not in ("private", "50xxxxxx"):
            assert rule.vr, rule.tag


def test_every_replaced_row_has_a_dummy() -> None:
    for rule in annex_e.RULES:
        if rule.action(None) == "D" and rule.vr not in ("SQ", "UI"):
            assert values.DUMMIES[rule.vr], rule.tag


def test_the_conformance_text_names_edition_digest_and_every_row() -> None:
    text = conformance_text()
    assert "2026d" in text
    assert PUBLISHED_SHA256 in text
    assert "Deidentified" not in text
    for rule in annex_e.RULES:
        assert f"| {rule.tag} | {rule.name} |" in text
