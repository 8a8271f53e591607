"""The last configuration that a service accepted, kept in its own room: with a wrong one it goes on with that.

Receiving and the page do so (docs/safe-mode.md). Whatever decides, sends or delivers does not: it ends with status 78
and waits for the operator.
"""

import logging
import re
import tomllib
from pathlib import Path

from appliance.config import Config, ConfigMistakes, Places, load
from appliance.config import State as Default
from appliance.errors import Unavailable
from appliance.world import archive

LOG = logging.getLogger("appliance")
GOES_ON = ("receive", "review")
NAME = ".accepted.toml"
FOLDER = re.compile(r'^\s*folder\s*=\s*"([^"\n]+)"', re.MULTILINE)
Mistakes = tuple[tuple[str, str, str], ...]


def configuration(service: str, path: Path) -> tuple[Config, Mistakes]:
    """What a service runs with, and what is wrong with what it was given. Raises ConfigMistakes: it cannot go on."""
    try:
        config = load(path)
    except ConfigMistakes as wrong:
        former = _former(service, path)
        if former is None:
            raise
        for file, key, reason in wrong.mistakes:
            LOG.error("config-invalid: %s: %s: %s", file, key or "file", reason.partition(" (found")[0])
        LOG.error("config-invalid: going on with the last accepted configuration")
        return former, tuple(wrong.mistakes)
    if service in GOES_ON:
        _keep(_room(service, Places(config.state.folder)), path.read_bytes())
    return config, ()


def _keep(path: Path, data: bytes) -> None:
    try:
        if not path.exists() or path.read_bytes() != data:
            archive.put(path, data)
            path.chmod(0o600)
    except (OSError, Unavailable):
        LOG.warning("the accepted configuration could not be kept")  # then a wrong one stops this service


def _former(service: str, path: Path) -> Config | None:
    if service not in GOES_ON:
        return None
    for root in _folders(path):
        kept = _room(service, Places(root))
        try:
            found = load(kept)
        except ConfigMistakes:
            continue
        if found.state.folder == root:
            return found
    return None


def _folders(path: Path) -> list[Path]:
    """State folders that a wrong configuration may mean, the likeliest first."""
    found = []
    try:
        text = path.read_text("utf-8", "replace")
        told = tomllib.loads(text)["state"]["folder"]
        found = [Path(told)] if isinstance(told, str) else []
    except OSError:
        text = ""
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
        section = text.partition("[state]")[2].partition("\n[")[0]
        found = [Path(each) for each in FOLDER.findall(section)[:1]]
    return [*found, Default().folder]


def _room(service: str, places: Places) -> Path:
    return (places.incoming if service == "receive" else places.review) / NAME
