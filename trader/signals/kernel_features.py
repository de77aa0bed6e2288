"""Our own features: names, parameters and defaults of the kernels.

Law: one table; a kernel's window is its only parameter, under the name the field uses.
"""

from dataclasses import dataclass

import numpy as np

from trader.core.schema import BAR
from trader.signals.feature import Params
from trader.signals.kernels import Kernel, new_state, run_kernel


@dataclass(frozen=True)
class KernelKind:
    """A feature type: its kernel, its window parameter (None: it has none) and what it means."""

    kernel: Kernel
    param: str | None
    default: int
    lowest: int
    meaning: str


KINDS = {
    "returns": KernelKind(Kernel.RETURNS, "period", 1, 1, "close / close `period` bars ago − 1"),
    "log_returns": KernelKind(
        Kernel.LOG_RETURNS, "period", 1, 1, "logarithm of close / close `period` bars ago"
    ),
    "zscore": KernelKind(
        Kernel.ZSCORE, "window", 20, 2, "close in standard deviations from its mean of `window`"
    ),
    "volume_ratio": KernelKind(
        Kernel.VOLUME_RATIO, "window", 20, 1, "volume over the mean of the `window` bars before"
    ),
    "session_vwap": KernelKind(
        Kernel.SESSION_VWAP, None, 0, 0, "volume-weighted mean price of the session so far"
    ),
    "vwap_distance": KernelKind(
        Kernel.VWAP_DISTANCE, None, 0, 0, "close over session_vwap − 1, in basis points"
    ),
    "spread_bps": KernelKind(
        Kernel.SPREAD_BPS, None, 0, 0, "(ask − bid) / mid in basis points; needs quotes"
    ),
    "time_of_day_sin": KernelKind(
        Kernel.TIME_OF_DAY_SIN, None, 0, 0, "sine of the part of the UTC day that has passed"
    ),
    "time_of_day_cos": KernelKind(
        Kernel.TIME_OF_DAY_COS, None, 0, 0, "cosine of the part of the UTC day that has passed"
    ),
    "day_of_week": KernelKind(Kernel.DAY_OF_WEEK, None, 0, 0, "0 Monday … 6 Sunday, by session"),
    "minutes_since_open": KernelKind(
        Kernel.MINUTES_SINCE_OPEN, None, 0, 0, "minutes since trading opened, or reopened"
    ),
    "gap": KernelKind(
        Kernel.GAP, None, 0, 0, "first open of the session / last close of the one before − 1"
    ),
}


class KernelFeature:
    """One kernel as configured."""

    def __init__(self, params: Params, sessions: np.ndarray) -> None:
        kind = KINDS[params.kind]
        self._kernel = int(kind.kernel)
        self._sessions = sessions
        self._window = 0
        if kind.param is not None:
            self._window = params.whole_number(kind.param, kind.default, kind.lowest)
        params.all_taken([kind.param] if kind.param else [])

    def batch(self, bars: np.ndarray) -> np.ndarray:
        """float64 (n,) for BAR records (n,) of one symbol."""
        out = np.empty(len(bars))
        run_kernel(self._kernel, bars, self._sessions, new_state(self._window), out)
        return out

    def stream(self) -> "KernelStream":
        """A fresh stream."""
        return KernelStream(self._kernel, self._sessions, self._window)


class KernelStream:
    """A kernel's state, carried on one bar at a time by the same compiled loop."""

    def __init__(self, kernel: int, sessions: np.ndarray, window: int) -> None:
        self._kernel, self._sessions = kernel, sessions
        self._state = new_state(window)
        self._bar = np.empty(1, BAR)
        self._out = np.empty(1)

    def update(self, bar: np.void) -> float:
        """Value at the close of `bar`."""
        self._bar[0] = bar
        run_kernel(self._kernel, self._bar, self._sessions, self._state, self._out)
        return float(self._out[0])
