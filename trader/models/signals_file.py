"""`model.type: signals`: actions decided beforehand, one row a bar.

Law: a signal belongs to the bar whose stamp in the feed it carries, and to no other; a bar without
one is HOLD. Two different signals for one bar are an error. A file none of whose signals meets a
bar is an error that says what is probably wrong.
"""

import logging
from collections.abc import Sequence

import numpy as np

from trader.config.schema import Config
from trader.config.sections.model import SignalsModel as SignalsConfig
from trader.core.schema import TradingAction
from trader.errors import ModelError
from trader.hours.periods import bar_clock, stamp_zone
from trader.models.prediction import Rich, no_requests
from trader.models.signals_table import SignalRows, read_signals
from trader.moments import iso_utc
from trader.tables.dialect import Dialect

QUARTER_NS = 900_000_000_000  # time zones differ by quarters of an hour
SAMPLE = 20_000  # signals tried when looking for the cause of a mismatch
_log = logging.getLogger(__name__)


class SignalsModel:
    """Actions looked up by symbol and bar. Features are not used, only waited for."""

    def __init__(
        self, config: Config, feature_names: Sequence[str], symbols: Sequence[str]
    ) -> None:
        assert isinstance(config.model, SignalsConfig), "load_model dispatches by type"
        self.feature_names = tuple(feature_names)
        self.symbols = tuple(symbols)
        self.path = config.model.path
        self._stamp = config.feed.timestamp
        self._period_ns = config.period_ns
        feed = config.feed
        dialect = Dialect(stamp_zone(config), time_unit=feed.time_unit, date_order=feed.date_order)
        rows = read_signals(self.path, symbols, dialect)
        self.signals = len(rows.stamp_ns)  # rows of the file
        self.unmatched = 0  # of them, how many met no bar; known after `check_history`
        self._unknown = rows.unknown
        self._clock = bar_clock(config)
        self._offset_ns = config.period_ns if self._stamp == "open" else 0
        self._first = (int(rows.symbol[0]), int(rows.stamp_ns[0]))
        self._beside: dict[int, np.ndarray] = {}  # symbol → REQUEST, as `_by_symbol`
        self._by_symbol = self._index(rows)

    def predict(self, bars: np.ndarray, features: np.ndarray) -> np.ndarray | Rich:
        """The signal of each of BAR records (n,), or HOLD; and what the file has beside it."""
        actions = np.full(len(bars), TradingAction.HOLD, np.int8)
        requests = no_requests(len(bars) if self._beside else 0)
        for symbol, (closes, wanted) in self._by_symbol.items():
            mine = np.flatnonzero(bars["symbol"] == symbol)
            ts_ns = bars["ts_ns"][mine]
            at = np.minimum(np.searchsorted(closes, ts_ns), len(closes) - 1)
            met = closes[at] == ts_ns
            actions[mine[met]] = wanted[at[met]]
            if self._beside:
                requests[mine[met]] = self._beside[symbol][at[met]]
        return Rich(actions, requests) if self._beside else actions

    def check_history(self, bars: np.ndarray) -> None:
        """Count the signals that meet no bar; `ModelError` if none does."""
        met = self._met(bars, 0)
        self.unmatched = self.signals - met
        if met == 0 and len(bars):
            raise ModelError(self._none_met(bars))
        if self.unmatched:
            unknown = f"; not instruments: {', '.join(self._unknown[:5])}" if self._unknown else ""
            _log.warning(
                "%s: %d of %d signals meet no bar%s",
                self.path,
                self.unmatched,
                self.signals,
                unknown,
            )

    def tell_held(self, cold: np.ndarray) -> None:
        """Warn of signals on `cold`, BAR records that wait for a feature: they are held."""
        said = self.predict(cold, np.empty((len(cold), 0)))
        wanted = said.actions if isinstance(said, Rich) else said
        held = int(np.count_nonzero(wanted != TradingAction.HOLD))
        if held:
            _log.warning(
                "%s: %d of %d signals fall on bars whose features are not warm, and are held; "
                "signals need no features: leave them out of the config",
                self.path,
                held,
                self.signals,
            )

    def _index(self, rows: SignalRows) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Symbol → (closes int64 sorted, actions int8), one entry a signal of the file."""
        close_ns = self._clock.spans(rows.stamp_ns).close_ns
        order = np.lexsort((close_ns, rows.symbol))  # stable: file order within a bar
        stamp, symbol, action = rows.stamp_ns[order], rows.symbol[order], rows.action[order]
        close = close_ns[order]
        same = (close[1:] == close[:-1]) & (symbol[1:] == symbol[:-1]) & (symbol[1:] >= 0)
        differs = action[1:] != action[:-1]
        if len(rows.requests):
            beside = rows.requests[order]
            raw = beside.view("V8").reshape(len(beside), -1)
            differs |= (raw[1:] != raw[:-1]).any(axis=1)
            known = [code for code in np.unique(symbol).tolist() if code >= 0]
            self._beside = {code: beside[symbol == code] for code in known}
        clash = np.flatnonzero(same & differs)
        if len(clash):
            at = clash[np.argmin(order[clash + 1])]
            first, second = int(order[at]), int(order[at + 1])
            raise ModelError(
                f"{self.path}: {rows.label(second)}: {TradingAction(action[at + 1]).name} for "
                f"{self.symbols[symbol[at]]} at {iso_utc(int(stamp[at]))}, which "
                f"{rows.label(first)} makes {TradingAction(action[at]).name}; keep one of them"
            )
        return {
            code: (close[symbol == code], action[symbol == code])
            for code in np.unique(symbol).tolist()
            if code >= 0
        }

    def _met(self, bars: np.ndarray, shift_ns: int, sample: int | None = None) -> int:
        """How many signals (of the first `sample` a symbol) close on a bar, moved by a shift."""
        met = 0
        for symbol, (closes, _) in self._by_symbol.items():
            ts_ns = np.sort(bars["ts_ns"][bars["symbol"] == symbol])
            if len(ts_ns):
                wanted = closes[:sample] + shift_ns
                at = np.minimum(np.searchsorted(ts_ns, wanted), len(ts_ns) - 1)
                met += int(np.count_nonzero(ts_ns[at] == wanted))
        return met

    def _none_met(self, bars: np.ndarray) -> str:
        """Why no signal meets a bar, as far as one can tell."""
        code, stamp_ns = self._first
        name = self.symbols[code] if code >= 0 else self._unknown[0]
        head = (
            f"{self.path}: none of the {self.signals} signals meets a bar; the first is {name} "
            f"at {iso_utc(stamp_ns)}"
        )
        if not self._by_symbol:
            return (
                f"{head}, and no symbol in the file ({', '.join(self._unknown[:5])}) is one of "
                f"the instruments ({', '.join(self.symbols[:5])})"
            )
        other = "close" if self._stamp == "open" else "open"
        shift_ns = -self._period_ns if self._stamp == "open" else self._period_ns
        if self._met(bars, shift_ns, SAMPLE):
            return (
                f"{head}. One bar period away they do: the file stamps the {other} of its bars, "
                f"and the feed stamps the {self._stamp} (feed.timestamp). Stamp signals as the "
                "feed stamps bars"
            )
        hours = self._zone_shift(bars)
        if hours is not None:
            return (
                f"{head}. Moved by {hours:+g} hours they do: the file is in another time zone "
                "than the feed (feed.timezone); write times with their offset"
            )
        first, last = (iso_utc(int(ts_ns) - self._offset_ns) for ts_ns in bars["ts_ns"][[0, -1]])
        return (
            f"{head}, and the feed's bars are stamped {first} to {last}; check dates, symbols "
            "and bar_period_seconds"
        )

    def _zone_shift(self, bars: np.ndarray) -> float | None:
        """Hours to add to the signals for most of a sample to meet bars; None if none will do."""
        tried = sum(min(len(closes), SAMPLE) for closes, _ in self._by_symbol.values())
        shifts = sorted((quarters for quarters in range(-56, 57) if quarters), key=abs)
        best = max(shifts, key=lambda q: self._met(bars, q * QUARTER_NS, SAMPLE))
        return best / 4 if 2 * self._met(bars, best * QUARTER_NS, SAMPLE) > tried else None
