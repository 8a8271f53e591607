"""What a target's answer means: nothing that time mends is given up, nothing that it does not is tried for ever."""

import pytest

from appliance.core.delivery import of_http, of_status, rank, wait_s
from appliance.core.document import AGEING_S
from appliance.errors import CATALOGUE


@pytest.mark.parametrize(
    ("status", "fate", "code"),
    [
        (0x0000, "taken", ""),
        (0xB000, "noted", "pacs-warning"),
        (0xB007, "noted", "pacs-warning"),
        (0x0107, "noted", "pacs-warning"),
        (0xA700, "again", "pacs-busy"),
        (0xA701, "again", "pacs-busy"),
        (0x0110, "again", "pacs-busy"),
        (0x0213, "again", "pacs-busy"),
        (0x1234, "again", "pacs-busy"),
        (0xA900, "refused", "pacs-refused"),
        (0xA9FF, "refused", "pacs-refused"),
        (0xC000, "refused", "pacs-refused"),
        (0xCFFF, "refused", "pacs-refused"),
        (0x0122, "refused", "pacs-class"),
        (0x0124, "refused", "pacs-refused"),
    ],
)
def test_a_status_has_one_fate(status: int, fate: str, code: str) -> None:
    found = of_status(status)
    assert (found.fate, found.code) == (fate, code)
    assert found.status == (0 if fate == "taken" else status)
    assert not code or code in CATALOGUE


@pytest.mark.parametrize(
    ("status", "reason", "fate"),
    [
        (200, None, "taken"),
        (202, None, "noted"),
        (200, 0xB000, "noted"),
        (202, 0xA700, "again"),
        (409, 0xA700, "again"),
        (409, 0xC000, "refused"),
        (409, 0x0122, "refused"),
        (409, None, "again"),
        *((status, None, "again") for status in (408, 425, 429, 500, 502, 503, 504)),
        *((status, None, "refused") for status in (400, 406, 413, 415, 422)),
        *((status, None, "shut") for status in (301, 302, 401, 403, 404, 405, 407)),
    ],
)
def test_an_http_status_has_one_fate(status: int, reason: int | None, fate: str) -> None:
    assert of_http(status, reason).fate == fate


def test_every_status_there_is_has_a_fate_and_none_but_success_is_taken() -> None:
    assert [status for status in range(0x10000) if of_status(status).fate == "taken"] == [0]
    assert [status for status in range(100, 600) if of_http(status, None).fate == "taken"] == [200]


def test_who_waits_climbs_and_never_to_critical() -> None:
    assert rank("critical", 0) > rank("urgent", 0) > rank("routine", 0)
    assert rank("routine", AGEING_S) == rank("urgent", 0)
    assert rank("routine", 100 * AGEING_S) < rank("critical", 0)
    assert rank("routine", -5) == rank("routine", 0)


def test_waits_double_up_to_a_limit_and_are_spread() -> None:
    assert [wait_s(failures, 2, 30, 0.5) for failures in (1, 2, 3, 4, 5, 1000)] == [2, 4, 8, 16, 30, 30]
    assert wait_s(1, 2, 30, 0.0) == 1.5
    assert wait_s(9, 2, 30, 0.999) < 37.5
