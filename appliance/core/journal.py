"""What an entry of the journal bears beside its sentence: a stable id and code, and who must act.

Pure. Every code of the catalogue of errors has a message id for ever, and so has every other thing that a service
says (EVENTS). `catalogue` is what `journalctl -x` prints below an entry. Nothing here is taken from a data set.

source: systemd.journal-fields(7), journalctl(1) -x, systemd's catalog format (message ids are 128 bits)
"""

import re
import uuid
from collections.abc import Mapping

from appliance.errors import CATALOGUE, Fault

NAMESPACE = uuid.UUID("5d0ccb33-6b8c-4f0e-9d53-8a2c1e7f4b60")  # never changed: every id hangs on it
ACTORS = {
    "sender": "the sender",
    "person": "a person here",
    "time": "nobody: it is tried again",
    "operator": "the operator",
}
OTHER = "event-other"
# template of a log call that bears no code of the catalogue: (code, what it means)
EVENTS: Mapping[str, tuple[str, str]] = {
    "ready %s": ("event-ready", "The service is up and does its work."),
    "disk: taking goes on": ("event-taking-again", "There is room again: files are taken from the scanner."),
    "receive.listen: %s at port %d": ("event-listening", "The scanner's port is open."),
    "deliver: %s %s at %s %s": ("event-delivered", "A target answered an order: its outcome stands in the entry."),
    "deliver.send: target %s: %s": ("event-target", "A target is reached again, or why it is not."),
    "nobody administers the review page yet: open /first there with the one-time code %s": (
        "event-first-administrator",
        "The page waits for its first administrator; the code in the entry opens /first once.",
    ),
    "the authority that readers of the page trust: SHA-256 %s": (
        "event-page-authority",
        "The page made an authority of its own; compare the fingerprint in the browser.",
    ),
    "a verdict for a case that this ledger never made is left alone": (
        "event-verdict-strange",
        "The centre answered a case that is not of this ledger; nothing was changed.",
    ),
    "the accepted configuration could not be kept": (
        "event-configuration-unkept",
        "No copy of the accepted configuration could be kept; with a wrong one this service would stop.",
    ),
    "what was found of the ledgers could not be kept": (
        "event-look-unkept",
        "When the ledgers were last read whole could not be written down; they are read again sooner than due.",
    ),
    "study %d: a verdict for what was forgotten is left alone": (
        "event-verdict-late",
        "The centre answered a case of a study that was forgotten; nothing was changed.",
    ),
    "forget: the clock went days ahead; nothing is forgotten for a day": (
        "event-clock-jumped",
        "The wall clock went days ahead since the last look: nothing is forgotten until it ran for a day.",
    ),
    "a study that was forgotten has come again; it goes on under its number, and is hard": (
        "event-came-again",
        "A study that was forgotten has come again; it is hard and goes on under its number.",
    ),
    "triage.commit: %d kept, %d not": ("event-committed", "A scanner's request for commitment was answered."),
    "final reports: %d tied to their studies": ("event-reports-tied", "Final reports found their studies."),
    "study %d: worth repeating: %s": ("event-repeat", "A film just taken is worth repeating; the page says why."),
    "study %d: sealed as case %s": ("event-sealed", "A hard study was de-identified, inspected and sealed."),
    "study %d: %s": ("event-study", "A file was admitted to a study, or the study has a lane."),
    "model %s is not used: it fails its own test": (
        "event-model-fails",
        "A model does not reproduce its golden outputs here: everything it covers is escalated.",
    ),
    "model folders have changed and are read again": ("event-models-read", "Packages or certificates changed."),
    "%s %s: %s": ("event-model-order", "An order about a model was obeyed or refused."),
    "model %s goes back to %s by itself: %s": (
        "event-model-back",
        "The deciding version gave no answer, failed its test or lost its certificate; the one before decides again.",
    ),
    "model %s is activated as its terms say": (
        "event-model-activated",
        "A model that ran beside decides: its terms, this site and its own figures and certificate allow it.",
    ),
    "an order about a model bears no signature of a trusted key": (
        "event-order-unsigned",
        "Somebody without a trusted key tried to order which model decides; nothing was changed.",
    ),
    "triage.performed: a step is %s": ("event-step", "A modality told of a procedure step."),
    "study %d: result for %s: %s": ("event-result", "A result was delivered or refused."),
    "triage.series: %d objects of case %s are sealed": ("event-series", "An asked-for series was sealed."),
    "triage.mend: a transfer of case %s was made again": ("event-mended", "What went from a full spool is back."),
    "triage.shed: %d transfers went from the spool, to be made again later": (
        "event-shed",
        "The spool is full: pictures or series went from it; findings go on.",
    ),
    "certificate %s is taken away: %s": ("event-certificate-gone", "A certificate opens no lane any more."),
    "certificate %s: %s": ("event-certificate", "The watch over a certificate reached another stage."),
    "uplink.listen: not sent, reason code 0x%02x": ("event-not-sent", "The broker refused a message; sent again."),
    "the network thread was dead and is started again": (
        "event-thread-dead",
        "The line's thread ended without being asked to: a fault of the program, report it.",
    ),
    "release %s: %s": ("event-release", "A newer version of the appliance is tried, installed or left."),
    "no connection: %s, %s": ("event-no-connection", "The broker is not reached; tried again."),
}
MEANS = dict(EVENTS.values()) | {OTHER: "A library, or a place that has no code, spoke."}


def code_of(template: str, arguments: tuple[object, ...]) -> str:
    """The code of a log call: its fault's, a code among its arguments or in its words, else its event's."""
    for argument in arguments:
        if isinstance(argument, Fault):
            return argument.code
        if isinstance(argument, str) and argument in CATALOGUE:
            return argument
    for word in re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", template):
        if word in CATALOGUE:
            return str(word)
    return EVENTS[template][0] if template in EVENTS else OTHER


def message_id(code: str) -> str:
    """32 hexadecimal digits, the same for ever."""
    return uuid.uuid5(NAMESPACE, code).hex


def fields(service: str, code: str, priority: int, sentence: str) -> dict[str, str]:
    """An entry's fields. priority: of syslog(3), 3 error, 4 warning, 6 informational."""
    found = {
        "MESSAGE": sentence,
        "MESSAGE_ID": message_id(code),
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": f"appliance-{service}",
        "APPLIANCE_SERVICE": service,
        "APPLIANCE_CODE": code,
    }
    if code in CATALOGUE:
        found["APPLIANCE_ACTOR"] = CATALOGUE[code].actor
    return found


def catalogue() -> str:
    """systemd/appliance.catalog: for each id a subject and, below it, what to do."""
    parts = [
        "# Printed by appliance.core.journal; do not edit. Installed as /usr/lib/systemd/catalog/appliance.catalog,",
        "# then `journalctl --update-catalog`; `journalctl -x` shows it below each entry.",
    ]
    for code, entry in CATALOGUE.items():
        parts.append(_entry(code, entry.text, f"{entry.hint}\n\nWho must act: {ACTORS[entry.actor]}."))
    parts += [_entry(code, text, "Nothing to do by this alone.") for code, text in MEANS.items()]
    return "\n".join(parts)


def _entry(code: str, subject: str, body: str) -> str:
    head = f"-- {message_id(code)}\nSubject: {code}: {subject}\nDefined-By: edge-diagnostic-appliance"
    return f"\n{head}\n\n{body}\n"
