"""The corpus: which plants go into which files, from one seed. `build` writes the files and their key."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.deid import (
    pictures,
    plant_bytes,
    plant_camera,
    plant_charset,
    plant_free,
    plant_header,
    plant_objects,
    plant_pictures,
    plant_study,
    plant_table,
    score_pixels,
    sources,
)
from tests.deid.answer_key import FileNote, Key
from tests.deid.sheet import Field, Person, Sheet

TABLE_CHUNKS = 4
LEGIBLE = 0.8
WALKS = (
    ("CT_small.dcm", ExplicitVRLittleEndian, "explicit", False),
    ("MR_small.dcm", ImplicitVRLittleEndian, "implicit", True),
    ("MR_small.dcm", ImplicitVRLittleEndian, "implicit", False),
    ("CT_small.dcm", ExplicitVRLittleEndian, "explicit", True),
    ("MR_small.dcm", DeflatedExplicitVRLittleEndian, "deflated", False),
    ("MR_small.dcm", DeflatedExplicitVRLittleEndian, "deflated", True),
)
# Left out where only some are wanted: large frames or many.
HEAVY = {"RG3_J2KI.dcm", "examples_ybr_color.dcm", "OBXXXX1A_rle_2frame.dcm", "gdcm-US-ALOKA-16.dcm", "JPEG-LL.dcm"}
HEAVY |= {"examples_palette.dcm", "eCT_Supplemental.dcm", "JPEG2000.dcm", "JPEG-lossy.dcm", "emri_small.dcm"}
HEAVY |= {"explicit_VR-UN.dcm", "J2K_pixelrep_mismatch.dcm", "693_J2KI.dcm", "image_dfl.dcm", "waveform_ecg.dcm"}
# A camera wrote into these pictures itself: nothing is said of their bits.
WRITTEN = ("examples_jp", "examples_pal", "examples_rgb", "examples_ybr", "US1", "OBXXXX", "JPGLossless", "color3d")
WRITTEN += ("gdcm-US", "mlut", "vlut", "RG3", "GDCMJ2K", "JPEG2000", "JPEG-L")


@dataclass(frozen=True, slots=True)
class Size:
    """How much of a corpus: header files (None: all), walks through the table, object families, studies, pictures."""

    headers: int | None = None
    tables: int = 6
    objects: bool = True
    studies: bool = True
    pictures: int = 40


@dataclass(slots=True)
class Making:
    """What the steps of one corpus share."""

    field: Field
    people: list[Person]
    size: Size
    studies: dict[str, str] = field(default_factory=dict)

    def sheet(
        self, name: str, source: str, kind: str, person: Person, dataset: FileDataset | None = None, study: str = ""
    ) -> Sheet:
        dataset = sources.opened(source) if dataset is None else dataset
        study = study or f"{person.id}-{kind}"
        if study not in self.studies:
            self.studies[study] = self.field.words.uid()
        dataset.StudyInstanceUID = self.studies[study]
        dataset.PatientName, dataset.PatientID = person.name, person.id
        pixels = "" if "PixelData" not in dataset or not source.startswith(WRITTEN) else "own"
        return Sheet(self.field, FileNote(name, source, kind, person.id, study, pixels), dataset)


def build(seed: int, folder: Path, size: Size | None = None) -> Key:
    plot = Field(seed, folder / "in")
    making = Making(plot, [plot.person() for _ in range(4)], size or Size())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is planted is dirty on purpose, and pydicom says so
        for step in (_headers, _tables, _charsets, _objects, _bytes, _studies, _pictures, _camera):
            step(making)
    plot.key.write(folder / "key.json")
    np.savez_compressed(folder / "masks.npz", **plot.masks)
    return plot.key


def _write(sheet: Sheet, syntax: str, meta: dict[str, object] | None = None, preamble: bytes = b"") -> Path:
    path = sheet.field.folder / sheet.note.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sources.written(sheet.dataset, syntax, meta, preamble))
    sheet.done()
    return path


def _headers(making: Making) -> None:
    names = [name for name in sources.HEADER_FILES if making.size.headers is None or name not in HEAVY]
    making.field.rng.shuffle(names)
    for number, name in enumerate(names[: making.size.headers]):
        person = making.people[number % len(making.people)]
        sheet = making.sheet(f"header/{number:03}_{Path(name).stem}.dcm", name, "header", person)
        plant_header.native(sheet)
        plant_header.common(sheet, person)
        plant_header.deeper(sheet, person)
        plant_header.private(sheet)
        plant_free.free_text(sheet)
        plant_free.unknown(sheet, sources.syntax_of(sheet.dataset).is_little_endian)
        if "PixelData" in sheet.dataset:
            plant_free.overlay_texts(sheet, 0x6002)
            plant_bytes.icon(sheet)
            plant_bytes.overlay(sheet)
        if number % 3 == 0:
            plant_free.identities_in_text(sheet)
        elif number % 3 == 1:
            plant_free.descriptors(sheet)
        else:
            plant_free.own_name(sheet, person)
        plant_free.long_text(sheet)
        plant_free.retained(sheet)
        meta, preamble = plant_free.envelope(sheet)
        _write(sheet, sources.syntax_of(sheet.dataset), meta, preamble)


def _chunks(rows: list[dict], number: int) -> Iterator[list[dict]]:
    for at in range(number):
        yield rows[at::number]


def _tables(making: Making) -> None:
    for source, syntax, label, deep in WALKS[: making.size.tables]:
        for number, rows in enumerate(_chunks(plant_table.plantable(), TABLE_CHUNKS)):
            person = making.people[number % len(making.people)]
            category = "e11_nested" if deep else "e11_top"
            sheet = making.sheet(f"table/{category}_{label}_{number}.dcm", source, "table", person)
            plant_header.own_uid(sheet, "StudyInstanceUID")
            for row in rows:
                if deep:
                    plant_table.planted_deep(sheet, row, category)
                elif plant_table.tag_of(row) not in (0x00100010, 0x00100020):
                    plant_table.planted_row(sheet, row, category)
            plant_free.retained(sheet)
            _write(sheet, syntax)


def _charsets(making: Making) -> None:
    if not making.size.objects:
        return
    for number, (declared, script, codec, _wrong) in enumerate(plant_charset.SETS):
        person = making.people[number % len(making.people)]
        sheet = making.sheet(f"charset/{number:02}_{script}_{codec}.dcm", "CT_small.dcm", "charset", person)
        plant_charset.charset(sheet, declared, script, codec)
        plant_free.retained(sheet)
        path = _write(sheet, ExplicitVRLittleEndian)
        path.write_bytes(plant_charset.relabelled(path.read_bytes()))


def _objects(making: Making) -> None:
    if not making.size.objects:
        return
    person = making.people[0]
    whole = (
        *((name, plant_objects.report) for name in plant_objects.REPORTS),
        *((name, plant_objects.plan) for name in plant_objects.PLANS),
        ("waveform_ecg.dcm", plant_objects.waveform),
    )
    for name, plants in whole:
        sheet = making.sheet(f"object/{Path(name).stem}.dcm", name, "object", person)
        plant_header.native(sheet)
        plants(sheet)
        _write(sheet, sources.syntax_of(sheet.dataset))
    for form in plant_objects.DOCUMENTS:
        sheet = making.sheet(f"object/document_{form}.dcm", "", "object", person, FileDataset("", {}))
        built, token = plant_objects.document(sheet, form)
        built.StudyInstanceUID = sheet.dataset.StudyInstanceUID
        sheet.dataset = built
        built.PatientName, built.PatientID = person.name, person.id
        sheet.expect("encapsulated", "00420011", "text", token)
        sheet.put("encapsulated", 0x00420010, "ST")
        _write(sheet, ExplicitVRLittleEndian)


def _bytes(making: Making) -> None:
    if not making.size.objects:
        return
    for number, name in enumerate(plant_bytes.SOURCES):
        person = making.people[number % len(making.people)]
        sheet = making.sheet(f"bytes/{number:02}_{Path(name).stem}.dcm", name, "bytes", person)
        plant_bytes.codestream(sheet)
        plant_free.retained(sheet)
        _write(sheet, sources.syntax_of(sheet.dataset))
    for name in ("CT_small.dcm", "MR_small.dcm", "SC_rgb_small_odd.dcm", "MR_small_bigendian.dcm"):
        sheet = making.sheet(f"bytes/behind_{Path(name).stem}.dcm", name, "bytes", making.people[1])
        plant_bytes.behind(sheet)
        plant_bytes.signatures(sheet)
        _write(sheet, sources.syntax_of(sheet.dataset))
    for packed in (False, True):
        sheet = making.sheet(f"bytes/high_bits_{packed}.dcm", "CT_small.dcm", "bytes", making.people[2])
        plant_bytes.high_bits(sheet)
        if packed:
            plant_bytes.as_jpeg_ls_16(sheet.dataset)
        _write(sheet, pictures.JPEGLSLossless if packed else ExplicitVRLittleEndian)


def _studies(making: Making) -> None:
    """Three patients: one in two spellings, two namesakes with other numbers; images that refer to each other."""
    if not making.size.studies:
        return
    plot = making.field
    first, other = plot.person(), plot.person()
    namesake = Person(first.family, first.given, other.id, other.birth)
    for number, (person, name) in enumerate(
        ((first, first.name), (first, f"{first.family.upper()}^{first.given.upper()}^^^"), (namesake, first.name))
    ):
        study, frame, series = f"refs-{number}", plot.words.uid(), plot.words.uid()
        images = [plot.words.uid() for _ in range(4)]
        for at, uid in enumerate(images):
            sheet = making.sheet(f"study/{number}/ct{at}.dcm", "CT_small.dcm", "study", person, study=study)
            sheet.dataset.SOPInstanceUID, sheet.dataset.SeriesInstanceUID = uid, series
            plant_study.bears(sheet, person, name)
            for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
                plant_header.own_uid(sheet, keyword)
            plant_study.refers(sheet, [image for image in images if image != uid], frame)
            if at == 0:
                plant_study.safe_private(sheet, person)
            plant_free.retained(sheet)
            _write(sheet, (ExplicitVRLittleEndian, ImplicitVRLittleEndian)[at % 2])
        sheet = making.sheet(f"study/{number}/state.dcm", "", "study", person, FileDataset("", {}), study)
        built = plant_objects.state_of(sheet, images, series)
        built.StudyInstanceUID, sheet.dataset = sheet.dataset.StudyInstanceUID, built
        built.PatientName, built.PatientID = name, person.id
        for at, uid in enumerate(images):
            place = f"00081115[0].00081140[{at}].00081155"
            sheet.expect("uid_reference", place, "uid", uid, spared_by=("retain-uids",))
        plant_objects.presentation_state(sheet)
        _write(sheet, ExplicitVRLittleEndian)


def _pictures(making: Making) -> None:
    for number in range(making.size.pictures):
        person = making.people[number % len(making.people)]
        picture, syntax = plant_pictures.chosen(making.field.rng, number)
        dataset, pixels = pictures.taken(picture)
        sheet = making.sheet(f"picture/{number:03}.dcm", "", "picture", person, dataset)
        sheet.note.source, sheet.note.pixels = picture.name, "planted"
        if number % 8 == 7:  # the same kinds of picture without a text: they must come through untouched
            sheet.note.pixels = ""
        else:
            plant_pictures.burned(sheet, person, pixels)
        used = pictures.put(sheet.dataset, pixels, syntax)
        sheet.note.syntax = used
        plant_free.retained(sheet)
        _judged(making, sheet, _write(sheet, used))


def _camera(making: Making) -> None:
    """Real pictures with the camera's own writing, three of the packages' own in a corpus that is cut short."""
    for number, name in enumerate(list(plant_camera.WRITTEN)[: making.size.pictures // 2]):
        sheet = making.sheet(f"camera/{Path(name).stem}.dcm", name, "camera", making.people[number % 4])
        sheet.note.pixels = "camera"
        plant_camera.camera(sheet, name)
        sheet.note.syntax = str(sources.syntax_of(sheet.dataset))
        path = _write(sheet, sheet.note.syntax)
        _judged(making, sheet, path)


def _judged(making: Making, sheet: Sheet, path: Path) -> None:
    """Notes which texts can be read in the picture as it was stored."""
    data = path.read_bytes()
    stored = score_pixels.shown(data, score_pixels.pixels_of(data))
    for text in making.field.key.texts:
        if text.file == sheet.note.file:
            text.legible = score_pixels.visible_share(stored, text, making.field.masks[text.mask]) >= LEGIBLE
