"""A stand-in for the small language model's process: it does what the name of its weights says, and is no model."""

import json
import os
import sys
import time
from pathlib import Path

ANSWER = {
    "opinions": [],
    "impression": "This study needs review by a radiologist.",
    "urgency": "routine",
    "limitations": [],
}


def reply(answer: object, finish: str = "stop") -> bytes:
    message = {"role": "assistant", "content": json.dumps(answer)}
    return json.dumps({"model": "scripted", "choices": [{"finish_reason": finish, "message": message}]}).encode()


def main(arguments: list[str]) -> int:
    manner = Path(arguments[4]).stem
    request = json.load(sys.stdin)
    labels = request["response_format"]["json_schema"]["schema"]["properties"]["opinions"]
    assert labels["minItems"] == 0, "the study has no model's finding"
    match manner:
        case "late":
            time.sleep(60)
        case "killed":
            os.kill(os.getpid(), 9)
        case "runtime":
            return 3
        case "digest":
            return 4
        case "garbage":
            sys.stdout.buffer.write(b"\x00\xff{")
        case "long":
            sys.stdout.buffer.write(b"x" * 60_000)
        case "cut":
            sys.stdout.buffer.write(reply(ANSWER, "length"))
        case "normal":
            sys.stdout.buffer.write(reply({**ANSWER, "impression": "Normal study.", "urgency": "routine"}))
        case _:
            sys.stdout.buffer.write(reply(ANSWER))
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
