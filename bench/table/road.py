"""Row: processor time a file, from incoming/ to decided, de-identified, inspected, sealed and committed."""

from bench.table.measured import Figure, How, Row, ms, side

NAME = "road"
# kind and how: what is compared, files quick and whole
ROADS = {
    ("CT raw", "whole"): (2, 12),
    ("CT raw", "header"): (10, 100),
    ("CT raw", "series"): (30, 200),
    ("film raw", "header"): (10, 100),
}
# In a whole run only: the same with other parts on or off, the other syntaxes and modalities.
MORE = {
    ("CT raw", "uninspected"): (0, 100),
    ("CT jpeg-ls", "header"): (0, 100),
    ("film raw", "whole"): (0, 12),
    **{
        (kind, "header"): (0, 40)
        for kind in ("CT rle", "CT jpeg-lossless", "CT j2k", "CT htj2k", "MR raw", "CR raw", "US jpeg")
    },
}
WHOLE_ONLY = "in a whole run only"
AGAINST_PYDICOM = {("CT raw", "header"), ("CT raw", "series"), ("CT jpeg-ls", "header")}
SAID = {
    "whole": "everything on, pictures cleaned and read again",
    "header": "header inspected, no picture leaves",
    "uninspected": "the same without the inspector",
    "series": "one study of all slices, header inspected",
}


def measure(how: How) -> Row:
    figures = []
    for (kind, road), counts in (ROADS if how.quick else ROADS | MORE).items():
        sides = _sides(kind, road)
        spent: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(how.repeats):
            for name in sides:  # in turn: a busy spell meets all
                count = str(how.count(*counts))
                spent[name].append(side(how, name, kind, road, count)["cpu_s"])
        beside = {name: ms(values) for name, values in spent.items()}
        key, what = _key(kind, road), f"{kind}, {SAID[road]}"
        ratios = tuple(floor / mine for floor, mine in zip(spent["floor"], spent["ours"], strict=True))
        figures.append(Figure(f"{key}-of-floor", f"{what}: floor / ours", ratios, "x", beside))
        if "pydicom" in spent:
            times = tuple(theirs / mine for theirs, mine in zip(spent["pydicom"], spent["ours"], strict=True))
            figures.append(Figure(f"{key}-of-pydicom", f"{what}: pydicom / ours", times, "x", beside))
    left = [f"{_key(*each)}-of-{side}" for each in MORE for side in _sides(*each)[1:]] if how.quick else []
    return Row(NAME, tuple(figures), missing=dict.fromkeys(left, WHOLE_ONLY))


def _sides(kind: str, road: str) -> list[str]:
    return ["ours", "floor", *(["pydicom"] if (kind, road) in AGAINST_PYDICOM else [])]


def _key(kind: str, road: str) -> str:
    return f"{kind} {road}".replace(" ", "-").lower()
