"""The rule of forgetting over all it can be told: every doubt keeps."""

import itertools

from appliance.core.retention import DAY_S, KEPT, LIFTED, Facts, why_kept

OPEN = ("held", "result-open", "case-open", "audit-open", "correction-open", "file-beside", "two-files")


def test_over_all_it_can_be_told_it_lets_go_only_where_nothing_speaks_against() -> None:
    flags = itertools.product((False, True), repeat=4)
    for (reviewed, committed, promised, ordered), days, age, what, by in itertools.product(
        flags, (0, 30), (29.9, 30.0, float("nan")), (None, *OPEN), ("pacs", "scanner")
    ):
        facts = Facts(reviewed, 0.0, frozenset() if what is None else frozenset({what}), committed, promised, ordered)
        kept = why_kept(facts, days=days, evidence=by, now=age * DAY_S)  # type: ignore[arg-type]
        safe = committed or (by == "scanner" and not promised)
        due = days > 0 and age >= days
        well = reviewed and (what is None or (ordered and what in LIFTED)) and (ordered or (safe and due))
        assert (kept == ()) == well, (facts, days, age, by)
        assert set(kept) <= set(KEPT)


def test_an_order_never_goes_before_a_reader_a_hold_or_what_is_open() -> None:
    assert not LIFTED & {"not-reviewed", "held", "result-open", "case-open", "audit-open", "correction-open"}
