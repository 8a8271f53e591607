"""The 25 things that a browser must show of the review page, each with the tests that prove it.

A check without a test is open and says why. test_25_checks holds that every test named here is really collected;
docs/browser-checks.md is printed from here (python -m docs.make).
"""

from typing import NamedTuple


class Check(NamedTuple):
    """tests: node ids under tests/, a parametrised test by its name; open: what is still missing, or nothing.

    unseen: why no picture of it is kept.
    """

    says: str
    tests: tuple[str, ...]
    open: str = ""
    unseen: str = ""


AXE = "browser/test_access.py::test_axe_finds_nothing_and_nothing_runs_wide"

CHECKS: dict[int, Check] = {
    1: Check(
        "No request leaves for anybody else, on any page.",
        (AXE, "browser/test_page.py::test_no_complaint_and_no_request_to_anybody_else"),
    ),
    2: Check(
        "Every answer bears the content policy; no page draws a complaint.",
        (AXE, "browser/test_walls.py::test_every_answer_bears_the_headers"),
    ),
    3: Check(
        "axe (WCAG 2.0 A to 2.2 AA) finds nothing on any page, form or lock state; a planted fault is found.",
        (AXE, "browser/test_access.py::test_a_planted_fault_is_found"),
    ),
    4: Check(
        "A whole review by keyboard alone, and the focus can be seen.",
        (
            "browser/test_page.py::test_the_page_by_keyboard_alone",
            "browser/test_decision.py::test_sign_and_next_by_keyboard_leads_to_the_head_of_the_list",
            "browser/test_blinding.py::test_a_reader_writes_reads_and_signs_by_keyboard",
            "browser/test_access.py::test_who_goes_by_keyboard_sees_where_they_are",
        ),
    ),
    5: Check(
        "The first image shows itself; its time is printed by bench/review.py and asserted nowhere.",
        ("browser/test_viewer.py::test_the_first_image_shows_itself",),
    ),
    6: Check(
        "Scrolling paints every slice in order; its pace is printed by bench/review.py.",
        ("browser/test_viewer.py::test_a_scroll_paints_every_slice_in_the_order_of_their_places",),
    ),
    7: Check(
        "Pixels on the canvas are the reference's: linear, sigmoid and table windows, MONOCHROME1, every real file.",
        (
            "browser/test_viewer.py::test_the_canvas_shows_the_reference_pixel_by_pixel",
            "browser/test_viewer_pixels.py::test_every_real_image_is_rendered_as_pydicom_renders_it",
            "browser/test_viewer_pixels.py::test_each_function_is_the_standards",
            "browser/test_viewer_pixels.py::test_the_comparison_can_fail",
            "browser/test_page.py::test_monochrome1_is_drawn_the_other_way_round",
        ),
    ),
    8: Check(
        "A length on a phantom is its length; px where the file says no spacing.",
        (
            "browser/test_viewer.py::test_a_length_on_a_phantom_is_its_length",
            "browser/test_viewer_geometry.py::test_a_length_has_the_unit_that_the_file_can_bear",
        ),
    ),
    9: Check(
        "R, L, A, P, H and F stand where the standard puts them and follow every turn and flip.",
        (
            "browser/test_viewer.py::test_letters_follow_the_picture",
            "browser/test_viewer_geometry.py::test_letters_stand_where_the_standard_puts_them",
            "browser/test_viewer_geometry.py::test_letters_follow_every_turn_and_flip",
        ),
    ),
    10: Check(
        "Keys act, are inert while somebody types, and can be switched off.",
        (
            "browser/test_viewer.py::test_keys_act_and_are_inert_in_a_field_and_can_be_switched_off",
            "browser/test_decision.py::test_letters_choose_nothing_while_somebody_types_or_switched_them_off",
        ),
    ),
    11: Check(
        "A model's overlay is shown by its manifest's policy only.",
        (
            "browser/test_25_checks.py::test_one_door_only_leads_to_a_picture_made_by_a_machine",
            "browser/test_overlay.py::test_the_manifests_policy_is_what_the_server_does",
            "browser/test_overlay.py::test_after_an_own_signature_or_impression_it_is_shown",
            "browser/test_overlay.py::test_a_map_is_drawn_when_asked_for_says_whose_it_is_and_goes_again",
        ),
    ),
    12: Check(
        "Nothing is signed without a decision, no disagreement without its reason.",
        (
            "browser/test_decision.py::test_what_a_decision_needs_is_said_as_the_next_step",
            "browser/test_page.py::test_a_disagreement_needs_its_reason_and_loses_nothing",
        ),
    ),
    13: Check(
        "Signing asks who it is; what is signed is only added to.",
        (
            "browser/test_lock.py::test_a_signature_asks_for_the_password_where_the_decision_stands",
            "browser/test_members.py::test_a_signature_asks_again_who_it_is_and_loses_nothing",
            "browser/test_decision.py::test_an_addendum_is_added_and_changes_nothing",
            "browser/test_decision.py::test_the_database_refuses_to_change_what_was_signed",
        ),
    ),
    14: Check(
        "What the machine said and what the reader said are both shown and kept.",
        (
            "browser/test_decision.py::test_a_decision_is_signed_with_reason_findings_and_identifiers",
            "browser/test_printed.py::test_a_study_fits_one_page_of_paper_and_its_draft_is_marked_as_one",
        ),
    ),
    15: Check(
        "Of two readers the second sees the first at once; taking over needs a reason.",
        (
            "browser/test_live.py::test_another_readers_lock_appears_by_itself",
            "browser/test_holds.py::test_the_second_reader_sees_the_first_and_takes_over_with_a_reason",
        ),
    ),
    16: Check(
        "A new critical study is on top within 3 s; filter and focus stay.",
        ("browser/test_live.py::test_a_critical_study_is_on_top_within_three_seconds_and_nothing_else_moves",),
    ),
    17: Check(
        "Eight tabs at once all load.",
        ("browser/test_live.py::test_eight_tabs_share_one_stream_and_all_of_them_live",),
    ),
    18: Check(
        "A line that is gone is said within 10 s; decisions are kept, and go once when it is back.",
        (
            "browser/test_live.py::test_a_line_that_is_gone_is_said_on_every_page_and_unsaid_by_itself",
            "e2e/test_road.py::test_a_study_waits_for_broker_and_centre_and_is_answered_when_both_are_there",
        ),
    ),
    19: Check(
        "What left, as the page tells it, names no patient; what may leave is looked through by the inspector.",
        (
            "browser/test_left.py::test_it_names_no_patient_and_asks_nobody_else",
            "triage/test_leaving.py::test_a_picture_in_which_identity_is_seen_keeps_the_study_here",
        ),
    ),
    20: Check(
        "An idle page locks, holds no identity, Back shows nothing, unlocking leads to the same image.",
        (
            "browser/test_lock.py::test_an_idle_page_locks_hides_who_and_comes_back_to_the_same_image",
            "browser/test_lock.py::test_a_page_whose_appliance_is_silent_empties_itself",
        ),
    ),
    21: Check(
        "Each role meets 403 and no button where it may not go.",
        (
            "browser/test_doors.py::test_every_door_opens_for_whom_the_table_says_and_for_nobody_else",
            "browser/test_doors.py::test_a_viewer_sees_patients_and_no_button_that_decides",
        ),
    ),
    22: Check(
        "A write from elsewhere or without its token is refused; looking changes nothing.",
        (
            "browser/test_walls.py::test_a_write_from_elsewhere_is_refused",
            "browser/test_walls.py::test_a_form_without_its_check_token_is_refused",
            "browser/test_doors.py::test_what_is_only_looked_at_changes_nothing",
        ),
        unseen="asked over HTTP: a page shows none of it",
    ),
    23: Check(
        "The cookie is __Host-, Secure, HttpOnly, SameSite=Strict, new at sign-in, dead at sign-out.",
        (
            "browser/test_line.py::test_headers_and_cookies_under_tls",
            "browser/test_walls.py::test_the_session_cookie_is_kept_close_and_ends_with_sign_out",
            "browser/test_members.py::test_a_lock_is_opened_by_its_owner_only_and_gives_a_new_token",
        ),
    ),
    24: Check(
        "Every opening, signature, emergency and failed sign-in is one row; a changed row turns the chain red.",
        (
            "browser/test_members.py::test_every_open_failure_and_sign_out_is_one_row_with_its_origin",
            "browser/test_members.py::test_glass_is_broken_with_a_reason_for_a_while_and_kept",
            "browser/test_members.py::test_the_trail_is_filtered_paged_and_turns_red_when_it_was_changed",
        ),
        unseen="rows of a table; the page that shows them is in screens.md",
    ),
    25: Check(
        "Hostile text is only text; no sideways scroll at 320 px and 200 %; stillness for whoever asks.",
        (
            "browser/test_page.py::test_a_name_out_of_a_header_is_only_text",
            "browser/test_page.py::test_the_case_page_marks_every_machine_word_as_one",
            "browser/test_printed.py::test_a_header_that_is_hostile_is_only_text",
            AXE,
            "browser/test_access.py::test_nothing_moves_for_whoever_asks_for_stillness",
            "browser/test_page.py::test_text_stands_out_from_its_ground",
        ),
    ),
}


def missing(collected: set[str]) -> list[str]:
    """Tests named here that nobody collects. collected: node ids without their parameters."""
    named = {test for check in CHECKS.values() for test in check.tests}
    return sorted(test for test in named if f"tests/{test}" not in collected)


def pictures(test: str) -> list[str]:
    """Names for what a test showed at its end, one for each check that names it. test: its node id."""
    name = test.partition("[")[0].removeprefix("tests/")
    found = [number for number, check in CHECKS.items() if name in check.tests]
    return [f"check-{number:02}-{name.rpartition('::')[2].removeprefix('test_')}" for number in found]


def page() -> str:
    """docs/browser-checks.md."""
    lines = [
        "# What a browser must show of the review page",
        "",
        "Printed from `tests/browser_checks.py`; do not edit. `tests/browser/test_25_checks.py` holds that every test",
        "named here is collected. What their pages showed at the end of a test lies in `build/screenshots/check-*.png`",
        "after a run; the last column says of which check there is nothing to see.",
        "",
        "| | check | proved by | open | no picture |",
        "|---|---|---|---|---|",
    ]
    for number, check in CHECKS.items():
        tests = "<br>".join(f"`{test.partition('/')[2]}`" for test in check.tests) or "–"
        lines.append(f"| {number} | {check.says} | {tests} | {check.open or '–'} | {check.unseen or '–'} |")
    return "\n".join([*lines, ""])
