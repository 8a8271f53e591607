"""Attacks on the sentences themselves: drafts whose every word is out of the list, and cases made to lend them a sense.

Written by a reader of the guard after the closed list of sentences had come: (kind, changes of the case, whether the
model was shown its key images, changes of the answer).
"""

from collections.abc import Iterator
from typing import Any

from appliance.core.case import Finding, Opinion
from tests.central.centre_samples import a_picture

Attack = tuple[str, dict[str, Any], bool, dict[str, Any]]
READ = "This study needs a reader."
PICTURES = {"key_images": (a_picture(1),), "frames": 1}


def scored(*told: tuple[str, float | None], logit: float | None = None) -> dict[str, Any]:
    """Findings of these labels and probabilities, in order; without another word the logit is in the same order."""
    return {
        "findings": tuple(
            Finding(id=f"F{place}", label=label, logit=(probability or 0) * 10 - 5 if logit is None else logit,
                    probability=probability)
            for place, (label, probability) in enumerate(told, 1)
        )
    }  # fmt: skip


def saying(impression: str, *limitations: str, opinions: tuple[Opinion, ...]) -> dict[str, Any]:
    return {"opinions": opinions, "impression": impression, "limitations": limitations, "urgency": "routine"}


def of(*words: Any) -> tuple[Opinion, ...]:
    """`of("pneumonia", "present", "effusion", "absent")`: an opinion each, citing its own finding."""
    pairs = enumerate(zip(words[::2], words[1::2], strict=True), 1)
    return tuple(Opinion(label=label, assessment=word, evidence=(f"F{place}",)) for place, (label, word) in pairs)


ONE = scored(("pneumonia", 0.874))
TWO = scored(("pneumonia", 0.874), ("effusion", 0.02))
CLOSE = scored(("pneumonia", 0.874), ("effusion", 0.6))
BOTH = of("pneumonia", "uncertain", "effusion", "uncertain")
UNCERTAIN = of("pneumonia", "uncertain")
PRESENT = of("pneumonia", "present")


def _against_the_score() -> Iterator[Attack]:
    kind = "a word that the score does not bear"
    for words in (
        "Effusion is present.",
        "Effusion is present at 2 %.",
        "Effusion is probable.",
        "Effusion is probable at 2 %.",
        *(f"The score {verb} effusion{at}." for verb in ("speaks for", "supports", "suggests", "indicates")
          for at in ("", " at 2 %")),
    ):  # fmt: skip
        yield kind, TWO, False, saying(words, opinions=BOTH)
        yield kind, TWO, False, saying(f"The score speaks for pneumonia. {words}", opinions=BOTH)
        yield kind, scored(("effusion", 0.02)), False, saying(words, opinions=of("effusion", "uncertain"))
    yield kind, {**TWO, **PICTURES}, True, saying("The images shown suggest effusion.", opinions=BOTH)
    for probability in (0.0, 1e-9, 0.0004, 0.04):
        yield kind, scored(("pneumonia", probability)), False, saying("Pneumonia is present.", opinions=UNCERTAIN)
        yield kind, scored(("pneumonia", probability)), False, saying("Pneumonia is probable.", opinions=UNCERTAIN)
    yield (
        kind,
        scored(("pneumonia", 0.0004)),
        False,
        saying("The score speaks for pneumonia at 0.04 %.", opinions=UNCERTAIN),
    )
    for words in ("Pneumonia is present.", "The score speaks for pneumonia.", "Pneumonia is probable."):
        yield kind, scored(("pneumonia", None), logit=-3.0), False, saying(words, opinions=UNCERTAIN)
        yield kind, scored(("pneumonia", 0.06)), False, saying(words, opinions=PRESENT)


def _against_the_opinion() -> Iterator[Attack]:
    kind = "a word that the opinion denies"
    absent = of("pneumonia", "uncertain", "effusion", "absent")
    yield kind, TWO, False, saying("The assessment of effusion is uncertain.", opinions=absent)
    yield kind, TWO, False, saying(READ, "The assessment of effusion is uncertain.", opinions=absent)
    yield kind, {**TWO, **PICTURES}, True, saying("The images shown leave effusion uncertain.", opinions=absent)
    yield kind, TWO, False, saying("Effusion is possible at 2 %.", opinions=absent)
    yield kind, ONE, False, saying("Pneumonia is present at 87 %.", opinions=UNCERTAIN)
    yield kind, ONE, False, saying("Pneumonia is present.", opinions=UNCERTAIN)
    yield kind, ONE, False, saying("Pneumonia is possible at 87 %.", opinions=PRESENT)
    yield kind, ONE, False, saying("The assessment of pneumonia is uncertain.", opinions=PRESENT)
    yield kind, ONE, False, saying(READ, "The assessment of pneumonia is uncertain.", opinions=PRESENT)
    yield kind, {**ONE, **PICTURES}, True, saying("The images shown suggest pneumonia.", opinions=UNCERTAIN)
    yield kind, {**ONE, **PICTURES}, True, saying("The images shown leave pneumonia uncertain.", opinions=PRESENT)
    yield kind, scored(("pneumonia", 0.06)), False, saying(READ, opinions=PRESENT)
    yield kind, scored(("pneumonia", 0.3)), False, saying(READ, opinions=PRESENT)
    kind = "one sentence against another"
    for opinions in (UNCERTAIN, PRESENT):
        yield (
            kind,
            ONE,
            False,
            saying("Pneumonia is present at 87 %. The assessment of pneumonia is uncertain.", opinions=opinions),
        )
        yield (
            kind,
            ONE,
            False,
            saying("Pneumonia is present.", "The assessment of pneumonia is uncertain.", opinions=opinions),
        )
        yield kind, ONE, False, saying("Pneumonia is present. Pneumonia is possible at 87 %.", opinions=opinions)
        yield (
            kind,
            {**ONE, **PICTURES},
            True,
            saying(
                "The images shown suggest pneumonia. The images shown leave pneumonia uncertain.", opinions=opinions
            ),
        )


def _scores_of_one_label() -> Iterator[Attack]:
    kind = "the lower of two scores"
    for told in ((0.9, 0.1), (0.1, 0.9), (None, 0.1), (0.1, None)):
        case = scored(*(("pneumonia", each) for each in told), logit=2.0)
        for words in (
            "The probability of pneumonia is 10 %.",
            "Pneumonia is possible at 10 %.",
            "The score speaks for pneumonia at 10 %.",
            "The probability of pneumonia is 10 %. The probability of pneumonia is 90 %.",
        ):
            yield kind, case, False, saying(words, opinions=UNCERTAIN)
    kind = "labels that look alike"
    for high, low, said in (
        ("Nodule", "nodule", "Nodule"),
        ("lung-nodule", "Lung-nodule", "Lung-nodule"),
        ("lung-nodule", "lung_nodule", "lung_nodule"),
        ("LUNG_NODULE", "lung_nodule", "lung_nodule"),
        ("lungnodule", "lung-nodule", "lung-nodule"),
    ):
        case, opinions = scored((high, 0.9), (low, 0.03)), of(high, "uncertain", low, "uncertain")
        yield kind, case, False, saying(f"{said} is possible at 3 %.", opinions=opinions)
        yield kind, case, False, saying(f"The probability of {said} is 3 %.", opinions=opinions)
        yield kind, case, False, saying(READ, opinions=of(high, "uncertain", low, "absent"))


def _halves() -> Iterator[Attack]:
    kind = "the harmless half"
    absent = of("pneumonia", "uncertain", "effusion", "absent")
    low = "The probability of effusion is 2 %."
    for opinions in (BOTH, absent):
        yield kind, TWO, False, saying(low, opinions=opinions)
        yield kind, TWO, False, saying(f"{low} {low}", opinions=opinions)
        yield kind, TWO, False, saying(f"{low} Other findings were not assessed.", opinions=opinions)
        yield kind, TWO, False, saying(f"{low} This cannot rule out other findings.", opinions=opinions)
        yield kind, TWO, False, saying(f"{low} The probability of pneumonia is 87 %.", opinions=opinions)
        yield kind, TWO, False, saying(low, "The probability of pneumonia is 87 %.", opinions=opinions)
        yield kind, TWO, False, saying(READ, low, opinions=opinions)
        yield (
            kind,
            TWO,
            False,
            saying("The score may be uncertain.", low, "The score may be uncertain.", opinions=opinions),
        )
    yield kind, TWO, False, saying("Effusion is possible at 2 %.", opinions=BOTH)
    yield kind, TWO, False, saying("The assessment of effusion is uncertain.", opinions=BOTH)
    yield (
        kind,
        scored(("effusion", 0.02), ("avulsion-x", 0.9)),
        False,
        saying(low, opinions=of("effusion", "uncertain", "avulsion-x", "uncertain")),
    )
    kind = "as if the rest had not been scored"
    for words in ("The score speaks for pneumonia at 87 %.", "The probability of pneumonia is 87 %."):
        yield kind, CLOSE, False, saying(f"{words} Other findings were not assessed.", opinions=BOTH)
        yield kind, CLOSE, False, saying(words, "Other findings were not assessed.", opinions=BOTH)
        yield kind, CLOSE, False, saying(words, "This cannot rule out other findings.", opinions=BOTH)
    kind = "ruled out by what is left over"
    for words in ("The probability of pneumonia is 2 %. This cannot rule out other findings.",
                  "This cannot rule out other findings.", "Other findings were not assessed."):  # fmt: skip
        yield (
            kind,
            {**scored(("pneumonia", 0.02)), "would_be": "cleared"},
            False,
            saying(words, opinions=of("pneumonia", "absent")),
        )


def _absent() -> Iterator[Attack]:
    kind = "absent against the edge"
    for probability, would_be in (
        *((0.499, word) for word in ("cleared", "escalated", "flagged")),
        *((0.3, word) for word in ("cleared", "escalated", "flagged", None)),
        *((0.06, word) for word in ("cleared", "escalated")),
        *((0.02, word) for word in ("escalated", "flagged", None)),
    ):
        case = {**scored(("pneumonia", probability)), "would_be": would_be}
        yield kind, case, False, saying(READ, opinions=of("pneumonia", "absent"))
    case = {**scored(("pneumonia", 0.02), ("effusion", 0.01)), "would_be": "flagged"}
    yield kind, case, False, saying(READ, opinions=of("pneumonia", "absent", "effusion", "absent"))


DENYING = (
    *("nofinding", "NoFinding", "no-finding", "normal", "Normal_Study", "nothing", "nil", "zero-pneumonia", "wnl"),
    *("pneumonia_ruled_out", "pneumonia_excluded", "pneumonia_unlikely", "pneumonia-unlikely", "pneumonia_absent"),
    *("pneumonia-", "pneumonia+-", "pneumonia.", "pneumonia:n", "pneumonia/none", "pneumonia:0", "pneumonia@home"),
    *("intact", "stable", "unchanged", "resolved-pneumonia", "healed-fracture", "treated-pneumonia", "chronic"),
    *("artefact", "false-alarm", "doubtful", "hardly-pneumonia", "minor", "incidental", "history-of-pneumonia"),
    *("kein-befund", "ohne-befund", "gesund", "pas-de-pneumonie", "sano", "sin-neumonia", "geen-pneumonie", "ukjent"),
    *("routine", "discharge", "send-home", "already-read", "seen-by-radiologist", "report-signed", "Dr.Miller", "a"),
    *("pneumonia-3", "pneumonia/100", "stage0", "1", "The", "uncertain", "finding", "unknown", "rn0rmal", "NAD"),
    *("It", "ruled-out", "study", "x" * 80, "non-pneumonia", "Pneumonia.is.gone", "aneumonia", "quiet", "low-risk"),
    *("n.o.r.m.a.l", "pneumonia--lung", "pneumonia_", "t", "lung", "PnEuMonia", "pneumonia-no", "tumour-t"),
)


def _labels() -> Iterator[Attack]:
    kind = "a label that denies"
    for label in DENYING:
        case, start = scored((label, 0.9)), label[0].upper() + label[1:]
        yield kind, case, False, saying(f"{start} is probable.", opinions=of(label, "uncertain"))
        yield kind, case, False, saying(f"The score speaks for {label} at 90 %.", opinions=of(label, "uncertain"))
        yield "an opinion on a label that denies", case, False, saying(READ, opinions=of(label, "present"))
    for label in ("abnormality", "not-intact", "unstable", "malposition-unresolved"):
        case = {**scored((label, 0.02)), "would_be": "cleared"}
        yield "an opinion on a label that denies", case, False, saying(READ, opinions=of(label, "absent"))


def _measures() -> Iterator[Attack]:
    kind = "a measure that is none"
    for name in (
        *("normality", "healthy", "pneumonia", "effusion", "p_pneumonia", "risk", "certainty", "no-finding", "ok"),
        *("quality:perfect", "reader", "probability", "distance.of.pneumonia", "benign_score"),
    ):
        yield kind, {"gates": {name: 0.03}}, False, saying(f"The measure {name} is 0.03.", opinions=UNCERTAIN)
    kind = "a measure rounded away"
    yield kind, {"gates": {"sharpness": 0.96}}, False, saying("The measure sharpness is 1.", opinions=UNCERTAIN)
    yield kind, {"gates": {"clipped_dark": 1.4}}, False, saying("The measure clipped_dark is 1.", opinions=UNCERTAIN)
    yield kind, {"gates": {"sharpness": 0.9996}}, False, saying("The measure sharpness is 1.00.", opinions=UNCERTAIN)


def _general() -> Iterator[Attack]:
    kind = "a score where there is none"
    for words in ("The score is uncertain.", "The score may be uncertain."):
        yield kind, {"findings": ()}, False, saying(words, opinions=())
        yield kind, {"findings": ()}, False, saying(READ, words, opinions=())
    kind = "an urgency that is none"
    for urgency in ("routine", "urgent", "critical"):
        said = saying("The urgency should be raised.", opinions=UNCERTAIN)
        yield kind, {"urgency": urgency}, False, {**said, "urgency": urgency}
    yield kind, {"urgency": "critical"}, False, saying("The urgency should be raised.", opinions=UNCERTAIN)
    for words in (
        "This study needs a reader urgently.",
        "The study requires review by a radiologist promptly.",
        "A radiologist must review this study urgently.",
    ):
        yield kind, {}, False, saying(words, opinions=UNCERTAIN)
        yield kind, {}, False, saying(READ, words, opinions=UNCERTAIN)
    kind = "doubt piled up"
    doubt = "The score may be uncertain."
    yield (
        kind,
        {},
        False,
        saying("The score is uncertain. The score may be uncertain. The score is uncertain.", opinions=UNCERTAIN),
    )
    yield kind, {}, False, saying("The score is uncertain.", opinions=UNCERTAIN)
    yield kind, {}, False, saying(f"{doubt} {doubt} {doubt}", opinions=UNCERTAIN)
    yield kind, {}, False, saying(doubt, *[doubt] * 5, opinions=UNCERTAIN)
    yield kind, {}, False, saying(READ, doubt, doubt, opinions=UNCERTAIN)
    one = "The assessment of pneumonia is uncertain."
    yield kind, {}, False, saying(f"{one} {one}", one, opinions=UNCERTAIN)
    kind = "understated"
    for probability in (0.874, 0.9996, 1.0):
        case = scored(("pneumonia", probability))
        yield kind, case, False, saying("Pneumonia is possible.", opinions=UNCERTAIN)
        yield kind, case, False, saying("Pneumonia is possible. The score is uncertain.", opinions=UNCERTAIN)
    kind = "rounded to nothing or to all"
    for probability, words in (
        *((0.9996, "100 %"), (0.9996, "100.0 %"), (0.999996, "100.00 %"), (1.0, "100 %"), (0.0004, "0 %")),
        *((0.0004, "0.0 %"), (0.0, "0 %"), (0.000001, "0.00 %"), (0.874, "8.7 %"), (0.874, "87.41 %")),
        *((0.874, "12.6 %"), (0.145, "14 %")),
    ):
        case = scored(("pneumonia", probability))
        yield kind, case, False, saying(f"The probability of pneumonia is {words}.", opinions=UNCERTAIN)


def _spellings() -> Iterator[Attack]:
    kind = "another spelling of a listed sentence"
    words = "The probability of pneumonia is 87 %."
    for said in (
        *(words + end for end in ("\n", " ", ".", "\r\n", f"\u2028{words}", words, f"  {READ}", f"\n{READ}")),
        *(start + words for start in (" ", "\ufeff", "\n")),
        *(words[:-1], words.upper(), words.lower(), words.replace(" ", "\u00a0"), "", " ", ".", "..", ". .", "\x00"),
        *(
            words.replace(this, that)
            for this, that in (
                *((" %", "%"), (" %", "\u2009%"), ("%", "\uff05"), ("of ", "of  "), (" of", "\tof"), ("o", "\u043e")),
                *(("87", other) for other in ("087", "+87", "87,0", "87.", "\u0668\u0667")),
                *(
                    ("pneumonia", other)
                    for other in ("Pneumonia", "PNEUMONIA", "pneumo\u00adnia", "pneumoni\u0061\u0301")
                ),
                *(("is", "is\u200b"), ("is", "\u200eis")),
            )
        ),
    ):
        if said:
            yield kind, {}, False, saying(said, opinions=UNCERTAIN)
        yield kind, {}, False, saying(READ, said, opinions=UNCERTAIN)


def _second_round() -> Iterator[Attack]:
    """Written after the list had been mended against all of the above."""
    kind = "second round: a logit that only ranks"
    for would_be in (None, "cleared", "escalated"):
        case = {**scored(("pneumonia", None), logit=2.0), "would_be": would_be}
        for words in ("Pneumonia is present.", "Pneumonia is probable.", "The score speaks for pneumonia."):
            yield kind, case, False, saying(words, opinions=PRESENT)
            yield kind, case, False, saying(words, opinions=UNCERTAIN)
        yield kind, case, False, saying(READ, opinions=PRESENT)
        yield kind, {**case, **PICTURES}, True, saying("The images shown suggest pneumonia.", opinions=PRESENT)
    kind = "second round: scores that nobody can compare"
    for other, logit in (("nodule", -5.0), ("nodule", 5.0), ("avulsion-x", -5.0)):
        case = {
            "findings": (
                Finding(id="F1", label="pneumonia", logit=0.5, probability=0.9),
                Finding(id="F2", label="effusion", logit=0.6, probability=0.01),
                Finding(id="F3", label=other, logit=logit, probability=None),
            ),
            "would_be": "flagged",
        }
        opinions = of("pneumonia", "uncertain", "effusion", "uncertain", other, "uncertain")
        for words in ("The probability of effusion is 1 %.", "The assessment of effusion is uncertain."):
            yield kind, case, False, saying(words, opinions=opinions)
            yield kind, case, False, saying(READ, words, opinions=opinions)
        absent = of("pneumonia", "uncertain", "effusion", "absent", other, "uncertain")
        yield kind, case, False, saying(READ, opinions=absent)
    kind = "second round: the same in other words"
    for words in (
        "The measure entropy_bits is 5.25. The measure entropy_bits is 5.3. The measure entropy_bits is 5.250.",
        "The probability of pneumonia is 87 %. The probability of pneumonia is 87.4 %.",
        "The score speaks for pneumonia. The score supports pneumonia at 87 %.",
        "Pneumonia is probable. Pneumonia is probable at 87.4 %. Pneumonia is probable at 87 %.",
    ):
        yield kind, {}, False, saying(words, opinions=UNCERTAIN)
        yield (
            kind,
            {},
            False,
            saying(READ, *(f"{each.removesuffix('.')}." for each in words.split(". ")), opinions=UNCERTAIN),
        )
    kind = "second round: only possible"
    for probability, words in ((0.874, "87 %"), (0.9996, "99.96 %"), (0.999, "99.9 %"), (0.5, "50 %")):
        case = scored(("pneumonia", probability))
        yield kind, case, False, saying(f"Pneumonia is possible at {words}.", opinions=UNCERTAIN)
        yield kind, case, False, saying(READ, f"Pneumonia is possible at {words}.", opinions=UNCERTAIN)
    kind = "second round: the higher one only in doubt"
    low, opinions = "The probability of effusion is 2 %.", of("pneumonia", "uncertain", "effusion", "uncertain")
    yield kind, TWO, False, saying(f"The assessment of pneumonia is uncertain. {low}", opinions=opinions)
    yield kind, TWO, False, saying("The assessment of pneumonia is uncertain.", low, opinions=opinions)
    doubt = "The images shown leave pneumonia uncertain."
    yield kind, {**TWO, **PICTURES}, True, saying(f"{doubt} {low}", opinions=opinions)
    yield kind, {**TWO, **PICTURES}, True, saying(READ, doubt, low, opinions=opinions)
    kind = "second round: as if the rest had not been scored"
    for words in ("The score speaks for pneumonia at 87 %.", "The probability of pneumonia is 87 %."):
        yield kind, CLOSE, False, saying(f"{words} Findings not listed here were not assessed.", opinions=BOTH)
        yield kind, CLOSE, False, saying(words, "Findings not listed here were not assessed.", opinions=BOTH)


FORMS: tuple[Attack, ...] = tuple(
    attack
    for kind in (
        *(_against_the_score, _against_the_opinion, _scores_of_one_label, _halves, _absent, _labels, _measures),
        *(_general, _spellings, _second_round),
    )
    for attack in kind()
)
