"""A small language model on this machine: one question, one confined child process, one reply or the code of a fault.

The service that asks is never held up: it begins a question and looks later. A child that is late is ended; nothing it
says is believed beyond bytes of bounded length. There is no network in it: triage has none.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.config import Draft
from appliance.core.drafting.reply import NO_RUNTIME, REPLY_BYTES_MAX, WRONG_WEIGHTS

ROOT = Path(__file__).parents[2]
FAULTS = {NO_RUNTIME: "llm-runtime-missing", WRONG_WEIGHTS: "draft-weights"}
CHILD = "appliance.world.confined.drafter_child"


@dataclass(frozen=True, slots=True)
class Reply:
    """data: the body of a chat completion, b"" when there is none; code: why not, else ""."""

    data: bytes
    code: str


class Drafter:
    """At most one question at a time.

    folder  where the child's socket lies; made and removed here
    module  what the child runs; another one in tests
    """

    def __init__(self, config: Draft, folder: Path, module: str = CHILD) -> None:
        self._config, self._folder, self._module = config, folder, module
        self._process: subprocess.Popen[bytes] | None = None
        self._late = 0.0

    @property
    def name(self) -> str:
        """What the weights are called."""
        return Path(self._config.weights).stem

    @property
    def busy(self) -> bool:
        return self._process is not None

    def begin(self, body: Mapping[str, Any], now: float) -> None:
        """Starts a child on a question (the body of a chat completion request). now: s, monotonic."""
        assert self._process is None, "one at a time"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, mode=0o700)
        config = self._config
        command = [*(sys.executable, "-P", "-m", self._module), str(os.getpid()), str(config.memory_bytes)]
        command += [str(config.threads_max), config.weights_sha256, config.weights]
        with tempfile.TemporaryFile() as question:
            question.write(json.dumps(body).encode())
            question.seek(0)
            self._process = subprocess.Popen(  # noqa: S603 - our own module and the configuration's words
                command,
                stdin=question,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
                env={"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"},
            )
        self._late = now + config.answer_s

    def poll(self, now: float) -> Reply | None:
        """What came of the question; None while the child is at work. now: s, monotonic."""
        process = self._process
        assert process is not None, "nothing was asked"
        if process.poll() is None:
            if now < self._late:
                return None
            self.close()
            return Reply(b"", "draft-late")
        data = _left_in(process)
        self.close()
        if process.returncode or not 0 < len(data) <= REPLY_BYTES_MAX:
            return Reply(b"", FAULTS.get(process.returncode, "draft-failed"))
        return Reply(data, "")

    def close(self) -> None:
        """Ends the child, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)


def _left_in(process: subprocess.Popen[bytes]) -> bytes:
    """What a child that has ended left in its pipe; never waits, even if it has left a child of its own behind."""
    assert process.stdout is not None
    found = bytearray()
    while len(found) <= REPLY_BYTES_MAX and select.select([process.stdout], [], [], 0)[0]:
        piece = os.read(process.stdout.fileno(), 64 * 1024)
        if not piece:
            break
        found += piece
    return bytes(found)
