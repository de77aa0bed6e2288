"""History of a config's market into Parquet: what `trader data download` calls.

Law: only closed bars, by the market's own clock; what is on disk is not asked for again; what was
fetched passes the data gate before it is called done. Each page is durable before the next.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trader.codes import DAY_NS
from trader.config.schema import Config
from trader.core.schema import NS_PER_SECOND
from trader.errors import ConfigError, DataError, UsageError
from trader.feeds.checking import check_config
from trader.feeds.corporate_actions import ActionSource, CorporateAction, actions_text
from trader.feeds.registry import open_source
from trader.feeds.rest_asker import longer_wait, unanswered
from trader.feeds.source import BarSource, InstrumentFacts, RawBar, Remedy, SourceError
from trader.feeds.venue_terms import day_of
from trader.jobs.history_layer import LAYER, instrument_keys, layer_text
from trader.jobs.history_store import HistoryStore
from trader.moments import iso_utc

DEFAULT_DAYS = 30
CHUNK_BARS = 5_000  # asked for, written and noted together
TRIES = 8  # of one page
ACTIONS = "adjustments.csv"

Progress = Callable[[str, int, int | None], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class DownloadRequest:
    """What to fetch and where to put it; times in UTC nanoseconds, None for what is usual."""

    parent: Path
    start_ns: int | None = None
    end_ns: int | None = None


@dataclass(frozen=True)
class DownloadSummary:
    """What there is now."""

    path: str  # for feed.path
    layer: Path  # a config file to lay over the first: path, type and steps of the instruments
    start_ns: int
    end_ns: int
    fetched: int
    seconds: float
    rows: dict[str, int]
    quality: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "path": self.path,
            "config": self.layer,
            "from": iso_utc(self.start_ns),
            "to": iso_utc(self.end_ns),
            "fetched": self.fetched,
            "bars_per_second": round(self.fetched / self.seconds, 1) if self.seconds else None,
            "rows": self.rows,
            "quality": self.quality,
        }


class _Downloader:
    """One download."""

    def __init__(
        self, config: Config, source: BarSource, wanted: DownloadRequest, told: tuple[Progress, Say]
    ) -> None:
        self._config, self._source, self._wanted = config, source, wanted
        self._progress, self._say = told
        self.root = wanted.parent / source.name
        self.fetched = 0
        self.actions: Sequence[CorporateAction] = ()

    def store(self, symbol: str) -> HistoryStore:
        return HistoryStore(self.root / symbol / f"{self._config.bar_period_seconds:g}s")

    async def run(self) -> tuple[int, int, list[InstrumentFacts]]:
        """(from, to, what the market says of the instruments)."""
        try:
            await self._answered(self._source.open)
            facts = list(await self._answered(self._source.facts))
            start_ns, end_ns = await self._span()
            for index, symbol in enumerate(self._config.symbols):
                await self._symbol(index, symbol, (start_ns, end_ns))
            source = self._source
            if isinstance(source, ActionSource):
                days = day_of(start_ns), day_of(end_ns)
                self.actions = await self._answered(lambda: source.actions(*days))
        finally:
            await self._source.close()
        return start_ns, end_ns, facts

    async def _span(self) -> tuple[int, int]:
        config, period_ns = self._config, self._config.period_ns
        grace_ns = round(config.feed.close_grace_seconds * NS_PER_SECOND)
        closed_ns = await self._answered(self._source.venue_ns) - grace_ns
        end_ns = min(self._wanted.end_ns or config.feed.end_ns or closed_ns, closed_ns)
        start_ns = self._wanted.start_ns or config.feed.start_ns
        if start_ns is None:
            start_ns = end_ns - DEFAULT_DAYS * DAY_NS
        start_ns, end_ns = -(-start_ns // period_ns) * period_ns, end_ns // period_ns * period_ns
        if start_ns >= end_ns:
            raise UsageError(f"no bar closes between {iso_utc(start_ns)} and {iso_utc(end_ns)}")
        return start_ns, end_ns

    async def _symbol(self, index: int, symbol: str, span: tuple[int, int]) -> None:
        store, period_ns = self.store(symbol), self._config.period_ns
        total = (span[1] - span[0]) // period_ns
        spans = store.missing(*span)
        done = total - sum((until - since) // period_ns for since, until in spans)
        self._progress(symbol, done, total)
        for since_ns, until_ns in spans:
            for at_ns in range(since_ns, until_ns, CHUNK_BARS * period_ns):
                to_ns = min(at_ns + CHUNK_BARS * period_ns, until_ns)
                bars = await self._page(index, at_ns, to_ns)
                store.put(bars, (at_ns, to_ns))
                self.fetched += len(bars)
                done += (to_ns - at_ns) // period_ns
                self._progress(symbol, done, total)

    async def _page(self, index: int, start_ns: int, end_ns: int) -> list[RawBar]:
        async def ask() -> list[RawBar]:
            return list(await self._source.history(index, start_ns, end_ns))

        return await self._answered(ask)

    async def _answered(self, ask: Callable[[], Any]) -> Any:
        """The answer, asked for again where that may help. `DataError` where it does not."""
        wait_s = 0.0
        for tries in range(1, TRIES + 1):
            try:
                return await ask()
            except SourceError as error:
                if tries == TRIES or error.remedy in (Remedy.GONE, Remedy.NEVER):
                    raise DataError(unanswered(self._source.name, error)) from None
                wait_s = max(longer_wait(wait_s), error.after_s)
                self._say(f"{self._source.name}: {error.text}; again in {wait_s:.0f} s")
                await asyncio.sleep(wait_s)
        raise AssertionError("the last try raises or returns")


def download(
    config: Config, wanted: DownloadRequest, progress: Progress, say: Say
) -> DownloadSummary:
    """Fetch what is missing, and judge the whole. `DataError` where the gate refuses it.

    Raises `ConfigError` for a feed that is no market. Can be interrupted and called again.
    """
    if not config.feed.is_market:
        raise ConfigError(
            f"{config.feed.type} is not a market to download from; use ccxt or alpaca", "feed.type"
        )
    began_s = time.monotonic()
    config = config.at_source
    job = _Downloader(config, open_source(config), wanted, (progress, say))
    start_ns, end_ns, facts = asyncio.run(job.run())
    seconds = time.monotonic() - began_s
    rows = {symbol: job.store(symbol).rows() for symbol in config.symbols}
    empty = [symbol for symbol, count in rows.items() if not count]
    if empty:
        raise DataError(f"{job.root.name} has no bars of {', '.join(empty)} in that time")
    path = str(job.root / "{symbol}" / f"{config.bar_period_seconds:g}s")
    layer = job.root / LAYER
    adjustments = config.feed.adjustments
    if job.actions and adjustments is None:
        adjustments = str(job.root / ACTIONS)
        Path(adjustments).write_text(actions_text(job.actions))
    layer.write_text(layer_text(instrument_keys(config, facts), path, adjustments))
    say(f"checking {sum(rows.values()):,} bars")
    feed = config.feed.model_copy(
        update={
            "type": "parquet",
            "path": path,
            "timestamp": "open",
            "start": None,
            "end": None,
            "adjustments": adjustments,
        }
    )
    checked = check_config(config.model_copy(update={"feed": feed})).document()
    failures = checked.get("failures", ())
    if failures:
        raise DataError("\n".join(failures))
    return DownloadSummary(path, layer, start_ns, end_ns, job.fetched, seconds, rows, checked)
