"""decisions.parquet and equity.parquet, written in chunks while a run goes on.

Law: `write` copies the rows before it returns (the core reuses its buffers) and never holds more
than two row groups; encoding and disk are a second thread's work, pyarrow lets go of the GIL for
it. A full disk surfaces as TraderError at the next `write` or at `close`. Text columns are plain
strings to every reader and dictionary-encoded on disk.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trader.core.schema import DECISION, EQUITY, Reason, TradingAction, TradingState
from trader.report.folder import cannot_write
from trader.report.tally import STAGE_SETS, stage_names

ROWS_PER_GROUP = 262_144
TIMESTAMP = pa.timestamp("ns", "UTC")
TEXT = pa.dictionary(pa.int32(), pa.string())
DECISION_SCHEMA = pa.schema(
    [
        ("timestamp", TIMESTAMP),  # close of the slice
        ("symbol", TEXT),
        ("action", TEXT),
        ("requested_qty", pa.float64()),  # signed
        ("approved_qty", pa.float64()),
        ("reason", TEXT),  # empty: nothing to explain
        ("throttle", TEXT),  # stages joined with +, empty: none
        ("observed", pa.float64()),
        ("limit", pa.float64()),
    ]
)
EQUITY_SCHEMA = pa.schema(
    [
        ("timestamp", TIMESTAMP),
        ("equity", pa.float64()),
        ("cash", pa.float64()),
        ("gross_exposure", pa.float64()),
        ("drawdown_frac", pa.float64()),
        ("trading_state", TEXT),
    ]
)
REPEATING = ("requested_qty", "approved_qty", "limit")  # numbers of few different values


class RecordFile:
    """A Parquet file that takes record arrays. Use as a context, or call `close`."""

    def __init__(
        self,
        path: Path,
        dtype: np.dtype,
        schema: pa.Schema,
        to_table: Callable[[np.ndarray], pa.Table],
    ) -> None:
        self.path = Path(path)
        self.rows = 0
        self._to_table = to_table
        self._filling = np.empty(ROWS_PER_GROUP, dtype)
        self._spare = np.empty(ROWS_PER_GROUP, dtype)
        self._filled = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"write-{self.path.name}")
        self._pending: Future[None] | None = None
        text = [column.name for column in schema if column.type == TEXT]
        numbers = [name for name in REPEATING if name in schema.names]
        try:
            self._writer = pq.ParquetWriter(
                self.path,
                schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=text + numbers,
                column_encoding={"timestamp": "DELTA_BINARY_PACKED"},
                store_schema=False,
            )
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def write(self, rows: np.ndarray) -> None:
        """Append records, in order. The array may be reused as soon as this returns."""
        self.rows += len(rows)
        taken = 0
        while taken < len(rows):
            count = min(len(rows) - taken, ROWS_PER_GROUP - self._filled)
            self._filling[self._filled : self._filled + count] = rows[taken : taken + count]
            self._filled += count
            taken += count
            if self._filled == ROWS_PER_GROUP:
                self._hand_over()

    def close(self) -> None:
        """Write what is left and the footer; the file is complete when this returns."""
        try:
            self._hand_over()
            self._wait()
            self._writer.close()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the file and the thread, whatever state they are in; more than once is fine."""
        self._thread.shutdown(cancel_futures=True)
        with suppress(OSError):  # the failure that brought us here is the one to report
            self._writer.close()

    def _hand_over(self) -> None:
        """Give the filled buffer to the writing thread and go on with the other one."""
        self._wait()
        if self._filled:
            rows = self._filling[: self._filled]
            self._pending = self._thread.submit(self._write_group, rows)
            self._filling, self._spare = self._spare, self._filling
            self._filled = 0

    def _write_group(self, rows: np.ndarray) -> None:
        self._writer.write_table(self._to_table(rows), row_group_size=ROWS_PER_GROUP)

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            try:
                pending.result()
            except OSError as error:
                raise cannot_write(self.path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


class DecisionWriter(RecordFile):
    """decisions.parquet: takes DECISION rows. `symbols` names their `symbol` numbers."""

    def __init__(self, path: Path, symbols: Sequence[str]) -> None:
        self._symbols = pa.array(list(symbols), pa.string())
        super().__init__(path, DECISION, DECISION_SCHEMA, self._table)

    def _table(self, rows: np.ndarray) -> pa.Table:
        return decision_table(rows, self._symbols)


def decision_table(rows: np.ndarray, symbols: pa.Array) -> pa.Table:
    """DECISION rows as decisions.parquet has them; `symbols` are names, by their number."""
    columns = [
        timestamps_column(rows["ts_ns"]),
        pa.DictionaryArray.from_arrays(numbers_column(rows["symbol"]), symbols),
        text_column(rows["action"], _ACTIONS),
        numbers_column(rows["requested_qty"]),
        numbers_column(rows["approved_qty"]),
        text_column(REASON_POSITIONS[rows["reason"]], REASONS),
        text_column(rows["throttle"], _STAGES),
        numbers_column(rows["observed"]),
        numbers_column(rows["limit"]),
    ]
    return pa.Table.from_arrays(columns, schema=DECISION_SCHEMA)


class EquityWriter(RecordFile):
    """equity.parquet: takes EQUITY rows, all of them in order, and adds the drawdown."""

    def __init__(self, path: Path, start_equity: float) -> None:
        self._peak = start_equity
        super().__init__(path, EQUITY, EQUITY_SCHEMA, self._table)

    def _table(self, rows: np.ndarray) -> pa.Table:
        table, self._peak = equity_table(rows, self._peak)
        return table


def equity_table(rows: np.ndarray, peak: float) -> tuple[pa.Table, float]:
    """EQUITY rows as equity.parquet has them, and their peak; `peak` is the highest before them."""
    equity = np.ascontiguousarray(rows["equity"])
    peaks = np.maximum.accumulate(equity)
    np.maximum(peaks, peak, out=peaks)
    with np.errstate(over="ignore", invalid="ignore"):  # equity beyond all numbers: no part
        drawdown = (peaks - equity) / peaks
    columns = [
        timestamps_column(rows["ts_ns"]),
        pa.array(equity),
        numbers_column(rows["cash"]),
        numbers_column(rows["gross_exposure"]),
        pa.array(drawdown),
        text_column(rows["trading_state"], _STATES),
    ]
    highest = float(peaks[-1]) if len(rows) else peak
    return pa.Table.from_arrays(columns, schema=EQUITY_SCHEMA), highest


def numbers_column(column: np.ndarray) -> pa.Array:
    return pa.array(np.ascontiguousarray(column))


def timestamps_column(ts_ns: np.ndarray) -> pa.Array:
    return numbers_column(ts_ns).cast(TIMESTAMP)


def text_column(codes: np.ndarray, names: pa.Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names)


def _reason_dictionary() -> tuple[pa.Array, np.ndarray]:
    """Reason names without holes, and the place of each code among them."""
    names = ["" if reason is Reason.NONE else reason.name for reason in Reason]
    positions = np.zeros(max(Reason) + 1, np.int32)
    positions[[int(reason) for reason in Reason]] = np.arange(len(names))
    return pa.array(names), positions


REASONS, REASON_POSITIONS = _reason_dictionary()
_ACTIONS = pa.array([action.name for action in TradingAction])
_STATES = pa.array([state.name for state in TradingState])
_STAGES = pa.array([stage_names(bits) for bits in range(STAGE_SETS)])
