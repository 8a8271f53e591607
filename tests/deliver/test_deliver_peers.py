"""PACS that answer as a script has it: every kind of refusal, commitments on every way, TLS, and lies."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.sop_class import MRImageStorage, StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from appliance.deliver import orders
from appliance.errors import Misconfigured, Unavailable
from appliance.loop import FAULTS
from appliance.world import targets as standing
from appliance.world.dimse.calling import Peer, call
from appliance.world.web.stow import reason_of
from tests.deliver.conftest import MR, House
from tests.deliver.orthanc import free_port
from tests.tiny import tiny
from tests.world.test_dimse import certificates, until

WELL_KNOWN = "1.2.840.10008.1.20.1.1"


class Pacs:
    """A storage SCP that does as it is told. statuses: of the next objects, the last one of all further ones."""

    def __init__(
        self, tls: ssl.SSLContext | None = None, classes: tuple[str, ...] = (MRImageStorage, Verification)
    ) -> None:
        self.statuses, self.took, self.asked = [0], [], []  # type: ignore[var-annotated]
        self.priorities: list[int] = []
        self.how, self.failing, self.forged = "same", {}, False  # type: ignore[var-annotated]
        self.answers_port = free_port()
        ae = AE(ae_title="PACS")
        for each in classes:
            ae.add_supported_context(each, ExplicitVRLittleEndian)
        if Verification in classes:
            ae.add_supported_context(StorageCommitmentPushModel)
        self.port = free_port()
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._ask), (evt.EVT_ACCEPTED, self._line)]
        self.server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers, ssl_context=tls)
        self.lines = self.silent = 0

    def _line(self, _: Any) -> None:
        self.lines += 1

    def _store(self, event: Any) -> int:
        self.took.append(str(event.request.AffectedSOPInstanceUID))
        self.priorities.append(event.request.Priority)
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def _ask(self, event: Any) -> tuple[int, None]:
        told = event.action_information
        named = [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in told.ReferencedSOPSequence]
        self.asked.append((str(told.TransactionUID), named))
        if len(self.asked) <= self.silent:
            return 0x0000, None
        if self.how == "same":
            threading.Thread(target=self._answer, args=(event.assoc, *self.asked[-1]), daemon=True).start()
        elif self.how == "own":
            threading.Thread(target=self._call, args=self.asked[-1], daemon=True).start()
        return (0x0000 if self.how != "refused" else 0x0122), None

    def _answer(self, line: Any, transaction: str, named: list[tuple[str, str]]) -> None:
        time.sleep(0.05)  # the answer to the question goes first
        told = Dataset()
        told.TransactionUID = "2.25.999" if self.forged else transaction
        told.ReferencedSOPSequence, told.FailedSOPSequence = [], []
        for sop_class, uid in named:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            if uid in self.failing:
                item.FailureReason = self.failing[uid]
            (told.FailedSOPSequence if uid in self.failing else told.ReferencedSOPSequence).append(item)
        for context in line.accepted_contexts:
            context._as_scp = True
        status, _ = line.send_n_event_report(told, 2 if self.failing else 1, StorageCommitmentPushModel, WELL_KNOWN)
        self.heard = status.get("Status")

    def _call(self, transaction: str, named: list[tuple[str, str]]) -> None:
        caller = AE(ae_title="PACS")
        caller.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        line = caller.associate("127.0.0.1", self.answers_port, ae_title="EDGE", ext_neg=[role])
        assert line.is_established
        self._answer(line, transaction, named)
        line.release()

    def target(self, **told: Any) -> dict[str, Any]:
        where = {"host": "127.0.0.1", "port": self.port, "ae_title": "PACS"}
        return {"name": "pacs", "kind": "dimse", **where, **told}


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    made = Pacs()
    yield made
    made.server.shutdown()


@pytest.mark.parametrize(
    ("status", "outcome", "code"),
    [
        (0xA900, "refused", "pacs-refused"),
        (0xC123, "refused", "pacs-refused"),
        (0x0122, "refused", "pacs-class"),
        (0xB000, "stored", "pacs-warning"),
    ],
)
def test_what_is_final_is_told_at_once(
    house: Callable[..., House], pacs: Pacs, status: int, outcome: str, code: str
) -> None:
    made = house(pacs.target())
    pacs.statuses = [status]
    order, _ = made.film(1)
    assert made.outcome(order) == (outcome, code)
    assert made.receipts()[order]["status"] == status
    assert len(pacs.took) == 1


def test_a_full_pacs_is_asked_again_until_it_takes(house: Callable[..., House], pacs: Pacs) -> None:
    made = house(pacs.target())
    pacs.statuses = [0xA700, 0xA702, 0x0110, 0]
    order, uid = made.film(1)
    assert made.outcome(order) == ("stored", "")
    assert pacs.took == [uid] * 4
    assert made.receipts()[order]["attempts"] == 4


def test_one_bad_order_holds_up_no_other_and_many_go_on_one_association(
    house: Callable[..., House], pacs: Pacs
) -> None:
    made = house(pacs.target(), retry_s=3600.0, retry_max_s=3600.0)
    bad, _ = made.film(1, priority="critical")
    pacs.statuses = [0xA700, 0]
    orders = [made.film(number)[0] for number in range(2, 22)]
    assert {made.outcome(order) for order in orders} == {("stored", "")}
    assert pacs.lines == 1
    assert bad not in made.receipts()
    assert pacs.priorities[0] == 1, "a critical one is sent as such"
    assert set(pacs.priorities[1:]) == {0}


def test_the_most_pressing_goes_first(house: Callable[..., House], pacs: Pacs) -> None:
    made = house(pacs.target())
    told = [("routine", 3), ("urgent", 2), ("critical", 1), ("routine", 4)]
    uids = {number: made.film(number, priority=priority)[1] for priority, number in told}
    made.until(lambda: len(made.receipts()) == 4)
    assert pacs.took[:2] == [uids[1], uids[2]]


@pytest.mark.parametrize("damage", ["gone", "changed", "another"])
def test_what_is_not_what_was_ordered_is_not_sent(house: Callable[..., House], pacs: Pacs, damage: str) -> None:
    made = house(pacs.target())
    order, _ = made.film(1)
    (payload,) = made.places.outbox.glob("*.dcm")
    if damage == "gone":
        payload.unlink()
    elif damage == "changed":
        payload.write_bytes(payload.read_bytes()[:-1] + b"\0")
    else:
        (made.places.outbox / f"{order}.json").unlink()
        order = made.put(tiny("1.2.3", 1, "P", "MR", 1), "1.2.3.7.99")  # its header says another UID
    assert made.outcome(order) == ("refused", "payload-damaged")
    assert not pacs.took


def test_an_order_nobody_can_read_is_answered_and_a_stranger_s_file_is_left_alone(
    house: Callable[..., House], pacs: Pacs
) -> None:
    made = house(pacs.target())
    for name, data in (("a" * 32, b"{"), ("b" * 32, b""), ("c" * 32, json.dumps({"id": "c" * 32}).encode())):
        (made.places.outbox / f"{name}.json").write_bytes(data)
    (made.places.outbox / "notes.json").write_bytes(b"{}")
    good, _ = made.film(1)
    (made.places.outbox / f"{'d' * 32}.json").write_bytes((made.places.outbox / f"{good}.json").read_bytes())
    assert made.outcome(good) == ("stored", "")
    for name in "abcd":
        assert made.outcome(name * 32) == ("refused", "order-invalid")
    assert (made.places.outbox / "notes.json").exists()


def test_a_class_the_pacs_never_heard_of(house: Callable[..., House]) -> None:
    other = Pacs(classes=("1.2.840.10008.5.1.4.1.1.2", Verification))
    made = house(other.target())
    order, _ = made.film(1)
    assert made.outcome(order) == ("refused", "pacs-class")
    other.server.shutdown()


def test_a_pacs_that_takes_nothing_at_all_is_no_fault_of_an_order(house: Callable[..., House]) -> None:
    other = Pacs(classes=("1.2.840.10008.5.1.4.1.1.2",))
    made = house(other.target())
    made.film(1)
    made.until(lambda: "pacs" in made.service.targets and made.service.targets["pacs"].code == "pacs-rejected")
    assert not made.receipts()
    other.server.shutdown()


@pytest.mark.parametrize("way", ["same", "own"])
def test_a_commitment_is_answered_on_either_way(house: Callable[..., House], pacs: Pacs, way: str) -> None:
    made = house(pacs.target(), port=pacs.answers_port, commit_wait_s=5.0 if way == "same" else 0.0)
    pacs.how = way
    asked = [made.film(number, commit=True) for number in (1, 2)]
    assert [made.outcome(order) for order, _ in asked] == [("committed", "")] * 2
    assert len(pacs.asked) == 1, "one question for all"
    assert len(pacs.asked[0][1]) == 2
    until(lambda: hasattr(pacs, "heard"))
    assert pacs.heard == 0


def test_a_line_is_not_released_before_the_report_is_answered(
    house: Callable[..., House], pacs: Pacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our answer is slow on its way, and whoever waited for the report would go: the PACS hears it all the same."""
    real = DIMSEServiceProvider.send_msg

    def slow(self: DIMSEServiceProvider, primitive: Any, context_id: int) -> None:
        if isinstance(primitive, N_EVENT_REPORT) and primitive.MessageIDBeingRespondedTo is not None:
            time.sleep(0.4)
        real(self, primitive, context_id)

    monkeypatch.setattr(DIMSEServiceProvider, "send_msg", slow)
    made = house(pacs.target(), port=pacs.answers_port, commit_wait_s=5.0)
    order, _ = made.film(1, commit=True)
    assert made.outcome(order) == ("committed", "")
    until(lambda: hasattr(pacs, "heard"))
    assert pacs.heard == 0


def test_a_pacs_that_lost_what_it_took_gets_it_again(house: Callable[..., House], pacs: Pacs) -> None:
    made = house(pacs.target())
    order, uid = made.film(1, commit=True)
    pacs.failing[uid] = 0x0112
    made.until(lambda: len(pacs.took) >= 2)
    pacs.failing.clear()
    assert made.outcome(order) == ("committed", "")


def test_a_pacs_that_will_not_keep_it_is_a_person_s(house: Callable[..., House], pacs: Pacs) -> None:
    made = house(pacs.target())
    order, uid = made.film(1, commit=True)
    kept, _ = made.film(2, commit=True)
    pacs.failing[uid] = 0x0122
    assert made.outcome(order) == ("refused", "commit-refused")
    assert made.outcome(kept) == ("committed", "")


def test_a_question_sends_nothing_and_waits_until_the_pacs_has_it(house: Callable[..., House], pacs: Pacs) -> None:
    """Originals that the scanner sends there itself: forgetting ours waits for its word."""
    made = house(pacs.target())
    pacs.failing["1.2.3"] = 0x0112  # it does not have it yet
    order = made.order("pacs", kind="commit-ask", commit=True, committed=[(MR, "1.2.3"), (MR, "1.2.4")])
    made.until(lambda: len(pacs.asked) >= 2)
    assert order not in made.receipts()
    pacs.failing.clear()
    assert made.outcome(order) == ("committed", "")
    assert pacs.took == []


def test_a_commitment_that_is_not_answered_is_asked_for_again_without_sending_again(
    house: Callable[..., House], pacs: Pacs
) -> None:
    made = house(pacs.target(), port=pacs.answers_port, commit_wait_s=0.0, commit_answer_s=0.3)
    pacs.how, pacs.silent = "own", 2
    order, uid = made.film(1, commit=True)
    assert made.outcome(order) == ("committed", "")
    assert len(pacs.asked) >= 3
    assert pacs.took == [uid], "it was taken the first time"
    assert len({transaction for transaction, _ in pacs.asked}) == len(pacs.asked)


def test_after_a_start_only_the_commitment_is_asked_for(house: Callable[..., House], pacs: Pacs) -> None:
    made = house(pacs.target(), commit_wait_s=0.0)
    pacs.how = "never"
    order, uid = made.film(1, commit=True)
    made.until(lambda: order in made.receipts())
    assert made.receipts()[order]["outcome"] == "stored", "said as soon as it was taken"
    made.until(made.idle)
    pacs.how = "same"
    made.config = made.config.model_copy(
        update={"deliver": made.config.deliver.model_copy(update={"commit_wait_s": 5.0})}
    )
    made.start()
    assert made.outcome(order) == ("committed", "")
    assert pacs.took == [uid]
    made.start()
    made.turn()
    assert not made.service.orders.waiting, "the last word was said"


def test_a_pacs_that_cannot_be_asked_leaves_it_stored_and_says_so(house: Callable[..., House], pacs: Pacs) -> None:
    made = house(pacs.target())
    pacs.how = "refused"
    order, _ = made.film(1, commit=True)
    assert made.outcome(order) == ("stored", "commit-unsupported")


def test_an_answer_to_what_nobody_asked_commits_nothing(house: Callable[..., House], pacs: Pacs) -> None:
    made = house(pacs.target(), commit_wait_s=0.5)
    pacs.forged = True
    order, _ = made.film(1, commit=True)
    made.until(lambda: getattr(pacs, "heard", None) is not None)
    assert pacs.heard == 0x0110
    assert made.receipts()[order]["outcome"] == "stored"
    assert not made.said_last(order)


def test_strangers_are_not_heard(house: Callable[..., House], pacs: Pacs) -> None:
    made = house(pacs.target(), port=pacs.answers_port)
    made.until(lambda: made.service.listener is not None)
    before = FAULTS["dimse-stranger"]
    for title, called in (("NOBODY", "EDGE"), ("PACS", "OTHER")):
        caller = AE(ae_title=title)
        caller.add_requested_context(StorageCommitmentPushModel)
        assert not caller.associate("127.0.0.1", pacs.answers_port, ae_title=called).is_established
    assert FAULTS["dimse-stranger"] == before + 2
    caller = AE(ae_title="PACS")
    caller.add_requested_context(MR, ExplicitVRLittleEndian)
    line = caller.associate("127.0.0.1", pacs.answers_port, ae_title="EDGE")
    assert not line.accepted_contexts, "no object is taken here"
    line.abort()


def test_a_thousand_orders_for_a_dead_target_hold_up_nobody(
    house: Callable[..., House], pacs: Pacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "READ_A_LOOK_MAX", 400)
    made = house(pacs.target(), {**pacs.target(), "name": "dead", "port": free_port()})
    (first, _), many = made.film(1, target="dead"), 1000
    told = json.loads((made.places.outbox / f"{first}.json").read_bytes())
    for number in range(many):
        told["id"] = f"{number:032x}"
        (made.places.outbox / f"{told['id']}.json").write_text(json.dumps(told))
    order, _ = made.film(2)
    assert made.outcome(order) == ("stored", "")
    made.until(lambda: len(made.service.orders.waiting) == many + 1)
    assert set(made.receipts()) == {order}


def test_an_unknown_target_waits_and_is_named(house: Callable[..., House], pacs: Pacs) -> None:
    made = house(pacs.target())
    lost, _ = made.film(1, target="elsewhere")
    order, _ = made.film(2)
    assert made.outcome(order) == ("stored", "")
    made.turn()
    (away,) = standing.away(made.places.receipts)
    assert (away.name, away.code, away.since) == ("elsewhere", "target-unknown", None)
    assert standing.waiting(made.places.outbox)[0] == 2
    assert lost not in made.receipts()


def test_under_tls_only_the_right_pacs_gets_anything(house: Callable[..., House], tmp_path: Path) -> None:
    keys = certificates(tmp_path)

    def context(owner: str) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(keys[owner][1], keys[owner][0])
        made.load_verify_locations(keys["authority"][1])
        made.verify_mode = ssl.CERT_REQUIRED
        return made

    right, wrong = Pacs(context("localhost")), Pacs(context("stranger"))
    files = {
        "tls": True,
        "tls_certificate_file": str(keys["ours"][1]),
        "tls_key_file": str(keys["ours"][0]),
        "authority_file": str(keys["authority"][1]),
        "host": "localhost",
    }
    made = house(right.target(**files), {**wrong.target(**files), "name": "wrong"})
    order, _ = made.film(1)
    lost, _ = made.film(2, target="wrong")
    assert made.outcome(order) == ("stored", "")
    made.until(lambda: made.service.targets["wrong"].failures >= 2)
    assert lost not in made.receipts()
    assert not wrong.took
    for each in (right, wrong):
        each.server.shutdown()
    with pytest.raises(Misconfigured, match="pacs-tls"):
        house(right.target(**{**files, "tls_key_file": str(keys["stranger"][0])})).book.check()
    made.service.targets.clear()


def test_a_full_disk_loses_no_answer(house: Callable[..., House], pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    from appliance.world import archive

    made = house(pacs.target())
    order, uid = made.film(1)
    put, full = archive.put, [3]

    def sometimes(path: Path, data: bytes) -> None:
        if path.suffix == ".json" and full[0]:
            full[0] -= 1
            raise Unavailable("disk-low")
        put(path, data)

    monkeypatch.setattr(archive, "put", sometimes)
    turn = made.turn

    def turns() -> None:
        with suppress(Unavailable):
            turn()

    monkeypatch.setattr(made, "turn", turns)
    assert made.outcome(order) == ("stored", "")
    assert set(pacs.took) == {uid}


# STOW-RS


class Web:
    """A store that answers every request with what it is told."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = [(200, b"{}")]
        self.heard: list[tuple[str, int]] = []
        mine = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                data = self.rfile.read(length)
                mine.heard.append((self.headers.get("Authorization", ""), data.count(b"DICM")))
                status, body = mine.answers.pop(0) if len(mine.answers) > 1 else mine.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Location", "http://127.0.0.1:9/studies")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def target(self, **told: Any) -> dict[str, Any]:
        return {"name": "web", "kind": "stow", "url": f"http://127.0.0.1:{self.server.server_port}/dicom", **told}


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    yield made
    made.server.shutdown()
    made.server.server_close()


def failed(reason: int) -> bytes:
    item = {"00081197": {"vr": "US", "Value": [reason]}}
    return json.dumps({"00081198": {"vr": "SQ", "Value": [item]}}).encode()


def test_a_store_is_tried_again_for_as_long_as_time_mends_it(
    house: Callable[..., House], web: Web, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("abc.def\n")
    made = house(web.target(token_file=str(tmp_path / "token")))
    web.answers = [(503, b""), (429, b""), (409, failed(0xA700)), (302, b""), (401, b""), (200, b"{}")]
    order, _ = made.film(1, target="web")
    assert made.outcome(order) == ("stored", "")
    assert web.heard == [("Bearer abc.def", 1)] * 6


def test_a_store_s_refusal_is_final(house: Callable[..., House], web: Web) -> None:
    made = house(web.target())
    web.answers = [(409, failed(0xC122)), (415, b"no")]
    refused, _ = made.film(1, target="web")
    assert made.outcome(refused) == ("refused", "pacs-refused")
    assert made.receipts()[refused]["status"] == 0xC122
    other, _ = made.film(2, target="web")
    assert made.outcome(other) == ("refused", "pacs-refused")
    assert made.receipts()[other]["status"] == 415


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (failed(0xA700), 0xA700),
        (b"[" + failed(0xA700) + b"]", 0xA700),
        (json.dumps({"00081198": {"Value": [{}]}}).encode(), 0x0110),
        (json.dumps({"00081199": {"Value": [{"00081196": {"Value": [0xB000]}}]}}).encode(), 0xB000),
        (json.dumps({"00081199": {"Value": [{}]}}).encode(), None),
        (b"", None),
        (b"\xff", None),
        (b"[1, null]", None),
        (b'{"00081198": []}', None),
        (b'{"00081198": {"Value": "x"}}', None),
    ],
)
def test_an_answer_s_reason_is_read_whatever_it_is(said: bytes, reason: int | None) -> None:
    assert reason_of(said) == reason


def test_a_token_that_is_not_there_is_said_at_the_start(house: Callable[..., House], web: Web, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="pacs-credential"):
        house(web.target(token_file=str(tmp_path / "nothing"))).book.check()


def test_a_line_that_ended_under_our_hands_is_said_and_not_waited_for(pacs: Pacs, tmp_path: Path) -> None:
    """pynetdicom waits for its reader to pause before it sends; a reader that has just ended never does."""
    path = tmp_path / "one.dcm"
    path.write_bytes(tiny("1.2.3", 1, "P", "MR", 1))
    peer = Peer("127.0.0.1", pacs.port, "PACS", "EDGE", 2.0, 0.5)
    with call(peer, [(MR, ExplicitVRLittleEndian)]) as line:
        pacs.server.ae.active_associations[0].abort()
        until(lambda: not line._association.is_alive())
        line._association._is_paused = False
        line._association.is_established = True  # as both still read in the moment between
        with pytest.raises(Unavailable, match="pacs-away"):
            line.store(path, (MR, "1.2.3.7.1"), ExplicitVRLittleEndian, "routine")


def test_a_scanner_that_speaks_tls_is_answered_under_tls(house: Callable[..., House], tmp_path: Path) -> None:
    keys = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys["scanner"][1], keys["scanner"][0])
    context.load_verify_locations(keys["authority"][1])
    context.verify_mode = ssl.CERT_REQUIRED
    heard: list[Dataset] = []

    def hear(event: Any) -> tuple[int, None]:
        heard.append(event.event_information)
        return (0x0000 if len(heard) > 1 else 0x0110), None

    scanner, port = AE(ae_title="CT_1"), free_port()
    scanner.add_supported_context(StorageCommitmentPushModel)  # it answers nothing about roles
    handlers = [(evt.EVT_N_EVENT_REPORT, hear)]
    server = scanner.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers, ssl_context=context)
    made = house(
        dimse={
            "peers": ["CT_1@127.0.0.1"],
            "commit_peers": [f"CT_1@127.0.0.1:{port}"],
            "tls": "mutual",
            "tls_certificate_file": str(keys["ours"][1]),
            "tls_key_file": str(keys["ours"][0]),
            "tls_authority_file": str(keys["authority"][1]),
        }
    )
    told = {"kind": "commit-reply", "payloads": [], "transaction_uid": "2.25.4", "peer_ae_title": "CT_1"}
    order = made.order("commit-reply", committed=[(MR, "1.2.3")], failed=[(MR, "1.2.4", 0x0112)], **told)
    assert made.outcome(order) == ("replied", "")
    server.shutdown()
    assert [each.TransactionUID for each in heard] == ["2.25.4"] * 2, "it could not take it the first time"
    assert heard[1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3"
    assert heard[1].FailedSOPSequence[0].FailureReason == 0x0112
