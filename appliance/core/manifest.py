"""What a model package says of itself, and to which studies it applies.

A manifest comes from a stranger, so it is parsed strictly and every unknown key is refused. It is data: nothing in a
package is ever executed but the ONNX graph. Applicability fails closed: what a manifest does not name, it does not
cover, and a blank or odd header value is never taken for the expected one.
"""

import hashlib
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from appliance.core.overlay import Policy
from appliance.core.prepare import Step as PlainStep
from appliance.core.prepare import why_not_prepared
from appliance.core.strict import Strict as Strict
from appliance.core.study import age_years as age_years

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ShortText = Annotated[str, Field(min_length=1, max_length=128)]
LongText = Annotated[str, Field(min_length=1, max_length=2000)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.:/-]{0,127}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
SiteName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Side = Annotated[int, Field(ge=16, le=1024)]
Told = Annotated[str, Field(max_length=128)]
FRAMES_MAX = 64
HEAT_SIDE_MAX = 64  # a map says where to look, not what is to be seen there
RADIOGRAPHS = frozenset(("CR", "DX", "MG", "RG", "RF", "XA"))


class ResizeArea(Strict):
    """Squeezes each frame to a square by area averaging (bilinear where the frame is smaller)."""

    step: Literal["resize_area"]
    side_px: Side


class PercentileWindow(Strict):
    """Makes two percentiles of all resized frames together, in percent, 0 and 1; what lies beyond is clipped."""

    step: Literal["percentile_window"]
    low: Annotated[float, Field(ge=0, lt=50)]
    high: Annotated[float, Field(gt=50, le=100)]


class OrientGrey(Strict):
    """Inverts MONOCHROME1, so that air is dark and bone bright whatever the film's own convention."""

    step: Literal["orient_grey"]


class HounsfieldWindow(Strict):
    """Makes centre - width/2 and centre + width/2, in HU, 0 and 1; what lies beyond is clipped."""

    step: Literal["hounsfield_window"]
    center: Annotated[float, Field(ge=-2000, le=5000)]
    width: Annotated[float, Field(gt=0, le=10_000)]


# Steps of preparation by name; what each one does to pixels stands in prepare.
Step = Annotated[ResizeArea | PercentileWindow | OrientGrey | HounsfieldWindow, Field(discriminator="step")]


class Input(Strict):
    """The graphs' one input, float32 [1, frames, side_px, side_px], and how it is prepared, step by step.

    takes  one frame, `frames` key frames of a series, or a volume resampled to `frames` slices
    """

    name: Identifier
    takes: Literal["frame", "key_frames", "volume"]
    frames: Annotated[int, Field(ge=1, le=FRAMES_MAX)]
    side_px: Side
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=8)]

    @model_validator(mode="after")
    def _consistent(self) -> "Input":
        wrong = why_not_prepared(self.plain_steps)
        if wrong is not None:
            raise ValueError(wrong)
        if any(isinstance(each, ResizeArea) and each.side_px != self.side_px for each in self.steps):
            raise ValueError("resize_area has another side_px than the input")
        if self.takes == "frame" and self.frames != 1:
            raise ValueError("an input that takes a frame has frames 1")
        return self

    @property
    def plain_steps(self) -> tuple[PlainStep, ...]:
        """The steps as `prepare` takes them."""
        return tuple(each.model_dump() for each in self.steps)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (1, self.frames, self.side_px, self.side_px)


class Heat(Strict):
    """Where on the frames an exit's answer comes from: output float32 [1, frames, rows, columns] in 0..1.

    Each map lies over the whole frame, as the preparation squeezes whole frames; frames are the input's.
    """

    output: Identifier
    frames: Annotated[int, Field(ge=1, le=FRAMES_MAX)]
    rows: Annotated[int, Field(ge=1, le=HEAT_SIDE_MAX)]
    columns: Annotated[int, Field(ge=1, le=HEAT_SIDE_MAX)]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (1, self.frames, self.rows, self.columns)


class Exit(Strict):
    """One graph that gives an answer. A logit outside its range is an odd output: nothing is decided on it.

    logit     output float32 [1]
    features  output float32 [1, features_count]
    gap       output float32 [1], |logit of the image - logit of its mirror|; null: not given
    energy    output float32 [1]; null: not given
    trunk     output that is the one input of the next exit's graph; null for the last exit
    heat      the output that says where the answer comes from; absent or null: not given
    cost_ms   what one run takes on one core of the machine that made the package
    """

    graph: FileName
    logit: Identifier
    logit_low: float
    logit_high: float
    features: Identifier
    features_count: Annotated[int, Field(ge=1, le=4096)]
    gap: Identifier | None
    energy: Identifier | None
    trunk: Identifier | None
    heat: Heat | None = None
    cost_ms: Annotated[float, Field(ge=0, le=60_000)]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every output but the trunk, whose shape only the graphs know."""
        found: dict[str, tuple[int, ...]] = {self.logit: (1,), self.features: (1, self.features_count)}
        if self.heat is not None:
            found[self.heat.output] = self.heat.shape
        return found | {name: (1,) for name in (self.gap, self.energy) if name is not None}

    @model_validator(mode="after")
    def _consistent(self) -> "Exit":
        heat = None if self.heat is None else self.heat.output
        outputs = (self.logit, self.features, self.gap, self.energy, self.trunk, heat)
        named = [each for each in outputs if each is not None]
        if len(set(named)) != len(named):
            raise ValueError("an exit names one output twice")
        if not self.logit_low < self.logit_high:
            raise ValueError("the logit's range is empty")
        return self


class Check(Strict):
    """A small network that says what a picture is, whatever its header claims.

    It takes float32 [1, 1, side_px, side_px] in 0..1 by the name of the package's input and gives one probability per
    kind, float32 [1, kinds].
    """

    graph: FileName
    side_px: Side
    output: Identifier
    kinds: Annotated[tuple[ShortText, ...], Field(min_length=2, max_length=64)]


class Reference(Strict):
    """The files of one gate reference: bounds, and the arrays that distances are taken from."""

    gates: FileName
    arrays: FileName


class AgeRange(Strict):
    """Completed years, both ends included."""

    years_min: Annotated[int, Field(ge=0, le=130)]
    years_max: Annotated[int, Field(ge=0, le=130)]


class AppliesTo(Strict):
    """Header values a study must have, each exactly.

    An empty string stands for a header that names none, and `patient_age` of null for any age, also an unknown one; a
    package for radiographs may have neither, because there the header is the only other word on what the picture is.
    """

    modality: Annotated[tuple[ShortText, ...], Field(min_length=1, max_length=8)]
    sop_class_uid: Annotated[tuple[ShortText, ...], Field(min_length=1, max_length=16)]
    body_part_examined: Annotated[tuple[Told, ...], Field(min_length=1, max_length=8)]
    view_position: Annotated[tuple[Told, ...], Field(min_length=1, max_length=8)]
    patient_age: AgeRange | None
    photometric: Annotated[tuple[ShortText, ...], Field(min_length=1, max_length=4)]
    bits_stored_min: Annotated[int, Field(ge=1, le=64)]
    bits_stored_max: Annotated[int, Field(ge=1, le=64)]
    side_px_min: Annotated[int, Field(ge=1, le=65535)]

    @model_validator(mode="after")
    def _radiographs_are_named(self) -> "AppliesTo":
        open_ends = self.patient_age is None or "" in (*self.body_part_examined, *self.view_position)
        if open_ends and not RADIOGRAPHS.isdisjoint(self.modality):
            raise ValueError("a package for radiographs names body part, view and age")
        return self


class Label(Strict):
    """The finding a positive score stands for, coded, and what the training label really means."""

    name: ShortText
    code: Annotated[str, Field(pattern=r"^[0-9A-Za-z.-]{1,32}$")]
    scheme: Literal["SCT", "RADLEX"]
    meaning: LongText


class Nominal(Strict):
    """Thresholds on the logit that only ever say what the edge *would* have said; no lane opens by them."""

    clear_at_or_below: float
    flag_at_or_above: float


class Manifest(Strict):
    """manifest.json of a package. `files` are the SHA-256 of all that the appliance reads to decide.

    weights     random weights only ever escalate: no certificate of such a package is looked at
    overlay     whether a reader may be shown where an answer comes from: never, when asked for, or after own reading
    exits       one graph, or two of which the first leaves to the second what it does not decide
    references  gate references by site; "default" is everybody's who is not named
    """

    schema_version: Literal[2]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    version: Annotated[str, Field(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}$")]
    created: date
    weights: Literal["trained", "random"]
    intended_use: LongText
    licence: LongText
    training_data: LongText
    overlay: Policy
    files: Annotated[dict[FileName, Sha256], Field(max_length=64)]
    input: Input
    exits: Annotated[tuple[Exit, ...], Field(min_length=1, max_length=2)]
    check: Check | None
    references: Annotated[dict[SiteName, Reference], Field(min_length=1, max_length=16)]
    applies_to: AppliesTo
    label: Label
    nominal: Nominal

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        missing = self.needed - self.files.keys()
        if missing:
            raise ValueError(f"files must name {', '.join(sorted(missing))}")
        if "default" not in self.references:
            raise ValueError('references must hold "default"')
        if [each.trunk is not None for each in self.exits] != [True] * (len(self.exits) - 1) + [False]:
            raise ValueError("every exit but the last gives a trunk, and the last gives none")
        if len(set(self.graphs)) != len(self.graphs):
            raise ValueError("exits and check must be different graphs")
        heats = [each.heat for each in self.exits if each.heat is not None]
        if (self.overlay == "none") == bool(heats):
            raise ValueError("an exit says where its answer comes from (heat) if and only if overlay allows showing it")
        if any(each.frames != self.input.frames for each in heats):
            raise ValueError("heat has another number of frames than the input")
        if not self.nominal.clear_at_or_below < self.nominal.flag_at_or_above:
            raise ValueError("nominal thresholds are in the wrong order")
        return self

    @property
    def title(self) -> str:
        return f"{self.name}/{self.version}"

    @property
    def graphs(self) -> tuple[str, ...]:
        """File names of the exits' graphs in order, then of the check network."""
        return (*(each.graph for each in self.exits), *(() if self.check is None else (self.check.graph,)))

    @property
    def needed(self) -> set[str]:
        """Files that must be there for the package to decide anything."""
        papers = {name for each in self.references.values() for name in (each.gates, each.arrays)}
        return {*self.graphs, *papers, "golden.npz"}

    @property
    def graphs_sha256(self) -> str:
        """What a certificate means by *this model*: the one graph's digest, or that of all digests in their order."""
        digests = [self.files[name] for name in self.graphs]
        return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
