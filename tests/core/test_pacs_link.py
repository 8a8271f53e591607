"""A link into the PACS: whatever a header says, it stays one escaped value behind the site's own host."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.pacs_link import pacs_link, why_refused

TEMPLATE = "https://pacs.example:8443/viewer?acc={accession}&mode=read"


def test_an_accession_number_becomes_one_value() -> None:
    assert pacs_link(TEMPLATE, " A/1&x=2#y ") == "https://pacs.example:8443/viewer?acc=A%2F1%26x%3D2%23y&mode=read"


@given(st.text(max_size=70))
def test_hostile_text_stays_behind_the_host(told: str) -> None:
    for template in (TEMPLATE, "https://pacs.example:8443/study/{accession}/view"):
        link = pacs_link(template, told)
        if not link:
            continue
        parts = urlsplit(link)
        assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "pacs.example:8443", "")
        assert link.isascii()
        assert not set(link) & set("<>\"' \\`{}")
        if template is TEMPLATE:
            assert parse_qs(parts.query) == {"acc": [told.strip()], "mode": ["read"]}
        else:
            assert [unquote(each) for each in parts.path.split("/")] == ["", "study", told.strip(), "view"]


@pytest.mark.parametrize("told", ["", "  ", "A\nB", "A\0", "x" * 65, ".", ".."])
def test_what_cannot_be_asked_for_is_no_link(told: str) -> None:
    assert pacs_link(TEMPLATE, told) == ""
    assert pacs_link("", "A1") == ""


@pytest.mark.parametrize(
    "template",
    [
        "http://pacs.example/{accession}",
        "javascript:alert({accession})",
        "https://{accession}.example/",
        "https://{accession}@pacs.example/",
        "https://pacs.example/",
        "https://pacs.example/{accession}/{accession}",
        "https://pacs.example/{accession}/{name}",
        "https:///{accession}",
        "https://pacs.example:99999/{accession}",
        "https://pacs.example/a b/{accession}",
        "https://user@pacs.example/{accession}",
        "//pacs.example/{accession}",
    ],
)
def test_a_template_that_leads_elsewhere_is_refused(template: str) -> None:
    assert why_refused(template)


def test_a_sound_template_is_taken() -> None:
    assert why_refused(TEMPLATE) is None
