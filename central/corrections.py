"""Corrections at the centre: what signers said of cases it holds, filed once, never changed; and the verb that prints.

A correction is believed of its own device's cases only. It is looked through for identity once more, by eyes that share
no code with the inspector that let it go. What is refused is refused with a code that stays the same; of whose case it
was, if another device's, nothing is said. `central export-corrections` prints them for training: they certify nothing.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from appliance.core.correction import ADDENDA_MAX, Correction, decode_correction
from appliance.core.document import encode
from appliance.core.drafting.signs import IDENTITY
from appliance.core.messages import Filed
from appliance.errors import Misconfigured, Unavailable
from appliance.world.sqlite import open_reader
from central import store
from central.answers import Answer
from central.inbound import OF_A_MODEL
from central.store import corrections as book
from central.store import looking

VERBS = ("export-corrections",)
OF_A_CASE_MAX = 2 * (ADDENDA_MAX + 1)  # an honest edge says one of its signature, and one of each addendum
WHOLE_NUMBER_MIN = 1_000_000  # a whole number of seven digits is no score


def answer_of(device_id: str, key: str, rev: int, letter: bytes, code: str) -> Answer:
    """What a device is told of one letter; code: why it is not taken, "" where it is filed."""
    told = Filed(key=key, rev=rev, letter_sha256=hashlib.sha256(letter).hexdigest(), code=code or None)
    return Answer(device_id, "filed", f"{key}/{rev}", told)


def take(c: Connection, device_id: str, said: Correction, letter: bytes, at: float) -> tuple[Answer, str]:
    """Files one correction; returns what its device is told, and why it is not taken, "" where it is."""
    body = encode(said)
    digest = hashlib.sha256(body).hexdigest()
    held = book.digest_of(c, device_id, said.key, said.rev)
    case = store.cases_of(c, device_id, [said.case_id]).get(said.case_id)
    if held is not None:
        code = "" if held == digest else "correction-conflict"
    elif identity_in_correction(said) is not None:
        code = "correction-identity"
    elif case is None or case.state == "refused":
        code = "correction-case-unknown"
    elif book.count_of_case(c, case.id) >= OF_A_CASE_MAX:
        code = "correction-too-many"
    else:
        book.put(c, device_id, case.id, key=said.key, rev=said.rev, sha256=digest, body=body, at=at)
        code = ""
    return answer_of(device_id, said.key, said.rev, letter, code), code


def identity_in_correction(said: Correction) -> str | None:
    """Looks through all that its schema does not hold to a closed list, a check digit or a digest."""
    for each in said.findings:
        if each.scorer is None:
            continue
        found = next((name for name in OF_A_MODEL if IDENTITY[name].search(each.scorer.title)), None)
        if found is not None:
            return found
        if each.scorer.logit.is_integer() and abs(each.scorer.logit) >= WHOLE_NUMBER_MIN:
            return "digits"
    return None


def arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb's place on the command line."""
    made = commands.add_parser(
        "export-corrections",
        help="print what signers said of cases, a JSON line each, for training; it certifies nothing",
    )
    made.add_argument("--state", type=Path, required=True, help="folder of the centre's database")
    made.add_argument("--store", default="", metavar="URL", help="PostgreSQL instead, as for `central run`")
    made.add_argument("--device", default="", help="of this appliance only")
    made.add_argument("--every", action="store_true", help="also those that a later one of the same study replaced")


def run(options: argparse.Namespace) -> int:
    """Prints them. Raises Misconfigured: nothing is there; Unavailable("store-away")."""
    path: Path = options.state / "central.db"
    if not options.store and not path.exists():
        raise Misconfigured("state-folder", "--state")
    engine: Engine = store.open_server(options.store) if options.store else open_reader(path)
    try:
        with store.transaction(engine) as c:
            if not looking.is_made(c):
                raise Unavailable("store-away")
            for line in lines(c, options.device, every=options.every):
                print(json.dumps(line, sort_keys=True))
    finally:
        engine.dispose()
    return 0


def lines(c: Connection, device_id: str = "", *, every: bool = False) -> Iterator[dict[str, Any]]:
    """Each correction with its device and how its case stands; the document as it came, its case's id in it."""
    for row in book.standing(c, device_id, every=every):
        said = decode_correction(row.body)
        yield {"device": row.device_id, "case_state": row.state, **said.model_dump(mode="json")}
