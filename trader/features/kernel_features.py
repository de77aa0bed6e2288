"""Our own features: names, parameters and defaults of the kernels, for all symbols at once.

Law: one table; one pass over the bars computes every kernel of a config.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trader.core.schema import BAR, SESSION
from trader.features import kernels
from trader.features.bar_history import BarHistory
from trader.features.feature import INPUT_FIELDS, Params
from trader.features.kernels import KERNEL, run_kernels

LONGEST_WINDOW = 100_000  # bars, as in TA-Lib
CHUNK_ROWS = 65_536  # of a history fed without asking for values


@dataclass(frozen=True)
class KernelType:
    """A feature type: its kernel, what it means, and its parameters."""

    kind: int
    meaning: str
    window: str | None = None  # name of its window parameter
    default: int = 1
    lowest: int = 1
    field: str | None = None  # what it reads unless `input` names another; None: it has no `input`
    extra: int = 0  # bars its window is longer than the parameter says
    slots: int = 0  # float64 values of state, where it has no window


TYPES = {
    "returns": KernelType(
        kernels.RETURNS,
        "close / close `period` bars ago − 1",
        window="period",
        field="close",
        extra=1,
    ),
    "log_returns": KernelType(
        kernels.LOG_RETURNS,
        "natural logarithm of close / close `period` bars ago",
        window="period",
        field="close",
        extra=1,
    ),
    "zscore": KernelType(
        kernels.ZSCORE,
        "(close − mean) / sample standard deviation of the last `window` bars, this one "
        "included; 0 where all are equal",
        window="window",
        default=20,
        lowest=2,
        field="close",
    ),
    "volume_ratio": KernelType(
        kernels.VOLUME_RATIO,
        "volume / mean volume of the last `window` bars, this one included",
        window="window",
        default=20,
        field="volume",
    ),
    "session_vwap": KernelType(
        kernels.SESSION_VWAP,
        "mean of (high + low + close) / 3 weighted by volume, since the session's first bar",
        slots=3,
    ),
    "vwap_distance": KernelType(
        kernels.VWAP_DISTANCE, "close / session_vwap − 1, a fraction", slots=3
    ),
    "spread_bps": KernelType(kernels.SPREAD_BPS, "(ask − bid) / mid, in basis points"),
    "time_of_day_sin": KernelType(
        kernels.TIME_OF_DAY_SIN, "sin(2π × part of the UTC day passed at the close)"
    ),
    "time_of_day_cos": KernelType(
        kernels.TIME_OF_DAY_COS, "cos(2π × part of the UTC day passed at the close)"
    ),
    "day_of_week": KernelType(kernels.DAY_OF_WEEK, "UTC weekday of the bar: 0 Monday … 6 Sunday"),
    "minutes_since_open": KernelType(
        kernels.MINUTES_SINCE_OPEN, "minutes from the session's opening to the bar's close"
    ),
    "gap": KernelType(
        kernels.GAP,
        "session's first open / last close of the session before − 1, a fraction, all session long",
        slots=3,
    ),
}
BY_SESSION = (
    kernels.SESSION_VWAP,
    kernels.VWAP_DISTANCE,
    kernels.MINUTES_SINCE_OPEN,
    kernels.GAP,
)


def read_kernel(params: Params, column: int) -> np.void:
    """The KERNEL record of one config entry; its `offset` is left 0."""
    kind = TYPES[params.kind]
    kernel: np.void = np.zeros(1, KERNEL)[0]
    kernel["kind"] = kind.kind
    kernel["column"] = column
    if kind.window is not None:
        bounds = (kind.lowest, LONGEST_WINDOW)
        kernel["window"] = params.whole_number(kind.window, kind.default, bounds) + kind.extra
    if kind.field is not None:
        field = params.one_of("input", INPUT_FIELDS, kind.field)
        kernel["field"] = INPUT_FIELDS.index(field)
    params.end()
    return kernel


class KernelFeatures:
    """All kernels of a config. Satisfies `signals.feature.FeatureGroup`."""

    def __init__(
        self, chosen: Sequence[np.void], n_symbols: int, sessions: np.ndarray, period_ns: int
    ) -> None:
        self._kernels = np.array(chosen, KERNEL)
        self._n_symbols = n_symbols
        self._period_ns = period_ns
        asked = bool(np.isin(self._kernels["kind"], BY_SESSION).any())
        # our own copy: a read-only table would be one more type to compile for
        self._sessions = np.array(sessions if asked else [], SESSION)
        self._slots = 1
        for kernel in self._kernels:
            kernel["offset"] = self._slots
            self._slots += _slots(kernel)

    def new_state(self) -> np.ndarray:
        """State of kernels that have seen no bar."""
        state = np.zeros((self._n_symbols, self._slots))
        state[:, 0] = -1.0
        for kernel in self._kernels:
            if kernel["window"] == 0:
                first = kernel["offset"]
                state[:, first : first + _slots(kernel)] = np.nan
        return state

    def run(self, state: np.ndarray, bars: np.ndarray, out: np.ndarray) -> None:
        """Feed BAR records to `state`; values go to float64 `out` (features, n)."""
        with np.errstate(all="ignore"):  # where nothing is compiled, NumPy would warn
            taken = run_kernels(self._kernels, self._sessions, self._period_ns, state, bars, out)
        assert taken == len(bars), "a symbol of the config"

    def batch(self, history: BarHistory, matrix: np.ndarray) -> None:
        """Fill the kernels' columns of `matrix` (n, features)."""
        self.run(self.new_state(), history.bars, matrix.T)

    def stream(self) -> "KernelStream":
        """Fresh streams for every symbol."""
        return KernelStream(self, self._n_symbols, 1 + int(self._kernels["column"].max()))


def _slots(kernel: np.void) -> int:
    """float64 values of state a kernel needs: a count and its window twice, or what it says."""
    if kernel["window"]:
        return 1 + 2 * int(kernel["window"])
    return next(kind.slots for kind in TYPES.values() if kind.kind == kernel["kind"])


class KernelStream:
    """The kernels' state, carried on one bar at a time by the same compiled loop."""

    def __init__(self, features: KernelFeatures, n_symbols: int, width: int) -> None:
        self._features = features
        self._state = features.new_state()
        self._width = width
        bars = np.zeros(n_symbols, BAR)
        self._bars = [bars[symbol : symbol + 1] for symbol in range(n_symbols)]

    def update(self, bar: np.void, fields: tuple[Any, ...], row: np.ndarray) -> None:
        """Fill the kernels' places of `row` at the close of `bar`."""
        one = self._bars[bar["symbol"]]
        one[0] = bar
        self._features.run(self._state, one, row.reshape(-1, 1))

    def warm_up(self, history: BarHistory) -> None:
        """Take the history in."""
        out = np.empty((self._width, CHUNK_ROWS))
        for start in range(0, len(history.bars), CHUNK_ROWS):
            self._features.run(self._state, history.bars[start : start + CHUNK_ROWS], out)
