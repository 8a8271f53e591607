"""The hospital of the story: films of the synthetic scanner and of another one, and the package that reads them.

The other scanner is drawn too: milder findings (codes nearer to those of films without), and two ways of processing,
one soft, dark and noisy, one sharp and bright, that an operator changes between as they like. They show the machinery
and measure nothing of patients.
"""

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pydicom
from numpy.typing import NDArray

from appliance.cli.model_template import new
from appliance.cli.prove.synthetic import SHIPPED, SIDE_PX, _generator, age_years, marked
from appliance.core.certificate import Contract, Group, Plan, signed
from appliance.core.certify import FILM_CHOICE, STARTS, Scored, certificates, sample_of
from appliance.core.drawn_objects import synthetic_person, synthetic_radiograph
from appliance.core.gates import gate
from appliance.core.outputs import answer
from appliance.core.prepare import prepared
from appliance.world.inference import Bench
from appliance.world.models import load_package
from appliance.world.models.making import sign_package
from models.retrain_head import Graph, write

NAME, FIRST, NEXT = "story-chest", "1.0.0", "1.1.0"
SITE, OLD_SCANNER, NEW_SCANNER = "harbour", "SX-224", "SX-300"
CONTRACT = Contract(false_omission_max=0.10, miss_max=0.10, false_discovery_max=0.15)
SPREAD = 0.7  # of a class's codes
MILD = 0.85  # how far a finding's codes lie from those of films without, on the new scanner
SOFT_PX, DARKER, NOISE = 1.5, 1.6, 0.06
SHARP_PX, SHARPER, BRIGHTER = 6.0, 1.2, 0.7
EXIT_1 = SHIPPED.models / "cxr-paediatric-pneumonia/2.0.0"
DAYS = 90


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """One drawn film: grey [row, column] with the mark, its truth, and who took it."""

    seed: int
    grey: NDArray[np.uint8]
    finding: bool
    scanner: str

    @property
    def study(self) -> bytes:
        key = f"story {self.scanner} {self.seed}"
        data = synthetic_radiograph(self.grey, synthetic_person(key, age_years(self.seed)), key)
        if self.scanner == OLD_SCANNER:
            return data
        header = pydicom.dcmread(io.BytesIO(data))
        header.ManufacturerModelName = self.scanner
        out = io.BytesIO()
        header.save_as(out, enforce_file_format=True)
        return out.getvalue()


def films(seeds: range, scanner: str, prevalence: float = 0.5) -> Iterator[Film]:
    session, means, factors = _generator(SHIPPED)
    mild = MILD if scanner == NEW_SCANNER else 1.0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        kind = 0 if rng.random() >= prevalence else 1 + int(rng.random() < 0.5)
        mean = means[0] + np.float32(mild) * (means[kind] - means[0])
        factor = factors[0] + np.float32(mild) * (factors[kind] - factors[0])
        code = mean + np.float32(SPREAD) * (factor @ rng.standard_normal(means.shape[1], np.float32))
        noise = rng.standard_normal((1, 1, SIDE_PX, SIDE_PX), np.float32)
        (drawn,) = session.run(["film"], {"code": code[None].astype(np.float32), "noise": noise})
        grey = np.asarray(drawn)[0, 0]
        if scanner == NEW_SCANNER:
            grey = _processed(grey, rng)
        values = np.clip(np.rint(grey * 255), 0, 255).astype(np.uint8)
        yield Film(seed, marked(values), bool(kind), scanner)


def _processed(grey: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
    """The film [row, column] in 0..1 as the new scanner shows it, in one of its two ways."""
    if rng.random() < 0.5:
        return np.clip(cv2.GaussianBlur(grey, (0, 0), SOFT_PX), 0, 1) ** DARKER + rng.normal(0, NOISE, grey.shape)
    edges = grey - cv2.GaussianBlur(grey, (0, 0), SHARP_PX)
    return np.clip(grey + SHARPER * edges, 0, 1) ** BRIGHTER + rng.normal(0, NOISE / 2, grey.shape)


def first_package(root: Path, key: bytes) -> Path:
    """story-chest/1.0.0, signed: the first exit of the shipped network, with gates that let every film through."""
    shipped = json.loads((EXIT_1 / "manifest.json").read_text("utf-8"))
    folder = new(root / NAME / FIRST, date(2026, 11, 1))
    graph = onnx.load(EXIT_1 / "exit1.onnx")
    nodes = [node for node in graph.graph.node if "trunk" not in node.output]
    used = {name for node in nodes for name in node.input} | {"logit", "gap", "features"}
    nodes = [node for node in nodes if used & set(node.output)]
    del graph.graph.node[:], graph.graph.value_info[:]
    graph.graph.node.extend(nodes)
    needed = {name for node in nodes for name in node.input}
    for left in [each for each in graph.graph.initializer if each.name not in needed]:
        graph.graph.initializer.remove(left)
    for output in [each for each in graph.graph.output if each.name == "trunk"]:
        graph.graph.output.remove(output)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    side = shipped["input"]["side_px"]
    exit_1 = {**shipped["exits"][0], "graph": "model.onnx", "trunk": None}
    manifest |= {key: shipped[key] for key in ("applies_to", "label", "input")}
    manifest |= {"weights": "trained", "exits": [exit_1], "training_data": "the shipped network's, see its card"}
    gates = json.loads((folder / "gates.json").read_text("utf-8"))
    gates["bounds"]["gap"] = {"low": None, "high": None, "code": "gate-flip"}
    (folder / "gates.json").write_text(json.dumps(gates), "utf-8")
    drawn = np.random.default_rng(1).random((2, 1, 1, side, side), np.float32)
    np.savez(folder / "golden.npz", films=drawn, logits=np.zeros(2), features=np.zeros(1), tolerance=np.array(1e-3))
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    features = np.array(
        [Graph((folder / "model.onnx").read_bytes(), manifest["input"]["steps"]).on(f)[1] for f in drawn]
    )
    made, held = root / "made", root / "held"
    shutil.move(folder, held)
    write(
        made, held, (held / "model.onnx").read_bytes(), features, version=FIRST, created=date(2026, 11, 1), told="none"
    )
    shutil.rmtree(held)
    opened = json.loads((made / "gates.json").read_text("utf-8"))
    opened["bounds"]["distance"]["high"] = None
    (made / "gates.json").write_text(json.dumps(opened), "utf-8")
    shutil.move(made, folder)
    sign_package(folder, key)
    return folder


def certified(folder: Path, taken: list[Film], key: bytes, trusted: dict[str, bytes]) -> Any:
    """A certificate of the site for the old scanner, from blinded reads of drawn films, through the product's test."""
    package = load_package(folder, trusted)
    model, found = package.model, []
    with Bench([package]) as bench:
        for film in taken:
            values = film.grey.astype(np.float32)
            tensor = prepared([values], False, model.manifest.input.plain_steps)
            read = answer(model.manifest.exits[0], bench.run(package.title, 1, tensor))
            assert not isinstance(read, str), read
            measures, failed = gate(values, tensor, read, {}, model.references["default"])
            told = {str(name): value for name, value in measures.items() if np.isfinite(value)}
            found.append(Scored(str(film.seed), str(film.seed), (read.logit,), (not failed,), told))
    sample = sample_of(found)
    truth = {str(film.seed): film.finding for film in taken}
    plan = Plan(
        contract=CONTRACT,
        delta=0.05,
        attempt=1,
        starts=STARTS,
        film_choice=FILM_CHOICE,
        model_sha256=model.sha256,
        gates_digest=model.references["default"].digest,
        preparation_digest=model.preparation_digest,
        patients_sha256=sample.patients_sha256,
    )
    group = Group(
        manufacturer="Synthetic Scanner",
        manufacturer_model_name=OLD_SCANNER,
        modality="CR",
        body_part_examined="CHEST",
        patient_age_years_min=1,
        patient_age_years_max=5,
    )
    finding = np.array([truth[each] for each in sample.films])
    facts = {"name": "harbour/old-scanner", "note": "drawn films", "site": SITE, "group": group, "days": DAYS}
    (made,) = certificates(sample, finding, plan, created=datetime.now(UTC).date(), **facts)  # type: ignore[arg-type]
    return signed(made, key)
