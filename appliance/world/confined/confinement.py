"""How a child process is tied to its parent and confined: for those that run what strangers made (graphs, weights)."""

import ctypes
import os
import resource
import signal

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38  # prctl(2)
STATM_PAGES = 0  # proc(5): the first number of statm is the size of the address space


def confine(parent: int, memory_bytes: int, *, processes: int, open_files: int) -> None:
    """Ties this process to its parent and takes away what it does not need any more.

    memory_bytes  beyond what it has by now
    processes     that its user may have, threads counted: 0 lets it start none
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # a film must not lie in a core file
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - nothing but this number is read
        has = int(file.read().split()[STATM_PAGES]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + memory_bytes,) * 2)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_NOFILE, open_files),
    ):
        resource.setrlimit(limit, (value, value))
