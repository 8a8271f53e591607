"""What a small language model on the appliance costs and how often the guard withholds what it drafts.

    python -m bench.draft [--cases 20] [--seed 1]

Drawn cases of one finding each go through the very way triage takes: the question, a confined child process, the reply,
the guard. Beside it stands the floor: the same with no pattern for the sentences, as a server would do that enforces
none. Printed: seconds a case, the child's peak memory (VmHWM), and how many drafts the guard withheld, with the 95 %
interval of Clopper and Pearson. The model is the demonstration's; of a medical one this says nothing.
"""

import argparse
import copy
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.config import Draft
from appliance.core.case import Case, Finding
from appliance.core.drafting.guard import verdict_on
from appliance.core.drafting.question import question
from appliance.core.drafting.reply import completion_of
from appliance.core.learn_then_test import upper_bound
from appliance.world.drafter import Drafter
from central import weights
from tests.central.centre_samples import a_case

LABELS = ("pneumonia", "pneumothorax", "effusion", "nodule")


def drawn(dice: random.Random, count: int) -> Iterator[Case]:
    for number in range(count):
        logit = dice.gauss(0, 2)
        finding = Finding(id="F1", label=dice.choice(LABELS), logit=logit, probability=round(dice.random(), 3))
        yield a_case(number, findings=(finding,), urgency=dice.choice(("routine", "urgent", "critical")))


def without_pattern(body: dict[str, Any]) -> dict[str, Any]:
    """The same question with free words, as a server sees it that knows no patterns."""
    bare = copy.deepcopy(body)
    properties = bare["response_format"]["json_schema"]["schema"]["properties"]
    del properties["impression"]["pattern"], properties["limitations"]["items"]["pattern"]
    return bare


def peak_mib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return max((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), default=0)


def measured(drafter: Drafter, cases: list[Case], *, pattern: bool) -> None:
    took, peak, withheld, none = [], 0, 0, 0
    tokens: dict[str, list[int]] = {"prompt_tokens": [], "completion_tokens": []}
    for case in cases:
        body = question(case, drafter.name).body
        began = time.monotonic()
        drafter.begin(body if pattern else without_pattern(body), began)
        while (reply := drafter.poll(time.monotonic())) is None:
            assert drafter._process is not None
            peak = max(peak, peak_mib(drafter._process.pid))
            time.sleep(0.05)
        took.append(time.monotonic() - began)
        said = json.loads(reply.data).get("usage", {}) if reply.data else {}
        for name, counts in tokens.items():
            counts.append(int(said.get(name, 0)))
        answered = completion_of(reply.data).answered("bench", "", enforced=True) if reply.data else None
        none += answered is None
        withheld += answered is not None and verdict_on(case, answered).status != "ok"
    count = len(cases)
    low = 1 - upper_bound(count - withheld - none, count, 0.025)
    high = upper_bound(withheld + none, count, 0.025)
    print(
        f"{'sentences enforced' if pattern else 'free words':<19} n={count}: {statistics.median(took):.1f} s in the "
        f"middle, {max(took):.1f} s at most, {peak} MiB; withheld {withheld}, no answer {none} "
        f"({100 * (withheld + none) / count:.0f} %, {100 * low:.0f}-{100 * high:.0f} %); tokens in "
        f"{statistics.median(tokens['prompt_tokens']):.0f}, out {statistics.median(tokens['completion_tokens']):.0f} "
        f"(at most {max(tokens['prompt_tokens'])}, {max(tokens['completion_tokens'])})",
        flush=True,
    )


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--cases", type=int, default=20)
    told.add_argument("--seed", type=int, default=1)
    options = told.parse_args()
    path = weights.fetch(print)
    with tempfile.TemporaryDirectory(prefix="draft-") as folder:
        drafter = Drafter(Draft(weights=str(path), weights_sha256=weights.SHA256), Path(folder) / "child")
        for pattern in (True, False):
            cases = list(drawn(random.Random(options.seed), options.cases))
            measured(drafter, cases, pattern=pattern)


if __name__ == "__main__":
    main()
