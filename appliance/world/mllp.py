"""HL7 v2 over MLLP: one message and its acknowledgement on a connection of their own; neither is understood here.

Many receivers hang up after each answer and few say so before: a connection that is kept would be found broken by the
next message, and a second one costs little beside a signature.

source: HL7 Transport Specification MLLP, release 1: <VT> message <FS> <CR>.
"""

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.core.hl7 import END, START
from appliance.errors import Unavailable

PIECE_BYTES = 65_536
ANSWER_BYTES_MAX = 65_536
OTHERS_MAX = 20  # answers to other messages that are passed over


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a receiver listens, and how long connecting and one answer may take."""

    host: str
    port: int
    connect_s: float
    answer_s: float
    tls: ssl.SSLContext | None = field(default=None, repr=False)


def send(peer: Peer, message: bytes, is_answer: Callable[[bytes], bool]) -> bytes:
    """Sends one message and returns the answer that is_answer knows as its own.

    raises  Unavailable("pacs-away"): no connection, no such answer in time, or the line broke
    """
    try:
        with socket.create_connection((peer.host, peer.port), timeout=peer.connect_s) as plain:
            tls = peer.tls
            with plain if tls is None else tls.wrap_socket(plain, server_hostname=peer.host) as line:
                return _exchange(line, message, is_answer, peer.answer_s)
    except OSError:  # ssl.SSLError and time-outs are some
        raise Unavailable("pacs-away") from None


def _exchange(line: socket.socket, message: bytes, is_answer: Callable[[bytes], bool], answer_s: float) -> bytes:
    until, held = time.monotonic() + answer_s, b""
    line.settimeout(answer_s)
    line.sendall(START + message + END)
    for _ in range(OTHERS_MAX):
        while END not in held:
            left = until - time.monotonic()
            if left <= 0 or len(held) > ANSWER_BYTES_MAX:
                raise TimeoutError
            line.settimeout(left)
            piece = line.recv(PIECE_BYTES)
            if not piece:
                raise ConnectionResetError
            held += piece
        frame, _, held = held.partition(END)
        answer = frame[frame.rfind(START) + 1 :]
        if is_answer(answer):
            return answer
    raise TimeoutError
