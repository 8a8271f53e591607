"""An association's end of the line under limits: pynetdicom's server, and what it lacks.

Messages, PDUs and requests ahead of their answer are bounded, strangers are cut off before a byte of theirs is read,
and a slow hand-shake of one keeps nobody else at the door. Whoever listens says what may come; nothing here knows a
service.
"""

import queue
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseServer
from threading import Thread
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import A_ABORT_RQ
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from appliance.world.dimse import plain
from appliance.world.dimse.pdata import Upper
from appliance.world.dimse.waking import WAIT_S, Bell, News, Told, readable

OTHER_PDU_BYTES_MAX = 2**20  # of an association request with every class and syntax there is
COMMAND_BYTES_MAX = 2**16
IDENTIFIER_BYTES_MAX = 2**20  # of a data set that is no object
LAST_OF_COMMAND, PDV_BYTES = b"\x03", 6  # PS3.8 Annex E.2; length, context and control header of a value (9.3.5.1)
WAITING_MAX = 4  # requests sent before the answer to the first: none was negotiated (PS3.7 D.3.3.3)
TLS_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"  # PS3.15 B.12, which follows BCP 195 (RFC 9325)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server asks whoever listens.

    known    whether anybody who may come lives at an address
    large    whether an object of so many bytes, as far as it came, is more than may come
    safely   runs work on what a peer sent; False when it failed, whatever it raised
    strange  told the address of somebody who was cut off
    limited  told that an association was ended because it went past a limit
    ended    told of every association that there was, once its last message is answered
    tls      None: in clear
    """

    known: Callable[[str], bool]
    large: Callable[[int], bool]
    safely: Callable[[Callable[[], None]], bool]
    strange: Callable[[str], None]
    limited: Callable[[], None]
    ended: Callable[[Association], None]
    request_timeout_s: float
    idle_timeout_s: float
    tls: ssl.SSLContext | None


class Server:
    """A running server; `stop` ends its associations."""

    def __init__(self, ae: AE, address: tuple[str, int], limits: Limits, handlers: list[Any]) -> None:
        """Binds and serves at once. Raises OSError when the address cannot be had."""
        handlers = [*handlers, (evt.EVT_CONN_CLOSE, lambda event: event.assoc.dimse.forget())]
        kind = _server_class(limits)
        self._server = ae.make_server(address, evt_handlers=handlers, server_class=kind, request_handler=_Handler)
        self._ae = ae
        self.port = int(self._server.server_address[1])
        self._thread = Thread(target=self._server.serve_forever, name="dimse", daemon=True)
        self._thread.start()

    @property
    def alone(self) -> bool:
        """Whether no association is open."""
        return not self._ae.active_associations

    def stop(self) -> None:
        """Ends the server and every association."""
        BaseServer.shutdown(self._server)  # pynetdicom's own expects a server that its AE started
        self._server.server_close()
        for association in self._ae.active_associations:
            association.abort()
        self._thread.join(5)


def server_tls(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """TLS with certificates on both sides. Raises OSError (ssl.SSLError is one)."""
    return _two_sided(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key, authority)


def client_tls(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """The same for whoever calls; the other side must be who it says at the name it is called by."""
    return _two_sided(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key, authority)


def _two_sided(context: ssl.SSLContext, certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_CIPHERS)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    return context


def _drop(file: Any) -> None:
    if file is not None:
        file.close()
        Path(file.name).unlink(missing_ok=True)


class _Provider(DIMSEServiceProvider):
    """pynetdicom's reader of messages under our limits."""

    def __init__(self, association: Association, limits: Limits) -> None:
        super().__init__(association)
        self._limits, self._news = limits, News()
        self.msg_queue = self._news.queue()
        self.dul.to_user_queue = self._news.queue()

    def get_msg(self, block: bool = False) -> Any:
        if not block:  # the association's own loop, between two looks
            self._news.wait()
        return super().get_msg(block)

    def receive_primitive(self, primitive: Any) -> None:
        # No room, or a command set that is none: the thread must not end by it and leave a peer waiting.
        read = super().receive_primitive
        coming: Any = None if self.message is None else self.message._data_set_file
        if self._limits.safely(lambda: read(primitive)):
            if self.dul._kill_thread:  # another thread ended it meanwhile, and let go of what was there before
                self.forget()
                return
            if not self._too_much():
                if coming is not None and self.message is None:  # whole: the other thread syncs it meanwhile
                    coming.sha256()
                return
            self._limits.limited()
        self._end()

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """A plain answer to C-STORE goes as it is, in one piece; everything else as pynetdicom sends it."""
        answers = isinstance(primitive, C_STORE) and primitive.MessageIDBeingRespondedTo is not None
        command = plain.answer_of(primitive) if answers else None
        if command is None or 0 < self.maximum_pdu_size < len(command) + PDV_BYTES:
            super().send_msg(primitive, context_id)
            return
        told = P_DATA()
        told.presentation_data_value_list.append((context_id, LAST_OF_COMMAND + command))
        self.dul.send_pdu(told)

    def _too_much(self) -> bool:
        """Whether a peer makes this process hold more than an honest one would."""
        if self.msg_queue.qsize() > WAITING_MAX:
            return True
        message = self.message
        if message is None:
            return False
        if message.encoded_command_set.tell() > COMMAND_BYTES_MAX:
            return True
        path = message._data_set_path
        if isinstance(path, Path):
            with suppress(FileNotFoundError):  # another thread has just let go of it
                return self._limits.large(path.stat().st_size)
            return False
        identifier = message.data_set
        return identifier is not None and identifier.tell() > IDENTIFIER_BYTES_MAX

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

    bell: Bell

    @property
    def ready(self) -> bool:
        if self.socket is None or not self._is_connected:
            return False
        ending = self.assoc.dul.state_machine.current_state == "Sta13"  # what is not there now is not awaited
        try:
            came = readable(self.socket, self.bell, 0 if ending else WAIT_S)
            return came and not self.assoc.dul._kill_thread
        except (OSError, ValueError):
            self.event_queue.put("Evt17")  # PS3.8 Table 9-10: the connection is closed
            return False

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


class _Association(Association):
    """One whose end is told, whatever ended it."""

    def run(self) -> None:
        try:
            super().run()
        finally:
            limits: Limits = self._server.limits_of_this_door  # type: ignore[union-attr]
            limits.ended(self)


class _Handler(RequestHandler):
    def _create_association(self) -> Association:
        association = super()._create_association()
        association.__class__ = _Association  # pynetdicom makes it in the midst of setting it up
        association.dimse = _Provider(association, self.server.limits_of_this_door)  # type: ignore[attr-defined]
        association.dul.__class__ = Upper
        line = association.dul.socket
        assert type(line) is AssociationSocket
        line.__class__ = _Socket  # a second one would announce the connection a second time
        line.bell = bell = Bell()  # type: ignore[attr-defined]
        association.dul.to_provider_queue = Told(bell.ring)
        association.dul._run_loop_delay = 0  # it waits in `ready`
        return association


def _server_class(limits: Limits) -> type[ThreadedAssociationServer]:
    class Door(ThreadedAssociationServer):
        limits_of_this_door = limits
        daemon_threads = True
        request_queue_size = 128

        def get_request(self) -> tuple[socket.socket, Any]:
            """Accepts and does nothing else: a slow hand-shake of one must not keep the others at the door."""
            assert self.socket is not None
            return self.socket.accept()

        def verify_request(self, _request: Any, client_address: Any) -> bool:
            if limits.known(client_address[0]):
                return True
            limits.strange(client_address[0])
            return False

        def finish_request(self, request: Any, client_address: Any) -> None:
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request.settimeout(limits.request_timeout_s)
            if limits.tls is not None:
                try:
                    request = limits.tls.wrap_socket(request, server_side=True)
                except OSError:  # ssl.SSLError is one
                    limits.strange(client_address[0])
                    request.close()
                    return
            request.settimeout(limits.idle_timeout_s)
            super().finish_request(request, client_address)

    return Door
