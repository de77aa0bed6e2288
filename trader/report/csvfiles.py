"""fills.csv and trades.csv: columns of arrays to text, without a Python loop over rows.

Law: every number reads back as the very same float (shortest form that does), times are ISO-8601
UTC with Z, text is quoted only where CSV needs it. One header line, `\n` line ends, no index.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trader.core.schema import NS_PER_SECOND, CashflowKind, OrderKind

ROWS_AT_ONCE = 1_000_000  # bounds the memory of the text
DATE_LENGTH = 10
PRECISIONS = ((NS_PER_SECOND, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns"))


def fills_csv(fills: np.ndarray, symbols: Sequence[str]) -> bytes:
    """FILL rows as CSV. `qty` is positive, `realized_pnl` gross of commission."""
    return _csv(
        {
            "timestamp": _times(fills["ts_ns"]),
            "symbol": _names(fills["symbol"], symbols),
            "side": _sides(fills["qty"]),
            "qty": _numbers(np.abs(fills["qty"])),
            "price": _numbers(fills["price"]),
            "commission": _numbers(fills["commission"]),
            "slippage": _numbers(fills["slippage"]),
            "realized_pnl": _numbers(fills["realized_pnl"]),
            "order_id": _numbers(fills["order_id"]),
            "leg": _numbers(fills["leg"]),
            "kind": _kinds(fills["kind"]),
        }
    )


def cashflows_csv(cashflows: np.ndarray, symbols: Sequence[str]) -> bytes:
    """CASHFLOW rows that moved money and are no fill, as CSV; no symbol: the whole account."""
    silent = (CashflowKind.SPLIT, CashflowKind.DELISTED)
    rows = cashflows[~np.isin(cashflows["kind"], silent)]
    names = np.where(rows["symbol"] < 0, len(symbols), rows["symbol"])
    return _csv(
        {
            "timestamp": _times(rows["ts_ns"]),
            "symbol": _names(names, (*symbols, "")),
            "kind": _names(rows["kind"], [kind.name for kind in CashflowKind]),
            "amount": _numbers(rows["amount"]),
        }
    )


def trades_csv(trades: np.ndarray, symbols: Sequence[str]) -> bytes:
    """ROUND_TRIP rows as CSV. `pnl` is net of commission."""
    return _csv(
        {
            "symbol": _names(trades["symbol"], symbols),
            "side": _choice(trades["side"] > 0, ("LONG", "SHORT")),
            "entry_time": _times(trades["entry_ns"]),
            "exit_time": _times(trades["exit_ns"]),
            **{
                name: _numbers(trades[name])
                for name in (
                    "qty",
                    "entry_price",
                    "exit_price",
                    "pnl",
                    "gross_pnl",
                    "commission",
                    "return_frac",
                    "duration_s",
                    "fills",
                )
            },
            "exit_reason": _kinds(trades["exit_reason"]),
        }
    )


def quoted(text: str) -> str:
    """A field as RFC 4180 wants it: in quotes only if it holds a comma, a quote or a line end."""
    if any(sign in text for sign in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _csv(columns: Mapping[str, pa.Array]) -> bytes:
    header = ",".join(columns) + "\n"
    rows = len(next(iter(columns.values())))
    blocks = [header.encode()]
    for start in range(0, rows, ROWS_AT_ONCE):
        block = [column.slice(start, ROWS_AT_ONCE) for column in columns.values()]
        blocks.append(_lines(block))
    return b"".join(blocks)


def _lines(columns: list[pa.Array]) -> bytes:
    """Rows joined by commas. The text of an Arrow column is one buffer: it is the file."""
    last = pc.binary_join_element_wise(columns[-1], "", "\n")
    lines = pc.binary_join_element_wise(*columns[:-1], last, ",")
    _, offsets, text = lines.buffers()
    ends = np.frombuffer(offsets, np.int32)
    return bytes(memoryview(text)[ends[lines.offset] : ends[lines.offset + len(lines)]])


def _numbers(column: np.ndarray) -> pa.Array:
    return pa.array(np.ascontiguousarray(column)).cast(pa.string())


def _names(codes: np.ndarray, names: Sequence[str]) -> pa.Array:
    dictionary = pa.array([quoted(name) for name in names], pa.string())
    return dictionary.take(pa.array(codes.astype(np.int32)))


def _sides(qty: np.ndarray) -> pa.Array:
    return _choice(qty > 0.0, ("BUY", "SELL"))


def _kinds(codes: np.ndarray) -> pa.Array:
    return _names(codes, [kind.name for kind in OrderKind])


def _choice(is_first: np.ndarray, names: tuple[str, str]) -> pa.Array:
    return _names(np.where(is_first, 0, 1), names)


def _times(ts_ns: np.ndarray) -> pa.Array:
    """ISO-8601 text, all rows with the same number of decimals: the fewest that lose nothing."""
    ts_ns = np.ascontiguousarray(ts_ns)
    unit_ns, unit = next(choice for choice in PRECISIONS if not (ts_ns % choice[0]).any())
    text = pa.array(ts_ns // unit_ns).cast(pa.timestamp(unit)).cast(pa.string())
    with_t = pc.binary_replace_slice(text, DATE_LENGTH, DATE_LENGTH + 1, "T")
    return pc.binary_join_element_wise(with_t, "", "Z")
