"""From the images of a study to what a model says of it: decoded, stacked, prepared, run exit by exit, decided.

Nothing is kept, moved or counted here: judge and glance do that, and replay does without. Whatever a graph gives, or
fails to give, goes to core.decide, which alone says routine.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.core.admit import announces_image
from appliance.core.decide import Decision, Model, Seen, chosen, decide
from appliance.core.outputs import Outputs, heat_map
from appliance.core.overlay import HeatMap
from appliance.core.pixels import Image, decode, modality_values
from appliance.core.prepare import prepared
from appliance.core.reasons import in_words
from appliance.core.series import FrameOf, frames_to_see
from appliance.core.standing import Standing
from appliance.core.study import Instance
from appliance.errors import Quarantined

Read = Callable[[Instance], bytes]
Keep = Callable[[Instance, Image], None]


class Bench(Protocol):
    """Where graphs are run; {} is no answer. Exits count from 1; exit 2 takes the trunk that exit 1 gave."""

    def run(self, title: str, exit: int, tensor: NDArray[np.float32]) -> Outputs: ...

    def check(self, title: str, picture: NDArray[np.float32]) -> Outputs: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Court:
    """Everything that decides: the verified models, the bench they run on, and whose certificates count.

    models   those that may decide, the first that covers a study does
    shadows  those that run beside them and decide nothing
    shares   title -> share of studies that a shadow sees; 1 where it is not named
    """

    models: tuple[Model, ...]
    bench: Bench
    site: str
    shadows: tuple[Model, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A decision, what each stage of it took, and where on the frames the model says that its answer comes from."""

    decision: Decision
    timings_ms: dict[str, float]
    heat: HeatMap | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One frame that a network is to see.

    values      float32 [row, column], modality values; what stands for no measurement is as low as the lowest
    hounsfield  whether the header says that the values are in HU
    """

    values: NDArray[np.float32]
    monochrome1: bool
    hounsfield: bool


@dataclass(slots=True)
class Timings:
    """Time spent in each stage, in ms."""

    spent: dict[str, float] = field(default_factory=dict)

    def take(self, stage: str) -> "_Timed":
        return _Timed(self.spent, stage)


class _Timed:
    """Adds the time of a block to a stage."""

    def __init__(self, spent: dict[str, float], stage: str) -> None:
        self.spent, self.stage = spent, stage

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        took = (time.perf_counter() - self.began) * 1000
        self.spent[self.stage] = round(self.spent.get(self.stage, 0.0) + took, 3)


def doubted(found: Judgement, code: str) -> Judgement:
    """The same judgement, escalated for a doubt (a key of REASONS) that lies outside the study's images."""
    if found.decision.lane == "escalated":
        return found
    return replace(found, decision=replace(found.decision, lane="escalated", reasons=in_words([code]), exit=None))


def judge(
    court: Court,
    instances: Sequence[Instance],
    read: Read,
    *,
    pixels_max: int,
    today: date,
    standing: Standing,
    keep: Keep | None = None,
) -> Judgement:
    """The decision on one complete study. Raises Quarantined where an image cannot be trusted to be what it says.

    read   the bytes of an instance as they came
    keep   called with every decoded image; None where nothing is kept
    """
    timings = Timings()
    model = chosen(instances, court.models)
    wanted = () if isinstance(model, Decision) else _wanted(model, instances)
    pictures = _pictures(instances, wanted, read, pixels_max, keep, timings)
    if isinstance(model, Decision):
        return Judgement(model, timings.spent)
    decision, outputs = looked_at(court, model, instances, pictures, today=today, standing=standing, timings=timings)
    heat = None
    # An answer that is none says nothing of where it comes from.
    if any(each.exit == len(outputs) for each in decision.scores):
        frames = [(each.instance.sha256, each.frame) for each in wanted]
        heat = heat_map(model.manifest, len(outputs), outputs[-1], frames)
    return Judgement(decision, timings.spent, heat)


def shadowed(
    court: Court, model: Model, instances: Sequence[Instance], read: Read, *, pixels_max: int, today: date
) -> Decision | None:
    """What a shadow says of a study that was decided already; None where it does not cover it."""
    if isinstance(chosen(instances, [model]), Decision):
        return None
    timings = Timings()
    pictures = _pictures(instances, _wanted(model, instances), read, pixels_max, None, timings)
    # Nothing stands against a shadow: it decides nothing that could be taken away.
    return looked_at(court, model, instances, pictures, today=today, standing=Standing(), timings=timings)[0]


def _wanted(model: Model, instances: Sequence[Instance]) -> tuple[FrameOf, ...]:
    found = frames_to_see(instances, model.manifest.input.takes, model.manifest.input.frames)
    assert not isinstance(found, str), "a model applies only where its frames are found"
    return found


def _pictures(
    instances: Sequence[Instance],
    wanted: Sequence[FrameOf],
    read: Read,
    pixels_max: int,
    keep: Keep | None,
    timings: Timings,
) -> list[Picture]:
    """The wanted frames in their order. Every instance is decoded, wanted or not: none may be damaged."""
    found: dict[tuple[str, int], Picture] = {}
    for instance in instances:
        if not instance.has_pixels:
            if announces_image(instance):
                raise Quarantined("pixel-missing")
            continue
        if instance.rows * instance.columns * instance.number_of_frames > pixels_max:
            raise Quarantined("pixel-too-large", "Rows")  # before its bytes fill the memory
        with timings.take("decode"):
            image = decode(read(instance), pixels_max=pixels_max)
        if keep is not None:
            with timings.take("frames"):
                keep(instance, image)
        with timings.take("prepare"):
            for each in wanted:
                if each.instance.sha256 == instance.sha256:
                    found[instance.sha256, each.frame] = _picture(image, each.frame)
    return [found[each.instance.sha256, each.frame] for each in wanted]


def _picture(image: Image, frame: int) -> Picture:
    if frame >= image.frames:
        raise Quarantined("pixel-layout", "NumberOfFrames")
    values = modality_values(image, frame)
    rescale = image.rescales[frame if len(image.rescales) > 1 else 0]
    if image.padding is not None:
        low, high = image.padding
        padded = (image.stored[frame] >= low) & (image.stored[frame] <= high)
        if padded.any() and not padded.all():
            values = np.where(padded, values[~padded].min(), values).astype(np.float32)
    # PS3.3 C.8.2.1.1.2 makes HU the unit of an original CT image; a header that says no unit shifts by the intercept.
    unsaid = not rescale.unit and rescale.intercept < 0
    hounsfield = image.modality_lut is None and (rescale.unit == "HU" or unsaid)
    return Picture(values, image.photometric == "MONOCHROME1", hounsfield)


def looked_at(
    court: Court,
    model: Model,
    instances: Sequence[Instance],
    pictures: Sequence[Picture],
    *,
    today: date,
    standing: Standing,
    timings: Timings,
) -> tuple[Decision, list[Outputs]]:
    """One model run on one study, exit by exit, until one decides or none is left; and what each exit gave."""
    manifest, outputs = model.manifest, list[Outputs]()
    seen = _why_not_run(model, pictures, standing)
    if seen is not None:
        return decide(instances, model, seen, site=court.site, today=today, standing=standing), []
    with timings.take("prepare"):
        frames, monochrome1 = [each.values for each in pictures], pictures[0].monochrome1
        tensor = prepared(frames, monochrome1, manifest.input.plain_steps)
        middle = frames[len(frames) // 2]
    checked = _checked(court, model, middle, monochrome1, timings)
    into: NDArray[np.float32] | None = tensor
    for number, each in enumerate(manifest.exits, start=1):
        with timings.take("infer"):
            outputs.append({} if into is None else court.bench.run(manifest.title, number, into))
        with timings.take("decide"):
            told = Seen(middle, tensor, tuple(outputs), checked)
            decision = decide(instances, model, told, site=court.site, today=today, standing=standing)
        if decision.next_exit is None:
            break
        into = outputs[-1].get(each.trunk or "")
    return decision, outputs


def _why_not_run(model: Model, pictures: Sequence[Picture], standing: Standing) -> str | None:
    """The code of why a network is not run at all; None: it is."""
    if standing.stops(model.manifest.title):
        return "model-stopped"
    if not pictures:
        return "no-image"
    if len({each.monochrome1 for each in pictures}) > 1:
        return "slices-differ"
    steps = {each["step"] for each in model.manifest.input.plain_steps}
    if "hounsfield_window" in steps and not all(each.hounsfield for each in pictures):
        return "values-not-hounsfield"
    return None


def _checked(
    court: Court, model: Model, values: NDArray[np.float32], monochrome1: bool, timings: Timings
) -> Outputs | None:
    """What the check network gives for a picture prepared by the package's own steps at the check's size."""
    check = model.manifest.check
    if check is None:
        return None
    resized: Mapping[str, object] = {"step": "resize_area", "side_px": check.side_px}
    steps = [resized if each["step"] == "resize_area" else each for each in model.manifest.input.plain_steps]
    with timings.take("check"):
        return court.bench.check(model.manifest.title, prepared([values], monochrome1, steps))
