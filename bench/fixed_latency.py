"""A model's server that takes exactly so long and says nothing of worth: for measuring everything around the model.

    python -m bench.fixed_latency --port 8000 --latency-s 0.5

The shape of its answers is that of `central no-model`; any number of questions are answered at a time.
"""

import argparse
import threading
import time
from typing import Any

from central import no_model


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--port", type=int, required=True)
    told.add_argument("--latency-s", type=float, required=True)
    options = told.parse_args()
    plain = no_model.completion

    def slow(request: Any) -> dict[str, Any]:
        time.sleep(options.latency_s)
        return plain(request)

    no_model.completion = slow
    no_model.NoModel.request_queue_size = 256
    no_model.NoModel(options.port).serve()
    threading.Event().wait()


if __name__ == "__main__":
    main()
