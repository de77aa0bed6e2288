"""How many of the bars of a market came as they closed, symbol by symbol.

Law: what came by a later question, after its time, counts as not received. Bars before the first
that came in time are not counted, nor those without a trade, which the market has not either.
"""

from collections import deque

LAST = 100  # bars of a symbol that the share is of
LEAST = 0.99


class Receipts:
    """Received and expected bars."""

    def __init__(self, symbols: int) -> None:
        self.received = [0] * symbols
        self.expected = [0] * symbols
        self._last: list[deque[bool]] = [deque(maxlen=LAST) for _ in range(symbols)]
        self._is_low = [False] * symbols

    def note(self, symbol: int, is_received: bool) -> str:
        """Take a bar that was due; what to tell when too few of the last have come, "" else."""
        last = self._last[symbol]
        if not (is_received or last):
            return ""
        self.expected[symbol] += 1
        self.received[symbol] += is_received
        last.append(is_received)
        was_low, is_low = self._is_low[symbol], sum(last) < LEAST * len(last)
        if len(last) < LAST:
            return ""
        self._is_low[symbol] = is_low
        if was_low or not is_low:
            return ""
        return f"{sum(last)} of the last {LAST} bars came as they closed"
