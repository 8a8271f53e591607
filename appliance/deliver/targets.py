"""Targets as the configuration has them: whom to call, with which keys, and who may call back.

A line bears a target's name, or `reply:` and the AE title of a scanner that awaits an answer.
"""

import base64
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from appliance.config import Config, secret, secret_path
from appliance.config.results import UNSET
from appliance.config.results import Target as Told
from appliance.deliver.carriers import Carrier, Replying, Storing, Stowing
from appliance.deliver.commitments import Commitments
from appliance.deliver.orders import REPLY
from appliance.deliver.texts import Putting, Speaking
from appliance.deliver.workers import Target
from appliance.errors import Fault, Misconfigured
from appliance.loop import FAULTS, LOG, guarded
from appliance.world import mllp
from appliance.world.dimse import hearing, server
from appliance.world.dimse.calling import Peer
from appliance.world.web import Store, trust

CREDENTIAL_BYTES_MAX = 8192
LOOK_UP_S = 60.0


class Book:
    """Whom deliver knows."""

    def __init__(self, config: Config, outbox: Path, randomness: random.Random) -> None:
        self.config, self.outbox, self.randomness = config, outbox, randomness
        self.told = {each.name: each for each in config.results.targets}
        self._addresses: set[str] = set()
        self._look_up_again = 0.0
        self.pacs = [each for each in config.results.targets if each.kind == "dimse"]

    def make(self, name: str, commitments: Commitments) -> Target | None:
        """The target of a name; None when none is configured. Raises Misconfigured("pacs-tls")."""
        if name.startswith(REPLY):
            return self._scanner(name)
        told = self.told.get(name)
        if told is None:
            return None
        match told.kind:
            case "stow":
                return Target(name, Stowing(self._store(told), self.outbox))
            case "fhir":
                return Target(name, Putting(self._store(told), self.outbox))
            case "hl7":
                return Target(name, self._speaking(told))
            case "dimse":
                return Target(name, self._storing(told, commitments))

    def check(self) -> None:
        """Makes every target once: what an operator must mend is said at the start."""
        for name in self.told:
            self.make(name, Commitments(lambda _: None))

    def _storing(self, told: Told, commitments: Commitments) -> Carrier:
        peer = self._peer(told.host, told.port, told.ae_title, told.calling_ae_title, _line_tls(told))
        return Storing(peer, self.outbox, commitments, self.config.deliver.commit_wait_s, self.randomness)

    def _speaking(self, told: Told) -> Carrier:
        knobs = self.config.deliver
        peer = mllp.Peer(told.host, told.port, knobs.connect_timeout_s, knobs.answer_timeout_s, _line_tls(told))
        return Speaking(peer, self.outbox)

    def _store(self, told: Told) -> Store:
        knobs = self.config.deliver
        context = None
        if told.url.startswith("https:"):
            context = trust(None if told.authority_file == UNSET else told.authority_file)
        return Store(told.url, knobs.connect_timeout_s, knobs.answer_timeout_s, context, _authorization(told))

    def _scanner(self, name: str) -> Target | None:
        dimse = self.config.dimse
        reply = dimse.answers_at(name.removeprefix(REPLY))
        if reply is None:
            return None
        context = None
        if dimse.tls == "mutual":
            key = secret_path("dimse-tls-key", dimse.tls_key_file) or dimse.tls_key_file
            context = _context(dimse.tls_certificate_file, key, dimse.tls_authority_file)
            context.check_hostname = False  # a scanner is known by its address and by who signed its certificate
        return Target(name, Replying(self._peer(reply.address, reply.port, reply.ae_title, dimse.ae_title, context)))

    def _peer(self, host: str, port: int, called: str, calling: str, tls: ssl.SSLContext | None) -> Peer:
        knobs = self.config.deliver
        return Peer(host, port, called, calling, knobs.connect_timeout_s, knobs.answer_timeout_s, tls)

    # Who calls back.

    def hear(self, commitments: Commitments) -> server.Server:
        """Listens where a PACS says what became of commitments. Raises Unavailable("deliver-address")."""
        knobs = self.config.deliver
        ears = hearing.Ears(commitments.heard, self._expects, self._known, _safely, _strange)
        context = None
        for told in self.pacs:
            if told.tls:  # one port speaks one way: under TLS as soon as one target does
                try:
                    context = server.server_tls(told.tls_certificate_file, _key(told), told.authority_file)
                except OSError:
                    raise Misconfigured("pacs-tls", "results.targets") from None
                break
        return hearing.hear(knobs.host, knobs.port, context, ears)

    def _expects(self, calling: str, called: str) -> bool:
        """Whether it is a target that calls, by the name under which we called it."""
        return any((each.ae_title, each.calling_ae_title) == (calling, called) for each in self.pacs)

    def _known(self, address: str) -> bool:
        """Whether a target lives there, by names that were looked up a short while ago."""
        now = time.monotonic()
        if now >= self._look_up_again:
            self._addresses, self._look_up_again = _addresses(each.host for each in self.pacs), now + LOOK_UP_S
        return address.removeprefix("::ffff:") in self._addresses


def _addresses(hosts: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for host in hosts:
        try:
            found |= {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
        except OSError:
            continue
    return found


def _key(told: Told) -> Path:
    return secret_path(f"target-{told.name}-key", told.tls_key_file) or told.tls_key_file


def _line_tls(told: Told) -> ssl.SSLContext | None:
    return _context(told.tls_certificate_file, _key(told), told.authority_file) if told.tls else None


def _context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    try:
        return server.client_tls(certificate, key, authority)
    except OSError:  # ssl.SSLError is one
        raise Misconfigured("pacs-tls", "results.targets") from None


def _authorization(told: Told) -> str:
    """What the store is told of who we are: a token out of a file of one line. A NAME:PASSWORD is told as such."""
    data = secret(f"target-{told.name}", told.token_file)
    if data is None and told.token_file == UNSET:
        return ""
    line = "" if data is None else data[:CREDENTIAL_BYTES_MAX].decode("utf-8", "replace").strip()
    if not line or not line.isprintable():
        raise Misconfigured("pacs-credential", "results.targets.token_file")
    if ":" in line:
        return f"Basic {base64.b64encode(line.encode()).decode()}"
    return f"Bearer {line}"


def _strange(address: str) -> None:
    FAULTS["dimse-stranger"] += 1
    LOG.warning("deliver.hear: dimse-stranger at %s", address)


def _safely(work: Callable[[], None]) -> bool:
    return not isinstance(guarded("deliver.message", work), Fault)
