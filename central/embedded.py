"""A real language model on this machine: llama.cpp's own OpenAI-compatible server, inside this process.

For the demonstration and for tests. One thread, because two that spin on a busy machine were seen to take eighteen
times as long. It listens on loopback only.
"""

from pathlib import Path

from appliance.errors import Misconfigured

HOST = "127.0.0.1"
CONTEXT_TOKENS = 8192  # shared by the slots
THREADS = 1
MODEL_ID = "qwen2.5-coder-0.5b-instruct"


class Embedded:
    """The server, running until this process ends; `url` is its base.

    eyes  a vision tower that fits the weights (llama.cpp's mmproj file): only with one it takes pictures
    """

    def __init__(self, weights: Path, port: int = 0, *, slots: int = 1, eyes: Path | None = None) -> None:
        try:
            import xllamacpp
        except ImportError:
            raise Misconfigured("llm-runtime-missing", "xllamacpp") from None
        told = xllamacpp.CommonParams()
        told.model.path = str(weights)
        if eyes is not None:
            told.mmproj.path = str(eyes)
        told.model_alias = {MODEL_ID}
        told.hostnames, told.port = [HOST], port
        told.offline, told.ui, told.endpoint_slots = True, False, False
        told.n_ctx, told.n_parallel = CONTEXT_TOKENS, slots
        told.cpuparams.n_threads = told.cpuparams_batch.n_threads = THREADS
        told.warmup = False
        self._server = xllamacpp.Server(told)
        self.url = str(self._server.listening_address)
