"""From a decided study to the final bytes of its case, and to the receipt of what was done before they left.

Pictures and header come out of cleaned objects only, and pictures only where the picture was cleaned too. The
finished bytes are read back as the centre will read them: their words are searched for the identity of every source
file, and each of their pictures is looked at. Nothing is returned of a case in which identity is in doubt.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, get_args

import numpy as np
import pydicom
from numpy.typing import NDArray

from appliance import __version__
from appliance.core import annex_e
from appliance.core import case as wire_case
from appliance.core.account import Accounted, Cleaned, accounted, receipt_of
from appliance.core.compose import compose, said_by
from appliance.core.decide import REASONS, Model
from appliance.core.document import Code, Hex64, decode, encode
from appliance.core.gates import Measure
from appliance.core.identity import Identity, identity_of, joined
from appliance.core.inspect import inspect
from appliance.core.key_images import chosen, decoded, key_images, share
from appliance.core.options import Options
from appliance.core.pixels import decode as decode_pixels
from appliance.core.receipt import Signed, Versions, signed
from appliance.core.redact import Frames
from appliance.core.study import Instance, Scores
from appliance.core.transfer import Tier
from appliance.errors import Quarantined

UNKNOWN_LABEL = "unknown"
SCORE_FIELDS = tuple(Scores.__dataclass_fields__)
PRODUCT = f"edge-diagnostic-appliance/{__version__}"

Clean = Callable[[bytes, Frames], Cleaned]
Look = Callable[[NDArray[np.uint8], Identity], None]


@dataclass(frozen=True, slots=True)
class Cleaning:
    """How objects are made fit to leave, and who looks at the pictures afterwards.

    clean      a file as it came, and which of its frames will be shown (from 0; None: all) -> the object that may
               leave, cleaned and inspected; raises Quarantined
    look       a picture, uint8 [row, column] or [row, column, 3], and whose it must not tell; raises Quarantined
    detectors  the files that clean and look read pictures with: name -> SHA-256
    """

    clean: Clean
    look: Look
    detectors: Mapping[Code, Hex64] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alias:
    """A pseudonym and what it stands for: for the crosswalk, which never leaves phi/."""

    kind: str
    pseudonym: str
    source: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Shown:
    """A key image by its name in the case, and the frame here, from 1, out of which it was made."""

    id: str
    sha256: str
    frame: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves, and what stays here to tell of it.

    documents  the case's final bytes by tier: 1 with its pictures, if it has any, and 0 without
    shown      which frames here the pictures show
    """

    case_id: str
    documents: Mapping[Tier, bytes]
    receipt: Signed
    aliases: tuple[Alias, ...]
    shown: tuple[Shown, ...] = ()


def sealed_case(
    case_id: str,
    revision: int,
    result: Mapping[str, Any],
    instances: Sequence[Instance],
    read: Callable[[Instance], bytes],
    *,
    site_key: bytes,
    models: Sequence[Model],
    cleaning: Cleaning,
    pixels_max: int,
    answer_within_s: int,
    key_images_max: int = wire_case.KEY_IMAGES_MAX,
) -> Leaving:
    """The final bytes of a hard study's case, inspected, and their receipt. Raises Quarantined where in doubt.

    result      columns of ledger.results: priority, reasons, would_be, scores, model, certificate, decided_at
    read        the bytes of an instance as they came
    models      the installed ones, for digest and label of the one that looked
    pixels_max  the largest image decoded, in samples over all frames
    key_images_max  of those that were made, so many go; the least needed ones stay first
    """
    material = _material(instances, read, site_key, cleaning.clean, pixels_max)
    looked = looked_by(models, result["model"])
    case = compose(
        case_id=case_id,
        revision=revision,
        said=said_by(material.header),
        images=sum(instance.has_pixels for instance in instances),
        frames=sum(instance.number_of_frames for instance in instances if instance.has_pixels),
        urgency=result["priority"],
        answer_within_s=answer_within_s,
        reasons=[reason["code"] for reason in result["reasons"]],
        would_be=result["would_be"],
        scores=findings_of(result["scores"]),
        label=looked.manifest.label.name if looked else UNKNOWN_LABEL,
        model=None if looked is None else _model(looked, result["certificate"]),
        pictures=material.pictures[:key_images_max],
    )
    left = len(material.pictures[key_images_max:])
    case = case.model_copy(update={"key_images_shed": case.key_images_shed + left})
    told = receipt_of(
        case,
        material.objects,
        material.options,
        site_key=site_key,
        decided_at=result["decided_at"],
        versions=Versions(
            product=PRODUCT,
            table_edition=annex_e.EDITION,
            table_sha256=annex_e.CONTENT_SHA256,
            detectors=dict(cleaning.detectors),
        ),
    )
    receipt = signed(told, site_key)
    case = case.model_copy(update={"receipt": receipt.stamp})
    documents: dict[Tier, bytes] = {1: wire_case.final(case)} if case.key_images else {}
    documents[0] = wire_case.final(wire_case.without_pictures(case))
    # One object at a time: what was read is let go of before the next.
    rest = (instance for instance in instances if instance.sha256 not in material.known)
    who = joined(*material.known.values(), *(identity_of(read(instance)) for instance in rest))
    for document in documents.values():
        inspected(document, who, _vocabulary(models), cleaning.look)
    shown = (Shown(each.id, material.sources[each.sop_instance_uid], each.frame) for each in case.key_images)
    return Leaving(case_id, documents, receipt, material.aliases, tuple(shown))


def looked_by(models: Sequence[Model], title: str | None) -> Model | None:
    """The installed model that looked; one of random weights never did."""
    trained = (model for model in models if model.manifest.weights != "random")
    return next((model for model in trained if model.manifest.title == title), None)


def findings_of(told: Sequence[Mapping[str, Any]]) -> list[Scores]:
    """What leaves of the scores: that of the last exit asked, which knew most; nothing of random weights."""
    scores = [Scores(**{name: each[name] for name in SCORE_FIELDS if name in each}) for each in told]
    return [each for each in scores if each.weights != "random"][-1:]


@dataclass(frozen=True, slots=True)
class _Material:
    """What cleaned objects give to a case.

    pictures  the one most needed first
    sources   pseudonym of an object -> SHA-256 of the file as it came
    known     SHA-256 of each file that was cleaned -> whose it is
    """

    header: pydicom.Dataset
    options: Options
    objects: tuple[Accounted, ...]
    pictures: tuple[wire_case.KeyImage, ...]
    aliases: tuple[Alias, ...]
    sources: Mapping[str, str]
    known: Mapping[str, Identity] = field(repr=False)


def _material(
    instances: Sequence[Instance], read: Callable[[Instance], bytes], site_key: bytes, clean: Clean, pixels_max: int
) -> _Material:
    """Cleans the objects whose frames are to be shown, and the one whose header is read; each once, one at a time."""
    places = chosen(instances)
    first = next((each for each in instances if each.has_pixels), instances[0])
    needed = {each.sha256: each for each in (first, *(place.instance for place in places))}
    headers, objects, aliases, sources = {}, [], dict[Alias, None](), dict[str, str]()
    made: dict[int, list[wire_case.KeyImage]] = {}
    known: dict[str, Identity] = {}
    for digest, instance in needed.items():
        data = read(instance)
        own = [place for place in places if place.instance.sha256 == digest]
        cleaned = clean(data, frozenset(place.frame for place in own))
        known[digest] = cleaned.who
        header = headers[digest] = _header(cleaned.bytes)
        options = cleaned.options
        objects.append(accounted(header, cleaned, digest, site_key))
        sources[str(header.SOPInstanceUID)] = digest
        aliases.update(dict.fromkeys(_aliases(instance, header)))
        if own and "clean-pixel-data" in options:  # else somebody's name may be written into the picture
            image = decode_pixels(cleaned.bytes, pixels_max=pixels_max)
            for place in own:
                made[place.place] = list(key_images(image, place, str(header.SOPInstanceUID), share(places)))
    pictures = [picture for place in places for picture in made.get(place.place, ())]
    return _Material(headers[first.sha256], options, tuple(objects), tuple(pictures), tuple(aliases), sources, known)


def _aliases(instance: Instance, header: pydicom.Dataset) -> list[Alias]:
    stands_for = {
        "PatientID": ("patient", instance.patient.patient_id),
        "StudyInstanceUID": ("study", instance.study_instance_uid),
        "SeriesInstanceUID": ("series", instance.series_instance_uid),
        "SOPInstanceUID": ("instance", instance.sop_instance_uid),
    }
    found = [(kind, str(header.get(keyword, "")), source) for keyword, (kind, source) in stands_for.items()]
    return [Alias(kind, pseudonym, source) for kind, pseudonym, source in found if pseudonym]


def _model(looked: Model, certificate: str | None) -> wire_case.Model:
    return wire_case.Model(
        name=looked.manifest.name,
        version=looked.manifest.version,
        sha256=looked.sha256,
        certificate=next((each.digest for each in looked.certificates if each.name == certificate), None),
    )


def _header(data: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(BytesIO(data), stop_before_pixels=True)


def inspected(data: bytes, who: Identity, vocabulary: frozenset[str], look: Look) -> None:
    """Returns if the finished bytes of a case may leave; they are read back as the centre will read them.

    A picture stands in a case as base64, in which no search finds anything and chance finds names. So its text is
    taken out of what is searched, its bytes are held to be nothing but coded samples (the document's own rule), and
    the samples are looked at. Digests and the two defined terms that the profile keeps on purpose are no finding.
    """
    try:
        case = decode(wire_case.Case, data)
    except Quarantined:
        case = None
    if case is None or encode(case) != data:
        inspect(data, who, vocabulary)  # says more than that it is no case
        raise Quarantined("inspect-unreadable", "Case")
    bare = case.model_copy(
        update={"key_images": tuple(image.model_copy(update={"data": ""}) for image in case.key_images)}
    )
    known = {case.patient.age, case.patient.sex, *(image.sha256 for image in case.key_images)} - {""}
    if case.receipt is not None:
        known |= {case.receipt.sha256, case.receipt.signature, case.receipt.key_id}
    inspect(encode(bare), who, vocabulary | known)
    for image in case.key_images:
        look(decoded(image), who)


def _vocabulary(models: Sequence[Model]) -> frozenset[str]:
    """Every word a case can bear that was fixed before the patient came: the schema's, ours, the installed models'."""
    installed = {
        word
        for model in models
        for word in (model.manifest.name, model.manifest.version, model.manifest.label.name, model.sha256)
    }
    return wire_case.VOCABULARY | frozenset(REASONS) | frozenset(get_args(Measure)) | {UNKNOWN_LABEL} | installed
