"""The story's own judgement: a version that is no better is said to be none, and a claim that fails ends with 1."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from models.retrain_head import auroc
from tests.faults import story


def films(count: int, gain: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits of one reader of `count` films, half with the finding, and the truth."""
    dice, finding = np.random.default_rng(2), np.arange(count) % 2 == 0
    return dice.normal(0, 1, count) + gain * finding, finding


def test_the_interval_of_a_paired_difference_tells_better_from_alike():
    before, finding = films(150, 1.0)
    after = before + 2.0 * finding
    gain, low, high = story.difference(after, before, finding)
    assert 0 < low < gain < high
    assert gain == pytest.approx(auroc(after, finding) - auroc(before, finding))
    _, low, _ = story.difference(np.random.default_rng(3).permutation(before), before, finding)
    assert low < 0
    assert story.difference(before, before, finding) == (0.0, 0.0, 0.0)


def test_a_claim_that_does_not_hold_ends_with_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def tell(options: argparse.Namespace, folder: Path) -> None:
        before, finding = films(40, 1.0)
        _, low, _ = story.difference(before, before, finding)
        story.claim(low > 0, "1.1.0 is better than 1.0.0 on them")

    monkeypatch.setattr(story, "tell", tell)
    monkeypatch.setattr("sys.argv", ["story"])
    assert story.main() == 1
    assert "DOES NOT HOLD: 1.1.0 is better" in capsys.readouterr().out
    monkeypatch.setattr(story, "tell", lambda options, folder: None)
    assert story.main() == 0
