"""Writes CARD.md from report.json and the certificate: every measured figure comes from there."""

from typing import Any

from appliance.core.certificate import Certificate


def rate(told: dict[str, Any]) -> str:
    """`3.8 % (3/79; 95 % CI 0.8-10.7 %)`."""
    if told["rate"] is None:
        return "none (n = 0)"
    low, high = told["ci95"]
    return f"{100 * told['rate']:.1f} % ({told['count']}/{told['n']}; 95 % CI {100 * low:.1f}-{100 * high:.1f} %)"


def area(told: dict[str, Any]) -> str:
    low, high = told["ci95"]
    who = f"{told['films']} films, {told['positive']} with pneumonia, {told['patients']} patients"
    return f"{told['auroc']:.3f} (95 % CI {low:.3f}-{high:.3f}; {who})"


def card(report: dict[str, Any], certificate: Certificate) -> str:
    """The model card, Markdown: what a radiologist must know first, then where every figure comes from."""
    auc, gates, strange = report["discrimination"], report["gates_passed"], report["decided_with_a_false_header"]
    cal, crosses = report["site_calibration_patients"], report["site_cross_fitted"]
    contract, plan = certificate.plan.contract, certificate.plan
    promised = f"{contract.false_omission_max:.0%} / {contract.miss_max:.0%} / {contract.false_discovery_max:.0%}"
    head = f"""# cxr-paediatric-pneumonia 1.0.0

Research software, no cleared or certified medical device. Every figure here is made by `make evaluate` from
`eval/scores.csv`, the certificate and, where they lie beside the project, the films.

## What a radiologist must know
- It looks at **one frontal chest radiograph (AP or PA) of a child of 1 to 5 years** and gives one score for pneumonia.
  It looks for nothing else: fracture, foreign body, pneumothorax, heart, mass, tuberculosis and line position are all
  invisible to it. *Cleared* never means normal; it does not rule out.
- It knows one hospital's children. On other patients of that hospital, in the official test split: AUROC
  {area(auc["site"])}. On held-back training patients: {area(auc["held-back"])}. The gap between the two is what a
  change of collection alone does to it.
- **On adults it is no better than chance**: AUROC {area(auc["adult"])}, weak labels. Adults, other ages, other views
  and a blank age are escalated by the header. If the header lies, gates on the image let
  {rate(gates["adult"])} of adult films through, and {rate(strange["adult"])} would be decided: weak.
- The reference label is what graders read from the film, not culture or follow-up, and some labels are wrong.
- Nothing is decided without a valid certificate of the very site, scanner model and package.

## What is decided at the site `harbour`
Certificate `{certificate.name}`: P(finding | cleared), P(cleared | finding), P(no finding | flagged) at most
{promised}, together with {1 - plan.delta:.0%} confidence over the draw of {certificate.patients} patients
({certificate.findings} with pneumonia). This contract is a demonstration:
the product's default of 1 / 5 / 10 % needs some thousand patients.
It expires on {certificate.expires}, two years on, so that the demonstration goes on; real ones should last 90 days.
Attempt {plan.attempt} on these patients: each of its sequences may spend {plan.delta_sequence:.5f}.

| on the {certificate.patients} calibration patients, one film each | |
|---|---|
| cleared / flagged / escalated | {" / ".join(str(n) for n in cal["lanes"].values())} |
| decided here | {rate(cal["decided"])} |
| finding among cleared (FOR) | {rate(cal["false_omission"])} |
| cleared among findings (MISS) | {rate(cal["miss"])} |
| no finding among flagged (FDR) | {rate(cal["false_discovery"])} |

These films set the thresholds, so the table flatters. Cross-fitted ({crosses[0]["repeats"]} times; thresholds from all
folds of patients but one, judged on that one): with fewer patients the cleared lane opens later or not at all, so
this judges the procedure, not the certificate. Mean and range over repeats:

| | mean | range | first repeat |
|---|---|---|---|
"""
    names = {"decided": "decided here", "false_omission": "FOR", "miss": "MISS", "false_discovery": "FDR"}
    for cross in crosses:
        for key, name in names.items():
            low, high = cross["range"][key]
            mean = f"{100 * cross['mean'][key]:.1f} % | {100 * low:.1f}-{100 * high:.1f} %"
            head += f"| {name}, {cross['folds']} folds | {mean} | {rate(cross['first_repeat'][key])} |\n"
    head += "\nAll films of the site by label, under the certificate's thresholds:\n\n"
    head += "| label | cleared | flagged | escalated |\n|---|---|---|---|\n"
    for label, counts in report["site_all_films_by_label"].items():
        head += f"| {label} | {counts['cleared']} | {counts['flagged']} | {counts['escalated']} |\n"
    return head + _prevalence(report) + _strangers(gates, strange) + _provenance(report)


def _prevalence(report: dict[str, Any]) -> str:
    text = """
FOR and FDR move with the prevalence, MISS does not. **Assumption**: only the prevalence changes, the films of each
class stay as they are at this site (label shift); point estimates, no certificate covers them.

| prevalence | FOR | FDR | decided here |
|---|---|---|---|
"""
    for line in report["by_prevalence"]:
        rates = (line["prevalence"], line["false_omission"], line["false_discovery"], line["decided"])
        text += "| " + " | ".join(f"{100 * value:.1f} %" for value in rates) + " |\n"
    return text


def _strangers(gates: dict[str, Any], strange: dict[str, Any]) -> str:
    text = f"""
## What the gates stop when the header lies
Gates are learnt from training films alone: likeness to them (Mahalanobis distance of pooled channels and a thumbnail),
entropy, sharpness, clipping, shape. They let {rate(gates["held-back"])} of held-back training films and
{rate(gates["site"])} of the site's films through. The rows below had no part in learning them, but the adult films and
body parts were looked at when the features of the gate were chosen. Body parts are enlarged from 64 px.

| films with a false header | pass every gate | would be decided |
|---|---|---|
"""
    for name, told in strange.items():
        text += f"| {name} | {rate(gates[name])} | {rate(told)} |\n"
    return text


def _provenance(report: dict[str, Any]) -> str:
    return f"""
## Where it fails
- Adults and children outside 1 to 5 years; any hospital but the one it learnt from was never measured; DX and PA films
  are accepted by the manifest and were never measured either: the certificate covers CR of one scanner model only.
- Films cropped to the lungs, upper halves and mild under-exposure pass the gates in part (table above).
- The films were squeezed to 224 x 224 and compressed by a third party; uncompressed originals were never measured.
- The recipe (size, length, augmentation) comes from a trial whose AUROC on these site films was seen; it was not tuned
  on them here, but the site's AUROC may be a little flattered. Age and sex of the children are not known film by film,
  so no subgroup of either can be shown.
- Scores are not probabilities: there is no calibration yet, and no percentage is shown.

## How it was made
Trained from nothing on 4,251 films (Kermany et al. 2018, doi:10.17632/rscbjbr9sj.2, CC BY 4.0; official training films,
less all patients of the test split), 486 films of a tenth of the patients held back; 21 epochs, seed 0, weights by
exponential moving average, 1,102,242 parameters, 128 x 128 px, mirrored copy averaged inside the graph.
ONNX opset 17, SHA-256 `{report["model_sha256"]}`. Adult films: NIH ChestX-ray14 (Wang et al., CVPR 2017,
https://nihcc.app.box.com/v/ChestXray-NIHCC), for measuring only. Body parts: MedNIST, licence not verified, for
measuring only; no weight was learnt from either.

    .venv-train/bin/python models/train_cxr_paediatric.py          # about 5 minutes on 2 cores
    .venv/bin/python models/package_cxr_paediatric.py --created 2026-11-23
    .venv/bin/python models/certify_harbour.py --created 2026-11-23 --attempt 1
    .venv/bin/python models/evaluate_cxr_paediatric.py --rescore
"""
