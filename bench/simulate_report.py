"""What bench/simulate.py measured, as tables for bench/RESULTS.md, one HTML page, an SVG plot and figures as JSON."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.simulate_plot import BLUE, GREEN, ORANGE, RED, Curve, Panel, svg

if TYPE_CHECKING:
    from bench.simulate import Outcome

COLUMNS = (
    "course",
    "studies n",
    "sent n",
    "without a verdict at the end",
    "sent: scan to verdict s, p50, p95, p99",
    "critical p95",
    "all studies p50, p95, p99",
    "most waiting",
    "Jain, mean waits",
    "pictures a sent case",
    "KiB a sent case",
    "CPU ms, workers",
    "model s",
    "a study: KiB",
    "CPU ms",
    "model s ",
)
NOTE = (
    "Real broker, SQLite store, `central run` workers, `central balance`; simulated appliances "
    "(bench/simulated_sites.py); the model is bench/fixed_latency.py, which takes a fixed time and says nothing. The "
    "edge's own time for a study is given, 1 s. Which studies the edge keeps is drawn; no model decided here. A thin "
    "line is a budget of bytes at the sender. A study without a verdict at the end counts as if it had come then: its "
    "percentiles are lower bounds. The workers' processors include their idle turns."
)


def percentile(values: Sequence[float], share: int) -> float:
    ordered = sorted(values) or [0.0]
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def three(values: Sequence[float]) -> str:
    return ", ".join(f"{percentile(values, share):.2f}" for share in (50, 95, 99)) if values else "-"


def figures(outcome: "Outcome") -> dict[str, Any]:
    """Everything a table or a plot says of one run."""
    sent = [each for each in outcome.escalated if each.sent_at is not None]
    size, cases, studies = sum(site.sent_bytes for site in outcome.sites), max(len(sent), 1), len(outcome.studies)
    escalated = outcome.waits(lambda each: not each.kept)
    everything, critical = outcome.waits(), outcome.waits(lambda each: not each.kept and each.urgency == "critical")
    return {
        "course": outcome.course.name,
        "word": outcome.course.word,
        "keeps": outcome.course.plan.keeps,
        "studies": studies,
        "escalated": len(outcome.escalated),
        "sent": len(sent),
        "open_at_end": sum(each.told_at is None for each in outcome.studies),
        "took_s": round(outcome.took_s, 1),
        "sent_s": {str(share): round(percentile(escalated, share), 3) for share in (50, 95, 99)},
        "sent_three": three(escalated),
        "critical_p95_s": round(percentile(critical, 95), 3) if critical else None,
        "all_s": {str(share): round(percentile(everything, share), 3) for share in (50, 95, 99)},
        "all_three": three(everything),
        "most_waiting": max((count for _, count in outcome.waiting), default=0),
        "jain_waits": round(outcome.fairness, 3),
        "thin_mean_s": _mean(outcome.by_site(lambda site: site.is_thin)),
        "other_mean_s": _mean(outcome.by_site(lambda site: not site.is_thin)),
        "pictures_a_case": round(sum(each.pictures for each in sent) / cases, 2),
        "a_case": _cost(outcome, size, cases),
        "a_study": _cost(outcome, size, max(studies, 1)),
        "questions": outcome.questions,
        "moves": [
            {"rung": each["rung"], "why": each["why"], "thin": len(each["thin"]), "number": each["policy"]["number"]}
            for each in outcome.moves
        ],
        "waiting": [(round(at, 2), count) for at, count in outcome.waiting],
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None


def _cost(outcome: "Outcome", size: int, count: int) -> dict[str, float]:
    return {
        "kib": round(size / count / 1024, 2),
        "cpu_ms": round(1000 * outcome.worker_cpu_s / count, 1),
        "model_s": round(outcome.model_s / count, 3),
    }


def row(told: Mapping[str, Any]) -> list[str]:
    case, study = told["a_case"], told["a_study"]
    return [
        f"{told['course']} {told['word']}",
        str(told["studies"]),
        str(told["sent"]),
        str(told["open_at_end"]),
        told["sent_three"],
        "-" if told["critical_p95_s"] is None else f"{told['critical_p95_s']:.2f}",
        told["all_three"],
        str(told["most_waiting"]),
        f"{told['jain_waits']:.3f}" if told["sent"] else "-",
        f"{told['pictures_a_case']:.1f}",
        f"{case['kib']:.1f}",
        f"{case['cpu_ms']:.0f}",
        f"{case['model_s']:.2f}",
        f"{study['kib']:.1f}",
        f"{study['cpu_ms']:.0f}",
        f"{study['model_s']:.2f}",
    ]


def asides(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the table has no room for."""
    found = []
    for each in told:
        if each["moves"]:
            steps = [f"rung {move['rung']}, {move['thin']} thin ({', '.join(move['why'])})" for move in each["moves"]]
            found.append(f"{each['course']} {each['word']}, policies published: {'; '.join(steps)}.")
        if each["course"] == "thin":
            found.append(
                f"thin {each['word']}: mean wait of what thin lines sent {each['thin_mean_s']} s, of the others "
                f"{each['other_mean_s']} s."
            )
    return found


def setting(outcomes: Sequence["Outcome"], said: str, balance: Mapping[str, float]) -> str:
    plans = {outcome.course.name: outcome.course for outcome in outcomes}
    told = [
        f"{name}: {each.plan.appliances} appliances, {each.plan.appliances / each.plan.pace_s:g} studies a second "
        f"together for {each.scan_s:g} s, {each.workers} worker of two questions at a time, model "
        f"{each.model_s:g} s and {each.picture_s:g} s a picture"
        + (f", {each.plan.thin} lines of {each.plan.thin_bytes_s / 1000:g} kB/s" if each.plan.thin else "")
        for name, each in plans.items()
    ]
    knobs = ", ".join(f"{name} {value:g}" for name, value in balance.items())
    return f"{said} {'; '.join(told)}. The balance's times, shortened: {knobs}. {NOTE}"


def markdown(outcomes: Sequence["Outcome"], command: str, said: str, balance: Mapping[str, float]) -> list[str]:
    """For bench/RESULTS.md."""
    told = [figures(each) for each in outcomes]
    return [
        f"## {command}",
        "",
        setting(outcomes, said, balance),
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
        *(f"| {' | '.join(row(each))} |" for each in told),
        "",
        *asides(told),
    ]


def panels(told: Sequence[Mapping[str, Any]]) -> list[Panel]:
    splits = [each for each in told if each["course"] == "splits"]
    found = []
    if splits:
        at = [100 * each["keeps"] for each in splits]
        kept = "studies that the edge keeps, %"
        colours = (("50", BLUE, "solid"), ("95", ORANGE, "dashed"), ("99", RED, "dotted"))
        for field, title in (
            ("sent_s", "From scan to verdict, of what is sent"),
            ("all_s", "The same, of all studies"),
        ):
            curves = [
                Curve(
                    f"p{share}",
                    [(100 * each["keeps"], each[field][share]) for each in splits if field == "all_s" or each["sent"]],
                    colour,
                    dash,
                    dots=True,
                )
                for share, colour, dash in colours
            ]
            found.append(Panel(title, kept, "seconds", curves, at))
        for field, title, unit in (
            ("model_s", "The model's time", "seconds a study"),
            ("cpu_ms", "The workers' processors", "CPU ms a study"),
            ("kib", "The line", "KiB a study"),
        ):
            points = [(x, each["a_study"][field]) for x, each in zip(at, splits, strict=True)]
            found.append(Panel(title, kept, unit, [Curve(title.lower(), points, GREEN, dots=True)], at))
        jain = [(100 * each["keeps"], each["jain_waits"]) for each in splits if each["sent"]]
        found.append(
            Panel("Fairness", kept, "Jain's index of mean waits", [Curve("1: all alike", jain, GREEN, dots=True)], at)
        )
    for name, title in (("small", "A centre too small"), ("thin", "A quarter of the lines thin")):
        both = [each for each in told if each["course"] == name]
        curves = [
            Curve(
                f"balance {each['word']}",
                each["waiting"],
                RED if each["word"] == "off" else BLUE,
                "dashed" if each["word"] == "off" else "solid",
            )
            for each in both
        ]
        if curves:
            found.append(Panel(title, "seconds", "cases without a verdict", curves))
    return found


def write(
    into: Path, outcomes: Sequence["Outcome"], command: str, said: str, balance: Mapping[str, float]
) -> list[Path]:
    """The page, the plot and the figures; returns where they lie."""
    into.mkdir(parents=True, exist_ok=True)
    told = [figures(each) for each in outcomes]
    picture = svg("Edge and centre: splits and balance", panels(told), columns=min(len(panels(told)), 4))
    head = "".join(f"<th>{escape(each)}</th>" for each in COLUMNS)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row(each))}</tr>" for each in told)
    style = (
        "body{font:14px/1.45 system-ui,sans-serif;margin:1.5rem;max-width:90rem}table{border-collapse:collapse}"
        "th,td{border-bottom:1px solid #ccc;padding:.25rem .5rem;text-align:right;font-size:.8rem}"
        "th:first-child,td:first-child{text-align:left}svg{max-width:100%;height:auto}"
    )
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>central simulate</title>'
        f"<style>{style}</style></head><body><h1>Edge and centre: splits and balance</h1>"
        f"<p><code>{escape(command)}</code></p><p>{escape(setting(outcomes, said, balance))}</p>{picture}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"{''.join(f'<p>{escape(line)}</p>' for line in asides(told))}</body></html>\n"
    )
    made = {
        "simulate.html": html,
        "simulate.svg": picture,
        "simulate.json": json.dumps({"command": command, "said": said, "balance": dict(balance), "courses": told}),
    }
    for name, text in made.items():
        (into / name).write_text(text, "utf-8")
    return [into / name for name in made]
