"""Takes the pictures of docs/screens.md: the five screens of the review page over the state of a demonstration.

    make demo ARGS='--once --state /tmp/shown' && python -m docs.make_screens /tmp/shown

All patients are invented and all films drawn. Debian's Chromium, 1600 x 900, dark.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Page, sync_playwright
from sqlalchemy import select

from appliance import review
from appliance.cli.up import lay_out
from appliance.config import Places, load
from appliance.world import ledger, sqlite

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))  # where the tests keep how a page is served and signed in to
CHROMIUM, WEBP_QUALITY = "/usr/bin/chromium-headless-shell", 70
READER, ADMIN, PASSWORD = "dr.keller", "ada.admin", "blue whale counting 7 stars"
SCREENS = Path(__file__).with_name("screens")


def kept(page: Page, name: str) -> None:
    """A picture of the page as lossy WebP, small enough for a repository."""
    seen = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert seen is not None
    ok, made = cv2.imencode(".webp", seen, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    assert ok
    (SCREENS / f"{name}.webp").write_bytes(made.tobytes())
    print(f"{name}: {len(made) / 1024:.0f} KiB")


def flagged(places: Places) -> int:
    """The first study that a model flagged, to be shown as a case."""
    columns, engine = ledger.results.c, sqlite.open_reader(places.studies_db)
    chosen = select(columns.study_number).where(columns.lane == "flagged").order_by(columns.study_number)
    with engine.connect() as c:
        found = c.execute(chosen.limit(1)).scalar_one_or_none()
    engine.dispose()
    if found is None:
        raise SystemExit("nothing was flagged there: give the state folder of a whole demonstration")
    return int(found)


def main() -> None:
    from seeding import served, sign_in

    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("state", type=Path, help="state folder of a demonstration that has ended")
    places = Places(load(lay_out(told.parse_args().state)).state.folder)
    review.add_user(places, READER, PASSWORD, replace=True)
    review.add_user(places, ADMIN, PASSWORD, role="administrator", replace=True)
    SCREENS.mkdir(exist_ok=True)
    screens = {"worklist": "", "case": f"studies/{flagged(places)}", "outbox": "outbox", "models": "models"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for address in served(places):
            for user, shown in ((READER, screens), (ADMIN, {"administration": "administration"})):
                context = browser.new_context(viewport={"width": 1600, "height": 900}, locale="en-GB")
                page = context.new_page()
                sign_in(page, address, user, PASSWORD)
                page.wait_for_url(lambda url: "sign-in" not in url)
                for name, path in shown.items():
                    page.goto(f"{address}{path}")
                    if name == "case":
                        page.wait_for_selector("#viewer[data-ready=yes]")
                    kept(page, name)
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
