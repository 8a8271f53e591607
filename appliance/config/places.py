"""Where everything lies that this appliance keeps; docs/architecture.md draws it."""

from pathlib import Path


class Places:
    """The state folder of docs/architecture.md, by name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.phi = root / "phi"
        self.studies_db = self.phi / "studies.db"
        self.instances = self.phi / "instances"
        self.frames = self.phi / "frames"
        self.outbox = self.phi / "outbox"
        self.receipts = self.phi / "receipts"
        self.models = root / "models"  # packages installed here, <name>/<version>/
        self.certificates = root / "certificates"  # this site's own, <name>/<version>/*.json
        self.review = root / "review"
        self.review_db = self.review / "review.db"
        self.review_keys = self.review / "keys"  # of the page: its certificate's, and the one that seals second factors
        self.wire = root / "wire"
        self.cases_db = self.wire / "cases.db"
        self.parts = self.wire / "parts"
        self.link_db = self.wire / "link.db"
        self.targets = self.wire / "targets"
        self.draft = self.phi / "draft"  # of a small language model's process, while it runs
