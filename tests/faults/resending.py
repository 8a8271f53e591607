"""What a bad broker may do beyond losing: hand over again what it handed over before, in any order.

A client of its own listens to everything and, told to, publishes some of it again. It is the broker's fault played by
a client; what it publishes are true messages, late, doubled and out of order.
"""

import random
import threading
from collections import deque
from types import TracebackType

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.faults.town import Town

KEPT_MAX = 2000


class Resender:
    """Listens from `__enter__` on."""

    def __init__(self, town: Town) -> None:
        self.kept: deque[tuple[str, bytes]] = deque(maxlen=KEPT_MAX)
        self.lock = threading.Lock()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="resender", protocol=mqtt.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe("edge/#", qos=1)
        self.client.on_message = self._heard
        self.port = town.port

    def _heard(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        with self.lock:
            self.kept.append((message.topic, message.payload))

    def send_again(self, count: int, dice: random.Random) -> int:
        """Publishes so many of the messages it heard, in any order; returns how many."""
        with self.lock:
            chosen = dice.choices(list(self.kept), k=count) if self.kept else []
        for topic, payload in chosen:
            self.client.publish(topic, payload, qos=1)
        return len(chosen)

    def __enter__(self) -> "Resender":
        self.client.connect_async("127.0.0.1", self.port)
        self.client.reconnect_delay_set(0.1, 1)
        self.client.loop_start()
        return self

    def __exit__(self, _k: type[BaseException] | None, _f: BaseException | None, _t: TracebackType | None) -> None:
        self.client.disconnect()
        self.client.loop_stop()
