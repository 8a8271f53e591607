"""Whether the sentences of a draft agree with its opinions, its urgency and one another.

Each sentence may be true and the choice of them mislead: the harmless half of the findings, a word that the opinion
beside it denies, doubt said over and over. Pure; a sentence that is none of the list is another check's to refuse.
"""

import re

from appliance.core.case import Case
from appliance.core.document import URGENCIES
from appliance.core.drafting.findings import foremost
from appliance.core.drafting.forms import Form, forms, split
from appliance.core.drafting.question import Answer


def disagreement(case: Case, answer: Answer, *, images: bool) -> str | None:
    """The code of what does not agree, or None.

    The first finding that is named must be one of the highest score, and the first of which more than doubt is said:
    what follows can then hide no higher one.
    """
    said = [sentence for text in (answer.impression, *answer.limitations) for sentence in split(text)]
    listed = forms(case, images=images)
    taken = [form for sentence in said for form in [_form(sentence, listed)] if form is not None]
    if len(set(taken)) != len(taken):
        return "sentence-twice"  # in other words, too
    opinions = {opinion.label: opinion.assessment for opinion in answer.opinions}
    if any(form.label and opinions.get(form.label) not in form.beside for form in taken):
        return "sentence-against-opinion"
    if case.urgency == answer.urgency == URGENCIES[0] and any(form.pressing for form in taken):
        return "sentence-against-urgency"
    named = [form for form in taken if form.label]
    first = {form.label for form in (*named[:1], *[form for form in named if not form.doubts][:1])}
    return None if first <= foremost(case) else "finding-hidden"


def _form(sentence: str, listed: list[Form]) -> Form | None:
    return next((form for form in listed if re.fullmatch(form.expression, sentence)), None)
