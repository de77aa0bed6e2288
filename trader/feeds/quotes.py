"""Best bid and ask of a live market, put beside its bars.

Law: a bar carries the newest quote that was heard since it opened, on a line that has not ended
since; else it carries none. Nobody listens for quotes that nothing in the config reads.
"""

import math
import re
from typing import NamedTuple, Protocol, runtime_checkable

from trader.config.schema import Config

NO_QUOTE = math.nan, math.nan
NAMED = re.compile(r"\b(bid|ask|spread_bps)\b")


class Quote(NamedTuple):
    """Best bid and ask, and when they were heard by the event loop's clock."""

    bid: float
    ask: float
    heard_s: float


class QuoteBook:
    """The newest quote of each symbol."""

    def __init__(self) -> None:
        self._quotes: dict[int, Quote] = {}

    def hear(self, symbol: int, bid: float | None, ask: float | None, now_s: float) -> None:
        """A source tells both sides; without one of them there is no quote."""
        self._quotes.pop(symbol, None)
        if bid is not None and ask is not None and 0.0 < bid < math.inf and 0.0 < ask < math.inf:
            self._quotes[symbol] = Quote(bid, ask, now_s)

    def forget(self) -> None:
        """The line has ended: what was heard may not be so any more."""
        self._quotes.clear()

    def since(self, symbol: int, from_s: float) -> tuple[float, float]:
        """(bid, ask) if heard since then, else NaN twice."""
        quote = self._quotes.get(symbol)
        if quote is None or quote.heard_s < from_s:
            return NO_QUOTE
        return quote.bid, quote.ask


@runtime_checkable
class QuoteSource(Protocol):
    """A market that tells best bid and ask while its `events` run, if `SourceTerms` want them."""

    quotes: QuoteBook


def newest_quote(source: object, symbol: int, from_s: float) -> tuple[float, float]:
    """(bid, ask) that a source has heard of a symbol since then, else NaN twice."""
    return source.quotes.since(symbol, from_s) if isinstance(source, QuoteSource) else NO_QUOTE


def reads_quotes(config: Config) -> bool:
    """Whether something in a config reads bid or ask. A class of the user's own may."""
    if config.throttle.max_spread_bps is not None:
        return True
    if config.broker.slippage.type == "half_spread":
        return True
    features = config.features.values()
    if any(feature.type == "python" for feature in features):
        return True
    texts = [str((feature.type, feature.params)) for feature in features]
    return any(NAMED.search(text) for text in (*texts, config.model.model_dump_json()))
