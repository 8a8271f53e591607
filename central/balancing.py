"""`central balance`: looks how centre and lines stand, and publishes the policy that fits (central.balance).

What it decided stands in one row of the store, so that it goes on after a restart, `central fleet` shows it, and two
of it never take turns. Publishing is a reconciler: what should be in force is compared with what is, and a run that
was cut off is completed by the next. It reads no document of a case and speaks to no appliance.
"""

import argparse
import json
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from appliance.core.document import decode, encode
from appliance.core.policy import NONE, Policy, written
from appliance.core.updates import RINGS
from appliance.errors import Misconfigured, Quarantined, Unavailable
from appliance.loop import LOG
from appliance.world.keyfile import put
from central import store
from central.balance import RUNGS, Limits, Load, Standing, decided, expected_s, wanted
from central.store import loading, looking
from central.store.leases import clock

VERBS = ("balance",)
WINDOW_S = 300.0
EVERY_S = 60.0
KNOBS = {
    "wait_high_s": "expected wait for a verdict, s, above which the centre is pressed",
    "wait_low_s": "likewise, below which it is calm",
    "line_high_s": "age, s, of the oldest case at a site above which its line is thin",
    "line_low_s": "likewise, below which it is well",
    "hold_s": "nothing moves twice within so many seconds",
    "patience_s": "so long must a calm last before anything is given back",
}


def arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verb's place on the command line."""
    said = "have policy take pictures away, or reorder, while the centre's queue is long or a line is thin"
    made = commands.add_parser("balance", help=said, description=__doc__)
    made.add_argument("--state", type=Path, required=True, help="folder of the centre's database")
    made.add_argument("--store", default="", metavar="URL", help="PostgreSQL instead, as for `central run`")
    made.add_argument("--repository", type=Path, help="of updates (`central publish`): where the policy is published")
    made.add_argument(
        "--publish-keys", type=Path, action="append", default=[], help="folder with the keys of policy and timestamp"
    )
    made.add_argument("--ring", choices=RINGS, default="all", help="for whom it is published (default %(default)s)")
    made.add_argument("--out", type=Path, help="write the policy into this file: for whoever keeps the key elsewhere")
    made.add_argument("--broker", type=_broker, help="leave the hint there, HOST:PORT, so that appliances look sooner")
    made.add_argument("--tls", action="store_true", help="with the certificate in --broker-keys")
    made.add_argument("--broker-keys", type=Path, default=Path("keys"), help="the centre's keys folder")
    made.add_argument("--first", default="", help="modalities sealed first while pressed: CT,MR")
    made.add_argument("--once", action="store_true", help="one look, for a timer; else one every --every-s")
    made.add_argument("--every-s", type=_seconds, default=EVERY_S, help="default %(default)s")
    made.add_argument("--window-s", type=_seconds, default=WINDOW_S, help="arrivals count so far back (%(default)s)")
    made.add_argument("--off", action="store_true", help="give everything back: withdraw every policy of its own, end")
    made.add_argument("--dry-run", action="store_true", help="one look; say what would be done and write nothing")
    made.add_argument("--json", action="store_true", help="for machines")
    for name, sentence in KNOBS.items():
        default = getattr(Limits(), name)
        made.add_argument(f"--{name.replace('_', '-')}", type=_seconds, default=default, help=f"{sentence} ({default})")


def run(told: argparse.Namespace) -> int:
    """One look, or looks until a stop signal. Raises Misconfigured; a store that is away is waited for."""
    limits = _limits(told)
    if told.repository is None and told.out is None and not told.dry_run:
        raise Misconfigured("balance-where", "--repository")
    engine = _opened(told)
    try:
        if told.off:
            return _off(engine, told, limits, time.time())
        if told.once or told.dry_run:
            look(engine, told, limits, time.time())
            return 0
        stop = threading.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: stop.set())
        while not stop.is_set():
            try:
                look(engine, told, limits, time.time())
            except Unavailable as fault:
                LOG.warning("central: balance: %s", fault)
            stop.wait(told.every_s)
    finally:
        engine.dispose()
    return 0


def look(engine: Engine, told: argparse.Namespace, limits: Limits, at: float) -> Standing:
    """One look: what stands, what is decided, what is published.

    raises  Unavailable: "store-away", "balance-taken" where another one looked at the same time
    """
    with store.transaction(engine) as c:
        if not looking.is_made(c):
            raise Unavailable("store-away")
        now = clock(c, at)
        load = loading.load(c, at, told.window_s)
        row = loading.balanced(c)
    before = Standing(patience=limits.patience_s) if row is None else _remembered(row.body, limits)
    after = decided(load, before, limits, now)
    if not told.dry_run:
        with store.transaction(engine) as c:  # of its own: no worker waits while ten thousand statuses are read
            if not loading.look(c, 1 if row is None else row.number + 1, encode(after), at):
                raise Unavailable("balance-taken")
    if told.repository is None:
        policy, state = wanted(after, NONE, limits).numbered(1 if row is None else row.policy + 1), "not published"
        changed = after.rung != before.rung or after.thin != before.thin
        if told.out is not None and not told.dry_run and (changed or row is None):
            put(told.out, written(policy) + b"\n")
            _note(engine, policy.number, at)
            state = f"written to {told.out.name}"
    else:
        policy, state = _reconciled(engine, told, after, limits, at)
    if state == "in force" and not told.dry_run:
        _note(engine, 0 if policy is NONE else policy.number, at)  # a run before may have been cut off there
    _say(told, load, after, policy, state)
    return after


def _off(engine: Engine, told: argparse.Namespace, limits: Limits, at: float) -> int:
    """What people published is in force again, and nothing is remembered."""
    from central.publish import balancing

    if told.repository is None:
        raise Misconfigured("balance-where", "--repository")
    made = _repository(told, at)
    count = balancing.withdraw(made)
    with store.transaction(engine) as c:
        row = loading.balanced(c)
        number = 1 if row is None else row.number + 1
        if not loading.look(c, number, encode(Standing(patience=limits.patience_s)), at):
            raise Unavailable("balance-taken")
    _note(engine, balancing.shelf(made, told.ring).base_number, at)
    print(f"{count} policies withdrawn: what people published is in force")
    return 0


def _repository(told: argparse.Namespace, at: float) -> Any:
    from central import publish

    if not (told.repository / publish.METADATA).is_dir():
        raise Misconfigured("publish-repository", told.repository.name)
    return publish.Published(told.repository, told.publish_keys, at)


def _remembered(body: bytes, limits: Limits) -> Standing:
    """What an earlier look left; another version's is begun anew: what is in force is then compared and mended."""
    try:
        return decode(Standing, body)
    except Quarantined:
        return Standing(patience=limits.patience_s)


def _reconciled(
    engine: Engine, told: argparse.Namespace, after: Standing, limits: Limits, at: float
) -> tuple[Policy, str]:
    """Publishes what should be in force unless it is. Returns the policy in force, or wanted, and what was done."""
    from central.publish import announcing, balancing

    made = _repository(told, at)
    shelf = balancing.shelf(made, told.ring)
    want = wanted(after, shelf.base, limits)
    # The highest number is in force: a person's, published since, is the new base of what is decided here.
    own = shelf.own is not None and shelf.own.number > shelf.base_number
    current = shelf.own if own and shelf.own is not None else shelf.base
    if shelf.under_way:
        return current, "a person's policy is on its way through the rings: left alone"
    if written(want.numbered(1)) == written(current.model_copy(update={"number": 1})):
        return current, "in force"
    policy = want.numbered(shelf.number + 1)
    if told.dry_run:
        return policy, "would be published"
    balancing.put(made, policy, told.ring)
    _note(engine, policy.number, at)
    if told.broker is not None:
        announcing.announce(told, made)
    return policy, "published"


def _note(engine: Engine, number: int, at: float) -> None:
    with store.transaction(engine) as c:
        loading.published(c, number, at)


def _say(told: argparse.Namespace, load: Load, after: Standing, policy: Policy, state: str) -> None:
    wait = expected_s(load)
    if told.json:
        found: dict[str, Any] = {
            "rung": after.rung,
            "word": RUNGS[after.rung].word,
            "why": after.why,
            "thin": after.thin,
            "waiting": load.waiting,
            "arrived_s": round(load.arrived_s, 3),
            "answered_s": round(load.answered_s, 3),
            "expected_s": None if wait is None else round(wait, 1),
            "state": state,
            "policy": json.loads(written(policy)),
        }
        print(json.dumps(found), flush=True)
        return
    waits = "nothing is answered" if wait is None else f"a case now waits {wait:.0f} s"
    print(
        f"rung {after.rung} of {len(RUNGS) - 1}, {RUNGS[after.rung].word} ({', '.join(after.why)}); {load.waiting} "
        f"cases wait here, {load.arrived_s:.2f}/s come, {load.answered_s:.2f}/s are answered: {waits}; "
        f"{len(after.thin)} thin lines of {len(load.sites)}; policy {policy.number}: {state}",
        flush=True,
    )


def _limits(told: argparse.Namespace) -> Limits:
    """Raises Misconfigured("balance-limits")."""
    first = tuple(word for word in told.first.split(",") if word)
    patience_most = max(Limits().patience_most_s, told.patience_s)
    try:
        made = replace(Limits(), **{name: getattr(told, name) for name in KNOBS}, patience_most_s=patience_most)
        Policy(number=1, first=first)  # refuses what is no modality
    except (AssertionError, ValueError):
        raise Misconfigured("balance-limits", "--wait-high-s") from None
    return replace(made, first=first)


def _opened(told: argparse.Namespace) -> Engine:
    if told.store:
        return store.open_server(told.store)
    if not (told.state / "central.db").exists():
        raise Misconfigured("state-folder", "--state")
    return store.open_store(told.state)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e7:
        raise argparse.ArgumentTypeError("a number of seconds above 0")
    return value


def _broker(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise argparse.ArgumentTypeError("a broker is HOST:PORT")
    return host.strip("[]"), int(port)
