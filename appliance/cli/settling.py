"""What a restore puts into the folders of a state that is there already, so that the services find their own."""

import os
import stat
from pathlib import Path


def holds(path: Path) -> bool:
    """Whether it is a file, or a folder with a file in it: empty ones are made by the installation."""
    return path.is_file() or any(each.is_file() and not each.name.startswith(".") for each in path.rglob("*"))


def settle(source: Path, into: Path) -> None:
    """Moves all of it to where it belongs, a file at a time, databases of a folder after the folders in it.

    Each file gets the owner and the rights of the folder that it comes into, each new folder those of the one above;
    what is new at the top, where everybody may look in, is nobody else's.
    """
    for path in sorted(source.iterdir(), key=lambda each: (each.is_file(), each.name)):
        target, above = into / path.name, into.stat()
        if path.is_dir():
            if not target.exists():
                target.mkdir(mode=0o700)
                _as(target, above, above.st_mode & (0o2770 if above.st_mode & stat.S_ISVTX else 0o2777))
            settle(path, target)
        else:
            path.replace(target)
            _as(target, above, above.st_mode & 0o666)


def _as(path: Path, above: os.stat_result, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, above.st_uid, above.st_gid)
    path.chmod(mode)
