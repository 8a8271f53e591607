"""A scanner that does not exist: `python -m sample_dicom.scanner --out FOLDER`. Drops studies and tells what they are;
with `--to AE@HOST:PORT` it sends them over the network and asks whether they are kept (sample_dicom.modality).

Synthetic films, or labelled films of the data folder, become DICOM with whole headers and invented people; real CT,
MR, US, NM and CR files of pydicom are dropped as they are; between them come files that are no study at all. What each
study really is comes back as a Story, by StudyInstanceUID, so that whoever watches can compare. It knows nothing of
what the appliance does.
"""

import argparse
import csv
import io
import itertools
import json
import random
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from appliance.cli.prove.synthetic import (
    PREVALENCE,
    PROCESSES_MAX,
    Drawn,
    Truth,
    age_years,
    dicom,
    draw_all,
    seed_to_show,
)
from appliance.core.drawn_objects import person, radiograph
from sample_dicom.make_samples import chest_phantom, samples

DATA = Path(__file__).parents[2] / "shared" / "data"
SITE_ZIP, ADULT_ZIP = "cxr-paediatric-site.zip", "cxr-adult-nih.zip"
ADULT_FILMS = 2
PIECE_BYTES_MIN = 1024

Site = Literal["synthetic", "harbour"]
SITES: tuple[Site, ...] = get_args(Site)
Row = dict[str, str]


class File(NamedTuple):
    """One file as the scanner names and writes it."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Story:
    """One thing the scanner sends, and the truth about it.

    study_instance_uid  "" where the file belongs to no study
    what                a phrase for people, without anybody's name
    truth               what the film is labelled with or was drawn as, None where nobody labelled it
    expect              "decided" (a model looks: cleared, flagged or escalated), "escalated", or a refusal's code
    """

    study_instance_uid: str
    files: tuple[File, ...]
    what: str
    truth: Truth | None
    expect: str


def stories(seed: int, data: Path | None, films: int, site: Site, prevalence: float = PREVALENCE) -> list[Story]:
    """The demonstration's mix, shuffled.

    seed        the same seed gives the same bytes in the same order; synthetic pixels on one machine (synthetic.draw)
    data        harbour: folder of the labelled films; where it is None or absent, drawn phantoms take their place
    films       films from the site's scanner; harbour: more than there are come again as later studies of the same
                patients
    prevalence  synthetic: of the finding; harbour's films are with and without it in turn
    """
    rng = random.Random(seed)
    if site == "synthetic":
        own = list(synthetic(seed, films, prevalence))
    else:
        own = [*_children(data, rng, films), *_adults(data, rng)]
    mix = [*own, *_drawn(), *_real(), *_odd()]
    rng.shuffle(mix)
    return mix


def synthetic(seed: int, films: int, prevalence: float, processes: int = 1) -> Iterator[Story]:
    """Films of the synthetic scanner, as many as are wanted, each of another child who does not exist."""
    for film_seed, drawn in draw_all((seed_to_show(seed, n) for n in range(films)), prevalence, processes):
        yield _synthetic(film_seed, drawn)


def _synthetic(seed: int, drawn: Drawn) -> Story:
    kind = f", {drawn.subtype}" if drawn.subtype else ""
    what = f"synthetic child of {age_years(seed)} y, chest AP (drawn as {drawn.truth}{kind})"
    return _story([dicom(drawn, seed)], what, drawn.truth, "decided")


def _children(data: Path | None, rng: random.Random, films: int) -> Iterator[Story]:
    """Films of the site's scanner, labelled pneumonia and normal in turn."""
    if data is None or not (data / SITE_ZIP).exists():
        for n in range(films):
            key = f"phantom {rng.getrandbits(32)} {n}"
            film = radiograph(chest_phantom(n), person(key, 1 + n % 5), key, view="AP")
            yield _story([film], "drawn phantom under the site scanner's name", None, "decided")
        return
    with zipfile.ZipFile(data / SITE_ZIP) as opened:
        rows = _rows(opened)
        piles = [[row for row in rows if row["label"] == label] for label in ("PNEUMONIA", "NORMAL")]
        for pile in piles:
            rng.shuffle(pile)
        for n in range(films):
            pile = piles[n % 2]
            row, visit = pile[n // 2 % len(pile)], n // 2 // len(pile)
            truth: Truth = "pneumonia" if row["label"] == "PNEUMONIA" else "normal"
            # The age belongs to the patient, not to the film: every film of one patient says the same.
            age = random.Random(row["patient_id"]).randint(1, 5)
            who = person(f"child {row['patient_id']}", age)
            film = radiograph(_grey(opened.read(row["path"])), who, f"{row['path']} {visit}", view="AP")
            kind = f", {row['subtype']}" if row["subtype"] else ""
            yield _story([film], f"child of {age} y, chest AP (labelled {truth}{kind})", truth, "decided")


def _adults(data: Path | None, rng: random.Random) -> Iterator[Story]:
    """Adults on the children's scanner; their labels were mined from reports and are weak."""
    if data is None or not (data / ADULT_ZIP).exists():
        return
    with zipfile.ZipFile(data / ADULT_ZIP) as opened:
        for row in rng.sample(_rows(opened), ADULT_FILMS):
            truth: Truth = "pneumonia" if row["subset"] == "Pneumonia" else "normal"
            who = person(f"adult {row['patient_id']}", int(row["age"]), row["sex"])
            film = radiograph(_grey(opened.read(row["path"])), who, row["path"], view=row["view"])
            what = f"adult of {row['age']} y, chest {row['view']} (weakly labelled {truth})"
            yield _story([film], what, truth, "escalated")


def _drawn() -> Iterator[Story]:
    """The committed samples, drawn again from the same script."""
    made = samples()
    ct = [made["ct_slice_1.dcm"], made["ct_slice_2.dcm"]]
    yield _story(
        [made["chest_child_ap.dcm"]], "drawn chest of a child from a scanner no certificate knows", None, "escalated"
    )
    yield _story(ct, "drawn chest CT of two slices", None, "escalated")
    yield _story([made["us_colour.dcm"]], "drawn ultrasound in colour, RLE", None, "escalated")


# Real objects that pydicom and pydicom-data ship: what they are, and the files of one study.
REAL: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("real CT, one slice", ("CT_small.dcm",)),
    ("real head CT, four slices", tuple(f"dicomdirtests/77654033/CT2/{n}" for n in (17106, 17136, 17166, 17196))),
    ("real MR, one slice", ("MR_small.dcm",)),
    ("real ultrasound in colour", ("examples_rgb_color.dcm",)),
    ("real whole-body nuclear scan, JPEG Extended", ("JPGExtended.dcm",)),
    ("real chest CR, JPEG 2000", ("RG1_J2KI.dcm",)),
)


def _real() -> Iterator[Story]:
    """Files of pydicom as they are, byte for byte."""
    for what, names in REAL:
        yield _story([_test_file(name).read_bytes() for name in names], what, None, "escalated")


def _test_file(name: str) -> Path:
    """A file of the installed packages; never a download."""
    path = Path(pydicom.__file__).parent / "data" / "test_files" / name
    if not path.exists():
        found = get_testdata_file(name, download=False)
        if not isinstance(found, str):
            raise FileNotFoundError(f"{name} is in neither pydicom nor pydicom-data: install the demo extra")
        path = Path(found)
    return path


def _odd() -> Iterator[Story]:
    """Files that are no study: each has a defined fate."""
    made = samples()
    for name, what, code in (
        ("odd_empty.dcm", "file without a byte", "file-empty"),
        ("odd_truncated.dcm", "half a chest film: the copy broke off", "header-truncated"),
        ("odd_not_dicom.dcm", "note saved into the scanner's folder", "file-not-dicom"),
    ):
        yield Story("", (File(name, made[name]),), what, None, code)


def _story(objects: list[bytes], what: str, truth: Truth | None, expect: str) -> Story:
    """A study of whole objects, each named as scanners do: modality and SOP Instance UID, nobody's name."""
    files, studies = [], set()
    for data in objects:
        header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
        files.append(File(f"{header.Modality}.{header.SOPInstanceUID}.dcm", data))
        studies.add(str(header.StudyInstanceUID))
    assert len(studies) == 1, "the files of one story are one study"
    return Story(studies.pop(), tuple(files), what, truth, expect)


def _rows(opened: zipfile.ZipFile) -> list[Row]:
    return list(csv.DictReader(io.StringIO(opened.read("manifest.csv").decode())))


def _grey(jpeg: bytes) -> NDArray[np.uint8]:
    """A film's grey values, uint8 [row, column], as the model's training read them."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError("a film of the data folder is no image")
    return np.asarray(image, np.uint8)


def drop(
    story: Story, folder: Path, *, pieces: int = 0, pause_s: float = 0.0, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Writes a story's files into the watched folder as a scanner does.

    pieces   0: each file under a passing name, then renamed; else under its own name in so many pieces
    pause_s  between two pieces, s
    """
    for name, data in story.files:
        target = folder / name
        if not pieces:
            passing = folder / f".{name}.part"
            passing.write_bytes(data)
            passing.replace(target)
            continue
        step = max(PIECE_BYTES_MIN, -(-len(data) // pieces))
        with target.open("wb") as out:
            for start in range(0, len(data), step):
                if start:
                    sleep(pause_s)
                out.write(data[start : start + step])
                out.flush()


def record(story: Story) -> dict[str, object]:
    """The truth about a story as JSON: everything but the bytes."""
    return {
        "study_instance_uid": story.study_instance_uid,
        "files": [file.name for file in story.files],
        "what": story.what,
        "truth": story.truth,
        "expect": story.expect,
    }


def main(argv: list[str] | None = None) -> int:
    """Drops studies at a rate and prints the truth of each, a JSON line a story."""
    options = _parser().parse_args(argv)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    told: Iterable[Story]
    if options.synthetic is not None:
        told = synthetic(options.seed, options.synthetic, options.prevalence, PROCESSES_MAX)
    else:
        told = stories(options.seed, options.data, options.films, options.site, options.prevalence)
    chosen = told if options.studies is None else itertools.islice(told, options.studies)
    if options.to is not None:
        from sample_dicom.modality import play  # the folder needs no protocol

        return play(chosen, options.title, options.to, options.answers, wait_s=options.wait_s, rate=options.rate)
    for story in chosen:
        drop(story, options.out, pieces=options.pieces, pause_s=options.pause_s)
        print(json.dumps(record(story)), flush=True)
        time.sleep(60 / options.rate if options.rate else 0)
    return 0


def peer(told: str) -> tuple[str, str, int]:
    """AE@HOST:PORT, for argparse."""
    title, _, place = told.rpartition("@")
    host, _, port = place.rpartition(":")
    if not (title and host and port.isdigit()):
        raise argparse.ArgumentTypeError(f"{told} is not AE@HOST:PORT")
    return title, host, int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sample_dicom.scanner", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, help="the watched folder")
    where.add_argument("--to", type=peer, metavar="AE@HOST:PORT", help="or the appliance's door for scanners")
    parser.add_argument("--title", default="SYNTHETIC_1", help="with --to: own AE title (default %(default)s)")
    parser.add_argument(
        "--answers", type=int, default=0, metavar="PORT", help="with --to: asks for commitment, hears here"
    )
    parser.add_argument("--wait-s", type=float, default=120.0, help="for the answers, s (default %(default)s)")
    parser.add_argument("--site", choices=SITES, default=SITES[0], help="whose films (default %(default)s)")
    parser.add_argument("--synthetic", type=int, metavar="N", help="for load: N synthetic films and nothing else")
    parser.add_argument("--prevalence", type=share, default=PREVALENCE, help="of synthetic films (default %(default)s)")
    parser.add_argument("--studies", type=int, help="stop after so many stories (default: all)")
    parser.add_argument("--films", type=int, default=8, help="films from the site's scanner (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same bytes (default %(default)s)")
    parser.add_argument("--rate", type=float, default=0, help="stories a minute; 0 as fast as can be (default)")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of harbour's labelled films")
    parser.add_argument("--pieces", type=int, default=0, help="write each file in so many pieces under its own name")
    parser.add_argument("--pause-s", type=float, default=0.3, help="between two pieces, s (default %(default)s)")
    return parser


def share(told: str) -> float:
    """A share from 0 to 1, for argparse."""
    value = float(told)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{told} is no share from 0 to 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
