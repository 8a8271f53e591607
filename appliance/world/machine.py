"""Reads what the kernel says of this machine: processor, memory, the disk under a folder. Changes nothing."""

import os
import platform
import time
from pathlib import Path

from appliance.core.machine import Disk, Machine

SYNC_BYTES = 4096


def machine() -> Machine:
    cpu = _fields(Path("/proc/cpuinfo"))
    memory = _fields(Path("/proc/meminfo")).get("MemTotal", "0").split()[0]
    system = _fields(Path("/etc/os-release"), "=").get("PRETTY_NAME", "").strip('"')
    dmi = [_word(Path("/sys/class/dmi/id", name)) for name in ("sys_vendor", "product_name")]
    board = " ".join(word for word in dmi if word) or _word(Path("/proc/device-tree/model"))
    return Machine(
        cpu=cpu.get("model name") or cpu.get("Model") or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=int(memory) * 1024,
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        system=system,
        product=board.strip("\0"),
        virtual="hypervisor" in cpu.get("flags", "").split(),
    )


def disk(folder: Path) -> Disk:
    """The disk under a folder that exists."""
    filesystem, options, number = _mount(folder)
    device = _device(number)
    queue = Path("/sys/block", device, "queue") if device else Path("/nowhere")
    rotational = _word(queue / "rotational")
    names = [_word(Path("/sys/block", device, "device", name)) for name in ("vendor", "model")] if device else []
    virtual = device.startswith(("vd", "xvd"))
    return Disk(
        filesystem=filesystem,
        options=options,
        device=device,
        model="virtual disk" if virtual else " ".join(name for name in names if name),
        write_cache=_word(queue / "write_cache"),
        rotational=None if not rotational else rotational == "1",
    )


def sync_times(folder: Path, count: int) -> list[float]:
    """Seconds that each of so many appended and fsynced writes of 4 KiB took; what every acknowledgement costs here."""
    path, took = folder / ".sync-times", []
    with path.open("wb") as file:
        for _ in range(count):
            began = time.perf_counter()
            file.write(os.urandom(SYNC_BYTES))
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return took


def _mount(folder: Path) -> tuple[str, tuple[str, ...], str]:
    """File system, options and "major:minor" of the mount a folder lies in (proc_pid_mountinfo(5))."""
    real = str(folder.resolve())
    best: tuple[str, tuple[str, ...], str, str] = ("", (), "0:0", "")
    for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines():
        before, _, after = line.partition(" - ")
        fields, more = before.split(), after.split()
        point = fields[4].encode("latin-1", "replace").decode("unicode_escape")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[3]):
            options = tuple(dict.fromkeys([*fields[5].split(","), *more[2].split(",")]))
            best = (more[0], options, fields[2], point)
    return best[0], best[1], best[2]


def _device(number: str) -> str:
    """The whole disk behind a device number: past partitions, and through LUKS or LVM where they lie on one disk."""
    place = Path("/sys/dev/block", number)
    if not place.exists():
        return ""
    real = place.resolve()
    if (real / "partition").exists():
        real = real.parent
    while (real / "slaves").is_dir() and len(below := list((real / "slaves").iterdir())) == 1:
        real = below[0].resolve()
        if (real / "partition").exists():
            real = real.parent
    return real.name


def _fields(path: Path, sign: str = ":") -> dict[str, str]:
    """The first value of each `name: value` line."""
    found: dict[str, str] = {}
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return found
    for line in lines:
        name, _, value = line.partition(sign)
        found.setdefault(name.strip(), value.strip())
    return found


def _word(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
