"""report.json of the evaluation: lanes, rates and discrimination from scores and certificates, nothing else."""

from typing import Any

import numpy as np
from figures import auroc_with_interval, calibration, specificity_at
from numpy.typing import NDArray

from appliance.core.certificate import Certificate, Ends
from appliance.core.decide import Model
from appliance.core.risk_coverage import by_prevalence, contract_figures, cross_fitted, lane_counts, proportion, said

Row = dict[str, str]
OWN = ("held-back", "site", "synthetic")
# Site films changed so as to ask what the score hangs on; they are no strangers.
HIDDEN = ("lungs-hidden", "edge-only")
CHANGED = ("sick-lungs-in-well-frame", "well-lungs-in-sick-frame", "opacity-planted")
CROSS_FOLDS = (5, 20)


class Scores:
    """The scores of some films as arrays: logit, passed [exit, film]; finding [film]; patients."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.logit = np.array([[float(row[name]) for row in rows] for name in ("logit_1", "logit")])
        self.passed = np.array([[row[name] == "1" for row in rows] for name in ("passed_1", "passed")])
        self.finding = np.array([row["label"] not in ("normal", "") for row in rows])
        self.patients = [row["patient"] for row in rows]

    def only(self, which: NDArray[np.bool_]) -> "Scores":
        return Scores([row for row, kept in zip(self.rows, which, strict=True) if kept])


def certificates_of(model: Model, site: str) -> list[Certificate]:
    """The site's certificates, newest of each exit, in the order of the exits."""
    own = sorted((c for c in model.certificates if c.site == site), key=lambda c: (c.exit, c.created))
    newest = {certificate.exit: certificate for certificate in own}
    return [newest[number] for number in sorted(newest)]


def ends(certificates: list[Certificate]) -> list[Ends]:
    return [
        Ends(clear_at_or_below=each.clear_at_or_below, flag_at_or_above=each.flag_at_or_above) for each in certificates
    ]


def by_exit(scores: Scores, where: list[Ends]) -> list[dict[str, Any]]:
    """How many films each exit decides alone, and how many it is asked of."""
    left, told = np.ones(len(scores.rows), bool), []
    for number in range(1, len(where) + 1):
        closed = [Ends(clear_at_or_below=None, flag_at_or_above=None)] * (len(where) - number)
        lanes = said(scores.logit, scores.passed, [*where[:number], *closed])
        decided = left & (lanes != "escalated")
        told.append({"exit": number, "asked": int(left.sum()), "decided": proportion(int(decided.sum()), len(left))})
        left &= ~decided
    return told


def report(rows: list[Row], model: Model) -> dict[str, Any]:
    """Every figure of the card but speed and memory."""
    names = dict.fromkeys(row["set"] for row in rows)
    sets = {name: Scores([row for row in rows if row["set"] == name]) for name in names}
    harbour, synthetic = certificates_of(model, "harbour"), certificates_of(model, "synthetic")
    where = ends(harbour)
    lanes = {name: said(each.logit, each.passed, where) for name, each in sets.items() if name != "synthetic"}
    site = sets["site"].only(np.array([row["calibration"] == "1" for row in sets["site"].rows]))
    site_lanes = said(site.logit, site.passed, where)
    strangers = [name for name in lanes if name not in (*OWN, *HIDDEN, *CHANGED)]
    told = {
        "model": model.manifest.title,
        "model_sha256": model.sha256,
        "certificates": {c.name: c.digest for c in (*harbour, *synthetic)},
        "discrimination": {
            name: auroc_with_interval(sets[name].logit[-1], sets[name].finding, sets[name].patients)
            for name in ("held-back", "site", "adult", "synthetic")
            if name in sets
        },
        "discrimination_first_exit": {
            name: auroc_with_interval(sets[name].logit[0], sets[name].finding, sets[name].patients)
            for name in ("held-back", "site")
        },
        "hangs_on": {
            name: auroc_with_interval(sets[name].logit[-1], sets[name].finding, sets[name].patients) for name in HIDDEN
        },
        "changed": {name: _bare(sets[name], where) | {"gated": lane_counts(lanes[name])} for name in CHANGED},
        "specificity": specificity_at(sets["site"].logit[-1], sets["site"].finding),
        "calibration": calibration(sets["site"].logit[-1], sets["site"].finding, sets["site"].patients),
        "gates_passed": {name: proportion(int(each.passed[-1].sum()), len(each.rows)) for name, each in sets.items()},
        "looks_like": {name: _counted([row["looks_like"] for row in sets[name].rows]) for name in sets},
        "decided_with_a_false_header": {
            name: proportion(int((lanes[name] != "escalated").sum()), len(lanes[name])) for name in strangers
        },
        "site_calibration_patients": {
            "lanes": lane_counts(site_lanes),
            **contract_figures(site_lanes, site.finding),
            "by_exit": by_exit(site, where),
        },
        "site_cross_fitted": [
            *(cross_fitted(site.logit, site.finding, site.passed, harbour[-1].plan, folds) for folds in CROSS_FOLDS),
            # Each patient left out once: nearest to what a certificate of this size does to the next patient.
            cross_fitted(site.logit, site.finding, site.passed, harbour[-1].plan, len(site.rows), repeats=1),
        ],
        "by_prevalence": by_prevalence(site_lanes, site.finding),
        "subgroups": subgroups(sets["site"], lanes["site"]),
        "reasons": {
            name: _counted(" ".join(row["failed"] for row in sets[name].rows).split()) for name in OWN if name in sets
        },
    }
    return told | (_synthetic(sets["synthetic"], synthetic) if synthetic and "synthetic" in sets else {})


def _bare(scores: Scores, where: list[Ends]) -> dict[str, Any]:
    """Lanes by the score alone, as if every gate had let the film pass."""
    found = said(scores.logit, np.ones_like(scores.passed), where)
    return {
        "films": len(found),
        "cleared": proportion(int((found == "cleared").sum()), len(found)),
        "lanes": lane_counts(found),
    }


def _synthetic(scores: Scores, certificates: list[Certificate]) -> dict[str, Any]:
    lanes = said(scores.logit, scores.passed, ends(certificates))
    return {
        "synthetic": {
            "lanes": lane_counts(lanes),
            **contract_figures(lanes, scores.finding),
            "by_exit": by_exit(scores, ends(certificates)),
        }
    }


def _counted(words: list[str]) -> dict[str, int]:
    return {word: words.count(word) for word in sorted(set(words))}


def subgroups(site: Scores, lanes: NDArray[np.str_]) -> list[dict[str, Any]]:
    """All films of the site by what is known of them: label, films of the patient, third of likeness."""
    told = []

    def add(name: str, which: NDArray[np.bool_]) -> None:
        finding = site.finding[which]
        told.append(
            {
                "group": name,
                "films": int(which.sum()),
                "lanes": lane_counts(lanes[which]),
                "decided": proportion(int((lanes[which] != "escalated").sum()), int(which.sum())),
                "missed": proportion(int((finding & (lanes[which] == "cleared")).sum()), int(finding.sum())),
                "false_flags": proportion(int((~finding & (lanes[which] == "flagged")).sum()), int((~finding).sum())),
            }
        )

    label = np.array([row["label"] for row in site.rows])
    for name in ("normal", "bacteria", "virus"):
        add(f"label {name}", label == name)
    many = np.array([site.patients.count(person) for person in site.patients])
    add("patients with one film", many == 1)
    add("patients with more films", many > 1)
    likeness = np.array([float(row["distance"]) for row in site.rows])
    low, high = np.quantile(likeness, [1 / 3, 2 / 3])
    add("most like the training films", likeness <= low)
    add("between", (likeness > low) & (likeness <= high))
    add("least like the training films", likeness > high)
    return told
