"""HL7 v2 to hl7apy's MLLP server and FHIR to a server that validates: refusals, stale answers, kills, and each once."""

import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.core.results.fhir import resources
from appliance.core.results.order import Text
from appliance.core.results.statement import Message
from appliance.errors import Misconfigured
from tests.core.test_messages import message
from tests.core.test_results import KEY, STUDIES
from tests.deliver.conftest import House
from tests.deliver.orthanc import free_port
from tests.deliver.receivers import Fhir, Ris, acknowledged
from tests.deliver.test_deliver_orthanc import KILLED
from tests.world.test_dimse import certificates

FILM = STUDIES["film"]()


@pytest.fixture
def ris() -> Iterator[Ris]:
    made = Ris()
    yield made
    made.stop()


@pytest.fixture
def server() -> Iterator[Fhir]:
    made = Fhir()
    yield made
    made.stop()


def ordered(house: House, target: str, kind: str, *told: Message, **more: Any) -> str:
    texts = []
    for each in told:
        digest = hashlib.sha256(each.data).hexdigest()
        (house.places.outbox / f"{digest}.msg").write_bytes(each.data)
        texts.append(Text(sha256=digest, name=each.name))
    return house.order(target, kind=kind, texts=texts, **more)


def said(house: House, decision: str = "agree", **more: Any) -> tuple[str, Message]:
    made = message(FILM, decision=decision)
    return ordered(house, "ris", "hl7", made, **more), made


def reported(house: House, **changed: Any) -> tuple[str, tuple[Message, ...]]:
    made = resources(FILM.said(**changed), FILM.source, FILM.instances, site_key=KEY, device="unit-1")
    return ordered(house, "fhir", "fhir", *made), made


def test_a_message_is_taken_once_and_a_receipt_says_so(house: Callable[..., House], ris: Ris) -> None:
    made = house(ris.target())
    first, one = said(made)
    second, other = said(made, "correct")
    assert made.outcome(first) == made.outcome(second) == ("stored", "")
    took = {name: text.encode() for name, text in ris.took.items()}
    assert took == {one.name: one.data, other.name: other.data}


@pytest.mark.parametrize(
    ("code", "error", "outcome"),
    [("AE", "102", ("refused", "hl7-error")), ("AE", "205", ("stored", "hl7-duplicate"))],
)
def test_an_error_is_a_person_s(
    house: Callable[..., House], ris: Ris, code: str, error: str, outcome: tuple[str, str]
) -> None:
    made = house(ris.target())
    ris.answers = [(code, error)]
    order, _ = said(made)
    assert made.outcome(order) == outcome
    assert len(ris.heard) == 1


def test_a_reject_and_a_hung_up_line_are_a_matter_of_time(house: Callable[..., House], ris: Ris) -> None:
    made = house(ris.target())
    ris.silent, ris.answers = 1, [("AR", "207"), ("AE", "206"), ("AA", "")]
    order, sent = said(made)
    assert made.outcome(order) == ("stored", "")
    assert made.receipts()[order]["attempts"] == 4
    assert {each.rstrip("\r") for each in ris.heard} == {sent.data.decode().rstrip("\r")}, "the very bytes each time"


def test_a_message_that_fells_its_receiver_holds_up_no_other(house: Callable[..., House], ris: Ris) -> None:
    made = house(ris.target())
    bad, poison = said(made, priority="critical")
    good, _ = said(made, "correct")
    answer = ris.answer

    def felled(text: str) -> str:
        assert poison.name not in text
        return answer(text)

    ris.answer = felled  # type: ignore[method-assign]
    assert made.outcome(good) == ("stored", "")
    assert bad not in made.receipts()


def test_the_answer_to_another_message_is_none_to_this_one(house: Callable[..., House], ris: Ris) -> None:
    made = house(ris.target())
    order, sent = said(made)
    ris.before = acknowledged("e000", "AE", "102") + "\x0bnot a message\x1c\r" + acknowledged(sent.name[:-1], "AA")
    assert made.outcome(order) == ("stored", "")
    ris.before, ris.answers = acknowledged("e111", "AA"), [("AE", "102")]
    order, _ = said(made, "correct")
    assert made.outcome(order) == ("refused", "hl7-error")


def test_a_doubled_answer_does_not_answer_the_next(house: Callable[..., House], ris: Ris) -> None:
    made = house(ris.target())
    first, one = said(made)
    ris.before = acknowledged(one.name, "AA")  # and then the same again
    assert made.outcome(first) == ("stored", "")
    ris.answers = [("AE", "102")]
    second, _ = said(made, "correct")
    assert made.outcome(second) == ("refused", "hl7-error")


def test_a_receiver_that_never_stops_talking_is_cut_off(house: Callable[..., House]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as talker:

        def talk() -> None:
            line, _ = talker.accept()
            try:
                while True:
                    line.sendall(b"\x0b" + b"A" * 65_000)
            except OSError:
                line.close()

        threading.Thread(target=talk, daemon=True).start()
        where = {"name": "ris", "kind": "hl7", "host": "127.0.0.1", "port": talker.getsockname()[1]}
        made = house(where, retry_s=3600.0, retry_max_s=3600.0)
        said(made)
        made.until(lambda: "ris" in made.service.targets and made.service.targets["ris"].code == "pacs-away")
        assert not made.receipts()


def killed(house: House, point: str) -> None:
    plain = json.loads(house.config.model_dump_json(include={"results": {"targets"}, "deliver": True}))
    for target in plain["results"]["targets"]:
        for name in [name for name, value in target.items() if value == "."]:
            del target[name]
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(house.places.root), json.dumps(plain), point], timeout=60, check=False
    )
    assert child.returncode == -9


def test_killed_after_the_answer_there_is_one_of_each(house: Callable[..., House], ris: Ris, server: Fhir) -> None:
    made = house(ris.target(), server.target())
    order, sent = said(made)
    killed(made, "stored")
    other, put = reported(made)
    killed(made, "half-written")
    assert not made.receipts()
    made.start()
    assert made.outcome(order) == made.outcome(other) == ("stored", "")
    assert len(ris.heard) >= 2, "it was sent again"
    assert list(ris.took) == [sent.name], "under the same control id"
    assert {name: len(held) for name, held in server.versions.items()} == {each.name: 1 for each in put}


def test_a_report_is_put_once_and_a_later_one_takes_its_place(house: Callable[..., House], server: Fhir) -> None:
    made = house(server.target())
    early, put = reported(made, decision="", reader="")
    assert made.outcome(early) == ("stored", "")
    signed, _ = reported(made)
    assert made.outcome(signed) == ("stored", "")
    late, _ = reported(made, decision="", reader="")  # an earlier one that was held up on its way
    assert made.outcome(late) == ("stored", "fhir-later")
    again, _ = reported(made)
    assert made.outcome(again) == ("stored", "")
    held = server.versions[put[1].name]
    assert len(held) == 2
    assert [each["id"] for each in held[-1]["contained"]][:2] == ["lane", "decision"], "the signed one stands"
    assert {each["status"] for each in held} == {"preliminary"}


def test_without_versions_and_with_a_clash_it_still_ends_well(house: Callable[..., House], server: Fhir) -> None:
    made = house(server.target())
    server.statuses = [412, 503, 409]
    first, put = reported(made, decision="", reader="")
    assert made.outcome(first) == ("stored", "")
    server.etags = False
    second, _ = reported(made)
    assert made.outcome(second) == ("stored", "")
    assert len(server.versions[put[1].name]) == 2


def test_a_refusal_and_a_closed_door(house: Callable[..., House], server: Fhir, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token\n")
    made = house(server.target(token_file=str(tmp_path / "token")))
    server.statuses = [422]
    order, put = reported(made)
    assert made.outcome(order) == ("refused", "fhir-refused")
    assert put[1].name not in server.versions, "no report of a study that was refused"
    assert server.tokens == {"Bearer a-token"}
    server.statuses = [401]
    order, _ = reported(made, decision="correct")
    made.until(lambda: made.service.targets["fhir"].failures >= 1 or made.said_last(order))
    assert made.outcome(order) == ("stored", "")


def test_an_order_of_another_kind_is_never_said_to_be_sent(house: Callable[..., House], ris: Ris, server: Fhir) -> None:
    made = house(ris.target(), server.target(), {"name": "pacs", "kind": "stow", "url": server.url})
    wrong = [
        ordered(made, "pacs", "hl7", message(FILM)), ordered(made, "fhir", "hl7", message(FILM)),
        made.film(1, target="ris")[0],
    ]  # fmt: skip
    assert [made.outcome(each) for each in wrong] == [("refused", "order-invalid")] * 3
    assert ris.heard == server.asked == []


def test_a_text_that_was_changed_on_the_disk_is_not_sent(house: Callable[..., House], ris: Ris) -> None:
    made = house(ris.target())
    order, sent = said(made)
    (made.places.outbox / f"{hashlib.sha256(sent.data).hexdigest()}.msg").write_bytes(sent.data + b"ZZZ|1\r")
    assert made.outcome(order) == ("refused", "payload-damaged")
    assert not ris.heard


def test_over_tls_with_certificates_on_both_sides(house: Callable[..., House], ris: Ris, tmp_path: Path) -> None:
    from appliance.world.dimse.server import server_tls

    keys = certificates(tmp_path)
    context = server_tls(keys["localhost"][1], keys["localhost"][0], keys["authority"][1])
    ris.server.socket = context.wrap_socket(ris.server.socket, server_side=True)
    ours = {
        "tls": True, "host": "localhost", "tls_certificate_file": str(keys["scanner"][1]),
        "tls_key_file": str(keys["scanner"][0]), "authority_file": str(keys["authority"][1]),
    }  # fmt: skip
    made = house(ris.target(**ours))
    order, _ = said(made)
    assert made.outcome(order) == ("stored", "")
    with pytest.raises(Misconfigured):
        house(ris.target(**{**ours, "tls_key_file": str(tmp_path / "gone")})).book.check()


def test_a_receiver_that_is_away_is_waited_for(house: Callable[..., House]) -> None:
    made = house({"name": "ris", "kind": "hl7", "host": "127.0.0.1", "port": free_port()})
    order, _ = said(made)
    made.until(lambda: "ris" in made.service.targets and made.service.targets["ris"].failures >= 2)
    assert made.service.targets["ris"].code == "pacs-away"
    assert order not in made.receipts()
