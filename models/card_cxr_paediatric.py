"""Writes CARD.md in the form of CHAI's applied model card from report.json and the certificates: no figure is typed."""

from typing import Any

from evaluation_report import certificates_of

from appliance.core.certificate import PRODUCT_CONTRACT, Certificate
from appliance.core.decide import Model


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


def card(report: dict[str, Any], model: Model) -> str:
    """The model card: one screen for a radiologist first, then where every figure comes from."""
    harbour, synthetic = certificates_of(model, "harbour"), certificates_of(model, "synthetic")
    parts = [_screen(report, harbour[-1]), _basics(report, model), _release(model), _uses(), _warnings(report)]
    parts += [_harbour(report, harbour[-1]), _other_prevalence(report), _strangers(report), _subgroups(report)]
    parts += [_discrimination(report), _synthetic(report, synthetic), _trust(), _again()]
    return "\n".join(part.strip("\n") + "\n" for part in parts if part)


def _screen(report: dict[str, Any], certificate: Certificate) -> str:
    auc, strange = report["discrimination"], report["decided_with_a_false_header"]
    hidden, edge = (report["hangs_on"][name]["auroc"] for name in ("lungs-hidden", "edge-only"))
    changed = {name: told["cleared"] for name, told in report["changed"].items()}
    swapped, planted = changed["sick-lungs-in-well-frame"], changed["opacity-planted"]
    site, crossed = report["site_calibration_patients"], report["site_cross_fitted"][-1]["first_repeat"]
    passed = {name: rate(told) for name, told in report["gates_passed"].items()}
    return f"""# {report["model"].replace("/", " ")}

**Research software, no cleared or certified medical device.** Every figure here is made by `make evaluate` from
`eval/scores.csv` and the certificates.

## What a radiologist must know
- It looks at **one frontal chest radiograph (AP or PA) of a child of 1 to 5 years** and gives one score for pneumonia.
  It looks for nothing else: fracture, foreign body, pneumothorax, heart, mass, tuberculosis and line position are all
  invisible to it. *Cleared* never means normal; it does not rule out.
- It knows one hospital's children. On other patients of that hospital: AUROC {area(auc["site"])}. On held-back
  training patients: {area(auc["held-back"])}. The gap between the two is what a change of collection alone does to it.
- Nothing is decided without a valid certificate of the very site, scanner model and package. At the demonstration
  site `harbour` it promises {certificate.plan.contract.rates} (finding among cleared / findings cleared / false
  flags), **weaker than the product's {PRODUCT_CONTRACT.rates}**, because {certificate.patients} patients carry no more.
  On those patients it decides {rate(site["decided"])}. Each patient
  decided by thresholds of all the others: {rate(crossed["decided"])} decided,
  FOR {rate(crossed["false_omission"])}, MISS {rate(crossed["miss"])},
  FDR {rate(crossed["false_discovery"])}.
- **It reads the frame more than the lungs.** With both lungs blotted out the AUROC on the site's films is still
  {hidden:.3f}, with nothing left but an edge of 25 px {edge:.3f}. By the score alone, films without it into
  which lungs with pneumonia were pasted: {rate(swapped)} cleared;
  normal films onto which a soft opacity as large as a lobe was drawn: {rate(planted)}
  cleared. How sick children were placed and exposed in this collection tells their disease. The certificate holds for
  patients who come as the site's did; it says nothing of a sick child whose film is framed like a well one's.
- **Adults are not its patients** (AUROC {auc["adult"]["auroc"]:.2f}). If a header lies, the gates let {passed["adult"]}
  of adult films through, and {rate(strange["adult"])} would be decided. Weak against: a film mirrored left to right
  ({passed["mirrored"]} pass), an apex cut off ({passed["apex-cut"]} pass), a turn of 15 degrees
  ({passed["turned-15"]} pass).
- The reference label is what graders read from the film, not culture or follow-up, and some labels are wrong.
"""


def _basics(report: dict[str, Any], model: Model) -> str:
    manifest = model.manifest
    covers, side = manifest.applies_to, manifest.input.side_px
    films = f"one CR or DX film, {', '.join(covers.view_position)}, at least {covers.side_px_min} px"
    return f"""
## Basic information
| | |
|---|---|
| model, version | {manifest.name} {manifest.version}, {manifest.created} |
| developer | the edge diagnostic appliance project |
| inputs | {films}, prepared to {side} x {side} |
| outputs | one logit for SNOMED CT {manifest.label.code} ({manifest.label.name}); no overlay |
| licence | {manifest.licence} |
| digest | `{report["model_sha256"]}` |
"""


def _release(model: Model) -> str:
    manifest = model.manifest
    return f"""
## Release information
Version {manifest.version} of {manifest.created}; regulatory status: none, research only. It replaces 1.0.0, which was
made from nothing at 128 px and had one exit; its certificate does not hold for this one.

## Model summary
A small residual network for one film, with an exit in its middle and one at its end, and a smaller network beside it
that says what the picture is. Gates stand before the score, a certificate behind it. Finding: {manifest.label.meaning}
"""


def _uses() -> str:
    return """
## Uses and directions
**Intended**: the order of reading. A cleared film is read later, a flagged one now, every other by the centre and then
by a reader; each film is read by a person. **Not for**: diagnosis, ruling out, other ages, views or hospitals without a
certificate, treatment decisions. Install it, collect labelled films of your own site in shadow, make a certificate
(`appliance certify`); until then it escalates everything.
"""


def _warnings(report: dict[str, Any]) -> str:
    ece = report["calibration"]
    off, brier = f"{100 * ece['ece']:.1f} %", f"{ece['brier']:.3f}"
    return f"""
## Warnings
Where it fails:

- Children outside 1 to 5 years and any hospital but the one it learnt from were never measured. DX and PA films are
  accepted by the manifest and were never measured either: the certificate covers CR of one scanner model.
- The films were squeezed to 224 x 224 and compressed by a third party; uncompressed originals were never measured.
- The check of what a picture is learnt adults from one collection (NIH): adults of another one may look less strange.
- Bacterial and viral films do not fare alike (subgroups below); few films stand behind either.
- Age and sex of the children are not known film by film, so no subgroup of either can be shown.
- Scores are not probabilities and none is shown. Fitted on four fifths of the site's patients and read on the rest, a
  sigmoid is off by {off} in the mean (ECE, ten bins, {ece["films"]} films; Brier {brier}).
"""


def _harbour(report: dict[str, Any], certificate: Certificate) -> str:
    site, plan = report["site_calibration_patients"], certificate.plan
    repeats = report["site_cross_fitted"][0]["repeats"]
    text = f"""
## Key metrics
### Decided at the site `harbour`
Certificate `{certificate.name}`: P(finding | cleared), P(cleared | finding), P(no finding | flagged) at most
{plan.contract.rates}, together with {1 - plan.delta:.0%} confidence over the draw of {certificate.patients} patients
({certificate.findings} with pneumonia). A demonstration: the product's default of {PRODUCT_CONTRACT.rates} needs some
thousand patients. It expires on {certificate.expires}, two years on, so that the demonstration goes on; real ones
should last 90 days. Attempt {plan.attempt} on these patients (version 1.0.0 was the first), so each of its sequences
may spend {plan.delta_sequence:.5f} instead of {plan.delta / 2 / len(plan.starts):.5f}.

| on the {certificate.patients} calibration patients, one film each | |
|---|---|
| cleared / flagged / escalated | {" / ".join(str(n) for n in site["lanes"].values())} |
| decided here | {rate(site["decided"])} |
| finding among cleared (FOR) | {rate(site["false_omission"])} |
| cleared among findings (MISS) | {rate(site["miss"])} |
| no finding among flagged (FDR) | {rate(site["false_discovery"])} |

These films set the thresholds, so the table flatters. Cross-fitted ({repeats} times; thresholds from
all folds of patients but one, judged on that one): with fewer patients a lane opens later or not at all, so this judges
the procedure, not the certificate. Mean and range over repeats, and the first repeat with its exact interval:

| | mean | range | first repeat |
|---|---|---|---|
"""
    names = {"decided": "decided here", "false_omission": "FOR", "miss": "MISS", "false_discovery": "FDR"}
    for cross in report["site_cross_fitted"]:
        for key, name in names.items():
            low, high = cross["range"][key]
            mean = f"{100 * cross['mean'][key]:.1f} % | {100 * low:.1f}-{100 * high:.1f} %"
            text += f"| {name}, {cross['folds']} folds | {mean} | {rate(cross['first_repeat'][key])} |\n"
    return text + "\n![risk and coverage](eval/risk-coverage-harbour.svg)\n"


def _other_prevalence(report: dict[str, Any]) -> str:
    text = """
FOR and FDR move with the prevalence, MISS does not. **Assumption**: only the prevalence changes, the films of each
class stay as they are at this site (label shift); point estimates, no certificate covers them.

| prevalence | FOR | FDR | decided here |
|---|---|---|---|
"""
    for line in report["by_prevalence"]:
        rates = (line["prevalence"], line["false_omission"], line["false_discovery"], line["decided"])
        text += "| " + " | ".join("-" if value is None else f"{100 * value:.1f} %" for value in rates) + " |\n"
    return text


def _strangers(report: dict[str, Any]) -> str:
    gates = report["gates_passed"]
    text = f"""
### Safety: what the gates stop when the header lies
Gates are learnt from training films alone: a small net says what the picture is; the Mahalanobis distance of the first
exit's channels and a thumbnail says whether it is like the training films; the mirror must be scored alike; entropy,
sharpness and clipping must be usual. They let {rate(gates["held-back"])} of held-back training films and
{rate(gates["site"])} of the site's films through. *adult* are patients the check never saw (*adult-shown*: it did);
body parts are the half it never saw, enlarged from 64 px; *drawn* pictures come from a seed it never saw; *dicom* are
the pictures of every modality that pydicom ships. The other rows are films of the site after a mishap.

| films with a false header | pass every gate | would be decided | mostly taken for |
|---|---|---|---|
"""
    for name, told in report["decided_with_a_false_header"].items():
        looks = report["looks_like"][name]
        text += f"| {name} | {rate(gates[name])} | {rate(told)} | {max(looks, key=looks.__getitem__)} |\n"
    return text


def _subgroups(report: dict[str, Any]) -> str:
    text = """
### Fairness: subgroups of the site
All films of the site under the certificate's thresholds. Nothing is known of sex, origin or weight.

| films | n | cleared / flagged / escalated | missed among findings | false flags among others |
|---|---|---|---|---|
"""
    for each in report["subgroups"]:
        lanes = " / ".join(str(n) for n in each["lanes"].values())
        text += (
            f"| {each['group']} | {each['films']} | {lanes} | {rate(each['missed'])} | {rate(each['false_flags'])} |\n"
        )
    return text


def _discrimination(report: dict[str, Any]) -> str:
    first, speed = report["discrimination_first_exit"], report["speed"]
    middle, late = f"{speed['median_ms']} ms", f"{speed['p99_ms']} ms"
    lines = "".join(f"| {s['sensitivity']:.0%} | {rate(s['specificity'])} |\n" for s in report["specificity"])
    return f"""
### Discrimination, calibration, speed
The first exit alone (middle of the net, half the cost): {area(first["site"])} on the site's films. ROC and calibration:
`eval/roc.svg`, `eval/calibration.svg`.

| sensitivity on the site's films | specificity there (optimistic: the films set the threshold) |
|---|---|
{lines}
A film takes {middle} in the middle and {late} at the 99th percentile on one core of the machine that scored
({speed["films"]} films: preparation, check, both exits, gates, and the way to the child process and back); the child
process holds {speed["child_memory_mib"]} MiB.
"""


def _synthetic(report: dict[str, Any], certificates: list[Certificate]) -> str:
    if not certificates or "synthetic" not in report:
        return ""
    told, last = report["synthetic"], certificates[-1]
    others = report["discrimination"]["synthetic"]["films"]
    omitted, missed, discovered = (rate(told[name]) for name in ("false_omission", "miss", "false_discovery"))
    exits = "; ".join(
        f"exit {e['exit']} is asked of {e['asked']} and decides {rate(e['decided'])}" for e in told["by_exit"]
    )
    return f"""
### The synthetic scanner's site
Drawn films show nobody and measure nothing about patients: they show the machinery at the product's own contract.
Certificate `{last.name}`: {last.plan.contract.rates} on {last.patients} drawn films. On {others} others:
decided {rate(told["decided"])}; FOR {omitted}; MISS {missed}; FDR {discovered}.
Two exits: {exits}.
"""


def _trust() -> str:
    return """
## Trust ingredients
**How it was made.** Five teachers (EfficientNet-Lite0, each blind to a fifth of the patients) were fitted to 4,251
films (Kermany et al. 2018, doi:10.17632/rscbjbr9sj.2, CC BY 4.0; official training films, less all patients of the test
split); a student of 3.4 million parameters with two exits was taught by their mean opinion of the very picture it saw
and by labels softened by what the blind teacher said. Start: ImageNet weights (Apache-2.0). 486 films of a tenth of the
patients were held back from everything. Two students were trained; the one with the higher AUROC on held-back films
was taken. No site film was opened before the plan of the certificate was fixed. The mirrored copy is averaged inside
the graph. Weights are kept at half precision and computed in float32.
**What was seen before.** The site's AUROC of version 1.0.0 (0.974) was known when this version was begun; its
certificate therefore counts as the second attempt.
**Check.** A net of 0.5 million parameters, taught with the same films, adults of NIH ChestX-ray14 (Wang et al., CVPR
2017, https://nihcc.app.box.com/v/ChestXray-NIHCC), MedNIST (licence not verified) and drawn pictures. Trained without
body parts, limbs, breasts and heads, or without drawn pictures and inverted films, it refused every picture of the
kinds it had never seen, at the same threshold (1,000 pictures; one-off, not part of `make evaluate`).
**Energy** is not used: with one logit it is a function of the score itself.
"""


def _again() -> str:
    return """
## Resources
Made again, in this order:

    .venv-train/bin/python models/train_cxr_paediatric.py teachers --start lite0.pth  # 2 min on a large GPU, hours here
    .venv-train/bin/python models/train_cxr_paediatric.py student --start lite0.pth --seed 0  # and --seed 1
    .venv-train/bin/python models/train_check.py
    .venv-train/bin/python models/export_cxr_paediatric.py
    .venv/bin/python models/package_cxr_paediatric.py --created 2026-11-26
    .venv/bin/python models/certify_harbour.py --created 2026-11-26 --attempt 2
    .venv/bin/python models/certify_synthetic.py --created 2026-11-26
    .venv/bin/python models/evaluate_cxr_paediatric.py --rescore
    .venv/bin/appliance models sign models/cxr-paediatric-pneumonia/2.0.0 --key KEY

## Bibliography
Kermany et al., Cell 172 (2018); Wang et al., CVPR 2017; Tan & Le, arXiv:1905.11946; Beyer et al., arXiv:2106.05237;
Angelopoulos et al., arXiv:2110.01052; Lee et al., arXiv:1807.03888; STARD-AI; CHAI applied model card v0.2.
"""
