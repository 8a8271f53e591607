"""The clinicians' page in a real browser: rows, image, window and level, signature; nothing foreign, nothing hidden."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from seeding import EVIL, IMPRESSION, USER, Seeded, patient, put_frames, ramp, sign_in

from appliance.core.drafting.guard import SCORES_ONLY
from appliance.world import desk, ledger
from appliance.world.ledger import drafts

PIXEL = """([x, y]) => {
  const canvas = document.getElementById("canvas");
  const scale = devicePixelRatio || 1;
  return canvas.getContext("2d").getImageData(Math.round(x * scale), Math.round(y * scale), 1, 1).data[0];
}"""


def opened(page: Page, address: str, seeded: Seeded, key: str) -> Page:
    page.goto(f"{address}studies/{seeded.numbers[key]}")
    return page


def drawn(page: Page) -> None:
    expect(page.locator("#viewer")).to_have_attribute("data-ready", "yes")


def grey_at(page: Page, share: float) -> int:
    """The grey level on the canvas at a share of its width, half-way down."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    level: int = page.evaluate(PIXEL, [box["width"] * share, box["height"] / 2])
    return level


def window(page: Page) -> tuple[float, float]:
    viewer = page.locator("#viewer")
    return float(viewer.get_attribute("data-centre") or "nan"), float(viewer.get_attribute("data-width") or "nan")


def drag(page: Page, x: float, y: float) -> None:
    box = page.locator("#port").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + x, middle[1] + y, steps=4)
    page.mouse.up()


def choose(page: Page, decision: str, note: str = "", reason: str = "") -> None:
    page.get_by_role("radio", name=re.compile(f"^{decision}")).check()
    page.get_by_label("What is right instead").fill(note)
    if reason:
        page.get_by_role("combobox", name="Reason").select_option(label=reason)
    confirm(page)


def confirm(page: Page) -> None:
    """Patient and study by two identifiers each."""
    for box in page.locator(".identify input").all():
        box.check()


def test_the_worklist_shows_every_lane_with_word_and_shape(signed_in: Page, address: str) -> None:
    signed_in.goto(f"{address}?lane=all")
    for words in ("▲ FLAGGED", "● CLEARED", "◆ ESCALATED", "■ QUARANTINED", "○ NOT DECIDED"):
        expect(signed_in.locator("tbody .badge", has_text=words).first).to_be_visible()
    expect(signed_in.locator("tbody tr")).to_have_count(7)
    expect(signed_in.get_by_text("no flagged finding (does not rule out)").first).to_be_visible()
    assert "normal" not in signed_in.content().lower()


def test_the_most_pressing_stands_first_and_tabs_count(signed_in: Page, address: str, seeded: Seeded) -> None:
    signed_in.goto(address)
    first = signed_in.locator("tbody tr").first
    expect(first).to_have_attribute("data-study", str(seeded.numbers["flagged"]))
    expect(signed_in.locator("tbody tr").nth(1)).to_contain_text("urgent")
    tabs = signed_in.locator(".tabs a")
    expect(tabs.nth(0)).to_have_text(re.compile(r"To read\s+6"))
    expect(tabs.nth(2)).to_have_text(re.compile(r"◆ Escalated\s+2"))
    tabs.nth(2).click()
    expect(signed_in.locator("tbody tr")).to_have_count(2)


def test_a_late_case_and_an_answer_without_a_model_say_so(signed_in: Page, address: str, seeded: Seeded) -> None:
    signed_in.goto(address)
    late = signed_in.locator(f"tr[data-study='{seeded.numbers['late']}'] td.late")
    expect(late).to_contain_text("late")
    answered = signed_in.locator(f"tr[data-study='{seeded.numbers['answered']}']")
    expect(answered).to_contain_text("no language model is connected")


def test_a_new_study_appears_by_itself_and_focus_stays(signed_in: Page, address: str, seeded: Seeded) -> None:
    signed_in.goto(f"{address}?lane=in-work")
    link = signed_in.get_by_role("link", name=f"Open study {seeded.numbers['waiting']}")
    link.focus()
    number = seeded.study("newcomer", [], lane=None)
    expect(signed_in.locator(f"tr[data-study='{number}']")).to_be_visible()
    expect(link).to_be_focused()


def test_the_image_is_drawn_as_its_values_say(signed_in: Page, address: str, seeded: Seeded) -> None:
    """A ramp of 96 columns from 0 to 950 under window 951/475.5: black on the left, white on the right."""
    drawn(opened(signed_in, address, seeded, "flagged"))
    levels = [grey_at(signed_in, share) for share in (0.02, 0.25, 0.5, 0.75, 0.98)]
    wanted = [round(255 * int(share * 96) * 10 / 950) for share in (0.02, 0.25, 0.5, 0.75, 0.98)]
    assert levels == pytest.approx(wanted, abs=4)


def test_monochrome1_is_drawn_the_other_way_round(signed_in: Page, address: str, seeded: Seeded) -> None:
    drawn(opened(signed_in, address, seeded, "cleared"))
    assert grey_at(signed_in, 0.02) > 245
    assert grey_at(signed_in, 0.98) < 10


def test_a_drag_changes_window_and_level_and_reset_brings_them_back(
    signed_in: Page, address: str, seeded: Seeded
) -> None:
    drawn(opened(signed_in, address, seeded, "flagged"))
    before, middle = window(signed_in), grey_at(signed_in, 0.5)
    drag(signed_in, 0, 90)
    expect(signed_in.locator("#preset")).to_have_value("hand")
    level, width = window(signed_in)
    assert level > before[0] + 50
    assert width == before[1]
    assert grey_at(signed_in, 0.5) < middle - 20  # a higher centre is a darker image
    drag(signed_in, -90, 0)
    assert window(signed_in)[1] < width
    signed_in.get_by_role("button", name="Reset").click()
    expect(signed_in.locator("#viewer")).to_have_attribute("data-width", "951")
    assert window(signed_in) == before


def test_invert_presets_and_zoom(signed_in: Page, address: str, seeded: Seeded) -> None:
    drawn(opened(signed_in, address, seeded, "flagged"))
    count = int(signed_in.locator("#viewer").get_attribute("data-drawn") or 0)
    signed_in.get_by_role("button", name="Invert").click()
    expect(signed_in.locator("#viewer")).to_have_attribute("data-drawn", str(count + 1))
    assert grey_at(signed_in, 0.02) > 245
    signed_in.get_by_label("Window preset").select_option("full")
    expect(signed_in.locator("#viewer")).to_have_attribute("data-width", "951")
    zoom = signed_in.locator("#window-words").text_content()
    signed_in.get_by_role("button", name="Zoom in").click()
    expect(signed_in.locator("#window-words")).not_to_have_text(zoom or "")
    signed_in.get_by_role("button", name="Fit").click()
    expect(signed_in.locator("#window-words")).to_have_text(zoom or "")


def test_wheel_and_keys_go_through_the_images_and_never_while_typing(
    signed_in: Page, address: str, seeded: Seeded
) -> None:
    drawn(opened(signed_in, address, seeded, "evil"))
    viewer, port = signed_in.locator("#viewer"), signed_in.locator("#port")
    port.hover()
    signed_in.mouse.wheel(0, 100)
    expect(viewer).to_have_attribute("data-at", "1")
    port.focus()
    signed_in.keyboard.press("End")
    expect(signed_in.locator("#place-words")).to_have_text("image 3 / 3")
    signed_in.keyboard.press("ArrowUp")
    expect(viewer).to_have_attribute("data-at", "1")
    signed_in.get_by_label("What is right instead").press_sequentially("iif")
    expect(signed_in.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize(
    ("frames", "said", "left", "right"),
    [
        ([ramp(step=1).astype("uint8")], {"windows": []}, 0, 255),
        ([(ramp().astype("int32") - 475).astype("int16")], {"windows": [[0, 951]]}, 0, 255),
        ([ramp().astype("int32") * 1000 - 475_000], {"windows": [[0, 951_000]]}, 0, 255),
        ([ramp()], {"slope": 2.0, "intercept": -1000.0, "windows": [[-50, 1901]]}, 0, 255),
        ([ramp()], {"windows": [[475.5, 951]], "padding": 950}, 0, 0),
        ([ramp(), ramp(start=1)], {"windows": [[475.5, 951]]}, 0, 255),
        ([ramp(step=2)[..., None].repeat(3, axis=2).astype("uint8")], {"photometric": "RGB"}, 0, 190),
    ],
    ids=["uint8-no-window", "int16", "int32", "rescale", "padding", "two-frames", "rgb8"],
)
def test_every_kind_of_frame_is_drawn(
    signed_in: Page, address: str, seeded: Seeded, frames: list[Any], said: dict[str, Any], left: int, right: int
) -> None:
    number = seeded.study(f"kind-{len(seeded.numbers)}", ["complete", "routine"])
    put_frames(seeded.places, number * 100, frames, **said)
    signed_in.goto(f"{address}studies/{number}")
    drawn(signed_in)
    assert grey_at(signed_in, 0.003) == pytest.approx(left, abs=4)
    assert grey_at(signed_in, 0.997) == pytest.approx(right, abs=4)
    expect(signed_in.locator("#place-words")).to_have_text(f"image 1 / {len(frames)}")


def test_an_image_that_is_not_decoded_here_is_named(signed_in: Page, address: str, seeded: Seeded) -> None:
    opened(signed_in, address, seeded, "answered")
    expect(signed_in.locator("#message")).to_contain_text("not decoded here")


def test_the_case_page_marks_every_machine_word_as_one(signed_in: Page, address: str, seeded: Seeded) -> None:
    opened(signed_in, address, seeded, "answered")
    expect(signed_in.get_by_text("Machine's draft – not a report")).to_be_visible()
    expect(signed_in.get_by_text("No language model is connected", exact=True)).to_be_visible()
    expect(signed_in.get_by_text(IMPRESSION)).to_be_visible()
    expect(signed_in.locator(".reasons").get_by_text("why it is escalated, in words")).to_be_visible()
    expect(signed_in.get_by_text("would have said: no flagged finding (does not rule out)")).to_be_visible()
    expect(signed_in.get_by_text("passed: evidence-cited")).to_be_visible()
    expect(signed_in.get_by_text("no new image for 30 s")).to_be_visible()
    expect(signed_in.get_by_text("Not calibrated at this site")).to_be_attached()
    assert "%" not in (signed_in.locator(".findings").text_content() or "")
    expect(signed_in.locator("input[name=decision]:checked")).to_have_count(0)


def test_agree_and_sign_is_one_row_of_the_desk(signed_in: Page, address: str, seeded: Seeded) -> None:
    number = seeded.study("to-sign", ["complete", "routine"])
    signed_in.goto(f"{address}studies/{number}")
    choose(signed_in, "Agree")
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.get_by_text("Your signature is on file.")).to_be_visible()
    expect(signed_in.get_by_text(f"{USER} has signed; the signature is being filed.")).to_be_visible()
    expect(signed_in.get_by_role("button", name=f"Sign as {USER}")).to_have_count(0)
    (row,) = [each for each in seeded.desk_rows(desk.signatures) if each.study_number == number]
    assert (row.user, row.decision, row.correction, row.revision, row.seq_seen) == (USER, "agree", "", 1, 2)
    assert row.saw_ai
    acts = [(each.act, each.user) for each in seeded.desk_rows(desk.audit) if each.subject == f"study {number}"]
    assert acts == [("case-opened", USER), ("signed-agree", USER), ("case-opened", USER)]


def test_a_double_post_signs_once(signed_in: Page, address: str, seeded: Seeded) -> None:
    number = seeded.study("double", ["complete", "routine"])
    signed_in.goto(f"{address}studies/{number}")
    second = signed_in.context.new_page()
    form = signed_in.eval_on_selector("#decide", "form => Object.fromEntries(new FormData(form))")
    choose(signed_in, "Cannot tell", "too dark", "The images are not good enough")
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.get_by_text("Your signature is on file.")).to_be_visible()
    answer = second.request.post(
        f"{address}studies/{number}/sign",
        form={**form, "decision": "cannot_tell", "correction": "too dark", "reason": "image-quality"},
        headers={"Origin": address.rstrip("/")},
    )
    assert answer.ok
    assert "it counts once" in answer.text()
    rows = [each for each in seeded.desk_rows(desk.signatures) if each.study_number == number]
    assert [(row.decision, row.correction) for row in rows] == [("cannot_tell", "too dark")]


def test_a_stale_form_signs_nothing(signed_in: Page, watch: Any, address: str, seeded: Seeded) -> None:
    number = seeded.study("stale", ["complete", "hard", "escalated"], lane="escalated", case_id="9" * 32)
    signed_in.goto(f"{address}studies/{number}")
    choose(signed_in, "Agree")
    with seeded.engine.begin() as c:
        seeded.move(c, number, "answered")
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.get_by_role("heading", name="The study has changed")).to_be_visible()
    expect(signed_in.locator("main [role=alert]")).to_contain_text("nothing was signed")
    assert [row for row in seeded.desk_rows(desk.signatures) if row.study_number == number] == []
    signed_in.get_by_role("link", name="Open the study as it is now").click()
    expect(signed_in.get_by_text("the centre has answered").first).to_be_visible()
    watch.complaints.clear()  # the browser notes the 409, which is meant


def test_an_offline_draft_is_marked_and_gives_way_to_the_verdict(
    signed_in: Page, address: str, seeded: Seeded, tmp_path: Path
) -> None:
    case_id = "8" * 32
    number = seeded.study("offline", ["complete", "hard", "escalated"], lane="escalated", case_id=case_id)
    body = {
        "opinions": [{"label": "pneumonia", "assessment": "uncertain", "evidence": ["F1"]}],
        "impression": "Pneumonia is possible at 48 %.",
        "limitations": [SCORES_ONLY],
        "guards": [{"name": "sentences-listed", "passed": True, "detail": None}],
        "reader": {"model": "some-small-model", "prompt_sha256": "0" * 64},
    }
    with seeded.engine.begin() as c:
        drafts.begin(c, case_id, number, 1, "0" * 64, 1000.0)
        drafts.end(c, case_id, state="shown", code="", body=body, seconds=12.0, at=1012.0)
    signed_in.goto(f"{address}studies/{number}")
    draft = signed_in.locator("#offline-draft")
    expect(draft).to_contain_text("Offline draft, small model")
    expect(draft).to_contain_text("Pneumonia is possible at 48 %.")
    expect(draft).to_contain_text("passed: sentences-listed")
    expect(draft).to_contain_text("saw no image")
    draft.scroll_into_view_if_needed()
    signed_in.screenshot(path=tmp_path / "offline-draft.png")
    with seeded.engine.begin() as c:
        seeded.move(c, number, "answered")
    seeded.answer(number, case_id)
    signed_in.reload()
    expect(signed_in.get_by_text(IMPRESSION)).to_be_visible()
    expect(draft).to_have_count(0)


def test_a_disagreement_needs_its_reason_and_loses_nothing(
    signed_in: Page, watch: Any, address: str, seeded: Seeded
) -> None:
    number = seeded.study("correct", ["complete", "routine"])
    signed_in.goto(f"{address}studies/{number}")
    choose(signed_in, "Disagree", "effusion on the left\n<i>small</i>")
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.locator("main [role=alert]")).to_contain_text(
        "Choose a reason from the list that says why you disagree"
    )
    expect(signed_in.get_by_label("What is right instead")).to_have_value("effusion on the left\n<i>small</i>")
    expect(signed_in).to_have_url(f"{address}studies/{number}")  # reload and lock lead to the study, not to its form
    choose(signed_in, "Disagree", "", "Something else: see the note")
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.locator("main [role=alert]")).to_contain_text("Say in the note what it is")
    choose(signed_in, "Disagree", "effusion on the left\n<i>small</i>", "The machine missed the finding")
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.get_by_text("<i>small</i>")).to_be_visible()
    expect(signed_in.locator(".signatures")).to_contain_text("disagrees: The machine missed the finding")
    (row,) = [each for each in seeded.desk_rows(desk.signatures) if each.study_number == number]
    assert (row.decision, row.correction) == ("correct", "effusion on the left\n<i>small</i>")
    watch.complaints.clear()  # the browser notes the 400s, which are meant


def test_a_quarantined_study_says_what_to_do_and_takes_an_instruction(
    signed_in: Page, address: str, seeded: Seeded
) -> None:
    opened(signed_in, address, seeded, "broken")
    expect(signed_in.get_by_text("processing stopped without an answer too often")).to_be_visible()
    expect(signed_in.get_by_text("release the study to try again")).to_be_visible()
    signed_in.get_by_role("button", name="Release").click()
    expect(signed_in.get_by_text(f"{USER} asked to release this study")).to_be_visible()
    (row,) = seeded.desk_rows(desk.commands)
    assert (row.kind, row.study_number, row.user, row.seq_seen) == ("release", seeded.numbers["broken"], USER, 2)


def test_a_superseded_result_is_shown_as_one(signed_in: Page, address: str, seeded: Seeded) -> None:
    from seeding import an_instance

    number = seeded.study("revised", ["complete", "routine"], who=patient("DOE^REVISED", "P-77"))
    with seeded.engine.begin() as c:
        late = an_instance(number * 100 + 50, patient("DOE^REVISED", "P-77"), study=number)
        assert ledger.add_instance(c, late, seeded.at + 60) == (number, True)
    signed_in.goto(f"{address}studies/{number}")
    expect(signed_in.locator(".right .badge").first).to_have_text("○ NOT DECIDED")
    expect(signed_in.get_by_role("heading", name="Superseded results")).to_be_visible()
    expect(signed_in.get_by_role("button", name=f"Sign as {USER}")).to_have_count(0)


def test_strays_and_status(signed_in: Page, address: str) -> None:
    signed_in.goto(f"{address}strays")
    expect(signed_in.get_by_text("header-truncated")).to_be_visible()
    expect(signed_in.get_by_text("Send the study again; the short file is kept.")).to_be_visible()
    signed_in.goto(f"{address}status")
    expect(signed_in.get_by_text("unbroken")).to_be_visible()
    expect(signed_in.locator("tr", has_text="quarantined").locator(".count")).to_have_text("1")


def test_a_name_out_of_a_header_is_only_text(signed_in: Page, address: str, seeded: Seeded) -> None:
    for where in (address, f"{address}studies/{seeded.numbers['evil']}"):
        signed_in.goto(where)
        expect(signed_in.get_by_text("<script>document.title").first).to_be_visible()
        expect(signed_in).not_to_have_title("owned")
    assert EVIL not in signed_in.content()


def test_no_complaint_and_no_request_to_anybody_else(page: Page, watch: Any, address: str, seeded: Seeded) -> None:
    sign_in(page, address)
    for where in ("", "?lane=all", "strays", "status", *(f"studies/{each}" for each in range(1, 8))):
        answer = page.goto(f"{address}{where}")
        assert answer is not None
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert answer.headers["cache-control"] == "no-store"
        page.wait_for_load_state("load")  # a page that listens is never idle
    assert watch.complaints == []
    assert len(watch.requests) > 20
    assert [url for url in watch.requests if not url.startswith(address)] == []


def test_addresses_name_no_patient(page: Page, watch: Any, address: str, seeded: Seeded) -> None:
    sign_in(page, address)
    page.goto(f"{address}studies/{seeded.numbers['flagged']}")
    drawn(page)
    paths = {url.removeprefix(address) for url in watch.requests}
    allowed = re.compile(
        r"|sign-in|pulse|events|banners|rows\?lane=[a-z-]+&page=1|static/([a-z]+/)?[a-z_]+\.(js|css|svg)|studies/\d+(/hold|/images(/\d+/frames/\d+)?)?"
    )
    assert [path for path in paths if not allowed.fullmatch(path)] == []


def test_the_page_by_keyboard_alone(signed_in: Page, address: str, seeded: Seeded) -> None:
    number = seeded.study("keyboard", ["complete", "routine"])
    signed_in.goto(f"{address}studies/{number}")
    signed_in.locator("input[value=agree]").focus()
    signed_in.keyboard.press("Space")
    for _ in range(9):
        signed_in.keyboard.press("Tab")
        if signed_in.evaluate("document.activeElement.type") == "checkbox":
            signed_in.keyboard.press("Space")
        if signed_in.evaluate("document.activeElement.textContent").startswith("Sign as"):
            break
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_text("Your signature is on file.")).to_be_visible()


@pytest.mark.parametrize("width", [360, 700, 1280])
def test_no_page_scrolls_sideways(signed_in: Page, address: str, seeded: Seeded, width: int) -> None:
    signed_in.set_viewport_size({"width": width, "height": 800})
    for where in ("", "strays", "status", f"studies/{seeded.numbers['answered']}", f"studies/{seeded.numbers['evil']}"):
        signed_in.goto(f"{address}{where}")
        over = signed_in.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, where


def test_text_stands_out_from_its_ground() -> None:
    """Contrast of every text colour of both style sheets on every ground, WCAG 2.2 1.4.3: 4.5 to 1."""
    static = Path(__file__).parents[2] / "appliance/review/static"
    tokens, paper = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", (static / name).read_text()))
        for name in ("review.css", "print.css")
    )
    texts = ("text", "soft", "blue", "orange", "yellow", "violet", "green")

    def light(colour: str) -> float:
        colour = "#" + "".join(2 * each for each in colour[1:]) if len(colour) == 4 else colour
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        low, high = sorted((light(one), light(other)))
        return (high + 0.05) / (low + 0.05)

    assert contrast("#777777", "#888888") < 4.5  # the measure can fail
    for text in texts:
        for ground in (tokens["ground"], tokens["raised"], "#17202c", "#1b2330"):
            assert contrast(tokens[text], ground) >= 4.5, (text, ground)
        assert contrast(paper[text], paper["ground"]) >= 4.5, text
    assert contrast(tokens["text"], tokens["blue-deep"]) >= 4.5


def test_frames_json_with_numbers_no_browser_can_read(signed_in: Page, address: str, seeded: Seeded) -> None:
    number = seeded.study("nan", ["complete", "routine"])
    put_frames(seeded.places, number * 100, [ramp()])
    path = seeded.places.frames / f"{number * 100:064x}" / "frames.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "windows": [[float("nan"), 1], [1, float("inf")]], "slope": float("inf")}))
    signed_in.goto(f"{address}studies/{number}")
    drawn(signed_in)
    assert grey_at(signed_in, 0.98) > 245
