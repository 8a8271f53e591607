"""From a signature to Orthanc and back: what triage builds lies there once, in the study it belongs to, committed."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from appliance.deliver import Deliver
from appliance.deliver.targets import Book
from appliance.loop import moment
from tests.deliver.orthanc import PASSWORD, TITLE, USER, Orthanc
from tests.triage.conftest import UID
from tests.triage.test_result_orders import House as Signing

PATIENCE_S = 30.0
CHROMIUM = "/usr/bin/chromium-headless-shell"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
SR, CAPTURE = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.7"


@pytest.fixture
def signing(tmp_path: Path, orthanc: Orthanc) -> Iterator[Signing]:
    pacs = {"name": "pacs", "kind": "dimse", "host": "127.0.0.1", "port": orthanc.dicom_port, "ae_title": TITLE}
    told = {"results": {"targets": [{**pacs, "commit": True}]}, "deliver": {"port": orthanc.answers_port}}
    made = Signing(tmp_path, told)
    yield made
    made.triage.close()


def test_a_signed_study_has_one_report_and_one_key_image_in_the_pacs(signing: Signing, orthanc: Orthanc) -> None:
    config, places, drawn = signing.config, signing.places, random.Random(3)
    book, wake = Book(config, places.outbox, drawn), threading.Event()
    deliver = Deliver(config.deliver, places.outbox, places.receipts, book.make, book.hear, wake, drawn)
    signing.hard()
    signing.sign()
    signing.out()
    ordered = {each.sop_instance_uid: each.sop_class_uid for each in signing.slips()["pacs"].payloads}
    assert sorted(ordered.values()) == sorted([SR, CAPTURE])
    deadline = time.monotonic() + PATIENCE_S
    while signing.states() != {"pacs": "committed"}:
        assert time.monotonic() < deadline, signing.states()
        for step in deliver.steps().values():
            step(moment())
        signing.out()
        wake.wait(0.05)
        wake.clear()
    assert signing.slips() == {}
    assert signing.payloads() == set()
    (study,) = [each for each in orthanc.get("/studies?expand") if each["MainDicomTags"]["StudyInstanceUID"] == UID]
    held = orthanc.get(f"/studies/{study['ID']}/instances")
    assert sorted(each["MainDicomTags"]["SOPInstanceUID"] for each in held) == sorted(ordered)
    classes = {orthanc.get(f"/instances/{each['ID']}/metadata/SopClassUid", text=True) for each in held}
    assert classes == {SR, CAPTURE}
    deliver.close()
    said = shown(orthanc, study["ID"])
    assert (said.count("Triage result"), said.count("Triage key image, not for diagnosis")) == (1, 1), said


def shown(orthanc: Orthanc, study: str) -> str:
    """What Orthanc's own web page says of a study."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        login: Any = {"username": USER, "password": PASSWORD}
        page = browser.new_context(http_credentials=login).new_page()
        page.goto(f"{orthanc.url}/app/explorer.html#study?uuid={study}")
        listed = page.locator("#study #list-series li h3")
        listed.first.wait_for(timeout=20_000)
        said = " ".join(page.locator("#study").all_inner_texts())
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / "orthanc-study.png")
        browser.close()
    return said
