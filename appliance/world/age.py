"""Encrypted files of the age format (age-encryption.org/v1), so that a backup can be opened without this product.

To write one takes a public key only: who steals an appliance cannot open its backups. age says that a file is whole and
was sealed to this key; it does not say by whom.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import fdopen, pipe
from pathlib import Path
from typing import IO

import pyrage

from appliance.errors import Misconfigured, Quarantined, Unavailable

PUBLIC = "age1"


def new_key() -> tuple[str, str]:
    """(a private key as a line of text, its public key)."""
    made = pyrage.x25519.Identity.generate()
    return str(made), str(made.to_public())


@contextmanager
def writing(out: Path, recipient: str) -> Iterator[IO[bytes]]:
    """A stream that ends up encrypted in a file; on any error the file is the caller's to remove."""
    try:
        key = pyrage.x25519.Recipient.from_str(recipient)
    except pyrage.RecipientError:
        raise Misconfigured("backup-key") from None
    source, sink = pipe()
    failed: list[OSError] = []

    def work() -> None:
        try:
            with fdopen(source, "rb") as read, out.open("wb") as written:
                pyrage.encrypt_io(read, written, [key])
        except OSError as error:  # a full disk, mostly; the writer then meets a closed pipe
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with fdopen(sink, "wb") as stream:
            yield stream
    except BrokenPipeError:
        raise Unavailable("disk-low") from None
    finally:
        thread.join()
    if failed:
        raise Unavailable("disk-low")


def read(file: Path, key_file: Path, work: Callable[[IO[bytes]], None]) -> None:
    """Gives work the plain stream. Raises Quarantined("backup-invalid"): it is not whole, was changed, or is not ours.

    What work did with the first bytes is not to be believed until this returns.
    """
    try:
        lines = key_file.read_text("ascii").split("\n")
        key = pyrage.x25519.Identity.from_str(next(line for line in lines if line.startswith("AGE-SECRET-KEY-")))
    except (OSError, UnicodeDecodeError, StopIteration, pyrage.IdentityError):
        raise Misconfigured("backup-key") from None
    source, sink = pipe()
    failed: list[BaseException] = []

    def decrypt() -> None:
        try:
            with fdopen(sink, "wb") as plain, file.open("rb") as sealed:
                pyrage.decrypt_io(sealed, plain, [key])
        except (OSError, pyrage.DecryptError) as error:
            failed.append(error)

    thread = threading.Thread(target=decrypt)
    thread.start()
    try:
        with fdopen(source, "rb") as stream:
            work(stream)
            while stream.read(2**20):  # the end of the file says whether it is whole
                pass
    finally:
        thread.join()
    if failed:
        raise Quarantined("backup-invalid")
