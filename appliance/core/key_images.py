"""The few pictures of a hard study that join its case: which, in which window, in which bytes.

Pictures are made out of cleaned objects only: the caller hands over bytes whose identity, in header and picture, is
gone. There are no crops: no model here says where on a film its finding lies, and a piece cut from the middle would
only look as if one did. It draws nothing onto a picture and keeps the grid of the stored pixels.

Sizes are measured, not guessed (docs/decisions/0007-pixels-leave-cleaned.md): PNG where that is small, which keeps
every grey level; else the best JPEG that is.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.core.case import KEY_IMAGES_MAX, KeyImage, Window
from appliance.core.picture import SIDE_PX_MAX, MediaType
from appliance.core.pixels import Image, modality_values
from appliance.core.study import Instance

PNG_BYTES_MAX = 40 * 1024  # a larger PNG leaves as JPEG
JPEG_BYTES_MAX = 100 * 1024  # of a picture that has the case to itself
PICTURES_BYTES = 264 * 1024  # shared by all pictures of a case: in base64 they leave room for its findings
JPEG_QUALITIES = (90, 80, 65, 50)  # the first that keeps within its share; the last one whatever it takes
PERCENTILES = (0.5, 99.5)
NOT_SHOWN = frozenset(("RTDOSE", "SEG"))  # numbers on the grid of other images: alone they show nobody anything
# (centre, width) in HU: the customary windows of a reading room. Those of a body part in the order of their use.
CT_WINDOWS: dict[Window, tuple[float, float]] = {
    "brain": (40, 80),
    "bone": (400, 1800),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "soft-tissue": (50, 400),
}
CT_WINDOWS_OF: dict[str, tuple[Window, ...]] = {
    **dict.fromkeys(("BRAIN", "HEAD", "SKULL"), ("brain", "bone")),
    **dict.fromkeys(("CHEST", "HEART", "TSPINE"), ("lung", "mediastinum")),
    **dict.fromkeys(("ABDOMEN", "NECK", "PELVIS"), ("soft-tissue",)),
    **dict.fromkeys(("CSPINE", "LSPINE", "SPINE", "EXTREMITY", "KNEE", "HIP", "SHOULDER"), ("bone", "soft-tissue")),
}
VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True, slots=True)
class Place:
    """One frame of a study that becomes key images; windows in the order of their use.

    frame  of the instance, from 0
    place  among all frames of the study, from 0
    """

    instance: Instance
    frame: int
    place: int
    windows: tuple[Window, ...]


def chosen(instances: Sequence[Instance]) -> list[Place]:
    """Which frames of a study: its only one, or a few evenly spaced ones, the middle among them; that one first.

    All frames of all images count as one row, in the order of series and instance number: a long series is shown more
    often than a short one. The rest stands by its distance from the middle: what has no room is left out from the end.
    """
    images = sorted(
        (each for each in instances if each.has_pixels and each.modality not in NOT_SHOWN),
        key=lambda each: (each.series_instance_uid, each.instance_number or 0, each.sop_instance_uid),
    )
    total = sum(each.number_of_frames for each in images)
    windows: tuple[Window, ...] = ("header",)
    if images and images[0].modality == "CT":
        windows = CT_WINDOWS_OF.get(images[0].body_part_examined, ("header",))
    count = min(total, KEY_IMAGES_MAX // len(windows))
    count -= total > count and count % 2 == 0  # an odd number has a middle
    places = [(2 * at + 1) * total // (2 * count) for at in range(count)]
    middle = total // 2
    return [Place(*_frame(images, at), at, windows) for at in sorted(places, key=lambda at: (abs(at - middle), at))]


def _frame(images: Sequence[Instance], at: int) -> tuple[Instance, int]:
    """The instance and its frame that stand at a place of the row of all frames."""
    for each in images:
        if at < each.number_of_frames:
            return each, at
        at -= each.number_of_frames
    raise AssertionError("a place lies within the row")


def share(places: Sequence[Place]) -> int:
    """How many bytes each picture of a case may have."""
    return min(JPEG_BYTES_MAX, PICTURES_BYTES // max(1, sum(len(place.windows) for place in places)))


def key_images(
    image: Image, place: Place, sop_instance_uid: str, bytes_max: int = JPEG_BYTES_MAX
) -> Iterator[KeyImage]:
    """One key image for each window of a place, all under the id I1: `numbered` gives them theirs.

    image             the cleaned object, decoded; place.frame is one of its frames
    sop_instance_uid  the cleaned object's own, a pseudonym
    bytes_max         of each picture
    """
    for window in ("",) if image.photometric == "RGB" else place.windows:
        grey, name = rendered(image, place.frame, window)
        small = shrunk(grey)
        data, media_type = encoded(small, bytes_max)
        yield KeyImage(
            id="I1",
            sop_instance_uid=sop_instance_uid,
            frame=place.frame + 1,
            place=place.place + 1,
            rows=small.shape[0],
            columns=small.shape[1],
            window=name,
            media_type=media_type,
            sha256=hashlib.sha256(data).hexdigest(),
            data=base64.b64encode(data).decode(),
        )


def rendered(image: Image, frame: int, window: Window) -> tuple[NDArray[np.uint8], Window]:
    """One frame as a reader sees it: uint8 [row, column], or [row, column, 3] in RGB; and the window used in the end.

    Without the asked-for window ("header" where the header has none, a window in HU where values are in no known
    unit) the middle 99 % of values take the grey scale. Padding is black; MONOCHROME1 is shown as it is meant.
    source  PS3.3 C.11.2.1.2 (window), C.7.6.3.1.2 (photometric interpretation), C.7.5.1.1.2 (padding)
    """
    if image.photometric == "RGB":
        spare = image.bits_stored - 8
        stored = image.stored[frame]
        return (stored >> spare if spare > 0 else stored << -spare).astype(np.uint8), ""
    values = modality_values(image, frame)
    padding = _padding(image, frame)
    pair, name = _window(image, frame, window, values[~padding])
    function = image.voi_function if name == "header" else "LINEAR"
    grey = windowed(values, *pair, function)
    if image.photometric == "MONOCHROME1":
        grey = 255 - grey
    grey[padding] = 0
    return grey, name


def _padding(image: Image, frame: int) -> NDArray[np.bool_]:
    stored = image.stored[frame]
    if image.padding is None:
        return np.zeros(stored.shape, np.bool_)
    low, high = image.padding
    found: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return np.zeros(stored.shape, np.bool_) if found.all() else found


def _window(
    image: Image, frame: int, window: Window, values: NDArray[np.float32]
) -> tuple[tuple[float, float], Window]:
    """(centre, width) in modality values and its name; values are those of the frame that are no padding."""
    rescale = image.rescales[frame if len(image.rescales) > 1 else 0]
    hounsfield = image.modality_lut is None and (rescale.unit == "HU" or (not rescale.unit and rescale.intercept < 0))
    if window in CT_WINDOWS and hounsfield:
        return CT_WINDOWS[window], window
    if image.windows and len(image.rescales) == 1:
        return image.windows[0], "header"
    if rescale.unit == "HU":
        return CT_WINDOWS["soft-tissue"], "soft-tissue"
    low, high = (float(each) for each in np.percentile(values, PERCENTILES))
    return ((low + high) / 2 + 0.5, high - low + 1), "percentiles"


def windowed(values: NDArray[np.float32], center: float, width: float, function: str) -> NDArray[np.uint8]:
    """Modality values through one window to 0..255, for any of the three VOI functions of PS3.3 C.11.2.1.2, .3."""
    wide = values.astype(np.float64)
    if function == "SIGMOID":
        # Beyond +-60 the exponential is 0 or 1 in double precision, and larger ones overflow.
        share = 1 / (1 + np.exp(np.clip(-4 * (wide - center) / width, -60, 60)))
    elif function == "LINEAR_EXACT" or width <= 1:
        share = (wide - center) / width + 0.5
    else:
        share = (wide - (center - 0.5)) / (width - 1) + 0.5
    grey: NDArray[np.uint8] = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    return grey


def shrunk(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its longest side within SIDE_PX_MAX: averaged over areas, never enlarged."""
    rows, columns = grey.shape[:2]
    scale = SIDE_PX_MAX / max(rows, columns)
    if scale >= 1:
        return grey
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    small: NDArray[np.uint8] = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return small


def encoded(grey: NDArray[np.uint8], bytes_max: int = JPEG_BYTES_MAX) -> tuple[bytes, MediaType]:
    """PNG within PNG_BYTES_MAX, else JPEG; either without any part that is no coded sample.

    bytes_max  kept within as long as the lowest of JPEG_QUALITIES allows
    """
    channels = grey[..., ::-1] if grey.ndim == 3 else grey  # OpenCV counts blue, green, red
    data = _encode(".png", channels, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    if len(data) <= min(PNG_BYTES_MAX, bytes_max):
        return data, "image/png"
    for quality in JPEG_QUALITIES:
        data = _encode(".jpg", channels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(data) <= bytes_max:
            break
    return data, "image/jpeg"


def _encode(suffix: str, channels: NDArray[np.uint8], settings: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, np.ascontiguousarray(channels), settings)
    assert done, "a picture of ours can be encoded"
    return bytes(data.tobytes())


def decoded(image: KeyImage) -> NDArray[np.uint8]:
    """The picture as whoever takes it will see it: uint8 [row, column] or [row, column, 3] in RGB."""
    found = cv2.imdecode(np.frombuffer(image.picture(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None, "a key image is a whole picture"
    picture: NDArray[np.uint8] = found.astype(np.uint8)
    return picture[..., ::-1] if picture.ndim == 3 else picture


def numbered(images: Sequence[KeyImage]) -> tuple[KeyImage, ...]:
    """Pictures in the order in which a reader turns them over, called I1, I2 and so on."""
    ordered = sorted(images, key=lambda image: image.place)
    return tuple(image.model_copy(update={"id": f"I{number}"}) for number, image in enumerate(ordered, 1))
