"""The whole de-identified series of a case: `central request-series` asks the edge for it, `central series` writes it.

What came lies encrypted in the spool until then. Its sender is enrolled and signed it, and is a stranger all the same:
the archive is read header by header, only plain members with the names that an edge gives are taken, and everything has
a limit. Nothing is written under the name that was asked for before all of it is whole.
"""

import argparse
import gzip
import io
import re
import shutil
import sys
import tarfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from appliance.core.document import decode
from appliance.core.transfer import Manifest, opened_part, span
from appliance.errors import Misconfigured, Quarantined
from central import store
from central.spool import Spool
from central.store import freight

VERBS = ("series", "request-series")
MEMBER = re.compile(r"[0-9]{6}\.dcm")
MEMBERS_MAX = 100_000
MEMBER_BYTES_MAX = 2 * 2**30
BYTES_MAX = 64 * 2**30  # of all members: a gzip of a few MiB may promise more than any disk holds
BLOCK_BYTES = 512  # of a tar (POSIX.1-1988, ustar)
READ_BYTES = 1 << 20
MAGIC_AT, MAGIC = 128, b"DICM"  # PS3.10 7.1


def arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verbs' places on the command line."""
    asked = commands.add_parser("request-series", help="ask the edge for the whole de-identified series of a case")
    written = commands.add_parser("series", help="write the series of a case that came, as DICOM files")
    for each in (asked, written):
        each.add_argument("case", help="the case's id, 32 hexadecimal digits")
        each.add_argument("--device", default="", help="whose case, where two devices gave one name")
        each.add_argument("--state", type=Path, required=True, help="folder of the centre's database and spool")
        each.add_argument("--store", default="", metavar="URL", help="PostgreSQL instead, as for `central run`")
    written.add_argument("-o", "--output", type=Path, required=True, help="a folder that is not there yet")


def run(options: argparse.Namespace) -> int:
    """Runs one of VERBS. Raises Misconfigured: nothing of that name is here, or the folder is."""
    if not options.store and not (options.state / "central.db").exists():
        raise Misconfigured("state-folder", "--state")
    engine = store.open_store(options.state, options.store)
    with store.transaction(engine) as c:
        devices = [row.device_id for row in store.cases_named(c, options.case) if options.device in ("", row.device_id)]
        if len(devices) != 1:
            raise Misconfigured("case-unknown", "--device" if devices else "")
        if options.command == "request-series":
            freight.request_series(c, devices[0], options.case, time.time())
            print(f"asked {devices[0]}; `central series` writes it once it is here")
            return 0
        rows = [row for row in freight.series_of(c, options.case) if row.device_id == devices[0]]
    if not rows:
        raise Misconfigured("series-absent")
    manifest = decode(Manifest, rows[-1].manifest)
    path = Spool(options.state / "spool").path(devices[0], manifest.transfer_id)
    if not path.exists():
        raise Misconfigured("series-absent")
    with path.open("rb") as sealed:
        count = write_series(manifest, sealed, options.output)
    print(f"{count} objects in {options.output}", file=sys.stderr)
    return 0


def write_series(manifest: Manifest, sealed: BinaryIO, folder: Path) -> int:
    """Opens a whole series into a new folder; returns how many objects it holds.

    raises  Misconfigured("series-folder"): the folder is there; Quarantined("message-invalid"): no such archive
    """
    if folder.exists():
        raise Misconfigured("series-folder", "--output")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        count = _unpack(io.BufferedReader(_Opened(manifest, sealed)), partial)
        partial.rename(folder)
        return count
    except (zlib.error, EOFError, gzip.BadGzipFile, tarfile.TarError):
        raise Quarantined("message-invalid", "series") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class _Opened(io.RawIOBase):
    """The bytes inside the sealed parts, one part in memory at a time."""

    def __init__(self, manifest: Manifest, sealed: BinaryIO) -> None:
        self._left = memoryview(b"")
        self._pieces = _pieces(manifest, sealed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def _pieces(manifest: Manifest, sealed: BinaryIO) -> Iterator[bytes]:
    for index in range(manifest.parts):
        yield opened_part(manifest, index, sealed.read(span(index, manifest.sealed_bytes)[1]))


def _unpack(packed: io.BufferedReader, folder: Path) -> int:
    names, size = set[str](), 0
    with gzip.GzipFile(fileobj=packed, mode="rb") as archive:
        while (block := _exactly(archive, BLOCK_BYTES)) != bytes(BLOCK_BYTES):
            told = tarfile.TarInfo.frombuf(block, "ascii", "strict")
            plain = told.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and MEMBER.fullmatch(told.name) is not None
            size += told.size
            small = 0 <= told.size <= MEMBER_BYTES_MAX and size <= BYTES_MAX and len(names) < MEMBERS_MAX
            if not plain or not small or told.name in names:
                raise Quarantined("message-invalid", "series")
            names.add(told.name)
            with (folder / told.name).open("xb") as file:
                _copy(archive, told.size, file)
            _exactly(archive, -told.size % BLOCK_BYTES)
    return len(names)


def _copy(archive: gzip.GzipFile, size: int, file: BinaryIO) -> None:
    head = _exactly(archive, min(size, READ_BYTES))
    if head[MAGIC_AT : MAGIC_AT + len(MAGIC)] != MAGIC:
        raise Quarantined("message-invalid", "series")
    file.write(head)
    left = size - len(head)
    while left:
        piece = _exactly(archive, min(left, READ_BYTES))
        file.write(piece)
        left -= len(piece)


def _exactly(archive: gzip.GzipFile, size: int) -> bytes:
    data = archive.read(size) if size else b""
    if len(data) != size:
        raise EOFError
    return data
