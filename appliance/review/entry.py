"""The socket on which the page answers: systemd's, or one of our own.

systemd opens it, keeps it while the service is started anew, and filters who may come in (appliance-review.socket): the
service itself needs no network. `appliance up` and tests pass none, and the page binds by itself.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.errors import Misconfigured
from appliance.world import systemd


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """The socket that systemd opened and keeps while this service is started anew; without one, a socket of our own."""
    passed = systemd.passed_socket()
    if passed is not None:
        with passed:
            if port not in (0, passed.getsockname()[1]):
                raise Misconfigured("socket-differs", "review.port")
            yield passed
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError:
        raise Misconfigured("port-taken", "review.port") from None
    with listener:
        yield listener
