"""Who may do what on the page: three roles, a handful of rights, and what an emergency lifts.

A role holds what its work needs and no more: an administrator keeps accounts and sees no patient, a viewer sees
patients and decides nothing. Breaking the glass lends a reader's rights for a while; it never lends an administrator's.
"""

import ipaddress
from typing import Literal, get_args

Role = Literal["viewer", "reader", "administrator"]
ROLES: tuple[Role, ...] = get_args(Role)
Right = Literal["stand", "look", "decide", "operate", "administer", "lift"]
RIGHTS: tuple[Right, ...] = get_args(Right)

RIGHT_WORDS: dict[Right, str] = {
    "stand": "see how the appliance stands, and keep one's own account",
    "look": "see patients and pictures",
    "decide": "sign, answer blinded reads, release or reject a study",
    "operate": "stop a model, take a certificate away",
    "administer": "keep users and sessions, read the audit trail",
    "lift": "break the glass: a reader's rights for a while, with a reason",
}
OF_ROLE: dict[Role, frozenset[Right]] = {
    "viewer": frozenset({"stand", "look", "lift"}),
    "reader": frozenset({"stand", "look", "decide", "operate"}),
    "administrator": frozenset({"stand", "operate", "administer", "lift"}),
}
LENT: frozenset[Right] = frozenset({"look", "decide"})

AddressClass = Literal["loopback", "private", "public", "unknown", "console"]
ADDRESS_CLASSES: tuple[AddressClass, ...] = get_args(AddressClass)


def rights(role: str, *, lifted: bool) -> frozenset[Right]:
    """What a user of this role may do now; nothing where a later version wrote a role that this one does not know."""
    for known, held in OF_ROLE.items():
        if role == known:
            return held | LENT if lifted and "lift" in held else held
    return frozenset()


def address_class(address: str) -> AddressClass:
    """Where a request came from, as far as the trail keeps it: a class says enough and follows nobody about."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.is_loopback:
        return "loopback"
    return "private" if parsed.is_private or parsed.is_link_local else "public"
