"""Tables of labels and scores are read whole or not at all, and a fault names lines, never a value."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.labels import Labels, read_labels, read_scores
from appliance.errors import CATALOGUE, Refused

GOOD = b"study_instance_uid,patient_id,finding\n1.2.3,A,0\n1.2.4,B,1\n\n"


def test_a_table_of_labels():
    labels = read_labels(GOOD)
    assert labels.by == "study_instance_uid"
    assert [(row.line, row.study, row.patient, row.finding) for row in labels.rows] == [
        (2, "1.2.3", "A", "0"),
        (3, "1.2.4", "B", "1"),
    ]
    by_accession = read_labels("\ufeffFinding, Accession_Number ,note\n1,ACC-1,x\n".encode())
    assert by_accession.by == "accession_number"
    assert by_accession.rows[0].study == "ACC-1"
    assert isinstance(read_labels(b"film,finding\nf1,1"), Labels)


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        (b"", "labels-unreadable", "file"),
        (b"study_instance_uid,finding\n", "labels-unreadable", "file"),
        (b"study_instance_uid,label\n1.2.3,1\n", "labels-unreadable", "line 1"),
        (b"uid,finding\n1.2.3,1\n", "labels-unreadable", "line 1"),
        (b"film,finding,finding\nSECRET,1,1\n", "labels-unreadable", "line 1"),
        (b"film,finding\nSECRET\n", "labels-unreadable", "line 2"),
        (b"film,finding\n,1\n", "labels-unreadable", "line 2"),
        (b"film,finding\nSECRET,yes\n", "labels-unreadable", "line 2"),
        (b"film,finding\nSECRET,1.0\n", "labels-unreadable", "line 2"),
        (b"film,finding\nSECRET,nan\n", "labels-unreadable", "line 2"),
        (b"film,finding\n" + b"S" * 300 + b",1\n", "labels-unreadable", "line 2"),
        (b"film,finding\n\xff\xfe,1\n", "labels-unreadable", "file"),
        (b'film,finding\n"SECRET,1\n', "labels-unreadable", "file"),
        (b"film,finding\na,1\nSECRET,\n", "labels-unlabelled", "line 3"),
        (b"film,finding\nSECRET,1\nb,0\nSECRET,1\n", "labels-doubled", "lines 2 and 4"),
        (b"film,finding\nSECRET,1\nb,0\nSECRET,0\n", "labels-contradictory", "lines 2 and 4"),
        (b"film,finding,patient_id\nSECRET,1,A\nSECRET,1,B\n", "labels-contradictory", "lines 2 and 3"),
    ],
)
def test_a_wrong_table_is_refused_whole(data: bytes, code: str, place: str):
    with pytest.raises(Refused) as told:
        read_labels(data)
    assert (told.value.code, told.value.place) == (code, place)
    assert "SECRET" not in str(told.value)
    assert CATALOGUE[code].hint


def test_a_table_of_scores_keeps_what_is_no_number_as_undecided():
    data = (
        b"set,film,patient,label,logit,failed,distance,kind\n"
        b"site,f1,p1,normal,-2.5,,10.5,chest\n"
        b"site,f2,p2,normal,,gate-image-quality gate-adult,nan,chest\n"
        b"site,f3,p3,normal,inf,,,chest\n"
        b"turned,f1,,normal,3,,,chest\n"
    )
    scored = read_scores(data, 1)
    assert [film.film for film in scored] == ["f1", "f2", "f3"]
    assert scored[0].logits == (-2.5,)
    assert scored[0].measures == {"distance": 10.5}
    assert math.isnan(scored[1].logits[0])
    assert [film.passed for film in scored] == [(True,), (False,), (True,)]


def test_a_table_of_two_exits():
    data = b"film,patient,logit,failed,logit_2,failed_2\nf1,p1,-2.5,,-4,gate-image-quality\n"
    assert read_scores(data, 2)[0].logits == (-2.5, -4.0)
    assert read_scores(data, 2)[0].passed == (True, False)


@pytest.mark.parametrize(
    ("data", "exits", "code"),
    [
        (b"film,patient,logit,failed\nf1,p1,1,\n", 2, "scores-unreadable"),
        (b"film,patient,logit\nf1,p1,1\n", 1, "scores-unreadable"),
        (b"film,patient,logit,failed\nf1,,1,\n", 1, "scores-unreadable"),
        (b"film,patient,logit,failed\nf1,p1,1,\nf1,p1,1,\n", 1, "scores-doubled"),
    ],
)
def test_a_wrong_table_of_scores_is_refused(data: bytes, exits: int, code: str):
    with pytest.raises(Refused) as told:
        read_scores(data, exits)
    assert told.value.code == code


TABLES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.lists(st.text(max_size=6), max_size=4), max_size=6).map(
        lambda rows: "\n".join(["film,finding", *(",".join(row) for row in rows)]).encode("utf-8", "replace")
    ),
)


@given(TABLES)
def test_no_table_whatever_raises_anything_else(data: bytes):
    for read in (read_labels, lambda table: read_scores(table, 1), lambda table: read_scores(table, 2)):
        with suppress(Refused):
            read(data)
