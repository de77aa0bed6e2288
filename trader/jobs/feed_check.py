"""A live market looked at without trading: what `trader feed check` and `trader feed record` call.

Law: nothing is decided and nothing is sent but questions. A report holds no secret.
"""

import asyncio
import contextlib
import gzip
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from trader.config.schema import Config
from trader.core.schema import BAR_HISTORY, BAR_PROOF_BITS, NS_PER_SECOND, BarProof
from trader.errors import ConfigError, TraderError
from trader.feeds.finaliser_events import Input, Terms, Tick
from trader.feeds.live import BadBar, FeedNotice, LiveBar, RevisedBar
from trader.feeds.recording import PORT, TERMS, BarQuote, RecordingTerms, encoded
from trader.feeds.registry import open_source
from trader.feeds.source import BarSource, SourceError
from trader.feeds.venue_feed import VenueFeed
from trader.jobs.history_layer import instrument_keys
from trader.jobs.paper.clock import RealClock
from trader.moments import iso_utc

LATE_MS = (50, 100, 250, 500, 1_000, 2_000, 5_000)
VALUES = ("open", "high", "low", "close", "volume")
Say = Callable[[str], None]


@dataclass
class MarketReport:
    """What came of a market in the time it was watched."""

    bars: list[np.void] = field(default_factory=list)  # BAR, those closed while we watched
    late_ms: list[float] = field(default_factory=list)
    notices: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    revisions: int = 0
    frames: int = 0


class FrameFile:
    """Raw frames as JSON lines: {"t_ns", "channel", "direction", "raw"}; gzipped by its name."""

    def __init__(self, path: Path) -> None:
        self._path, self._is_empty = path, True
        try:
            self._file: IO[str] = (
                gzip.open(path, "xt") if path.suffix == ".gz" else path.open("x")  # noqa: SIM115
            )
        except FileExistsError:
            raise TraderError(f"{path} exists already; name another file") from None
        except OSError as error:
            raise TraderError(f"{path} cannot be written: {error.strerror}") from None

    def __call__(self, channel: str, raw: object, **more: object) -> None:
        """Keep one frame."""
        line = {"t_ns": time.time_ns(), "channel": channel, "direction": "in", **more, "raw": raw}
        self._file.write(json.dumps(line, default=str) + "\n")
        self._is_empty = False

    def hear(self, config: Config, feed: VenueFeed) -> None:
        """Keep all that the feed's finaliser gets, so that the recording replays."""

        def begun(start_ns: int, terms: Terms) -> None:
            told = RecordingTerms(
                feed.name, list(config.symbols), start_ns, terms.period_ns, int(terms.finality),
                terms.grace_ns, terms.late_ns, config.risk.market_hours,
                instrument_keys(config, feed.facts),
            )  # fmt: skip
            self(TERMS, told._asdict())

        def came(event: Input, now_ns: int, led_to: bool) -> None:
            if led_to or not isinstance(event, Tick):
                self(PORT, encoded(event), now_ns=now_ns)

        feed.on_terms, feed.on_input = begun, came

    def keep_quote(self, bar: np.void, period_ns: int) -> None:
        """Of a bar that went out, the bid and ask that it has."""
        if bar["bid"] == bar["bid"]:
            open_ns = int(bar["ts_ns"]) - period_ns
            quote = BarQuote(int(bar["symbol"]), open_ns, float(bar["bid"]), float(bar["ask"]))
            self(PORT, encoded(quote), now_ns=open_ns + period_ns)

    def close(self) -> None:
        """A file that got nothing is gone again: the next try may have its name."""
        self._file.close()
        if self._is_empty:
            self._path.unlink()


def watch(config: Config, seconds: float, say: Say, out: Path | None = None) -> dict[str, Any]:
    """Watch the market of a config; what it did, and how it compares with its own REST.

    `out`: raw frames go there. Raises the errors of the feed; Ctrl-C ends the watch early.
    """
    if not config.feed.is_market:
        raise ConfigError(f"{config.feed.type} is not a live market to watch", "feed.type")
    frames = None if out is None else FrameFile(out)
    try:
        return asyncio.run(_watched(config, seconds, say, frames))
    finally:
        if frames is not None:
            frames.close()


async def _watched(
    config: Config, seconds: float, say: Say, frames: FrameFile | None
) -> dict[str, Any]:
    config = config.at_source
    source, clock, seen = open_source(config), RealClock(), MarketReport()

    def tap(channel: str, raw: object) -> None:
        seen.frames += 1
        if frames is not None:
            frames(channel, raw)

    source.tap = tap

    def keep(bar: np.void) -> None:
        if frames is not None:
            frames.keep_quote(bar, config.period_ns)

    feed = VenueFeed(config, source, clock, tell=say)
    if frames is not None:
        frames.hear(config, feed)
    try:
        await feed.connect()
        began_ns = clock.now_ns()
        say(f"watching {source.name} for {seconds:g} s; Ctrl-C ends it early")
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(seconds):
                await _collected(feed, seen, keep)
        again = open_source(config)  # the feed has let go of its own
        differences = await _compared(config, again, seen)
    finally:
        await feed.aclose()
    return _report(config, feed, seen, (began_ns, clock.now_ns()), differences)


async def _collected(feed: VenueFeed, seen: MarketReport, keep: Callable[[np.void], None]) -> None:
    async for item in feed:
        if isinstance(item, FeedNotice):
            seen.notices[item.kind] += 1
        elif isinstance(item, BadBar):
            seen.bad[item.reason] += 1
        elif isinstance(item, RevisedBar):
            seen.revisions += 1
        elif isinstance(item, LiveBar):
            keep(item.bar)
            if not item.bar["flags"] & BAR_HISTORY:
                seen.bars.append(item.bar)
                seen.late_ms.append((item.received_ns - item.due_ns) / 1e6)


async def _compared(config: Config, source: BarSource, seen: MarketReport) -> dict[str, Any]:
    """Bars of the stream against REST, asked afterwards."""
    found: dict[str, Any] = {"compared": 0, "different": [], "not_in_rest": 0}
    try:
        await source.open()
        for index, symbol in enumerate(config.symbols):
            bars = [bar for bar in seen.bars if bar["symbol"] == index]
            if bars:
                await _compare(config, source, (index, symbol, bars), found)
    except SourceError as error:
        found["error"] = error.text
    finally:
        await source.close()
    return found


async def _compare(
    config: Config, source: BarSource, part: tuple[int, str, list[np.void]], found: dict[str, Any]
) -> None:
    index, symbol, bars = part
    first_ns = int(bars[0]["ts_ns"]) - config.period_ns
    rows = await source.history(index, first_ns, int(bars[-1]["ts_ns"]))
    rest = {row.open_ns + config.period_ns: row for row in rows}
    for bar in bars:
        row = rest.get(int(bar["ts_ns"]))
        found["compared"] += 1
        if row is None:
            found["not_in_rest"] += 1
            continue
        changed = {
            name: [float(bar[name]), getattr(row, name)]
            for name in VALUES
            if float(bar[name]) != getattr(row, name)
        }
        if changed:
            told = {"symbol": symbol, "close": iso_utc(int(bar["ts_ns"])), "stream, rest": changed}
            found["different"].append(told)


def _report(
    config: Config,
    feed: VenueFeed,
    seen: MarketReport,
    span: tuple[int, int],
    differences: dict[str, Any],
) -> dict[str, Any]:
    proofs = Counter(BarProof(int(bar["flags"]) & BAR_PROOF_BITS).name for bar in seen.bars)
    ms = sorted(seen.late_ms)
    return {
        "source": feed.name,
        "symbols": list(config.symbols),
        "bar_period_seconds": config.bar_period_seconds,
        "from": iso_utc(span[0]),
        "seconds": round((span[1] - span[0]) / NS_PER_SECOND, 1),
        "clock_offset_ms": round(feed.clock_offset_ms, 1),
        "frames": seen.frames,
        "bars": len(seen.bars),
        "bars_with_bid_and_ask": sum(int(bar["bid"] == bar["bid"]) for bar in seen.bars),
        "received_of_expected": _received(config, feed, seen, span),
        "closed_known_by": dict(proofs),
        "lateness_ms": {} if not ms else dict(_histogram(ms)),
        "lateness_p50_ms": round(ms[len(ms) // 2], 1) if ms else None,
        "lateness_p99_ms": round(ms[min(len(ms) * 99 // 100, len(ms) - 1)], 1) if ms else None,
        "gaps": feed.gaps,
        "revisions": seen.revisions,
        "notices": dict(seen.notices),
        "bad_rows": dict(seen.bad),
        "rest": differences,
        "facts": {fact.symbol: fact.document() for fact in feed.facts},
    }


def _received(
    config: Config, feed: VenueFeed, seen: MarketReport, span: tuple[int, int]
) -> dict[str, str]:
    """Of each symbol: bars that came as they closed, of the closes while it was watched."""
    period_ns = config.period_ns
    grace_ns = round(config.feed.close_grace_seconds * NS_PER_SECOND)
    offset_ns = round(feed.clock_offset_ms * 1e6)
    last_ns = span[1] + offset_ns - grace_ns
    seen_ns = (int(bar["ts_ns"]) - period_ns for bar in seen.bars)
    first_ns = min(seen_ns, default=span[0] + offset_ns)  # the line takes a while to come up
    opens = range(first_ns // period_ns * period_ns, last_ns - period_ns + 1, period_ns)
    wanted = {at + period_ns for at in opens if feed.hours is None or feed.hours.hold(at)}
    found = {}
    for index, symbol in enumerate(config.symbols):
        got = {int(bar["ts_ns"]) for bar in seen.bars if bar["symbol"] == index} & wanted
        found[symbol] = f"{len(got)} of {len(wanted)}"
    return found


def _histogram(ms: list[float]) -> Iterator[tuple[str, int]]:
    low = 0
    for high in LATE_MS:
        count = sum(low <= value < high for value in ms)
        if count:
            yield f"{low}-{high}", count
        low = high
    if count := sum(value >= low for value in ms):
        yield f"{low} and more", count
