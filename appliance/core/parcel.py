"""A model package as one file: an uncompressed tar (POSIX.1-2001) of plain files, the same package the same bytes.

Opened strictly and in memory: whatever is no plain file of a plain name, is named twice, or is more than was promised
makes the whole parcel invalid. Nothing is ever extracted by a library.
"""

import io
import re
import tarfile
from collections.abc import Mapping

from appliance.errors import Quarantined

FILES_MAX = 202  # 200, their checksums and the signature
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*){0,3}")


def packed(files: Mapping[str, bytes]) -> bytes:
    """The parcel of these files, by name; without times, owners or rights."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted(files.items()):
            head = tarfile.TarInfo(name)
            head.size, head.mode = len(data), 0o644
            archive.addfile(head, io.BytesIO(data))
    return out.getvalue()


def opened(data: bytes) -> dict[str, bytes]:
    """The files of a parcel, by name. Raises Quarantined("update-parcel-invalid")."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for head in archive:
                if len(found) >= FILES_MAX or head.name in found or not head.isreg() or head.issparse():
                    raise Quarantined("update-parcel-invalid")
                body = archive.extractfile(head) if NAME.fullmatch(head.name) else None
                if body is None or head.size > len(data):
                    raise Quarantined("update-parcel-invalid")
                found[head.name] = body.read(head.size)
                if len(found[head.name]) != head.size:
                    raise Quarantined("update-parcel-invalid")
    except (tarfile.TarError, ValueError, EOFError, OverflowError, OSError):
        raise Quarantined("update-parcel-invalid") from None
    return found
