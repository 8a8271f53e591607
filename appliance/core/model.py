"""A model as the decision sees it: what it covers, by what it is gated and certified, and whom a site lets it see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.core.applies import why_not_applicable
from appliance.core.certificate import Certificate
from appliance.core.gates import GateReference
from appliance.core.manifest import Manifest
from appliance.core.prepare import preparation_digest
from appliance.core.rules import ModelRule, may_look, selection_sha256
from appliance.core.study import Instance


@dataclass(frozen=True, slots=True)
class Model:
    """One verified package as the decision sees it; the graphs themselves stay with whoever runs them.

    rules  the site's own, under which it may look at a study
    """

    manifest: Manifest
    references: Mapping[str, GateReference]
    certificates: tuple[Certificate, ...]
    rules: tuple[ModelRule, ...] = ()

    @property
    def sha256(self) -> str:
        return self.manifest.graphs_sha256

    def reference_for(self, certificate: Certificate | None, site: str) -> GateReference:
        """The gate reference that the site's certificate was made with; else the site's own, else the default."""
        own = self.references.get(site, self.references["default"])
        if certificate is None or certificate.site != site:
            return own
        made_with = (each for each in self.references.values() if each.digest == certificate.plan.gates_digest)
        return next(made_with, own)

    @property
    def preparation_digest(self) -> str:
        return preparation_digest(self.manifest.input.plain_steps, self.manifest.input.frames)

    @property
    def selection_sha256(self) -> str | None:
        """Of the rules that choose which studies it sees; a certificate speaks for one choice."""
        return selection_sha256(self.rules, self.manifest.applies_to.modality)

    def why_not(self, instances: Sequence[Instance]) -> str | None:
        """The code of the first reason why it says nothing of a study; None: it may look at it and covers it."""
        missed = why_not_applicable(instances, self.manifest)
        if missed is None and not may_look(self.rules, self.manifest.title, instances):
            return "rule-takes-model-away"
        return missed
