"""A whole appliance for the rows that need one, and what the kernel says of its processes."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from appliance.cli.prove.house import House
from bench.table.corpus import ROOT
from bench.table.measured import environment

MODEL = "cxr-paediatric-pneumonia"
SERVICES = ("receive", "triage", "uplink", "review", "deliver")
MIB = 2**20


class Unenrolled(House):
    """Hard studies wait, and nothing is sealed between two of them."""

    def _enrol(self, _: Path) -> None:
        pass


def house(folder: Path, settings: dict[str, dict[str, object]] | None = None) -> House:
    """All five services with the one trained model, and no centre: none of these rows needs an answer."""
    shutil.copytree(ROOT / "models" / MODEL, folder / "models" / MODEL)
    told = {**(settings or {})}
    told["triage"] = {**told.get("triage", {}), "model_folder": str(folder / "models")}
    made = Unenrolled(folder, settings=told, away=("central",))
    assert made.supervisor is not None
    kept = environment()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    made.supervisor.environment |= {name: kept[name] for name in ("PYTHONPYCACHEPREFIX", "PYTHONPATH")}
    return made


def pids(made: House, names: Iterable[str] = SERVICES) -> list[int]:
    """Of the services and of the children that they have."""
    found = []
    for name in names:
        process = made.child(name).process
        assert process is not None, f"{name} does not run"
        found += family(process.pid)
    return found


def family(pid: int) -> list[int]:
    children = [int(each) for task in _tasks(pid) for each in (task / "children").read_text().split()]
    return [pid, *(each for child in children for each in family(child))]


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def cpu_s(found: Iterable[int]) -> float:
    """User and system time of processes, their ended children included (proc_pid_stat(5))."""
    ticks = 0
    for pid in found:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(each) for each in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Resident set, pages shared with others counted whole."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def proportional_mib(pid: int) -> float:
    """Proportional set: a page shared by four counts a quarter in each."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


def wake_ups(pid: int) -> int:
    """How often the threads of a process were given a core after waiting for something."""
    lines = [line for task in _tasks(pid) for line in (task / "status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
