"""`appliance certify --labels CSV`: a certificate from a site's own scored and labelled studies, or what is missing.

The plan is fixed, counted and its digest printed before a label is opened. Nothing is written unless everything went
well; then the certificates, the curve and the figures, each whole. Status 1 where no lane opens. It installs nothing:
a certificate counts when a trusted key signed it and it lies where the models' papers lie.
"""

import argparse
import hashlib
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError

from appliance.cli.certify_sources import Found, from_ledger, from_table
from appliance.cli.certify_words import picture, told
from appliance.cli.look import show
from appliance.config import Config, Places
from appliance.core import risk_coverage
from appliance.core.certificate import Certificate, Contract, Ends, Plan, canonical, signed
from appliance.core.certify import FILM_CHOICE, STARTS, Sample, certificates, open_lanes, sample_of
from appliance.core.decide import Model
from appliance.core.labels import FINDINGS, read_labels
from appliance.core.manifest import Manifest
from appliance.core.monitor import AUDIT_FIRST, audit_table
from appliance.errors import Misconfigured, Refused, Unavailable
from appliance.world import archive, ledger, sqlite
from appliance.world.ledger.attempts import count_attempt
from appliance.world.models import load_packages

KEY_BYTES = 32
ATTEMPTS_MAX = 100
TABLE_BYTES_MAX = 64 * 2**20
LANES: tuple[risk_coverage.LaneName, ...] = ("cleared", "flagged")
NOTE = (
    "Made from this site's own labelled studies. The promise is for patients drawn as the calibration patients were, "
    "one film each, on this scanner and with these labels, and for scores where a higher one never means a rarer "
    "finding."
)


@dataclass(frozen=True, slots=True)
class Made:
    """Everything that comes of one run, before any of it is written."""

    found: Found
    sample: Sample
    plan: Plan
    finding: Any
    certificates: list[Certificate]
    document: dict[str, Any]


def run(config: Config, places: Places, asked: argparse.Namespace) -> int:
    """Makes, prints and, with --out, writes."""
    if asked.audit_table is not None:
        return _audits(config.certificate.false_omission_max, asked.audit_table, asked.json)
    if not 1 <= asked.attempt <= ATTEMPTS_MAX:
        raise Misconfigured("certify-contract", "attempt")
    if asked.labels is None or asked.model is None:
        print("say --labels CSV and --model NAME/VERSION", file=sys.stderr)
        return 2
    key = None if asked.key is None else _key(asked.key)
    now = datetime.now(UTC)
    made = make(config, places, asked, now)
    if key is not None:
        made.certificates[:] = [signed(each, key) for each in made.certificates]
    opened = [each for each in made.certificates if each.opens]
    curves = made.document["curves"]
    svg = picture(made.document, made.plan)
    if asked.out is not None:
        site = asked.site or config.site.name
        stem = f"{site}-{asked.model.replace('/', '-')}-{now:%Y%m%d}-{made.plan.digest[:8]}"
        files = {f"{stem}{f'-exit-{c.exit}' if c.exit > 1 else ''}.json": _json(c.model_dump(mode="json"))
                 for c in (made.certificates if opened else [])}  # fmt: skip
        files |= {f"{stem}.svg": svg.encode(), f"{stem}-figures.json": _json(made.document)}
        for name, data in files.items():
            archive.put(asked.out / name, data)
        made.document["written"] = sorted(files)
    lines = told(made.document, made.plan, made.certificates, curves)
    show(made.document, asked.json, lines)
    return 0 if opened else 1


def make(config: Config, places: Places, asked: argparse.Namespace, now: datetime) -> Made:
    """The whole of it but for writing. Raises Refused or Misconfigured with a code that says who must act."""
    model = _model(config, places, asked.model)
    site = asked.site or config.site.name
    label_bytes = _bytes(asked.labels, "labels-unreadable")
    labels = read_labels(label_bytes)
    exits = len(model.manifest.exits)
    reference = model.references.get(site, model.references["default"])
    if asked.scores is None:
        found = from_ledger(places, labels, model, reference.digest, asked.group)
    else:
        found = from_table(_bytes(asked.scores, "scores-unreadable"), labels, model.manifest, asked.group)
    sample = sample_of(found.scored, exits)
    plan = _plan(config, asked, model, reference.digest, sample)
    _all_asked(plan, sample)
    attempt = _counted(places, plan, sample, model.manifest, label_bytes, now.timestamp(), asked.attempt)
    plan = plan.model_copy(update={"attempt": attempt})
    if not asked.json:
        print(f"plan {plan.digest}, attempt {attempt} on these patients: fixed; now the labels are opened", flush=True)
    written = {row.study: FINDINGS[row.finding] for row in labels.rows}
    finding = np.array([written[found.studies[film]] for film in sample.films], bool)
    made = certificates(
        sample,
        finding,
        plan,
        name=f"{site}/{now:%Y-%m-%d}/{attempt}",
        note=NOTE,
        site=site,
        group=found.group,
        created=now.date(),
        days=config.certificate.lasts_days,
    )
    document = {**_document(made, found, sample, finding, plan), "counted": places.studies_db.exists()}
    return Made(found, sample, plan, finding, made, document)


def _all_asked(plan: Plan, sample: Sample) -> None:
    """Whether the second exit was asked of every film that this plan leaves to it.

    Under another plan the first exit may have decided a film before; what the second one would have said is not known
    then, and leaving such films out, or calling them undecided, would be a choice by their scores.
    """
    if plan.exit_1 is None:
        return
    first, second = sample.scores
    clear, flag = plan.exit_1.clear_at_or_below, plan.exit_1.flag_at_or_above
    inside = (first <= (-np.inf if clear is None else clear)) | (first >= (np.inf if flag is None else flag))
    if (sample.passed[0] & np.isfinite(first) & ~inside & np.isnan(second)).any():
        raise Misconfigured("certify-exit", "second scores")


def _bytes(path: Path, code: str) -> bytes:
    """A whole table; digest and lines are taken of the same bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(TABLE_BYTES_MAX + 1)
    except OSError:
        raise Refused(code, "file") from None
    if len(data) > TABLE_BYTES_MAX:
        raise Refused(code, "file")
    return data


def _document(made: list[Certificate], found: Found, sample: Sample, finding: Any, plan: Plan) -> dict[str, Any]:
    """All figures as one JSON document."""
    lanes = open_lanes(sample.scores, finding, sample.passed, plan)
    said = risk_coverage.said(sample.scores, sample.passed, [risk_coverage.ends_of(each) for each in lanes])
    shut = [lane for lane in LANES if all(getattr(each, lane) is None for each in made)]
    arrays = (sample.scores, finding, sample.passed)
    return {
        "plan_digest": plan.digest,
        "contract": plan.contract.model_dump(),
        "delta": plan.delta,
        "attempt": plan.attempt,
        "group": found.group.model_dump(),
        "skipped": found.skipped,
        "patients": len(finding),
        "findings": int(finding.sum()),
        "gated_out": made[0].gated_out,
        "lanes": risk_coverage.lane_counts(said),
        "figures": risk_coverage.contract_figures(said, finding),
        "certificates": [each.model_dump(mode="json", exclude={"reference"}) for each in made],
        "by_prevalence": risk_coverage.by_prevalence(said, finding),
        "needs": [asdict(risk_coverage.need(*arrays, plan, lane)) for lane in shut],
        "curves": {lane: [asdict(p) for p in risk_coverage.curve(*arrays, plan, lane)] for lane in LANES},
        "written": [],
    }


def _model(config: Config, places: Places, title: str) -> Model:
    folders = [config.triage.model_folder, *places.beside]
    packages, _ = load_packages(folders, config.triage.trusted_keys, *places.site_certificates)
    for package in packages:
        if package.model.manifest.title == title and package.model.manifest.weights == "trained":
            return replace(package.model, rules=config.rules.models)
    raise Misconfigured("certify-model")


def _plan(config: Config, asked: argparse.Namespace, model: Model, gates_digest: str, sample: Sample) -> Plan:
    """All that is fixed before a label is opened, as a first attempt."""
    knobs = config.certificate
    rates = asked.contract or [knobs.false_omission_max, knobs.miss_max, knobs.false_discovery_max]
    try:
        contract = Contract(false_omission_max=rates[0], miss_max=rates[1], false_discovery_max=rates[2])
        return Plan(
            contract=contract,
            delta=knobs.delta_max if asked.delta is None else asked.delta,
            attempt=1,
            starts=STARTS,
            film_choice=FILM_CHOICE,
            model_sha256=model.sha256,
            gates_digest=gates_digest,
            preparation_digest=model.preparation_digest,
            patients_sha256=sample.patients_sha256,
            exit_1=_exit_1(asked.exit_1, model, asked.site or config.site.name),
            selection_sha256=model.selection_sha256,
        )
    except (ValidationError, IndexError):
        raise Misconfigured("certify-contract") from None


def _exit_1(asked: str | None, model: Model, site: str) -> Ends | None:
    """Where the first of two exits ends: as told, else as in a certificate of the package, this site's first."""
    if len(model.manifest.exits) == 1:
        return None
    if asked is None:
        known = sorted(model.certificates, key=lambda each: each.site != site)
        ends = next((c.plan.exit_1 for c in known if c.plan.exit_1 is not None), None)
        if ends is None:
            raise Misconfigured("certify-exit")
        return ends
    try:
        clear, flag = (float(each) if each.strip() else None for each in asked.split(","))
        return Ends(clear_at_or_below=clear, flag_at_or_above=flag)
    except ValueError:  # ValidationError is one
        raise Misconfigured("certify-exit") from None


def _counted(
    places: Places, plan: Plan, sample: Sample, manifest: Manifest, labels: bytes, at: float, asked: int
) -> int:
    """Which attempt on these patients this is; where there is no ledger, what the operator says it is."""
    if not places.studies_db.exists():
        return int(asked)
    try:
        engine = sqlite.open_writer(places.studies_db, ledger.METADATA)
    except OperationalError:
        raise Unavailable("certify-busy") from None
    try:
        with engine.begin() as c:
            counted = count_attempt(
                c,
                patients_sha256=sample.patients_sha256,
                films=[hashlib.sha256(film.encode()).hexdigest()[:16] for film in sample.films],
                finding=f"{manifest.label.scheme} {manifest.label.code}",
                plan_sha256=plan.digest,
                labels_sha256=hashlib.sha256(labels).hexdigest(),
                at=at,
            )
    except OperationalError:
        raise Unavailable("certify-busy") from None
    finally:
        engine.dispose()
    if counted > ATTEMPTS_MAX:
        raise Misconfigured("certify-contract", "attempt")
    return max(counted, int(asked))


def _key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(1024)
        key = data if len(data) == KEY_BYTES else bytes.fromhex(data.decode("ascii").strip())
    except (OSError, ValueError):
        raise Misconfigured("certify-key") from None
    if len(key) != KEY_BYTES:
        raise Misconfigured("certify-key")
    return key


def _json(document: Any) -> bytes:
    return canonical(document) + b"\n"


def _audits(rate_max: float, cleared_a_day: float, as_json: bool) -> int:
    """The arithmetic of audits: why the first ones are all read again."""
    rows = audit_table(rate_max, cleared_a_day=cleared_a_day)
    lines = [
        f"promised: of those cleared at most {100 * rate_max:g} % have the finding; {cleared_a_day:g} cleared a day;",
        f"every one of the first {AUDIT_FIRST} cleared is audited, then a share of them. Until the alarm, on average:",
        "true rate  audited  audits a day  audits   years",
    ]
    for row in rows:
        lines.append(
            f"{100 * row.ratio * rate_max:>7.3g} %  {100 * row.share:>5.0f} %  {row.audits_a_day:>12.1f}"
            f"  {row.audits:>6}  {row.years:>6.2f}"
        )
    show([asdict(row) for row in rows], as_json, lines)
    return 0
