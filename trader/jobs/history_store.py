"""Downloaded bars on disk: one folder a symbol, one Parquet file a month, and what was asked for.

    DIR/EXCHANGE/BTC/USDT/60s/2026-11.parquet     timestamp (UTC, of the open) and OHLCV
    DIR/EXCHANGE/BTC/USDT/60s/asked.json          [[from_ns, to_ns], …]: no need to ask again

Where a bar's best bid and ask are known, they stand beside it as `bid` and `ask`.

Law: a file is whole or not there; what is noted as asked for is on disk already.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from trader.errors import DataError
from trader.feeds.source import RawBar

ASKED = "asked.json"
NAMES = ("open", "high", "low", "close", "volume")
SIDES = ("bid", "ask")
Span = tuple[int, int]  # [from, to), UTC nanoseconds
Quotes = Mapping[int, tuple[float, float]]  # (bid, ask) of bars, by their opens


class HistoryStore:
    """The bars of one symbol."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def missing(self, start_ns: int, end_ns: int) -> list[Span]:
        """The parts of [start, end) that were never asked for, in order."""
        spans, at_ns = [], start_ns
        for since_ns, until_ns in self._asked():
            if since_ns >= end_ns:
                break
            if since_ns > at_ns:
                spans.append((at_ns, since_ns))
            at_ns = max(at_ns, until_ns)
        if at_ns < end_ns:
            spans.append((at_ns, end_ns))
        return spans

    def put(self, bars: Sequence[RawBar], span: Span, quotes: Quotes | None = None) -> None:
        """Bars of a span that was asked for whole, durably; then the note that it was."""
        self.folder.mkdir(parents=True, exist_ok=True)
        months: dict[str, list[RawBar]] = {}
        for bar in bars:
            months.setdefault(
                str(np.datetime64(bar.open_ns, "ns").astype("datetime64[M]")), []
            ).append(bar)
        for month, rows in months.items():
            self._write(self.folder / f"{month}.parquet", rows, quotes or {})
        text = json.dumps(merged([*self._asked(), span]))
        _replace(self.folder / ASKED, lambda path: path.write_text(text))

    def bars(self) -> list[RawBar]:
        """All of them, oldest first."""
        return [bar for path in sorted(self.folder.glob("*.parquet")) for bar in _read(path)]

    def rows(self) -> int:
        """How many bars there are."""
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(path).num_rows for path in self.folder.glob("*.parquet"))

    def _asked(self) -> list[Span]:
        path = self.folder / ASKED
        if not path.exists():
            return []
        try:
            return merged(
                [(int(since), int(until)) for since, until in json.loads(path.read_text())]
            )
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path} is damaged ({error}); remove it, and the download fetches it again"
            ) from None

    def _write(self, path: Path, bars: Iterable[RawBar], quotes: Quotes) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        found = {bar.open_ns: bar for bar in _read(path)} if path.exists() else {}
        found |= {bar.open_ns: bar for bar in bars}
        rows = [found[at] for at in sorted(found)]
        columns = {"timestamp": pa.array([row.open_ns for row in rows], pa.timestamp("ns", "UTC"))}
        columns |= {
            name: pa.array([getattr(row, name) for row in rows], pa.float64()) for name in NAMES
        }
        quotes = {**_quotes(path), **quotes}
        if any(at in quotes for at in found):
            sides = zip(*(quotes.get(at, (None, None)) for at in sorted(found)), strict=True)
            arrays = (pa.array(side, pa.float64()) for side in sides)
            columns |= dict(zip(SIDES, arrays, strict=True))
        table = pa.table(columns)
        _replace(path, lambda fresh: pq.write_table(table, fresh))


def merged(spans: Iterable[Span]) -> list[Span]:
    """Spans that touch or overlap as one, in order."""
    result: list[Span] = []
    for since_ns, until_ns in sorted(spans):
        if result and since_ns <= result[-1][1]:
            result[-1] = result[-1][0], max(result[-1][1], until_ns)
        else:
            result.append((since_ns, until_ns))
    return result


def _read(path: Path) -> list[RawBar]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        stamps = table["timestamp"].cast(pa.int64()).to_pylist()
        return [
            RawBar(*row)
            for row in zip(stamps, *(table[name].to_pylist() for name in NAMES), strict=True)
        ]
    except (pa.ArrowException, KeyError) as error:
        raise DataError(f"{path} is damaged ({error}); remove it and {ASKED} beside it") from None


def _quotes(path: Path) -> Quotes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists() or SIDES[0] not in pq.read_schema(path).names:
        return {}
    table = pq.read_table(path, columns=["timestamp", *SIDES])
    stamps = table["timestamp"].cast(pa.int64()).to_pylist()
    sides = (table[name].to_pylist() for name in SIDES)
    return {at: (bid, ask) for at, bid, ask in zip(stamps, *sides, strict=True) if bid is not None}


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside, flush to disk, put in place."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    write(fresh)
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(path)
