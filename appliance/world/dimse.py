"""The scanner's network protocol: a Storage and Verification SCP (PS3.4 Annexes B and A) on pynetdicom.

Objects are written to a landing folder while they come, in the transfer syntax in which they were sent, and handed over
whole; what the sender is told depends on nothing but whether they were kept. No data set is parsed: the File Meta
Information is made from the command set and the negotiated syntax (PS3.10 7.1). Every storage class is accepted, also
private ones and those that nobody knows yet. What a peer may make this process hold is bounded.
"""

import logging
import queue
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseServer
from typing import Any

import pynetdicom
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu import A_ABORT_RQ
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from appliance.config.dimse import Dimse
from appliance.errors import Misconfigured, Unavailable

SUCCESS, OUT_OF_RESOURCES, PROCESSING_FAILURE = 0x0000, 0xA700, 0x0110  # PS3.4 B.2.3, PS3.7 C.5
# PS3.8 9.3.4: result, source, reason
NOT_KNOWN, CONGESTED = (0x01, 0x01, 0x03), (0x02, 0x03, 0x01)
OTHER_PDU_BYTES_MAX = 2**20  # of an association request with every class and syntax there is
COMMAND_BYTES_MAX = 2**16
IDENTIFIER_BYTES_MAX = 2**20  # of a data set that comes with any other request
LANDING_SLACK_S, LANDING_ALONE_S = 60.0, 5.0
WAITING_MAX = 4  # requests sent before the answer to the first: none was negotiated (PS3.7 D.3.3.3)
TLS_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"  # PS3.15 B.12, which follows BCP 195 (RFC 9325)


@dataclass(frozen=True, slots=True)
class Ends:
    """What the listener asks its service.

    keep     puts a whole file away durably and returns ""; the code of a fault when it cannot
    room     whether more may come now
    safely   runs work on what a peer sent; False when it failed, whatever it raised
    strange  told the address of somebody unknown who was refused
    limited  told that an association was ended because it went past a limit
    """

    keep: Callable[[Path], str]
    room: Callable[[], bool]
    safely: Callable[[Callable[[], None]], bool]
    strange: Callable[[str], None]
    limited: Callable[[], None]


class Listener:
    """A running server; `stop` ends its associations."""

    def __init__(self, server: ThreadedAssociationServer, ae: AE, landing: Path) -> None:
        self._server, self._ae, self._landing = server, ae, landing
        self._keeps_s = (ae.network_timeout or 0.0) + LANDING_SLACK_S
        self.port = int(server.server_address[1])
        self._thread = threading.Thread(target=server.serve_forever, name="dimse", daemon=True)
        self._thread.start()

    def tidy(self, now: float) -> None:
        """Removes what broken associations left in the landing folder: their senders were promised nothing.

        now  wall seconds since 1970, as file times count
        """
        alone = not self._ae.active_associations
        for path in self._landing.iterdir():
            with suppress(FileNotFoundError):
                if now - path.stat().st_mtime > (LANDING_ALONE_S if alone else self._keeps_s):
                    path.unlink()

    def stop(self) -> None:
        """Ends the server and every association; what was half here is gone, and its sender knows."""
        BaseServer.shutdown(self._server)  # pynetdicom's own expects a server that its AE started
        self._server.server_close()
        for association in self._ae.active_associations:
            association.abort()
        self._thread.join(5)
        if tempfile.tempdir == str(self._landing):
            tempfile.tempdir = None


def listen(knobs: Dimse, landing: Path, file_bytes_max: int, key_file: Path, ends: Ends) -> Listener:
    """Starts to listen. landing lies on the file system of whatever `ends.keep` moves files to.

    raises  Unavailable("dimse-address"): it is not there, taken, or not ours to take; Misconfigured("dimse-tls")
    """
    pynetdicom._config.STORE_RECV_CHUNKED_DATASET = True
    pynetdicom._config.UNRESTRICTED_STORAGE_SERVICE = True
    pynetdicom._config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its words may quote what a stranger sent
    landing.mkdir(parents=True, exist_ok=True)
    for left in landing.iterdir():
        left.unlink()
    ae = AE(ae_title=knobs.ae_title)
    ae.require_called_aet = True
    ae.maximum_associations = knobs.associations_max
    ae.maximum_pdu_size = knobs.pdu_bytes_max
    ae.acse_timeout = knobs.request_timeout_s
    ae.dimse_timeout = ae.network_timeout = knobs.idle_timeout_s
    ae.add_supported_context(Verification)
    context = _tls(knobs, key_file) if knobs.tls == "mutual" else None
    rules = _Rules(knobs, file_bytes_max, ends)
    tempfile.tempdir = str(landing)  # where pynetdicom writes what comes
    try:
        server = ae.make_server(
            (knobs.host, knobs.port),
            evt_handlers=[
                (evt.EVT_REQUESTED, rules.requested),
                (evt.EVT_C_STORE, rules.store),
                (evt.EVT_CONN_CLOSE, lambda event: event.assoc.dimse.forget()),
            ],
            server_class=_server_class(rules, context),
            request_handler=_Handler,
        )
    except OSError:
        tempfile.tempdir = None
        raise Unavailable("dimse-address", "dimse.host") from None
    return Listener(server, ae, landing)


def _tls(knobs: Dimse, key_file: Path) -> ssl.SSLContext:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(TLS_CIPHERS)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(knobs.tls_certificate_file, key_file)
        context.load_verify_locations(knobs.tls_authority_file)
    except (OSError, ssl.SSLError):
        raise Misconfigured("dimse-tls", "dimse.tls_certificate_file") from None
    return context


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is decided about a connection, an association and an object."""

    knobs: Dimse
    file_bytes_max: int
    ends: Ends

    def requested(self, event: Any) -> None:
        """Refuses who is not on the list, and everybody while there is no room."""
        association = event.assoc
        title, address = association.requestor.primitive.calling_ae_title, association.requestor.address
        if not self.knobs.may_send(title, address):
            self.ends.strange(address)
            association.acse.send_reject(*NOT_KNOWN)
            association.kill()
        elif not self.ends.room():
            association.acse.send_reject(*CONGESTED)
            association.kill()

    def store(self, event: Any) -> int:
        """The answer to C-STORE, made after the object is kept or because it cannot be."""
        fault = self.ends.keep(event.dataset_path)
        if fault:
            return OUT_OF_RESOURCES if fault == "disk-low" else PROCESSING_FAILURE
        return SUCCESS

    def too_much(self, provider: DIMSEServiceProvider) -> bool:
        """Whether a peer makes this process hold more than an honest one would."""
        if provider.msg_queue.qsize() > WAITING_MAX:
            return True
        message = provider.message
        if message is None:
            return False
        if message.encoded_command_set.tell() > COMMAND_BYTES_MAX:
            return True
        path = message._data_set_path
        if isinstance(path, Path):
            return path.stat().st_size > self.file_bytes_max or not self.ends.room()
        identifier = message.data_set
        return identifier is not None and identifier.tell() > IDENTIFIER_BYTES_MAX


def _drop(file: Any) -> None:
    if file is not None:
        file.close()
        Path(file.name).unlink(missing_ok=True)


class _Provider(DIMSEServiceProvider):
    """pynetdicom's reader of messages under our limits."""

    def __init__(self, association: Association, rules: _Rules) -> None:
        super().__init__(association)
        self._rules = rules

    def receive_primitive(self, primitive: Any) -> None:
        # No room, or a command set that is none: the thread must not end by it and leave a peer waiting.
        read = super().receive_primitive
        if self._rules.ends.safely(lambda: read(primitive)):
            if not self._rules.too_much(self):
                return
            self._rules.ends.limited()
        self._end()

    def _end(self) -> None:
        """Aborts as pynetdicom does where its own reactor fails: nothing that waits is served, nothing more is sent."""
        abort = A_ABORT_RQ()
        abort.source, abort.reason_diagnostic = 0x02, 0x00  # PS3.8 9.3.8: the service provider, no reason given
        association = self.assoc
        association.is_established, association.is_aborted, association._kill = False, True, True
        self.dul._kill_thread = True
        line = self.dul.socket
        if line is not None:
            line.send(abort.encode())
        self.forget()

    def forget(self) -> None:
        """Lets go of what is half here or waits for its turn: nobody was promised anything of it."""
        if self.message is not None:
            _drop(self.message._data_set_file)
        while True:
            try:
                _, request = self.msg_queue.get_nowait()
            except queue.Empty:
                return
            _drop(getattr(request, "_dataset_file", None))


class _Socket(AssociationSocket):
    """The association's end of the line: a PDU longer than agreed is not read, and what came is acknowledged at once.

    Scanners that leave Nagle's algorithm on wait 40 ms for each object otherwise (RFC 1122 4.2.3.2, tcp(7)).
    """

    def recv(self, nr_bytes: int) -> bytearray:
        if nr_bytes > max(self.assoc.ae.maximum_pdu_size, OTHER_PDU_BYTES_MAX) + 6:
            raise OSError("a PDU longer than agreed")
        held, got = bytearray(nr_bytes), 0
        view = memoryview(held)
        line = self.socket
        assert line is not None
        while got < nr_bytes:
            count = line.recv_into(view[got:])
            if not count:
                break
            got += count
        view.release()
        del held[got:]
        with suppress(OSError):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return held


class _Handler(RequestHandler):
    def _create_association(self) -> Association:
        association = super()._create_association()
        rules: _Rules = self.server.rules_of_this_door  # type: ignore[attr-defined]
        association.dimse = _Provider(association, rules)
        line = association.dul.socket
        assert type(line) is AssociationSocket
        line.__class__ = _Socket  # a second one would announce the connection a second time
        return association


def _server_class(rules: _Rules, context: ssl.SSLContext | None) -> type[ThreadedAssociationServer]:
    class Server(ThreadedAssociationServer):
        rules_of_this_door = rules
        daemon_threads = True
        request_queue_size = 128

        def get_request(self) -> tuple[socket.socket, Any]:
            """Accepts and does nothing else: a slow hand-shake of one must not keep the others at the door."""
            assert self.socket is not None
            return self.socket.accept()

        def verify_request(self, _request: Any, client_address: Any) -> bool:
            if rules.knobs.known_address(client_address[0]):
                return True
            rules.ends.strange(client_address[0])
            return False

        def finish_request(self, request: Any, client_address: Any) -> None:
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request.settimeout(rules.knobs.request_timeout_s)
            if context is not None:
                try:
                    request = context.wrap_socket(request, server_side=True)
                except OSError:  # ssl.SSLError is one
                    rules.ends.strange(client_address[0])
                    request.close()
                    return
            request.settimeout(rules.knobs.idle_timeout_s)
            super().finish_request(request, client_address)

    return Server
