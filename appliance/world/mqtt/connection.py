"""One paho client from CONNECT to the end of its socket; it lives in the network thread of its link only.

It refuses to come back: every connection is a fresh client, and whoever owns the link decides when there is another.
"""

import contextlib
import selectors
import ssl
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from appliance.core.link import PACKET_TOO_LARGE, Message
from appliance.world.mqtt import tls

if TYPE_CHECKING:
    from appliance.world.mqtt import Link

OUTSTANDING_MAX = 16  # published and not yet acknowledged by the broker
RECEIVE_MAX = 16  # delivered to us and not yet acknowledged by us (Receive Maximum, MQTT 5.0, 3.1.2.11.3)
PACKET_BYTES_MAX = 512 * 1024  # the broker must not send us larger ones (Maximum Packet Size, 3.1.2.11.4)
HEADER_BYTES = 32  # more than the fixed and variable header of a PUBLISH without properties, the topic apart
CONNECT_TIMEOUT_S = 5.0
HANDSHAKE_TIMEOUT_S = 10.0  # from the TCP connection to the subscription's acknowledgement
PUBACK_TIMEOUT_S = 120.0  # a broker that answers pings but no publish is hung up on
TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class Publish:
    epoch: int
    topic: str
    payload: bytes
    token: Hashable


class Connection:
    """Hold it once.

    why, code  how it ended: in words, and as a code of the catalogue
    """

    def __init__(self, link: "Link") -> None:
        self.link, self.epoch = link, link._begin_epoch()
        self.why, self.code, self.over, self.ready = "closed by the broker", "broker-away", False, False
        self.window, self.packet_bytes_max = OUTSTANDING_MAX, PACKET_BYTES_MAX
        self.tokens: dict[int, tuple[Hashable, float]] = {}  # by packet identifier, with the time of sending
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=link.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self.client.connect_timeout = CONNECT_TIMEOUT_S
        self.client.max_inflight_messages_set(OUTSTANDING_MAX + 1)  # never reached: paho is given nothing to queue
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = self._on_message
        self.client.on_publish = self._on_publish

    def hold(self) -> None:
        """Connects and works until the connection ends."""
        link, properties = self.link, Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = link.session_expiry_s
        properties.ReceiveMaximum = RECEIVE_MAX
        properties.MaximumPacketSize = PACKET_BYTES_MAX
        if not self._dress() or link._stopping.is_set():  # whoever goes must not take the session over once more
            return
        try:
            clean = link.session_expiry_s == 0
            self.client.connect(link.host, link.port, link.keepalive_s, clean_start=clean, properties=properties)
            self._work()
        except OSError as error:
            self.why, self.code = type(error).__name__, tls.fault_of(error)
        finally:
            self.client.disconnect()
            left = self.client.socket()
            if left is not None:  # the goodbye did not fit into the socket
                left.close()

    def _dress(self) -> bool:
        """Last will and TLS; False when the files for it are not what they should be."""
        will = self.link.will
        if will is not None:
            properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
            properties.WillDelayInterval = will.delay_s
            self.client.will_set(will.topic, will.payload, qos=1, properties=properties)
        if self.link.tls is not None:
            try:
                self.client.tls_set_context(tls.context(self.link.tls))
            except OSError as error:
                self.why, self.code = type(error).__name__, "keys-invalid"
                return False
        return True

    def _work(self) -> None:
        began, held, far = time.monotonic(), self.client.socket(), self.link._far
        if held is None:
            return
        with selectors.DefaultSelector() as selector:
            selector.register(held, selectors.EVENT_READ)
            selector.register(far, selectors.EVENT_READ)
            while not self.over and not self.link._stopping.is_set() and self.client.socket() is held:
                writing = selectors.EVENT_WRITE if self.client.want_write() else 0
                crowded = self.link.crowded
                _watch(selector, held, (0 if crowded else selectors.EVENT_READ) | writing)
                # What TLS has decrypted already, no select tells of.
                reading = not crowded and isinstance(held, ssl.SSLSocket) and held.pending() > 0
                for key, mask in selector.select(0 if reading else TICK_S):
                    if key.fileobj is far:
                        with contextlib.suppress(BlockingIOError):
                            far.recv(4096)
                    else:
                        reading |= bool(mask & selectors.EVENT_READ)
                if reading and self.client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    break
                self._obey()
                if self.client.want_write():
                    self.client.loop_write()
                self.client.loop_misc()
                self._look_at_the_clock(time.monotonic(), began)
        if isinstance(held, tls.Socket) and held.fault and not self.over:
            self.why, self.code = "TLS ended", held.fault

    def _obey(self) -> None:
        while self.link._commands:
            command = self.link._commands.popleft()
            if command.epoch != self.epoch:
                continue
            if isinstance(command, Message):
                self.client.ack(command.mid, command.qos)
            elif len(command.payload) + len(command.topic.encode()) + HEADER_BYTES > self.packet_bytes_max:
                self.link._answered(command.token, PACKET_TOO_LARGE)
            else:
                info = self.client.publish(command.topic, command.payload, qos=1)
                self.tokens[info.mid] = (command.token, time.monotonic())

    def _look_at_the_clock(self, now: float, began: float) -> None:
        if not self.ready and now - began > HANDSHAKE_TIMEOUT_S:
            self._hang_up("the broker did not finish the handshake")
        oldest = next(iter(self.tokens.values()), None)
        if oldest is not None and now - oldest[1] > PUBACK_TIMEOUT_S:
            self._hang_up("the broker does not acknowledge")

    def _hang_up(self, why: str, code: str = "broker-away") -> None:
        self.why, self.code, self.over = why, code, True

    # paho's callbacks: they enqueue or note, and raise nothing, because an exception would end the thread.

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, found: Any) -> None:
        if reason.is_failure:
            self._hang_up(f"refused: {reason}", "broker-refused")
            return
        self.window = getattr(found, "ReceiveMaximum", OUTSTANDING_MAX)
        self.packet_bytes_max = getattr(found, "MaximumPacketSize", PACKET_BYTES_MAX)
        if self.link.subscriptions:
            self.client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self.link.subscriptions])
        else:
            self._be_ready()

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _found: Any) -> None:
        failed = [str(reason) for reason in reasons if reason.is_failure]
        if failed:
            self._hang_up(f"subscription refused: {failed[0]}", "broker-refused")
        else:
            self._be_ready()

    def _be_ready(self) -> None:
        self.ready = True
        self.link._come_up(self.window)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        event = Message(topic, bytes(message.payload), self.epoch, message.mid, message.qos)
        if not self.link._put(event) and message.qos > 0:
            self._hang_up("the service does not keep up")  # the broker delivers again, so nothing is lost

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _found: Any) -> None:
        token, _sent_at = self.tokens.pop(mid)
        if not self.link._answered(token, int(reason.value)):
            self._hang_up("the service does not keep up")


def _watch(selector: selectors.BaseSelector, held: Any, events: int) -> None:
    known = held in selector.get_map()
    if not events:
        if known:
            selector.unregister(held)
    elif known:
        selector.modify(held, events)
    else:
        selector.register(held, events)
