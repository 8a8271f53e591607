"""The shipped package on the bench, for tests that hold pictures against its gates. It decides nothing itself."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.core.decide import Decision, Model, Seen, decide
from appliance.core.gates import GateReference, Measure, gate
from appliance.core.outputs import Outputs, answer, kinds
from appliance.core.prepare import prepared
from appliance.core.standing import Standing
from appliance.core.study import Instance
from appliance.world.inference import Bench
from appliance.world.models import load_package, trusted_keys

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "models/cxr-paediatric-pneumonia/2.0.0"
TODAY = date(2027, 1, 1)
Film = NDArray[np.float32]


class Lightbox:
    """Films are shown to every exit and to the check, whatever their header says."""

    def __init__(self) -> None:
        self.package = load_package(FOLDER, trusted_keys(ROOT / "models/trusted")[0])
        self.bench = Bench([self.package])
        self.model: Model = self.package.model

    def seen(self, values: Film) -> Seen:
        """values float32 [row, column], MONOCHROME2."""
        manifest, title = self.model.manifest, self.package.title
        assert manifest.check is not None
        steps = manifest.input.plain_steps
        small = [{**each, "side_px": manifest.check.side_px} if "side_px" in each else each for each in steps]
        tensor = prepared([values], False, steps)
        outputs, into = list[Outputs](), tensor
        for number, each in enumerate(manifest.exits, 1):
            outputs.append(self.bench.run(title, number, into))
            into = outputs[-1].get(each.trunk or "", into)
        return Seen(values, tensor, tuple(outputs), self.bench.check(title, prepared([values], False, small)))

    def failed(self, seen: Seen, site: str) -> tuple[str, ...]:
        """Codes of the gates that a film fails at any exit, by the reference of a site ("default" or another)."""
        checked, found = kinds(self.model.manifest.check, seen.check), dict[str, None]()
        assert not isinstance(checked, str)
        for expected, outputs in zip(self.model.manifest.exits, seen.outputs, strict=True):
            read = answer(expected, outputs)
            assert not isinstance(read, str), read
            told = gate(seen.values, seen.tensor, read, checked, self.model.references[site])
            found.update(dict.fromkeys(told[1]))
        return tuple(found)

    def decided(
        self, instances: Sequence[Instance], seen: Seen, site: str, *, opened: Sequence[Measure] = ()
    ) -> Decision:
        """The decision at a site; the bounds of `opened` are without ends, as if that gate were not there."""
        references = {name: without(each, opened) for name, each in self.model.references.items()}
        model = replace(self.model, references=references)
        return decide(instances, model, seen, site=site, today=TODAY, standing=Standing())

    def close(self) -> None:
        self.bench.close()


def without(reference: GateReference, measures: Sequence[Measure]) -> GateReference:
    """The reference with the bounds of some measures open; its digest stays, so that certificates still hold."""
    bounds: Mapping[Measure, object] = {
        name: bound.model_copy(update={"low": None, "high": None}) if name in measures else bound
        for name, bound in reference.gates.bounds.items()
    }
    return replace(reference, gates=reference.gates.model_copy(update={"bounds": bounds}))
