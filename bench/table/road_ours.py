"""Our side of the road: production triage on a state folder, from a file in incoming/ to its sealed case and its move.

Run by bench.table.sides in a process of its own. What is counted is the processor time of this process and of the
child that runs the graphs; quiet times are passed by the hand of the clock.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from appliance.config import Config, Places
from appliance.core.options import PROFILES
from appliance.loop import Moment
from appliance.triage import Triage
from appliance.triage.cleaning import for_the_centre
from appliance.triage.judge import open_court
from bench.table.corpus import ROOT
from tests import correspondents

SITE_KEY = hashlib.sha256(b"bench").digest()
# whole: pictures are cleaned and read again as in production. header: no picture leaves, so none is read; the
# inspector of the finished bytes runs. uninspected: the same without it.
# series: as header, all files of one study.
HOW = ("whole", "header", "uninspected", "series")
STEPS = (("admit", 0.0), ("assemble", 0.0), ("assemble", 1.0), ("judge", 1.0), ("seal", 1.0))


@contextmanager
def road(folder: Path, how: str) -> Iterator[Callable[[Iterable[bytes]], None]]:
    """Takes files, each a study of its own, all the way; a file that ends anywhere but sealed or routine fails."""
    told = {"quiet_period_s": 0.05, "quiet_period_with_evidence_s": 0.05}
    config = Config.model_validate({"triage": told, "receive": {"disk_reserve_bytes": 0}})
    places = Places(folder / "state")
    options = PROFILES["centre"] if how == "whole" else PROFILES["centre"] - {"clean-pixel-data"}
    with ExitStack() as held:
        if how == "uninspected":
            for name in ("core.outgoing.inspect", "triage.sealing.inspected"):
                held.enter_context(patch(f"appliance.{name}", lambda *_, **__: None))
        court = open_court(ROOT / "models", "harbour", ROOT / "models" / "trusted")
        cleaning = for_the_centre(SITE_KEY, options)
        service = Triage(config, places, SITE_KEY, court, cleaning, correspondents.post(config))
        held.callback(service.close)
        steps, began = service.steps(), [0.0]

        def taken(files: Iterable[bytes]) -> None:
            count = 0
            for data in files:
                count += 1
                (places.incoming / f"{hashlib.sha256(data).hexdigest()}.dcm").write_bytes(data)
            began[0] += 10.0
            for name, passed in STEPS:
                at = Moment(1e9 + began[0] + passed, began[0] + passed)
                for _ in range(2 * count + 2):
                    if not steps[name](at):
                        break

        yield taken
        with service.engine.connect() as c:
            left = c.exec_driver_sql("select count(*) from studies where state not in ('escalated', 'routine')")
            assert left.scalar_one() == 0, "a study of the bench did not come to the end of the road"


def family_cpu_s() -> float:
    """Of this process and of its living children, in seconds."""
    used, ticks = os.times(), os.sysconf("SC_CLK_TCK")
    whole = used.user + used.system
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        whole += (int(fields[11]) + int(fields[12])) / ticks
    return whole
