"""One true market: a price path by seed, a clock of its own, and what has been revised."""

import math
import time
from random import Random

S = 1_000_000_000


class Market:
    """Bars of any symbol at any time, the same for one seed whoever asks."""

    def __init__(self, seed=7, period_s=1, empty=0.0, offset_s=0.0):
        self.seed, self.period_s, self.empty, self.offset_s = seed, period_s, empty, offset_s
        self.revised = {}  # (symbol, open_s) -> close
        self.splits = []  # (symbol, from when, new units for one old)

    def now_s(self):
        """The venue's clock."""
        return time.time() + self.offset_s

    def has_trades(self, symbol, open_s):
        return Random(f"{self.seed}/{symbol}/{open_s}/empty").random() >= self.empty

    def price(self, symbol, open_s):
        index = open_s // self.period_s
        shift = Random(f"{self.seed}/{symbol}").uniform(0, 100)
        noise = Random(f"{self.seed}/{symbol}/{open_s}").uniform(-0.2, 0.2)
        units = math.prod(n for name, at, n in self.splits if name == symbol and at <= open_s)
        return round((100.0 + 5.0 * math.sin(index / 40.0 + shift) + noise) / units, 2)

    def bar(self, symbol, open_s, share=1.0):
        """(open, high, low, close, volume) when `share` of the bar's time has passed."""
        first, last = self.price(symbol, open_s), self.price(symbol, open_s + self.period_s)
        if not self.has_trades(symbol, open_s):
            return (first, first, first, first, 0.0)
        random = Random(f"{self.seed}/{symbol}/{open_s}/bar")
        up, down = random.uniform(0, 0.1), random.uniform(0, 0.1)
        volume = random.randint(100, 900) / 100
        close = round(first + (last - first) * share, 2)
        high = round(max(first, close) + up * share, 2)
        low = round(min(first, close) - down * share, 2)
        if share >= 1.0 and (symbol, open_s) in self.revised:
            close = self.revised[symbol, open_s]
            high, low = max(high, close), min(low, close)
        return (first, high, low, close, round(volume * share, 4))

    def quote(self, symbol, open_s, share):
        """(bid, ask) when `share` of a bar's time has passed."""
        last = self.bar(symbol, open_s, share)[3]
        cents = Random(f"{self.seed}/{symbol}/{open_s}/{share}/quote").randint(1, 9)
        return round(last - 0.01, 2), round(last - 0.01 + cents / 100, 2)

    def revise(self, symbol, open_s):
        """Correct a closed bar."""
        self.revised[symbol, open_s] = round(self.bar(symbol, open_s)[3] + 0.01, 2)

    def share(self, open_s):
        """How much of a bar's time has passed."""
        return min(max((self.now_s() - open_s) / self.period_s, 0.0), 1.0)

    def opens(self, start_s, end_s):
        """Opens of the bars in [start, end) that have begun."""
        first = math.ceil(start_s / self.period_s) * self.period_s
        return range(int(first), int(min(end_s, self.now_s() + 1e-9)) + 0, self.period_s)
