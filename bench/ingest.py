"""From a file in incoming/ to a lane, per study, beside the bare library calls on the same bytes in the same run.

    python -m bench.ingest [--studies N]

Ours: the production steps admit, assemble and judge on a real state folder, quiet time left out. The floor is what any
program must do for the same answer: write the file durably, parse it, decode it, resize it, run the check and both
exits of the model, commit a row. The floor keeps no attempt count, no move, no frames for the viewer and no gates; the
ratio says what those cost.
"""

import argparse
import hashlib
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pydicom
import pysqlite3.dbapi2 as sqlite3
from numpy.typing import NDArray

from appliance.cli.files import quiet_libraries
from appliance.config import Config, Places
from appliance.loop import Moment
from appliance.triage import Triage
from appliance.triage.judge import open_court

ROOT = Path(__file__).parents[1]
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
SITE_KEY = hashlib.sha256(b"bench").digest()


def subjects() -> dict[str, Callable[[int], bytes]]:
    """Kinds of study, each a maker of the n-th one: same pixels, other UIDs."""
    film = (ROOT / "sample_dicom" / "drawn" / "chest_child_ap.dcm").read_bytes()
    kinds = {"drawn child's chest film, the model runs": film}
    for name in ("CT_small.dcm", "JPEG2000.dcm", "examples_rgb_color.dcm"):
        kinds[f"{name}, escalated"] = (SHIPPED / name).read_bytes()

    def nth(data: bytes) -> Callable[[int], bytes]:
        def made(number: int) -> bytes:
            dataset = pydicom.dcmread(BytesIO(data))
            dataset.StudyInstanceUID = f"1.2.826.0.1.99.{number}"
            dataset.SeriesInstanceUID = f"{dataset.StudyInstanceUID}.1"
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{dataset.StudyInstanceUID}.1.1"
            out = BytesIO()
            dataset.save_as(out)
            return out.getvalue()

        return made

    return {kind: nth(data) for kind, data in kinds.items()}


def ours(files: list[bytes], folder: Path) -> list[float]:
    """Milliseconds a study, durable write to lane."""
    told = {"quiet_period_s": 0.05, "quiet_period_with_evidence_s": 0.05}
    config = Config.model_validate({"triage": told, "receive": {"disk_reserve_bytes": 0}})
    places = Places(folder / "state")
    service = Triage(config, places, SITE_KEY, open_court(ROOT / "models", "harbour", ROOT / "models/trusted"))
    steps = service.steps()
    took = []
    for number, data in enumerate(files):
        began = time.perf_counter()
        write(places.incoming / f"{hashlib.sha256(data).hexdigest()}.dcm", data)
        for name, passed in (("admit", 0.0), ("assemble", 0.0), ("assemble", 1.0), ("judge", 1.0)):
            steps[name](Moment(1e9, number * 10.0 + passed))
        took.append((time.perf_counter() - began) * 1000)
    service.close()
    return took


def floor(files: list[bytes], folder: Path) -> list[float]:
    """The bare calls: write and fsync, dcmread, pixel_array, resize, session.run of each graph, one commit."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    (package,) = sorted((ROOT / "models").glob("cxr-paediatric-pneumonia/*/"))
    check, first, second = (
        onnxruntime.InferenceSession((package / name).read_bytes(), options, providers=["CPUExecutionProvider"])
        for name in ("check.onnx", "exit1.onnx", "exit2.onnx")
    )
    ledger = sqlite3.connect(str(folder / "floor.db"), isolation_level=None)
    ledger.execute("pragma journal_mode = wal")
    ledger.execute("pragma synchronous = full")
    ledger.execute("create table result (study text primary key, score real)")
    took = []
    for data in files:
        began = time.perf_counter()
        write(folder / f"{hashlib.sha256(data).hexdigest()}.dcm", data)
        dataset = pydicom.dcmread(BytesIO(data))
        pixels = dataset.pixel_array
        score = 0.0
        if pixels.ndim == 2 and dataset.Modality == "CR":
            check.run(None, {check.get_inputs()[0].name: resized(pixels, check.get_inputs()[0].shape[-1])})
            tensor = resized(pixels, first.get_inputs()[0].shape[-1])
            (trunk,) = first.run(["trunk"], {first.get_inputs()[0].name: tensor})
            score = float(second.run(["logit"], {second.get_inputs()[0].name: trunk})[0][0])
        ledger.execute("insert into result values (?, ?)", (str(dataset.StudyInstanceUID), score))
        took.append((time.perf_counter() - began) * 1000)
    ledger.close()
    return took


def resized(pixels: NDArray[np.generic], side_px: int) -> NDArray[np.float32]:
    small = cv2.resize(pixels.astype(np.float32), (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)[None, None]


def write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def main() -> None:
    told = argparse.ArgumentParser(description="Ingest to lane beside the bare library calls.")
    told.add_argument("--studies", type=int, default=100)
    count = told.parse_args().studies
    quiet_libraries()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {count} studies a kind")
    print(f"{'kind':<44}{'ours p50':>10}{'p95':>9}{'floor p50':>11}{'p95':>9}{'floor/ours':>12}   ms a study")
    for kind, nth in subjects().items():
        files = [nth(number) for number in range(count)]
        halves: dict[str, list[float]] = {"ours": [], "floor": []}
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            for place, half in enumerate((files[: count // 2], files[count // 2 :])):
                for name, run in (("ours", ours), ("floor", floor)):  # interleaved: a busy spell meets both
                    inside = Path(folder) / f"{name}{place}"
                    inside.mkdir()
                    halves[name] += run(half, inside)
        mine, bare = halves["ours"], halves["floor"]
        ratio = statistics.median(bare) / statistics.median(mine)
        print(
            f"{kind:<44}{statistics.median(mine):>10.1f}{p95(mine):>9.1f}"
            f"{statistics.median(bare):>11.1f}{p95(bare):>9.1f}{ratio:>12.2f}"
        )


def p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


if __name__ == "__main__":
    main()
