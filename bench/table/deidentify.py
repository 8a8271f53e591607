"""Row: de-identification of the header, bytes to bytes, by the tools of bench/deid.py: files per CPU-second.

Ours inspects the finished bytes, the peers do not. They live in an environment of their own (bench/deid_peers.txt),
made when it is not there; without a package index they are named as missing.
"""

from bench import deid
from bench.table.measured import Figure, How, Row

NAME = "de-identification"
KIND = "CT 512x512"
OWN = ("ours", "pydicom read and write only", "pydicom walk")
PEERS = {"dicognito": "of-dicognito", "dcmanon (Rust)": "of-dcmanon"}


def measure(how: How) -> Row:
    peers = deid.peers_python(deid.ROOT / "build" / "deid-peers")
    tools = [*OWN, *(PEERS if peers else ())]
    rates, written, size = deid.rates_of(KIND, tools, how.count(30, 200), how.repeats, how.seed, peers)
    beside = {name: f"{sorted(found)[len(found) // 2]:.0f}/s" for name, found in rates.items()}
    figures = []
    missing = {} if peers else dict.fromkeys(PEERS.values(), "its package cannot be installed here")
    for tool, key in {"pydicom walk": "of-pydicom-walk", **PEERS}.items():
        if tool not in rates:
            continue
        if written[tool] < max(written.values()):
            missing[key] = f"it wrote {written[tool]} of {max(written.values())} files"
            continue
        ratios = tuple(mine / theirs for mine, theirs in zip(rates["ours"], rates[tool], strict=True))
        figures.append(Figure(key, f"header of a {KIND}, {size} bytes: ours / {tool}", ratios, "x", beside))
    return Row(NAME, tuple(figures), missing=missing)
