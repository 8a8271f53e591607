"""The section of the scanner's network protocol: who may send, over which line, how much at a time."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from appliance.config.section import MIB, Folder, Section

AE_TITLE = r"[!-\[\]-~][ -\[\]-~]{0,15}"  # PS3.5 6.2, VR AE: up to 16 characters, no backslash, no blank first


class Reply(NamedTuple):
    """Where a scanner waits for the answer to a commitment it asked for."""

    ae_title: str
    address: str
    port: int


class Dimse(Section):
    port: int = Field(0, ge=0, le=65_535, description="Where scanners send to (104, 2762 or 11112 are usual); 0: off.")
    host: str = Field(
        "127.0.0.1", pattern=r"^[A-Za-z0-9.:-]{1,253}$", description="Address on the scanners' side to listen on."
    )
    ae_title: str = Field(
        "EDGE", pattern=rf"^{AE_TITLE}$", description="This appliance's AE title; others are refused."
    )
    peers: list[Annotated[str, Field(pattern=rf"^{AE_TITLE}@[0-9A-Fa-f.:]{{2,45}}$")]] = Field(
        [], max_length=200, description="Who may send, each as AE-TITLE@ADDRESS; nobody else is listened to."
    )
    commit_peers: list[Annotated[str, Field(pattern=rf"^{AE_TITLE}@[0-9A-Fa-f.:]{{2,45}}:[0-9]{{1,5}}$")]] = Field(
        [],
        max_length=200,
        description="Who may ask for Storage Commitment, each as AE-TITLE@ADDRESS:PORT where it awaits the answer.",
    )
    mpps_peers: list[Annotated[str, Field(pattern=rf"^{AE_TITLE}@[0-9A-Fa-f.:]{{2,45}}$")]] = Field(
        [],
        max_length=200,
        description="Who may tell of performed procedure steps (MPPS), each as AE-TITLE@ADDRESS; empty: off.",
    )
    tls: Literal["off", "mutual"] = Field(
        "off", description="mutual: TLS with certificates on both sides (PS3.15 B.12); off: as most scanners speak."
    )
    tls_certificate_file: Folder = Field(
        Path("/etc/appliance/dimse.pem"), description="With tls = mutual: certificate and chain, PEM."
    )
    tls_key_file: Folder = Field(
        Path("/etc/appliance/dimse.key"),
        description="With tls = mutual: its private key, PEM (credential dimse-tls-key).",
    )
    tls_authority_file: Folder = Field(
        Path("/etc/appliance/dimse-authority.pem"),
        description="With tls = mutual: who signs the scanners' certificates.",
    )
    associations_max: int = Field(
        16, ge=1, le=200, description="Associations at a time; the next is told to come later."
    )
    pdu_bytes_max: int = Field(
        131_072, ge=16_384, le=MIB, description="Largest PDU asked for; one above 1 MiB ends its association."
    )
    request_timeout_s: float = Field(
        30.0, ge=1, le=600, description="How long a connection may stay without its association request."
    )
    idle_timeout_s: float = Field(
        300.0, ge=1, le=7200, description="How long an association may be silent between two messages or within one."
    )

    @model_validator(mode="after")
    def _somebody_known(self) -> Self:
        if self.port and not self.peers:
            raise ValueError("dimse.port is set and dimse.peers is empty: name who may send, as AE-TITLE@ADDRESS")
        for peer in self.peers:
            try:
                ip_address(peer.rpartition("@")[2])
            except ValueError:
                raise ValueError("each of dimse.peers is AE-TITLE@ADDRESS with an IP address") from None
        return self

    @model_validator(mode="after")
    def _answers_go_to_peers(self) -> Self:
        titles = set()
        for told in self.commit_peers:
            reply = _reply(told)
            try:
                known = 0 < reply.port < 65_536 and self.may_send(reply.ae_title, reply.address)
            except ValueError:
                known = False
            if not known:
                raise ValueError("each of dimse.commit_peers is one of dimse.peers with a port behind it")
            if reply.ae_title in titles:
                raise ValueError("an AE title stands once in dimse.commit_peers: answers find their way by it")
            titles.add(reply.ae_title)
        return self

    @model_validator(mode="after")
    def _steps_come_from_peers(self) -> Self:
        if not set(self.mpps_peers) <= set(self.peers):
            raise ValueError("each of dimse.mpps_peers is one of dimse.peers, written the same")
        return self

    @model_validator(mode="after")
    def _in_clear_where_no_one_else_listens(self) -> Self:
        wild = ("0.0.0.0", "::")  # noqa: S104 - refused here
        if self.port and self.tls == "off" and self.host in wild:
            raise ValueError("without TLS name the address on the scanners' network in dimse.host, not every address")
        return self

    def may_send(self, title: str, address: str) -> bool:
        """Whether a calling AE title is known at this address (PS3.15 leaves identity in clear to the network)."""
        return _among(self.peers, title, address)

    def may_tell_of_steps(self, title: str, address: str) -> bool:
        """Whether a calling AE title at this address may send MPPS."""
        return _among(self.mpps_peers, title, address)

    def answers_at(self, title: str, address: str = "") -> Reply | None:
        """Where a peer awaits the answers to its commitments; None: it may not ask. "": wherever it called from."""
        for told in self.commit_peers:
            reply = _reply(told)
            if reply.ae_title == title and (not address or _same(address, reply.address)):
                return reply
        return None

    def known_address(self, address: str) -> bool:
        """Whether any peer lives there; a stranger's connection ends before a byte of it is read."""
        return any(_same(address, peer.rpartition("@")[2]) for peer in self.peers)


def _reply(told: str) -> Reply:
    title, _, place = told.rpartition("@")
    address, _, port = place.rpartition(":")
    return Reply(title, address, int(port))


def _among(peers: list[str], title: str, address: str) -> bool:
    places = (peer.rpartition("@") for peer in peers)
    return any(title == known and _same(address, place) for known, _, place in places)


def _same(address: str, known: str) -> bool:
    one, other = ip_address(address.partition("%")[0]), ip_address(known)
    mapped = getattr(one, "ipv4_mapped", None)  # an IPv4 peer on a socket of both families
    return other in (one, mapped)
