"""P-DATA-TF read where it lies. Nearly all PDUs of a scanner are one, and pynetdicom copies each some five times."""

from typing import Any

from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA

P_DATA_TF, RECEIVED = 0x04, "Evt10"  # PS3.8 9.3.5, Table 9-10
HEADER_BYTES, LENGTH_BYTES = 6, 4


class Upper(DULServiceProvider):
    """pynetdicom's upper layer; its state machine and every other PDU are its own."""

    def _decode_pdu(self, bytestream: bytearray) -> tuple[Any, str]:
        if bytestream[0] == P_DATA_TF:
            return _Data(bytestream), RECEIVED
        return super()._decode_pdu(bytestream)


class _Data:
    """What the state machine asks of a P-DATA-TF. Raises ValueError where the lengths in it are wrong."""

    def __init__(self, pdu: bytearray) -> None:
        self._values = values_of(pdu)

    def to_primitive(self) -> P_DATA:
        made = P_DATA()
        made.presentation_data_value_list = []
        made.presentation_data_value_list.extend(self._values)  # type: ignore[arg-type]
        return made


def values_of(pdu: bytearray) -> list[tuple[int, memoryview]]:
    """Presentation context and value of each item of a whole P-DATA-TF (PS3.8 9.3.5.1). Raises ValueError."""
    view, at, found = memoryview(pdu), HEADER_BYTES, []
    while at < len(view):
        length = int.from_bytes(view[at : at + LENGTH_BYTES], "big")
        end = at + LENGTH_BYTES + length
        if not length or end > len(view):
            raise ValueError("an item longer than its PDU")
        found.append((view[at + LENGTH_BYTES], view[at + LENGTH_BYTES + 1 : end]))
        at = end
    return found
