"""How long a line that ended waits before it is made anew.

Law: longer each time, by chance a little more or less, and never in haste: only a line that has
brought market data and lasted makes the next wait half as long, and short again once it has lived
longer than it had been waited for.
"""

import random

LONGEST_S, LASTING_S = 60.0, 5.0


class LineWait:
    """The waits of one line."""

    def __init__(self, first_s: float) -> None:
        self._first_s, self._wait_s = first_s, 0.0

    def next_s(self, lived_s: float, has_spoken: bool) -> float:
        """After a line that lived so long; `has_spoken`: it brought market data."""
        if has_spoken and lived_s > LASTING_S:
            self._wait_s = 0.0 if lived_s > self._wait_s else self._wait_s / 4.0
        self._wait_s = min(max(2.0 * self._wait_s, self._first_s), LONGEST_S)
        return self._wait_s * random.uniform(0.75, 1.25)
