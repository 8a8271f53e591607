"""What `appliance certify` says to people: lanes with their bounds, other prevalences, the curve, what is missing."""

from collections.abc import Iterator
from typing import Any

from appliance.cli.certify_sources import SKIPPED
from appliance.core.certificate import PRODUCT_CONTRACT, Certificate, Evidence, Plan, contract_words
from appliance.core.plot import Line, Panel, svg

CURVE_ROWS = 20
SHORT = {"cleared": "finding among cleared (FOR)", "flagged": "no finding among flagged (FDR)"}


def percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"


def told(document: dict[str, Any], plan: Plan, made: list[Certificate], curves: dict[str, Any]) -> list[str]:
    """The lines of the whole report."""
    return list(_lines(document, plan, made, curves))


def _lines(document: dict[str, Any], plan: Plan, made: list[Certificate], curves: dict[str, Any]) -> Iterator[str]:
    yield f"promise: {contract_words(plan.contract, plan.delta)}"
    yield (
        f"{document['patients']} patients, {document['findings']} with the finding, {document['gated_out']} whose film "
        f"passed no gate; attempt {plan.attempt}: a sequence may spend {plan.delta_sequence:.5f}"
    )
    if not document["counted"]:
        yield "no ledger here counts attempts: if these patients were tried on before, say --attempt"
    for why, count in document["skipped"].items():
        yield f"{count} labelled studies do not count: {SKIPPED[why]}"
    for certificate in made:
        several = f"exit {certificate.exit}: " if len(made) > 1 else ""
        yield several + _lane("cleared at or below", certificate.clear_at_or_below, certificate.cleared)
        yield several + _lane("flagged at or above", certificate.flag_at_or_above, certificate.flagged)
    for need in document["needs"]:
        yield _need(need)
    yield _figures(document["figures"])
    yield from _prevalences(document)
    for lane in ("cleared", "flagged"):
        yield from _curve(lane, curves[lane])
    if not any(certificate.opens for certificate in made):
        yield "no lane opens, so no certificate is written: every study goes on being escalated"
    elif all(certificate.signature is None for certificate in made):
        yield "unsigned: no appliance believes it; sign it with --key"
    for name in document["written"]:
        yield f"written: {name}"


def _lane(words: str, end: float | None, evidence: Evidence | None) -> str:
    if evidence is None or end is None:
        return f"{words.split()[0]} lane: closed"
    miss = ""
    if evidence.miss_upper is not None:
        observed = evidence.errors / evidence.findings if evidence.findings else 0.0
        miss = f"; cleared among findings (MISS) {percent(observed)}, at most {percent(evidence.miss_upper)}"
    wrong = f"{evidence.errors} wrong, {percent(evidence.errors / evidence.films)}"
    return f"{words} {end:.4f}: {evidence.films} films, {wrong}, at most {percent(evidence.error_upper)}{miss}"


def _need(need: dict[str, Any]) -> str:
    least = f"{need['films_least']} films in the lane without one error"
    if need["findings_least"] is not None:
        least += f" and {need['findings_least']} patients with the finding, none of them cleared"
    if need["findings_more"] is None:
        more = "more patients who score like these would not open it: the safest films are wrong too often"
    else:
        more = (
            f"if further patients score like these, about {need['findings_more']} more with the finding and "
            f"{need['others_more']} more without it would open it"
        )
    return f"{need['lane']} lane is closed: it needs at the very least {least}; {more}"


def _figures(figures: dict[str, Any]) -> str:
    names = {"decided": "decided here", "false_omission": "FOR", "miss": "MISS", "false_discovery": "FDR"}
    parts = []
    for key, name in names.items():
        one = figures[key]
        interval = "" if one["ci95"] is None else f" (95 % CI {percent(one['ci95'][0])} to {percent(one['ci95'][1])})"
        parts.append(f"{name} {percent(one['rate'])}{interval}")
    return "on these patients, who set the thresholds and so flatter: " + ", ".join(parts)


def _prevalences(document: dict[str, Any]) -> Iterator[str]:
    if not document["by_prevalence"] or not any(row["decided"] for row in document["by_prevalence"]):
        return
    yield "at other prevalences, assuming label shift (only the prevalence changes, films of each class stay alike);"
    yield "point estimates that no certificate covers; MISS does not move:"
    yield "prevalence      FOR      FDR  decided here"
    for row in document["by_prevalence"]:
        told = [percent(row[key]) for key in ("prevalence", "false_omission", "false_discovery", "decided")]
        yield f"{told[0]:>10} {told[1]:>8} {told[2]:>8}  {told[3]:>12}"


def _curve(lane: str, points: list[dict[str, Any]]) -> Iterator[str]:
    if not points:
        yield f"risk-coverage, {lane}: no film may be decided"
        return
    yield f"risk-coverage, {lane}: {SHORT[lane]} by the share so decided, with the exact bound of each point alone"
    yield (
        "  decided   films   wrong    rate  at most    MISS  at most"
        if lane == "cleared"
        else ("  decided   films   wrong    rate  at most")
    )
    step = max(1, len(points) // CURVE_ROWS)
    for point in points[step - 1 :: step]:
        rates = [percent(point["error"]), percent(point["error_upper"])]
        rates += [percent(point["miss"]), percent(point["miss_upper"])] if lane == "cleared" else []
        share = percent(point["coverage"])
        yield f"{share:>9} {point['films']:>7} {point['errors']:>7} " + " ".join(f"{each:>7}" for each in rates)


def picture(document: dict[str, Any], plan: Plan) -> str:
    """The curves of both lanes as one SVG; the promise stands in its head."""
    contract = plan.contract
    panels = []
    for lane, limit in (("cleared", contract.false_omission_max), ("flagged", contract.false_discovery_max)):
        points = document["curves"][lane]

        def line(name: str, key: str, colour: str, dash: str = "solid", points: Any = points) -> Line:
            return Line(name, tuple((p["coverage"], p[key]) for p in points), colour, dash)

        lines = [line("observed", "error", "#00c"), line("exact bound", "error_upper", "#00c", "dashed")]
        limits = [Line(f"promised {percent(limit)}", ((0.0, limit), (1.0, limit)), "#00c", "dotted")]
        if lane == "cleared":
            lines += [line("MISS", "miss", "#c00"), line("MISS, exact bound", "miss_upper", "#c00", "dashed")]
            end = contract.miss_max
            limits.append(Line(f"MISS promised {percent(end)}", ((0.0, end), (1.0, end)), "#c00", "dotted"))
        films = [each[lane]["films"] for each in document["certificates"] if each[lane] is not None]
        mark = (films[-1] / document["patients"], "certified") if films else None
        panels.append(Panel(SHORT[lane], f"share of patients {lane}", tuple(lines), tuple(limits), mark))
    product = "" if contract == PRODUCT_CONTRACT else f", not the product's {PRODUCT_CONTRACT.rates}"
    head = f"Risk-coverage, {document['patients']} patients, contract {contract.rates}{product}"
    return svg(head, panels)
