"""C-STORE from a scanner: ours, durable, beside receivers that sync nothing, on the same files, cores and sender.

    python -m bench.cstore [--files 300] [--rounds 3] [--side 512]

The sender is dcmtk's dcmsend, once as it comes (Nagle's algorithm on, PDUs of 16 KiB: what sites have) and once tuned
(TCP_NODELAY, PDUs of 128 KiB). In a third table the receivers are tuned, too: dcmtk, and Orthanc by it, answers in two
small writes and leaves Nagle's algorithm on unless the environment says TCP_NODELAY=1, so each file waits for its
sender's delayed acknowledgement (some 40 ms), tuned or not. Receivers take turns in every round, each with an empty
folder. Ours stands there three times: as it is; with fsync taken out, which says what durability costs; and without
the digest, too, which is a third of ours where the processor has no instructions for SHA-256. CPU is the receiver's
own, a file: the rate also holds the sender, which shares the cores. Orthanc is measured where it is installed; where
not, the table says so.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

STUDY = "1.2.826.0.1.3680043.10.1511"
OURS = """
import itertools, os, sys, time
from pathlib import Path
from types import SimpleNamespace
from appliance.config import Config, Places
from appliance.loop import Moment
from appliance.receive.listening import Listening
if sys.argv[3] != "synced":
    os.fsync = lambda _: None
if sys.argv[3] == "undigested":
    from appliance.world.dimse import landed
    number = itertools.count()
    landed.hashlib = SimpleNamespace(
        sha256=lambda: SimpleNamespace(update=lambda _: None, hexdigest=lambda: f"{next(number):064x}"))
config = Config.model_validate({"receive": {"disk_reserve_bytes": 0}, "dimse": {"port": int(sys.argv[2]),
    "ae_title": "EDGE", "peers": ["DCMSEND@127.0.0.1"]}})
places = Places(Path(sys.argv[1]))
places.incoming.mkdir(parents=True)
Listening(config, places).listen(Moment(0.0, 0.0))
time.sleep(3600)
"""
STOCK = """
import sys
from pynetdicom import AE, AllStoragePresentationContexts, evt
def save(event):
    dataset = event.dataset
    dataset.file_meta = event.file_meta
    dataset.save_as(f"{sys.argv[1]}/{event.request.AffectedSOPInstanceUID}", enforce_file_format=True)
    return 0
ae = AE(ae_title="EDGE")
ae.supported_contexts = AllStoragePresentationContexts
ae.maximum_pdu_size = 131072
ae.start_server(("127.0.0.1", int(sys.argv[2])), evt_handlers=[(evt.EVT_C_STORE, save)])
"""
LARGE = ("-pdu", "131072", "--max-send-pdu", "131072")
UNDELAYED = {"TCP_NODELAY": "1"}
TUNINGS: dict[
    str, tuple[tuple[str, ...], dict[str, str]]
] = {  # what the sender is told, and the receiver's environment
    "sender as it comes": ((), {}),
    "sender tuned": (LARGE, {}),
    "sender and receivers tuned": (LARGE, UNDELAYED),
}
Command = Callable[[Path, int], list[str]]


def _ours(how: str) -> Command:
    return lambda folder, port: [sys.executable, "-c", OURS, str(folder), str(port), how]


def _orthanc(folder: Path, port: int) -> list[str]:
    told = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "DicomAet": "EDGE",
        "DicomPort": port,
        "HttpServerEnabled": False,
        "OverwriteInstances": True,
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(told))
    return ["Orthanc", str(path)]


RECEIVERS: dict[str, Command] = {
    "dcmtk storescp, nothing synced": lambda folder, port: [
        *("storescp", "+xa", "-pdu", "131072", "-aet", "EDGE", "-od", str(folder), str(port))
    ],
    "ours, durable": _ours("synced"),
    "ours, fsync taken out": _ours("unsynced"),
    "ours, fsync and digest taken out": _ours("undigested"),
    "pynetdicom, data set decoded and saved": lambda folder, port: [
        sys.executable,
        "-c",
        STOCK,
        str(folder),
        str(port),
    ],
    "Orthanc": _orthanc,
}


@dataclass(frozen=True, slots=True)
class Round:
    """One sending of all files: files a second, and the receiver's CPU in ms a file."""

    rate: float
    cpu_ms: float


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300, help="CT slices sent each time (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each receiver has its turn")
    parser.add_argument("--side", type=int, default=512, help="rows and columns of a slice")
    options = parser.parse_args(argv)
    receivers = {name: command for name, command in RECEIVERS.items() if name != "Orthanc" or shutil.which("Orthanc")}
    with tempfile.TemporaryDirectory(prefix="bench-cstore-") as made:
        corpus = Path(made, "corpus")
        _slices(corpus, options.files, options.side)
        for title, (more, answering) in TUNINGS.items():
            found: dict[str, list[Round]] = {name: [] for name in receivers}
            for turn in range(options.rounds):
                for name, command in receivers.items():
                    print(f"{title}, round {turn + 1}: {name}", file=sys.stderr, flush=True)
                    folder = Path(made, f"{title}-{turn}-{len(found[name])}-{abs(hash(name))}".replace(" ", "-"))
                    folder.mkdir()
                    found[name].append(_one(command, folder, corpus, options.files, more, answering))
                    shutil.rmtree(folder)
            _table(title, found)
    if "Orthanc" not in receivers:
        print("\nOrthanc is not installed here and was not measured.")
    return 0


def _table(title: str, found: dict[str, list[Round]]) -> None:
    floor = statistics.median(each.rate for each in found[next(iter(found))])
    print(f"\n| {title} | files/s (least to most) | ratio | receiver's CPU, ms a file |\n|---|---|---|---|")
    for name, rounds in found.items():
        rates = [each.rate for each in rounds]
        middle, cpu = statistics.median(rates), statistics.median(each.cpu_ms for each in rounds)
        print(f"| {name} | {middle:.0f} ({min(rates):.0f} to {max(rates):.0f}) | {middle / floor:.2f} | {cpu:.2f} |")


def _slices(folder: Path, count: int, side: int) -> None:
    """CT slices as a scanner sends them: 12 bits of noise over a slope in 16, so that nothing is all zero."""
    folder.mkdir()
    noise = np.random.default_rng(5)
    for number in range(count):
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"{STUDY}.1.{number}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, f"{STUDY}.1"
        dataset.PatientID, dataset.PatientName, dataset.Modality = "BENCH", "Bench^Nobody", "CT"
        dataset.InstanceNumber = number + 1
        dataset.Rows = dataset.Columns = side
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        picture = noise.integers(0, 256, (side, side)) + np.linspace(0, 3500, side)[:, None]
        dataset.PixelData = picture.astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.ImplementationClassUID = generate_uid(entropy_srcs=["bench"])
        pydicom.dcmwrite(folder / f"{number:05d}.dcm", dataset, enforce_file_format=True)


def _one(
    command: Command, folder: Path, corpus: Path, count: int, more: Sequence[str], answering: dict[str, str]
) -> Round:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with _running(command(folder, port), port, answering) as process:
        before, began = _cpu_s(process.pid), time.perf_counter()
        tuned = UNDELAYED if more else {}
        send = ["dcmsend", "+sd", "-aet", "DCMSEND", "-aec", "EDGE", *more, "127.0.0.1", str(port), str(corpus)]
        said = subprocess.run(send, capture_output=True, text=True, check=False, env={**os.environ, **tuned})
        took = time.perf_counter() - began
        if said.returncode:
            raise SystemExit(f"dcmsend ended with {said.returncode}: {said.stderr[-800:]}")
        return Round(count / took, 1000 * (_cpu_s(process.pid) - before) / count)


@contextmanager
def _running(command: list[str], port: int, answering: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    told = {**os.environ, **answering}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=told)
    try:
        deadline = time.monotonic() + 30
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} does not listen")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        time.sleep(0.5)
        yield process
    finally:
        process.kill()
        process.wait()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
