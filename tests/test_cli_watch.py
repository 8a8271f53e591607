"""`appliance watch`, `appliance withdraw` and what `appliance status` says of certificates."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import main
from appliance.config import Places
from appliance.core.watch import started, told, with_answer
from appliance.world import audit_desk, desk, ledger, sqlite
from appliance.world.ledger import watch

DIGEST, OTHER = "ab" * 32, "abcd" * 16
CONTRACT = {"false_omission_max": 0.1, "miss_max": 0.1, "false_discovery_max": 0.15}


@pytest.fixture
def state(tmp_path: Path) -> tuple[list[str], Places]:
    """A configuration with a ledger in which one certificate stands and another was taken away."""
    config = tmp_path / "appliance.toml"
    config.write_text(f'[state]\nfolder = "{tmp_path / "state"}"\n')
    places = Places(tmp_path / "state")
    places.phi.mkdir(parents=True)
    return ["--config", str(config)], places


def filled(places: Places, *stages: str) -> None:
    engine = sqlite.open_writer(places.studies_db, ledger.METADATA)
    with engine.begin() as c:
        for digest, stage in zip((DIGEST, OTHER), stages, strict=False):
            facts: dict[str, Any] = {"name": f"site@{digest[:4]}", "site": "harbour", "contract": CONTRACT}
            facts |= {"reference": {"logit": [0.1 * n for n in range(200)]}, "audit_rate": 0.25}
            monitor = with_answer(started(("logit",)), "absent", rate_max=0.1)
            start = {**told(monitor), "stage": stage, "stage_since": 1.0}
            watch.put_monitor(c, digest, "model/1.0.0", facts, start)
            if stage == "revoke":
                watch.revoke(c, digest, at=2.0, cause="person", who="review:kim", because="odd films")
    engine.dispose()


def test_before_any_study_there_is_nothing_to_say(state: Any, capsys: pytest.CaptureFixture[str]) -> None:
    config, _ = state
    assert main([*config, "watch"]) == 0
    assert "no study was ever taken in" in capsys.readouterr().out
    assert main([*config, "withdraw", DIGEST, "--because", "x"]) == 1


def test_it_tells_standing_evidence_and_what_auditing_costs(state: Any, capsys: pytest.CaptureFixture[str]) -> None:
    config, places = state
    filled(places, "quiet")
    assert main([*config, "watch"]) == 0
    said = capsys.readouterr().out
    for words in ("site@abab: in force", "e-value", "logit: martingale 1", "5 % of the cleared audited", "days"):
        assert words in said
    assert main([*config, "watch", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["to_detect_twice"][0]["audits"] == one["to_detect_twice"][2]["audits"] > 100


@pytest.mark.parametrize(
    ("stage", "code", "words"),
    [("warn", "watch-warned", "warned"), ("revoke", "watch-revoked", "taken away by review:kim: odd films")],
)
def test_what_is_wrong_is_said_by_both_verbs(
    state: Any, capsys: pytest.CaptureFixture[str], stage: str, code: str, words: str
) -> None:
    config, places = state
    filled(places, stage)
    assert main([*config, "watch"]) == 1
    assert words in capsys.readouterr().out
    main([*config, "status", "--json"])
    told_of = json.loads(capsys.readouterr().out)["look"]
    assert code in [each["code"] for each in told_of]


def test_a_certificate_is_withdrawn_by_the_beginning_of_its_digest(
    state: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    config, places = state
    filled(places, "quiet", "quiet")
    assert main([*config, "withdraw", "ab", "--because", "too short a prefix"]) == 1
    assert main([*config, "withdraw", DIGEST[:8], "--because", "new detector"]) == 0
    assert DIGEST[:16] in capsys.readouterr().out
    engine = sqlite.open_reader(places.review_db)
    with engine.connect() as c:
        (row,) = audit_desk.withdrawals_after(c, 0, 10)
        acts = [each.act for each in c.execute(desk.audit.select())]
    engine.dispose()
    assert (row.certificate, row.because) == (DIGEST, "new detector")
    assert row.user.startswith("command-line:")
    assert acts == ["certificate-withdrawn"]


def test_a_withdrawal_needs_a_reason(state: Any, capsys: pytest.CaptureFixture[str]) -> None:
    config, places = state
    filled(places, "quiet")
    for because in ("", "  ", "x" * 501):
        assert main([*config, "withdraw", DIGEST, "--because", because]) == 1
        assert "reason-missing" in capsys.readouterr().err
