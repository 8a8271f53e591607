"""A TCP proxy that is a bad line: it delays, falls silent without hanging up, resets, or refuses; one process a line.

    python -m tests.faults.proxy LISTEN_HOST:PORT TARGET_HOST:PORT [--record FOLDER]

Orders come as JSON lines on standard input: {"mode": "pass" | "hold" | "refuse", "delay_s": 0.2} set what it does from
now on, {"reset": true} breaks every connection with a TCP reset. It never doubles, reorders or changes a byte: TCP does
not, either. With --record every byte that passed lies in a file per connection and direction, for whoever searches it.
It ends with its standard input.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

CHUNK_BYTES = 16 * 1024
WAITING_MAX = 64  # chunks under way in one direction: what a long fat line would hold
LOOK_S = 0.02


@dataclass(slots=True)
class Line:
    """What the line does at the moment, and who is on it."""

    mode: str = "pass"
    delay_s: float = 0.0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    connections: int = 0

    def obey(self, order: dict[str, object]) -> None:
        self.mode = str(order.get("mode", self.mode))
        self.delay_s = float(str(order.get("delay_s", self.delay_s)))
        if order.get("reset"):
            for writer in self.writers:
                reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """Hangs up with a TCP reset: linger of zero seconds (socket(7))."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def pump(line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: Path | None) -> None:
    """One direction, until either end hangs up. What was read waits its delay; while the line holds, nothing moves."""
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING_MAX)

    async def take() -> None:
        while True:
            data = await reader.read(CHUNK_BYTES)
            await waiting.put((time.monotonic() + line.delay_s, data))
            if not data:
                return

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await waiting.get()
            while line.mode == "hold" or time.monotonic() < due:
                await asyncio.sleep(LOOK_S)
            if not data:
                return
            if record is not None:
                with record.open("ab") as file:
                    file.write(data)
            writer.write(data)
            await writer.drain()
    finally:
        taking.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await taking


async def serve(listen: tuple[str, int], target: tuple[str, int], folder: Path | None) -> None:
    line = Line()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line.connections += 1
        number = line.connections
        up = folder / f"{number:06d}.up" if folder else None
        down = folder / f"{number:06d}.down" if folder else None
        if line.mode == "refuse":
            reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*target)
        except OSError:
            reset(writer)
            return
        line.writers |= {writer, far_writer}
        pumps = [
            asyncio.create_task(pump(line, reader, far_writer, up)),
            asyncio.create_task(pump(line, far_reader, writer, down)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            line.writers -= {writer, far_writer}
            for end in (writer, far_writer):
                end.close()

    server = await asyncio.start_server(connection, *listen)
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while said := await orders.readline():
        line.obey(json.loads(said))


def address(text: str) -> tuple[str, int]:
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__)
    told.add_argument("listen", type=address)
    told.add_argument("target", type=address)
    told.add_argument("--record", type=Path)
    options = told.parse_args()
    if options.record:
        options.record.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(options.listen, options.target, options.record))


if __name__ == "__main__":
    main()
