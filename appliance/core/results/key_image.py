"""A picture of the study for eyes, not for diagnosis: a secondary capture of what was looked at, marked as what it is.

The mark stands in bars above and below the picture, burnt in, so that no viewer can leave it away and nothing of the
picture is covered. It shows no region: no model here says where a finding lies.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from appliance import __version__
from appliance.core.key_images import Place, rendered, shrunk
from appliance.core.pixels import Image
from appliance.core.results import words
from appliance.core.results.statement import INHERITED, Built, Statement, dress, result_uid, statement_digest, written
from appliance.core.study import LANE_WORDS

BAR_SHARE = 0.06
BAR_PX_MIN = 18
WIDTH_PX_MIN = 320  # narrower, and the words could not be read


def key_image(said: Statement, source: Dataset, image: Image, place: Place, *, site_key: bytes, device: str) -> Built:
    """One frame as a reader sees it, within 896 px, between two bars of words.

    source  the header of the image that is shown
    image   decoded from the bytes as they came
    """
    own = result_uid(site_key, "key-image", statement_digest(said), place.instance.sop_instance_uid, place.frame)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = UID(own)
    made.SOPClassUID, made.SOPInstanceUID = SecondaryCaptureImageStorage, UID(own)
    for keyword in INHERITED[1:-1]:
        made.setdefault(keyword, "")
    del made.IssuerOfPatientID
    dress(made, source, said.said_at, device, __version__, "Triage key image, not for diagnosis")
    made.Modality, made.ConversionType = "OT", "WSD"
    made.SeriesInstanceUID = result_uid(site_key, "key-image-series", said.study_instance_uid)
    made.SeriesNumber, made.InstanceNumber = words.SERIES_KEY_IMAGE, said.revision
    made.PatientOrientation = ""
    made.Laterality = ""  # type 2C: whether the body part is a paired one is not known here
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.DerivationDescription = words.NOT_FOR_DIAGNOSIS
    made.BurnedInAnnotation = "YES"
    made.ImageComments = words.NOT_FOR_DIAGNOSIS
    shows = Dataset()
    shows.ReferencedSOPClassUID, shows.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    if place.instance.number_of_frames > 1:
        shows.ReferencedFrameNumber = place.frame + 1
    made.SourceImageSequence = [shows]
    grey, _ = rendered(image, place.frame, place.windows[0])
    _put(made, marked(shrunk(grey), said))
    return Built(str(SecondaryCaptureImageStorage), own, str(ExplicitVRLittleEndian), written(made))


def marked(grey: NDArray[np.uint8], said: Statement) -> NDArray[np.uint8]:
    """The picture between two bars: that it is not for diagnosis, and what the triage said."""
    missing = max(0, WIDTH_PX_MIN - grey.shape[1])
    sides = ((0, 0), (missing // 2, missing - missing // 2), (0, 0))[: grey.ndim]
    grey = np.pad(grey, sides)
    rows, columns = grey.shape[:2]
    height = max(BAR_PX_MIN, round(BAR_SHARE * rows))
    shape = (height, columns, *grey.shape[2:])
    lane = LANE_WORDS[said.lane]
    bars = [_bar(np.zeros(shape, np.uint8), text) for text in (words.NOT_FOR_DIAGNOSIS, lane)]
    return np.concatenate([bars[0], grey, bars[1]])


def _bar(empty: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """White words on black, as large as the bar allows, and never cut off."""
    height, columns = empty.shape[:2]
    (wide, tall), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
    scale = min(0.6 * height / tall, 0.96 * columns / wide)
    at = (max(1, round((columns - scale * wide) / 2)), round((height + scale * (tall - below / 2)) / 2))
    white = (255,) * (empty.shape[2] if empty.ndim == 3 else 1)
    return cv2.putText(empty, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, white, 1, cv2.LINE_AA).astype(np.uint8)


def _put(made: Dataset, picture: NDArray[np.uint8]) -> None:
    colour = picture.ndim == 3
    made.SamplesPerPixel = 3 if colour else 1
    made.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        made.PlanarConfiguration = 0
    made.Rows, made.Columns = picture.shape[:2]
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    data = np.ascontiguousarray(picture).tobytes()
    made.PixelData = data + bytes(len(data) % 2)
    made["PixelData"].VR = "OB"
