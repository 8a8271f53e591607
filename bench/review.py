"""How long the viewer makes a reader wait: first image, scroll, and a window dragged over a large film.

    python -m bench.review [--slices 300] [--side 512] [--film 3000]

A real review service, frames as triage writes them, and Debian's Chromium on this machine's own screen-less renderer.
What is timed lies in the browser: from the start of navigation to the first picture on the canvas; from a key to the
slice on the canvas; from frame to frame of the screen while the hand drags. Figures are printed, no test asserts them.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from appliance import review
from appliance.world import sqlite, wire
from tests.browser.seeding import (
    PASSWORD,
    USER,
    Seeded,
    an_instance,
    patient,
    put_decoded,
    seed,
    served,
    sign_in,
)
from tests.core.test_pixels import made

CHROMIUM = "/usr/bin/chromium-headless-shell"
LOADS = 5
DRAG_STEPS = 120
WAIT_MS = 60_000

# When the first picture stood, on the clock that starts with the navigation; and when pixels were put where.
RECORD = """
window.puts = [];
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (data, ...rest) {
  const answer = put.call(this, data, ...rest);
  window.puts.push([performance.now(), data.width]);
  return answer;
};
new MutationObserver(() => {
  if (!window.first && document.getElementById("viewer")?.dataset.ready === "yes") window.first = performance.now();
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-ready"] });
"""
# Goes through the stack with one key, each slice awaited, and tells how long each took.
SCROLL = """async ([key, count]) => {
  const port = document.getElementById("port");
  const spent = [];
  for (let at = 0; at < count; at++) {
    const before = port.dataset.at;
    const began = performance.now();
    port.focus();
    port.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    while (port.dataset.at === before) await new Promise(requestAnimationFrame);
    spent.push(performance.now() - began);
  }
  return spent;
}"""
BEATS = """() => {
  window.beats = [];
  const beat = (now) => { window.beats.push(now); if (!window.done) requestAnimationFrame(beat); };
  window.done = false;
  requestAnimationFrame(beat);
  addEventListener("pointerup", () => { window.released = performance.now(); }, { once: true, capture: true });
}"""

WHOLE = "window.puts.find(([at, width]) => at > window.released && width === side)"


def main(given: Sequence[str] | None = None) -> None:
    asked = _asked(given)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        seeded = seed(Path(folder))
        for path, metadata in ((seeded.places.cases_db, wire.CASES), (seeded.places.link_db, wire.LINK)):
            sqlite.open_writer(path, metadata).dispose()
        review.add_user(seeded.places, USER, PASSWORD)
        series, film = stack(seeded, asked.slices, asked.side), large(seeded, asked.film)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        print(f"{platform.platform()}, {os.cpu_count()} cores, Chromium {browser.version}, no GPU asked for")
        for address in served(seeded.places):
            _first(browser, address, series, asked)
            _scroll(browser, address, series, asked)
            _drag(browser, address, film, asked)
        browser.close()
        seeded.engine.dispose()


def _asked(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--film", type=int, default=3000)
    return parser.parse_args(given)


def stack(seeded: Seeded, slices: int, side: int) -> int:
    """A CT series of noise on a ramp, so that no slice is like the next."""
    noise = np.random.default_rng(3).integers(-50, 50, (side, side)).astype("i2")
    ground = np.linspace(-1000, 1000, side).astype("i2")
    instances = []
    for at in range(slices):
        stored = np.roll(noise, at, axis=0) + ground
        where = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [0, 0, float(at)]}
        window = {"WindowCenter": "40", "WindowWidth": "400", "PixelSpacing": [0.5, 0.5], "Modality": "CT"}
        put_decoded(seeded.places, 1000 + at, made(stored, **where, **window))
        plain = an_instance(1000 + at, patient("DOE^BENCH", "P-BENCH"), study=1, modality="CT")
        instances.append(replace(plain, instance_number=at + 1))
    return seeded.study_of("series", instances)


def large(seeded: Seeded, side: int) -> int:
    film = np.random.default_rng(4).integers(0, 4096, (side, side)).astype("u2")
    window = {"WindowCenter": "2048", "WindowWidth": "4096", "Modality": "DX", "BitsStored": 12}
    put_decoded(seeded.places, 900_000, made(film, **window))
    return seeded.study_of("film", [an_instance(900_000, patient("DOE^FILM", "P-FILM"), study=2, modality="DX")])


def _page(browser: Browser, address: str) -> Page:
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(RECORD)
    page = context.new_page()
    sign_in(page, address)
    page.wait_for_url(address)
    return page


def _opened(page: Page, address: str, study: int) -> None:
    page.goto(f"{address}studies/{study}")
    page.locator("#viewer[data-ready=yes]").wait_for()


def _first(browser: Browser, address: str, study: int, asked: Any) -> None:
    spent = []
    for _ in range(LOADS):
        page = _page(browser, address)
        _opened(page, address, study)
        spent.append(page.evaluate("() => window.first"))
        page.context.close()
    _say(f"first image of {asked.slices} slices of {asked.side}x{asked.side}", spent)


def _scroll(browser: Browser, address: str, study: int, asked: Any) -> None:
    page = _page(browser, address)
    _opened(page, address, study)
    for words, key in (("cold", "ArrowDown"), ("warm", "ArrowUp")):
        _say(f"scroll, {words}, key to slice", page.evaluate(SCROLL, [key, asked.slices - 1]))
    page.context.close()


def _drag(browser: Browser, address: str, study: int, asked: Any) -> None:
    page = _page(browser, address)
    _opened(page, address, study)
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate(BEATS)
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate("() => { window.beats.length = 0; window.puts.length = 0; }")
    for at in range(DRAG_STEPS):
        page.mouse.move(x + at, y + at / 2)
    beats = page.evaluate("() => window.beats.slice()")
    page.mouse.up()
    page.wait_for_function(f"side => {WHOLE} !== undefined", arg=asked.film)
    whole = page.evaluate(f"side => {WHOLE}[0] - window.released", asked.film)
    page.evaluate("() => { window.done = true; }")
    _say(f"window dragged on {asked.film}x{asked.film}, frame to frame", np.diff(beats).tolist())
    _say("the whole film after release", [whole])
    page.context.close()


def _say(what: str, spent: list[float]) -> None:
    p50, p95 = np.percentile(spent, [50, 95])
    print(f"{what}: p50 {p50:.0f} ms, p95 {p95:.0f} ms, n {len(spent)}", flush=True)


if __name__ == "__main__":
    main()
