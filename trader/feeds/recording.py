"""What a market's adapter reported, and when, as JSON lines; and back.

    {"t_ns", "channel": "port", "direction": "in", "now_ns", "raw": ["Row", …]}
    {…, "raw": ["BarQuote", …]}: what the bar of that open went out with

Law: what is read back is what the finaliser got, in that order and at that time of the market, so
that a recording replays to the same bars. Raw frames of the exchange stand between the lines.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trader.errors import DataError
from trader.feeds.finaliser_events import TICK, Input, Page, SymbolGone, Terms, Tick
from trader.feeds.source import Finality, Notice, RawBar, Row, StreamLoss, Up

PORT, TERMS, END = "port", "terms", "end"


class BarQuote(NamedTuple):
    """The best bid and ask that a bar went out with."""

    symbol: int
    open_ns: int
    bid: float
    ask: float


KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (Row, Up, StreamLoss, Notice, Page, SymbolGone, Tick, BarQuote)
}


class RecordingTerms(NamedTuple):
    """What the finaliser of a recording went by."""

    source: str
    symbols: list[str]
    start_ns: int
    period_ns: int
    finality: int
    grace_ns: int
    late_ns: int
    market_hours: str
    instruments: list[dict[str, Any]] = []  # noqa: RUF012 - a tuple's default, never changed

    def terms(self, hours: Any) -> Terms:
        """For a finaliser."""
        return Terms(self.period_ns, Finality(self.finality), self.grace_ns, self.late_ns, hours)


class RecordedEvent(NamedTuple):
    """One thing that the finaliser got, or the quote of a bar that had come of it."""

    now_ns: int
    event: Input | BarQuote


def encoded(event: Input | BarQuote) -> list[Any]:
    """An event as JSON can hold it."""
    return [type(event).__name__, *event]


def decoded(raw: list[Any]) -> Input | BarQuote:
    """What `encoded` was given."""
    name, *fields = raw
    if name == "Tick":
        return TICK
    if name == "Row":
        fields[1] = RawBar(*fields[1])
    elif name == "Page":
        fields[3] = [RawBar(*bar) for bar in fields[3]]
    event: Input | BarQuote = KINDS[name](*fields)
    return event


def read_recording(path: Path) -> tuple[RecordingTerms, Iterator[RecordedEvent]]:
    """The terms of a recording, and what came. `DataError` where a line cannot be read."""
    lines = _lines(path)
    for line in lines:
        if line.get("channel") == TERMS:
            return RecordingTerms(**line["raw"]), _taken(path, lines)
    raise DataError(f"{path} is not a recording of `trader feed record`, or one of another version")


def _taken(path: Path, lines: Iterator[dict[str, Any]]) -> Iterator[RecordedEvent]:
    for line in lines:
        if line.get("channel") == PORT:
            try:
                yield RecordedEvent(int(line["now_ns"]), decoded(line["raw"]))
            except (KeyError, TypeError, ValueError, IndexError) as error:
                text = f"{path}: no event of a market: {str(line)[:80]}: {error}"
                raise DataError(text) from None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    import gzip

    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            for number, text in enumerate(file, 1):
                try:
                    yield json.loads(text)
                except ValueError:
                    if not text.endswith("\n"):  # cut off while it was written
                        return
                    raise DataError(f"{path}, line {number}: no JSON: {text[:60]!r}") from None
    except EOFError:  # gzip that was cut off: what is whole was given
        return
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
