"""Prints the generated pages of docs/ from the code they describe; tests hold the pages fresh.

python -m docs.make          writes them anew
"""

from collections.abc import Callable
from pathlib import Path

from appliance.cli import metrics
from appliance.config import knobs
from appliance.core import journal
from appliance.core.decide import REASONS
from appliance.core.deidentify.conformance import conformance_text
from appliance.core.lifecycle import MOVES, OWNERS, WIRE_MOVES
from appliance.core.protocol import protocol_text
from appliance.core.study import LANE_WORDS
from appliance.errors import CATALOGUE
from docs import make_conformance, make_licences
from tests import browser_checks

HERE = Path(__file__).parent
ACTORS = {"sender": "Refused", "person": "Quarantined", "time": "Unavailable", "operator": "Misconfigured"}


def configuration() -> str:
    rows = "\n".join(
        f"| `{key}` | {kind} | `{default}` | {bounds or '-'} | {sentence} |"
        for key, kind, default, bounds, sentence in knobs()
    )
    return f"""# Configuration

One TOML file, by default `/etc/appliance/appliance.toml`. The unit stands last in each name. All mistakes are
reported at once with file, key and reason, exit status 78. Secrets are files: a systemd credential of the name in
brackets goes first.

| setting | type | default | bounds | meaning |
|---|---|---|---|---|
{rows}
"""


def errors() -> str:
    faults = "\n".join(
        f"| `{code}` | {ACTORS[entry.actor]} ({entry.actor}) | {entry.text} | {entry.hint} |"
        for code, entry in CATALOGUE.items()
    )
    reasons = "\n".join(f"| `{code}` | {text} |" for code, text in REASONS.items())
    return f"""# Errors and reasons

Codes are stable and carry no patient data. The second column says who must act.

| code | who | what is wrong | what to do |
|---|---|---|---|
{faults}

## Why a study stands in its lane

| code | in words |
|---|---|
{reasons}
"""


def states() -> str:
    owners = "\n".join(f"| `{state}` | {owner} |" for state, owner in OWNERS.items())
    moves = "\n".join(
        f"    {start} --> {end}: {name}" for (start, end), name in MOVES.items() if name != "late instance"
    )
    wire = "\n".join(f"    {start} --> {end}: {name}" for (start, end), name in WIRE_MOVES.items())
    lanes = "\n".join(f"| {lane} | {words} |" for lane, words in LANE_WORDS.items())
    return f"""# States

Every move a study can make; nothing else in the house writes a state. From any state a late instance leads back to
`received` with revision + 1, and the former result is marked superseded.

```mermaid
stateDiagram-v2
{moves}
```

| state | who moves it on |
|---|---|
{owners}

## Lanes, as a reader sees them

| lane | in words |
|---|---|
{lanes}

## States of a case on the wire

```mermaid
stateDiagram-v2
{wire}
```
"""


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "errors.md": errors,
    "states.md": states,
    "conformance.md": make_conformance.page,
    "deidentification.md": conformance_text,
    "licences.md": make_licences.page,
    "metrics.md": metrics.page,
    "browser-checks.md": browser_checks.page,
    "wire-protocol.md": protocol_text,
    "../systemd/appliance.catalog": journal.catalogue,
}

if __name__ == "__main__":
    for name, made in PAGES.items():
        (HERE / name).write_text(made(), "utf-8")
        print(name)
