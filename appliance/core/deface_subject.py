"""Whether an object can show a face: by its class, and by the body part that its header names.

Only a plain statement counts. A body part that is not on one of the two lists here, a missing one, or two that
disagree is no statement: whoever asks must then treat the object as one that may show a face and cannot be cleaned.
A header that names the wrong body part is believed; nothing here looks at the picture.
"""

import re
from collections.abc import Iterator
from typing import Literal

from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from appliance.core.pixel_header import text_of, value_of
from appliance.errors import Quarantined

Subject = Literal["no picture", "no face", "head", "unknown"]

DEPTH_MAX = 8  # Frame Anatomy stands three levels deep
CT = frozenset({uid.CTImageStorage, uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage})
MR = frozenset({uid.MRImageStorage, uid.EnhancedMRImageStorage, uid.LegacyConvertedEnhancedMRImageStorage})
# The breast or the teeth, whatever else the header says.
NEVER_A_FACE = frozenset(
    {
        uid.DigitalMammographyXRayImageStorageForPresentation,
        uid.DigitalMammographyXRayImageStorageForProcessing,
        uid.BreastTomosynthesisImageStorage,
        uid.DigitalIntraOralXRayImageStorageForPresentation,
        uid.DigitalIntraOralXRayImageStorageForProcessing,
    }
)
# A projection shows the profile of a head that stands sideways, a volume its surface: the body part decides.
BY_BODY_PART = (
    CT
    | MR
    | {
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
        uid.XRayAngiographicImageStorage,
        uid.XRayRadiofluoroscopicImageStorage,
        uid.EnhancedXAImageStorage,
        uid.EnhancedXRFImageStorage,
        uid.UltrasoundImageStorage,
        uid.UltrasoundMultiFrameImageStorage,
        uid.EnhancedUSVolumeStorage,
        uid.PositronEmissionTomographyImageStorage,
        uid.EnhancedPETImageStorage,
        uid.NuclearMedicineImageStorage,
    }
)
# PS3.4 B.5: waveforms, presentation states, structured reports and key object selections.
_NO_PICTURE = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(9|11|88)\.[0-9.]+")

# PS3.16 Annex L, Body Part Examined and the codes of SNOMED RT and CT for the same; neck and whole body are on
# neither list: they include a part of a head.
_HEAD_WORDS = """
BRAIN EAR EYE EYELID FACE HEAD IAC JAW MANDIBLE MAXILLA MOUTH NOSE ORBIT PITUITARY SELLA SINUS SKULL TMJ ZYGOMA
T-A0100 T-AB001 T-AB000 T-AB959 T-AA000 T-D0801 T-D1100 T-D1200 T-D1213 T-D1460 T-D14AE T-11100 T-11166 T-11170
T-11180 T-15290 T-21000 T-22000
12738006 117590005 361078006 81745001 371398005 69536005 89545001 661005 42575006 363654007 89546000 13881006
70925003 91609006 53620006 45206002 2095001
"""
HEAD = frozenset(_HEAD_WORDS.split())
_NOT_HEAD_WORDS = """
ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM BILEDUCT BLADDER BREAST BUTTOCK CALCANEUS CALF CERVIX CHEST
CHESTABDOMEN CHESTABDPELVIS CLAVICLE COCCYX COLON CORONARYARTERY DUODENUM ELBOW FEMUR FIBULA FINGER FOOT FOREARM
GALLBLADDER HAND HEART HIP HUMERUS ILEUM ILIUM JEJUNUM KIDNEY KNEE LEG LIVER LSPINE LSSPINE LUNG MEDIASTINUM
OVARY PANCREAS PATELLA PELVIS PROSTATE RADIUS RADIUSULNA RECTUM RIB SACRUM SCAPULA SHOULDER SPLEEN SSPINE STERNUM
STOMACH TESTIS THIGH THORAX THUMB TIBIA TIBIAFIBULA TLSPINE TOE TSPINE ULNA UTERUS WRIST
T-D3000 T-D4000 T-D6000 R-FAB55 R-FAB56 T-D9200 T-D2500 T-15710 T-15720 T-15750 T-D9700 T-D8700 T-15460 T-15430
T-D2220 T-04000 T-11503 T-11502 T-11AD0 T-92000 T-62000 T-71000 T-32000 T-28000 T-65000 T-12710 T-D9100 T-D9400
T-D8500 T-D8200 T-D8800 T-D9800 T-12310 T-12280 T-11210 T-11300 T-C3000 T-83000 T-74000
51185008 113345001 12921003 816094009 818981001 816092008 818982008 818983003 416550000 416775004 72696002
29836001 24136001 49076000 70258002 56459004 85562004 74670003 16953009 16982005 76752008 122496007 122495006
54735007 1217253001 41216001 10200004 64033007 80891009 39607008 15776009 71341001 68367000 30021000 14975008
40983000 7569003 29707007 51299004 79601000 56873002 113197003 78961009 35039007 89837001
"""
NOT_HEAD = frozenset(_NOT_HEAD_WORDS.split())
# Words of Image Type and of a frame's type that make the picture a projection, a rendering, many slices or a phase.
_ANOTHER_KIND_WORDS = """
LOCALIZER SCOUT TOPOGRAM SCREEN_SAVE SCREENSAVE PROJECTION PROJECTION_IMAGE MIP MAX_IP MIN_IP MINIP SSD VRT
VOLUME_RENDER SURFACE_RENDER 3D RENDERED MOSAIC MONTAGE P PHASE PHASE_MAP R REAL I IMAGINARY
"""
_ANOTHER_KIND = frozenset(_ANOTHER_KIND_WORDS.split())


def subject(dataset: Dataset) -> Subject:
    """What the object shows, as far as its header says so plainly.

    raises  Quarantined("pixel-layout", keyword): an element that cannot be read
    source  PS3.15 E.3.2; PS3.16 Annex L for the words and codes of body parts
    """
    sop_class = text_of(dataset, "SOPClassUID")
    if _NO_PICTURE.fullmatch(sop_class):
        return "no picture"
    if sop_class in NEVER_A_FACE:
        return "no face"
    if sop_class not in BY_BODY_PART:  # a photograph, a secondary capture, a surface, a segmentation of the skin
        return "unknown"
    if {"LOCALIZER", "SCOUT", "TOPOGRAM"} & set(image_types(dataset)):  # it reaches further than the body part
        return "unknown"
    said = set(_body_parts(dataset, 0))
    if said and said <= NOT_HEAD:
        return "no face"
    if said & HEAD and said <= HEAD and sop_class in CT | MR:
        return "head"
    return "unknown"


def another_kind(dataset: Dataset) -> bool:
    """The picture is no slice of measured magnitudes: a projection, a rendering, a mosaic, a phase."""
    return bool(_ANOTHER_KIND & set(image_types(dataset)))


def image_types(dataset: Dataset) -> Iterator[str]:
    """The words of Image Type, Frame Type, Complex Image Component and the volume technique, at every level."""
    for keyword in ("ImageType", "FrameType", "ComplexImageComponent", "VolumeBasedCalculationTechnique"):
        yield from (word.replace(" ", "_") for word in _words(dataset, keyword, 0))


def _body_parts(dataset: Dataset, depth: int) -> Iterator[str]:
    """Body Part Examined without its separators, and the codes of every Anatomic Region."""
    yield from (re.sub(r"[\s_-]", "", word) for word in _words(dataset, "BodyPartExamined", depth))
    for item in _items(dataset, "AnatomicRegionSequence"):
        yield text_of(item, "CodeValue") or "unsaid"
    for inner in _inner(dataset, depth):
        yield from _body_parts(inner, depth + 1)


def _words(dataset: Dataset, keyword: str, depth: int) -> Iterator[str]:
    value = value_of(dataset, keyword)
    for word in [value] if isinstance(value, str) else value or ():
        if str(word).strip():
            yield str(word).strip().upper()
    if keyword != "BodyPartExamined":
        for inner in _inner(dataset, depth):
            yield from _words(inner, keyword, depth + 1)


def _inner(dataset: Dataset, depth: int) -> Iterator[Dataset]:
    """The functional groups of a multi-frame object; other sequences speak of other objects."""
    if depth >= DEPTH_MAX:
        raise Quarantined("pixel-layout", "SharedFunctionalGroupsSequence")
    for keyword in (
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "FrameAnatomySequence",
        "CTImageFrameTypeSequence",
        "MRImageFrameTypeSequence",
    ):
        yield from _items(dataset, keyword)


def _items(dataset: Dataset, keyword: str) -> Iterator[Dataset]:
    value = value_of(dataset, keyword)
    if isinstance(value, Sequence):
        yield from value
