"""`central fleet` as it is run: a process over TLS, Debian's Chromium in front of it, one picture kept for eyes."""

import signal
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
from centre_samples import enrol
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import sync_playwright
from test_fleet import BEARER, CHROMIUM, ROOT, TOKEN, asked, fill

from central import store

PICTURES = ROOT / "build" / "screenshots"


def certificate(folder: Path) -> tuple[Path, Path]:
    """Of 127.0.0.1, signed by itself: certificate and key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "fleet.pem", folder / "fleet.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return pem, private


def test_a_person_looks_at_fifty_appliances(tmp_path: Path) -> None:
    engine = store.open_store(tmp_path, "")
    names = fill(engine, time.time(), 50)
    engine.dispose()
    keys, (pem, private) = enrol(tmp_path / "keys", *names, "never-heard"), certificate(tmp_path)
    words = ["--keys", str(keys), "--listen", "127.0.0.1:0", "--tls-certificate", str(pem), "--tls-key", str(private)]
    command = [sys.executable, "-m", "central.cli", *asked(tmp_path, *words)]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        address = running.stdout.readline().rsplit(" ", 1)[-1].strip()
        assert address.startswith("https://127.0.0.1:")
        trust = ssl.create_default_context(cafile=str(pem))
        assert "central_appliances" in httpx.get(f"{address}metrics", headers=BEARER, verify=trust).text
        assert httpx.get(address, verify=trust).status_code == 401
        with ThreadPoolExecutor(1) as pool:  # a browser of another test may hold this thread's loop
            complaints = pool.submit(looked_at, address).result()
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=30)
    assert complaints == []
    assert running.returncode in (0, -signal.SIGTERM)


def looked_at(address: str) -> list[str]:
    """A browser asks for the token and shows the page by day and by night; returns what it complained of."""
    assert Path(CHROMIUM).exists(), "Debian's chromium is needed: apt-get install chromium-headless-shell"
    complaints: list[str] = []
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(
            viewport={"width": 1600, "height": 900},
            ignore_https_errors=True,
            http_credentials={"username": "anybody", "password": TOKEN},
        )
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert page.goto(address) is not None
            assert page.locator("tbody tr").count() == 51
            page.screenshot(path=PICTURES / f"fleet-{scheme}.png")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off at a desk"
        page.locator("nav a", has_text="name").click()
        assert page.locator("tbody th").first.inner_text() == "never-heard"
        page.screenshot(path=PICTURES / "fleet-name.png", full_page=True)
        browser.close()
    return complaints
