"""Read-only DICOMweb, asked by somebody else's client: search, headers, objects, frames, pictures, and who may."""

import json
import warnings
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_house import PASSWORD, TOKEN, House, add_viewer, housed
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from requests.exceptions import HTTPError
from speaking import Visitor

from appliance import review
from appliance.core.dicomweb import media, query
from appliance.errors import Refused
from appliance.review import members
from appliance.review.dicomweb import gate
from appliance.world import desk, viewers
from tests.core.test_pixels import made

NAMES = (
    *("CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm"),
    *("SC_rgb_jpeg_dcmtk.dcm", "rtdose.dcm", "liver.dcm", "SC_rgb_rle.dcm", "examples_palette.dcm", "reportsi.dcm"),
)
FRAMES = np.arange(3 * 8 * 12, dtype=np.uint16).reshape(3, 8, 12)


def file(name: str) -> bytes:
    path = get_testdata_file(name)
    assert isinstance(path, str), name
    return Path(path).read_bytes()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    files = [file(name) for name in NAMES]
    with housed(tmp_path_factory.mktemp("dicomweb"), [*files, made(FRAMES, NumberOfFrames=3, **uids(1))]) as found:
        yield found


def uids(n: int) -> dict[str, str]:
    return {"StudyInstanceUID": f"2.25.{n}", "SeriesInstanceUID": f"2.25.{n}1", "SOPInstanceUID": f"2.25.{n}2"}


def of(house: House, data: bytes) -> Any:
    return next(each for each in house.instances if house.data[each.sha256] == data)


def get(house: House, path: str, accept: str = "*/*", token: str = TOKEN, **headers: str) -> httpx.Response:
    sent = {"Accept": accept, **headers} | ({"Authorization": f"Bearer {token}"} if token else {})
    return httpx.get(f"{house.address.rstrip('/')}{path}", headers=sent, timeout=60)


def parts(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """(content type, body) of a multipart answer, cut by hand."""
    boundary = answer.headers["content-type"].split("boundary=")[1].encode()
    found = []
    for part in answer.content.split(b"--" + boundary)[1:-1]:
        head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        told = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        assert int(told["Content-Length"]) == len(body) - 2
        found.append((told["Content-Type"], body[:-2]))
    return found


# Search


def test_studies_are_found_by_what_the_ledger_knows(house: House) -> None:
    client = house.client()
    everything = client.search_for_studies(limit=100)
    assert len(everything) == len({each.study_instance_uid for each in house.instances})
    ct = pydicom.dcmread(BytesIO(file("CT_small.dcm")))
    filters: list[dict[str, Any]] = [
        {"StudyInstanceUID": ct.StudyInstanceUID},
        {"PatientID": ct.PatientID, "ModalitiesInStudy": "CT"},
        {"PatientName": "compressed*"} if str(ct.PatientName).lower().startswith("compressed") else
        {"PatientName": str(ct.PatientName).lower()[:-1] + "?"},
        {"StudyDate": f"{ct.StudyDate}-{ct.StudyDate}", "PatientName": "*"},
        {"00100020": ct.PatientID},
    ]  # fmt: skip
    for told in filters:
        found = client.search_for_studies(search_filters=told)
        uids = [each["0020000D"]["Value"][0] for each in found]
        assert ct.StudyInstanceUID in uids, told
        assert len(found) < len(everything), told
    (found,) = client.search_for_studies(search_filters={"StudyInstanceUID": ct.StudyInstanceUID})
    assert found["00100010"]["Value"] == [{"Alphabetic": str(ct.PatientName)}]
    assert found["00080061"]["Value"] == ["CT"]
    assert found["00201208"]["Value"] == [1]
    assert found["00081190"]["Value"][0].endswith(f"/dicomweb/studies/{ct.StudyInstanceUID}")


def test_paging_sees_each_study_once(house: House) -> None:
    seen: list[str] = []
    while page := house.client().search_for_studies(limit=2, offset=len(seen)):
        seen += [each["0020000D"]["Value"][0] for each in page]
    assert sorted(seen) == sorted({each.study_instance_uid for each in house.instances})


def test_series_and_instances_of_a_study(house: House) -> None:
    client = house.client()
    for instance in house.instances:
        series = client.search_for_series(instance.study_instance_uid)
        assert instance.series_instance_uid in [each["0020000E"]["Value"][0] for each in series]
        found = client.search_for_instances(instance.study_instance_uid, instance.series_instance_uid)
        assert instance.sop_instance_uid in [each["00080018"]["Value"][0] for each in found]
    first = house.instances[0]
    path = f"/dicomweb/studies/{first.study_instance_uid}/series"
    assert get(house, f"{path}?Modality=XA").status_code == 204
    assert get(house, f"{path}?Modality={first.modality}").status_code == 200


def test_nothing_is_204_and_fuzziness_a_warning(house: House) -> None:
    assert get(house, "/dicomweb/studies?PatientID=nobody").status_code == 204
    answer = get(house, "/dicomweb/studies?fuzzymatching=true&limit=999999")
    assert answer.status_code == 200
    assert "fuzzymatching" in answer.headers["warning"]


@pytest.mark.parametrize(
    "asked",
    [
        *("limit=0", "limit=-1", "limit=1e9", "limit=99999999999999999999", "offset=x", "fuzzymatching=perhaps"),
        *("StudyTime=1200", "Rows=5", "x=y", "StudyDate=today", "StudyDate=-", "StudyInstanceUID=../../etc"),
        *("PatientName=" + "*a" * 9, "PatientID=" + "a" * 65, "PatientID=a&PatientID=b", "includefield=no-such"),
        *("ModalitiesInStudy=ct%27", "offset=1000001", "00100010.00100020=x", "StudyInstanceUID=" + "1," * 21),
    ],
)
def test_a_search_that_cannot_be_answered_is_refused(house: House, asked: str) -> None:
    answer = get(house, f"/dicomweb/studies?{asked}")
    assert answer.status_code == 400, asked
    assert answer.json()["code"] == "dicomweb-query"


def test_sql_and_wildcards_are_text(house: House) -> None:
    for told in ("%25", "_____", "'; DROP TABLE studies; --", "[a-z]*", "\\"):
        assert get(house, f"/dicomweb/studies?PatientID={told}").status_code == 204
        assert get(house, f"/dicomweb/studies?PatientName={told}").status_code == 204
    assert get(house, "/dicomweb/studies").status_code == 200


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([*query.KEYS["study"], "limit", "offset", "includefield"]) | st.text(), st.text())
    )
)
def test_any_query_is_answered_or_refused(told: list[tuple[str, str]]) -> None:
    try:
        found = query.search_of("study", told)
    except Refused:  # and nothing else
        return
    assert 1 <= found.limit <= query.LIMIT_MAX
    assert set(found.keys) <= set(query.KEYS["study"])


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from('a/*;=", q.0159multipart-transferxy') | st.characters(), max_size=300))
def test_any_accept_field_is_understood_or_refused(accept: str) -> None:
    for act in (media.takes_json, media.picture, lambda told: media.choices(told, "1.2.840.10008.1.2.5")):
        with suppress(Refused):  # and nothing else
            act(media.ranges(accept))


# Headers and objects


def plain(header: dict[str, Any]) -> dict[str, Any]:
    """A header without pixels, and without what says how text is encoded: the file's is not the JSON's."""
    return {tag: each for tag, each in header.items() if not tag.startswith("7FE0") and tag != "00080005"}


def without_bulk(header: Any) -> Any:
    if isinstance(header, dict):
        return {key: without_bulk(each) for key, each in header.items() if key != "BulkDataURI"}
    return [without_bulk(each) for each in header] if isinstance(header, list) else header


@pytest.mark.parametrize("name", NAMES)
def test_metadata_is_what_pydicom_says(house: House, name: str) -> None:
    data = file(name)
    instance, dataset = of(house, data), pydicom.dcmread(BytesIO(data))
    found = house.client().retrieve_instance_metadata(
        instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid
    )
    for keyword in ("PixelData", "FloatPixelData"):
        if keyword in dataset:
            del dataset[keyword]
    with warnings.catch_warnings(action="ignore"):  # of values that the standard would have otherwise
        wanted = json.loads(json.dumps(dataset.to_json_dict(1024, lambda element: "elsewhere")))
    assert without_bulk(plain(found)) == without_bulk(plain(wanted))


def test_a_series_has_the_metadata_of_all_its_objects(house: House) -> None:
    for instance in house.instances:
        found = house.client().retrieve_series_metadata(instance.study_instance_uid, instance.series_instance_uid)
        assert instance.sop_instance_uid in [each["00080018"]["Value"][0] for each in found]


def test_objects_come_as_they_were_kept(house: House) -> None:
    for sha256, data in house.data.items():
        instance = next(each for each in house.instances if each.sha256 == sha256)
        answer = get(house, house.path(instance), 'multipart/related; type="application/dicom"; transfer-syntax=*')
        ((kind, body),) = parts(answer)
        assert body == data
        assert kind == f"application/dicom; transfer-syntax={instance.transfer_syntax_uid}"
        assert int(answer.headers["content-length"]) == len(answer.content)
    first = house.instances[0]
    found = house.client().retrieve_instance(
        first.study_instance_uid, first.series_instance_uid, first.sop_instance_uid
    )
    assert found.SOPInstanceUID == first.sop_instance_uid
    study = [each for each in house.instances if each.study_instance_uid == first.study_instance_uid]
    assert len(house.client().retrieve_study(first.study_instance_uid)) == len(study)


def test_a_changed_file_is_not_passed_on(tmp_path: Path) -> None:
    data = file("CT_small.dcm")
    with housed(tmp_path, [data]) as house:
        (instance,) = house.instances
        (path,) = house.places.instances.rglob("*.dcm")
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        for where in ("", "/metadata", "/rendered"):
            answer = get(house, house.path(instance) + where)
            assert answer.status_code == 404
            assert answer.json()["code"] == "instance-damaged"


def test_bulk_data_lie_where_the_header_says(house: House) -> None:
    instance = of(house, file("examples_palette.dcm"))
    dataset = pydicom.dcmread(BytesIO(file("examples_palette.dcm")))
    (header,) = get(house, f"{house.path(instance)}/metadata").json()
    table = header["00281201"]
    if "BulkDataURI" in table:
        answer = get(house, table["BulkDataURI"].removeprefix(house.address.rstrip("/")))
        assert parts(answer)[0][1] == dataset.RedPaletteColorLookupTableData
    pixels = get(house, header["7FE00010"]["BulkDataURI"].removeprefix(house.address.rstrip("/")))
    assert dataset.PixelData.startswith(b"".join(body for _, body in parts(pixels)))
    assert get(house, f"{house.path(instance)}/bulkdata/00100010").status_code == 404
    assert get(house, f"{house.path(instance)}/bulkdata/..%2f..%2fetc").status_code == 404


# Frames


def reference(dataset: pydicom.FileDataset) -> np.ndarray[Any, Any]:
    """pydicom's own pixels, [frame, ...], in the colours of the file."""
    found = pydicom.pixels.pixel_array(dataset, raw=True)
    many = int(dataset.get("NumberOfFrames", 1) or 1) > 1
    return found if many else found[None]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("reportsi.dcm", "SC_rgb_jpeg_dcmtk.dcm")])
def test_unpacked_frames_are_pydicoms_pixels(house: House, name: str) -> None:
    data = file(name)
    instance, dataset = of(house, data), pydicom.dcmread(BytesIO(data))
    wanted = reference(dataset)
    numbers = list(range(1, len(wanted) + 1))
    found = house.client().retrieve_instance_frames(
        instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid, numbers
    )
    assert len(found) == len(wanted)
    for frame, pixels in zip(found, wanted, strict=True):
        if dataset.BitsAllocated == 1:
            bits = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")[: pixels.size]
            assert (bits.reshape(pixels.shape) == pixels).all()
            continue
        kind = np.dtype(f"<{'i' if dataset.PixelRepresentation else 'u'}{dataset.BitsAllocated // 8}")
        flat = np.frombuffer(frame, kind)
        if dataset.SamplesPerPixel == 3 and dataset.PlanarConfiguration == 1:
            flat = np.moveaxis(flat.reshape(3, dataset.Rows, dataset.Columns), 0, -1)
        assert (flat.reshape(pixels.shape) == pixels).all()


def test_big_endian_is_turned_round_and_the_last_of_one_uid_is_told(tmp_path: Path) -> None:
    little, big = file("MR_small.dcm"), file("MR_small_bigendian.dcm")
    with housed(tmp_path, [little, big]) as house:
        instance = of(house, big)
        ((_, frame),) = parts(get(house, f"{house.path(instance)}/frames/1"))
        assert frame == pydicom.dcmread(BytesIO(little)).PixelData
        ((_, body),) = parts(get(house, house.path(instance)))
        assert body == big
        assert len(get(house, f"/dicomweb/studies/{instance.study_instance_uid}/instances").json()) == 1


def test_several_frames_in_the_order_that_was_asked(house: House) -> None:
    instance = next(each for each in house.instances if each.number_of_frames == 3 and each.rows == 8)
    answer = get(house, f"{house.path(instance)}/frames/3,1")
    assert [body for _, body in parts(answer)] == [FRAMES[2].tobytes(), FRAMES[0].tobytes()]
    for wrong, status in (("4", 404), ("0", 404), ("1,,2", 400), ("a", 400), ("1," * 1001 + "1", 414)):
        assert get(house, f"{house.path(instance)}/frames/{wrong}").status_code in (status, 400), wrong


def test_stored_frames_are_the_files_own_codestreams(house: House) -> None:
    for name, kind in (("JPEG2000.dcm", "image/jp2"), ("SC_rgb_jpeg_dcmtk.dcm", "image/jpeg")):
        data = file(name)
        instance = of(house, data)
        for accept in (
            f'multipart/related; type="{kind}"',
            'multipart/related; type="application/octet-stream"; transfer-syntax=*',
        ):
            ((told, body),) = parts(get(house, f"{house.path(instance)}/frames/1", accept))
            assert f"transfer-syntax={instance.transfer_syntax_uid}" in told
            assert body in data
            assert body[:2] in (b"\xff\x4f", b"\xff\xd8")


def test_colours_that_the_header_would_misname_are_not_unpacked(house: House) -> None:
    instance = of(house, file("SC_rgb_jpeg_dcmtk.dcm"))
    path = f"{house.path(instance)}/frames/1"
    answer = get(house, path, 'multipart/related; type="application/octet-stream"')
    assert (answer.status_code, answer.json()["code"]) == (406, "object-colour")
    assert parts(get(house, path, "*/*"))[0][0].startswith("image/jpeg")


# Pictures


def test_a_picture_bears_its_mark(house: House) -> None:
    instance = of(house, file("CT_small.dcm"))
    for accept, magic in (("image/png", b"\x89PNG"), ("image/jpeg", b"\xff\xd8"), ("*/*", b"\xff\xd8")):
        answer = get(house, f"{house.path(instance)}/rendered", accept)
        assert answer.content.startswith(magic)
        picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        foot = picture[-picture.shape[1] // 24 :]
        assert foot.max() > 150, "the words are white"
        assert (foot < 40).mean() > 0.4, "on black"
    narrow = get(house, f"{house.path(instance)}/rendered?window=40,400,linear&viewport=64,64&quality=50", "image/jpeg")
    assert narrow.status_code == 200
    for wrong in ("window=1", "window=1,0,linear", "viewport=0,0", "viewport=9999,9999", "quality=0", "overlay=x"):
        assert get(house, f"{house.path(instance)}/rendered?{wrong}").status_code == 400, wrong
    assert get(house, f"{house.path(instance)}/rendered", "video/mp4").status_code == 406
    assert get(house, f"{house.path(instance)}/frames/1/rendered").status_code == 200


# Hostile addresses


def test_addresses_lead_nowhere_else(house: House) -> None:
    first = house.instances[0]
    other = next(each for each in house.instances if each.study_instance_uid != first.study_instance_uid)
    for path in (
        "/dicomweb/studies/..%2f..%2fphi%2fstudies.db",
        "/dicomweb/studies/%00/metadata",
        "/dicomweb/studies/1.2.3' OR 1=1/series",
        f"/dicomweb/studies/{first.study_instance_uid}/series/{other.series_instance_uid}/metadata",
        f"/dicomweb/studies/{'1' * 200}/metadata",
        "/dicomweb/",
        "/dicomweb",
    ):
        assert get(house, path).status_code == 404, path
    assert get(house, f"/dicomweb/studies/{'1' * 2000}").status_code == 414


def test_nothing_can_be_stored_or_deleted(house: House) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS"):
        path = f"{house.root}/studies/{house.instances[0].study_instance_uid}"
        answer = httpx.request(method, path, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20)
        assert answer.status_code == 405, method
        assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "accept",
    ["text/html", "application/dicom+xml", 'multipart/related; type="application/dicom+xml"', "a" * 3000, ";;;"],
)
def test_what_is_not_spoken_here_is_406(house: House, accept: str) -> None:
    path = house.path(house.instances[0])
    for where in ("/metadata", "", "/frames/1"):
        assert get(house, path + where, accept).status_code == 406, where
    assert get(house, "/dicomweb/studies", accept).status_code == 406


def test_a_hostile_object_harms_no_other(tmp_path: Path) -> None:
    """A file that was admitted and whose pixels are a lie: its answers are codes, the next object's are right."""
    lie = made(FRAMES[:1], Rows=60_000, Columns=60_000, **uids(2))
    good = file("CT_small.dcm")
    with housed(tmp_path, [lie, good]) as house:
        bad, fine = of(house, lie), of(house, good)
        for where in ("/frames/1", "/rendered"):
            answer = get(house, house.path(bad) + where)
            assert answer.status_code == 404
            assert answer.json()["code"].startswith("pixel-")
            assert get(house, house.path(fine) + where).status_code == 200
        assert get(house, f"{house.path(bad)}/metadata").status_code == 200


# Who may


def test_off_by_default(tmp_path: Path) -> None:
    with housed(tmp_path, [file("CT_small.dcm")], dicomweb=False) as house:
        for path in ("/dicomweb/studies", house.path(house.instances[0])):
            assert get(house, path).status_code == 404
            assert get(house, path, token="").status_code == 404


def test_only_who_may_look_comes_in(house: House) -> None:
    path = "/dicomweb/studies"
    assert get(house, path, token="").status_code == 401
    assert get(house, path, token="x" * 43).headers["www-authenticate"] == "Bearer"
    assert get(house, path, token="", Authorization="Basic YTpi").status_code == 401
    for user, status in (("dr.keller", 200), ("vic.view", 200), ("ada.admin", 403)):
        visitor = Visitor(house.address)
        visitor.sign_in(user, PASSWORD)
        assert visitor.ask("GET", path).status == status, user
    assert get(house, "/", token=TOKEN).status_code == 303, "a token opens no page"
    assert ("", "viewer-refused", "") in house.acts()


def test_a_token_ends_with_itself_and_with_its_user(tmp_path: Path) -> None:
    with housed(tmp_path, [file("CT_small.dcm")]) as house:
        add_viewer(house.places, "other", "o" * 43, user="dr.keller")
        assert get(house, "/dicomweb/studies", token="o" * 43).status_code == 200
        with review.opened(house.places) as ledgers, ledgers.pen().begin() as c:
            number = viewers.named(c, "other")
            assert number is not None
            assert viewers.revoke(c, number.id, 2.0) is not None
            members.disable(c, "vic.view", at=2.0, by="ada.admin")
        assert get(house, "/dicomweb/studies", token="o" * 43).status_code == 401
        assert get(house, "/dicomweb/studies").status_code == 401


def test_what_is_opened_counts_as_opened(tmp_path: Path) -> None:
    with housed(tmp_path, [file("CT_small.dcm"), file("MR_small.dcm")]) as house:
        first, second = house.instances
        get(house, "/dicomweb/studies")
        for where in ("/metadata", "/frames/1", "/rendered", ""):
            assert get(house, house.path(first) + where).status_code == 200
        acts = house.acts()
        assert acts.count(("vic.view", "dicomweb-opened", "study 1")) == 1
        assert ("vic.view", "viewer-used", "viewer 1") in acts
        assert ("vic.view", "dicomweb-searched", "studies") in acts
        assert not [each for each in acts if each[2] == "study 2"]
        with review.opened(house.places) as ledgers, ledgers.eyes().begin() as c:
            assert desk.opened_by(c, "vic.view", [1, 2]) == {1}
            assert desk.first_broken_audit_row(c) is None
        assert second.study_instance_uid != first.study_instance_uid


def test_only_listed_origins_may_read(tmp_path: Path) -> None:
    ours = "https://ohif.example"
    with housed(tmp_path, [file("CT_small.dcm")], dicomweb_origins=[ours]) as house:
        asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        allowed = httpx.options(f"{house.root}/studies", headers={"Origin": ours, **asked})
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == ours
        assert "access-control-allow-credentials" not in allowed.headers
        assert httpx.options(f"{house.root}/studies", headers={"Origin": "https://evil.example"}).status_code == 405
        assert get(house, "/dicomweb/studies", Origin=ours).headers["access-control-allow-origin"] == ours
        answer = get(house, "/dicomweb/studies", Origin="https://evil.example")
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-origin" not in get(house, "/sign-in", Origin=ours).headers


def test_wrong_tokens_are_made_to_wait_and_right_ones_are_not(tmp_path: Path) -> None:
    with housed(tmp_path, [file("CT_small.dcm")]) as house:
        seen = [get(house, "/dicomweb/studies", token=f"{n}" * 43).status_code for n in range(8)]
        assert seen[:5] == [401] * 5
        assert 429 in seen
        assert get(house, "/dicomweb/studies").status_code == 200


def test_the_client_is_told_when_there_is_nothing(house: House) -> None:
    with pytest.raises(HTTPError, match="404"):
        house.client().retrieve_study_metadata("1.2.3.4.5")


def test_behind_the_walls_as_installed_the_objects_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with housed(tmp_path, [file("CT_small.dcm")]) as house:
        monkeypatch.setattr("appliance.review.dicomweb.retrieve.may_read", lambda folder: False)
        answer = get(house, house.path(house.instances[0]))
        assert (answer.status_code, answer.json()["code"]) == (503, "objects-walled")
        assert get(house, "/dicomweb/studies").status_code == 200


def test_a_client_has_a_pace() -> None:
    now = [0.0]
    pace = gate.Pace(lambda: now[0])
    assert not any(pace.too_fast("a") for _ in range(gate.REQUESTS_MAX))
    assert pace.too_fast("a")
    assert not pace.too_fast("b")
    now[0] = gate.PERIOD_S
    assert not pace.too_fast("a")
