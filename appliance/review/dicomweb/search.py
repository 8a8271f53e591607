"""QIDO-RS (PS3.18 10.6): studies, the series of a study, its instances, out of the ledger; no file is opened.

The studies are those of the worklist, whatever their lane, and nothing of what was decided is told. A search is noted
in the trail once a viewer and quarter of an hour, without what was searched for.
"""

import json
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, or_, select
from starlette.requests import Request
from starlette.responses import Response

from appliance.core.dicomweb import answers, media, query
from appliance.core.dicomweb.query import Level, Search
from appliance.core.study import Instance
from appliance.errors import Refused
from appliance.review.dicomweb.entrance import SEARCHED, for_viewers, note
from appliance.review.dicomweb.gate import PREFIX
from appliance.review.entrance import Reader
from appliance.review.ledgers import page_of
from appliance.world import ledger
from appliance.world.ledger import instances, studies

INSTANCES_MAX = 10_000  # of a study
FUZZY = '299 edge-appliance "The fuzzymatching parameter is not supported. Only literal matching has been performed."'
MORE = '299 edge-appliance "There are more results than are told at once. Ask for them by offset."'
COLUMNS = {
    "StudyInstanceUID": studies.c.study_instance_uid,
    "PatientID": studies.c.patient_id,
    "PatientName": studies.c.patient_name,
    "PatientBirthDate": studies.c.patient_birth_date,
    "StudyDate": studies.c.study_date,
    "StudyDescription": studies.c.study_description,
    "AccessionNumber": studies.c.accession_number,
}
FACTS = {
    "SeriesInstanceUID": "series_instance_uid",
    "Modality": "modality",
    "SOPInstanceUID": "sop_instance_uid",
    "SOPClassUID": "sop_class_uid",
    "InstanceNumber": "instance_number",
}


def study_search(request: Request, reader: Reader) -> Response:
    asked, root = _asked(request, "study"), root_of(request)
    with page_of(request).ledgers.studies() as c:
        chosen = (
            select(studies).where(*_conditions(asked)).order_by(studies.c.study_date.desc(), studies.c.number.desc())
        )
        found = list(c.execute(chosen.limit(asked.limit + 1).offset(asked.offset)))
        counted = _counted(c, found[: asked.limit])
    note(request, reader, SEARCHED, "studies")
    told = [answers.study_json(row, counted[row.number], root) for row in found[: asked.limit]]
    return _answer(told, asked, more=len(found) > asked.limit)


def series_search(request: Request, reader: Reader) -> Response:
    asked, root = _asked(request, "series"), root_of(request)
    found = [each for each in answers.by_series(_members(request)) if _fits(each[0], asked)]
    note(request, reader, SEARCHED, "studies")
    return _page([answers.series_json(each, root) for each in found], asked)


def instance_search(request: Request, reader: Reader) -> Response:
    asked, root = _asked(request, "instance"), root_of(request)
    found = [each for each in _members(request) if _fits(each, asked)]
    note(request, reader, SEARCHED, "studies")
    return _page([answers.instance_json(each, root) for each in found], asked)


ROUTES = {
    f"{PREFIX}/studies": for_viewers(study_search),
    f"{PREFIX}/studies/{{study}}/series": for_viewers(series_search),
    f"{PREFIX}/studies/{{study}}/instances": for_viewers(instance_search),
    f"{PREFIX}/studies/{{study}}/series/{{series}}/instances": for_viewers(instance_search),
}


def accepted(request: Request) -> list[media.Range]:
    """What the client takes, by its query or its header (PS3.18 8.3.3.1)."""
    return media.ranges(request.query_params.get("accept") or request.headers.get("accept", ""))


def root_of(request: Request) -> str:
    """The address of the service as the client calls it; the wall has looked at the host."""
    scheme = "http" if page_of(request).config.review.tls == "off" else "https"
    return f"{scheme}://{request.headers['host']}{PREFIX}"


def study_named(c: Connection, request: Request) -> Row[Any]:
    """The study of an address. Raises Refused("dicomweb-unknown")."""
    found = ledger.study_by_uid(c, request.path_params["study"])
    if found is None:
        raise Refused("dicomweb-unknown")
    return found


def members_of(c: Connection, request: Request, number: int) -> list[Instance]:
    """The objects of a study, or of the one series or object that an address names."""
    asked = request.path_params
    found = answers.newest(ledger.instances_of(c, number))[:INSTANCES_MAX]
    kept = [each for each in found if asked.get("series", each.series_instance_uid) == each.series_instance_uid]
    kept = [each for each in kept if asked.get("object", each.sop_instance_uid) == each.sop_instance_uid]
    if not kept:
        raise Refused("dicomweb-unknown")
    return kept


def _members(request: Request) -> list[Instance]:
    with page_of(request).ledgers.studies() as c:
        return members_of(c, request, study_named(c, request).number)


def _asked(request: Request, level: Level) -> Search:
    media.takes_json(accepted(request))
    return query.search_of(level, request.query_params.multi_items())


def _conditions(asked: Search) -> list[ColumnElement[bool]]:
    """Every key must match: texts by case, names without, wildcards as in PS3.4 C.2.2.2.4."""
    found: list[ColumnElement[bool]] = [studies.c.state != "forgotten"]
    for keyword, values in asked.keys.items():
        kind = query.KEYS["study"][keyword]
        if kind == "code":
            mine = instances.c.study_number == studies.c.number
            modality = func.json_extract(instances.c.facts, "$.modality")
            found.append(exists().where(mine, modality.in_(values)))
            continue
        column = COLUMNS[keyword]
        if kind == "uid":
            found.append(column.in_(values))
        elif kind == "date":
            first, last = query.dates(values[0])
            found.append(and_(column >= first, column <= last, func.length(column) == 8))
        elif kind == "name":
            told = query.like(values[0])
            found.append(or_(column.like(told, escape="\\"), column.like(f"{told}=%", escape="\\")))
        else:
            found.append(column.op("GLOB")(query.glob(values[0])))
    return found


def _counted(c: Connection, found: list[Row[Any]]) -> dict[int, answers.Counted]:
    """What lies in each of these studies."""
    numbers = [row.number for row in found]
    series = func.json_extract(instances.c.facts, "$.series_instance_uid")
    modality = func.json_extract(instances.c.facts, "$.modality")
    chosen = select(instances.c.study_number, modality, series, func.count(instances.c.sop_instance_uid.distinct()))
    grouped = chosen.where(instances.c.study_number.in_(numbers)).group_by(instances.c.study_number, modality, series)
    parts: dict[int, list[tuple[str, str, int]]] = {number: [] for number in numbers}
    for number, *part in c.execute(grouped):
        parts[number].append((part[0] or "", part[1], part[2]))
    return {
        number: answers.Counted(
            tuple(sorted({each[0] for each in told if each[0]})),
            len({each[1] for each in told}),
            sum(each[2] for each in told),
        )
        for number, told in parts.items()
    }


def _fits(instance: Instance, asked: Search) -> bool:
    return all(str(getattr(instance, FACTS[keyword])) in values for keyword, values in asked.keys.items())


def _page(told: list[answers.Json], asked: Search) -> Response:
    end = asked.offset + asked.limit
    return _answer(told[asked.offset : end], asked, more=len(told) > end)


def _answer(told: list[answers.Json], asked: Search, *, more: bool) -> Response:
    """204 for nothing (PS3.18 Table 10.6.3-1), with a warning for what was asked and not done."""
    warnings = [FUZZY] * asked.fuzzy + [MORE] * (more and asked.capped)
    headers = {"Warning": ", ".join(warnings)} if warnings else {}
    if not told:
        return Response(status_code=204, headers=headers)
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(body, media_type=media.JSON, headers=headers)
