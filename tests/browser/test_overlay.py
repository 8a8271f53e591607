"""A model's map over the image: by its manifest's policy only, for whom that lets, held back by the server from others.

And the images to go to: of the map, and those that the centre was sent and cites.
"""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from seeding import NOW, PASSWORD, USER, Seeded, digest, put_frames, ramp, seed, served, sign_in
from speaking import Hands
from test_access import AXE, violations

from appliance import review
from appliance.core.overlay import HeatMap
from appliance.core.roles import Order
from appliance.review import members
from appliance.review.doors import PERMITS
from appliance.world import desk, ledger, reading_desk, sqlite, wire
from appliance.world.ledger import departures, overlays, roles, watch

OTHER = "dr.lee"
MODEL = "localising/1.0.0"
CASE = f"{5:032x}"
POLICIES = ("none", "on_request", "after_first_read")
HOT = (1, 3)  # row and column of the map's strongest place
PIXEL = """([x, y]) => {
  const canvas = document.getElementById("canvas");
  const [left, top] = [Math.round(x * canvas.width), Math.round(y * canvas.height)];
  return Array.from(canvas.getContext("2d").getImageData(left, top, 1, 1).data.slice(0, 3));
}"""
SUM = """() => {
  const canvas = document.getElementById("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let sum = 0;
  for (let at = 0; at < data.length; at++) sum = (sum * 31 + data[at]) % 4294967296;
  return sum;
}"""
Keep = Callable[[str], None]


def put_map(seeded: Seeded, key: str, policy: Any, frames: list[tuple[int, float]], revision: int = 1) -> None:
    """A map of each of these images (number, how strong), as triage writes it; the strongest place is HOT."""
    levels = np.zeros((len(frames), 4, 4), np.uint8)
    for at, (_, peak) in enumerate(frames):
        levels[at][HOT] = round(255 * peak)
    number = seeded.numbers[key]
    first = number * 100
    places = tuple((digest(first + image - 1), 0) for image, _ in frames)
    with seeded.engine.begin() as c:
        overlays.put(c, number, revision, HeatMap(MODEL, "nodule", policy, 1, places, 4, 4, levels.tobytes()))


def fill(seeded: Seeded) -> None:
    for key in POLICIES:
        seeded.study(key, ["complete", "routine"], lane="flagged")
        put_map(seeded, key, key, [(1, 1.0)])
    states = ["complete", "hard", "escalated", "answered"]
    series = seeded.study("series", states, images=5, lane="escalated", would_be="flagged", case_id=CASE)
    put_map(seeded, "series", "on_request", [(2, 0.6), (4, 0.9), (5, 0.2)])
    cited = [{"label": "nodule", "assessment": "present", "evidence": ["F1", "I2"]}]
    seeded.answer(series, CASE, opinions=cited)
    with seeded.engine.begin() as c:
        departures.put_key_images(
            c, CASE, series, [("I1", digest(100 * series), 1), ("I2", digest(100 * series + 2), 1)]
        )
    seeded.study("plain", ["complete", "routine"])
    for key, number in seeded.numbers.items():
        for n in range(5 if key == "series" else 1):
            put_frames(seeded.places, 100 * number + n, [ramp(start=50 * n, step=2)], windows=[[300, 600]])


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    made = seed(tmp_path_factory.mktemp("state"))
    fill(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    review.add_user(made.places, USER, PASSWORD)
    yield made
    made.engine.dispose()


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Callable[..., tuple[Hands, Seeded]]]:
    """A house of its own under the knobs a test asks for."""
    opened: list[tuple[Hands, Seeded]] = []

    def made(**knobs: object) -> tuple[Hands, Seeded]:
        seeded = seed(tmp_path / str(len(opened)))
        fill(seeded)
        for path, metadata in ((seeded.places.cases_db, wire.CASES), (seeded.places.link_db, wire.LINK)):
            sqlite.open_writer(path, metadata).dispose()
        hands = Hands(seeded.places, signature_fresh_s=900, **knobs)
        for name in (USER, OTHER):
            members.add_user(hands.ledgers, name, PASSWORD, at=1.0, role="reader")
        hands.sign_in()
        opened.append((hands, seeded))
        return hands, seeded

    yield made
    for hands, seeded in opened:
        hands.close()
        seeded.engine.dispose()


def asked(hands: Hands, seeded: Seeded, key: str) -> int:
    return hands.get(f"/studies/{seeded.numbers[key]}/overlay").status_code


def signed(hands: Hands, seeded: Seeded, key: str, user: str, revision: int = 1) -> None:
    number = seeded.numbers[key]
    with hands.ledgers.pen().begin() as c:
        assert desk.sign(
            c, nonce=f"{user}{number}" * 4, study_number=number, revision=revision, seq_seen=revision, user=user,
            decision="agree", correction="", at=NOW, saw_ai=True,
        )  # fmt: skip


Make = Callable[..., tuple[Hands, Seeded]]


def test_the_manifests_policy_is_what_the_server_does(hands: Make) -> None:
    house = hands()
    assert {key: asked(*house, key) for key in POLICIES} == {"none": 404, "on_request": 200, "after_first_read": 404}
    assert asked(*house, "plain") == 404
    signed(*house, "after_first_read", OTHER)
    assert asked(*house, "after_first_read") == 404, "somebody else's signature is nobody else's reading"
    signed(house[0], house[1], "none", USER)
    assert asked(*house, "none") == 404, "what a package does not allow is never shown"


def test_after_an_own_signature_or_impression_it_is_shown(hands: Make) -> None:
    house, seeded = hands()
    signed(house, seeded, "after_first_read", USER)
    assert asked(house, seeded, "after_first_read") == 200
    house, seeded = hands(read_first=True)
    number = seeded.numbers["after_first_read"]
    with house.ledgers.pen().begin() as c:
        reading_desk.impress(
            c, nonce="i" * 20, study_number=number, revision=1, user=USER, said="finding", text="", at=NOW
        )
    assert asked(house, seeded, "after_first_read") == 200


def test_whoever_reads_first_is_shown_no_map_of_any_policy(hands: Make) -> None:
    house = hands(read_first=True)
    assert {asked(*house, key) for key in (*POLICIES, "series")} == {404}


def test_a_site_can_only_take_it_away(hands: Make) -> None:
    house, seeded = hands(overlays=False)
    signed(house, seeded, "after_first_read", USER)
    assert {asked(house, seeded, key) for key in (*POLICIES, "series")} == {404}
    page = house.get(f"/studies/{seeded.numbers['on_request']}").text
    assert "data-overlay" not in page
    assert 'id="overlay"' not in page


def test_a_stopped_model_and_a_withdrawn_certificate_show_nothing(hands: Make) -> None:
    house, seeded = hands()
    with seeded.engine.begin() as c:
        stop = Order("model-stop", "localising")
        roles.file(c, "desk", "n" * 20, stop, who=USER, issued_at=NOW, at=NOW, outcome="done")
    assert asked(house, seeded, "on_request") == 404
    house, seeded = hands()
    with seeded.engine.begin() as c:
        watch.see(c, "c" * 64, seeded.numbers["on_request"], "flagged", NOW)
        watch.revoke(c, "c" * 64, at=NOW, cause="person", who=USER, because="looked wrong")
    assert asked(house, seeded, "on_request") == 404
    assert asked(house, seeded, "series") == 200, "decided under no certificate"


def test_a_new_image_takes_the_former_revisions_map_away(hands: Make) -> None:
    house, seeded = hands()
    assert asked(house, seeded, "on_request") == 200
    with seeded.engine.begin() as c:
        chosen = ledger.studies.c.number == seeded.numbers["on_request"]
        c.execute(ledger.studies.update().where(chosen).values(revision=2))
    assert asked(house, seeded, "on_request") == 404


def test_each_map_shown_is_in_the_trail_and_none_that_was_refused(hands: Make) -> None:
    house, seeded = hands()
    for key in (*POLICIES, "plain"):
        asked(house, seeded, key)
    shown = [row for row in house.acts() if row[1] == "overlay-shown"]
    assert shown == [(USER, "overlay-shown", f"study {seeded.numbers['on_request']}")]


def test_no_other_door_leads_to_a_map() -> None:
    """Blinded reads, other viewers, printed summaries and results for other systems have none."""
    assert [path for _, path in PERMITS if "overlay" in path] == ["/studies/{number:int}/overlay"]


def test_what_is_sent_is_the_map_and_the_images_worth_going_to(hands: Make) -> None:
    house, seeded = hands()
    told = house.get(f"/studies/{seeded.numbers['series']}/overlay").json()
    assert (told["model"], told["label"], told["rows"], told["columns"]) == (MODEL, "nodule", 4, 4)
    assert [(each["image"], each["frame"]) for each in told["maps"]] == [(2, 1), (4, 1), (5, 1)]
    assert told["stops"] == [[4, 1], [2, 1]], "the strongest first, and nothing too weak"
    levels = np.frombuffer(base64.b64decode(told["maps"][1]["levels"]), np.uint8).reshape(4, 4)
    assert np.unravel_index(levels.argmax(), levels.shape) == HOT


# In the browser


@pytest.fixture(scope="module")
def address(seeded: Seeded) -> Iterator[str]:
    yield from served(seeded.places)


def opened(page: Page, address: str, number: int) -> None:
    page.goto(f"{address}studies/{number}")
    expect(page.locator("#viewer")).to_have_attribute("data-ready", "yes")


def orange(page: Page, x: float, y: float) -> int:
    """How much redder than blue the picture is, at a share of the canvas; a grey picture gives 0."""
    red, _, blue = page.evaluate(PIXEL, [x, y])
    return int(red) - int(blue)


def settled(page: Page, drawn: str) -> None:
    expect(page.locator("#port")).to_have_attribute("data-overlay", drawn)


def test_a_map_is_drawn_when_asked_for_says_whose_it_is_and_goes_again(
    signed_in: Page, address: str, seeded: Seeded, keep: Keep
) -> None:
    page = signed_in
    opened(page, address, seeded.numbers["on_request"])
    before = page.evaluate(SUM)
    width, height = page.evaluate("(({ width, height }) => [width, height])(document.getElementById('canvas'))")
    zoom = min(width / 96, height / 64)  # an image of 96 x 64 that fits the canvas
    x = 0.5 + ((HOT[1] + 0.5) / 4 - 0.5) * 96 * zoom / width
    y = 0.5 + ((HOT[0] + 0.5) / 4 - 0.5) * 64 * zoom / height
    assert orange(page, x, y) == 0
    expect(page.locator(".ai-words").first).to_be_hidden()
    page.keyboard.press("o")
    settled(page, "drawn")
    expect(page.locator("#overlay")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".ai-words").first).to_contain_text(f"AI map · {MODEL}")
    assert orange(page, x, y) > 60
    assert orange(page, 1 - x, 1 - y) == 0
    keep("viewer-11-overlay-on-request")
    page.evaluate(AXE)
    assert violations(page) == []
    page.keyboard.press("t")
    page.keyboard.press("t")  # half a turn: the map turns with the image
    page.wait_for_function("() => document.getElementById('port').dataset.turns === '2'")
    assert orange(page, 1 - x, 1 - y) > 60
    page.keyboard.press("r")
    page.keyboard.press("o")
    settled(page, "")
    page.wait_for_function("() => document.getElementById('port').dataset.turns === '0'")
    assert page.evaluate(SUM) == before
    expect(page.locator(".ai-words").first).to_be_hidden()


def test_nothing_is_fetched_before_it_is_asked_for(signed_in: Page, address: str, seeded: Seeded, watch: Any) -> None:
    opened(signed_in, address, seeded.numbers["on_request"])
    assert [url for url in watch.requests if url.endswith("/overlay")] == []
    signed_in.get_by_role("button", name="AI map").click()
    settled(signed_in, "drawn")
    assert len([url for url in watch.requests if url.endswith("/overlay")]) == 1
    assert watch.complaints == []


@pytest.mark.parametrize("key", ["none", "after_first_read", "plain"])
def test_where_it_may_not_be_shown_there_is_no_button_and_the_key_does_nothing(
    signed_in: Page, address: str, seeded: Seeded, key: str, watch: Any
) -> None:
    opened(signed_in, address, seeded.numbers[key])
    expect(signed_in.locator("#overlay")).to_have_count(0)
    expect(signed_in.locator("#overlay-later")).to_have_count(1 if key == "after_first_read" else 0)
    before = signed_in.evaluate(SUM)
    for letter in "ojn":
        signed_in.keyboard.press(letter)
    assert signed_in.evaluate(SUM) == before
    assert [url for url in watch.requests if url.endswith("/overlay")] == []


def test_j_goes_to_the_strongest_image_and_n_on_to_the_next(
    signed_in: Page, address: str, seeded: Seeded, keep: Keep
) -> None:
    page = signed_in
    opened(page, address, seeded.numbers["series"])
    place = page.locator("#place-words")
    page.keyboard.press("j")
    expect(place).to_contain_text("image 4 / 5")
    page.keyboard.press("o")
    settled(page, "drawn")
    keep("viewer-11-jumped-to-the-strongest")
    for image in (2, 3, 1, 4):  # the map's second, the one the centre cites, the other it was sent, round to the first
        page.keyboard.press("n")
        expect(place).to_contain_text(f"image {image} / 5")
    page.keyboard.press("End")
    expect(page.locator(".ai-words").first).to_contain_text("AI map")
    page.keyboard.press("Home")
    expect(page.locator(".ai-words").first).to_have_text("AI map · nothing of this image")


def test_a_cited_picture_is_one_press_away(signed_in: Page, address: str, seeded: Seeded) -> None:
    page = signed_in
    opened(page, address, seeded.numbers["series"])
    expect(page.locator("#key-images .jump")).to_have_text(["I1", "I2"])
    page.locator("#key-images .jump", has_text="I2").click()
    expect(page.locator("#place-words")).to_contain_text("image 3 / 5")
    cited = page.locator(".findings li .jump")
    expect(cited).to_have_text(["I2"])
    page.keyboard.press("Home")
    cited.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#place-words")).to_contain_text("image 3 / 5")


def test_after_signing_the_map_is_offered(page: Page, address: str, seeded: Seeded) -> None:
    sign_in(page, address)
    number = seeded.numbers["after_first_read"]
    opened(page, address, number)
    expect(page.locator("#overlay-later")).to_contain_text("sign first")
    page.locator("#decide input[value=agree]").check()
    for name in ("patient", "exam"):
        page.locator(f"#decide [name={name}]").check()
    with page.expect_navigation():
        page.locator("#decide button", has_text="Sign as").click()
    opened(page, address, number)
    expect(page.get_by_role("button", name="AI map")).to_be_visible()
