"""A model's server that takes exactly so long and says nothing of worth: for measuring everything around the model.

    python -m bench.fixed_latency --port 8000 --latency-s 0.5 [--per-picture-s 0.1] [--tally FILE]

A picture may take time of its own, as it does with models that look. The shape of its answers is that of
`central no-model`; any number of questions are answered at a time.
"""

import argparse
import threading
import time
from pathlib import Path
from typing import Any

from central import no_model


def pictures(request: Any) -> int:
    """How many pictures a question shows."""
    asked = request["messages"] if isinstance(request, dict) else ()
    parts = [part for each in asked if isinstance(each.get("content"), list) for part in each["content"]]
    return sum(part.get("type") == "image_url" for part in parts)


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--port", type=int, required=True)
    told.add_argument("--latency-s", type=float, required=True)
    told.add_argument("--per-picture-s", type=float, default=0.0, help="on top, for each picture of a question")
    told.add_argument("--tally", type=Path, help="a line for each answer: the seconds that it took")
    options = told.parse_args()
    plain, writing = no_model.completion, threading.Lock()

    def slow(request: Any) -> dict[str, Any]:
        seconds = options.latency_s + options.per_picture_s * pictures(request)
        time.sleep(seconds)
        if options.tally:
            with writing, options.tally.open("a") as file:
                file.write(f"{seconds:.4f}\n")
        return plain(request)

    no_model.completion = slow
    no_model.NoModel.request_queue_size = 256
    no_model.NoModel(options.port).serve()
    threading.Event().wait()


if __name__ == "__main__":
    main()
