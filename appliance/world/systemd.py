"""What passes between a service and its supervisor, systemd or `appliance up`: datagrams of sd_notify(3), and the
listening socket of sd_listen_fds(3).
"""

import os
import socket
import time

TRY_PERIOD_S = 0.02
FIRST_PASSED = 3  # SD_LISTEN_FDS_START


def notify(message: str, *, wait_s: float = 1.0) -> bool:
    """Sends one state line such as READY=1 or WATCHDOG=1; False when nobody listens or takes it. Never raises.

    wait_s  how long to try while the listener's queue is full. A socket with a time-out must not be asked to wait:
            poll(2) calls it writable while sendto(2) refuses, and the wait burns a core
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    end = time.monotonic() + wait_s
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.setblocking(False)
            while True:
                try:
                    out.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
                except BlockingIOError:
                    if time.monotonic() >= end:
                        return False
                    time.sleep(TRY_PERIOD_S)
                else:
                    return True
    except OSError:
        return False


def passed_socket() -> socket.socket | None:
    """The one stream socket that the supervisor opened for this process; None when it opened none.

    source   sd_listen_fds(3): LISTEN_PID is ours, LISTEN_FDS says how many lie from descriptor 3 on
    """
    told = {name: os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    if told["LISTEN_PID"] != str(os.getpid()) or told["LISTEN_FDS"] != "1":
        return None
    os.set_inheritable(FIRST_PASSED, False)
    found = socket.socket(fileno=FIRST_PASSED)
    if found.type != socket.SOCK_STREAM:
        found.close()
        return None
    return found


def listen(path: str) -> socket.socket:
    """The other end, for `appliance up`: a socket that receives the children's datagrams and never blocks."""
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    inbox.bind(path)
    inbox.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    inbox.setblocking(False)
    return inbox
