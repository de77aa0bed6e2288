"""Bars as features and models see them: each price times the splits so far.

Law: needs no knowledge of the future. The first bar of a symbol is as it was traded; after a split
of 2 a price of 50 is seen as 100, and a volume of 200 as 100. Equal bars give equal prices, in one
piece or bar by bar.
"""

import numpy as np

from trader.core.book import NO_ADJUSTMENTS
from trader.core.schema import AdjustmentKind
from trader.hours.bar_sessions import bar_opens

PRICES = ("open", "high", "low", "close", "bid", "ask")


class ForwardPrices:
    """Takes BAR records in order of time, in any portions, and gives them as they are to be seen.

    `adjustments` are ADJUSTMENT records. Where there is no split, bars are handed on untouched.
    """

    def __init__(self, adjustments: np.ndarray = NO_ADJUSTMENTS, period_ns: int = 0) -> None:
        splits = adjustments[adjustments["kind"] == AdjustmentKind.SPLIT]
        self._period_ns = period_ns
        self._splits = {
            symbol: splits[splits["symbol"] == symbol] for symbol in set(splits["symbol"].tolist())
        }
        self._first_ns: dict[int, int] = {}  # open of the first bar seen, by symbol

    @property
    def has_splits(self) -> bool:
        """Whether any bar may be seen otherwise than it was traded."""
        return bool(self._splits)

    def take(self, bars: np.ndarray) -> np.ndarray:
        """BAR records (n,), those with splits behind them changed in a copy."""
        if not self._splits:
            return bars
        seen = bars.copy()
        opens = bar_opens(bars, self._period_ns)
        for symbol, splits in self._splits.items():
            rows = np.flatnonzero(bars["symbol"] == symbol)
            if not len(rows):
                continue
            first_ns = self._first_ns.setdefault(symbol, int(opens[rows[0]]))
            later = splits[splits["ts_ns"] > first_ns]
            factors = np.concatenate([[1.0], np.cumprod(later["value"])])
            factor = factors[np.searchsorted(later["ts_ns"], opens[rows], side="right")]
            for name in PRICES:
                seen[name][rows] *= factor
            seen["volume"][rows] /= factor
        return seen
