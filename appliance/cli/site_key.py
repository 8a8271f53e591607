"""The site key as a verb of the command line finds it: a credential, a file, or sealed to this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from appliance.condition import books
from appliance.config import Config, Places, secret
from appliance.errors import Misconfigured
from appliance.world.sealed_key import CREDENTIAL, opened, sealed_path


class Found(NamedTuple):
    """key: None where there is none for us; sealed: it lies sealed here, whether it opens for us or not."""

    key: bytes | None
    sealed: bool


def found(config: Config) -> Found:
    """What there is; nothing is made."""
    plain, sealed = secret(CREDENTIAL, config.triage.site_key_file), sealed_path(config.triage.site_key_file)
    if plain is not None:
        return Found(plain, sealed.exists())
    return Found(opened(sealed), sealed.exists())


def may_be_made(config: Config, places: Places) -> bool:
    """Whether a new key harms nobody: there is none here, open or sealed, and nothing was ever taken in under one.

    Raises Misconfigured("site-key-gone"): another one would give every patient of before another pseudonym.
    """
    file = config.triage.site_key_file
    if file.exists() or sealed_path(file).exists():
        return False
    if books.was_at_work(places):
        raise Misconfigured("site-key-gone", str(file))
    return True


def needed(config: Config) -> bytes:
    """The key as it is, also where it lies sealed: what is sealed to this machine opens on no other.

    Raises Misconfigured("deid-site-key", "site-key-sealed"): nobody may believe that it is in a backup that lacks it.
    """
    key, sealed = found(config)
    if key is None:
        raise Misconfigured("site-key-sealed" if sealed else "deid-site-key", str(config.triage.site_key_file))
    return key


def beside(config: Config, config_file: Path | None) -> Iterator[tuple[str, Path]]:
    """What else makes it the same appliance elsewhere, as (name, file): the configuration, keys, whom it trusts."""
    if config_file is not None:
        yield "appliance.toml", config_file
    for name, folder in (("keys", config.keys.folder), ("trusted-keys", config.triage.trusted_keys)):
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            yield f"{name}/{path.name}", path
