"""Who sits in the court: activation whole or not at all, stops at once and for good, nothing by a forger."""

import itertools
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

from appliance.config import Config, Places
from appliance.core.certificate import own_digest, signed
from appliance.core.command import AGE_MAX_S, signed_command
from appliance.core.document import encode
from appliance.core.roles import Order
from appliance.loop import Moment
from appliance.triage import judge
from appliance.triage.lineup import LOOK_PERIOD_S, ORDERS_A_STEP, TEST_AGAIN_S, TEST_PERIOD_S, Lineup
from appliance.world import desk, ledger, sqlite, wire
from appliance.world.ledger import roles as book
from appliance.world.models import load_packages
from appliance.world.models.making import install, install_certificate, sign_package
from tests.core.drawn_graphs import net
from tests.core.test_decide import a_certificate
from tests.triage.conftest import Bench
from tests.world.drawn_packages import KEYS, SECRET, trust, write

NOW = 1_000_000.0
NONCES = (f"{number:032x}" for number in itertools.count())


class House:
    """A state folder with two shipped packages, and its lineup, started and ended by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = Places(root / "state")
        self.places.phi.mkdir(parents=True)
        self.places.wire.mkdir()
        self.places.review.mkdir()
        write(root / "shipped", "chest", "1.0.0", graphs={"model.onnx": net()})
        write(root / "shipped", "head", "0.1.0", graphs={"model.onnx": net(gain=2.0)})
        knobs = {"model_folder": root / "shipped", "trusted_keys": trust(root / "trusted")}
        self.config = Config.model_validate({"triage": knobs})
        self.engine = sqlite.open_writer(self.places.studies_db, ledger.METADATA)
        self.desk = sqlite.open_writer(self.places.review_db, desk.METADATA)
        self.link = sqlite.open_writer(self.places.link_db, wire.LINK)
        self.now = NOW
        self.lineup = Lineup(self.config, self.places, self.engine)

    def close(self) -> None:
        self.lineup.close()
        for engine in (self.engine, self.desk, self.link):
            engine.dispose()

    def restart(self) -> None:
        self.lineup.close()
        self.lineup = Lineup(self.config, self.places, self.engine)

    def order(self, kind: Any, subject: str, share: float = 1.0) -> None:
        with self.desk.begin() as c:
            desk.order(c, Order(kind, subject, share), nonce=next(NONCES), user="reader", at=self.now)

    def send(self, kind: Any, subject: str, share: float = 1.0, **told: Any) -> bytes:
        """What uplink would file; the bytes, to be sent again."""
        told = {"device": "*", "issued_at": int(self.now), "nonce": next(NONCES), "private": SECRET, **told}
        command = signed_command(Order(kind, subject, share), **told)
        with self.link.begin() as c:
            wire.record_command(c, command, self.now)
        return encode(command)

    def step(self) -> None:
        while self.lineup.orders(Moment(self.now, self.now)):
            pass

    @property
    def deciding(self) -> list[str]:
        return [model.manifest.title for model in self.lineup.court.models]

    @property
    def shadows(self) -> list[str]:
        return [model.manifest.title for model in self.lineup.court.shadows]

    @property
    def stopped(self) -> set[str]:
        with self.engine.begin() as c:
            return set(self.lineup.stopped(c, Moment(self.now, self.now)))

    def outcomes(self) -> list[str]:
        with self.engine.connect() as c:
            return [row.outcome for row in reversed(book.history(c))]

    def install(self, version: str, gain: float = 3.0) -> None:
        made = write(self.root / f"made-{version}", "chest", version, graphs={"model.onnx": net(gain=gain)})
        install(made, self.places.models, KEYS)


@pytest.fixture
def house(tmp_path: Path):
    made = House(tmp_path)
    yield made
    made.close()


def test_the_shipped_packages_decide(house: House):
    assert house.deciding == ["chest/1.0.0", "head/0.1.0"]
    assert house.shadows == []
    assert house.stopped == set()


def test_an_installed_package_is_activated_and_rolled_back(house: House):
    heard = []
    house.lineup.on_change = lambda court: heard.append([model.manifest.title for model in court.models])
    house.install("1.1.0")
    house.restart()
    assert house.deciding == ["chest/1.0.0", "head/0.1.0"]
    house.lineup.on_change = lambda court: heard.append([model.manifest.title for model in court.models])
    house.order("model-activate", "chest/1.1.0")
    house.step()
    assert house.deciding == ["chest/1.1.0", "head/0.1.0"]
    assert heard == [["chest/1.1.0", "head/0.1.0"]]
    house.restart()
    assert house.deciding == ["chest/1.1.0", "head/0.1.0"]
    house.order("model-rollback", "chest")
    house.step()
    assert house.deciding == ["chest/1.0.0", "head/0.1.0"]


def test_a_package_installed_while_triage_runs_is_found_when_it_is_activated(house: House):
    house.install("1.1.0")
    house.order("model-activate", "chest/1.1.0")
    house.step()
    assert house.deciding == ["chest/1.1.0", "head/0.1.0"]
    assert house.lineup.bench.run("chest/1.1.0", 1, house.lineup.packages["chest/1.1.0"].golden.films[0]) != {}


def test_a_shadow_runs_beside(house: House):
    house.install("1.1.0")
    house.order("model-shadow", "chest/1.1.0", 0.25)
    house.step()
    assert house.deciding == ["chest/1.0.0", "head/0.1.0"]
    assert house.shadows == ["chest/1.1.0"]
    assert house.lineup.court.shares == {"chest/1.1.0": 0.25}


def test_an_unsound_package_is_not_activated(house: House):
    house.install("1.1.0")
    graph = house.places.models / "chest/1.1.0/model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    house.order("model-activate", "chest/1.1.0")
    house.step()
    assert house.deciding == ["chest/1.0.0", "head/0.1.0"]
    assert house.outcomes() == ["unknown"]


def test_a_package_that_fails_its_golden_films_is_not_activated(house: House):
    made = write(house.root / "wrong", "chest", "1.1.0", graphs={"model.onnx": net()})
    other = write(house.root / "other", "chest", "1.2.0", graphs={"model.onnx": net(gain=5.0)})
    (made / "model.onnx").write_bytes((other / "model.onnx").read_bytes())
    sign_package(made, SECRET)
    install(made, house.places.models, KEYS)
    house.order("model-activate", "chest/1.1.0")
    house.step()
    assert house.deciding == ["chest/1.0.0", "head/0.1.0"]
    assert house.outcomes() == ["unknown"]


# The kill switch


def test_a_stop_counts_before_it_is_taken_over_and_after_every_restart(house: House):
    house.order("model-stop", "chest")
    assert house.stopped == {"chest"}
    house.step()
    assert house.stopped == {"chest"}
    house.restart()
    assert house.stopped == {"chest"}
    house.order("model-resume", "chest")
    assert house.stopped == {"chest"}
    house.step()
    assert house.stopped == set()
    house.restart()
    assert house.stopped == set()


def test_a_signed_stop_counts_before_it_is_taken_over(house: House):
    house.send("model-stop", "head/0.1.0")
    assert house.stopped == {"head/0.1.0"}
    house.step()
    house.restart()
    assert house.stopped == {"head/0.1.0"}


def test_a_fixed_court_can_be_stopped_too(house: House):
    fixed = Lineup(house.config, house.places, house.engine, house.lineup.court)
    house.order("model-stop", "chest/1.0.0")
    with house.engine.begin() as c:
        assert fixed.stopped(c, Moment(NOW, NOW)) == {"chest/1.0.0"}
    fixed.close()


# What the wire says


def test_a_forger_changes_nothing_and_leaves_no_row(house: House):
    house.send("model-stop", "chest", private=bytes(32))
    house.send("model-activate", "head/0.1.0", private=bytes(32))
    assert house.stopped == set()
    house.step()
    assert (house.stopped, house.outcomes()) == (set(), [])


def test_another_appliance_s_order_is_not_ours(house: House):
    house.send("model-stop", "chest", device="appliance-2")
    house.step()
    assert (house.stopped, house.outcomes()) == (set(), ["other-device"])


def test_an_order_is_obeyed_once_though_it_comes_again(house: House):
    body = house.send("model-stop", "chest")
    house.step()
    house.now += 60
    house.send("model-resume", "chest")
    house.step()
    assert house.stopped == set()
    with house.link.begin() as c:  # a captured uplink plays the old message again, under a new number
        c.execute(wire.commands.delete())
        c.execute(wire.commands.insert().values(id=99, nonce="f" * 32, body=body.decode(), received_at=house.now))
    house.restart()
    assert house.stopped == set()
    house.step()
    assert house.stopped == set()
    assert house.outcomes() == ["done", "done"]


def test_an_order_held_back_until_a_newer_one_was_obeyed_is_stale(house: House):
    held = {"issued_at": int(NOW), "nonce": next(NONCES)}
    house.now += 60
    house.send("model-stop", "chest")
    house.step()
    house.send("model-resume", "chest", **held)
    house.step()
    assert house.stopped == {"chest"}
    assert house.outcomes() == ["done", "stale"]


def test_a_stop_is_never_outrun_by_another_order(house: House):
    """Two senders, two clocks: what the one ordered a minute "later" must not undo the other's kill switch."""
    house.send("model-shadow", "chest/1.0.0", share=0.5, issued_at=int(NOW) + 60)
    house.step()
    house.send("model-stop", "chest", issued_at=int(NOW))
    house.step()
    assert house.stopped == {"chest"}


def test_a_resume_held_back_on_the_wire_does_not_undo_a_stop_of_this_house(house: House):
    held = {"issued_at": int(NOW), "nonce": next(NONCES)}
    house.now += 60
    house.order("model-stop", "chest")
    house.step()
    house.now += 60
    house.send("model-resume", "chest", **held)
    house.step()
    assert house.stopped == {"chest"}
    assert house.outcomes() == ["done", "stale"]


def test_a_stop_behind_a_long_history_counts_in_the_first_round_after_a_restart(house: House):
    for _ in range(2 * ORDERS_A_STEP):
        house.order("model-shadow", "chest/1.0.0", share=0.5)
    house.step()
    house.order("model-stop", "chest")
    house.restart()
    house.lineup.orders(Moment(house.now, house.now))  # one round: the judge comes next
    assert house.stopped == {"chest"}


def test_a_stop_counts_however_many_orders_came_before(house: House):
    order = {"source": "desk", "kind": "model-shadow", "subject": "chest/1.0.0", "share": 0.5, "who": "review:reader"}
    told = [{**order, "nonce": str(n), "issued_at": NOW, "at": NOW, "outcome": "done"} for n in range(10_000)]
    with house.engine.begin() as c:
        c.execute(book.orders.insert(), told)
    house.order("model-stop", "chest")
    house.step()
    assert house.stopped == {"chest"}


def test_an_order_of_long_ago_is_stale(house: House):
    house.send("model-activate", "chest/1.0.0", issued_at=int(NOW) - AGE_MAX_S - 1)
    house.step()
    assert house.outcomes() == ["stale"]


@pytest.mark.parametrize("off", [-AGE_MAX_S - 1, 10 * AGE_MAX_S])
def test_a_stop_counts_whatever_the_clocks_say_and_can_be_undone(house: House, off: int):
    house.send("model-stop", "chest", issued_at=int(NOW) + off)
    assert house.stopped == {"chest"}
    house.step()
    assert house.stopped == {"chest"}
    house.now += 60
    house.send("model-resume", "chest")
    house.step()
    assert house.stopped == set()


@pytest.mark.parametrize("body", ["", "{", "[]", json.dumps({"schema_version": "command/1"}), "\x00" * 50])
def test_a_row_that_is_no_order_is_passed_over(house: House, body: str):
    with house.link.begin() as c:
        c.execute(wire.commands.insert().values(nonce="0" * 32, body=body, received_at=NOW))
    house.send("model-stop", "chest")
    assert house.stopped == {"chest"}
    house.step()
    assert house.outcomes() == ["done"]


# A crash at every step


class Killed(BaseException):
    """The process ends here."""


def dying(count: int, work: Callable[..., Any]) -> Callable[..., Any]:
    """work, but its count-th call ends the process before, or, negative, after it was done."""
    calls = itertools.count(1)

    def wrapped(*args: Any, **told: Any) -> Any:
        now = next(calls)
        if now == count:
            raise Killed
        made = work(*args, **told)
        if now == -count:
            raise Killed
        return made

    return wrapped


@pytest.mark.parametrize("place", ["load_packages", "is_filed", "done", "file", "file-after"])
def test_activation_survives_a_kill_at_every_step(house: House, monkeypatch: pytest.MonkeyPatch, place: str):
    house.install("1.1.0")
    house.order("model-activate", "chest/1.1.0")
    with monkeypatch.context() as patched:
        if place == "load_packages":
            patched.setattr("appliance.triage.lineup.load_packages", dying(1, load_packages))
        elif place == "file-after":
            patched.setattr(book, "file", dying(-1, book.file))
        else:
            patched.setattr(book, place, dying(1, getattr(book, place)))
        with pytest.raises(Killed):
            house.step()
    house.restart()
    assert house.deciding == ["chest/1.0.0", "head/0.1.0"], "what was not committed did not happen"
    house.step()
    assert house.deciding == ["chest/1.1.0", "head/0.1.0"]
    assert house.outcomes() == ["done"]


def test_a_kill_after_the_commit_has_the_new_model_decide(house: House, monkeypatch: pytest.MonkeyPatch):
    house.install("1.1.0")
    house.order("model-activate", "chest/1.1.0")
    with monkeypatch.context() as patched:
        patched.setattr(house.lineup, "_appoint", dying(1, house.lineup._appoint))
        with pytest.raises(Killed):
            house.step()
    house.restart()
    assert house.deciding == ["chest/1.1.0", "head/0.1.0"]
    house.step()
    assert house.outcomes() == ["done"]


def test_installation_survives_a_kill_at_every_step(tmp_path: Path):
    """Whatever lies in the store is either whole or no package; the next try makes it whole."""
    made = write(tmp_path / "made", "chest", "1.1.0", graphs={"model.onnx": net()})
    steps: list[str] = []
    install(made, tmp_path / "whole", KEYS, steps.append)
    assert steps[-3:] == ["fsync the folders", "rename", "fsync the store"]
    for number in range(1, len(steps) + 1):
        store = tmp_path / f"store-{number}"
        with pytest.raises(Killed):
            install(made, store, KEYS, dying(number, lambda _: None))
        found, damaged = load_packages([store], trust(tmp_path / "trusted"))
        assert damaged == []
        assert [each.title for each in found] == (["chest/1.1.0"] if number == len(steps) else [])
        assert install(made, store, KEYS) == "chest/1.1.0"
        assert [path.name for path in (store / "chest").iterdir()] == ["1.1.0"]


# Every day


def test_golden_films_are_run_again_daily(house: House, monkeypatch: pytest.MonkeyPatch):
    moment = Moment(NOW, 0.0)
    assert not house.lineup.test(moment)
    assert not house.lineup.test(Moment(NOW, TEST_PERIOD_S - 1))
    films = house.lineup.packages["chest/1.0.0"].golden
    films.exits[0][0][:] += 1.0  # the machine's arithmetic, or the answer kept, has changed
    house.lineup.bench.add(house.lineup.packages["chest/1.0.0"])
    assert house.lineup.test(Moment(NOW, TEST_PERIOD_S))
    assert house.deciding == ["head/0.1.0"]
    films.exits[0][0][:] -= 1.0
    assert not house.lineup.test(Moment(NOW, TEST_PERIOD_S + TEST_AGAIN_S - 1))
    assert house.lineup.test(Moment(NOW, TEST_PERIOD_S + TEST_AGAIN_S))
    assert house.deciding == ["chest/1.0.0", "head/0.1.0"]


# The whole road


def test_a_stopped_model_escalates_the_very_next_study(tmp_path: Path):
    """Without a round of the loop between the order and the study; and it decides again when it is resumed."""
    root = Path(__file__).parents[2]
    bench = Bench(tmp_path)
    bench.start(judge.open_court(root / "models", "harbour", root / "models/trusted"))
    bench.places.review.mkdir()
    reviews = sqlite.open_writer(bench.places.review_db, desk.METADATA)
    film = (root / "sample_dicom/drawn/chest_child_ap.dcm").read_bytes()
    uid = str(pydicom.dcmread(BytesIO(film)).StudyInstanceUID)
    bench.put(film)
    for passed in (1, 5, 40):
        bench.step("admit", "assemble", passed=passed)
    assert bench.study(uid).state == "complete"
    with reviews.begin() as c:
        desk.order(c, Order("model-stop", "cxr-paediatric-pneumonia"), nonce="1", user="reader", at=bench.now)
    bench.step("judge")
    assert bench.result(uid).lane == "escalated"
    assert "model-stopped" in [reason["code"] for reason in bench.result(uid).reasons]
    bench.triage.close()
    reviews.dispose()


def test_a_key_taken_away_closes_the_court_and_one_put_back_opens_it_without_a_restart(house: House) -> None:
    before = house.deciding
    assert before
    assert not house.lineup.look(Moment(NOW, 0.0)), "nobody touched anything"
    (key,) = house.config.triage.trusted_keys.glob("*.pub")
    told = key.read_bytes()
    key.unlink()
    assert not house.lineup.look(Moment(NOW, LOOK_PERIOD_S - 0.1)), "not looked at all the time"
    assert house.lineup.look(Moment(NOW, LOOK_PERIOD_S))
    assert house.deciding == []
    key.write_bytes(told)
    assert house.lineup.look(Moment(NOW, 2 * LOOK_PERIOD_S))
    assert house.deciding == before
    assert not house.lineup.look(Moment(NOW, 3 * LOOK_PERIOD_S))


def test_a_new_certificate_counts_without_a_restart(house: House) -> None:
    def count() -> int:
        return sum(len(model.certificates) for model in house.lineup.court.models)

    package = next(each for each in house.lineup.packages.values() if each.model.manifest.name == "chest")
    assert count() == 0
    plan = a_certificate().plan.model_copy(update={"model_sha256": package.model.sha256})
    draft = a_certificate(plan=plan, plan_digest=plan.digest)
    certificate = signed(draft.model_copy(update={"digest": own_digest(draft)}), SECRET)
    source = house.root / "made.json"
    source.write_text(json.dumps(certificate.model_dump(mode="json")))
    install_certificate(source, package.model.manifest, house.places.certificates)
    assert house.lineup.look(Moment(NOW, LOOK_PERIOD_S))
    assert count() == 1
