"""Orthanc from Debian as the PACS: started on free loopback ports, with a configuration and a storage of its own."""

import json
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PROGRAM = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PATIENCE_S = 30.0
TITLE = "ORTHANC"
USER, PASSWORD = "edge", "not-a-secret"
CREDENTIAL = f"{USER}:{PASSWORD}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Orthanc:
    """A running one. answers_port: where it says what became of commitments, as AE title EDGE."""

    folder: Path
    dicom_port: int
    http_port: int
    answers_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def start(self) -> None:
        told = {
            "Name": TITLE,
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": TITLE,
            "DicomCheckCalledAet": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "DicomAlwaysAllowStore": True,
            "DicomModalities": {"edge": ["EDGE", "127.0.0.1", self.answers_port]},
            "OverwriteInstances": False,
            "SynchronousCMove": True,
            "Plugins": [str(DICOMWEB)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(told))
        assert PROGRAM, "Orthanc is not installed: sh tests/system_packages.sh"
        with (self.folder / "log.txt").open("ab") as out:
            self.process = subprocess.Popen([PROGRAM, str(path)], stdout=out, stderr=out)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if self.get("/system").get("DicomAet") == TITLE:
                    return
            except httpx.HTTPError:
                pass
            assert self.process.poll() is None, (self.folder / "log.txt").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process = None

    def get(self, path: str, *, text: bool = False) -> Any:
        found = httpx.get(f"{self.url}{path}", auth=(USER, PASSWORD), trust_env=False, timeout=10.0)
        return found.text if text else found.json()

    def put(self, path: str, told: Any) -> None:
        self._said(httpx.put(f"{self.url}{path}", auth=(USER, PASSWORD), trust_env=False, timeout=10.0, json=told))

    def drop(self, path: str) -> None:
        self._said(httpx.delete(f"{self.url}{path}", auth=(USER, PASSWORD), trust_env=False, timeout=10.0))

    def post(self, path: str, told: Any) -> Any:
        return self._said(
            httpx.post(f"{self.url}{path}", auth=(USER, PASSWORD), trust_env=False, timeout=30.0, json=told)
        ).json()

    def _said(self, answer: httpx.Response) -> httpx.Response:
        assert answer.is_success, answer.text
        return answer

    def objects(self) -> list[str]:
        """SOP Instance UIDs of everything it holds."""
        told = self.get("/instances?expand")
        return sorted(each["MainDicomTags"]["SOPInstanceUID"] for each in told)
