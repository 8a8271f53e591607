"""A repository that lies on a web server: HTTPS with a known authority, no redirects, no proxy of the environment.

A server that is slow or endless costs a bounded time and no more than the promised bytes. What was fetched of a target
stays when the line breaks and is gone on with; it counts only whole and with the digest of its metadata.
"""

import hashlib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import urllib3
from tuf.api import exceptions
from tuf.ngclient import FetcherInterface

from appliance.core.updates import Offer
from appliance.errors import Quarantined, Unavailable

CONNECT_S, READ_S = 10.0, 20.0
CHUNK_BYTES = 64 * 1024
AGENT = "edge-appliance-updates"


class Https(FetcherInterface):
    """What python-tuf fetches by, and targets are. deadline: monotonic seconds at which whatever runs is given up.

    authority  PEM file of who signed the server's certificate; None: those the system knows
    raises     OSError: the file is not there or holds no certificate
    """

    def __init__(self, authority: Path | None, deadline: float) -> None:
        made = ssl.create_default_context(cafile=None if authority is None else str(authority))
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        self.deadline = deadline
        self.pool = urllib3.PoolManager(
            num_pools=1, ssl_context=made, retries=False, headers={"User-Agent": AGENT, "Accept-Encoding": "identity"}
        )

    def _fetch(self, url: str) -> Iterator[bytes]:
        _, chunks = self.get(url, 0)
        return chunks

    def get(self, url: str, start: int) -> tuple[int, Iterator[bytes]]:
        """Bytes of a file from `start` on, or from 0 where the server cannot: (from where, the bytes).

        raises  DownloadError of python-tuf
        """
        if not url.startswith("https://"):
            raise exceptions.DownloadError("not over HTTPS")
        asked = {**self.pool.headers, **({"Range": f"bytes={start}-"} if start else {})}
        left = self._left()
        timeout = urllib3.Timeout(connect=min(CONNECT_S, left), read=min(READ_S, left))
        try:
            reply = self.pool.request("GET", url, headers=asked, preload_content=False, redirect=False, timeout=timeout)
        except urllib3.exceptions.HTTPError as error:
            raise exceptions.DownloadError("not reached") from error
        if reply.status not in (200, 206):
            reply.close()
            raise exceptions.DownloadHTTPError(f"status {reply.status}", reply.status)
        resumed = reply.status == 206 and reply.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if reply.status == 206 and not resumed:
            reply.close()
            raise exceptions.DownloadError("another range than was asked for")
        return (start if resumed else 0), self._chunks(reply)

    def _chunks(self, reply: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            while chunk := reply.read1(CHUNK_BYTES):
                self._left()
                yield chunk
        except urllib3.exceptions.HTTPError as error:
            raise exceptions.DownloadError("broken off") from error
        finally:
            reply.close()

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise exceptions.SlowRetrievalError("too slow")
        return left

    def close(self) -> None:
        self.pool.clear()


def download(offer: Offer, targets_url: str, partial: Path, fetcher: Https) -> None:
    """Fetches one target into a file that may hold its beginning already; returns when it is whole.

    raises  Unavailable("updates-away"): the line broke, what came stays; Quarantined("updates-untrusted"): the bytes
            are others than were signed, or more; then nothing stays
    """
    partial.parent.mkdir(parents=True, exist_ok=True)
    have = min(partial.stat().st_size, offer.length) if partial.exists() else 0
    try:
        if have < offer.length:
            start, chunks = fetcher.get(f"{targets_url}{offer.place}", have)
            with partial.open("r+b" if partial.exists() else "wb") as file:
                file.truncate(start)
                file.seek(start)
                for chunk in chunks:
                    start += len(chunk)
                    if start > offer.length:
                        raise Quarantined("updates-untrusted", offer.kind)
                    file.write(chunk)
        with partial.open("rb") as file:
            if file.seek(0, 2) < offer.length:
                raise Unavailable("updates-away", offer.kind)
            file.seek(0)
            if hashlib.file_digest(file, "sha256").hexdigest() != offer.sha256:
                raise Quarantined("updates-untrusted", offer.kind)
    except exceptions.DownloadError:
        raise Unavailable("updates-away", offer.kind) from None
    except Quarantined:
        partial.unlink(missing_ok=True)
        raise
