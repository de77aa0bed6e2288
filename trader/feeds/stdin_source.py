"""Bars from standard input, one JSON object a line: anything can be piped in.

    {"timestamp": "2024-03-04T14:30:00Z", "symbol": "ACME", "open": 100.0, "high": 100.5,
     "low": 99.8, "close": 100.2, "volume": 1200, "bid": 100.1, "ask": 100.3}

Law: a thread reads, because files, pipes and terminals can all be waited for in no other way.
Memory is bounded: when the run is behind, reading stops and the writer of the pipe waits; nothing
is dropped. A line longer than LONGEST_LINE is skipped to its end without being kept. A bar that
closes later than now is still forming: it is left out, and taken when it comes again, closed. A
bar that closes after the one under way is refused: traded on, it would make all later ones late.
"""

import asyncio
import concurrent.futures
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import numpy as np

from trader.config.schema import Config
from trader.core.schema import BAR_HISTORY, NS_PER_SECOND
from trader.errors import DataError
from trader.feeds.feed import BarSet
from trader.feeds.jsonbar import SHOWN, BarParser, shown
from trader.feeds.live import BadBar, FeedClock, FeedItem, LiveBar, ResumePoint, Tell
from trader.feeds.pipe_clock import ClockDoubt, ClockNotice, ClockTerms, PipeClock
from trader.feeds.pipe_history import FeedEnd, PipeHistory, PipeStart
from trader.session_rows import bar_open_ns

READ_BLOCK = 1 << 16
LONGEST_LINE = 1 << 16
BLOCKS_WAITING = 16  # 1 MiB of lines read and not yet taken


class LineSplitter:
    """Blocks of bytes in, whole lines out; a line that is too long comes as its beginning."""

    def __init__(self) -> None:
        self._rest = b""
        self._too_long = False

    def feed(self, block: bytes) -> list[tuple[bytes, bool]]:
        """(line, is too long) of every line that `block` completes."""
        *whole, rest = (self._rest + block).split(b"\n")
        lines = []
        for line in whole:
            lines.append((line, self._too_long or len(line) > LONGEST_LINE))
            self._too_long = False
        if len(rest) > LONGEST_LINE:
            self._too_long = True
            rest = rest[:SHOWN]
        elif self._too_long:
            rest = rest[:SHOWN]
        self._rest = rest
        return lines

    def end(self) -> list[tuple[bytes, bool]]:
        """The last line, if it has no newline."""
        rest, self._rest = self._rest, b""
        return [(rest, self._too_long)] if rest else []


class StdinFeed:
    """Bars from a file descriptor; ends when it does."""

    def __init__(
        self,
        config: Config,
        clock: FeedClock,
        fd: int | None = None,
        resumed: ResumePoint = ResumePoint(),  # noqa: B008 - immutable
        tell: Tell | None = None,
    ) -> None:
        self.history: BarSet | None = None
        self.skipped = 0
        self.forming = 0
        self._tell = tell
        start = PipeStart(clock.now_ns(), config.feed.trade_history, resumed.was_live)
        self._past = PipeHistory(start, config.period_ns)
        self._agreement = PipeClock(_clock_terms(config, resumed))
        self._is_refused = False  # by the clock
        self._is_cut = False  # it ended in the middle of a line
        self._has_bars = False
        self._last_ns = 0
        self._parser = BarParser(config, tell)
        self._clock = clock
        self._fd = sys.stdin.fileno() if fd is None else fd
        self._range = config.feed.start_ns, config.feed.end_ns, config.period_ns
        self._after_ns = resumed.after_ns
        self._apart_s = config.feed.clock_tolerance_seconds
        self._lines_read = 0
        self._closed = threading.Event()
        self._queue: asyncio.Queue[list[FeedItem] | Exception | None]
        self._queue = asyncio.Queue(BLOCKS_WAITING)

    @property
    def end(self) -> FeedEnd:
        """What it means that nothing more comes."""
        if self._past.caught_up:
            return FeedEnd.CAUGHT_UP
        if self._is_refused:
            return FeedEnd.CLOCK
        if self._is_cut:
            return FeedEnd.CUT
        end_ns = self._range[1]
        is_over = self._past.is_recording or (end_ns is not None and self._last_ns >= end_ns)
        return FeedEnd.OVER if is_over else FeedEnd.LOST

    @property
    def untraded(self) -> int:
        """Bars of before the start, which nothing was decided on."""
        return self._past.count

    async def __aiter__(self) -> AsyncIterator[FeedItem]:
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(loop,), name="stdin", daemon=True).start()
        while (items := await self._queue.get()) is not None:
            if isinstance(items, Exception):
                raise items
            for item in items:
                if self._closed.is_set() or self._is_too_late(item):
                    return
                yield item
                if isinstance(item, ClockNotice) and item.is_proof:
                    self._is_refused = True
                    return

    def at_once(self) -> LiveBar | None:
        """See `LiveFeed`."""
        return None

    async def aclose(self) -> None:
        """Nothing more is yielded. The reader ends with its next line or with the process."""
        self._closed.set()
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        lines = LineSplitter()
        try:
            while not self._closed.is_set():
                block = os.read(self._fd, READ_BLOCK)
                if not block:
                    break
                self._hand_over(loop, self._items(lines.feed(block)))
            rest = self._items(lines.end())
            self._is_cut = any(isinstance(item, BadBar) for item in rest)
            self._hand_over(loop, rest)
            self._hand_over(loop, None)
        except (OSError, DataError) as error:
            self._hand_over(loop, error)

    def _items(self, lines: list[tuple[bytes, bool]]) -> list[FeedItem]:
        received_ns = self._clock.now_ns()
        items: list[FeedItem] = []
        for line, is_too_long in lines:
            self._lines_read += 1
            for item in self._line(line, is_too_long, received_ns) if line.strip() else ():
                if isinstance(item, BadBar):
                    items.append(replace(item, line_number=self._lines_read))
                else:
                    items.append(item)
        return items

    def _line(self, line: bytes, too_long: bool, received_ns: int) -> Iterator[FeedItem]:
        """What one line gives. `DataError` where the clock is proven wrong by it."""
        if too_long:
            yield BadBar(shown(line), f"longer than {LONGEST_LINE} bytes", received_ns)
            return
        bar = self._parser.parse(line, received_ns)
        if isinstance(bar, BadBar):
            yield bar
            return
        close_ns = int(bar["ts_ns"])
        self._last_ns = max(self._last_ns, close_ns)
        ahead_s = (close_ns - self._clock.latest_ns()) / NS_PER_SECOND
        doubt = self._agreement.came(close_ns, received_ns)
        if doubt is not None:
            yield self._doubted(doubt, ahead_s)
        if ahead_s > self._range[2] / NS_PER_SECOND + self._apart_s:
            closes = np.datetime64(close_ns, "ns").astype("datetime64[s]")
            text = (
                f"closes at {closes}Z, {ahead_s:,.0f} s from now: no bar is known before its close"
            )
            yield BadBar(shown(line), text, received_ns, int(bar["symbol"]))
        elif ahead_s > self._apart_s:
            self._leave_out(ahead_s)
        elif self._is_wanted(close_ns, int(bar_open_ns(bar, self._range[2]))):
            self._has_bars = True
            yield LiveBar(bar, received_ns, close_ns)

    def _doubted(self, doubt: ClockDoubt, ahead_s: float) -> ClockNotice:
        """The doubt for the record; a line for people where no run has begun to record it."""
        if doubt.is_proof and not self._has_bars:
            raise DataError(doubt.text)
        if not self._has_bars and self._tell is not None:
            self._tell(doubt.text)
        return ClockNotice("CLOCK_OFFSET", doubt.text, is_proof=doubt.is_proof)

    def _leave_out(self, ahead_s: float) -> None:
        """A bar that is still forming: counted, and told of once."""
        self.forming += 1
        if self.forming == 1 and self._tell is not None:
            self._tell(
                f"a bar closes {ahead_s:.1f} s from now: it is still forming and is left out until "
                "it comes closed; if the clocks differ, see feed.clock_tolerance_seconds"
            )

    def _is_too_late(self, item: FeedItem) -> bool:
        """Marks a bar that is history. True where a recording has come to bars of now."""
        if isinstance(item, LiveBar) and self._past.is_history(item.due_ns):
            item.bar["flags"] |= BAR_HISTORY
        return self._past.caught_up

    def _is_wanted(self, close_ns: int, open_ns: int) -> bool:
        start_ns, end_ns, _ = self._range
        if start_ns is not None and open_ns < start_ns:
            return False
        if self._after_ns is not None and close_ns <= self._after_ns:
            self.skipped += 1
            return False
        return end_ns is None or close_ns <= end_ns

    def _hand_over(
        self, loop: asyncio.AbstractEventLoop, items: list[FeedItem] | Exception | None
    ) -> None:
        """Put into the queue, waiting while it is full; nowhere to put once the loop is gone."""
        if self._closed.is_set() or items == []:
            return
        try:
            waiting = asyncio.run_coroutine_threadsafe(self._queue.put(items), loop)
        except RuntimeError:
            self._closed.set()
            return
        while not self._closed.is_set():
            try:
                waiting.result(timeout=1.0)
                return
            except concurrent.futures.TimeoutError:
                continue
            except (concurrent.futures.CancelledError, RuntimeError):
                self._closed.set()
        waiting.cancel()


def _clock_terms(config: Config, resumed: ResumePoint) -> ClockTerms:
    feed, period_s = config.feed, config.bar_period_seconds
    is_recording = feed.trade_history or resumed.was_live is False
    age_s = feed.max_age_bars * period_s
    return ClockTerms(config.period_ns, feed.clock_tolerance_seconds, age_s, not is_recording)
