"""What a careful user of pydicom writes: dcmread, pixel_array, window, resize, the model, a walk, save_as, a commit.

Header only, as the road `header`: its text is de-identified by the same table, nothing inspects it, nothing is sealed.
"""

import hashlib
import hmac
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pysqlite3.dbapi2 as sqlite3
from pydicom.pixels import apply_modality_lut, apply_windowing

from appliance.core.annex_e import RULES
from bench.table.corpus import KINDS
from bench.table.road_floor import Model, written

KEY = hashlib.sha256(b"bench").digest()
SIDE_PX = 192


def named() -> dict[int, str]:
    """Tag to the Basic Profile's action, of every row of Table E.1-1 that is one element."""
    plain = (rule for rule in RULES if len(rule.tag) == 8 and all(c in "0123456789ABCDEF" for c in rule.tag.upper()))
    return {int(rule.tag, 16): rule.basic_profile for rule in plain}


def uid(value: str) -> str:
    if value.startswith("1.2.840.10008."):
        return value
    return f"2.25.{int.from_bytes(hmac.digest(KEY, value.encode(), 'sha256')[:16], 'big')}"


def deidentified(dataset: pydicom.FileDataset, table: dict[int, str]) -> bytes:
    dataset.remove_private_tags()

    def look(inside: pydicom.Dataset, element: Any) -> None:
        action = table.get(int(element.tag))
        if element.VR == "UI" and element.value:
            many = element.value if element.VM > 1 else [element.value]
            element.value = [uid(str(each)) for each in many] if element.VM > 1 else uid(str(many[0]))
        elif action is None or action == "K":
            return
        elif action.startswith("X"):
            del inside[element.tag]
        else:
            element.value = [] if element.VR == "SQ" else ("19000101" if element.VR == "DA" else "")

    dataset.walk(look)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def pipeline(kind: str, folder: Path) -> Callable[[list[bytes]], None]:
    table, model = named(), Model() if KINDS[kind][0] == "film" else None
    ledger = sqlite3.connect(str(folder / "cases.db"), isolation_level=None)
    ledger.execute("pragma journal_mode = wal")
    ledger.execute("pragma synchronous = full")
    ledger.execute("create table result (sop text, study text, score real)")

    def taken(files: list[bytes]) -> None:
        for data in files:
            dataset = pydicom.dcmread(BytesIO(data))
            sop, study = str(dataset.SOPInstanceUID), str(dataset.StudyInstanceUID)
            pixels = dataset.pixel_array
            shown = apply_windowing(apply_modality_lut(pixels, dataset), dataset)
            cv2.resize(np.asarray(shown, np.float32), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
            score = model(pixels) if model else 0.0
            written(folder / f"{sop}.dcm", deidentified(dataset, table))
            ledger.execute("insert into result values (?, ?, ?)", (sop, study, score))

    return taken
