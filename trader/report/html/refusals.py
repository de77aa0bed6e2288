"""Decisions that something stood in the way of, consecutive equal ones as one row.

Law: decisions are read part by part, so that ten million of them take no more memory than one part;
what is found does not depend on where the parts end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from trader.moments import NS_PER_MS
from trader.report.html.figures import text_codes
from trader.report.html.source import numbers, texts, times

MOST_REFUSALS = 5_000
OUTCOMES = ("denied", "throttled", "trimmed", "held")
DENIED, THROTTLED, TRIMMED, HELD = range(4)
COLUMNS = ("from", "to", "symbol", "outcome", "reason", "decisions")
AMOUNTS = {
    "requested": "requested_qty",
    "approved": "approved_qty",
    "observed": "observed",
    "limit": "limit",
}
BITS = 16  # of a number of a name


@dataclass(frozen=True)
class Refusals:
    """Rows of runs of equal decisions by column, in order of time."""

    columns: dict[str, list[Any]]
    total: int  # decisions with a reason
    left_out: int  # rows beyond the most that the page holds


def refusals(parts: Iterable[pa.Table]) -> Refusals:
    """Denied, throttled, trimmed and held decisions of tables like decisions.parquet.

    Of more rows than the page holds, what cost an order comes before what only held.
    """
    fold = RefusalFold()
    for part in parts:
        fold.add(part)
    return fold.refusals()


class _Runs(NamedTuple):
    """Runs of equal decisions in one part; rows are those of its table."""

    first: np.ndarray
    last: np.ndarray
    decisions: np.ndarray  # how many
    key: np.ndarray
    symbol: np.ndarray
    outcome: np.ndarray


class RefusalFold:
    """Takes one part of the decisions after another."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # of names, whatever part they are in
        self._open: dict[int, tuple[int, dict[str, Any] | None]] = {}  # by symbol: key, row
        self._kept: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])  # HELD: second
        self._total = self._runs = self._before = 0

    def add(self, part: pa.Table) -> None:
        """Take the next decisions."""
        runs = self._runs_of(part)
        _, firsts = np.unique(runs.symbol, return_index=True)
        lasts = np.append(firsts[1:], len(runs.key))[: len(firsts)] - 1
        rows: dict[int, dict[str, Any] | None] = {}
        goes_on = np.zeros(len(runs.key), bool)
        for place in firsts.tolist():
            key, row = self._open.get(int(runs.symbol[place]), (-1, None))
            if key == runs.key[place]:
                goes_on[place] = True
                rows[place] = row
        self._extend(part, runs, rows)
        new = np.flatnonzero(~goes_on)
        self._runs += len(new)
        rows |= self._keep(part, runs, new[np.argsort(runs.first[new], kind="stable")])
        for place in lasts.tolist():
            self._open[int(runs.symbol[place])] = int(runs.key[place]), rows.get(place)
        self._before += part.num_rows

    def refusals(self) -> Refusals:
        """What was found so far."""
        stopped, held = self._kept
        shown = [*stopped, *held][:MOST_REFUSALS]
        shown.sort(key=lambda row: row["place"])
        columns = {name: [row[name] for row in shown] for name in (*COLUMNS, *AMOUNTS)}
        return Refusals(columns, self._total, max(self._runs - MOST_REFUSALS, 0))

    def _runs_of(self, part: pa.Table) -> _Runs:
        reason, throttle, symbol = (
            self._coded(part[name]) for name in ("reason", "throttle", "symbol")
        )
        empty = self._number("")
        at = np.flatnonzero((reason != empty) | (throttle != empty))
        self._total += len(at)
        outcome = outcomes(part, throttle != empty)[at].astype(np.int64)
        symbol = symbol[at]
        key = (symbol << BITS | reason[at]) << BITS | throttle[at]
        key = key << 2 | outcome
        order = np.argsort(symbol, kind="stable")  # runs are within a symbol
        in_order = key[order]
        is_start = np.ones(len(at), bool)
        is_start[1:] = in_order[1:] != in_order[:-1]
        starts = np.flatnonzero(is_start)
        counts = np.diff(starts, append=len(at))
        first, last = order[starts], order[starts + counts - 1]
        return _Runs(at[first], at[last], counts, key[first], symbol[first], outcome[first])

    def _coded(self, column: pa.ChunkedArray) -> np.ndarray:
        codes, names = text_codes(column)
        return np.array([self._number(name) for name in names], np.int64)[codes]

    def _number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    def _extend(self, part: pa.Table, runs: _Runs, rows: dict[int, dict[str, Any] | None]) -> None:
        """Runs that began in an earlier part go on to their last decision in this one."""
        going = [place for place, row in rows.items() if row is not None]
        for place, until in zip(going, times(part.take(runs.last[going])), strict=True):
            row = rows[place]
            assert row is not None
            row["to"] = int(until) // NS_PER_MS
            row["decisions"] += int(runs.decisions[place])

    def _keep(self, part: pa.Table, runs: _Runs, new: np.ndarray) -> dict[int, dict[str, Any]]:
        """Rows of runs that begin here, in order of time, as far as there is room; by place."""
        made: dict[int, dict[str, Any]] = {}
        for kept, is_ours in (
            (self._kept[0], runs.outcome[new] != HELD),
            (self._kept[1], runs.outcome[new] == HELD),
        ):
            places = new[is_ours][: MOST_REFUSALS - len(kept)]
            rows = self._rows(part, runs, places)
            kept.extend(rows)
            made |= dict(zip(places.tolist(), rows, strict=True))
        return made

    def _rows(self, part: pa.Table, runs: _Runs, places: np.ndarray) -> list[dict[str, Any]]:
        head, tail = part.take(runs.first[places]), part.take(runs.last[places])
        reasons = zip(texts(head, "reason"), texts(head, "throttle"), strict=True)
        columns: dict[str, list[Any]] = {
            "from": (times(head) // NS_PER_MS).tolist(),
            "to": (times(tail) // NS_PER_MS).tolist(),
            "symbol": texts(head, "symbol"),
            "outcome": [OUTCOMES[code] for code in runs.outcome[places]],
            "reason": [why or throttle for why, throttle in reasons],
            "decisions": runs.decisions[places].tolist(),
            "place": (runs.first[places] + self._before).tolist(),
            **{name: numbers(head, source).tolist() for name, source in AMOUNTS.items()},
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def outcomes(rows: pa.Table, is_cut: np.ndarray) -> np.ndarray:
    """i1: DENIED, THROTTLED (`is_cut`), TRIMMED or HELD, of decisions that have a reason."""
    requested, approved = numbers(rows, "requested_qty"), numbers(rows, "approved_qty")
    outcome = np.where(is_cut, np.int8(THROTTLED), np.int8(TRIMMED))
    outcome[(requested != 0.0) & (approved == 0.0)] = DENIED
    outcome[requested == 0.0] = HELD
    return outcome
