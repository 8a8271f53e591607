"""The failures with their films, as one page to be looked at on this machine: patients' films are never committed."""

import base64
import html
from pathlib import Path

import cv2
import numpy as np
from evaluation_films import Film, Row
from evaluation_report import Scores, certificates_of, ends

from appliance.core.decide import Model
from appliance.core.risk_coverage import said

SHOWN_MAX = 60


def gallery(rows: list[Row], model: Model, films: dict[str, Film], folder: Path) -> Path:
    """index.html with every wrongly decided film of the site, adults that would be decided, and the nearest misses."""
    chosen = [row for row in rows if row["set"] in ("site", "adult")]
    scores = Scores(chosen)
    lanes = said(scores.logit, scores.passed, ends(certificates_of(model, "harbour")))
    own = np.array([row["set"] == "site" for row in chosen])
    groups = {
        "Cleared, though labelled pneumonia": own & scores.finding & (lanes == "cleared"),
        "Flagged, though labelled normal": own & ~scores.finding & (lanes == "flagged"),
        "Adults that would be decided": ~own & (lanes != "escalated"),
        "Pneumonia with the lowest scores": own & scores.finding & _lowest(scores.logit[-1], own & scores.finding),
        "Normal with the highest scores": own & ~scores.finding & _lowest(-scores.logit[-1], own & ~scores.finding),
    }
    body = ""
    for title, which in groups.items():
        body += f"<h2>{html.escape(title)} ({int(which.sum())})</h2>"
        for i in np.flatnonzero(which)[:SHOWN_MAX]:
            row = chosen[i]
            told = f"{row['film']} {row['label']} logit {scores.logit[-1][i]:.2f} {lanes[i]} {row['failed']}"
            image = f'<img src="data:image/png;base64,{_png(films[row["film"]])}">'
            body += f"<figure>{image}<figcaption>{html.escape(told)}</figcaption></figure>"
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    style = "body{font:14px sans-serif}figure{display:inline-block;width:224px;margin:6px;vertical-align:top}"
    page.write_text(f"<!doctype html><meta charset=utf-8><title>Failures</title><style>{style}</style>{body}")
    return page


def _lowest(values: np.ndarray, among: np.ndarray, count: int = 8) -> np.ndarray:
    end = np.sort(values[among])[min(count, int(among.sum())) - 1]
    return np.asarray(values <= end)


def _png(film: Film) -> str:
    return base64.b64encode(cv2.imencode(".png", film.clip(0, 255).astype(np.uint8))[1].tobytes()).decode()
