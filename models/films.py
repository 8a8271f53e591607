"""Reads the labelled films of ../shared/data for training and evaluation. Copies none of them anywhere."""

import csv
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.core.prepare import PreparationSpec, prepare

TRAIN_ZIP = "cxr-paediatric-train.zip"
SITE_ZIP = "cxr-paediatric-site.zip"
ADULT_ZIP = "cxr-adult-nih.zip"
BODYPART_ZIP = "bodypart-mednist.zip"
SPEC = PreparationSpec(side_px=192, low_percentile=0.5, high_percentile=99.5)


@dataclass(frozen=True, slots=True)
class Films:
    """One archive: rows of its manifest.csv and the films' 8-bit grey values, in the same order."""

    rows: list[dict[str, str]]
    values: list[NDArray[np.uint8]]
    patient_column: str = "patient_id"

    @property
    def pneumonia(self) -> NDArray[np.bool_]:
        return np.array([row["label"] == "PNEUMONIA" for row in self.rows])

    @property
    def patients(self) -> NDArray[np.str_]:
        return np.array([row[self.patient_column] for row in self.rows])

    @property
    def hashed_ids(self) -> list[str]:
        """An id a film that names neither the file nor the patient."""
        return [
            hashlib.sha256(f"{row[self.patient_column]}/{row['path']}".encode()).hexdigest()[:16] for row in self.rows
        ]

    def prepared(self) -> NDArray[np.float32]:
        """[n, 1, side, side] by the product's own preparation."""
        return np.concatenate([prepare(v.astype(np.float32), False, SPEC) for v in self.values])


def read_films(archive: Path, patient_column: str = "patient_id") -> Films:
    """All films of one archive as the grey values a DICOM film of them would hold."""
    with zipfile.ZipFile(archive) as opened:
        rows = list(csv.DictReader(io.StringIO(opened.read("manifest.csv").decode())))
        values = []
        for row in rows:
            grey = cv2.imdecode(np.frombuffer(opened.read(row["path"]), np.uint8), cv2.IMREAD_GRAYSCALE)
            if grey is None:
                raise SystemExit(f"{archive.name}: {row['path']} is no image")
            values.append(grey.astype(np.uint8))
    return Films(rows, values, patient_column)


def held_back_patients(patients: NDArray[np.str_], seed: int, share: float = 0.1) -> NDArray[np.bool_]:
    """True where a film's patient is one of the share kept out of training; the same in every script."""
    unique = np.unique(patients)
    np.random.default_rng(seed).shuffle(unique)
    return np.isin(patients, unique[: int(share * len(unique))])


def auroc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney), ties counted half."""
    sorted_scores = np.sort(scores[~positive])
    below = np.searchsorted(sorted_scores, scores[positive], "left")
    upto = np.searchsorted(sorted_scores, scores[positive], "right")
    return float((below + upto).sum() / (2 * positive.sum() * (~positive).sum()))
