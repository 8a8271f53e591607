"""The identity of a source: from every place, in every reading, and printed nowhere."""

import io
import struct
import warnings
from pathlib import Path

import pydicom
import pytest
from planted_objects import ACCESSION, BIRTH, NAME, PATIENT_ID, REAL_FILES, planted
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from undone_rules import undone

from appliance.core.identity import ITEMS_MAX, Identity, identity, identity_of, joined
from appliance.core.inspect import findings
from appliance.errors import Quarantined


def whole(dataset: pydicom.FileDataset) -> bytes:
    buffer = io.BytesIO()
    with pydicom.config.disable_value_validation():
        dataset.save_as(buffer)
    return buffer.getvalue()


def texts(found: Identity, kind: str) -> set[str]:
    return {item.text for item in found.items if item.kind == kind}


SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_it_is_the_same_in_every_transfer_syntax(syntax: str) -> None:
    found = identity_of(whole(planted(syntax)))
    assert {NAME, "Ohrwurmstein^Kunigunde"} <= texts(found, "name")
    assert {PATIENT_ID, ACCESSION, "7731904"} <= texts(found, "id")
    assert {BIRTH, "20250311"} <= texts(found, "date")
    assert texts(found, "time") == {"142311"}
    assert "Quellbrunnthal 14" in texts(found, "address")
    assert "Klinik Quellbrunnthal" in texts(found, "institution")
    assert {
        "Zwetschgenkern private",
        "bytes of Zwetschgenkern",
        "Zwetschgenkern was here",
        "Zwetschgenkern!!",
    } <= texts(found, "private")
    assert "SIEMENS" in found.products
    assert "Zwetschgenkern" not in repr(found) + repr(found.items)


@pytest.mark.parametrize("path", REAL_FILES[::7], ids=lambda path: path.name)
def test_a_data_set_and_its_bytes_have_one_identity(path: Path) -> None:
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some declare one encoding and are in another
        source = pydicom.dcmread(io.BytesIO(data), force=True)
    mine = {item.text.strip("=") for item in identity(source).items}
    if data[128:132] == b"DICM":
        assert mine >= {item.text.strip("=") for item in identity_of(data).items if item.kind != "private"}
    else:
        assert mine


@pytest.mark.parametrize(
    ("charset", "spelled", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen"),
        ("ISO_IR 100", "Müller^Jürgen".encode(), "Müller^Jürgen"),  # declared wrongly
        ("", "Müller^Jürgen".encode(), "Müller^Jürgen"),
        ("", "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen"),
        ("ISO_IR 192", "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen"),
        ("ISO_IR 144", "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        ("ISO_IR 126", "Διονυσιος".encode("iso8859_7"), "Διονυσιος"),
        ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ".encode("shift_jis") + b"=\x1b$B;3ED\x1b(J^", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^"),
        ("\\ISO 2022 IR 149", b"Hong=\x1b$)C" + "홍".encode("euc_kr"), "Hong=홍"),
        ("GB18030", "王^小东".encode("gb18030"), "王^小东"),
        ("NO SUCH SET", "Müller".encode("latin-1"), "Müller"),
    ],
)
def test_names_are_read_as_declared_and_as_meant(charset: str, spelled: bytes, name: str) -> None:
    data = whole(planted(name="A" * len(spelled), charset="ISO_IR 100"))
    declared = charset.encode().ljust(len(charset) + len(charset) % 2)
    data = data.replace(b"CS\x0a\0ISO_IR 100", b"CS" + struct.pack("<H", len(declared)) + declared, 1)
    data = data.replace(b"A" * len(spelled), spelled)
    assert name in texts(identity_of(data), "name")


def test_sequences_are_opened_wherever_they_hide() -> None:
    implicit = struct.pack("<HHL", 0x0010, 0x0010, 16) + b"Sequenzler^Anna "
    value = struct.pack("<HHL", 0xFFFE, 0xE000, len(implicit)) + implicit
    for tag in (0x00091010, 0x00101002, 0x00100999):  # private, a sequence by the dictionary, unknown
        element = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"UN", 0, len(value)) + value
        assert "Sequenzler^Anna" in texts(identity_of(undone(whole(planted()), tag, element, 0)), "name")


@pytest.mark.parametrize("cut", [100, 300, 700])
def test_a_cut_file_gives_what_there_is_of_it(cut: int) -> None:
    data = whole(planted())
    found = identity_of(data[:-cut])
    assert NAME in texts(found, "name")
    assert findings(data, found) != ()


def test_what_stands_for_nobody_is_not_remembered_as_standing() -> None:
    source = planted()
    source.StudyDescription, source.StudyDate = "REMOVED", "18991230"
    found = identity_of(whole(source))
    assert not {tag for tag, _ in found.stood} & {0x00081030, 0x00080020}


def test_codes_of_the_standard_are_products_and_others_are_not() -> None:
    source = planted()
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "T-D4000", "SRT", "Abdomen"
    other = Dataset()
    other.CodeValue, other.CodingSchemeDesignator, other.CodeMeaning = "L7731", "99LOCAL", "asked by Ohrwurm"
    source.ProcedureCodeSequence = Sequence([item, other])
    found = identity_of(whole(source))
    assert {"T-D4000", "Abdomen"} <= set(found.products)
    assert {"L7731", "asked by Ohrwurm"} <= texts(found, "text")


def test_an_identity_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ITEMS_MAX >= 100_000
    monkeypatch.setattr("appliance.core.identity.ITEMS_MAX", 10)
    with pytest.raises(Quarantined, match="deid-unsupported"):
        identity_of(whole(planted()))


def test_a_study_has_the_identity_of_all_its_objects() -> None:
    one, other = identity(planted()), identity(planted(name="Anders^Heinz"))
    both = joined(one, other)
    assert {"Anders^Heinz", NAME} <= texts(both, "name")
    assert len(both.items) == len(set(both.items))
    assert both.stood == one.stood | other.stood
    assert both.dated == one.dated | other.dated
    assert joined().items == ()
