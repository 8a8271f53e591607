"""A mosquitto in production form: its configuration, access list and certificates, written into one folder.

Who may do what is two patterns on the name in a certificate (central/mosquitto/acl.template); the limits are here. It
starts nothing and restarts nothing.
"""

from pathlib import Path
from string import Template

from appliance.core.messages import topic_desired, topic_down, topic_up

PACKET_BYTES_MAX = 512 * 1024  # a part is 48 KiB, the largest letter 160 KiB
QUEUED_MESSAGES_MAX = 20_000
QUEUED_BYTES_MAX = 512 * 2**20
INFLIGHT_MESSAGES_MAX = 64
DEVICE_CONNECTIONS_MAX, CENTRE_CONNECTIONS_MAX = 4_000, 256
KEEPALIVE_S_MAX = 600
CENTRE_NAME = "centre.worker"  # in the workers' certificates; with its full stop no device can be called so
TEMPLATES = Path(__file__).parent / "mosquitto"
HINTS = topic_desired("x").split("/x/")[0]
UP, DOWN = topic_up("x", "part").split("/up/")[0] + "/up", topic_down("x", "have").split("/down/")[0] + "/down"


def access_list() -> str:
    """The content of mosquitto's acl_file."""
    return Template((TEMPLATES / "acl.template").read_text()).substitute(
        up=UP, down=DOWN, hints=HINTS, centre=CENTRE_NAME
    )


def configuration(folder: Path, *, device_port: int, centre_port: int, bind: str, state: Path) -> str:
    """The content of mosquitto.conf.

    folder  where its certificates and the access list lie
    state   where the broker keeps its sessions
    bind    address both listeners listen on
    """
    return Template((TEMPLATES / "mosquitto.conf.template").read_text()).substitute(
        folder=folder,
        state=state,
        bind=bind,
        device_port=device_port,
        centre_port=centre_port,
        device_connections=DEVICE_CONNECTIONS_MAX,
        centre_connections=CENTRE_CONNECTIONS_MAX,
        packet_bytes_max=PACKET_BYTES_MAX,
        queued_messages_max=QUEUED_MESSAGES_MAX,
        queued_bytes_max=QUEUED_BYTES_MAX,
        inflight_messages_max=INFLIGHT_MESSAGES_MAX,
        keepalive_s_max=KEEPALIVE_S_MAX,
    )
