"""Telling the supervisor how we are: the datagrams of sd_notify(3), to systemd or to `appliance up`."""

import os
import socket


def notify(message: str) -> bool:
    """Sends one state line such as READY=1 or WATCHDOG=1; False when nobody listens. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.settimeout(1)
            out.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        return False
    return True


def listen(path: str) -> socket.socket:
    """The other end, for `appliance up`: a socket that receives the children's datagrams and never blocks."""
    inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    inbox.bind(path)
    inbox.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    inbox.setblocking(False)
    return inbox
