"""The centre teaches, the edge learns: one version of a model made from corrections, and its whole life, shown once.

    python -m tests.faults.story [--train 60] [--certify 240] [--measure 150] [--seed 1] [--keep FOLDER]

Two appliances and a centre on this machine: real processes, a real broker, a real TUF repository over HTTPS. A
hospital buys another scanner (drawn films, milder findings). Version 1.0.0 holds no certificate for it: every study
is hard. Readers sign them on the page; what they said goes to the centre; the last layer is retrained there from that
and the cases' pictures; version 1.1.0 is signed, published, and runs beside in the first ring. It is certified from
blinded reads of a stretch fixed beforehand (the certificate is published, too), comes to decide by its terms, is
measured against the version before on films that neither saw, and is taken back on purpose. The second appliance was
off for 40 days meanwhile, and catches up. Each step prints its figures and its claim; the exit status is 1 where a
claim does not hold. It measures nothing of patients.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from appliance.core.promotion import WAITS
from appliance.world import ledger
from appliance.world.ledger import promotion as figures
from appliance.world.ledger import shadows
from models.retrain_head import auroc
from tests.faults.ledgers import ask
from tests.faults.story_films import FIRST, NAME, NEW_SCANNER, NEXT, OLD_SCANNER, Film, films
from tests.faults.story_town import DAY_S, Story

OFF_DAYS = 40
RESAMPLES = 2000
BEFORE, AFTER = f"{NAME}/{FIRST}", f"{NAME}/{NEXT}"
# Seeds of each use, so that no film serves two.
USES = {"old": 1, "train": 2, "certify": 3, "beside": 4, "measure": 5, "back": 6, "away": 7}


class Claim(AssertionError):
    """A step's claim that does not hold."""


def claim(holds: bool, said: str) -> None:
    print(f"   {'holds' if holds else 'DOES NOT HOLD'}: {said}", flush=True)
    if not holds:
        raise Claim(said)


def drawn(options: argparse.Namespace, use: str, count: int, scanner: str) -> list[Film]:
    """So many films, with progress; those that a folder of films holds already are not drawn again."""
    found, start = [], (100 * options.seed + USES[use]) * 10**5
    for n, seed in enumerate(range(start, start + count), 1):
        kept = None if options.films is None else options.films / f"{scanner}-{seed}.npz"
        if kept is not None and kept.exists():
            with np.load(kept) as held:
                found.append(Film(seed, held["grey"], bool(held["finding"]), scanner))
        else:
            found.extend(films(range(seed, seed + 1), scanner))
            if kept is not None:
                np.savez(kept, grey=found[-1].grey, finding=found[-1].finding)
        if n % 20 == 0 or n == count:
            progress(f"{n} of {count} films drawn")
    return found


def progress(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"   … {text:<60}", end=end, file=sys.stderr, flush=True)


def difference(after: NDArray[Any], before: NDArray[Any], finding: NDArray[np.bool_]) -> tuple[float, float, float]:
    """AUROC of the one less that of the other on the same films, and a 95 % interval by paired resampling."""
    dice, found = np.random.default_rng(1), []
    while len(found) < RESAMPLES:
        drawn_again = dice.integers(0, len(finding), len(finding))
        if 0 < finding[drawn_again].sum() < len(finding):
            told = finding[drawn_again]
            found.append(auroc(after[drawn_again], told) - auroc(before[drawn_again], told))
    low, high = np.quantile(found, (0.025, 0.975))
    return auroc(after, finding) - auroc(before, finding), float(low), float(high)


def logits(story: Story, taken: dict[str, Film]) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], list[str]]:
    """Of the films that both versions scored: by the deciding one, by the one beside, truth, and the lanes."""

    def rows(c: Any) -> list[Any]:
        same = (shadows.shadows.c.study_number == ledger.results.c.study_number) & (
            shadows.shadows.c.revision == ledger.results.c.revision
        )
        chosen = (
            select(
                ledger.studies.c.study_instance_uid, ledger.results.c.scores, shadows.shadows.c.scores.label("beside")
            )
            .add_columns(ledger.results.c.lane)
            .join(ledger.results, ledger.results.c.study_number == ledger.studies.c.number)
            .join(shadows.shadows, same)
            .where(ledger.results.c.model == AFTER, shadows.shadows.c.model == BEFORE)
        )
        return list(c.execute(chosen))

    both = [row for row in ask(story.places(1).studies_db, rows, []) if row.study_instance_uid in taken]
    one = [(row.scores[0]["logit"], row.beside[0]["logit"]) for row in both if row.scores and row.beside]
    after, before = np.array(one, float).T if one else (np.zeros(0), np.zeros(0))
    kept = [row for row in both if row.scores and row.beside]
    truth = np.array([taken[row.study_instance_uid].finding for row in kept], bool)
    return after, before, truth, [row.lane for row in kept]


def tell(options: argparse.Namespace, folder: Path) -> None:
    began = time.monotonic()

    def step(number: int, said: str) -> None:
        print(f"\n{number}. {said} [{time.monotonic() - began:.0f} s]", flush=True)

    step(1, f"two appliances and a centre; {BEFORE} is certified for the old scanner {OLD_SCANNER}")
    old = drawn(options, "old", options.old, OLD_SCANNER)
    with Story(folder, old) as story:
        away = drawn(options, "away", 12, OLD_SCANNER)
        lanes = story.read(2, away[:6])
        decided = sum(lane != "escalated" for lane in lanes.values())
        print(f"   {len(lanes)} films of {OLD_SCANNER} at edge-2: {decided} decided there")
        story.until(lambda: story.repository(2) is not None, "edge-2 sees no repository")
        claim(
            decided > 0 and not story.wrong(lanes, away), "known films are decided under the certificate, none wrongly"
        )
        story.town.edges[1].fall()
        print("   edge-2 is switched off")

        step(2, f"another scanner, {NEW_SCANNER}, at edge-1: {options.train} studies, signed on the page")
        train = drawn(options, "train", options.train, NEW_SCANNER)
        lanes = story.read(1, train)
        claim(
            set(lanes.values()) == {"escalated"}, f"{len(lanes)} of {len(train)} are hard: no certificate speaks of it"
        )
        signed = story.sign(1, train)
        story.until(lambda: len(story.corrections()) >= signed, "corrections do not reach the centre")
        exported = story.corrections()
        agreed = sum(each["decision"] == "agree" for each in exported)
        print(f"   {signed} signed, {agreed} of them agree; {len(exported)} corrections exported at the centre")
        claim(len(exported) == len(train), "every signature is a correction at the centre")

        step(3, f"{AFTER} from the corrections: last layer anew, one core")
        at = time.monotonic()
        made = story.retrain(exported)
        print(f"   {json.dumps(made)}, {time.monotonic() - at:.1f} s")
        story.publish("add", "model", str(story.next_package), "--ring", "site")
        story.publish("activate", AFTER, "--to", "site")
        story.announce()
        story.until(lambda: story.held(1, AFTER), "edge-1 does not take the model in")
        print(f"   published to ring site; edge-1 holds it: {story.role(1, AFTER)}")
        claim(story.role(1, AFTER).startswith("shadow"), "it runs beside and decides nothing")

        step(4, f"certified at edge-1: a stretch of {options.certify} patients fixed beforehand, all read blinded")
        refused = story.refuses_corrections(exported)
        claim(refused == "labels-selected", "a list of corrections is refused as labels of a certificate")
        stretch = drawn(options, "certify", options.certify, NEW_SCANNER)
        story.read(1, stretch)
        told = story.certify(stretch)
        print(f"   {told}")
        claim(bool(told["opens"]), "the test opens a lane at 10 / 10 / 15 %")
        claim(
            (told["came"], told["by_hand"]) == (1, 0),
            "its certificate came down as the model did, and lies there alone",
        )

        step(5, "activated in ring site, by terms, figures and certificate")
        story.read(1, drawn(options, "beside", options.beside, NEW_SCANNER))
        story.until(lambda: story.role(1, AFTER) == "decides", lambda: f"not activated: {beside(story)}")
        print(f"   {beside(story)}")
        claim(not story.held(2, AFTER), "edge-2, off and in no such ring, holds nothing of it")

        step(6, f"measured on {options.measure} films that neither version saw; {BEFORE} runs beside")
        story.until(lambda: story.role(1, BEFORE).startswith("shadow"), "the version before does not run beside")
        fresh = drawn(options, "measure", options.measure, NEW_SCANNER)
        lanes = story.read(1, fresh)
        by_uid = story.by_uid(fresh)
        story.until(lambda: len(logits(story, by_uid)[2]) >= len(fresh) - 2, "the version before scores too little")
        after, before, truth, _ = logits(story, by_uid)
        gain, low, high = difference(after, before, truth)
        print(f"   n = {len(truth)}, {int(truth.sum())} with the finding")
        print(f"   AUROC {auroc(before, truth):.3f} before, {auroc(after, truth):.3f} after")
        print(f"   difference {gain:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}, paired")
        wrong = story.wrong(lanes, fresh)
        count = sum(lane != "escalated" for lane in lanes.values())
        print(f"   decided at the edge: {count} of {len(lanes)} (before: 0), {len(wrong)} of them wrongly")
        claim(low > 0, f"{AFTER} is better than {BEFORE} on them")

        step(7, "taken back on purpose")
        story.appliance(1, "models", "rollback", NAME)
        story.until(lambda: story.role(1, BEFORE) == "decides", "the order is not obeyed")
        lanes = story.read(1, drawn(options, "back", 6, NEW_SCANNER))
        claim(set(lanes.values()) == {"escalated"}, f"{BEFORE} decides again and every film of {NEW_SCANNER} is hard")

        step(8, f"edge-2 comes back after {OFF_DAYS} days")
        story.publish("promote", AFTER, "--to", "all")
        story.return_after(2, OFF_DAYS * DAY_S)
        lanes = story.read(2, away[6:])
        print(f"   {sum(lane != 'escalated' for lane in lanes.values())} of {len(lanes)} films decided there")
        claim(
            not story.wrong(lanes, away) and "cleared" in lanes.values(), "it decides under its certificate as before"
        )
        story.until(lambda: story.stale(2), "what has ended is not said")
        claim(not story.held(2, AFTER), "what lies there has ended: updates are blocked, and nothing else")
        story.publish("timestamp", "--always", days=OFF_DAYS)
        story.until(lambda: story.held(2, AFTER), "edge-2 does not catch up")
        print(f"   fresh metadata: edge-2 holds {AFTER}: {story.role(2, AFTER)}")
        claim(story.role(2, AFTER).startswith("shadow"), "it caught up, and the model runs beside there")
    print(f"\nevery claim held; {time.monotonic() - began:.0f} s", flush=True)


def beside(story: Story) -> str:
    """What a shadow came to, in words."""
    rows = ask(story.places(1).studies_db, figures.everything, [])
    return "; ".join(f"{row.title}: {WAITS.get(row.code, 'offered')} {row.figures}" for row in rows) or "nobody beside"


def main() -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--old", type=int, default=170, help="films of the old scanner behind the first certificate")
    told.add_argument("--train", type=int, default=60)
    told.add_argument("--certify", type=int, default=240)
    told.add_argument("--beside", type=int, default=24)
    told.add_argument("--measure", type=int, default=150)
    told.add_argument("--seed", type=int, default=1)
    told.add_argument("--films", type=Path, help="a folder of drawn films, filled as they are drawn")
    told.add_argument("--keep", type=Path, help="a folder to leave everything in")
    options = told.parse_args()
    with tempfile.TemporaryDirectory(prefix="story-") as scratch:
        try:
            tell(options, options.keep or Path(scratch))
        except Claim:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
