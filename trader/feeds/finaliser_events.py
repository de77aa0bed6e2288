"""What goes into the finaliser, what comes out of it, and what it remembers of a symbol."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from trader.core.schema import BarProof
from trader.feeds.final_bars import FinalBars
from trader.feeds.source import Event, Finality, RawBar, Row

LONGEST_WAIT_NS = 60_000_000_000  # between two questions about a bar that REST has not
OFTEN_NS = 15_000_000_000  # bars shorter than that are not asked for again as each is due


class Page(NamedTuple):
    """What REST said of the bars that open in [start, end), when asked at `asked_ns`."""

    symbol: int
    start_ns: int
    end_ns: int
    bars: Sequence[RawBar]
    asked_ns: int
    is_check: bool = False


class SymbolGone(NamedTuple):
    """A symbol that the market does not have any more."""

    symbol: int


class Tick(NamedTuple):
    """Time went by."""


TICK = Tick()
Input = Event | Page | SymbolGone | Tick


class Final(NamedTuple):
    """A closed bar, once."""

    symbol: int
    bar: RawBar
    proof: BarProof
    is_history: bool


class Gap(NamedTuple):
    """Bars that are not there: `bars` of them from the one that opens at `open_ns`."""

    symbol: int
    open_ns: int
    bars: int


class Revision(NamedTuple):
    """The market says otherwise of a bar that was final."""

    symbol: int
    old: RawBar
    new: RawBar


class Ask(NamedTuple):
    """REST must be asked for the bars that open in [start, end)."""

    symbol: int
    start_ns: int
    end_ns: int
    is_check: bool = False  # of bars that have left; nobody waits for it


class Stale(NamedTuple):
    """The line of a symbol owes bars: make it anew."""

    symbol: int
    why: str


class Quiet(NamedTuple):
    """REST has the newest bar that left and no later one: nothing was traded since."""

    symbol: int


class Late(NamedTuple):
    """A bar that came after its Gap: it is recorded and nothing more."""

    symbol: int
    bar: RawBar


class Odd(NamedTuple):
    """A row that can be no bar."""

    symbol: int
    bar: RawBar
    why: str


Output = Final | Gap | Revision | Ask | Stale | Quiet | Late | Odd


class Hours:
    """Trading hours as the opens and closes of SESSION rows, in order."""

    def __init__(self, opens: Sequence[int], closes: Sequence[int]) -> None:
        self._opens, self._closes = list(opens), list(closes)

    def hold(self, ts_ns: int) -> bool:
        """Whether a bar may open then."""
        row = bisect_right(self._opens, ts_ns) - 1
        return row >= 0 and ts_ns < self._closes[row]

    def next_ns(self, ts_ns: int) -> int:
        """The first time at or after `ts_ns` at which a bar may open."""
        if self.hold(ts_ns):
            return ts_ns
        row = bisect_right(self._opens, ts_ns)
        return self._opens[row] if row < len(self._opens) else ts_ns

    def back_ns(self, ts_ns: int, span_ns: int) -> int:
        """The time that lies `span_ns` of trading time before `ts_ns`."""
        row = bisect_right(self._opens, ts_ns) - 1
        while row >= 0:
            last_ns = min(ts_ns, self._closes[row])
            if last_ns - self._opens[row] >= span_ns:
                return last_ns - span_ns
            span_ns -= last_ns - self._opens[row]
            row -= 1
        return self._opens[0] if self._opens else ts_ns


class Terms(NamedTuple):
    """What a finaliser goes by, in nanoseconds."""

    period_ns: int
    finality: Finality
    grace_ns: int  # after a close, before REST is believed
    late_ns: int  # after a close, from where on a bar is history however it came
    hours: Hours | None = None  # when bars are wanted; None: always

    def aligned(self, ts_ns: int) -> int:
        """The open of the bar that holds that time."""
        return ts_ns // self.period_ns * self.period_ns

    def in_hours(self, open_ns: int) -> int:
        """The open of the first bar at or after that time that is wanted."""
        return open_ns if self.hours is None else self.hours.next_ns(open_ns)

    def after(self, open_ns: int) -> int:
        """The open of the next bar that is wanted."""
        return self.in_hours(open_ns + self.period_ns)

    def is_wanted(self, open_ns: int) -> bool:
        """Whether a bar may open then."""
        return self.hours is None or self.hours.hold(open_ns)

    def is_ahead(self, ts_ns: int, now_ns: int) -> bool:
        """Whether a time has not come by the market's clock."""
        return ts_ns > now_ns + self.grace_ns

    def due_ns(self, open_ns: int) -> int:
        """When REST is asked for the bar of that open."""
        return open_ns + self.period_ns + self.grace_ns

    def next_due_ns(self, asked_to_ns: int) -> int:
        """When REST is asked again, whatever it had not, since a bar more has closed."""
        return self.due_ns(self.in_hours(asked_to_ns + self.aligned(OFTEN_NS)))

    def longer_wait_ns(self, wait_ns: int) -> int:
        """The next wait before REST is asked again for a bar that it has not."""
        return min(max(2 * wait_ns, self.grace_ns, 1_000_000), LONGEST_WAIT_NS)

    def closed_ns(self, asked_ns: int) -> int:
        """The open of the newest bar that REST shows as it stays, asked then."""
        return asked_ns - self.grace_ns - self.period_ns


class PendingBar(NamedTuple):
    """A bar that has not left yet; `proof` None: it may still be forming."""

    bar: RawBar
    proof: BarProof | None
    session: int
    is_primed: bool  # known from the stream's first snapshot only
    line: int = 0  # which showed it

    def is_changed_by(self, row: Row, session: int) -> bool:
        """Not by an older state, nor by a snapshot of what has come on this session already."""
        is_known = row.is_snapshot and (row.bar, session) == (self.bar, self.session)
        return not (is_known or is_behind(row.bar, self.bar))


@dataclass
class Line:
    """One symbol."""

    next_ns: int  # open of the bar that leaves next
    finals: FinalBars  # that have left
    seen: dict[int, PendingBar] = field(default_factory=dict)
    empty: set[int] = field(default_factory=set)  # opens that REST has no bar for
    session: int = 0  # counts streams
    up_ns: int | None = None  # since when the stream speaks
    is_asked: bool = False
    asked_to_ns: int = 0  # all before has closed when REST was asked last
    ask_after_ns: int = 0
    wait_ns: int = 0  # before the next question about the same bar
    vain_ns: int = 0  # since when it has been asked for in vain
    is_catching_up: bool = True
    misses: int = 0
    stale_ns: int = 0  # when it was last told so
    disputes: int = 0
    is_gone: bool = False


class Standing:
    """Which lines others wait for, kept up to date so that no event asks all of them."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.catching_up: set[int] = set()
        self.down: set[int] = set()
        self.asked: dict[int, Line] = {}  # REST has just been asked for the bar that leaves next
        for symbol, line in enumerate(lines):
            self.note(symbol, line)

    def note(self, symbol: int, line: Line) -> None:
        """A line is as it is now."""
        for members, is_one in (
            (self.catching_up, line.is_catching_up),
            (self.down, line.up_ns is None and not line.is_gone),
        ):
            if is_one:
                members.add(symbol)
            else:
                members.discard(symbol)
        if line.is_asked and not line.wait_ns and not line.is_gone:
            self.asked[symbol] = line
        else:
            self.asked.pop(symbol, None)


def is_behind(bar: RawBar, later: RawBar) -> bool:
    """Whether `bar` is an older state of the same bar: highs and volume only grow, lows fall."""
    return bar.volume < later.volume or bar.high < later.high or bar.low > later.low
