"""What is a closed bar: rows of a stream and pages of history in, final bars out.

    Row · Up · Lost · Page · TICK  ─►  Final · Gap · Revision · Ask · Stale · Odd

Law: pure: no clock and no I/O; the market's time comes in with every event. Each bar of a symbol
leaves once and in order, proven closed by the market (never by time alone), or a Gap stands in its
place. What was final stays: a later word against it is a Revision. A bar that closed while the
line was down is history.

How a bar is proven, best first: the exchange's own flag; the first row of the next bar on the
same unbroken stream, which was there when the bar began; the bar as REST gives it when asked a
grace after the close.
"""

from collections.abc import Iterable, Mapping, Sequence

from trader.core.schema import BarProof
from trader.feeds.final_bars import NO_BARS, EarlierBars, FinalBars
from trader.feeds.finaliser_events import (
    Ask,
    Final,
    Gap,
    Input,
    Late,
    Line,
    Odd,
    Output,
    Page,
    PendingBar,
    Quiet,
    Revision,
    Stale,
    Standing,
    Terms,
    Tick,
    is_behind,
)
from trader.feeds.source import Finality, Notice, RawBar, Row, StreamLoss, Up

DISPUTES = 3  # pages that are behind the stream, after which the page is believed
MISSES = 3  # bars in a row that the stream owed and REST had: the line is mute
PATIENCE_NS = 60_000_000_000  # asked in vain for so long, what the stream has gone past is a gap


class BarFinaliser:
    """The lines of every symbol of a feed."""

    def __init__(
        self, symbols: int, start_ns: Sequence[int], terms: Terms, earlier: EarlierBars = NO_BARS
    ) -> None:
        """`start_ns`: opens of the first bars that are wanted; `earlier`: the newest before."""
        self._terms, self.late_ns = terms, terms.late_ns
        self._now_ns = self._behind_ns = 0
        opens = [terms.in_hours(terms.aligned(start_ns[i])) for i in range(symbols)]
        self._lines = [Line(opens[i], FinalBars(i, earlier.get(i, ()))) for i in range(symbols)]
        self._standing = Standing(self._lines)

    @property
    def is_catching_up(self) -> bool:
        """Whether a symbol still waits for the history before its stream."""
        return bool(self._standing.catching_up)

    @property
    def is_down(self) -> bool:
        """Whether the stream of a symbol is not there, so that its history is still to come."""
        return self._terms.finality != Finality.POLL and bool(self._standing.down)

    def owed_ns(self) -> int:
        """The open of the oldest bar that REST has just been asked for."""
        return min((line.next_ns for line in self._standing.asked.values()), default=2**63 - 1)

    def on(self, event: Input, now_ns: int) -> list[Output]:
        """What follows from one event, in order; a market's time that goes back stands still."""
        self._behind_ns = max(self._now_ns - now_ns, 0)  # of a clock that was set back
        now_ns = self._now_ns = now_ns + self._behind_ns
        if isinstance(event, Notice):
            return []
        asking: Iterable[int] = range(len(self._lines))
        if isinstance(event, Tick):
            return [out for i in asking for out in self._questions(i, now_ns)]
        line, outs = self._lines[event.symbol], []
        if isinstance(event, Row):
            outs = self._row(event, line, now_ns)
        elif isinstance(event, Page):
            outs = self._checked(event, line) if event.is_check else self._page(event, line, now_ns)
        elif isinstance(event, Up):
            line.session += 1
            line.up_ns, line.is_catching_up, line.ask_after_ns = now_ns, True, 0
        elif isinstance(event, StreamLoss):
            line.up_ns = None
        else:
            line.is_gone, line.is_catching_up = True, False
        if not isinstance(event, Page):  # one that has a bar shows what others owe by then
            asking = (event.symbol,)
        outs += self._leaving(event.symbol, line, now_ns)
        if not line.is_gone and line.finals.is_to_be_asked():
            outs.append(Ask(event.symbol, line.finals.oldest_ns, line.next_ns, is_check=True))
        outs += [out for i in asking for out in self._questions(i, now_ns)]
        self._standing.note(event.symbol, line)
        return outs

    # rows of the stream

    def _row(self, row: Row, line: Line, now_ns: int) -> list[Output]:
        bar, terms = row.bar, self._terms
        if bar.open_ns % terms.period_ns:
            return [Odd(row.symbol, bar, "it opens between two bars")]
        if terms.is_ahead(bar.open_ns, now_ns):
            return [Odd(row.symbol, bar, "it opens in the future of the market's own clock")]
        if not terms.is_wanted(bar.open_ns):
            return []
        if bar.open_ns < line.next_ns:
            return self._after_the_fact(row, line)
        held = line.seen.get(bar.open_ns)
        is_final = row.is_closed is True or terms.finality == Finality.STATED
        is_final &= not terms.is_ahead(bar.open_ns + terms.period_ns, now_ns)  # it is forming still
        if held is not None and held.proof is not None:
            if is_final and not is_behind(bar, held.bar):  # corrected before it left
                line.seen[bar.open_ns] = held._replace(bar=bar)
            return []
        if held is None or is_final or held.is_changed_by(row, line.session):
            proof = None
            if is_final:
                proof = BarProof.FLAG if terms.finality != Finality.STATED else BarProof.STATED
            line.seen[bar.open_ns] = PendingBar(bar, proof, line.session, row.is_snapshot, row.line)
        if terms.finality == Finality.SUCCESSOR and not row.is_snapshot and line.up_ns is not None:
            self._prove_before(row, line)
        return []

    def _prove_before(self, row: Row, line: Line) -> None:
        """A fresh row of a later bar: what the same line showed of the one before is final.

        Not of a bar that had begun before the line was up, or came back: REST confirms that one.
        """
        for at, held in line.seen.items():
            is_same = (held.session, held.line) == (line.session, row.line)
            proven = is_same and at >= (line.up_ns or 0) and not held.is_primed
            if self._terms.after(at) == row.bar.open_ns and held.proof is None and proven:
                line.seen[at] = held._replace(proof=BarProof.SUCCESSOR)

    def _after_the_fact(self, row: Row, line: Line) -> list[Output]:
        """A row of a bar that has left: the same again, an old state of it, or a revision."""
        final = line.finals.get(row.bar.open_ns)
        if final is None:
            is_stated = row.is_closed or self._terms.finality == Finality.STATED
            was_due = line.finals and row.bar.open_ns > line.finals.oldest_ns
            return [Late(row.symbol, row.bar)] if is_stated and was_due else []
        if final == row.bar or row.is_closed is False or row.is_snapshot:  # ccxt keeps old states
            return []
        if row.is_closed is None and is_behind(row.bar, final):
            return []
        return self._corrected(row.symbol, row.bar, line, self._now_ns)

    def _corrected(self, symbol: int, bar: RawBar, line: Line, said_ns: int) -> list[Output]:
        """What the market said, at that time, of a bar that has left."""
        old = line.finals.correct(bar, said_ns)
        return [] if old is None else [Revision(symbol, old, bar)]

    # pages of REST

    def _checked(self, page: Page, line: Line) -> list[Output]:
        """What REST has otherwise than it left."""
        line.finals.checked()
        at_ns, closed_ns = page.asked_ns, self._terms.closed_ns(page.asked_ns)
        bars = sorted(bar for bar in page.bars if self._is_closed(bar, closed_ns))
        return [out for bar in bars for out in self._corrected(page.symbol, bar, line, at_ns)]

    def _page(self, page: Page, line: Line, now_ns: int) -> list[Output]:
        line.is_asked, line.asked_to_ns = False, page.end_ns
        if line.up_ns is None or page.end_ns >= self._terms.aligned(line.up_ns):
            line.is_catching_up = False
        outs: list[Output] = []
        closed_ns = self._terms.closed_ns(page.asked_ns)
        closed = {bar.open_ns: bar for bar in page.bars if self._is_closed(bar, closed_ns)}
        self._begin(closed, line)
        disputed = {at for at, bar in closed.items() if self._is_disputed(bar, line)}
        for open_ns, bar in sorted(closed.items()):
            if open_ns not in disputed:
                outs += self._rest_bar(page, bar, line)
        proven = (at for at, held in line.seen.items() if held.proof is not None)
        newest = max([*closed, *proven], default=0)
        shown = max((bar.open_ns for bar in page.bars), default=0)
        if now_ns - (line.vain_ns or now_ns) < PATIENCE_NS:  # a page behind the stream: it may come
            newest = min(newest, shown)
        at = max(line.next_ns, page.start_ns)
        while at < min(page.end_ns, newest) and at <= closed_ns:
            if at not in closed and not self._is_proven(line, at):
                line.empty.add(at)
            at = self._terms.after(at)
        had_answer = line.next_ns in closed.keys() - disputed or line.next_ns in line.empty
        owes = not had_answer and line.next_ns <= closed_ns  # else it was too early to ask for it
        line.wait_ns = self._terms.longer_wait_ns(line.wait_ns) if owes else 0
        line.vain_ns = (line.vain_ns or now_ns) if owes else 0
        line.ask_after_ns = now_ns + line.wait_ns
        is_quiet = owes and not line.seen and line.finals.newest_ns(0) in closed
        return [*outs, Quiet(page.symbol)] if is_quiet else outs

    def _begin(self, closed: Mapping[int, RawBar], line: Line) -> None:
        """Of a line that has shown no bar yet: history may begin later than was asked for."""
        if line.finals or not closed:
            return
        proven = [at for at, held in line.seen.items() if held.proof is not None]
        line.next_ns = max(line.next_ns, min([*closed, *proven]))
        line.seen = {at: held for at, held in line.seen.items() if at >= line.next_ns}

    def _is_disputed(self, bar: RawBar, line: Line) -> bool:
        """Whether the stream has shown a later state of the bar than the page: it is asked again,
        a few times."""
        held = line.seen.get(bar.open_ns)
        is_news = held is not None and held.proof is None and held.session == line.session
        if held is None or not is_news or not is_behind(bar, held.bar):
            return False
        line.disputes += 1
        return line.disputes % DISPUTES > 0

    def _is_closed(self, bar: RawBar, closed_ns: int) -> bool:
        is_bar = bar.open_ns % self._terms.period_ns == 0 and self._terms.is_wanted(bar.open_ns)
        return is_bar and bar.open_ns <= closed_ns

    def _rest_bar(self, page: Page, bar: RawBar, line: Line) -> list[Output]:
        held = line.seen.get(bar.open_ns)
        if held is not None and held.proof is not None:
            if not is_behind(bar, held.bar):  # corrected before it left
                line.seen[bar.open_ns] = held._replace(bar=bar)
            return []
        if bar.open_ns < line.next_ns:
            return self._corrected(page.symbol, bar, line, page.asked_ns)
        line.seen[bar.open_ns] = PendingBar(bar, BarProof.REST, self._owed(bar, held), False)
        return []

    def _owed(self, bar: RawBar, held: PendingBar | None) -> int:
        """0 where the stream had shown the bar as it is; -1 where it should have and had not."""
        if self._terms.finality == Finality.SUCCESSOR and held is not None and held.bar == bar:
            return 0
        return -1

    # what leaves

    def _is_proven(self, line: Line, at: int) -> bool:
        held = line.seen.get(at)
        return held is not None and held.proof is not None

    def _leaving(self, symbol: int, line: Line, now_ns: int) -> list[Output]:
        outs: list[Output] = []
        while not line.is_catching_up:  # else the history before it comes first
            if self._is_proven(line, line.next_ns):
                outs += self._final(symbol, line, now_ns)
            elif line.next_ns in line.empty:
                if outs and isinstance(outs[-1], Gap):
                    outs[-1] = outs[-1]._replace(bars=outs[-1].bars + 1)
                else:
                    outs.append(Gap(symbol, line.next_ns, 1))
                line.seen.pop(line.next_ns, None)
            else:
                break
            line.empty.discard(line.next_ns)
            line.next_ns = self._terms.after(line.next_ns)
        return outs

    def _final(self, symbol: int, line: Line, now_ns: int) -> list[Output]:
        held = line.seen.pop(line.next_ns)
        assert held.proof is not None, "only what is proven leaves"
        close_ns = line.next_ns + self._terms.period_ns
        was_down = line.up_ns is None or close_ns <= line.up_ns
        is_history = was_down or now_ns - close_ns > self._terms.late_ns
        line.finals.add(held.bar, is_history)
        outs: list[Output] = [Final(symbol, held.bar, held.proof, is_history)]
        if held.proof != BarProof.REST:
            line.misses = 0
        elif held.session < 0 and not was_down and self._terms.finality != Finality.POLL:
            line.misses += 1
            if line.misses >= MISSES and now_ns - line.stale_ns >= MISSES * self._terms.period_ns:
                outs.append(Stale(symbol, f"{line.misses} bars in a row came by REST only"))
                line.stale_ns = now_ns  # a hole of a hundred bars comes at once
        return outs

    # what is asked

    def _due_ns(self, line: Line) -> int:
        """When a line has to ask REST for the bar that leaves next."""
        if line.is_asked or line.is_gone:
            return 2**63 - 1
        if line.is_catching_up:
            return line.ask_after_ns
        again_ns = min(line.ask_after_ns, self._terms.next_due_ns(line.asked_to_ns))
        return max(self._terms.due_ns(line.next_ns) + self._behind_ns, again_ns)

    def _questions(self, symbol: int, now_ns: int) -> list[Output]:
        line = self._lines[symbol]
        if self._due_ns(line) > now_ns:
            return []
        end_ns = self._terms.aligned(now_ns)
        if line.next_ns >= end_ns and line.is_catching_up:  # nothing has closed since
            line.is_catching_up = False
            self._standing.note(symbol, line)
            return [*self._leaving(symbol, line, now_ns), *self._questions(symbol, now_ns)]
        line.is_asked = True
        self._standing.note(symbol, line)
        return [Ask(symbol, line.finals.newest_ns(line.next_ns), end_ns)]
