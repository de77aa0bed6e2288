"""Bad bars and what they cost: the symbol that showed one is not traded on until it is clean again.

Law: fed by what came, in the order it came: by the feed while a run lives, by its journal when the
run goes on. So a crash forgets no bad bar.
"""

from collections.abc import Iterable, Mapping
from typing import Any

CLEAN_BARS = 3  # a symbol must show after a bad bar, before it is traded again


class Quarantine:
    """Which symbols showed a bad bar lately, and how many bad ones came in a row."""

    def __init__(self) -> None:
        self.bad_in_a_row = 0
        self._needed: dict[int, int] = {}  # symbol → clean bars still needed

    def fields(self) -> dict[str, Any]:
        """For a SNAPSHOT."""
        needed = {str(symbol): count for symbol, count in sorted(self._needed.items())}
        return {"bad_in_a_row": self.bad_in_a_row, "clean_bars_needed": needed}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Quarantine":
        """As `fields` gave it."""
        made = cls()
        made.bad_in_a_row = int(fields["bad_in_a_row"])
        needed = fields["clean_bars_needed"].items()
        made._needed = {int(symbol): int(count) for symbol, count in needed}
        return made

    def refuse(self, symbol: int) -> None:
        """A bad bar came, of that symbol; of none that is known for -1."""
        self.bad_in_a_row += 1
        if symbol >= 0:
            self._needed[symbol] = CLEAN_BARS

    def accept(self) -> None:
        """A bar came that may be traded on."""
        self.bad_in_a_row = 0

    def held(self, symbols: Iterable[int]) -> tuple[int, ...]:
        """Of the symbols of a slice, whose bars are all clean: those that still must hold."""
        still = []
        for symbol in symbols:
            if symbol not in self._needed:
                continue
            self._needed[symbol] -= 1
            if self._needed[symbol] == 0:
                del self._needed[symbol]
            else:
                still.append(symbol)
        return tuple(still)
