"""The evaluation's plots as small SVG files, from scores alone: ROC, calibration, risk and coverage by site."""

from typing import Any

from evaluation_report import Scores, certificates_of
from figures import roc

from appliance.core.certificate import Certificate
from appliance.core.decide import Model
from appliance.core.plot import Line, Panel, svg
from appliance.core.risk_coverage import curve

Row = dict[str, str]
BLUE, RED, GREY = "#1f5fa8", "#b03030", "#777"
EVERYTHING = 0.4  # a panel reaches two and a half times its limits: to 1


def plots(rows: list[Row], model: Model, figures: dict[str, Any]) -> dict[str, str]:
    """File name to picture."""
    site = Scores([row for row in rows if row["set"] == "site"])
    held = Scores([row for row in rows if row["set"] == "held-back"])
    whole = Line("", ((0.0, EVERYTHING), (1.0, EVERYTHING)), "none")
    told = {
        "roc.svg": svg(
            "ROC of the last exit",
            [
                Panel(
                    "sensitivity",
                    "1 - specificity",
                    (
                        Line("site", tuple(roc(site.logit[-1], site.finding)), BLUE),
                        Line("site, first exit", tuple(roc(site.logit[0], site.finding)), RED, "dotted"),
                        Line("held-back training patients", tuple(roc(held.logit[-1], held.finding)), GREY, "dashed"),
                    ),
                    (whole,),
                )
            ],
        ),
        "calibration.svg": svg(
            "Calibration on the site's films, cross-fitted",
            [
                Panel(
                    "share with the finding",
                    "probability by a fitted sigmoid",
                    (
                        Line(
                            "found",
                            tuple((b["said"], b["found"]["rate"]) for b in figures["calibration"]["bins"]),
                            BLUE,
                        ),
                        Line("perfect", tuple((k / 20, k / 20) for k in range(21)), GREY, "dashed"),
                    ),
                    (whole,),
                )
            ],
        ),
    }
    for name in ("harbour", "synthetic"):
        certificates = certificates_of(model, name)
        if certificates and name == "harbour":
            one = [row for row in site.rows if row["calibration"] == "1"]
            told["risk-coverage-harbour.svg"] = risk_coverage(Scores(one), certificates[-1])
        elif certificates:
            own = Scores([row for row in rows if row["set"] == name])
            told[f"risk-coverage-{name}.svg"] = risk_coverage(own, certificates[-1])
    return told


def risk_coverage(scores: Scores, certificate: Certificate) -> str:
    """Both lanes: the rate of errors among decided films as more are decided, with the contract's limits."""
    plan, panels = certificate.plan, []
    limits = {"cleared": plan.contract.false_omission_max, "flagged": plan.contract.false_discovery_max}
    for lane in ("cleared", "flagged"):
        points = curve(scores.logit, scores.finding, scores.passed, plan, lane)
        told = certificate.cleared if lane == "cleared" else certificate.flagged
        lines = (
            Line("errors", tuple((p.coverage, p.error) for p in points), BLUE),
            Line("upper bound", tuple((p.coverage, p.error_upper) for p in points), RED, "dashed"),
        )
        limit = Line("contract", ((0.0, limits[lane]), (1.0, limits[lane])), GREY, "dotted")
        mark = None if told is None else (told.films / certificate.patients, "lane ends")
        panels.append(Panel(f"errors among {lane}", "share of all films", lines, (limit,), mark))
    return svg(f"Risk and coverage, {certificate.name}", panels)
