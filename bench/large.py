"""Two studies that no memory should hold: a CT of 2,000 slices, and one multi-frame object of 1 GiB.

    make bench-large ARGS='[--slices 2000] [--object-mib 1024] [--folder DIR]'

dcmtk's dcmsend sends each to the product's own receive and triage, as processes of their own; printed are the time
until the sender heard success of the last object, the time until triage had done with the study, what became of it,
and the most memory that either service held (VmHWM of proc(5)). The command fails where an object is missing, differs
from what was sent, or a service held more than its unit gives it (MemoryMax). Appended to bench/RESULTS.md.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from sqlalchemy import Row

from appliance.cli.prove import books
from appliance.cli.up import lay_out
from appliance.config import Places, load
from appliance.world import archive, ledger
from bench.cstore import STUDY, _slices
from bench.draft import peak_mib
from bench.load import RESULTS
from sample_dicom.enrolment import enrol_locally
from tests.faults.processes import free_port

MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture
FRAME_SIDE = 512
LOOK_S, PATIENCE_S, QUIET_S = 0.2, 3600.0, 5.0
UNITS = Path(__file__).parents[1] / "systemd"
MEMORY = {"receive": UNITS / "optional" / "receive-dimse.conf", "triage": UNITS / "appliance-triage.service"}
DONE = frozenset({"routine", "escalated", "quarantined"})


@dataclass(frozen=True, slots=True)
class Seen:
    """What one study took, seconds and MiB, and what became of it."""

    name: str
    bytes_count: int
    sent_s: float
    done_s: float
    fate: str
    held_mib: dict[str, int]
    whole: bool


def multi_frame(path: Path, size_mib: int) -> None:
    """One object of so many MiB, written in pieces; every frame differs, so that no disk leaves it out."""
    frames = size_mib * 2**20 // (2 * FRAME_SIDE**2)
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = MULTI_FRAME, f"{STUDY}.2.1.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{STUDY}.2", f"{STUDY}.2.1"
    dataset.PatientID, dataset.PatientName, dataset.Modality = "BENCH", "Bench^Nobody", "OT"
    dataset.InstanceNumber, dataset.NumberOfFrames = 1, frames
    dataset.Rows = dataset.Columns = FRAME_SIDE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelData = b""
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = generate_uid(entropy_srcs=["bench"])
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    with path.open("rb+") as file:
        file.seek(-4, 2)  # the length of what is to come
        file.write((frames * 2 * FRAME_SIDE**2).to_bytes(4, "little"))
        for _ in range(frames):
            file.write(os.urandom(2 * FRAME_SIDE**2))


def seen(folder: Path, name: str, files: Path, study: str) -> Seen:
    """One study through a house of its own."""
    port = free_port()
    told: dict[str, Any] = {"port": port, "ae_title": "EDGE", "peers": ["DCMSEND@127.0.0.1"]}
    triage = {"quiet_period_s": QUIET_S, "quiet_period_with_evidence_s": 1.0}
    path = lay_out(folder, dimse=told, triage=triage)
    config = load(path)
    places = Places(config.state.folder)
    enrol_locally(config.keys.folder, folder / "centre-keys", config.site.device_id)
    sent = {archive.digest_of(each): each for each in sorted(files.iterdir())}
    with ExitStack() as stack:
        services = {}
        for service in MEMORY:
            command = [sys.executable, "-m", "appliance", "--config", str(path), "run", service]
            services[service] = stack.enter_context(Popen(command, stdout=DEVNULL, stderr=DEVNULL))
            stack.callback(services[service].terminate)
        listening(port, services["receive"])
        began = time.monotonic()
        call = ["dcmsend", "+sd", "-nh", "-aet", "DCMSEND", "-aec", "EDGE", "127.0.0.1", str(port), str(files)]
        said = subprocess.run(call, capture_output=True, text=True, check=False)
        sent_s = time.monotonic() - began
        assert said.returncode == 0, said.stderr[-500:]

        def row() -> Row[Any] | None:
            found: Row[Any] | None = books.ask(places.studies_db, lambda c: ledger.study_by_uid(c, study), None)
            return found

        until(lambda: (found := row()) is not None and found.state in DONE, services)
        done_s = time.monotonic() - began
        held = {service: peak_mib(process.pid) for service, process in services.items()}
        found = row()
        assert found is not None
        why = books.ask(places.studies_db, lambda c: ledger.moves_of(c, found.number)[-1].code, "")
    kept = {each.stem: each for each in places.instances.glob("*/*.dcm")}
    whole = len(kept) == len(sent) and all(archive.digest_of(each) == digest for digest, each in kept.items())
    whole = whole and {data_set(each) for each in kept.values()} == {data_set(each) for each in sent.values()}
    size = sum(each.stat().st_size for each in sent.values())
    return Seen(name, size, sent_s, done_s, f"{found.state}{f' ({why})' if why else ''}", held, whole)


def data_set(path: Path) -> tuple[str, int]:
    """Which object a file is, and how much of it: File Meta Information is made anew on the way."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    meta = int(dataset.file_meta.FileMetaInformationGroupLength)
    return str(dataset.SOPInstanceUID), path.stat().st_size - meta


def listening(port: int, process: "Popen[bytes]") -> None:
    def answers() -> bool:
        call = ["echoscu", "-aet", "DCMSEND", "-aec", "EDGE", "127.0.0.1", str(port)]
        return subprocess.run(call, capture_output=True, check=False).returncode == 0

    until(answers, {"receive": process})


def until(what: Callable[[], bool], services: "dict[str, Popen[bytes]]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, "not in time"
        for name, process in services.items():
            assert process.poll() is None, f"{name} ended"
        time.sleep(LOOK_S)


def allowed_mib(service: str) -> int:
    """What the unit of a service gives it, MiB."""
    found = re.search(r"^MemoryMax=(\d+)([MG])$", MEMORY[service].read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * (1024 if found[2] == "G" else 1)


def main() -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--slices", type=int, default=2000)
    told.add_argument("--object-mib", type=int, default=1024)
    told.add_argument("--folder", type=Path, help="where there is room for some 5 GiB; else the temporary folder")
    options = told.parse_args()
    load_before, found = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory(prefix="large-", dir=options.folder) as made:
        ct, one = Path(made, "ct"), Path(made, "one")
        _slices(ct, options.slices, 512)
        found.append(seen(Path(made, "house-ct"), f"CT, {options.slices} slices of 512 x 512", ct, STUDY))
        one.mkdir()
        multi_frame(one / "1.dcm", options.object_mib)
        name = f"one multi-frame object of {options.object_mib} MiB"
        found.append(seen(Path(made, "house-one"), name, one, f"{STUDY}.2"))
    right = all(each.whole and all(each.held_mib[at] <= allowed_mib(at) for at in MEMORY) for each in found)
    lines = [
        f"## make bench-large ARGS='{' '.join(sys.argv[1:])}'",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}; load average when it began "
        f"{load_before:.1f}. dcmsend to receive and triage, no model package. Their units give receive "
        f"{allowed_mib('receive')} MiB and triage {allowed_mib('triage')} MiB.",
        "",
        "| study | MiB | all acknowledged after s | done with after s | became | receive MiB | triage MiB | whole |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {each.name} | {each.bytes_count / 2**20:.0f} | {each.sent_s:.0f} | {each.done_s:.0f} | {each.fate} "
            f"| {each.held_mib['receive']} | {each.held_mib['triage']} | {'yes' if each.whole else 'NO'} |"
            for each in found
        ),
    ]
    print("\n".join(lines))
    with RESULTS.open("a") as file:
        file.write("\n" + "\n".join(lines) + "\n")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
