"""Each option of Annex E: what it keeps stays, what it cleans is clean, its code is added, and nothing else changes."""

import datetime
import io

import pydicom
import pytest
from planted_objects import (
    INSTITUTION,
    NAME,
    OTHER_KEY,
    PATIENT_ID,
    SITE_KEY,
    STUDY_DAY,
    deidentify,
    planted,
    read,
    spelled_in,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from appliance.core import annex_e
from appliance.core.deidentify import iod_types
from appliance.core.deidentify.dates import offset_days, shifted
from appliance.core.deidentify.safe_private import safe
from appliance.core.deidentify.words import clinical_words
from appliance.core.options import CODES, OPTIONS, Option, chosen
from appliance.errors import Misconfigured


def cleaned(source: pydicom.FileDataset, *options: Option, key: bytes = SITE_KEY) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(deidentify(source, key, frozenset(options)).bytes))


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_adds_its_code_after_earlier_ones(option: Option) -> None:
    source = planted()
    source.DeidentificationMethodCodeSequence = Sequence([code("113111", "DCM", "Retain Safe Private Option")])
    found = [item.CodeValue for item in cleaned(source, option).DeidentificationMethodCodeSequence]
    assert found == ["113111", "113100", CODES[option]]
    assert set(CODES.values()) | {"113100"} == set(annex_e.CID_7050)


def test_full_and_modified_dates_exclude_each_other() -> None:
    with pytest.raises(Misconfigured, match="deid-options"):
        chosen("centre", ["retain-longitudinal-full-dates"])
    with pytest.raises(Misconfigured, match="deid-options"):
        chosen("nothing of ours")


def test_modified_dates_move_by_whole_weeks_one_offset_a_patient() -> None:
    source = planted()
    source.AcquisitionDateTime = "20250310235959.125+0100"
    back = cleaned(source, "retain-longitudinal-modified-dates")
    day = datetime.date.fromisoformat(STUDY_DAY)
    moved = datetime.date.fromisoformat(back.StudyDate)
    assert (day - moved).days % 7 == 0
    assert moved < day
    assert back.AcquisitionDateTime[:8] == f"{moved - datetime.timedelta(1):%Y%m%d}"
    assert back.AcquisitionDateTime[8:] == "235959.125+0100"
    assert back.StudyTime == source.StudyTime
    assert back.PatientBirthDate == ""  # the option does not name it
    assert back.LongitudinalTemporalInformationModified == "MODIFIED"
    second = planted()
    second.StudyDate = "20250318"
    again = cleaned(second, "retain-longitudinal-modified-dates")
    assert (datetime.date.fromisoformat(again.StudyDate) - moved).days == 7
    assert cleaned(planted(), "retain-longitudinal-modified-dates", key=OTHER_KEY).StudyDate != back.StudyDate


@pytest.mark.parametrize("value", ["20251399", "yesterday", "2025", "20250311-20250312"])
def test_a_date_in_no_known_form_is_no_date(value: str) -> None:
    source = planted()
    with pydicom.config.disable_value_validation():
        source.SeriesDate = value
        back = cleaned(source, "retain-longitudinal-full-dates")
        assert back.get("SeriesDate", "") in ("", "18991230", "2025")


def test_partial_dates_stay_as_precise_as_they_were() -> None:
    assert shifted("DT", "202503", -14) == "202502"
    assert shifted("DT", "2025", -14) == "2024"
    assert shifted("DA", "2025.03.11", -7) == "20250304"
    assert shifted("TM", "1423", -7) == "1423"
    assert shifted("DA", "Zwetschg", 0) is None
    offsets = {offset_days(SITE_KEY, str(number)) for number in range(200)}
    assert len(offsets) > 100
    assert all(offset % 7 == 0 and offset <= -26 * 7 for offset in offsets)


def test_full_dates_stay() -> None:
    back = cleaned(planted(), "retain-longitudinal-full-dates")
    assert back.StudyDate == STUDY_DAY
    assert back.LongitudinalTemporalInformationModified == "UNMODIFIED"


@pytest.mark.parametrize(("age", "kept"), [("078Y", "078Y"), ("093Y", "090Y"), ("011M", "011M"), ("old", "")])
def test_patient_characteristics_stay_and_high_ages_are_folded(age: str, kept: str) -> None:
    source = planted()
    with pydicom.config.disable_value_validation():
        source.PatientAge = age
        source.PatientSize, source.PatientWeight = "1.71", "64"
        source.EthnicGroup = "Zwetschgenkern"
        back = cleaned(source, "retain-patient-characteristics")
        assert (back.PatientAge or "", back.PatientSex, str(back.PatientSize), str(back.PatientWeight)) == (
            kept,
            "F",
            "1.71",
            "64",
        )
        assert back.get("EthnicGroup", "REMOVED") == "REMOVED"
        assert "PatientAge" not in cleaned(source)


def test_devices_and_institutions_stay_by_their_options_only() -> None:
    source = planted()
    source.DeviceSerialNumber, source.StationName = "SN-00421", "CTROOM2"
    source.InstitutionAddress = "Am Brunnen 3"
    device, house = cleaned(source, "retain-device-identity"), cleaned(source, "retain-institution-identity")
    assert (device.DeviceSerialNumber, device.StationName) == ("SN-00421", "CTROOM2")
    assert "InstitutionName" not in device
    assert (house.InstitutionName, house.InstitutionAddress) == (INSTITUTION, "Am Brunnen 3")
    assert "DeviceSerialNumber" not in house
    source.InstitutionName = "Praxis Zwetschgenkern"
    assert "Zwetschgenkern" not in str(cleaned(source, "retain-institution-identity"))


def test_uids_stay_by_their_option() -> None:
    source = planted()
    back = cleaned(source, "retain-uids")
    assert back.StudyInstanceUID == source.StudyInstanceUID
    assert back.file_meta.MediaStorageSOPInstanceUID == source.SOPInstanceUID


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("CT Thorax of Zwetschgenkern", "CT Thorax of"),
        ("T2w_TSE_tra 5.0 mm", "T2w_TSE_tra 5.0 mm"),
        ("Chest pain, seen by Dr. Hand", "Chest pain"),
        ("MRT LWS, geb. 11.3.47, Tel 0171 5551234", "LWS"),
        ("Abdomen 78412237", "Abdomen"),
    ],
)
def test_clinical_words_of_a_description_stay(text: str, kept: str) -> None:
    source = planted()
    source.StudyDescription = text
    back = cleaned(source, "clean-descriptors")
    assert back.StudyDescription.startswith(kept)
    assert not spelled_in(back.StudyDescription.encode(), "zwetschgenkern")
    assert "StudyDescription" not in cleaned(source)


def test_a_clinical_word_that_is_somebody_s_name_goes() -> None:
    assert clinical_words("Head of Stone", frozenset({"stone"})) == "Head of"
    source = planted(name="Head^Anna")
    source.StudyDescription = "Head contrast"
    assert cleaned(source, "clean-descriptors").StudyDescription == "contrast"


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_safe_private_stays_element_by_element(syntax: str) -> None:
    source = planted()
    block = source.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")  # known
    block.add_new(0x0D, "CS", "ZWETSCHGENKERN")  # known, and bears the name
    block.add_new(0xFE, "LO", "nobody knows")
    private = source.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    inner = Dataset()
    inner.PatientName = NAME
    inner.EchoTime = "12"
    inner_block = inner.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    inner_block.add_new(0x71, "FL", 1.5)
    inner_block.add_new(0xFE, "LO", "Zwetschgenkern")
    private.add_new(0x0E, "SQ", Sequence([inner]))
    assert safe("SIEMENS MR HEADER", 0x0019100C) is not None
    back = cleaned(read(source, syntax), "retain-safe-private")
    assert back.private_block(0x0019, "SIEMENS MR HEADER")[0x0C].value in ("1000", b"1000", 1000)
    kept = {element.tag for element in back if element.tag.is_private}
    assert 0x0019100D not in kept
    assert 0x001910FE not in kept
    assert 0x00290010 not in kept
    assert not spelled_in(
        deidentify(read(source, syntax), SITE_KEY, frozenset({"retain-safe-private"})).bytes, "zwetsch"
    )
    assert not any(element.tag.is_private for element in cleaned(read(source, syntax)).iterall())


def test_structured_content_is_cleaned_item_by_item() -> None:
    def item(kind: str, concept: Dataset, relationship: str = "CONTAINS") -> Dataset:
        made = Dataset()
        made.RelationshipType, made.ValueType = relationship, kind
        made.ConceptNameCodeSequence = Sequence([concept])
        return made

    source = planted()
    text = item("TEXT", code("121071", "DCM", "Finding"))
    text.TextValue = "Nodule in left lung of Zwetschgenkern"
    person = item("PNAME", code("121008", "DCM", "Person Observer Name"))
    person.PersonName = NAME
    accession = item("TEXT", code("121022", "DCM", "Accession Number"))
    accession.TextValue = PATIENT_ID
    when = item("DATE", code("111060", "DCM", "Study Date"))
    when.Date = STUDY_DAY
    source.ContentSequence = Sequence([text, person, accession, when])
    back = cleaned(source, "clean-structured-content", "clean-descriptors")
    kinds = [found.ValueType for found in back.ContentSequence]
    assert kinds[0] == "TEXT"
    assert back.ContentSequence[0].TextValue == "Nodule in left lung of"
    assert "121022" not in [found.ConceptNameCodeSequence[0].CodeValue for found in back.ContentSequence]
    assert not any(spelled_in(str(back).encode(), word) for word in ("zwetschgenkern", "balthasar", "7731904"))
    assert STUDY_DAY not in str(back)
    assert [found.TextValue for found in cleaned(source).ContentSequence] == ["REMOVED"]


def test_items_that_others_point_at_by_position_are_replaced_and_not_taken_away() -> None:
    source = planted()
    accession, pointing = Dataset(), Dataset()
    accession.RelationshipType, accession.ValueType, accession.TextValue = "CONTAINS", "TEXT", PATIENT_ID
    accession.ConceptNameCodeSequence = Sequence([code("121022", "DCM", "Accession Number")])
    pointing.RelationshipType, pointing.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 1]
    source.ContentSequence = Sequence([accession, pointing])
    back = cleaned(source, "clean-structured-content")
    assert len(back.ContentSequence) == 2
    assert back.ContentSequence[0].TextValue == "REMOVED"


def test_graphics_stay_and_their_texts_are_cleaned() -> None:
    source = planted()
    layer, words = Dataset(), Dataset()
    words.UnformattedTextValue = "Zwetschgenkern lesion"
    words.AnchorPointAnnotationUnits, words.AnchorPoint, words.AnchorPointVisibility = "PIXEL", [1.0, 2.0], "N"
    layer.TextObjectSequence = Sequence([words])
    layer.GraphicLayer = "BALTHASAR"
    source.GraphicAnnotationSequence = Sequence([layer])
    (kept,) = cleaned(source, "clean-graphics", "clean-descriptors").GraphicAnnotationSequence
    assert kept.TextObjectSequence[0].UnformattedTextValue == "lesion"
    assert list(kept.TextObjectSequence[0].AnchorPoint) == [1.0, 2.0]
    assert kept.GraphicLayer.startswith("L")
    assert "BALTHASAR" not in str(kept)


@pytest.mark.parametrize(
    ("sop_class", "keyword", "fate"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", "ContentDate", "emptied"),  # Type 2 in CT
        ("1.2.840.10008.5.1.4.1.1.2", "SeriesDate", "removed"),  # Type 3
        ("1.2.840.10008.5.1.4.1.1.2.1", "ContentDate", "dummy"),  # Type 1 in Enhanced CT
        ("1.2.840.10008.5.1.1.30", "SeriesDate", "dummy"),  # an object that PS3.3 does not list
    ],
)
def test_compound_actions_follow_the_type_in_the_object(sop_class: str, keyword: str, fate: str) -> None:
    source = planted()
    source.SOPClassUID = sop_class
    source.ContentDate = source.SeriesDate = STUDY_DAY
    back = cleaned(source)
    found = "removed" if keyword not in back else "emptied" if back[keyword].is_empty else "dummy"
    assert found == fate


def test_types_are_known_for_every_image_class_and_inside_sequences() -> None:
    assert iod_types.type_of("1.2.840.10008.5.1.4.1.1.2", "", "PatientID") == 2
    assert iod_types.type_of("1.2.840.10008.5.1.4.1.1.2", "OtherPatientIDsSequence", "PatientID") == 1
    assert iod_types.type_of("1.2.3", "", "PatientID") is None


def test_a_received_colour_profile_is_replaced_by_a_plain_one() -> None:
    source = planted()
    source.ICCProfile = b"Zwetschgenkern's monitor".ljust(200, b"\0")
    back = cleaned(source)
    assert back.ICCProfile[36:40] == b"acsp"
    assert int.from_bytes(back.ICCProfile[:4], "big") == len(back.ICCProfile)
    assert b"sRGB" in back.ICCProfile


@pytest.mark.parametrize(
    ("keyword", "value", "kept"),
    [
        ("ImageType", ["ORIGINAL", "PRIMARY", "QXZVKPLMW"], ["ORIGINAL", "PRIMARY", "REMOVED"]),
        ("ImageType", ["DERIVED", "PRIMARY", "MPR"], ["DERIVED", "PRIMARY", "MPR"]),
        ("ScanOptions", "NR20250311", "REMOVED"),
        ("LossyImageCompressionMethod", "ISO_10918_1", "ISO_10918_1"),
        ("FilterType", "BODY FILTER", "BODY FILTER"),
    ],
)
def test_words_of_code_strings_are_words_of_the_standard_or_the_clinic(
    keyword: str, value: str | list[str], kept: str | list[str]
) -> None:
    source = planted()
    setattr(source, keyword, value)
    found = cleaned(source)[keyword].value
    assert (list(found) if isinstance(kept, list) else found) == kept
