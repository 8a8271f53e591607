"""How long DICOMweb makes a viewer wait: search, headers, frames, pictures and a whole series of a large study.

    python -m bench.dicomweb [--slices 300] [--side 512]

A real review service on loopback, one client, one connection; the first time each object is read, and again. Figures
are printed, no test asserts them.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import httpx
import numpy as np

from tests.core.test_pixels import made

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from dicomweb_house import TOKEN, housed

EVERY = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--side", type=int, default=512)
    asked = parser.parse_args(given)
    draw = np.random.default_rng(7)
    files = [
        made(
            draw.integers(0, 4096, (1, asked.side, asked.side), dtype=np.uint16),
            StudyInstanceUID="2.25.1",
            SeriesInstanceUID="2.25.2",
            SOPInstanceUID=f"2.25.3{n:06d}",
            InstanceNumber=n + 1,
            PatientID="P-1",
            PatientName="BRAUN^ANNA",
            Modality="CT",
        )
        for n in range(asked.slices)
    ]
    print(f"{platform.machine()}, {os.cpu_count()} cores; {asked.slices} slices of {asked.side}x{asked.side}")
    with (
        tempfile.TemporaryDirectory() as folder,
        redirect_stdout(StringIO()) as quiet,
        housed(Path(folder), files) as house,
    ):
        client = httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=120)
        series = f"{house.root}/studies/2.25.1/series/2.25.2"
        lines = [
            took("search for the study", lambda: client.get(f"{house.root}/studies?PatientID=P-1")),
            took("instances of the series", lambda: client.get(f"{series}/instances?limit=1000")),
            took("metadata of the series, first time", lambda: client.get(f"{series}/metadata")),
            took("metadata of the series, again", lambda: client.get(f"{series}/metadata")),
            took("whole series", lambda: client.get(series, headers={"Accept": EVERY})),
        ]
        objects = [f"{series}/instances/{each.sop_instance_uid}" for each in house.instances[:100]]
        lines += [each_of("one frame", objects, lambda at: client.get(f"{at}/frames/1"))]
        lines += [each_of("one picture, JPEG", objects, lambda at: client.get(f"{at}/rendered"))]
        client.close()
    print("\n".join(lines) + quiet.getvalue())


def took(what: str, ask: Callable[[], httpx.Response]) -> str:
    began = time.perf_counter()
    answer = ask()
    spent = (time.perf_counter() - began) * 1000
    answer.raise_for_status()
    return f"{what}: {spent:.0f} ms, {len(answer.content) / 2**20:.2f} MiB"


def each_of(what: str, addresses: list[str], ask: Callable[[str], httpx.Response]) -> str:
    spent = []
    for at in addresses:
        began = time.perf_counter()
        ask(at).raise_for_status()
        spent.append((time.perf_counter() - began) * 1000)
    return (
        f"{what}: median {np.median(spent):.0f} ms, 95th percentile {np.percentile(spent, 95):.0f} ms of {len(spent)}"
    )


if __name__ == "__main__":
    main()
