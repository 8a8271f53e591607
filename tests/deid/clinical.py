"""What stands in descriptions of real studies: all of these words are a reader's, none is anybody's name."""

STUDIES = (
    *("MR Brain with and without contrast", "CT Chest Abdomen Pelvis", "CTA Pulmonary Arteries", "US Abdomen complete"),
    *(
        "XR Hand 3 views left",
        "Mammogram screening bilateral",
        "NM Bone scan whole body",
        "Chest 2 views PA and lateral",
    ),
    *("PET CT skull base to mid thigh", "MRI Lumbar Spine without contrast", "CT Head without contrast", "US Thyroid"),
    *("MR Knee right", "Cardiac MRI with stress perfusion", "CT Urography", "Barium swallow", "Echocardiogram"),
    *("Portable chest radiograph supine", "MR Prostate multiparametric", "CT Colonography", "Carotid duplex"),
)
SERIES = (
    *(
        "AX T1 POST",
        "SAG T2 FSE",
        "COR STIR",
        "t1_mprage_sag_p2_iso",
        "ep2d_diff_3scan_trace_p2_ADC",
        "Thorax 1.0 B70f",
    ),
    *("HEAD 5.0 H30s", "DWI b1000", "localizer", "scout", "MIP coronal", "MPR sagittal", "axial FLAIR", "TOF 3D MRA"),
    *(
        "Abdomen portal venous",
        "arterial phase",
        "delayed phase",
        "lung window",
        "bone kernel",
        "topogram",
        "AP supine",
    ),
    *("cine four chamber", "short axis stack", "fat saturated proton density", "dynamic contrast enhanced", "survey"),
)
HISTORIES = (
    *("cough and fever for three weeks, rule out pneumonia", "history of breast cancer, follow up for metastasis"),
    *("fracture of the distal radius, postoperative control", "acute chest pain, suspected pulmonary embolism"),
    *("headache and vomiting, exclude intracranial bleeding", "chronic kidney disease, hydronephrosis"),
    *("pleural effusion on the right, known heart failure", "abdominal pain in the right lower quadrant"),
    *("liver lesion in segment seven, characterisation requested", "stroke, left sided weakness since morning"),
    *("nodule in the left upper lobe, stable since last year", "fall from height, spine tenderness"),
)
BY_KEYWORD = {
    "StudyDescription": STUDIES,
    "SeriesDescription": SERIES,
    "ProtocolName": SERIES,
    "RequestedProcedureDescription": STUDIES,
    "PerformedProcedureStepDescription": STUDIES,
    "ReasonForStudy": HISTORIES,
    "AdditionalPatientHistory": HISTORIES,
    "ImageComments": HISTORIES,
}
BESIDE = ("{text}, seen by {name}", "{name}: {text}", "{text} ({name})", "{text} {name}")
EXACT = {
    "DerivationDescription": ("lossy compression asked by {}", ("lossy", "compression")),
    "ContrastBolusAgent": ("Iopamidol 300 {}", ("Iopamidol",)),
}


def words_of(text: str) -> list[str]:
    """The words of three letters and more, underscores as blanks."""
    return [word for word in text.replace("_", " ").replace(",", " ").split() if len(word) >= 3 and word.isalpha()]
