"""The films that the evaluation scores, in a fixed order, each with what is known of it. It judges none."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pydicom
from drawn_strangers import DRAWN, drawn
from films import ADULT_ZIP, BODYPART_ZIP, SITE_ZIP, TRAIN_ZIP, held_back_patients, read_films
from numpy.typing import NDArray
from package_cxr_paediatric import HELD_BACK_SEED
from pydicom.errors import InvalidDicomError
from splits import adult_may_train, part_may_train

from appliance.core.learn_then_test import chosen_films

SITE_EVERY, BODYPART_EVERY = 3, 6
DRAWN_EACH, DRAWN_SEED = 40, 999
SYNTHETIC_FILMS, SYNTHETIC_SEED, SYNTHETIC_PREVALENCE = 1000, 30_000_000, 0.3
DICOM_SIDE_MIN = 40
SWAPS, SWAP_SEED = 120, 17
BROKEN = (
    *(AttributeError, NotImplementedError, RuntimeError, ValueError, TypeError, KeyError, OSError),
    InvalidDicomError,
)
Row = dict[str, str]
Film = NDArray[np.float32]


def _noisy(film: Film) -> Film:
    return film + np.random.default_rng(3).normal(0, 60, film.shape).astype(np.float32)


def _turned(degrees: float) -> Callable[[Film], Film]:
    def turn(film: Film) -> Film:
        height, width = film.shape
        warp = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        return np.asarray(cv2.warpAffine(film, warp, (width, height)), np.float32)

    return turn


# What can befall a film between the child and the appliance.
MISHAPS: dict[str, Callable[[Film], Film]] = {
    "turned-90": lambda film: np.rot90(film),
    "turned-180": lambda film: np.rot90(film, 2),
    "turned-270": lambda film: np.rot90(film, 3),
    "turned-30": _turned(30),
    "turned-15": _turned(15),
    "mirrored": lambda film: film[:, ::-1],
    "grey-scale-inverted": lambda film: 255 - film,
    "left-half": lambda film: film[:, : film.shape[1] // 2],
    "upper-half": lambda film: film[: film.shape[0] // 2],
    "lower-half": lambda film: film[film.shape[0] // 2 :],
    "apex-cut": lambda film: film[film.shape[0] // 4 :],
    "middle-only": lambda film: film[40:-40, 40:-40],
    "wide-black-border": lambda film: np.pad(film, 60),
    "blurred": lambda film: cv2.GaussianBlur(film, (0, 0), 4),
    "noisy": _noisy,
    "under-exposed": lambda film: np.clip(film - 120, 0, 255),
    "over-exposed": lambda film: np.clip(film * 3, 0, 255),
    "black": lambda film: film * 0,
}


def _known(name: str, film: str, label: str = "", patient: str = "", calibration: bool = False) -> Row:
    return {"set": name, "film": film, "patient": patient, "label": label, "calibration": str(int(calibration))}


def labelled_films(data: Path) -> Iterator[tuple[Row, Film]]:
    """Films of the archives: held-back and site films, the site's after a mishap, adults, other parts."""
    train, site = read_films(data / TRAIN_ZIP), read_films(data / SITE_ZIP)
    held = held_back_patients(train.patients, HELD_BACK_SEED)
    chosen = set(chosen_films([str(p) for p in site.patients], site.hashed_ids))
    for name, archive, wanted in (("held-back", train, held), ("site", site, np.ones(len(site.rows), bool))):
        ids = archive.hashed_ids
        for i in np.flatnonzero(wanted):
            row = archive.rows[i]
            label = row["subtype"] or row["label"].lower()
            told = _known(name, ids[i], label, row["patient_id"], name == "site" and i in chosen)
            yield told, archive.values[i].astype(np.float32)
    for i in range(0, len(site.rows), SITE_EVERY):
        for name, mishap in MISHAPS.items():
            film = np.ascontiguousarray(mishap(site.values[i].astype(np.float32)), dtype=np.float32)
            yield _known(name, site.hashed_ids[i]), film
    adult = read_films(data / ADULT_ZIP)
    for row, values, film_id in zip(adult.rows, adult.values, adult.hashed_ids, strict=True):
        label = "normal" if row["subset"] == "No_findings" else "pneumonia"
        name = "adult-shown" if adult_may_train(row["patient_id"]) else "adult"
        yield _known(name, film_id, label, row["patient_id"]), values.astype(np.float32)
    parts = read_films(data / BODYPART_ZIP, patient_column="label")
    second = np.flatnonzero(~part_may_train(parts.rows))
    for i in second[::BODYPART_EVERY]:
        # 64 px films would fail by their size alone: enlarged, so that the image itself must give them away.
        film = cv2.resize(parts.values[i], (224, 224), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        yield _known(parts.rows[i]["label"], parts.hashed_ids[i]), film


def lungs(side: int = 224) -> Film:
    """A soft mask of where both lungs lie in most films of the site, 0..1; ellipses, no segmentation."""
    rows, columns = np.mgrid[:side, :side] * (224 / side)
    mask = np.zeros((side, side), np.float32)
    for middle in (72, 152):
        apart = np.sqrt(((columns - middle) / 41) ** 2 + ((rows - 105) / 70) ** 2)
        mask = np.maximum(mask, 1 / (1 + np.exp((apart - 1) / 0.08)))
    return mask


def _opacity(film: Film) -> Film:
    """A soft opacity as large as a lobe in the right upper field, 60 grey values brighter."""
    rows, columns = np.mgrid[: film.shape[0], : film.shape[1]]
    apart = np.sqrt(((columns - 75) / 28) ** 2 + ((rows - 80) / 32) ** 2)
    return np.clip(film + 60 / (1 + np.exp((apart - 1) / 0.15)), 0, 254).astype(np.float32)


def counterfactuals(data: Path) -> Iterator[tuple[Row, Film]]:
    """Films of the site changed so as to ask what the score hangs on: the lungs, or what surrounds them."""
    site = read_films(data / SITE_ZIP)
    films, finding, mask = [v.astype(np.float32) for v in site.values], site.pneumonia, lungs()
    edge = np.ones((224, 224), bool)
    edge[25:-25, 25:-25] = False
    for i, film in enumerate(films):
        label, person = site.rows[i]["subtype"] or site.rows[i]["label"].lower(), site.rows[i]["patient_id"]
        yield _known("lungs-hidden", site.hashed_ids[i], label, person), film * (1 - mask) + film.mean() * mask
        yield (
            _known("edge-only", site.hashed_ids[i], label, person),
            np.where(edge, film, film.mean()).astype(np.float32),
        )
    rng = np.random.default_rng(SWAP_SEED)
    sick, well = np.flatnonzero(finding), np.flatnonzero(~finding)
    for name, frames, inner, label in (
        ("sick-lungs-in-well-frame", well, sick, "swapped"),
        ("well-lungs-in-sick-frame", sick, well, "normal"),
    ):
        for _ in range(SWAPS):
            frame, lung = int(rng.choice(frames)), int(rng.choice(inner))
            film = films[frame] * (1 - mask) + films[lung] * mask
            yield _known(name, f"{site.hashed_ids[frame]}/{site.hashed_ids[lung]}", label), film.astype(np.float32)
    for i in well:
        yield _known("opacity-planted", site.hashed_ids[i], "planted"), _opacity(films[i])


def made_films() -> Iterator[tuple[Row, Film]]:
    """What needs no archive: drawn strangers, pictures of every modality that pydicom ships, synthetic films."""
    from appliance.cli.prove.synthetic import draw

    for kind in DRAWN:
        for number, picture in enumerate(drawn([kind], DRAWN_EACH, DRAWN_SEED)):
            yield _known(f"drawn-{kind}", str(number)), picture * 255
    for name, picture in dicom_pictures():
        yield _known("dicom", name), picture
    for seed in range(SYNTHETIC_SEED, SYNTHETIC_SEED + SYNTHETIC_FILMS):
        made = draw(seed, SYNTHETIC_PREVALENCE)
        label = made.subtype or made.truth
        yield _known("synthetic", str(seed), label, str(seed)), made.values.astype(np.float32)


def dicom_pictures() -> Iterator[tuple[str, Film]]:
    """The middle frame of every object of pydicom's and pydicom-data's that decodes and is large enough, in grey."""
    import data_store  # pydicom-data

    shipped = Path(pydicom.__file__).parent / "data/test_files"
    for folder in (shipped, Path(data_store.__file__).parent / "data"):
        for path in sorted(folder.glob("*.dcm")):
            try:
                array = np.asarray(pydicom.dcmread(path).pixel_array, np.float32)
            except BROKEN:
                continue  # many of these files are broken on purpose
            while array.ndim > 2:
                array = array.mean(-1) if array.shape[-1] == 3 else array[len(array) // 2]
            if array.ndim == 2 and min(array.shape) >= DICOM_SIDE_MIN and np.isfinite(array).all():
                yield path.name, array
