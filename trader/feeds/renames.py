"""Symbols that change their name: which instrument a name in the data means, and when.

Law: the name that the config lists is the instrument's, at any time. Another name of it counts
from the bar that opens at the rename, or up to the bar before that, and no longer: somebody else
may have taken it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from trader.codes import DAY_NS
from trader.config.schema import Config
from trader.errors import ConfigError, DataError
from trader.feeds.raw import RawRows
from trader.feeds.timed_rows import read_timed_rows
from trader.hours.periods import bar_clock
from trader.hours.tables import session_table
from trader.tables.symbols import SymbolColumn

KEY = "feed.adjustments"
COLUMNS = ("timestamp", "symbol", "kind", "value")
RENAME = "rename"
Rename = tuple[int, str, str]  # when, from, to


@dataclass(frozen=True)
class Renames:
    """Names of instruments beside those of the config: (from_ns, until_ns, symbol) of each."""

    spans: dict[str, list[tuple[float, float, int]]] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Every name that is not the config's."""
        return frozenset(self.spans)

    def symbol_at(self, name: str, ts_ns: int) -> int | None:
        """The instrument that another name means at an instant."""
        for first, last, symbol in self.spans.get(name, ()):
            if first <= ts_ns < last:
                return symbol
        return None

    def applied(self, raw: RawRows, config: Config) -> RawRows:
        """The rows of a file with the config's name in the place of others while they count."""
        if raw.symbols is None or self.names.isdisjoint(raw.symbols.names):
            return raw
        names, codes = list(raw.symbols.names), raw.symbols.codes.copy()
        opens = bar_clock(config).spans(raw.stamps_ns).open_ns
        for code, name in enumerate(raw.symbols.names):
            for first, last, symbol in self.spans.get(name, ()):
                own = config.symbols[symbol]
                if own not in names:
                    names.append(own)
                counts = (raw.symbols.codes == code) & (opens >= first) & (opens < last)
                codes[counts] = names.index(own)
        return replace(raw, symbols=SymbolColumn(names, codes))


def load_renames(config: Config) -> Renames:
    """The rows of kind `rename` of the config's file."""
    if config.feed.adjustments is None:
        return Renames()
    timed = read_timed_rows(config.feed.adjustments, KEY, COLUMNS)
    found: list[Rename] = []
    for row, cells in enumerate(timed.rows):
        if cells["kind"].lower() != RENAME:
            continue
        if not cells["value"] or cells["value"] == cells["symbol"]:
            raise DataError(f"{timed.places[row]}: value of a rename must be the new symbol")
        if cells["symbol"] in config.symbols and cells["value"] in config.symbols:
            raise ConfigError(
                f"{timed.places[row]} says that {cells['symbol']} became {cells['value']}: that is "
                "one instrument; list one of the two names, and it keeps that one",
                key=f"instruments.{config.symbols.index(cells['symbol'])}.symbol",
            )
        day_ns = timed.day(row) * DAY_NS
        sessions = session_table(config.risk.market_hours, day_ns, day_ns)
        found.append((timed.stamp_ns(row, config, sessions), cells["symbol"], cells["value"]))
    spans: dict[str, list[tuple[float, float, int]]] = {}
    for symbol, name in enumerate(config.symbols):
        for other, first, last in _other_names(name, sorted(found)):
            spans.setdefault(other, []).append((first, last, symbol))
    return Renames(spans)


def _other_names(name: str, renames: Sequence[Rename]) -> list[tuple[str, float, float]]:
    """(name, from, until) of what an instrument was and will be called beside `name`."""
    spans: list[tuple[str, float, float]] = []
    called, until = name, math.inf
    for ts_ns, old, new in reversed(renames):  # what it was
        if new == called and ts_ns < until:
            if spans:
                spans[-1] = (called, ts_ns, spans[-1][2])
            spans.append((old, -math.inf, ts_ns))
            called, until = old, ts_ns
    later: list[tuple[str, float, float]] = []
    called, since = name, -math.inf
    for ts_ns, old, new in renames:  # what it will be
        if old == called and ts_ns > since:
            if later:
                later[-1] = (called, later[-1][1], ts_ns)
            later.append((new, ts_ns, math.inf))
            called, since = new, ts_ns
    return spans + later
