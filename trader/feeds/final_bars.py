"""The newest bars of a symbol that have left: what a later word of the market is compared with.

Pure: no clock and no I/O. A stream can lose a row in its middle without a word, and few exchanges
stream a correction: so now and then REST is asked for all that is remembered.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from trader.feeds.source import RawBar

REMEMBERED = 64
CHECKED_EVERY = 32  # bars: each is compared twice, first when it is young

EarlierBars = Mapping[int, Sequence[RawBar]]  # by symbol
NO_BARS: EarlierBars = {}


class FinalBars:
    """Those of one symbol, by their opens."""

    def __init__(self, number: int, earlier: Iterable[RawBar] = ()) -> None:
        """`number`: of the symbol, so that not all are due at once; `earlier`: that have left."""
        self._bars: OrderedDict[int, RawBar] = OrderedDict()
        self._corrected_ns: dict[int, int] = {}  # when that was said, of those that were
        self._unchecked = number % CHECKED_EVERY
        self._is_asked = self._is_begun = False
        for bar in earlier:
            self.add(bar, is_history=True)

    def __len__(self) -> int:
        return len(self._bars)

    @property
    def oldest_ns(self) -> int:
        """Open of the oldest one; there must be one."""
        return next(iter(self._bars))

    def newest_ns(self, default_ns: int) -> int:
        """Open of the newest one, if there is one."""
        return next(reversed(self._bars), default_ns)

    def get(self, open_ns: int) -> RawBar | None:
        """The bar of that open as it left, or as it was corrected since."""
        return self._bars.get(open_ns)

    def add(self, bar: RawBar, is_history: bool) -> None:
        """One leaves, the newest."""
        self._bars[bar.open_ns] = bar
        self._is_begun |= not is_history  # REST has just been asked for what was before
        self._unchecked += self._is_begun
        while len(self._bars) > REMEMBERED:
            open_ns, _ = self._bars.popitem(last=False)
            self._corrected_ns.pop(open_ns, None)

    def correct(self, bar: RawBar, said_ns: int) -> RawBar | None:
        """The bar as it was, if it is remembered and this one differs; this one stands now.

        Not by a word of before the last correction: an answer of REST may come late.
        """
        old = self._bars.get(bar.open_ns)
        if old is None or old == bar or said_ns < self._corrected_ns.get(bar.open_ns, said_ns):
            return None
        self._bars[bar.open_ns], self._corrected_ns[bar.open_ns] = bar, said_ns
        return old

    def is_to_be_asked(self) -> bool:
        """Whether REST is to be asked for them now; then it counts as asked until `checked`."""
        if self._is_asked or self._unchecked < CHECKED_EVERY:
            return False
        self._is_asked, self._unchecked = True, 0
        return True

    def checked(self) -> None:
        """REST has answered."""
        self._is_asked = False
