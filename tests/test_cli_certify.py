"""`appliance certify` whole: a site's own ledger or a table of scores, faults by name, nothing half-written."""

import hashlib
import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import numpy as np
import pytest

from appliance.cli import certify, main
from appliance.config import Places
from appliance.core import signature
from appliance.core.certificate import Certificate, Ends, own_digest, stands_behind, vouched, why_invalid
from appliance.core.decide import Decision, Model
from appliance.core.study import Instance, Patient, Reason, Scores
from appliance.triage.judge import columns
from appliance.triage.looking import Bench, Court, Judgement
from appliance.world import ledger, sqlite
from appliance.world.models import load_packages
from tests.core.test_certificate import an_instance

MODELS = Path(__file__).parents[1] / "models"
TITLE = "cxr-paediatric-pneumonia/2.0.0"
KEY = bytes(range(1, 33))
WEAK = ["--contract", "0.10,0.10,0.15"]
MODEL = next(p.model for p in load_packages([MODELS], MODELS / "trusted")[0] if p.model.manifest.title == TITLE)
MADE_WITH = {
    "model_sha256": MODEL.sha256,
    "gates_digest": MODEL.references["default"].digest,
    "preparation_digest": MODEL.preparation_digest,
    "selection_sha256": None,
}


class Site:
    """A state folder with scored studies, and what certify says about them."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys
        self.places = Places(root / "state")
        self.places.phi.mkdir(parents=True)
        self.config = root / "appliance.toml"
        self.config.write_text(
            f'[state]\nfolder = "{root}/state"\n[site]\nname = "harbour"\n'
            f'[triage]\nmodel_folder = "{MODELS}"\ntrusted_keys = "{MODELS}/trusted"\n'
        )
        (root / "key").write_text(KEY.hex() + "\n")
        self.made: list[tuple[Instance, list[dict[str, Any]] | None]] = []

    def study(
        self,
        number: int,
        logit: float,
        *,
        made_with: dict[str, str] | None = None,
        failed: tuple[str, ...] = (),
        decided: bool = True,
        **facts: Any,
    ) -> str:
        """One study with its result: the second exit said `logit`, the first one half of it. Returns its UID."""
        uid = f"1.2.840.{number}"
        person = Patient(f"PAT-{number}", "SECRET^NAME", "", "", f"ACC-{number}", "", "")
        instance: Instance = replace(
            an_instance(patient=person, study_instance_uid=uid, sop_instance_uid=f"{uid}.1", **facts),
            sha256=hashlib.sha256(uid.encode()).hexdigest(),
        )
        told = {"model": TITLE, "calibrated": None, "gates": {"distance": 9.0}, "weights": "trained", "failed": failed}
        told |= MADE_WITH if made_with is None else made_with
        scores = [{**told, "logit": logit / 2, "exit": 1}, {**told, "logit": logit, "exit": 2}]
        self.made.append((instance, scores if decided else None))
        return uid

    def keep(self) -> None:
        """Writes the studies made so far, in one transaction."""
        with self.engine.begin() as c:
            for instance, scores in self.made:
                study, _ = ledger.add_instance(c, instance, 1.0)
                if scores is not None:
                    told = {"lane": "escalated", "would_be": None, "priority": "routine", "reasons": []}
                    more = {"model": TITLE, "certificate": None, "timings_ms": {}, "decided_at": 2.0}
                    ledger.put_result(c, study, 1, {**told, **more, "scores": scores})
        self.made.clear()

    def filled(self, count: int = 240) -> list[str]:
        """So many studies, every second one with the finding, well apart; returns label lines."""
        self.engine = sqlite.open_writer(self.places.studies_db, ledger.METADATA)
        rng = np.random.default_rng(60)
        lines = []
        for number in range(count):
            finding = number % 2
            uid = self.study(number, float(rng.normal(3.0 if finding else -3.0, 0.5)))
            lines.append(f"{uid},{finding}")
        self.keep()
        return lines

    def certify(self, lines: list[str], *more: str, head: str = "study_instance_uid,finding") -> tuple[int, str, str]:
        if self.made:
            self.keep()
        labels = self.root / "labels.csv"
        labels.write_text("\n".join([head, *lines]) + "\n")
        asked = ["--config", str(self.config), "certify", "--labels", str(labels), "--model", TITLE]
        status = main([*asked, "--out", str(self.root / "out"), *more])
        said = self.capsys.readouterr()
        assert "SECRET" not in said.out + said.err
        return status, said.out, said.err

    @property
    def written(self) -> list[str]:
        return sorted(path.name for path in (self.root / "out").glob("*"))

    @property
    def papers(self) -> list[Certificate]:
        """The certificates written, the first exit's first."""
        names = [name for name in self.written if name.endswith(".json") and "figures" not in name]
        found = [Certificate.model_validate_json((self.root / "out" / name).read_text()) for name in names]
        return sorted(found, key=lambda each: each.exit)


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, capsys)


def test_a_certificate_from_the_site_s_own_studies(site: Site) -> None:
    lines = site.filled()
    status, out, _ = site.certify(lines, *WEAK, "--key", str(site.root / "key"))
    assert status == 0
    plan, opened = out.index("plan "), out.index("240 patients, 120 with the finding")
    assert plan < opened
    assert "not the product's contract of 1 / 5 / 10 %" in out
    assert "label shift" in out
    assert "risk-coverage, cleared" in out
    for prevalence in ("2.0 %", "5.0 %", "10.0 %", "20.0 %", "30.0 %", "45.0 %", "60.0 %"):
        assert f"\n{prevalence:>10} " in out
    figures, curve = (next(name for name in site.written if word in name) for word in ("figures", ".svg"))
    public = signature.public_of(KEY)
    assert [certificate.exit for certificate in site.papers] == [1, 2]
    for certificate in site.papers:
        assert vouched(certificate, {signature.key_id(public): public})
        assert certificate.digest == own_digest(certificate)
        assert certificate.site == "harbour"
        assert certificate.group.manufacturer == "Harbour Imaging"
        assert certificate.group.patient_age_years_max == 5
        assert (certificate.expires - certificate.created).days == 90
        assert certificate.plan.attempt == 1
        assert set(certificate.reference) == {"logit", "distance"}
        assert certificate.plan.digest in out
    first, second = site.papers
    assert {c.plan.exit_1 for c in MODEL.certificates if c.site == "harbour"} == {first.plan.exit_1}
    assert first.plan.exit_1 == Ends(clear_at_or_below=None, flag_at_or_above=None)
    assert (first.clear_at_or_below, first.flag_at_or_above) == (None, None)
    assert stands_behind(first, second)
    assert -3.5 < (second.clear_at_or_below or 0.0) < (second.flag_at_or_above or 0.0) < 3.0
    told = json.loads((site.root / "out" / figures).read_text())
    assert told["lanes"]["cleared"] >= 100
    ElementTree.fromstring((site.root / "out" / curve).read_text())
    assert "not the product" in (site.root / "out" / curve).read_text()


def test_what_it_writes_counts_where_a_trusted_key_signed_it(site: Site) -> None:
    """The papers lie beside the packages, of the very model; from then on the model decides under them here."""
    site.certify(site.filled(), *WEAK, "--key", str(site.root / "key"))
    beside = site.places.certificates / TITLE
    beside.mkdir(parents=True)
    for certificate in site.papers:
        (beside / f"{certificate.exit}.json").write_text(certificate.model_dump_json())
    trusted = site.root / "trusted"
    shutil.copytree(MODELS / "trusted", trusted)
    assert [c.name for c in _certificates(trusted, site)] == [c.name for c in MODEL.certificates], (
        "nobody trusts it yet"
    )
    (trusted / "site.pub").write_text(signature.public_of(KEY).hex())
    own = [c for c in _certificates(trusted, site) if c not in MODEL.certificates]
    assert sorted(each.exit for each in own) == [1, 2]
    asked = {"site": "harbour", "instance": an_instance(), **MADE_WITH}
    for each in own:
        assert why_invalid(each, today=each.created, **asked) is None
        late = why_invalid(each, today=each.expires + timedelta(days=1), **asked)
        assert late is not None
        assert late.code == "certificate-expired"


def _certificates(trusted: Path, site: Site) -> tuple[Certificate, ...]:
    packages, _ = load_packages([MODELS], trusted, site.places.certificates)
    return next(p.model.certificates for p in packages if p.model.manifest.title == TITLE)


def test_another_rule_on_the_same_patients_pays_for_the_first(site: Site) -> None:
    lines = site.filled()
    for contract, attempt in (("0.10,0.10,0.15", 1), ("0.2,0.2,0.2", 2), ("0.10,0.10,0.15", 1), ("0.3,0.2,0.2", 3)):
        _, out, _ = site.certify(lines, "--contract", contract, "--json")
        assert json.loads(out)["attempt"] == attempt
    _, out, _ = site.certify(lines[2:], *WEAK, "--json")
    assert json.loads(out)["attempt"] == 4, "leaving patients out starts no new count"
    _, out, _ = site.certify(lines, *WEAK, "--attempt", "7", "--json")
    assert json.loads(out)["attempt"] == 7


def test_where_it_cannot_certify_it_says_what_is_missing_and_writes_no_certificate(site: Site) -> None:
    lines = site.filled(60)
    status, out, _ = site.certify(lines)
    assert status == 1
    assert "546 films in the lane without one error and 107 patients with the finding" in out
    assert "more with the finding and" in out
    assert "no lane opens" in out
    assert [name.rsplit(".")[-1] for name in site.written if "figures" not in name] == ["svg"]


def test_an_unsigned_certificate_is_said_to_be_one(site: Site) -> None:
    status, out, _ = site.certify(site.filled(), *WEAK)
    assert status == 0
    assert "unsigned: no appliance believes it" in out


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda lines: [*lines, "1.9.9.9,1"], "labels-unknown"),
        (lambda lines: [*lines, lines[0]], "labels-doubled"),
        (lambda lines: [*lines, lines[0][:-1] + "1"], "labels-contradictory"),
        (lambda lines: [lines[0][:-1], *lines[1:]], "labels-unlabelled"),
        (lambda lines: [lines[0][:-1] + "maybe", *lines[1:]], "labels-unreadable"),
        (lambda lines: [], "labels-unreadable"),
    ],
)
def test_a_wrong_label_stops_everything(site: Site, change: Any, code: str) -> None:
    status, out, err = site.certify(change(site.filled(6)), *WEAK)
    assert status == 1
    assert code in err
    assert "plan" not in out
    assert site.written == []
    with site.engine.connect() as c:
        assert c.execute(ledger.attempts.attempts.select()).all() == []


def test_patients_by_the_ledger_and_the_table_must_agree(site: Site) -> None:
    site.filled(4)
    head = "accession_number,finding,patient_id"
    status, _, err = site.certify(["ACC-0,0,PAT-0", "ACC-1,1,PAT-9"], *WEAK, head=head)
    assert (status, "labels-contradictory at line 3" in err) == (1, True)
    site.study(90, 1.0)
    site.keep()
    with site.engine.begin() as c:
        c.execute(ledger.studies.update().where(ledger.studies.c.number == 5).values(patient_id=""))
    status, _, err = site.certify(["1.2.840.90,1"], *WEAK)
    assert (status, "labels-patient at line 2" in err) == (1, True)
    status, out, _ = site.certify(["ACC-0,0,PAT-0", "ACC-90,1,P"], *WEAK, "--json", head=head)
    assert json.loads(out)["patients"] == 2


def test_an_accession_number_of_two_studies_names_neither(site: Site) -> None:
    site.filled(4)
    with site.engine.begin() as c:
        c.execute(ledger.studies.update().values(accession_number="ACC-0"))
    status, _, err = site.certify(["ACC-0,0"], *WEAK, head="accession_number,finding")
    assert (status, "labels-contradictory" in err) == (1, True)


def test_only_results_of_the_very_same_model_gates_and_preparation_count(site: Site) -> None:
    lines = site.filled(20)
    for number, key in enumerate(MADE_WITH, 100):
        lines.append(f"{site.study(number, 1.0, made_with={**MADE_WITH, key: 'f' * 64})},1")
    lines.append(f"{site.study(110, 1.0, made_with={})},1")
    lines.append(f"{site.study(111, 1.0, decided=False)},1")
    _, out, _ = site.certify(lines, *WEAK)
    assert "20 patients" in out
    assert "5 labelled studies do not count: scored by another model" in out
    assert "1 labelled studies do not count: not decided yet" in out
    status, _, err = site.certify(lines[20:], *WEAK)
    assert (status, "certify-unscored" in err) == (78, True)


def test_films_that_a_gate_refused_are_never_decided(site: Site) -> None:
    lines = site.filled(200)
    lines += [f"{site.study(300 + i, -9.0, failed=('gate-image-quality',))},1" for i in range(5)]
    _, out, _ = site.certify(lines, *WEAK, "--json")
    told = json.loads(out)
    assert (told["gated_out"], told["findings"]) == (5, 105)
    assert told["figures"]["false_omission"]["count"] == 0


def test_one_group_at_a_time(site: Site) -> None:
    lines = site.filled(120)
    lines += [f"{site.study(200 + i, -3.0, manufacturer='Other Imaging')},0" for i in range(9)]
    status, _, err = site.certify(lines, *WEAK)
    assert (status, "certify-group" in err) == (78, True)
    _, out, _ = site.certify(lines, *WEAK, "--group", "Harbour Imaging,PX-224,CR,CHEST,1-5", "--json")
    told = json.loads(out)
    assert (told["patients"], told["skipped"]) == (120, {"other-group": 9})
    for wrong in ("Harbour Imaging", "a,b,c,d,old", ",b,c,d"):
        status, _, err = site.certify(lines, *WEAK, "--group", wrong)
        assert (status, "certify-group" in err) == (78, True), wrong


def test_a_shadow_s_scores_certify_it_before_it_decides(site: Site) -> None:
    lines = site.filled(20)
    other = "cxr-other/2.0.0"
    with site.engine.begin() as c:
        rows = c.execute(ledger.results.select()).all()
        for row in rows:
            told = {
                "lane": "escalated",
                "would_be": None,
                "reasons": [],
                "decided_by": other,
                "agrees": True,
                "at": 3.0,
            }
            ledger.shadows.put(c, row.study_number, 1, {**told, "model": TITLE, "scores": row.scores})
        c.execute(ledger.results.update().values(model=other, scores=[]))
    _, out, _ = site.certify(lines, *WEAK, "--json")
    assert json.loads(out)["patients"] == 20


@pytest.mark.parametrize("exits", [1, 2])
def test_scores_of_a_table(site: Site, monkeypatch: pytest.MonkeyPatch, exits: int) -> None:
    if exits == 1:
        monkeypatch.setattr(certify, "_model", lambda *_: one_exit())
    rng = np.random.default_rng(61)
    scores = []
    for i in range(480):
        logit = f"{rng.normal(3 if i % 4 < 2 else -3, 0.5):.4f}"
        scores.append(",".join([f"f{i}", f"p{i // 2}", *[logit, ""] * exits]))
    head = ",".join(["film", "patient", "logit", "failed", *["logit_2", "failed_2"][: 2 * exits - 2]])
    (site.root / "scores.csv").write_text("\n".join([head, *scores]) + "\n")
    labels = [f"f{i},{int(i % 4 < 2)}" for i in range(480)]
    group = ["--group", '"Harbour Imaging",PX-224,CR,CHEST']
    more = ["--scores", str(site.root / "scores.csv"), *WEAK, "--json"]
    status, out, _ = site.certify(labels, *more, *group, head="film,finding")
    assert status == 0
    told = json.loads(out)
    assert (told["patients"], told["counted"]) == (240, False)
    assert [each.exit for each in site.papers] == [1, 2][:exits]
    assert site.papers[-1].opens
    assert (site.papers[-1].plan.exit_1 is None) == (exits == 1)
    status, _, err = site.certify([*labels, "f999,1"], *more, *group, head="film,finding")
    assert (status, "labels-unknown at line 482" in err) == (1, True)
    status, _, err = site.certify(labels, *more, head="film,finding")
    assert (status, "certify-group" in err) == (78, True)


def test_a_ledger_that_is_being_written_is_asked_again_later(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = site.filled(4)
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 10)
    with site.engine.begin():
        status, out, err = site.certify(lines, *WEAK)
    assert (status, "certify-busy" in err) == (1, True)
    assert "plan" not in out
    assert site.written == []


def one_exit() -> Model:
    """The committed model as if its last exit were its only one."""
    told = MODEL.manifest
    return replace(MODEL, manifest=told.model_copy(update={"exits": told.exits[1:]}), certificates=())


def test_the_first_exit_ends_as_at_this_site_where_a_certificate_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another site's ends come first in the package and do not count here."""
    [own, *_] = [c for c in MODEL.certificates if c.site == "harbour"]
    ends = Ends(clear_at_or_below=-1.0, flag_at_or_above=1.0)
    other = own.model_copy(update={"site": "abroad", "plan": own.plan.model_copy(update={"exit_1": ends})})
    monkeypatch.setattr(certify, "_model", lambda *_: replace(MODEL, certificates=(other, own)))
    lines = site.filled()
    site.certify(lines, *WEAK)
    assert {c.plan.exit_1 for c in site.papers} == {own.plan.exit_1}
    monkeypatch.setattr(certify, "_model", lambda *_: replace(MODEL, certificates=(other,)))
    site.certify(lines, *WEAK, "--site", "elsewhere")
    assert ends in {c.plan.exit_1 for c in site.papers}


def test_a_network_of_one_exit_from_the_ledger(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    model = one_exit()
    monkeypatch.setattr(certify, "_model", lambda *_: model)
    site.filled(1)
    made_with = {**MADE_WITH, "model_sha256": model.sha256}
    rng = np.random.default_rng(63)
    lines = []
    for number in range(1000, 1240):
        logit = float(rng.normal(6.0 if number % 2 else -6.0, 0.5))
        lines.append(f"{site.study(number, logit, made_with=made_with)},{number % 2}")
    assert site.certify(lines, *WEAK)[0] == 0
    [paper] = site.papers
    assert (paper.exit, paper.plan.exit_1, paper.plan.model_sha256) == (1, None, model.sha256)
    assert -3.5 < (paper.clear_at_or_below or 0.0) < (paper.flag_at_or_above or 0.0) < 3.0


def two_exits() -> Model:
    """The committed model as if nobody had said where its first exit ends."""
    return replace(MODEL, certificates=())


def test_a_network_of_two_exits(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certify, "_model", lambda *_: two_exits())
    rng = np.random.default_rng(62)
    rows, labels = [], []
    for number in range(400):
        finding = number % 2
        first, second = rng.normal(3.0 * finding - 1.5, 1.0), rng.normal(5.0 * finding - 2.5, 1.0)
        decided = first <= -1.5 or first >= 1.5
        rows.append(f"f{number},p{number},{first:.4f},,{'' if decided else f'{second:.4f}'},")
        labels.append(f"f{number},{finding}")
    table = site.root / "scores.csv"
    table.write_text("\n".join(["film,patient,logit,failed,logit_2,failed_2", *rows]) + "\n")
    more = ["--scores", str(table), "--group", "Harbour Imaging,PX-224,CR,CHEST", *WEAK, "--json"]
    for wrong in ([], ["--exit-1=-1.5"], ["--exit-1=1.5,-1.5"], ["--exit-1=nan,1"], ["--exit-1=-1.9,1.5"]):
        status, _, err = site.certify(labels, *more, *wrong, head="film,finding")
        assert (status, "certify-exit" in err) == (78, True), wrong
    assert site.written == []
    status, out, _ = site.certify(labels, *more, "--exit-1=-1.5,1.5", head="film,finding")
    assert status == 0
    first, second = site.papers
    assert (first.exit, second.exit) == (1, 2)
    assert stands_behind(first, second)
    assert (first.clear_at_or_below, first.flag_at_or_above) == (-1.5, 1.5)
    assert second.cleared is not None
    assert first.cleared is not None
    assert second.cleared.films > first.cleared.films
    assert json.loads(out)["lanes"]["cleared"] == second.cleared.films


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--model", "cxr-paediatric-pneumonia/9.9.9"], "certify-model"),
        (["--contract", "0.9,0.1,0.1"], "certify-contract"),
        (["--contract", "nan,0.1,0.1"], "certify-contract"),
        (["--delta", "0"], "certify-contract"),
        (["--delta", "nan"], "certify-contract"),
        (["--attempt", "101"], "certify-contract"),
        (["--attempt", "0"], "certify-contract"),
        (["--key", "/nowhere/key"], "certify-key"),
    ],
)
def test_a_wrong_wish_is_refused_before_anything_is_counted(site: Site, more: list[str], code: str) -> None:
    lines = site.filled(6)
    status, _, err = site.certify(lines, *more)
    assert (status, code in err) == (78, True)
    assert site.written == []
    with site.engine.connect() as c:
        assert c.execute(ledger.attempts.attempts.select()).all() == []


def test_the_arithmetic_of_audits_is_printed(site: Site) -> None:
    assert main(["--config", str(site.config), "certify", "--audit-table", "20"]) == 0
    out = site.capsys.readouterr().out
    assert "every one of the first 300 cleared is audited" in out
    assert any(
        line.split()[:4] == ["2", "%", "5", "%"] and line.split()[-1].startswith("3.") for line in out.splitlines()
    )
    assert main(["--config", str(site.config), "certify"]) == 2


def test_a_result_says_what_it_was_made_with() -> None:
    """What triage files is what certify looks for."""
    scores = Scores(TITLE, 1.5, None, {"distance": 9.0}, failed=("gate-image-quality",))
    decision = Decision("escalated", None, (Reason("score-between", ""),), (scores,), TITLE, None, "routine")
    court = Court((MODEL,), cast(Bench, None), "harbour")
    [told] = columns(court, Judgement(decision, {}), 2.0)["scores"]
    assert {key: told[key] for key in MADE_WITH} == MADE_WITH
    assert json.loads(json.dumps(told))["failed"] == ["gate-image-quality"]
