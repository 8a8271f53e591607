"""The one configuration: a TOML file read into strict models, every knob with unit, bounds, default and a sentence.

All mistakes are reported at once. Secrets are not here: only the names of the files that hold them, and a systemd
credential of the same name goes before the file.
"""

import os
import tomllib
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from appliance.config.deliver import Deliver
from appliance.config.dimse import Dimse
from appliance.config.learning import Learning
from appliance.config.places import Places as Places
from appliance.config.receive import Receive
from appliance.config.reports import Reports
from appliance.config.results import Results
from appliance.config.retention import Retention
from appliance.config.review import Review
from appliance.config.rules import Rules as Rules
from appliance.config.section import LOOPBACK, MIB, Folder, Section
from appliance.config.updates import Updates
from appliance.errors import Misconfigured

DEFAULT_PATH = Path("/etc/appliance/appliance.toml")
M = TypeVar("M", bound=BaseModel)


class Site(Section):
    name: str = Field("unnamed", pattern=r"^[a-z0-9-]{1,40}$", description="The site whose certificates count here.")
    device_id: str = Field(
        "appliance-1",
        pattern=r"^[a-z0-9-]{3,40}$",
        description="This appliance on the wire; must not name the hospital.",
    )


class State(Section):
    folder: Folder = Field(Path("/var/lib/appliance"), description="Where everything this appliance keeps lives.")
    ballast_bytes: int = Field(
        64 * MIB,
        ge=0,
        le=4096 * MIB,
        description="Space held by a file that is given up when the disk is full, so that order can be made; 0: none.",
    )
    unencrypted_because: str = Field(
        "",
        max_length=200,
        description="Why the state folder need not lie on LUKS or fscrypt, in a sentence; empty: it must.",
    )


class Triage(Section):
    quiet_period_s: float = Field(
        30.0, ge=0.05, le=7200, description="A study without evidence is complete after this."
    )
    quiet_period_with_evidence_s: float = Field(
        5.0, ge=0.05, le=7200, description="A study whose evidence says complete waits only this long."
    )
    hard_cap_s: float = Field(
        1800.0, ge=0.1, le=86_400, description="A study is taken as complete after this, whatever."
    )
    attempts_max: int = Field(
        3, ge=2, le=20, description="Attempts at one study or file; two at least, as a batch shares the first one."
    )
    pixels_max: int = Field(
        320 * MIB, ge=MIB, le=4096 * MIB, description="Largest image decoded, in samples over all frames."
    )
    object_bytes_max: int = Field(
        512 * MIB,
        ge=MIB,
        le=65_536 * MIB,
        description="Largest object that is looked into: it is held whole in memory. A larger one is a person's.",
    )
    frames_cache_bytes_max: int = Field(
        20_480 * MIB, ge=0, le=16_777_216 * MIB, description="Decoded frames kept for the page; the oldest go first."
    )
    model_folder: Folder = Field(Path("/usr/share/appliance/models"), description="Where the model packages lie.")
    trusted_keys: Folder = Field(
        Path("/etc/appliance/trusted-keys"),
        description="Public keys (*.pub, 64 hex digits each) whose packages, certificates and commands are believed.",
    )
    site_key_file: Folder = Field(
        Path("/etc/appliance/site.key"),
        description="Secret of 32 bytes or more for every pseudonym (credential site-key).",
    )
    deadline_critical_s: int = Field(
        900, ge=1, le=604_800, description="When the verdict of a critical case is overdue, from its sealing."
    )
    deadline_urgent_s: int = Field(3600, ge=1, le=604_800, description="The same for an urgent one.")
    deadline_routine_s: int = Field(28_800, ge=1, le=2_592_000, description="The same for any other.")

    def deadline_s(self, urgency: str | None) -> int:
        """Seconds from the sealing of a case of this urgency until its verdict is overdue."""
        known = {"critical": self.deadline_critical_s, "urgent": self.deadline_urgent_s}
        return known.get(urgency or "", self.deadline_routine_s)


class Network(Section):
    broker_host: str = Field(
        "127.0.0.1",
        pattern=r"^[A-Za-z0-9.:-]{1,253}$",
        description="The MQTT broker, by the name or address that stands in its certificate.",
    )
    broker_port: int = Field(1883, ge=1, le=65_535, description="The broker's port; 8883 in production form.")
    broker_tls: bool = Field(
        False, description="TLS with certificates on both sides (keys.folder); off is for a broker on this machine."
    )
    keepalive_s: int = Field(30, ge=2, le=600, description="MQTT keep alive.")
    session_expiry_s: int = Field(2_592_000, ge=3600, le=4_000_000_000, description="MQTT session expiry.")
    in_flight_bytes: int = Field(
        MIB,
        ge=4096,
        le=64 * MIB,
        description="Most bytes of cases published and not yet acknowledged by the broker; a slow line gets fewer.",
    )
    bandwidth_bytes_per_s: int = Field(
        0, ge=0, le=1024 * MIB, description="Most bytes a second that cases may take of the line; 0: no cap."
    )
    bytes_per_hour_max: int = Field(
        0, ge=0, le=1_048_576 * MIB, description="Most bytes an hour, critical cases apart; 0: no budget."
    )
    spool_bytes_max: int = Field(
        4096 * MIB,
        ge=MIB,
        le=1_048_576 * MIB,
        description="Room for sealed cases that wait; when it is full series go, then pictures of routine cases.",
    )
    full_series: Literal["on-request", "never"] = Field(
        "on-request", description="Whether the centre gets the whole de-identified series of a case when it asks."
    )
    resend_after_s: float = Field(
        30.0, ge=0.1, le=86_400, description="A case without the centre's receipt is sent again after this, doubling."
    )
    resend_after_max_s: float = Field(900.0, ge=0.1, le=86_400, description="The longest wait between two sendings.")

    @model_validator(mode="after")
    def _in_clear_on_loopback_only(self) -> Self:
        if not self.broker_tls and self.broker_host not in LOOPBACK:
            raise ValueError("a broker on another machine is dialled with TLS only: set network.broker_tls = true")
        return self


class Keys(Section):
    folder: Folder = Field(
        Path("/etc/appliance/keys"),
        description="What enrolment left: own keys, the centre's public ones, certificates of the line.",
    )


class Certification(Section):
    false_omission_max: float = Field(
        0.01,
        ge=0.001,
        le=0.5,
        description="What `certify` promises of P(finding | cleared), unless told otherwise.",
    )
    miss_max: float = Field(0.05, ge=0.001, le=0.5, description="What it promises of P(cleared | finding).")
    false_discovery_max: float = Field(
        0.10,
        ge=0.001,
        le=0.5,
        description="What it promises of P(no finding | flagged).",
    )
    delta_max: float = Field(
        0.05, ge=0.001, le=0.2, description="How likely the whole promise may be broken by the draw of patients."
    )
    lasts_days: int = Field(90, ge=1, le=366, description="How long a new certificate lasts.")


class Audit(Section):
    detect_days: float = Field(
        90.0, ge=1, le=3650, description="Days within which audits are to detect twice the promised share of misses."
    )
    cleared_per_day: float = Field(
        20.0, gt=0, le=100_000, description="Studies expected to be cleared a day; with detect_days it sets the share."
    )
    answer_days: float = Field(
        14.0, ge=0.01, le=365, description="While an audit waits longer for its answer, only half of each lane is open."
    )


class Draft(Section):
    weights: str = Field(
        "",
        max_length=4096,
        description="Weights (GGUF) of a small language model that drafts while the centre is silent; empty: none.",
    )
    weights_sha256: str = Field(
        "", pattern=r"^([0-9a-f]{64})?$", description="Their SHA-256, looked at before each use."
    )
    threads_max: int = Field(1, ge=1, le=16, description="Threads it computes on; more than idle cores make it slower.")
    memory_bytes: int = Field(
        3072 * MIB, ge=256 * MIB, le=65_536 * MIB, description="Address space its process may take, weights included."
    )
    answer_s: float = Field(300.0, ge=1, le=3600, description="A draft that takes longer is given up.")

    @model_validator(mode="after")
    def _known_by_digest(self) -> Self:
        if self.weights and not (self.weights_sha256 and Path(self.weights).is_absolute()):
            raise ValueError("draft.weights needs an absolute path and draft.weights_sha256 beside it")
        return self


class Config(Section):
    site: Site = Field(default_factory=Site)
    state: State = Field(default_factory=State)
    receive: Receive = Field(default_factory=Receive)
    dimse: Dimse = Field(default_factory=Dimse)
    deliver: Deliver = Field(default_factory=Deliver)
    triage: Triage = Field(default_factory=Triage)
    network: Network = Field(default_factory=Network)
    keys: Keys = Field(default_factory=Keys)
    review: Review = Field(default_factory=Review)
    certificate: Certification = Field(default_factory=Certification)
    audit: Audit = Field(default_factory=Audit)
    draft: Draft = Field(default_factory=Draft)
    rules: Rules = Field(default_factory=Rules)
    results: Results = Field(default_factory=Results)
    reports: Reports = Field(default_factory=Reports)
    learning: Learning = Field(default_factory=Learning)
    retention: Retention = Field(default_factory=Retention)
    updates: Updates = Field(default_factory=Updates)

    @model_validator(mode="after")
    def _rules_name_targets(self) -> Self:
        known = {each.name for each in self.results.targets}
        unknown = sorted({to for rule in self.rules.results for to in rule.to} - known)
        if unknown:
            raise ValueError(f"rules.results send to {', '.join(unknown)}, which no results.targets is called")
        goes = self.results.everywhere()
        for rule in self.rules.results:
            for to in rule.to:
                if not any(to in goes.get(kind, ()) for kind in rule.send):
                    raise ValueError(f"rule {rule.name}: target {to} takes nothing of {', '.join(rule.send)}")
        return self

    @model_validator(mode="after")
    def _retention_asks_somebody(self) -> Self:
        asked = self.retention.pacs
        if asked and asked not in {each.name for each in self.results.targets if each.kind == "dimse"}:
            raise ValueError(f"retention.pacs is {asked}, which no results.targets of kind dimse is called")
        if self.retention.keep_days and self.retention.copy_kept_by == "pacs" and not asked:
            raise ValueError("retention.pacs must name who is asked, or retention.copy_kept_by be scanner")
        return self


class ConfigMistakes(Misconfigured):
    """All mistakes of one configuration file, each as (file, key, reason)."""

    def __init__(self, mistakes: list[tuple[str, str, str]]) -> None:
        super().__init__("config-invalid", f"{len(mistakes)} mistakes")
        self.mistakes = mistakes


def load(path: Path) -> Config:
    """The configuration of a file. Raises ConfigMistakes with every mistake in it."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigMistakes([(str(path), "", error.strerror or "cannot be read")]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigMistakes([(str(path), "", str(error))]) from None
    return checked(Config, raw, str(path))


def checked(model: type[M], raw: object, file: str) -> M:
    """What was read from a file, in its strict model. Raises ConfigMistakes with every mistake in it."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise ConfigMistakes([(file, ".".join(map(str, each["loc"])), _reason(each)) for each in found]) from None


def _reason(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "no such setting"
    if error["type"] == "value_error":  # of several settings together: the sentence says which
        return error["msg"].removeprefix("Value error, ")
    return f"{error['msg'][0].lower()}{error['msg'][1:]} (found {error['input']!r})"


def knobs() -> list[tuple[str, str, str, str, str]]:
    """Every knob as (key, type, default, bounds, sentence); docs/configuration.md and `config show` print it."""
    rows = []
    for section, outer in Config.model_fields.items():
        model = outer.annotation
        assert isinstance(model, type)
        assert issubclass(model, Section)
        for key, field in model.model_fields.items():
            kind = getattr(field.annotation, "__name__", str(field.annotation).replace("typing.", ""))
            bounds = ", ".join(str(limit) for limit in field.metadata if "Strict" not in str(limit))
            rows.append((f"{section}.{key}", kind, str(field.default), bounds, field.description or ""))
    return rows


def secret(credential: str, file: Path) -> bytes | None:
    """A secret from systemd's credential folder, else from the file; None when neither is there."""
    path = secret_path(credential, file)
    return None if path is None else path.read_bytes()


def secret_path(credential: str, file: Path) -> Path | None:
    """Where a secret lies that can be read and says something: systemd/tmpfiles.conf puts empty files in the places of
    those that enrolment brings, because a unit does not start without its credentials."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    for path in (Path(folder) / credential, file) if folder else (file,):
        try:
            with path.open("rb") as opened:
                if opened.read(1):
                    return path
        except OSError:
            continue
    return None
