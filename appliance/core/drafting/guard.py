"""Deterministic checks on a language model's answer. A schema makes its shape true; only these look at its sense.

Pure. Each check is named in the verdict, passed or not. An answer that fails one is withheld whole: the verdict then
says `needs_human` and the words are ours. The urgency is never below the edge's. It never corrects an answer.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from appliance.core.case import Case, Guard, Reader, Verdict
from appliance.core.document import URGENCIES, Urgency
from appliance.core.drafting.agreement import disagreement
from appliance.core.drafting.findings import absent_opposed, passed_over, speaks_for, understood
from appliance.core.drafting.forms import unlisted
from appliance.core.drafting.numbers import number_invented
from appliance.core.drafting.question import (
    IMPRESSION_SENTENCES_MAX,
    NO_MODEL_ID,
    NO_MODEL_NOTICE,
    PROMPT_SHA256,
    PROMPT_WITH_IMAGES_SHA256,
    Answer,
    Answered,
    case_data,
    evidence_ids,
)
from appliance.core.drafting.signs import identity_in

FIRST_REV = 1
UNNAMED = "unnamed"

WITHHELD = (
    "The language model's draft is withheld because it failed the checks listed here. A person must read this study."
)
UNREAD = "No language model has read this case. A person must read this study."
SCORES_ONLY = (
    "Drafted by a language model from scores and quality measures only; it saw no image and rules nothing out."
)
IMAGES_SEEN = (
    "Drafted by a language model from scores, quality measures and a few key images of reduced size; it has not seen "
    "the study and rules nothing out."
)

# Allowed words that would otherwise look like the forbidden ones below.
HONEST = re.compile(
    r"\b(?:can ?not|could not|can't|does not|do not|doesn't|may not|must not)\s+(?:be\s+)?"
    r"(?:rule[ds]? out|exclude[ds]?)\b"
    r"|\b(?:not|nothing)\s+(?:be\s+)?(?:ruled out|excluded)\b"
    r"|\bno images? (?:was|were|is|are) (?:seen|available|given|provided)\b",
    re.IGNORECASE,
)
_SOUGHT = (
    r"(?:finding|abnormal|evidence|sign|disease|patholog|lesion|opacit|consolidat|pneumo|effusion|fractur|nodul|mass|"
    r"ha?emorrh|infiltrat|concern|follow|action|present|seen|detected|identified|found|suspic|acute)"
)
RULES_OUT = re.compile(
    r"\b(?:normal(?:ly)?|unremarkable|negative|healthy|benign|clear(?:ed)?|wnl|reassuring|harmless|disease[- ]free)\b"
    r"|\b(?:rul(?:e|es|ed|ing)[- ]?out|exclud(?:e|es|ed|ing)|free (?:of|from)|absence of|lack of|unlikely)\b"
    rf"|\b(?:no|not|nor|none|nothing|neither|without|\w+n't)\s+(?:[\w-]+\s+){{0,4}}?{_SOUGHT}",
    re.IGNORECASE,
)
SIDE = re.compile(r"\b(?:left|right|bilateral(?:ly)?|both (?:sides|lungs))(?:[- ]sided)?\b", re.IGNORECASE)
CODE_LIKE = re.compile(r"\b[A-Z]{2,8}[:_][A-Za-z0-9.]+\b|\b[A-Z]\d{2}(?:\.\d+)?\b|\bRID\d+\b|\b\d{6,18}\b")
MARKUP = re.compile(r"[<>{}\[\]`|\\]|https?:|www\.|[^\x20-\x7e\u00a0-\u024f\u2010-\u201f\u2030\u2264\u2265]")
# What the software of a server calls itself: its name, a version, the hash of a build. Other words could be a draft's.
SERVER_WORD = re.compile(
    r"vllm|sglang|tgi|lmdeploy|ollama|x?llama|cpp|openai|litellm|server|uvicorn|hypercorn|gunicorn|nginx|openresty|envoy"
    r"|[Cc]addy|[Pp]ython|Base|BaseHTTP|HTTP|fp|v?\d{1,4}|(?=[a-f]*\d)[0-9a-z]{1,4}|(?=[a-f]*\d)[0-9a-f]{5,40}"
)

Check = Callable[[Case, Answer, bool], str | None]  # the last: it was shown the key images


def verdict_on(case: Case, answered: Answered, images: bool = False) -> Verdict:
    """The verdict on a case: the answer if it passes every check, else our own words and `needs_human`.

    images  the model was shown the key images
    """
    if answered.model == NO_MODEL_ID:
        return unread(case.case_id, case.urgency, NO_MODEL_ID, answered.model, answered.server, NO_MODEL_NOTICE)
    answer = answered.answer
    guards = [_guard(name, check(case, answer, images)) for name, check in CHECKS.items()]
    sound = all(guard.passed for guard in guards)
    basis = IMAGES_SEEN if images else SCORES_ONLY
    ours = [basis] if sound else [basis, WITHHELD]
    return Verdict(
        case_id=case.case_id,
        rev=FIRST_REV,
        status="ok" if sound else "needs_human",
        urgency=higher(case.urgency, answer.urgency),
        opinions=answer.opinions if sound else (),
        impression=answer.impression if sound else WITHHELD,
        limitations=(*ours, *answer.limitations) if sound else tuple(ours),
        guards=(
            *guards,
            Guard(name="urgency-not-lowered", passed=True, detail=_urgency_word(case, answer)),
            # Not a check of this answer: without it the shape was only asked for, and looked at all the same.
            Guard(name="shape-enforced", passed=answered.enforced, detail=None if answered.enforced else "asked-only"),
        ),
        reader=_reader(answered.model, answered.server, connected=True, images=images),
    )


def unread(
    case_id: str,
    urgency: Urgency,
    code: str,
    model: str,
    server: str = "",
    notice: str = UNREAD,
    *,
    connected: bool = False,
) -> Verdict:
    """The verdict where no answer of a language model can be shown: the edge always hears.

    connected  a language model did answer, in words that cannot be used
    """
    return Verdict(
        case_id=case_id,
        rev=FIRST_REV,
        status="needs_human",
        urgency=urgency,
        opinions=(),
        impression=notice,
        limitations=(notice,),
        guards=(Guard(name="answered-by-a-language-model", passed=False, detail=code),),
        reader=_reader(model, server, connected=connected),
    )


def higher(edge: Urgency, centre: Urgency) -> Urgency:
    """The more urgent of two words: the centre may raise, so that its worst is a false alarm."""
    return max(edge, centre, key=URGENCIES.index)


def _urgency_word(case: Case, answer: Answer) -> str:
    edge, centre = URGENCIES.index(case.urgency), URGENCIES.index(answer.urgency)
    return "raised" if centre > edge else "kept" if centre == edge else "lower-ignored"


def _reader(model: str, server: str, *, connected: bool, images: bool = False) -> Reader:
    """Who answered. A server's word for itself stands on the page too: it is repeated if it is known software's.

    The model's is the operator's own word (reply.py), and not repeated where it rules anything out.
    """
    prompt = PROMPT_WITH_IMAGES_SHA256 if images else PROMPT_SHA256
    model = UNNAMED if RULES_OUT.search(re.sub("[^A-Za-z0-9]+", " ", model)) else model[:120]
    known = all(map(SERVER_WORD.fullmatch, re.findall("[A-Za-z0-9]+", server))) and identity_in(server) is None
    return Reader(model=model, server=server[:120] if known else UNNAMED, prompt_sha256=prompt, connected=connected)


def _guard(name: str, objection: str | None) -> Guard:
    return Guard(name=name, passed=objection is None, detail=objection)


# The checks, each None or a code that says what is wrong.


def labels_known(case: Case, answer: Answer, _images: bool) -> str | None:
    """Opinions are about the labels of the case and about no others."""
    known = {finding.label for finding in case.findings}
    return None if all(opinion.label in known for opinion in answer.opinions) else "label-unknown"


def labels_once(case: Case, answer: Answer, _images: bool) -> str | None:
    """Every label of the case is answered, and none twice."""
    said = [opinion.label for opinion in answer.opinions]
    if len(set(said)) != len(said):
        return "label-twice"
    return None if {finding.label for finding in case.findings} <= set(said) else "label-unanswered"


def labels_understood(case: Case, answer: Answer, _images: bool) -> str | None:
    """Of a label that nobody here knows only `uncertain` is believed: "intact" is no finding."""
    known = {named.label for named in understood(case)}
    unsure = all(opinion.assessment == "uncertain" for opinion in answer.opinions if opinion.label not in known)
    return None if unsure else "label-not-understood"


def evidence_exists(case: Case, answer: Answer, images: bool) -> str | None:
    """Every piece of evidence cited was given, and no opinion rests on findings without the highest of its own."""
    cited = {each for opinion in answer.opinions for each in opinion.evidence}
    if not cited <= evidence_ids(case, images):
        return "evidence-invented"
    lent = any(passed_over(case, opinion.label, opinion.evidence) for opinion in answer.opinions)
    return "evidence-of-another" if lent else None


def present_supported(case: Case, answer: Answer, _images: bool) -> str | None:
    """`present` cites a finding of its label whose score speaks for it."""
    for opinion in answer.opinions:
        own = [f for f in case.findings if f.label == opinion.label and f.id in opinion.evidence]
        if opinion.assessment == "present" and not any(speaks_for(case, finding) for finding in own):
            return "present-unsupported"
    return None


def absent_unopposed(case: Case, answer: Answer, _images: bool) -> str | None:
    """`absent` cites a finding of its label; each has a low calibrated probability, and the edge says nothing else."""
    for opinion in answer.opinions:
        cited = any(f.label == opinion.label and f.id in opinion.evidence for f in case.findings)
        if opinion.assessment == "absent" and (not cited or absent_opposed(case, opinion.label)):
            return "absent-opposed"
    return None


def numbers_given(case: Case, answer: Answer, images: bool) -> str | None:
    """Every number in the words is the case's, as it stands or rounded, and said of what it was measured on."""
    return "number-invented" if number_invented(case, _texts(answer), images=images) else None


def sentences_listed(case: Case, answer: Answer, images: bool) -> str | None:
    """Every sentence is one a draft may be made of."""
    counts = ((answer.impression, IMPRESSION_SENTENCES_MAX), *((each, 1) for each in answer.limitations))
    return "sentence-unlisted" if any(unlisted(text, case, count, images=images) for text, count in counts) else None


def sentences_agree(case: Case, answer: Answer, images: bool) -> str | None:
    """No sentence is said twice, against an opinion or the urgency, or of a lesser finding first."""
    return disagreement(case, answer, images=images)


def sides_given(case: Case, answer: Answer, images: bool) -> str | None:
    """A side named in the words is named in the data, which never name one: pictures do not say whose left it is."""
    given = set(map(str.lower, SIDE.findall(" ".join(_all_words(case_data(case, images))).replace("_", " "))))
    said = {side.lower() for text in _texts(answer) for side in SIDE.findall(text)}
    return None if said <= given else "side-invented"


def codes_given(case: Case, answer: Answer, images: bool) -> str | None:
    """What looks like the code of a terminology stands in the data just so."""
    given = " ".join(_all_words(case_data(case, images)))
    said = {code for text in _texts(answer) for code in CODE_LIKE.findall(text)}
    return None if all(code in given for code in said) else "code-invented"


def nothing_ruled_out(_case: Case, answer: Answer, _images: bool) -> str | None:
    """No word of the answer calls the study normal or rules anything out."""
    return "rules-out" if any(RULES_OUT.search(HONEST.sub(" ", text)) for text in _texts(answer)) else None


def no_identity(_case: Case, answer: Answer, _images: bool) -> str | None:
    """Nothing in the words looks like a date, number, name or address of a person, invented or not."""
    found = next(filter(None, map(identity_in, _texts(answer))), None)
    return None if found is None else f"identity-{found}"


def plain_words(_case: Case, answer: Answer, _images: bool) -> str | None:
    """Words in Latin letters, no markup, no address, nothing a page could take for more than text."""
    texts = _texts(answer)
    return "not-plain-text" if not answer.impression.strip() or any(map(MARKUP.search, texts)) else None


CHECKS: dict[str, Check] = {
    "labels-known": labels_known,
    "labels-once": labels_once,
    "labels-understood": labels_understood,
    "evidence-exists": evidence_exists,
    "present-supported": present_supported,
    "absent-unopposed": absent_unopposed,
    "numbers-given": numbers_given,
    "sentences-listed": sentences_listed,
    "sentences-agree": sentences_agree,
    "sides-given": sides_given,
    "codes-given": codes_given,
    "nothing-ruled-out": nothing_ruled_out,
    "no-identity": no_identity,
    "plain-words": plain_words,
}


def _texts(answer: Answer) -> list[str]:
    return [answer.impression, *answer.limitations]


def _all_words(data: Any) -> Iterator[str]:
    """Every string of the data, keys included."""
    if isinstance(data, dict):
        data = [*data.keys(), *data.values()]
    if isinstance(data, list):
        for each in data:
            yield from _all_words(each)
    elif isinstance(data, str):
        yield data
