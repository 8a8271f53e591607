"""The process in which a small language model answers one question: `python -m … PARENT MEMORY THREADS SHA256 WEIGHTS`.

It looks at the digest of the weights before it opens them, reads the request on its standard input, writes the reply to
its standard output and ends; so its memory is free again. llama.cpp's own server always listens somewhere: here on a
Unix socket in the current folder, which is the parent's and nobody else's. It ends when its parent does.
"""

import hashlib
import sys
from pathlib import Path

from appliance.core.drafting.reply import NO_REPLY, NO_RUNTIME, REPLY_BYTES_MAX, WRONG_WEIGHTS
from appliance.world.confined.confinement import confine

CONTEXT_TOKENS = 4096
REQUEST_BYTES_MAX = 1 << 20
OPEN_FILES_MAX = 64
PROCESSES_MAX = 4096  # of its user, threads counted: llama.cpp starts a dozen
SOCKET = "draft.sock"


def main(arguments: list[str]) -> int:
    parent, memory_bytes, threads = (int(each) for each in arguments[:3])
    sha256, weights = arguments[3:]
    try:
        import xllamacpp
    except ImportError:
        return NO_RUNTIME
    confine(parent, memory_bytes, processes=PROCESSES_MAX, open_files=OPEN_FILES_MAX)
    try:
        with Path(weights).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return WRONG_WEIGHTS
    except OSError:
        return WRONG_WEIGHTS
    request = sys.stdin.buffer.read(REQUEST_BYTES_MAX).decode("utf-8")
    told = xllamacpp.CommonParams()
    told.model.path = weights
    told.model_alias = {Path(weights).stem}
    told.hostnames = [SOCKET]
    told.offline, told.ui, told.endpoint_slots, told.warmup = True, False, False, False
    told.n_ctx, told.n_parallel = CONTEXT_TOKENS, 1
    told.cpuparams.n_threads = told.cpuparams_batch.n_threads = threads
    replies: list[str] = []
    xllamacpp.Server(told).handle_chat_completions(request, replies.append)
    reply = replies[0].encode() if replies else b""
    if not 0 < len(reply) <= REPLY_BYTES_MAX:
        return NO_REPLY
    sys.stdout.buffer.write(reply)
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
