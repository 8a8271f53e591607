"""Row: de-identification of the header, bytes to bytes, by the tools of bench/deid.py: files per CPU-second.

The cleaner alone stands beside the peers, which do no more than that; and the road of the product, which lists the
identity before and inspects the finished bytes after. The peers live in an environment of their own
(bench/deid_peers.txt), made when it is not there; without a package index they are named as missing.
"""

from bench import deid
from bench.table.measured import Figure, How, Row

NAME = "de-identification"
KIND = "CT 512x512"
OWN = ("ours", "ours, not inspected", "pydicom read and write only", "pydicom walk")
PEERS = {"dicognito": "of-dicognito", "dcmanon (Rust)": "of-dcmanon"}


def measure(how: How) -> Row:
    peers = deid.peers_python(deid.ROOT / "build" / "deid-peers")
    tools = [*OWN, *(PEERS if peers else ())]
    repeats = max(3, how.repeats)  # a run is short: a slow second of the machine would be all of it
    rates, written, size = deid.rates_of(KIND, tools, how.count(40, 200), repeats, how.seed, peers)
    beside = {name: f"{sorted(found)[len(found) // 2]:.0f}/s" for name, found in rates.items()}
    figures, missing = [], {}
    for tool, key in {"pydicom walk": "of-pydicom-walk", **PEERS}.items():
        why = "its package cannot be installed here"
        if written.get(tool, 0) == max(written.values()):
            for mine, road in (("ours, not inspected", ""), ("ours", "inspected-")):
                ratios = tuple(own / theirs for own, theirs in zip(rates[mine], rates[tool], strict=True))
                what = f"header of a {KIND}, {size} bytes: {mine if not road else 'ours, inspected'} / {tool}"
                figures.append(Figure(f"{road}{key}", what, ratios, "x", beside))
            continue
        if tool in written:
            why = f"it wrote {written[tool]} of {max(written.values())} files"
        missing |= dict.fromkeys((key, f"inspected-{key}"), why)
    return Row(NAME, tuple(figures), missing=missing)
