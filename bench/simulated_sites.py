"""Simulated appliances for bench/simulate.py: each scans at a pace, keeps a share, and sends the rest over the wire.

Real in each: keys, letters, sealed parts, statuses, the order of sealing (core.policy) and of sending (core.schedule),
the budget of bytes by which a thin line is imitated, and the policy in force, verified from the root as triage does.
Not real: the scan and what the edge does with it takes a fixed time, which share is kept is drawn by a hash, and a
thin line is a budget of bytes at the sender, not a shaped socket.
"""

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

from appliance.core.case import KEY_IMAGES_MAX, KeyImage
from appliance.core.document import Urgency, decode
from appliance.core.messages import Delivery, Receipt, Status, Taken, Waiting
from appliance.core.policy import NONE, Policy, here, pictures_of, place
from appliance.core.schedule import Bucket, class_of, per_second
from appliance.errors import Fault
from appliance.world.updates import mirror
from bench.load import Simulated
from tests.central.centre_samples import a_picture, heard, letter_up, parcel

SCANNED_AS: tuple[tuple[Urgency, float], ...] = (("critical", 0.05), ("urgent", 0.15), ("routine", 0.8))
MODALITIES = ("CR", "CT", "MR")
PRODUCT = "edge-diagnostic-appliance/0.0.0"


@dataclass(frozen=True)
class Plan:
    """What every appliance of a run does.

    keeps         share of studies that the edge decides itself, 0 to 1
    pace_s        between two studies of one appliance
    edge_s        from the scan to the lane (given, not measured here); seal_s: between two sealings
    picture_px    side of a key image of noise: 96 are some 9 KiB, six of them a case of 75 KiB
    line_bytes_s  of those whose line is not thin; thin_bytes_s, thin: of the first so many appliances
    status_s      between two statuses: 180 in life
    """

    keeps: float
    appliances: int
    pace_s: float
    edge_s: float = 1.0
    seal_s: float = 0.1
    picture_px: int = 96
    line_bytes_s: int = 4_000_000
    thin_bytes_s: int = 0
    thin: int = 0
    status_s: float = 1.0


@dataclass
class Study:
    """One study from scan to verdict; times are monotonic seconds, None while it has not come to pass."""

    number: int
    urgency: Urgency
    modality: str
    kept: bool
    scan_at: float
    case_id: str = ""
    pictures: int = 0  # with which it was sealed, or sent
    sealed_at: float | None = None
    sent_at: float | None = None
    received_at: float | None = None
    told_at: float | None = None
    told_times: int = 0


class PolicyEar:
    """The policy in force in a repository, verified anew whenever its timestamp changes: once for all appliances."""

    def __init__(self, repository: Path | None, memory: Path) -> None:
        self.repository, self.memory = repository, memory
        self.policy, self.seen, self.changes = NONE, 0, 0

    def listen(self) -> None:
        if self.repository is None:
            return
        now = (self.repository / "metadata/timestamp.json").stat().st_mtime_ns
        if now == self.seen:
            return
        try:
            told = mirror.verified(self.repository, self.repository / "metadata/1.root.json", self.memory)
            offers = [each for each in told.offers if each.terms is not None and not each.terms.withdrawn]
            bodies = [mirror.read_target(self.repository, each) for each in offers]
            policies = [decode(Policy, body) for body in bodies if body is not None]
        except Fault:  # read while it was being written
            return
        self.seen = now
        found = max(policies, key=lambda each: each.number, default=NONE)
        self.changes += found != self.policy
        self.policy = found


@dataclass
class Site(Simulated):
    """One appliance. `turn` does whatever is due; the rest comes from the thread of its connection."""

    place: int = 0
    plan: Plan = field(default_factory=lambda: Plan(0.0, 1, 1.0))
    pictures: tuple[KeyImage, ...] = ()
    studies: list[Study] = field(default_factory=list)
    by_case: dict[str, Study] = field(default_factory=dict)
    dice: random.Random = field(default_factory=random.Random)
    due: float = 0.0
    status_due: float = 0.0
    seal_due: float = 0.0
    line: Bucket | None = None

    @property
    def is_thin(self) -> bool:
        return self.place < self.plan.thin

    def begin(self, at: float) -> None:
        """The first scan comes within one pace, so that appliances do not march in step."""
        self.dice = random.Random(self.place)
        self.due = at + self.dice.uniform(0, self.plan.pace_s)
        rate = self.plan.thin_bytes_s if self.is_thin else self.plan.line_bytes_s
        self.line, self.status_due = per_second(rate, at), at

    def turn(self, at: float, policy: Policy, *, scanning: bool) -> None:
        mine = here(policy, self.name)
        while scanning and at >= self.due:
            self._scan(self.due)
            self.due += self.plan.pace_s * self.dice.uniform(0.5, 1.5)
        self._seal(at, mine)
        self._send(at, mine)
        if at >= self.status_due:
            self.status_due = at + self.plan.status_s
            self._say(at)

    def _scan(self, at: float) -> None:
        number = self.place * 100_000 + len(self.studies)
        dice = random.Random(number)
        drawn, urgency = dice.random(), "routine"
        for word, share in SCANNED_AS:
            urgency = word
            drawn -= share
            if drawn < 0:
                break
        told = hashlib.sha256(f"kept {number}".encode()).digest()
        kept = int.from_bytes(told[:8], "big") < self.plan.keeps * 2**64  # what 50 % keep, 80 % keep too
        study = Study(number, urgency, dice.choice(MODALITIES), kept, at)  # type: ignore[arg-type]
        if kept:
            study.told_at, study.told_times = at + self.plan.edge_s, 1
        self.studies.append(study)

    def _seal(self, at: float, policy: Policy) -> None:
        """One study at a time, in the order that a policy may change."""
        hard = [each for each in self.studies if not each.kept and each.sealed_at is None]
        hard = [each for each in hard if at - each.scan_at >= self.plan.edge_s]
        if not hard or at < self.seal_due:
            return
        study = min(hard, key=lambda each: place(policy, attempts=0, urgency=each.urgency, modality=each.modality))
        study.pictures = min(pictures_of(policy, study.urgency), len(self.pictures))
        study.case_id, study.sealed_at = f"{study.number:032x}", at
        self.by_case[study.case_id] = study
        self.seal_due = at + self.plan.seal_s

    def _send(self, at: float, policy: Policy) -> None:
        """What is most urgent, while the line takes it; without pictures where the policy took them away meanwhile."""
        assert self.line is not None
        self.line = self.line.filled(at)
        ready = [each for each in self.by_case.values() if each.sent_at is None]
        ready.sort(key=lambda each: (-class_of(each.urgency, 1, at - each.scan_at), each.scan_at))
        for study in ready:
            if not self.line.open:
                return
            study.pictures = study.pictures if pictures_of(policy, study.urgency) else 0
            before, tier = self.sent_bytes, 1 if study.pictures else 0
            made = parcel(
                study.number,
                tier=tier,
                device_id=self.name,
                urgency=study.urgency,
                modality=study.modality,
                key_images=self.pictures[: study.pictures],
                key_images_shed=len(self.pictures) - study.pictures,
                frames=len(self.pictures),
            )
            study.sent_at = at
            self.send(made.messages, study.case_id)
            self.line = self.line.without(self.sent_bytes - before)

    def _say(self, at: float) -> None:
        waiting = [each for each in self.by_case.values() if each.received_at is None]
        count = {word: sum(each.urgency == word for each in waiting) for word, _ in SCANNED_AS}
        oldest = max((at - each.scan_at for each in waiting), default=0.0)
        now = time.time()
        status = Status(
            number=int(now * 1000),
            life=f"{self.place:032x}",
            said_at=int(now),
            product=PRODUCT,
            waiting=Waiting(**count),
            oldest_s=int(oldest),
            free_bytes=2**30,
        )
        self.client.publish(*letter_up("status", status, self.name), qos=1)

    def _heard(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        said, now = heard(message.topic, message.payload, self.name), time.monotonic()
        study = self.by_case.get(getattr(said, "case_id", ""))
        if study is None:
            return
        if isinstance(said, Receipt) and study.received_at is None:
            study.received_at = now
        if isinstance(said, Delivery):
            study.told_at = study.told_at or now
            study.told_times += 1
            self.client.publish(*letter_up("taken", Taken(case_id=said.case_id, rev=said.rev), self.name), qos=1)


def sites_of(plan: Plan) -> list[Site]:
    """The appliances of a plan, not connected yet. The thin ones come first."""
    pictures = tuple(a_picture(number, side=plan.picture_px, suffix=".jpg") for number in range(1, KEY_IMAGES_MAX + 1))
    return [
        Site(name=f"site-{number:03d}", place=number, plan=plan, pictures=pictures) for number in range(plan.appliances)
    ]


def run_for(
    sites: list[Site],
    ear: PolicyEar,
    *,
    scan_s: float,
    drain_s: float,
    pause: Callable[[], None],
    seen: Callable[[float, int], None],
) -> float:
    """Scans for so long, then waits until every case has its verdict, at most `drain_s`. Returns when it began.

    pause  lets the other processes live for a moment; seen: told every round, seconds since the start and cases without
           a verdict
    """
    began = time.monotonic()
    for site in sites:
        site.begin(began)
    while True:
        at = time.monotonic()
        ear.listen()
        for site in sites:
            site.turn(at, ear.policy, scanning=at - began < scan_s)
        open_now = sum(study.told_at is None for site in sites for study in site.studies)
        seen(at - began, open_now)
        if at - began >= scan_s and (not open_now or at - began >= scan_s + drain_s):
            return began
        pause()
