"""One de-identifier over one folder, in a process of its own: the tools of bench/deid.py.

    python -P bench/deid_tools.py TOOL IN OUT

Prints the CPU seconds as JSON. The first file is done before the clock starts, so that imports, tables and caches are
paid for. What runs as another program is timed twice: its time over that one file is subtracted from its time over
the folder. Tools run as their authors ship them; each writes what it made. Imports stand where they are used: each
environment has its own tools only.
"""

import contextlib
import hashlib
import json
import logging
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Each = Callable[[Path, Path], None]
SITE_KEY = hashlib.sha256(b"bench").digest()


def ours() -> Each:
    """The header's road as the product walks it: read, list the identity, clean, inspect the finished bytes, write."""
    road = our_road()

    def each(source: Path, target: Path) -> None:
        target.write_bytes(road(source.read_bytes()))

    return each


def our_road() -> Callable[[bytes], bytes]:
    """The one place that names the product's own calls."""
    from appliance.core.options import chosen
    from appliance.core.outgoing import outgoing

    headers_only = chosen("basic", left_out=["clean-pixel-data"])
    return lambda data: outgoing(data, SITE_KEY, headers_only).bytes


def cleaner() -> Each:
    """What the peers do, by the product's cleaner: read, clean, write. Nothing leaves the product by this road."""
    from appliance.core.deidentify import deidentify
    from appliance.core.options import chosen

    headers_only = chosen("basic", left_out=["clean-pixel-data"])
    return lambda source, target: (
        target.write_bytes(deidentify(source.read_bytes(), SITE_KEY, headers_only).bytes) and None
    )


def floor() -> Each:
    """pydicom reads and writes, and nothing else: what a data set engine cannot go below."""
    import pydicom

    return lambda source, target: pydicom.dcmread(source).save_as(target)


def walk() -> Each:
    """What a careful user of pydicom writes: a callback over every element by the same table."""
    import pydicom

    from bench.table.road_pydicom import deidentified, named

    table = named()
    return lambda source, target: target.write_bytes(deidentified(pydicom.dcmread(source), table)) and None


def dicognito() -> Each:
    import pydicom
    from dicognito.anonymizer import Anonymizer

    anonymizer = Anonymizer()

    def each(source: Path, target: Path) -> None:
        dataset = pydicom.dcmread(source)
        anonymizer.anonymize(dataset)
        dataset.save_as(target)

    return each


def dicom_anonymizer() -> Each:
    from dicomanonymizer.simpledicomanonymizer import anonymize_dicom_file

    return lambda source, target: anonymize_dicom_file(str(source), str(target))


def dcm_anonymizer() -> Each:
    from dcm_anon import UIDMapper, anonymize_file

    mapper = UIDMapper(salt="bench")
    return lambda source, target: anonymize_file(source, target, mapper)


def deid() -> Each:
    from deid.dicom import replace_identifiers

    return lambda source, target: replace_identifiers(
        [str(source)], save=True, overwrite=True, output_folder=str(target.parent), remove_private=True
    )


def dcmanon() -> Each:
    from dcmanon import Anonymizer

    anonymizer = Anonymizer()
    return lambda source, target: target.write_bytes(anonymizer.anonymize(str(source))) and None


def gdcmanon(sources: list[Path], out: Path) -> float:
    """CPU seconds for all but the first file; de-identified with a certificate made for the occasion."""
    program = Path(sys.executable).parent / "gdcmanon"
    with tempfile.TemporaryDirectory() as folder:
        key, certificate, one = Path(folder, "key"), Path(folder, "certificate"), Path(folder, "one")
        openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=bench"]
        subprocess.run([*openssl, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        one.mkdir()
        shutil.copy(sources[0], one)
        spent = []
        for given, made in ((one, Path(folder, "made")), (sources[0].parent, out)):
            before = cpu_s(resource.RUSAGE_CHILDREN)
            told = [program, "-e", "-c", certificate, "-r", "-i", given, "-o", made]
            subprocess.run(told, check=True, capture_output=True)
            spent.append(cpu_s(resource.RUSAGE_CHILDREN) - before)
    return spent[1] - spent[0]


TOOLS: dict[str, Callable[[], Each]] = {
    "ours": ours,
    "ours, not inspected": cleaner,
    "pydicom read and write only": floor,
    "pydicom walk": walk,
    "deid": deid,
    "dicom-anonymizer": dicom_anonymizer,
    "dicognito": dicognito,
    "dcm-anonymizer": dcm_anonymizer,
    "dcmanon (Rust)": dcmanon,
}
PROGRAMS = {"gdcmanon (C++)": gdcmanon}
OURS = ("ours", "ours, not inspected", "pydicom read and write only", "pydicom walk")  # in our environment


def cpu_s(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def measured(tool: str, folder: Path, out: Path) -> dict[str, Any]:
    """files: how many the clock covers; cpu_s: for them; written: files in `out`, the first one included."""
    sources = sorted(folder.iterdir())
    out.mkdir(exist_ok=True)
    if tool in PROGRAMS:
        spent = PROGRAMS[tool](sources, out)
    else:
        each = TOOLS[tool]()
        each(sources[0], out / sources[0].name)
        before = cpu_s(resource.RUSAGE_SELF)
        for source in sources[1:]:
            each(source, out / source.name)
        spent = cpu_s(resource.RUSAGE_SELF) - before
    written = [path for path in out.rglob("*") if path.is_file()]
    return {"files": len(sources) - 1, "cpu_s": spent, "written": len(written)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stdout(sys.stderr):
        found = measured(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    print(json.dumps(found))
