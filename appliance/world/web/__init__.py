"""Targets that are spoken to over HTTPS: a DICOMweb store, a FHIR server.

Redirections are not followed and no proxy of the environment is used: a result goes where the configuration says.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from appliance.errors import Misconfigured

ANSWER_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Store:
    """A server: the address below which /studies, or the types of resources, lie, and how long each step may take.

    authorization  the value of that header, "" for none
    """

    url: str
    connect_s: float
    answer_s: float
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    authorization: str = field(default="", repr=False)


def trust(authority: Path | None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Whose certificate a server must show, None: whoever this machine trusts; and ours, where it asks for one.

    raises  Misconfigured("pacs-tls")
    """
    try:
        context = ssl.create_default_context(cafile=None if authority is None else str(authority))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except OSError:  # ssl.SSLError is one
        raise Misconfigured("pacs-tls", "results.targets") from None
    return context


def client(store: Store) -> httpx.Client:
    """A connection that stays open between requests; closed by its owner."""
    limits = httpx.Timeout(store.answer_s, connect=store.connect_s)
    verify: Any = store.tls if store.tls is not None else False  # in clear there is nobody to verify
    headers = {"Authorization": store.authorization} if store.authorization else {}
    return httpx.Client(timeout=limits, verify=verify, trust_env=False, follow_redirects=False, headers=headers)
