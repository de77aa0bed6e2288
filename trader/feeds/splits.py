"""Splits that are declared, and jumps of prices that look like one that is not.

Law: says what it looks like and changes nothing. A print that comes back at once is no split. A
declared split is no jump; prices that do not follow it jump by it.
"""

import numpy as np

from trader.core.book import NO_ADJUSTMENTS
from trader.core.schema import AdjustmentKind
from trader.feeds.series import Series, jump_text
from trader.moments import iso_utc

RATIOS = (*range(2, 11), 12, 15, 20, 25, 30, 40, 50, 100)  # new for one old, or the reverse
UNEVEN = ((3, 2), (4, 3), (5, 4), (5, 2))  # (new, old)
NEAR = 0.06  # of the ratio: a day's own move comes on top
AFTER = 5  # bars that have to stay on the new level, and to have stood on the old one
MOST_MOVE = 0.25  # by which a close may leave its level meanwhile


LISTED = 5


class DeclaredSplits:
    """The splits of `feed.adjustments` (ADJUSTMENT records), as the gates go by them."""

    def __init__(self, adjustments: np.ndarray = NO_ADJUSTMENTS) -> None:
        splits = adjustments[adjustments["kind"] == AdjustmentKind.SPLIT]
        self._by_symbol = {}
        for symbol in set(splits["symbol"].tolist()):
            own = splits[splits["symbol"] == symbol]
            factors = np.concatenate([[1.0], np.cumprod(own["value"])])
            self._by_symbol[symbol] = own["ts_ns"].copy(), factors

    def are_of(self, symbol: int) -> bool:
        """Whether a symbol has any."""
        return symbol in self._by_symbol

    def factors(self, symbol: int, opens_ns: np.ndarray) -> np.ndarray:
        """float64: by what the prices of bars that open then are to be multiplied, so that they
        are prices of what one unit was at first."""
        times, factors = self._by_symbol[symbol]
        found: np.ndarray = factors[np.searchsorted(times, opens_ns, side="right")]
        return found

    def levels(self, series: Series, opens_ns: np.ndarray) -> np.ndarray:
        """float64: the closes of a series without what its splits did."""
        close = series.column("close")
        if not self.are_of(series.symbol):
            return close
        levels: np.ndarray = close * self.factors(series.symbol, opens_ns)
        return levels

    def text(self, series: Series, levels: np.ndarray, row: int) -> str:
        """What jumped, and the split that was declared there, if one was."""
        close = series.column("close")
        split = levels[row] / close[row] * close[row - 1] / levels[row - 1]
        declared = f", and a split of {split:.6g} is declared" if abs(split - 1.0) > 1e-6 else ""
        return jump_text(close, row) + declared


def split_sentences(series: Series, jumps: np.ndarray) -> list[str]:
    """A sentence for each of the first few `jumps` that look like a split."""
    opens, close = series.column("open"), series.column("close")
    found = []
    for row in np.flatnonzero(jumps).tolist():
        ratio = looks_like_split(opens, close, row)
        if ratio:
            place = series.raw.place(int(series.rows[row]))
            found.append(
                f"{place}: {series.name} at {iso_utc(int(series.stamps_ns[row]))} looks like a "
                f"split of {ratio} that the prices do not allow for ({jump_text(close, row)})"
            )
        if len(found) == LISTED:
            break
    return found


def looks_like_split(opens: np.ndarray, close: np.ndarray, row: int) -> str:
    """`4:1` (four new for one old) of the bar at `row`, which jumped; "" where it is none."""
    before, after = float(close[row - 1]), float(close[row])
    preceding, following = close[max(row - AFTER, 0) : row], close[row : row + AFTER]
    is_level = (np.abs(preceding / before - 1.0) < MOST_MOVE).all()
    if not is_level or not (np.abs(following / after - 1.0) < MOST_MOVE).all():
        return ""
    if len(following) < AFTER:
        return ""
    if not opens[row] > 0.0:
        return ""
    pairs = [(n, 1) for n in RATIOS] + [(1, n) for n in RATIOS] + [*UNEVEN]
    factor = before / float(opens[row])  # the night is shorter than the day
    new, old = min(pairs, key=lambda pair: abs(factor * pair[1] / pair[0] - 1.0))
    if abs(factor * old / new - 1.0) > NEAR or abs(before / after * old / new - 1.0) > 2 * NEAR:
        return ""
    return f"{new}:{old}"
