"""The data of the page: what page.js draws and tabulates, as one JSON value.

Law: finite numbers or null; times are milliseconds UTC.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from trader.moments import NS_PER_MS
from trader.report.html.figures import Days, days, excursions, state_spells
from trader.report.html.pack import EMPTY, extremes, packed, packed_whole, price_step
from trader.report.html.refusals import refusals
from trader.report.html.source import Source, bars_of, numbers, texts, times

CURVE_POINTS = 24_000
CURVE_POINTS_OF_MANY = 8_000
MOST_BARS = 2_000_000  # of all symbols; beyond, neighbours are drawn as one
MOST_ORDERS = 10_000
Column = dict[str, Any]


class Kind(NamedTuple):
    """A column of a table: its name, its heading, and how its values are shown."""

    name: str
    label: str
    kind: str  # time, text, number, percent


LABELS = {
    "time": "Time (UTC)",
    "entry_time": "Entry (UTC)",
    "exit_time": "Exit (UTC)",
    "from": "From (UTC)",
    "to": "To (UTC)",
    "qty": "Quantity",
    "pnl": "P&L",
    "realized_pnl": "Realized P&L",
    "return_frac": "Return",
    "exit_reason": "Exit",
    "mae": "Against it (MAE)",
    "mfe": "For it (MFE)",
    "order_id": "Order",
    "filled_qty": "Filled",
    "average_price": "Average price",
    "requested": "Asked",
    "approved": "Sent",
}  # others are their names
TIMES = ("time", "entry_time", "exit_time", "from", "to")
PERCENTS = ("return_frac", "mae", "mfe")
TEXTS = ("symbol", "side", "kind", "exit_reason", "type", "status", "reason", "outcome")


def kinds(names: str) -> tuple[Kind, ...]:
    """The columns of these names, in this order."""
    return tuple(
        Kind(
            name,
            LABELS.get(name, name.replace("_", " ").capitalize()),
            "time"
            if name in TIMES
            else "percent"
            if name in PERCENTS
            else "text"
            if name in TEXTS
            else "number",
        )
        for name in names.split()
    )


FILLS = kinds("time symbol side qty price kind commission slippage realized_pnl order_id")
TRADES = kinds(
    "entry_time exit_time symbol side qty entry_price exit_price pnl return_frac exit_reason "
    "mae mfe fills"
)
ORDERS = kinds(
    "time symbol order_id type kind qty filled_qty average_price limit_price stop_price status "
    "reason"
)
REFUSALS = kinds("from to symbol outcome reason decisions requested approved observed limit")


class RunData(NamedTuple):
    """The JSON value of a run, and what the words of the page need of it."""

    value: dict[str, Any]
    days: Days
    refusals_left_out: int
    orders_left_out: int
    bars_at_once: int  # bars drawn as one: 1 up to MOST_BARS


def run_data(source: Source) -> RunData:
    """Everything the page of one run draws."""
    slices = times(source.equity)
    curve, gross = numbers(source.equity, "equity"), numbers(source.equity, "gross_exposure")
    by_day, refused = days(source), refusals(source.decisions)
    symbols = [str(symbol) for symbol in source.manifest["symbols"]]
    bars = source.market.bars
    at_once = 1 if bars is None else -(-len(bars) // MOST_BARS)
    tables = [
        table("trades", "Closed trades", TRADES, _trades(source, symbols)),
        table("fills", "Fills", FILLS, _plain_columns(source.fills, FILLS)),
        table("refusals", "Decisions and what stood in the way", REFUSALS, refused.columns),
    ]
    if source.orders is not None:
        rows = source.orders.slice(0, MOST_ORDERS)
        tables.append(table("orders", "Orders", ORDERS, _plain_columns(rows, ORDERS)))
    value = {
        "slices": packed_whole(slices // NS_PER_MS),
        "prices": [
            _price(symbol, number, bars, slices, at_once) for number, symbol in enumerate(symbols)
        ],
        "start_equity": finite(source.metrics["start_equity"]),
        "equity": _curve(curve),
        "exposure": _curve(gross),
        "spells": state_spells(source),
        "days": {"dates": by_day.dates.astype(str).tolist(), "values": rounded(by_day.pnl)},
        "max_daily_loss": finite(source.manifest["risk"].get("max_daily_loss")),
        "lanes": sorted(set(refused.columns["reason"])),
        "tables": tables,
    }
    orders = 0 if source.orders is None else source.orders.num_rows
    return RunData(value, by_day, refused.left_out, max(orders - MOST_ORDERS, 0), at_once)


def curve_of_many(source: Source, name: str) -> dict[str, Any]:
    """The return since the start over time, for runs side by side."""
    curve, start = numbers(source.equity, "equity"), float(source.metrics["start_equity"])
    at = extremes(curve, CURVE_POINTS_OF_MANY)
    moments = times(source.equity)[at] // NS_PER_MS
    gained = curve[at] / start - 1.0
    return {"name": name, "x": packed_whole(moments), "y": packed(_drawable(gained))}


def table(name: str, label: str, kinds: tuple[Kind, ...], columns: dict[str, Any]) -> Column:
    """A table of the page; columns that are not there are left out."""
    shown = [
        {"name": kind.name, "label": kind.label, "kind": kind.kind}
        | {"values": column_values(columns[kind.name])}
        for kind in kinds
        if kind.name in columns
    ]
    return {"id": name, "label": label, "columns": shown}


def finite(value: Any) -> Any:
    """The value, or None for a number that is none."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def column_values(values: list[Any]) -> list[Any]:
    """A column as JSON has it: fractions with eleven figures, more than a table shows."""
    kinds = set(map(type, values))
    if not any(issubclass(kind, float) for kind in kinds):
        return values
    if kinds != {float}:
        return [finite(value) for value in values]
    short = [float(text) for text in (("%.11g " * len(values)) % tuple(values)).split()]
    return short if np.isfinite(short).all() else [finite(value) for value in short]


def rounded(values: np.ndarray) -> list[float | None]:
    """For a picture: ten significant figures."""
    return [finite(float(f"{value:.10g}")) for value in values]


def _plain_columns(rows: pa.Table, kinds: tuple[Kind, ...]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for kind in kinds:
        name = "timestamp" if kind.name == "time" else kind.name
        if name not in rows.column_names:
            continue
        if kind.kind == "time":
            columns[kind.name] = (times(rows, name) // NS_PER_MS).tolist()
        elif kind.kind == "text":
            columns[kind.name] = texts(rows, name)
        else:
            columns[kind.name] = numbers(rows, name).tolist()
    return columns


def _trades(source: Source, symbols: list[str]) -> dict[str, Any]:
    found = excursions(source.trades, source.market, symbols)
    columns = _plain_columns(source.trades, TRADES)
    return columns | {"mae": rounded(found.adverse), "mfe": rounded(found.favourable)}


def _curve(values: np.ndarray) -> dict[str, Any]:
    at = extremes(values, CURVE_POINTS)
    return {"x": packed_whole(at), "y": packed(_drawable(values[at]))}


def _drawable(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, nan=0.0, posinf=1e300, neginf=-1e300)


def _price(
    symbol: str, number: int, bars: np.ndarray | None, slices: np.ndarray, at_once: int
) -> dict[str, Any]:
    """Open, high, low and close against each other, which takes the fewest bytes."""
    rows = None if bars is None else bars_of(bars, number)
    if rows is None or len(rows) == 0:
        return {"symbol": symbol} | dict.fromkeys("xcohl", EMPTY)
    first = np.arange(0, len(rows), at_once)
    last = np.minimum(first + at_once, len(rows)) - 1
    opens, closes = rows["open"][first], rows["close"][last]
    high = np.maximum.reduceat(np.ascontiguousarray(rows["high"]), first)
    low = np.minimum.reduceat(np.ascontiguousarray(rows["low"]), first)
    step = price_step(np.concatenate([closes, high, low]))
    return {
        "symbol": symbol,
        "x": packed_whole(np.asarray(np.searchsorted(slices, rows["ts_ns"][first]))),
        "c": packed(closes, step),
        "o": packed(opens - closes, step, diff=False),
        "h": packed(high - np.maximum(opens, closes), step, diff=False),
        "l": packed(np.minimum(opens, closes) - low, step, diff=False),
    }
