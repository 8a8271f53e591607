"""Uplink's look for updates at a real HTTPS server, honest, slow, endless, broken off, or another one; and a stick."""

import json
import random
import shutil
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import main
from appliance.cli.updates import bring
from appliance.config import Config, Places
from appliance.core.document import encode
from appliance.core.policy import Policy
from appliance.errors import Fault
from appliance.loop import Moment, guarded
from appliance.uplink.updates import AGAIN_S, Pulled, Updates
from appliance.world import sqlite, wire
from appliance.world.updates import mirror
from appliance.world.wire import updates as book
from central import authority
from central.publish import serving
from tests.publisher import DAY_S, Publisher
from tests.triage.test_updates import House


class Site:
    """A publisher's server on loopback, and an uplink's updates beside it."""

    def __init__(self, root: Path, **knobs: Any) -> None:
        self.root, self.publisher = root, Publisher(root / "centre")
        own = authority.found("tests", time.time())
        key = authority.new_key()
        shown = authority.issue(own, key.public_key(), "updates", now_s=time.time(), days=2, hosts=["127.0.0.1"])
        self.pem, self.ca = root / "server.pem", root / "ca.pem"
        self.pem.write_bytes(shown.public_bytes(authority.Encoding.PEM) + authority.key_pem(key))
        self.ca.write_bytes(own.pem)
        self.server = serving.server(self.publisher.folder, self.pem, "127.0.0.1", 0)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.places = Places(root / "state")
        self.places.wire.mkdir(parents=True)
        told = {"root": self.publisher.root, "url": self.url, "ca_file": str(self.ca), "fetch_s": 20.0, **knobs}
        plain = {"updates": told, "site": {"device_id": "edge-a"}, "receive": {"disk_reserve_bytes": 0}}
        self.config = Config.model_validate(plain)
        self.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server.server_address[1]}/"

    def start(self) -> None:
        self.updates = Updates(self.config, self.places, lambda: None, random.Random(1))

    def pull(self) -> Pulled | Fault:
        return guarded("tests", self.updates.pull)

    def has(self) -> list[str]:
        return sorted(path.name.partition(".")[2] for path in self.places.mirror.glob("targets/*/*"))

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.updates.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def code_of(told: Pulled | Fault) -> str:
    return told.code


def test_what_is_for_this_appliance_is_fetched_and_said(site: Site):
    site.publisher.policy(1)
    site.publisher.add("release", "appliance-9.tar", b"x" * 100_000, ring="lab", title="9.0.0")
    gone = site.publisher.add("release", "appliance-8.tar", b"y" * 100, title="8.0.0")
    site.publisher.change(gone, withdrawn=True)
    moment = Moment(1000.0, 1000.0)
    assert site.updates.look(moment)
    assert site.updates.thread is not None
    site.updates.thread.join(30)
    assert site.updates.look(moment)
    assert site.has() == ["1.json"]
    link = sqlite.open_reader(site.places.link_db)
    with link.connect() as c:
        assert wire.is_made(c, wire.LINK)
        said = book.look(c)
        assert said is not None
        assert (said.code, said.looked_at, said.reached_at) == ("", 1000.0, 1000.0)
        assert [(row.path, row.have == row.bytes_count) for row in book.files(c)] == [("policy/1.json", True)]
    link.dispose()
    assert not site.updates.look(Moment(1001.0, 1001.0))
    site.updates.hint()
    assert not site.updates.look(Moment(1001.0, 1001.0)), "whoever sends hints makes it look once a minute at most"
    assert site.updates.look(Moment(1000.0 + AGAIN_S, 1000.0 + AGAIN_S))
    assert site.updates.thread is not None
    site.updates.thread.join(30)


def test_publish_then_shadow_through_the_server(site: Site, tmp_path: Path):
    """The road of one model: the publisher's key, HTTPS, uplink's copy, triage's own look, the lineup."""
    from tests.core.drawn_graphs import net
    from tests.world.drawn_packages import write

    site.publisher.model(write(tmp_path / "made", "chest", "1.1.0", graphs={"model.onnx": net()}))
    assert code_of(site.pull()) == ""
    house = House(tmp_path / "edge", site.publisher)
    house.places.mirror.parent.mkdir(parents=True)
    house.places.mirror.symlink_to(site.places.mirror)
    house.step(lay=False)
    assert house.shadows == {"chest/1.1.0": 1.0}
    house.close()


def test_a_target_that_broke_off_is_gone_on_with(site: Site):
    data = bytes(range(256)) * 1000
    site.publisher.add("release", "appliance-9.tar", data, title="9.0.0")
    seen: list[str] = []
    send_head = serving.Files.send_head

    def watched(self: Any) -> Any:
        seen.append(self.headers.get("Range", ""))
        return send_head(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving.Files, "send_head", watched)
        (offer,) = guarded("tests", site.updates.pull).seen.offers  # type: ignore[union-attr]
        target = mirror.target(site.places.mirror, offer)
        partial = site.places.fetching / "partial" / offer.sha256
        partial.write_bytes(data[:100_000])
        target.unlink()
        assert code_of(site.pull()) == ""
        assert "bytes=100000-" in seen
        assert target.read_bytes() == data
        partial.write_bytes(b"z" * 100)
        target.unlink()
        assert code_of(site.pull()) == "updates-untrusted"
        assert not partial.exists(), "a false beginning is not kept"
        assert code_of(site.pull()) == ""


def test_a_server_of_another_authority_is_not_spoken_to(site: Site):
    other = authority.found("others", time.time())
    site.ca.write_bytes(other.pem)
    assert code_of(site.pull()) == "updates-away"
    site.ca.unlink()
    assert code_of(site.pull()) == "updates-settings"


def test_a_root_of_another_repository_believes_nothing(site: Site, tmp_path: Path):
    from central import publish

    publish.begin(tmp_path / "r", tmp_path / "k", tmp_path / "o", roots=1, threshold=1, now=time.time())
    object.__setattr__(site.config.updates, "root", tmp_path / "r/metadata/1.root.json")
    assert code_of(site.pull()) == "updates-untrusted"
    assert not (site.places.mirror / "metadata").exists()
    object.__setattr__(site.config.updates, "root", tmp_path / "absent.json")
    assert code_of(site.pull()) == "updates-root-invalid"


class Hostile(BaseHTTPRequestHandler):
    """Says whatever it likes where a file is asked for."""

    how = "slow"

    def do_GET(self) -> None:
        if self.path.endswith("2.root.json"):
            self.send_error(404)
            return
        if self.how == "redirect":
            self.send_response(302)
            self.send_header("Location", "https://127.0.0.1:1/")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b" " * (1 if self.how == "slow" else 65_536))
                self.wfile.flush()
                if self.how == "slow":
                    time.sleep(0.1)
        except OSError:
            return

    def log_message(self, *_: Any) -> None:
        return


@pytest.mark.parametrize(
    ("how", "code"), [("slow", "updates-away"), ("endless", "updates-untrusted"), ("redirect", "updates-away")]
)
def test_a_hostile_server_costs_a_bounded_time_and_few_bytes(tmp_path: Path, how: str, code: str):
    site = Site(tmp_path, fetch_s=1.0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site.pem)
    hostile = serving.Server(("127.0.0.1", 0), type("Now", (Hostile,), {"how": how}))
    hostile.socket = context.wrap_socket(hostile.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=hostile.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    object.__setattr__(site.config.updates, "url", f"https://127.0.0.1:{hostile.server_address[1]}")
    try:
        assert code_of(site.pull()) == code
    finally:
        hostile.shutdown()
        hostile.server_close()
        site.close()
    assert not list(site.places.mirror.rglob("*.json"))


def test_root_writes_into_no_folder_that_another_user_owns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever holds uplink's folder could lay a link where root would write."""
    publisher = Publisher(tmp_path / "centre")
    house = House(tmp_path / "edge", publisher)
    house.places.targets.mkdir(parents=True)
    owner = house.places.targets.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    with pytest.raises(Fault, match="updates-user"):
        bring(house.config, house.places, publisher.folder)
    assert not house.places.mirror.exists()
    house.close()


def test_a_stick_is_taken_in_after_the_same_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    publisher = Publisher(tmp_path / "centre")
    publisher.policy(1)
    house = House(tmp_path / "edge", publisher)
    knobs = f'[state]\nfolder = "{house.places.root}"\n[updates]\nroot = "{publisher.root}"\n'
    config = tmp_path / "appliance.toml"
    config.write_text(knobs + f'[triage]\ntrusted_keys = "{tmp_path}"\nmodel_folder = "{tmp_path}/none"\n')

    def types(*words: object) -> int:
        return main(["--config", str(config), "updates", *map(str, words)])

    junk = publisher.folder / "targets/models/junk.bin"
    junk.parent.mkdir(parents=True, exist_ok=True)
    junk.write_bytes(bytes(9))
    assert types("import", publisher.folder) == 0
    assert not list(house.places.mirror.rglob("junk*")), "what nobody signed would fill the disk"
    house.step(lay=False)
    assert house.state("policy/1.json") == "held"
    capsys.readouterr()
    assert types("list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(each["path"], each["state"]) for each in told["updates"]] == [("policy/1.json", "held")]
    assert types("list") == 0
    shown = capsys.readouterr().out
    assert "policy/1.json  policy-1  ring all  held" in shown
    assert "policy 1 is in force: nothing is taken away" in shown
    (publisher.folder / "metadata/timestamp.json").write_text("{}")
    assert types("import", publisher.folder) == 1
    assert "updates-untrusted" in capsys.readouterr().err
    old = Publisher(tmp_path / "old", fresh=False)
    old.renew(ago_s=40 * DAY_S)
    assert types("import", old.folder) == 1
    assert "updates-untrusted" in capsys.readouterr().err, "older than what lies here"
    shutil.rmtree(house.places.mirror)
    assert types("import", old.folder) == 1
    assert "updates-expired" in capsys.readouterr().err
    house.close()


def test_the_publishers_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from central.cli import main as central

    repository, keys, offline = tmp_path / "repository", tmp_path / "keys", tmp_path / "offline"
    policy = tmp_path / "policy.json"
    policy.write_bytes(encode(Policy(number=1)))
    where = ("--repository", str(repository), "--keys", str(keys))
    assert central(["publish", "init", *where, "--offline", str(offline), "--roots", "2", "--threshold", "2"]) == 0
    assert central(["publish", "init", *where, "--offline", str(offline)]) == 78
    assert central(["publish", "add", "policy", str(policy), *where]) == 0
    assert central(["publish", "promote", "policy-1", "--to", "all", *where]) == 0
    assert central(["publish", "promote", "policy-2", "--to", "all", *where]) == 78
    assert central(["publish", "timestamp", *where]) == 0
    assert central(["publish", "rotate", "policy", *where]) == 78
    assert central(["publish", "rotate", "policy", *where, "--keys", str(offline)]) == 0
    assert central(["publish", "withdraw", "policy-1", *where]) == 0
    capsys.readouterr()
    assert central(["publish", "status", "--repository", str(repository), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(each["path"], each["ring"], each["withdrawn"]) for each in told["targets"]] == [
        ("policy/1.json", "all", True)
    ]
    assert {each["role"]: each["keys"] for each in told["roles"]}["root"] == "2 of 2"
    assert central(["publish", "add", "model", str(tmp_path), *where]) == 78


def test_a_publisher_that_is_cut_off_leaves_the_old_state_in_force(tmp_path: Path):
    """Every file of metadata is one durable step; the same verb again completes it."""
    from central import publish

    publisher, put = Publisher(tmp_path / "centre"), publish.put
    for cut in range(4):
        left = iter(range(cut))

        def broken(path: Path, data: bytes, left: Iterator[int] = left, **told: Any) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            put(path, data, **told)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(publish, "put", broken)
            with pytest.raises(KeyboardInterrupt):
                publisher.policy(cut + 1)
        house = House(tmp_path / f"edge-{cut}", publisher)
        house.step()
        assert house.code == ""
        publisher.policy(cut + 1)
        house.step()
        assert house.state(f"policy/{cut + 1}.json") == "held"
        house.close()
