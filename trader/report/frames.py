"""What a run left as pandas frames: out of memory, or out of its folder, the same either way.

Law: columns are those of the run's files; times are aware, in UTC; text is text. A frame is made
when it is first asked for.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from trader.errors import UsageError
from trader.report.artifacts import DECISIONS, EQUITY_CURVE, FILLS, ORDERS, TRADES
from trader.report.csvfiles import fills_csv, trades_csv
from trader.report.orderfile import order_table
from trader.report.parquet import decision_table, equity_table
from trader.report.result import RunResult

if TYPE_CHECKING:
    import pandas as pd

TIMES = ("timestamp", "entry_time", "exit_time")
COUNTS = ("order_id", "fills", "leg")
TEXTS = ("symbol", "side", "kind", "exit_reason")


class RunTables(Protocol):
    """The tables of one run."""

    def fills(self) -> "pd.DataFrame":
        """One row an execution, as fills.csv."""
        ...

    def trades(self) -> "pd.DataFrame":
        """One row a closed round trip, as trades.csv."""
        ...

    def equity(self) -> "pd.DataFrame":
        """One row a slice, as equity.parquet, indexed by time."""
        ...

    def decisions(self) -> "pd.DataFrame":
        """One row a decision, as decisions.parquet."""
        ...

    def orders(self) -> "pd.DataFrame":
        """One row an order, as orders.parquet."""
        ...


class MemoryTables:
    """Tables of a run that is in memory. `decisions` are its DECISION rows."""

    def __init__(self, result: RunResult, decisions: Callable[[], np.ndarray]) -> None:
        self._result = result
        self._decisions = decisions

    def fills(self) -> "pd.DataFrame":
        return csv_frame(fills_csv(self._result.fills, self._result.symbols))

    def trades(self) -> "pd.DataFrame":
        return csv_frame(trades_csv(self._result.trips.closed, self._result.symbols))

    def equity(self) -> "pd.DataFrame":
        table, _ = equity_table(self._result.equity, self._result.start_equity)
        return by_time(table_frame(table))

    def decisions(self) -> "pd.DataFrame":
        symbols = pa.array(list(self._result.symbols), pa.string())
        return table_frame(decision_table(self._decisions(), symbols))

    def orders(self) -> "pd.DataFrame":
        return table_frame(order_table(self._result.order_rows, self._result.symbols))


class FolderTables:
    """Tables of a run folder; `UsageError` for a file that is not there or is damaged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fills(self) -> "pd.DataFrame":
        return csv_frame(self._read(FILLS))

    def trades(self) -> "pd.DataFrame":
        return csv_frame(self._read(TRADES))

    def equity(self) -> "pd.DataFrame":
        return by_time(self._parquet(EQUITY_CURVE))

    def decisions(self) -> "pd.DataFrame":
        return self._parquet(DECISIONS)

    def orders(self) -> "pd.DataFrame":
        return self._parquet(ORDERS)

    def _read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise UsageError(f"{self._folder / name}: cannot be read: {error.strerror}") from error

    def _parquet(self, name: str) -> "pd.DataFrame":
        import pyarrow.parquet as pq

        try:
            return table_frame(pq.read_table(BytesIO(self._read(name))))
        except pa.ArrowException as error:
            raise UsageError(f"{self._folder / name}: damaged, not Parquet: {error}") from error


def csv_frame(content: bytes) -> "pd.DataFrame":
    """fills.csv or trades.csv as a frame."""
    return table_frame(csv_table(content))


def csv_table(content: bytes) -> pa.Table:
    """fills.csv or trades.csv, read; numbers are those that were written, to the last bit."""
    from pyarrow import csv

    header = content.partition(b"\n")[0].decode().strip().split(",")
    options = csv.ConvertOptions(
        column_types={name: _type_of(name) for name in header}, strings_can_be_null=False
    )
    return csv.read_csv(BytesIO(content), convert_options=options)


def _type_of(column: str) -> pa.DataType:
    if column in TIMES:
        return pa.timestamp("ns", "UTC")
    if column in COUNTS:
        return pa.int64()
    return pa.string() if column in TEXTS else pa.float64()


def table_frame(table: pa.Table) -> "pd.DataFrame":
    """An Arrow table as a frame of plain columns."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            column = table.column(place).cast(pa.string())
            table = table.set_column(place, field.name, column)
    frame: pd.DataFrame = table.to_pandas()
    return frame


def by_time(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame indexed by its times, which stay a column, too."""
    import pandas as pd

    frame.index = pd.DatetimeIndex(frame["timestamp"], name=None)
    return frame
