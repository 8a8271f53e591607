"""A state folder with real DICOM files in it, admitted as triage admits them, behind a running review service."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dicomweb_client.api import DICOMwebClient
from seeding import Seeded, seed, served

from appliance import review
from appliance.config import Places
from appliance.core.admit import admit
from appliance.core.study import Instance
from appliance.review.entrance import digest
from appliance.world import accounts, archive, desk, ledger, viewers

PASSWORD = "a long walk by the sea"
VIEWER, TOKEN = "ohif-room-3", "t" * 43


def kept(seeded: Seeded, data: bytes) -> Instance:
    """Files one object as triage does: the row, and the bytes under their digest."""
    instance = admit(data)
    with seeded.engine.begin() as c:
        ledger.add_instance(c, instance, time.time())
    archive.put(archive.instance_path(seeded.places.instances, instance.sha256), data)
    return instance


@dataclass
class House:
    places: Places
    seeded: Seeded
    address: str
    instances: list[Instance] = field(default_factory=list)
    data: dict[str, bytes] = field(default_factory=dict)

    @property
    def root(self) -> str:
        return f"{self.address}dicomweb"

    def client(self, token: str = TOKEN) -> DICOMwebClient:
        return DICOMwebClient(self.root, headers={"Authorization": f"Bearer {token}"})

    def path(self, instance: Instance) -> str:
        series = f"/dicomweb/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
        return f"{series}/instances/{instance.sop_instance_uid}"

    def acts(self) -> list[tuple[str, str, str]]:
        with review.opened(self.places) as ledgers, ledgers.eyes().begin() as c:
            return [(row.user, row.act, row.subject) for row in desk.trail(c)]


def add_viewer(places: Places, name: str = VIEWER, token: str = TOKEN, user: str = "vic.view") -> None:
    with review.opened(places) as ledgers, ledgers.pen().begin() as c:
        viewers.add(c, name=name, user=user, token_hash=digest(token), at=1.0, by="ada.admin")


@contextmanager
def housed(folder: Path, files: list[bytes], **knobs: object) -> Iterator[House]:
    """A running page with these objects, three users and one viewer's token."""
    seeded = seed(folder)
    found = {hashlib.sha256(data).hexdigest(): data for data in files}
    instances = [kept(seeded, data) for data in found.values()]
    for name, role in (("vic.view", "viewer"), ("dr.keller", "reader"), ("ada.admin", "administrator")):
        review.add_user(seeded.places, name, PASSWORD, role=role)
    add_viewer(seeded.places)
    for address in served(seeded.places, **{"dicomweb": True, **knobs}):
        yield House(seeded.places, seeded, address, instances, found)
    seeded.engine.dispose()
    assert not [each for each in threading.enumerate() if each.name.startswith("uvicorn")]


__all__ = ["PASSWORD", "TOKEN", "VIEWER", "House", "accounts", "add_viewer", "housed", "kept"]
