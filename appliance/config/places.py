"""Where everything lies that this appliance keeps; docs/architecture.md draws it."""

from pathlib import Path


class Places:
    """The state folder of docs/architecture.md, by name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.phi = root / "phi"
        self.studies_db = self.phi / "studies.db"
        self.looked = self.phi / "looked.json"  # what triage last found of all ledgers
        self.instances = self.phi / "instances"
        self.frames = self.phi / "frames"
        self.outbox = self.phi / "outbox"
        self.receipts = self.phi / "receipts"
        self.final_reports = self.phi / "reports"  # of the RIS, as they came
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
        self.mirror = self.targets / "repository"  # a repository of updates as uplink or a stick brought it, unbelieved
        self.fetching = self.targets / "fetching"  # uplink's own: what it remembers of it, and what is half here
        self.updates = self.phi / "updates"  # triage's own: what it verified of it
        self.updates_memory = self.updates / "memory"
        self.delivered_models = self.updates / "models"  # <name>/<version>/
        self.delivered_certificates = self.updates / "certificates"  # <name>/<version>/*.json
        self.releases = self.updates / "releases"
        self.draft = self.phi / "draft"  # of a small language model's process, while it runs

    @property
    def beside(self) -> tuple[Path, Path]:
        """Where packages lie besides those that came with the appliance: what a person installed counts first."""
        return self.models, self.delivered_models

    @property
    def site_certificates(self) -> tuple[Path, Path]:
        return self.certificates, self.delivered_certificates
