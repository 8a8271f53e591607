"""A retained hint on the broker that there are updates: appliances look sooner, and believe nothing by it."""

import argparse
import json
from typing import Any

from paho.mqtt import MQTTException
from paho.mqtt.client import MQTTv5
from paho.mqtt.publish import multiple

from appliance.core.messages import topic_desired
from appliance.core.updates import RINGS
from appliance.errors import Unavailable
from central import enrol, publish


def announce(told: argparse.Namespace, made: publish.Published) -> int:
    """Leaves the number of the newest state for every ring; returns it. Raises Unavailable("broker-away")."""
    host, port = told.broker
    files = enrol.line(told.broker_keys, host, tls=told.tls)
    number: int = made.timestamp().version
    payload = json.dumps({"number": number})
    hints: list[Any] = [
        {"topic": topic_desired(ring), "payload": payload, "qos": 1, "retain": True} for ring in RINGS
    ]  # fmt: skip
    tls: Any = files and {"ca_certs": files.authority, "certfile": files.certificate, "keyfile": files.key}
    try:
        multiple(hints, hostname=host, port=port, tls=tls, protocol=MQTTv5, client_id="")
    except (OSError, MQTTException):
        raise Unavailable("broker-away") from None
    return number
