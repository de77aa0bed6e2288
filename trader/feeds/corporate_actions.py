"""Corporate actions as a market tells them, made the ADJUSTMENT rows that a file would give.

Law: what the config's own file says of a symbol, kind and time holds; the market is not added to
it. Nothing that has already acted in a run changes: only what is still to come is taken anew.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from trader.config.schema import Config
from trader.feeds.adjustments import adjustment_rows
from trader.feeds.renames import COLUMNS, KEY
from trader.feeds.timed_rows import TimedRows


class CorporateAction(NamedTuple):
    """One row of a file of `feed.adjustments`; `day` is the ex-date, YYYY-MM-DD."""

    day: str
    symbol: str
    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.symbol}: {self.kind} of {self.value} on {self.day}"


@runtime_checkable
class ActionSource(Protocol):
    """A market that knows corporate actions."""

    async def actions(self, first_day: str, last_day: str) -> Sequence[CorporateAction]:
        """Those with an ex-date in [first_day, last_day], by day; `SourceError` without answer."""
        ...


def with_actions(
    of_files: np.ndarray, actions: Sequence[CorporateAction], config: Config, sessions: np.ndarray
) -> np.ndarray:
    """ADJUSTMENT records of the config's files and of the market, by time."""
    if not actions:
        return of_files
    cells = tuple(dict(zip(COLUMNS, action, strict=True)) for action in actions)
    places = tuple(str(action) for action in actions)
    rows = TimedRows(Path(config.feed.type), places, cells, KEY, COLUMNS)
    told = adjustment_rows(rows, config, sessions)
    known = {_name(row) for row in of_files}
    fresh = np.array([row for row in told if _name(row) not in known], told.dtype)
    joined = np.concatenate([of_files, fresh])
    return joined[np.argsort(joined["ts_ns"], kind="stable")]


def actions_text(actions: Sequence[CorporateAction]) -> str:
    """A file for `feed.adjustments`."""
    return "\n".join([",".join(COLUMNS), *map(",".join, actions)]) + "\n"


def still_to_come(acted: np.ndarray, now: np.ndarray, opened_ns: int) -> np.ndarray:
    """What a run that goes on has: what has acted, and of what is known now all that does not act
    on a bar that opens up to `opened_ns`."""
    return np.concatenate([acted, now[now["ts_ns"] > opened_ns]])


def _name(row: np.void) -> tuple[int, int, int]:
    return int(row["ts_ns"]), int(row["symbol"]), int(row["kind"])
