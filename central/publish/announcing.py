"""A retained hint on the broker that there are updates: appliances look sooner, and believe nothing by it."""

import argparse
import json
import time
from typing import Any

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from appliance.core.messages import topic_desired
from appliance.core.updates import RINGS
from appliance.errors import Unavailable
from central import enrol, publish

PATIENCE_S = 20.0  # for everything; the library alone would dial a broker that refuses it for ever
LOOP_S = 0.2


def announce(told: argparse.Namespace, made: publish.Published) -> int:
    """Leaves the number of the newest state for every ring; returns it.

    raises  Unavailable("broker-away"): not every hint was acknowledged, the broker's word that it is there
    """
    host, port = told.broker
    files = enrol.line(told.broker_keys, host, tls=told.tls)
    number: int = made.timestamp().version
    client = Client(CallbackAPIVersion.VERSION2, client_id="", protocol=MQTTv5)
    if files is not None:
        client.tls_set(files.authority, files.certificate, files.key)
    left = {topic_desired(ring) for ring in RINGS}
    sent: dict[int, str] = {}

    def on_connect(_client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not reason.is_failure:
            for topic in sorted(left):
                said = client.publish(topic, json.dumps({"number": number}), qos=1, retain=True)
                sent[said.mid] = topic

    def on_publish(_client: Client, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        if not reason.is_failure and mid in sent:
            left.discard(sent[mid])

    client.on_connect, client.on_publish = on_connect, on_publish
    try:
        client.connect(host, port)
        deadline = time.monotonic() + PATIENCE_S
        while left and time.monotonic() < deadline and client.loop(LOOP_S) == 0:
            pass
        client.disconnect()
    except OSError:
        raise Unavailable("broker-away") from None
    if left:
        raise Unavailable("broker-away")
    return number
