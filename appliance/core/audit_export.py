"""The audit trail as others read it: FHIR R4 AuditEvent after IHE's Basic Audit Log Patterns, and RFC 5424 syslog.

An opened study is a read after BALP's Read pattern; sign-in and sign-out are DICOM's User Authentication; the rest is a
security alert or an application's act in DICOM's words (PS3.15 A.5). The trail knows studies by their number here, so
an event names that number and no patient: who it is, the clinical ledger says to those who may ask. The hash of the row
travels with the event, so that a reader of the export can hold it against the chain.
"""

import json
from datetime import UTC, datetime
from typing import Any, Protocol
from xml.sax.saxutils import quoteattr

DCM = "http://dicom.nema.org/resources/ontology/DCM"
TERMS = "http://terminology.hl7.org/CodeSystem"
BALP_READ = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.Read"
SYSLOG_PRIORITY = 85  # facility 10 (security), severity 5 (notice): RFC 5424 6.2.1
SYSLOG_WARNING = 84

READS = {
    *(
        "case-opened",
        "case-opened-blind",
        "case-printed",
        "images-opened",
        "overlay-shown",
        "receipt-opened",
        "audit-opened",
        "dicomweb-opened",
    ),
}
SIGN_INS = {
    "sign-in": ("110122", "Login"),
    "sign-in-by-provider": ("110122", "Login"),
    "sign-out": ("110123", "Logout"),
    "sign-in-failed": ("110122", "Login"),
    "provider-refused": ("110122", "Login"),
}
ALERTS = {
    "glass-broken": ("110127", "Emergency Override Started"),
    "glass-mended": ("110138", "Emergency Override Stopped"),
    "glass-reviewed": ("110113", "Security Alert"),
    "proof-failed": ("110113", "Security Alert"),
    "user-added": ("110137", "User Security Attributes Changed"),
    "user-role": ("110137", "User Security Attributes Changed"),
    "user-added-by-provider": ("110137", "User Security Attributes Changed"),
    "user-role-by-provider": ("110137", "User Security Attributes Changed"),
    "user-disabled": ("110137", "User Security Attributes Changed"),
    "user-enabled": ("110137", "User Security Attributes Changed"),
    "password-changed": ("110137", "User Security Attributes Changed"),
    "viewer-added": ("110137", "User Security Attributes Changed"),
    "viewer-revoked": ("110137", "User Security Attributes Changed"),
    "viewer-refused": ("110113", "Security Alert"),
    "factor-set": ("110137", "User Security Attributes Changed"),
    "factor-removed": ("110137", "User Security Attributes Changed"),
    "factor-reset": ("110137", "User Security Attributes Changed"),
}
FAILED = {"sign-in-failed", "proof-failed", "viewer-refused", "provider-refused"}


class Row(Protocol):
    """One row of the trail."""

    @property
    def id(self) -> int: ...
    @property
    def at(self) -> float: ...
    @property
    def user(self) -> str: ...
    @property
    def act(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def hash(self) -> str: ...
    @property
    def origin(self) -> str: ...


def audit_event(row: Row, device: str) -> dict[str, Any]:
    """One FHIR R4 AuditEvent."""
    kind, subtype, action = _kind(row.act)
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": f"{device}-{row.id}",
        "type": kind,
        "subtype": [subtype],
        "action": action,
        "recorded": _moment(row.at),
        "outcome": "4" if row.act in FAILED else "0",  # minor failure, success
        "agent": _agents(row, device),
        "source": {
            "site": device,
            "observer": {"display": device},
            "type": [_coding(f"{TERMS}/security-source-type", "4", "Application Server")],
        },
        "entity": _entities(row, device),
    }
    if row.act in READS:
        event["meta"] = {"profile": [BALP_READ]}
    return event


def fhir_line(row: Row, device: str) -> str:
    return json.dumps(audit_event(row, device), ensure_ascii=False, separators=(",", ":"))


def syslog_line(row: Row, device: str) -> str:
    """One RFC 5424 message with DICOM's audit message in it (PS3.15 A.5.1, MSGID DICOM+RFC3881)."""
    kind, subtype, action = _kind(row.act)
    code = kind if kind["system"] == DCM else _coding(DCM, "110103", "DICOM Instances Accessed")
    said = (
        f'<?xml version="1.0" encoding="UTF-8"?><AuditMessage><EventIdentification EventActionCode="{action}" '
        f'EventDateTime="{_moment(row.at)}" EventOutcomeIndicator="{4 if row.act in FAILED else 0}">'
        f"{_xml('EventID', code)}{_xml('EventTypeCode', subtype)}</EventIdentification>"
        f'<ActiveParticipant UserID={quoteattr(row.user or "unknown")} UserIsRequestor="true"'
        f' NetworkAccessPointID={quoteattr(row.origin or "unknown")} NetworkAccessPointTypeCode="1"/>'
        f"<AuditSourceIdentification AuditSourceID={quoteattr(device)}/>"
        f"<ParticipantObjectIdentification ParticipantObjectID={quoteattr(row.subject or '-')} "
        f'ParticipantObjectTypeCode="2"><ParticipantObjectIDTypeCode csd-code="row" codeSystemName="appliance" '
        f'originalText="row {row.id}, SHA-256 {row.hash}"/></ParticipantObjectIdentification></AuditMessage>'
    )
    priority = SYSLOG_WARNING if row.act in FAILED or row.act == "glass-broken" else SYSLOG_PRIORITY
    return f"<{priority}>1 {_moment(row.at)} {device} appliance-review - DICOM+RFC3881 - \ufeff{said}"


def _kind(act: str) -> tuple[dict[str, str], dict[str, str], str]:
    """Type, subtype and action (C, R, U, D, E) of an act."""
    if act in READS:
        read = _coding("http://hl7.org/fhir/restful-interaction", "read", "read")
        return _coding(f"{TERMS}/audit-event-type", "rest", "Restful Operation"), read, "R"
    if act in SIGN_INS:
        return _coding(DCM, "110114", "User Authentication"), _coding(DCM, *SIGN_INS[act]), "E"
    if act in ALERTS:
        return _coding(DCM, "110113", "Security Alert"), _coding(DCM, *ALERTS[act]), "E"
    if act == "audit-exported":
        return _coding(DCM, "110101", "Audit Log Used"), _coding("urn:edge-appliance:act", act, act), "R"
    if act == "corrections-exported":
        return _coding(DCM, "110106", "Export"), _coding("urn:edge-appliance:act", act, act), "R"
    return _coding(DCM, "110100", "Application Activity"), _coding("urn:edge-appliance:act", act, act), "E"


def _agents(row: Row, device: str) -> list[dict[str, Any]]:
    """Client, server and user; a class of address stands where an address would be, because no more is kept."""
    client = {
        "type": {"coding": [_coding(DCM, "110153", "Source Role ID")]},
        "who": {"display": row.origin or "unknown"},
        "requestor": False,
        "network": {"address": row.origin or "unknown", "type": "1"},
    }
    server = {
        "type": {"coding": [_coding(DCM, "110152", "Destination Role ID")]},
        "who": {"display": device},
        "requestor": False,
        "network": {"address": device, "type": "1"},
    }
    user = {
        "type": {"coding": [_coding(f"{TERMS}/v3-ParticipationType", "IRCP", "information recipient")]},
        "who": {"identifier": {"system": f"urn:edge-appliance:{device}:user", "value": row.user or "unknown"}},
        "requestor": True,
    }
    return [client, server, user]


def _entities(row: Row, device: str) -> list[dict[str, Any]]:
    data: dict[str, Any] = {
        "what": {"identifier": {"system": f"urn:edge-appliance:{device}:object", "value": row.subject or "session"}},
        "type": _coding(f"{TERMS}/audit-entity-type", "2", "System Object"),
        "role": _coding(f"{TERMS}/object-role", "4", "Domain Resource"),
        "detail": [{"type": "act", "valueString": row.act}],
    }
    chain: dict[str, Any] = {
        "what": {"identifier": {"system": f"urn:edge-appliance:{device}:audit", "value": str(row.id)}},
        "type": _coding(f"{TERMS}/audit-entity-type", "2", "System Object"),
        "role": _coding(f"{TERMS}/object-role", "13", "Security Resource"),
        "detail": [{"type": "sha256", "valueString": row.hash}],
    }
    return [data, chain]


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": system, "code": code, "display": display}


def _xml(tag: str, code: dict[str, str]) -> str:
    system = "DCM" if code["system"] == DCM else code["system"]
    shown = quoteattr(code["display"])
    return (
        f"<{tag} csd-code={quoteattr(code['code'])} codeSystemName={quoteattr(system)} "
        f"displayName={shown} originalText={shown}/>"
    )


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
