"""How the demonstration shows itself: a live table in a terminal, plain lines anywhere else.

Counts and states while it runs; at the end one row a story. It prints what account.py found and adds no word to it.
"""

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from appliance.core.lifecycle import STATES
from sample_dicom.account import REFUSED, Account, Line
from sample_dicom.promise import Rate

PLAIN_PERIOD_S = 1.0  # between two plain lines
COLUMNS = ("what went in", "label", "lane", "because", "the centre said")
LANE_STYLES = {"cleared": "green", "flagged": "bold red", "escalated": "yellow", "quarantined": "magenta"}


class Display:
    """Use it as a context: inside it the progress is live, after it the table can be printed."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._last, self._last_s = "", -PLAIN_PERIOD_S

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _at: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, sentence: str) -> None:
        """One line that stays."""
        if self._live is None:
            print(sentence, flush=True)
        else:
            self._console.print(Text(sentence), soft_wrap=True)

    def show(self, account: Account, sent: int, elapsed_s: float) -> None:
        """The progress; in plain lines only when something changed."""
        refused = sum(line.state == REFUSED for line in account.lines)
        if self._live is not None:
            self._live.update(_progress(account, sent, refused, elapsed_s), refresh=True)
            return
        parts = [f"{count} {state}" for state, count in account.states.items() if count]
        cases = [f"{count} {state}" for state, count in account.cases.items() if count]
        told = f"sent {sent} of {len(account.lines)}; studies: {', '.join(parts) or 'none'}"
        told += f"; cases: {', '.join(cases)}" if cases else ""
        told += f"; files refused: {refused}" if refused else ""
        if told != self._last and elapsed_s >= self._last_s + PLAIN_PERIOD_S:
            self._last, self._last_s = told, elapsed_s
            print(f"{elapsed_s:6.1f} s  {told}", flush=True)

    def table(self, account: Account) -> None:
        """One row a story, what went in beside what came out."""
        if self._live is None:
            print(" | ".join(COLUMNS))
            for line in account.lines:
                print(" | ".join(_cells(line)), flush=True)
            return
        table = Table(*COLUMNS, show_lines=True)
        for line in account.lines:
            what, label, lane, because, centre = _cells(line)
            table.add_row(what, label, Text(lane, LANE_STYLES.get(lane, "")), because, centre)
        self._console.print(table)

    def promise(self, rates: Sequence[Rate]) -> None:
        """What was promised beside what was counted."""
        if self._live is None:
            for rate in rates:
                print(f"{rate.what}: promised {rate.promised}; counted {rate.counted}", flush=True)
        elif rates:
            table = Table("of the site's own films", "promised", "counted")
            for rate in rates:
                table.add_row(*rate)
            self._console.print(table)


def _cells(line: Line) -> tuple[str, ...]:
    centre = line.centre or ("not asked" if line.ended else "")
    return line.story.what, line.story.truth or "-", line.lane or line.state, line.reasons or "-", centre or "-"


def _progress(account: Account, sent: int, refused: int, elapsed_s: float) -> Table:
    table = Table(title=f"{sent} of {len(account.lines)} sent, {elapsed_s:.0f} s")
    table.add_column("state")
    table.add_column("studies", justify="right")
    for state in STATES:
        count = account.states.get(state, 0)
        table.add_row(state, f"{count:>3} {'█' * count}")
    table.add_row("files refused", f"{refused:>3} {'█' * refused}")
    table.add_row("cases on the wire", ", ".join(f"{n} {state}" for state, n in account.cases.items()) or "none")
    return table
