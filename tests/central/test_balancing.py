"""`central balance` on a real store and repository: published when it must be, given back, never over a person's."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from centre_samples import a_case, case_number
from sqlalchemy import Engine

from appliance.core.document import decode, encode
from appliance.core.messages import Status, Waiting
from appliance.core.policy import Policy, mark_of
from appliance.core.updates import TARGETS_MAX
from appliance.errors import Unavailable
from appliance.world.updates import mirror
from central import balancing, store
from central.balance import RUNGS, Limits, Standing
from central.cli import EX_CONFIG, main
from central.fleet import looked
from central.publish import balancing as shelf_room
from central.store import lives, loading
from tests.publisher import Publisher

QUICK = ("--hold-s", "0.001", "--patience-s", "0.001", "--wait-high-s", "30", "--wait-low-s", "3")


class Centre:
    """A store with as many cases waiting as one likes, and a repository beside it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state, self.publisher = root / "centre", Publisher(root / "publisher")
        self.engine = store.open_store(self.state)
        self.filed, self.root = 0, root
        self.at = time.time()
        monkeypatch.setattr(balancing.time, "time", lambda: self.at)

    def cases(self, count: int, answered: int = 0) -> None:
        """So many more cases came and so many of those that wait were answered, a moment ago."""
        with store.transaction(self.engine) as c:
            for _ in range(count):
                self.filed += 1
                told = {"transfer_id": case_number(self.filed), "sha256": "0" * 64, "tier": 1, "code": ""}
                body = encode(a_case(self.filed))
                store.file_case(
                    c, "edge-a", case_number(self.filed), body=body, at=self.at, urgency="routine", **told
                )  # fmt: skip
            for number in range(answered):
                row = store.claim_case(c, "worker", self.at)
                assert row is not None, number
                store.file_verdict(
                    c, row.id, rev=1, request_hash="0" * 64, status="ok", body=b"{}", letter=None, at=self.at
                )

    def says(self, name: str, waiting: int, oldest_s: int) -> None:
        status = Status(
            number=int(self.at * 1000),
            life="a" * 32,
            said_at=int(self.at),
            product="edge-diagnostic-appliance/0.2.0",
            waiting=Waiting(critical=0, urgent=0, routine=waiting),
            oldest_s=oldest_s,
            free_bytes=1,
        )
        with store.transaction(self.engine) as c:
            store.heard_of(c, {name}, self.at)
            assert lives.file_status(c, name, "c" * 32, status, self.at)

    def command(self, *more: str, published: bool = True) -> list[str]:
        where = ["--repository", str(self.publisher.folder), "--publish-keys", str(self.publisher.keys)]
        return ["balance", "--state", str(self.state), *(where if published else []), *QUICK, *more]

    def look(self, capsys: pytest.CaptureFixture[str], *more: str, published: bool = True) -> dict[str, Any]:
        self.at += 1
        assert main(self.command("--once", "--json", *more, published=published)) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    def in_force(self) -> Policy | None:
        """The policy that an appliance takes in: verified from the root, not withdrawn, of the highest number."""
        seen = mirror.verified(self.publisher.folder, self.publisher.root, self.root / f"memory-{self.at}")
        found = []
        for offer in seen.offers:
            data = mirror.read_target(self.publisher.folder, offer)
            if offer.kind == "policy" and offer.terms is not None and not offer.terms.withdrawn:
                assert data is not None
                found.append(decode(Policy, data))
        return max(found, key=lambda each: each.number, default=None)


@pytest.fixture
def centre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Centre(tmp_path, monkeypatch)
    yield made
    made.engine.dispose()


def test_a_quiet_centre_publishes_nothing(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    assert centre.look(capsys)["state"] == "in force"
    assert centre.in_force() is None


def test_a_long_queue_takes_pictures_away_and_they_come_back(
    centre: Centre, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole road: queue, decision, signed policy, and back to nothing taken away."""
    centre.cases(120, answered=20)  # 100 wait, 20 in 300 s: 1500 s
    found = centre.look(capsys, "--first", "CT")
    assert (found["rung"], found["waiting"], found["state"]) == (1, 100, "published")
    policy = centre.in_force()
    assert policy is not None
    assert (policy.key_images, policy.full_series, policy.first) == (RUNGS[1].key_images, "never", ("CT",))
    for _ in range(5):
        found = centre.look(capsys, "--first", "CT")
    policy = centre.in_force()
    assert policy is not None
    assert (found["rung"], policy.key_images, policy.pictures_from) == (3, 1, "urgent")
    centre.cases(0, answered=100)
    for _ in range(10):
        found = centre.look(capsys, "--first", "CT")
    assert (found["rung"], found["why"]) == (0, ["calm"])
    policy = centre.in_force()
    assert policy is not None
    assert policy.model_copy(update={"number": 1}) == Policy(number=1, schema_version="policy/1"), "nothing is moved"
    assert policy.number >= 4


def test_a_second_look_finds_it_done_and_a_lost_one_is_completed(
    centre: Centre, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    centre.cases(120, answered=20)
    slow = ("--hold-s", "1e6")
    with monkeypatch.context() as patched:
        patched.setattr(shelf_room, "put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            main(centre.command("--once", *slow))
    assert centre.in_force() is None, "decided, and ended before it was published"
    assert (centre.look(capsys, *slow)["state"], centre.look(capsys, *slow)["state"]) == ("published", "in force")


def test_a_dry_run_writes_nothing(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    centre.cases(120, answered=20)
    assert centre.look(capsys, "--dry-run")["state"] == "would be published"
    assert centre.in_force() is None
    with store.transaction(centre.engine) as c:
        assert loading.balanced(c) is None


def test_what_a_person_published_is_the_base_and_comes_back_whole(
    centre: Centre, capsys: pytest.CaptureFixture[str]
) -> None:
    centre.publisher.policy(7, key_images=2, drafts=0.5, first=("MG",))
    centre.cases(120, answered=20)
    centre.look(capsys, "--first", "CT")
    policy = centre.in_force()
    assert policy is not None
    assert (policy.number, policy.key_images, policy.drafts, policy.first) == (8, 2, 0.5, ("MG",))
    assert policy.full_series == "never"
    centre.publisher.policy(9, key_images=0)
    centre.look(capsys, "--hold-s", "1e6")
    policy = centre.in_force()
    assert policy is not None
    assert (policy.number, policy.key_images, policy.full_series) == (10, 0, "never"), "a person's newer one, less ours"
    assert main(centre.command("--off")) == 0
    assert capsys.readouterr().out.startswith("2 policies withdrawn")
    policy = centre.in_force()
    assert policy is not None
    assert (policy.number, policy.full_series) == (9, "on-request")


def test_a_person_s_policy_on_its_way_through_the_rings_is_left_alone(
    centre: Centre, capsys: pytest.CaptureFixture[str]
) -> None:
    centre.publisher.add("policy", "7.json", encode(Policy(number=7, key_images=5)), "lab", title="policy-7")
    centre.cases(120, answered=20)
    found = centre.look(capsys)
    assert found["rung"] == 1
    assert "left alone" in found["state"]
    centre.publisher.change("policy-7", ring="all")
    assert centre.look(capsys, "--hold-s", "1e6")["state"] == "published"
    policy = centre.in_force()
    assert policy is not None
    assert (policy.number, policy.key_images) == (8, 3)


def test_a_thin_line_is_named_by_its_mark_alone(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        centre.says("far-away", 40, 3000 + number)
        centre.says("near", 0, 0)
        found = centre.look(capsys)
    assert found["thin"] == ["far-away"]
    policy = centre.in_force()
    assert policy is not None
    assert policy.thin is not None
    assert policy.thin.lines == (mark_of("far-away"),)
    assert policy.key_images == 6, "nobody else has fewer pictures"
    shown = looked(centre.engine, None)
    assert {each["device"] for each in shown["devices"] if "line-thin" in each["found"]} == {"far-away"}
    assert shown["balance"]["thin"] == 1


def test_months_of_moves_leave_a_short_list(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(1, 31):
        shelf_room.put(centre.publisher.made(), Policy(number=number, key_images=number % 3), "all")
    found = [terms.withdrawn for _, terms in shelf_room._policies(centre.publisher.made())]
    assert len(found) == shelf_room.REMEMBERED < TARGETS_MAX
    assert found.count(False) == shelf_room.KEPT
    assert len(list((centre.publisher.folder / "metadata").glob("*.policy.json"))) == shelf_room.VERSIONS_KEPT
    policy = centre.in_force()
    assert policy is not None
    assert policy.number == 30


def test_two_of_it_do_not_take_turns(centre: Centre) -> None:
    body = encode(Standing(patience=Limits().patience_s))
    with store.transaction(centre.engine) as c:
        assert loading.look(c, 1, body, 1.0)
        assert not loading.look(c, 1, body, 1.0)
        assert loading.look(c, 2, body, 2.0)
        assert not loading.look(c, 2, body, 2.0)


def test_where_the_key_is_elsewhere_a_file_is_written(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    out = centre.root / "policy.json"
    centre.cases(120, answered=20)
    assert centre.look(capsys, "--out", str(out), published=False)["state"] == "written to policy.json"
    assert decode(Policy, out.read_bytes()).key_images == 3


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--wait-low-s", "40"], "balance-limits"),
        (["--first", "Mueller"], "balance-limits"),
        (["--repository", "/nowhere"], "publish-repository"),
        (["--state", "/nowhere"], "state-folder"),
    ],
)
def test_what_cannot_be_is_said(centre: Centre, more: list[str], code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(centre.command("--once", *more)) == EX_CONFIG
    assert code in capsys.readouterr().err


def test_without_a_place_to_publish_it_is_said(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(centre.command("--once", published=False)) == EX_CONFIG
    assert "balance-where" in capsys.readouterr().err


def test_without_the_key_of_policy_nothing_is_published(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    """A captured key of another role cannot do it either: `models` may name no policy."""
    centre.cases(120, answered=20)
    (centre.publisher.keys / "policy.key").unlink()
    assert main(centre.command("--once")) == EX_CONFIG
    assert "publish-key" in capsys.readouterr().err
    assert centre.in_force() is None


def a_store(engine: Engine) -> None:
    with store.transaction(engine) as c:
        store.METADATA.tables["balances"].drop(c)


def test_a_store_of_before_is_waited_for(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    told = centre.command("--once")
    a_store(centre.engine)
    assert main(told) == 0, "the table is made when the store is opened"
    a_store(centre.engine)
    with pytest.raises(Unavailable):
        looked(centre.engine, None)
