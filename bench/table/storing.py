"""Row: C-STORE in, durable, by bench/cstore.py: with a sender as sites have it, and with everybody tuned."""

import os
import shutil
import statistics
from pathlib import Path

from bench import cstore
from bench.table.measured import Figure, How, Row

NAME = "C-STORE in"
STORESCP, OURS = "dcmtk storescp, nothing synced", "ours, durable"
PEERS = {"storescp": STORESCP, "orthanc": "Orthanc", "pynetdicom": "pynetdicom, data set decoded and saved"}
KEYS = {"sender as it comes": "untuned", "sender and receivers tuned": "tuned"}


def measure(how: How) -> Row:
    missing: dict[str, str] = {}
    if not shutil.which("storescp"):
        return Row(
            NAME, missing={f"{key}-of-{peer}": "dcmtk is not installed" for key in KEYS.values() for peer in PEERS}
        )
    peers = {key: name for key, name in PEERS.items() if name != "Orthanc" or shutil.which("Orthanc")}
    count, figures = how.count(80, 300), []
    corpus = how.folder / "corpus"
    cstore._slices(corpus, count, 512)
    os.sync()  # else the first who syncs an object waits for the corpus
    for title, key in KEYS.items():
        found = _rates(title, [OURS, *peers.values()], count, corpus, how)
        beside = {name: f"{statistics.median(rates):.0f}/s" for name, rates in found.items()}
        for short, peer in peers.items():
            ratios = tuple(mine / theirs for mine, theirs in zip(found[OURS], found[peer], strict=True))
            figures.append(Figure(f"{key}-of-{short}", f"{title}: ours / {peer}, files a second", ratios, "x", beside))
    if "orthanc" not in peers:
        missing = {f"{key}-of-orthanc": "Orthanc is not installed" for key in KEYS.values()}
    return Row(NAME, tuple(figures), ("files a second by the clock: the sender shares the cores",), missing)


def _rates(title: str, names: list[str], count: int, corpus: Path, how: How) -> dict[str, list[float]]:
    more, answering = cstore.TUNINGS[title]
    rates: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(how.repeats):
        for number, name in enumerate(names):
            folder = how.folder / f"{KEYS[title]}-{repeat}-{number}"
            folder.mkdir()
            rates[name].append(cstore._one(cstore.RECEIVERS[name], folder, corpus, count, more, answering).rate)
    return rates
