"""The viewer's bench runs from end to end on a small stack and a small film; what it measures is nobody's to assert."""

import re

import pytest

from bench import review


def test_every_figure_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    review.main(["--slices", "6", "--side", "64", "--film", "700"])
    said = capsys.readouterr().out
    for what in ("first image", "scroll, cold", "scroll, warm", "window dragged on 700x700", "after release"):
        assert re.search(rf"{what}.*: p50 \d+ ms, p95 \d+ ms, n \d+", said), what
