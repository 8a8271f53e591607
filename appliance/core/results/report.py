"""The structured report of one study: what the appliance and, once signed, the reader said of it (PS3.16 TID 1500).

A comprehensive SR in the original study, complete and always UNVERIFIED: the page on which it was signed is no
diagnostic display, so it verifies nothing in the sense of PS3.3 C.17.2. The same statement gives the same bytes under
the same UIDs; another statement is another object and names the one it replaces. Words of a language model never go in.
"""

import warnings
from collections.abc import Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes

from appliance.core.results import words
from appliance.core.results.statement import (
    INHERITED,
    Built,
    Finding,
    Statement,
    dress,
    result_uid,
    statement_digest,
    written,
)
from appliance.core.results.words import Term
from appliance.core.study import Instance


def report(
    said: Statement,
    source: Dataset,
    instances: Sequence[Instance],
    shown: Sequence[tuple[Instance, int]],
    *,
    site_key: bytes,
    device: str,
    version: str,
    before: str | None,
) -> Built:
    """The report as a DICOM object.

    source     the header of one image of the study: whose it is
    instances  all images of the study, which is the evidence (PS3.3 C.17.2.1)
    shown      the frames that were looked at, from 0
    before     SOP Instance UID of the report that this one replaces; None for the first
    """
    digest = statement_digest(said)
    own = result_uid(site_key, "sr", digest)
    groups = [
        _group(said, finding, number, shown, site_key) for number, finding in enumerate(said.findings or (None,), 1)
    ]
    content = MeasurementReport(
        observation_context=_observers(said, site_key, device, version),
        procedure_reported=_concept(words.PROCEDURE),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    evidence = [_evidence(each) for each in instances]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning may quote a value of a header
        made = ComprehensiveSR(
            evidence=evidence,
            content=content[0],
            series_instance_uid=result_uid(site_key, "sr-series", said.study_instance_uid),
            series_number=words.SERIES_SR,
            sop_instance_uid=own,
            instance_number=said.revision,
            manufacturer=words.MANUFACTURER,
            is_complete=True,
            is_final=bool(said.decision),
            is_verified=False,
            previous_versions=None if before is None else [_previous(source, before, site_key)],
        )
        dress(made, source, said.said_at, device, version, "Triage result")
        return Built(str(made.SOPClassUID), own, str(made.file_meta.TransferSyntaxUID), written(made))


def _concept(term: Term) -> CodedConcept:
    return CodedConcept(term.value, term.scheme, term.meaning)


def _observers(said: Statement, site_key: bytes, device: str, version: str) -> ObservationContext:
    machine = ObserverContext(
        codes.DCM.Device,
        DeviceObserverIdentifyingAttributes(
            uid=result_uid(site_key, "device", device),
            name=device,
            manufacturer_name=words.MANUFACTURER,
            model_name="edge",
            serial_number=version,
        ),
    )
    if not said.reader:
        return ObservationContext(observer_device_context=machine)
    person = ObserverContext(codes.DCM.Person, PersonObserverIdentifyingAttributes(name=f"{said.reader}^"))
    return ObservationContext(observer_person_context=person, observer_device_context=machine)


def _group(
    said: Statement, finding: Finding | None, number: int, shown: Sequence[tuple[Instance, int]], site_key: bytes
) -> MeasurementsAndQualitativeEvaluations:
    """One measurement group (TID 1501). Without any finding the lane stands alone, and says who sorted."""
    evaluations = []
    if finding is None or not finding.opinion:  # lane and decision are said once, with what sorted the study here
        evaluations.append(QualitativeEvaluation(_concept(words.LANE), _concept(words.LANES[said.lane])))
        if said.decision:
            evaluations.append(QualitativeEvaluation(_concept(words.READER), _concept(words.DECISIONS[said.decision])))
    name, version, digest = (
        ("routing", "1", "") if finding is None else (finding.model, finding.version, finding.digest)
    )
    algorithm = AlgorithmIdentification(name, version, parameters=[f"sha256 {digest}"] if digest else None)
    measurements = None
    if finding is not None and finding.opinion:
        assessment = words.ASSESSMENTS[finding.opinion]
        evaluations.append(QualitativeEvaluation(_concept(words.OPINION), _concept(assessment)))
    elif finding is not None and finding.score is not None:
        score = round(finding.score, 4)
        unit = _concept(words.NO_UNITS)
        measurements = [Measurement(_concept(words.SCORE), score, unit, algorithm_id=algorithm)]
    tracked = f"{name} {number}"
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=result_uid(site_key, "finding", said.study_instance_uid, tracked), identifier=tracked
        ),
        finding_type=None if finding is None or finding.label is None else _concept(finding.label),
        algorithm_id=algorithm,
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[
            SourceImageForMeasurementGroup(
                each.sop_class_uid, each.sop_instance_uid, [frame + 1] if each.number_of_frames > 1 else None
            )
            for each, frame in shown
        ]
        or None,
    )


def _evidence(instance: Instance) -> Dataset:
    """An image as the evidence names it; the rest of it need not be read, and whose it is comes with `dress`."""
    made = Dataset()
    for keyword in INHERITED[1:-1]:
        setattr(made, keyword, "")
    made.SOPClassUID = instance.sop_class_uid
    made.SOPInstanceUID = instance.sop_instance_uid
    made.SeriesInstanceUID = instance.series_instance_uid
    made.StudyInstanceUID = instance.study_instance_uid
    return made


def _previous(source: Dataset, sop_instance_uid: str, site_key: bytes) -> Dataset:
    """The report that is replaced, as its successor names it (PS3.3 C.17.2, Predecessor Documents)."""
    made = Dataset()
    made.StudyInstanceUID = source.StudyInstanceUID
    made.SeriesInstanceUID = result_uid(site_key, "sr-series", str(source.StudyInstanceUID))
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    made.SOPInstanceUID = sop_instance_uid
    return made
