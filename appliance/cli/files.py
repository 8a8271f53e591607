"""Files named on the command line: folders are gone through whole, links are never followed."""

import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

MAGIC_OFFSET, MAGIC = 128, b"DICM"  # PS3.10 7.1


def quiet_libraries() -> None:
    """A library's warning may quote a value of a data set: none of them reaches a log or a terminal."""
    warnings.simplefilter("ignore")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def named(inputs: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Every plain file under the inputs as (path, path relative to its input), in a stable order."""
    for given in inputs:
        if given.is_file():
            yield given, Path(given.name)
        for folder, inside, names in os.walk(given):
            inside.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink():
                    yield path, path.relative_to(given)


def bears_magic(data: bytes) -> bool:
    return data[MAGIC_OFFSET : MAGIC_OFFSET + len(MAGIC)] == MAGIC
