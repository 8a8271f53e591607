"""A restore gives each file to the service into whose folder it comes: owner, group and rights."""

import os
import stat
from pathlib import Path

import pytest

from appliance.cli import settling

# As systemd-tmpfiles makes them, each with numbers of its own: folder -> rights, owner, group.
FOLDERS = {
    ".": (0o1775, 61000, 62001),
    "incoming": (0o2770, 61002, 62002),
    "phi": (0o2770, 61001, 62003),
    "phi/instances": (0o700, 61001, 62001),
    "phi/receipts": (0o2770, 61005, 62003),
    "review": (0o2770, 61004, 62004),
    "wire": (0o2770, 61001, 62005),
    "wire/parts": (0o2750, 61001, 62005),
}
# What is restored, with the folder that says whose it is, and its rights.
FILES = {
    "incoming/new.dcm": ("incoming", 0o660),
    "phi/studies.db": ("phi", 0o660),
    "phi/instances/ab/abcd.dcm": ("phi/instances", 0o600),
    "phi/receipts/1.json": ("phi/receipts", 0o660),
    "review/review.db": ("review", 0o660),
    "review/keys/page.key": ("review", 0o660),
    "wire/link.db": ("wire", 0o660),
    "wire/parts/ff": ("wire/parts", 0o640),
    "models/film/1.0.0/model.onnx": (".", 0o660),
}


def test_each_file_and_new_folder_belongs_to_the_service_whose_folder_it_comes_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root gives really; anybody else sees what would be given, and to whom."""
    into, source = tmp_path / "state", tmp_path / "restored"
    really, real = os.geteuid() == 0, os.chown
    for name, (mode, owner, group) in FOLDERS.items():
        (into / name).mkdir(parents=True, exist_ok=True)
        if really:
            real(into / name, owner, group)
        (into / name).chmod(mode)
    for name in FILES:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
        (source / name).chmod(0o600)
    given: dict[str, tuple[int, int]] = {}

    def give(path: Path, owner: int, group: int) -> None:
        given[str(path.relative_to(into))] = (owner, group)
        if really:
            real(path, owner, group)

    monkeypatch.setattr(os, "chown", give)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    settling.settle(source, into)
    for name, (folder, mode) in FILES.items():
        above, path = (into / folder).stat(), into / name
        assert path.read_text() == name
        assert given[name] == (above.st_uid, above.st_gid), name
        assert stat.S_IMODE(path.stat().st_mode) == mode, name
        if really:
            assert (path.stat().st_uid, path.stat().st_gid) == FOLDERS[folder][1:], name
    new = ("phi/instances/ab", "review/keys", "models", "models/film", "models/film/1.0.0")
    assert set(given) == {*FILES, *new}, "what was there stays whose it was"
    for name in new:
        assert given[name] == given[next(each for each in FILES if each.startswith(name))], name
    for name, (mode, *_) in FOLDERS.items():
        assert stat.S_IMODE((into / name).stat().st_mode) == mode, name
