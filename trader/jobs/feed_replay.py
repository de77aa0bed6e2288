"""A recording of `trader feed record` played again: what `trader feed replay` calls.

Law: no network and no clock. The finaliser of a live run gets what it got then, so the bars are
those that a live run would have had, which REST need not say any more.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trader.codes import DAY_NS
from trader.core.schema import NS_PER_SECOND
from trader.errors import DataError
from trader.feeds.finaliser import BarFinaliser
from trader.feeds.finaliser_events import Final, Gap, Hours, Odd, Revision
from trader.feeds.recording import BarQuote, RecordingTerms, read_recording
from trader.feeds.source import RawBar
from trader.hours.tables import is_always_open, session_table
from trader.jobs.history_layer import LAYER, layer_text
from trader.jobs.history_store import HistoryStore, Quotes


def replay(path: Path, out: Path | None = None) -> dict[str, Any]:
    """What the recording comes to; its bars as Parquet under `out`, with a layer for a backtest."""
    told, taken = read_recording(path)
    finaliser = None
    bars: dict[int, list[RawBar]] = {index: [] for index in range(len(told.symbols))}
    quotes: dict[int, dict[int, tuple[float, float]]] = {index: {} for index in bars}
    counts: Counter[str] = Counter()
    for now_ns, event in taken:
        if isinstance(event, BarQuote):
            quotes[event.symbol][event.open_ns] = event.bid, event.ask
            continue
        finaliser = finaliser or _finaliser(told, now_ns)
        for output in finaliser.on(event, now_ns):
            if isinstance(output, Final):
                bars[output.symbol].append(output.bar)
                counts[output.proof.name] += 1
                counts["history"] += output.is_history
            elif isinstance(output, Gap):
                counts["gaps"] += output.bars
            elif isinstance(output, Revision):
                counts["revisions"] += 1
            elif isinstance(output, Odd):
                counts["bad_rows"] += 1
    if not any(bars.values()):
        raise DataError(f"{path} holds no closed bar")
    document = {
        "source": told.source,
        "bar_period_seconds": told.period_ns / NS_PER_SECOND,
        "bars": {told.symbols[index]: len(rows) for index, rows in bars.items()},
        "bars_with_bid_and_ask": sum(map(len, quotes.values())),
        **counts,
    }
    return document if out is None else {**document, **_written(told, bars, quotes, out)}


def _finaliser(told: RecordingTerms, now_ns: int) -> BarFinaliser:
    hours = None
    if not is_always_open(told.market_hours):
        table = session_table(told.market_hours, told.start_ns, now_ns + 30 * DAY_NS)
        hours = Hours(table["open_ns"].tolist(), table["close_ns"].tolist())
    return BarFinaliser(len(told.symbols), [told.start_ns] * len(told.symbols), told.terms(hours))


def _written(
    told: RecordingTerms, bars: dict[int, list[RawBar]], quotes: Mapping[int, Quotes], out: Path
) -> dict[str, Any]:
    root, period = out / told.source, f"{told.period_ns / NS_PER_SECOND:g}s"
    for index, symbol in enumerate(told.symbols):
        rows = bars[index]
        if rows:
            span = rows[0].open_ns, rows[-1].open_ns + told.period_ns
            HistoryStore(root / symbol / period).put(rows, span, quotes[index])
    pattern, layer = root / "{symbol}" / period, root / LAYER
    layer.write_text(layer_text(told.instruments, str(pattern)))
    return {"path": str(pattern), "config": str(layer)}
