"""orders.parquet: every order of a run, what it was and how it ended.

Law: one row an order, by its id; `qty` is what it was for, filled or not.
"""

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trader.core.schema import OrderKind, OrderStatus, OrderType, TimeInForce
from trader.report.folder import cannot_write
from trader.report.parquet import (
    REASON_POSITIONS,
    REASONS,
    TEXT,
    TIMESTAMP,
    numbers_column,
    text_column,
    timestamps_column,
)

ORDER_SCHEMA = pa.schema(
    [
        ("timestamp", TIMESTAMP),  # close of the slice it was decided on
        ("symbol", TEXT),
        ("order_id", pa.int64()),
        ("decision", pa.int64()),
        ("leg", pa.int32()),
        ("kind", TEXT),
        ("type", TEXT),
        ("time_in_force", TEXT),
        ("parent", pa.int64()),  # order_id of the entry it protects, 0: none
        ("qty", pa.float64()),  # signed
        ("filled_qty", pa.float64()),
        ("average_price", pa.float64()),  # null: nothing filled
        ("limit_price", pa.float64()),
        ("stop_price", pa.float64()),
        ("commission", pa.float64()),
        ("status", TEXT),
        ("reason", TEXT),  # why it ended unfilled
        ("ended", TIMESTAMP),  # close of the slice it ended on; null: still works
    ]
)


def write_orders(path: Path, rows: np.ndarray, symbols: Sequence[str]) -> None:
    """orders.parquet: every ORDER row of a run, by id."""
    try:
        pq.write_table(order_table(rows, symbols), path, compression="zstd")
    except OSError as error:
        raise cannot_write(path, error) from error


def order_table(rows: np.ndarray, symbols: Sequence[str]) -> pa.Table:
    """ORDER rows as orders.parquet has them."""
    is_filled = rows["filled_qty"] != 0.0
    size = np.where(is_filled, np.abs(rows["filled_qty"]), 1.0)
    columns = [
        timestamps_column(rows["ts_ns"]),
        pa.DictionaryArray.from_arrays(numbers_column(rows["symbol"]), pa.array(list(symbols))),
        numbers_column(rows["order_id"]),
        numbers_column(rows["decision"]),
        numbers_column(rows["leg"]),
        text_column(rows["kind"], _named(OrderKind)),
        text_column(rows["type"], _named(OrderType)),
        text_column(rows["time_in_force"], _named(TimeInForce)),
        numbers_column(rows["parent"]),
        pa.array(rows["qty"] + rows["ended_qty"]),
        numbers_column(rows["filled_qty"]),
        pa.array(rows["filled_notional"] / size, mask=~is_filled),
        pa.array(np.ascontiguousarray(rows["limit_price"]), mask=rows["limit_price"] == 0.0),
        pa.array(np.ascontiguousarray(rows["stop_price"]), mask=rows["stop_price"] == 0.0),
        numbers_column(rows["commission"]),
        text_column(rows["status"], _named(OrderStatus)),
        text_column(REASON_POSITIONS[rows["reason"]], REASONS),
        pa.array(np.ascontiguousarray(rows["ended_ns"]), mask=rows["ended_ns"] == 0).cast(
            TIMESTAMP
        ),
    ]
    return pa.Table.from_arrays(columns, schema=ORDER_SCHEMA)


def _named(codes: type[IntEnum]) -> pa.Array:
    """Names by number: enumerations here count from 0 without holes."""
    return pa.array([code.name for code in codes])
