"""Which certificates lie here at all, whoever signed them, whatever package they fit: for who takes all of them away.

Nothing is believed by it. A file that is no certificate is passed over; what cannot be read today could be put right
tomorrow, but only by other bytes, and those are another certificate.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from appliance.core.certificate import Certificate
from appliance.world.models import CERTIFICATE_BYTES_MAX


def certificates_lying(packages: Sequence[Path], beside: Sequence[Path], loose: Sequence[Path] = ()) -> set[str]:
    """Digests of certificates.

    packages  folders of <name>/<version>/, whose certificates lie in certificates/
    beside    folders of <name>/<version>/*.json
    loose     folders of *.json
    """
    return {digest for path in _files(packages, beside, loose) if (digest := _digest(path))}


def _files(packages: Sequence[Path], beside: Sequence[Path], loose: Sequence[Path]) -> Iterator[Path]:
    for folders, where in ((packages, "*/*/certificates/*.json"), (beside, "*/*/*.json"), (loose, "*.json")):
        for folder in folders:
            yield from folder.glob(where)


def _digest(path: Path) -> str:
    """ "" where it is no certificate."""
    try:
        with path.open("rb") as file:
            return Certificate.model_validate_json(file.read(CERTIFICATE_BYTES_MAX + 1)).digest
    except (OSError, ValidationError):
        return ""
