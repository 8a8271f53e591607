"""Where a PACS tells what became of a commitment that it was asked for: N-EVENT-REPORT on an association of its own.

It takes nothing else, no object above all, and only from the AE titles it is told, at the addresses it is told.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pynetdicom
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from appliance.errors import Unavailable
from appliance.world.dimse.calling import PDU_BYTES_MAX, Report, answer_to
from appliance.world.dimse.server import Limits, Server

ASSOCIATIONS_MAX = 8
REQUEST_TIMEOUT_S, IDLE_TIMEOUT_S = 30.0, 60.0
NOT_KNOWN = (0x01, 0x01, 0x03)  # PS3.8 9.3.4: permanent, service user, calling AE title not recognised


@dataclass(frozen=True, slots=True)
class Ears:
    """What the listener asks its service.

    heard    told of a report; whether it was expected
    expects  whether a target calls, by its own AE title and the one it calls
    known    whether a target lives at an address
    safely   runs work on what a peer sent; False when it failed, whatever it raised
    strange  told the address of somebody unknown who was refused
    """

    heard: Callable[[Report], bool]
    expects: Callable[[str, str], bool]
    known: Callable[[str], bool]
    safely: Callable[[Callable[[], None]], bool]
    strange: Callable[[str], None]


def hear(host: str, port: int, tls: Any, ears: Ears) -> Server:
    """Starts to listen. tls: an ssl.SSLContext of the server's side, or None.

    raises  Unavailable("deliver-address"): it is not there, taken, or not ours to take
    """
    pynetdicom._config.UNRESTRICTED_STORAGE_SERVICE = False
    pynetdicom._config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its words may quote what a stranger sent
    ae = AE()
    ae.maximum_associations = ASSOCIATIONS_MAX
    ae.maximum_pdu_size = PDU_BYTES_MAX
    ae.acse_timeout = REQUEST_TIMEOUT_S
    ae.dimse_timeout = ae.network_timeout = IDLE_TIMEOUT_S
    ae.add_supported_context(Verification)
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)

    def requested(event: Any) -> None:
        association = event.assoc
        primitive = association.requestor.primitive
        if not ears.expects(primitive.calling_ae_title, primitive.called_ae_title):
            ears.strange(association.requestor.address)
            association.acse.send_reject(*NOT_KNOWN)
            association.kill()

    limits = Limits(
        known=ears.known,
        large=lambda _: True,
        safely=ears.safely,
        strange=ears.strange,
        limited=lambda: None,
        ended=lambda _: None,
        request_timeout_s=REQUEST_TIMEOUT_S,
        idle_timeout_s=IDLE_TIMEOUT_S,
        tls=tls,
    )
    handlers = [
        (evt.EVT_REQUESTED, requested),
        (evt.EVT_N_EVENT_REPORT, lambda event: answer_to(event, ears.heard)),
    ]
    try:
        return Server(ae, (host, port), limits, handlers)
    except OSError:
        raise Unavailable("deliver-address", "deliver.host") from None
