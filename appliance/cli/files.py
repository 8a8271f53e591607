"""Files named on the command line (folders gone through whole, links never followed), and a configuration as text."""

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
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


def toml_text(sections: Mapping[str, Mapping[str, object]]) -> str:
    """A configuration as TOML, a table a section, in the order given."""
    parts = [
        "\n".join([f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.items())])
        for name, values in sections.items()
    ]
    return "\n\n".join(parts) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(name)} = {_toml(said)}' for name, said in value.items())} }}"
    # A string of JSON without escapes of its own (\\/, surrogates) is a basic string of TOML.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
