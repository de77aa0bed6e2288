"""Example data: seeded bars that look like a market, for demos and tests. No market data is copied.

Law: the same arguments give the same bytes. Every bar passes the data gate; what a real feed also
has is there on purpose: overnight gaps, a U-shaped day, clustered volatility, spreads that widen
with it, and one stretch of missing minutes.
"""

import gzip
import io
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trader.codes import DAY_NS
from trader.core.schema import NS_PER_SECOND
from trader.errors import ConfigError, UsageError
from trader.feeds.sessions import session_table

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".parquet")
EARLIEST, LATEST = 1990, 2100
DAILY_VOLATILITY = 0.016
OVERNIGHT_VOLATILITY = 0.006
TREND_MEMORY = 0.97  # how much of a bar's drift lasts into the next
TREND_SHARE = 0.035  # of a bar's volatility
VOLATILITY_MEMORY = 0.985
VOLATILITY_OF_VOLATILITY = 0.06
BARS_MISSING = 12
HALF_SPREAD_BPS = 1.2
DAILY_VOLUME = 420_000
TICK_DECIMALS = 2


@dataclass(frozen=True)
class Recipe:
    """What to generate."""

    symbols: tuple[str, ...]
    start: str  # ISO date
    days: int  # sessions
    period_s: int
    market_hours: str
    seed: int


def generate(recipe: Recipe) -> "pd.DataFrame":
    """A data frame of bars stamped at their open (UTC), sorted by time and symbol.

    Raises `UsageError` for what cannot be made: no symbol, a wrong date, hours or period.
    """
    import pandas as pd

    _check(recipe)
    stamps, progress, day = _clock(recipe)
    frames = []
    for index, symbol in enumerate(recipe.symbols):
        chance = np.random.default_rng([recipe.seed, index])
        columns = _prices(chance, progress, day) | {"symbol": symbol}
        frame = pd.DataFrame({"timestamp": pd.to_datetime(stamps, utc=True)} | columns)
        frames.append(frame[~np.isin(np.arange(len(day)), _missing(chance, day))])
    joined = pd.concat(frames).sort_values(["timestamp", "symbol"], kind="stable")
    names = ["timestamp", "symbol", "open", "high", "low", "close", "volume", "bid", "ask"]
    if len(recipe.symbols) == 1:
        names.remove("symbol")
    return joined[names].reset_index(drop=True)


def _check(recipe: Recipe) -> None:
    if not all(recipe.symbols) or len(set(recipe.symbols)) < len(recipe.symbols):
        raise UsageError(f"--symbols {','.join(recipe.symbols)}: names must be there, once each")
    try:
        start = date.fromisoformat(recipe.start)
    except ValueError:
        raise UsageError(f"--start {recipe.start!r} is not a day; write 2024-03-04") from None
    if not EARLIEST <= start.year <= LATEST:
        raise UsageError(f"--start {recipe.start}: years {EARLIEST} to {LATEST} can be made")


def _clock(recipe: Recipe) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Opens of all bars (ns), how far the session has gone (0 to 1), and the session's number."""
    first = int(np.datetime64(recipe.start, "D").astype(np.int64)) * DAY_NS
    try:
        table = session_table(recipe.market_hours, first, first + 2 * recipe.days * DAY_NS)
    except ConfigError as error:
        raise UsageError(f"--market-hours {recipe.market_hours}: {error}") from error
    table = table[table["open_ns"] >= first]
    days = np.unique(table["session"])[: recipe.days]
    period = recipe.period_s * NS_PER_SECOND
    stamps: list[np.ndarray] = []
    progress: list[np.ndarray] = []
    numbers: list[np.ndarray] = []
    for number, day in enumerate(days):
        rows = table[table["session"] == day]
        opens = np.concatenate(
            [np.arange(row["open_ns"], row["close_ns"] - period + 1, period) for row in rows]
        )
        stamps.append(opens)
        progress.append(np.arange(len(opens)) / max(len(opens) - 1, 1))
        numbers.append(np.full(len(opens), number))
    if len(days) < recipe.days or not any(len(part) for part in stamps):
        raise UsageError(
            f"no {recipe.days} sessions of bars of {recipe.period_s} s from {recipe.start} on "
            f"in {recipe.market_hours}; use a shorter --period or an earlier --start"
        )
    return np.concatenate(stamps), np.concatenate(progress), np.concatenate(numbers)


def _prices(
    chance: np.random.Generator, progress: np.ndarray, day: np.ndarray
) -> dict[str, np.ndarray]:
    """Prices, volume and quotes of one symbol, rounded to the cent."""
    count = len(progress)
    per_day = count / (day[-1] + 1)
    smile = 0.7 + 1.2 * (2.0 * progress - 1.0) ** 2  # busy at the open and at the close
    heat = np.exp(_decaying(chance, count, VOLATILITY_MEMORY) * VOLATILITY_OF_VOLATILITY)
    sigma = DAILY_VOLATILITY / np.sqrt(per_day) * smile * heat
    trend = _decaying(chance, count, TREND_MEMORY) * TREND_SHARE
    shocks = chance.standard_normal(count)
    returns = sigma * (shocks + trend)
    gaps = chance.normal(0.0, OVERNIGHT_VOLATILITY, day[-1] + 1)
    jump = np.where(np.diff(day, prepend=0) > 0, gaps[day], 0.1 * sigma * shocks[::-1])
    base = chance.uniform(60.0, 180.0)
    close = base * np.exp(np.cumsum(returns + jump))
    opens = close / np.exp(returns)
    reach = np.abs(chance.normal(0.0, 0.5, (2, count))) * sigma
    opens, close = _ticks(opens), _ticks(close)
    high = np.maximum(_ticks(np.maximum(opens, close) * (1 + reach[0])), np.maximum(opens, close))
    low = np.minimum(_ticks(np.minimum(opens, close) * (1 - reach[1])), np.minimum(opens, close))
    early = np.exp(-progress * 25.0)
    half = close * HALF_SPREAD_BPS / 1e4 * (heat + 2.0 * early)
    half = np.maximum(np.ceil(half * 100.0) / 100.0, 0.01)
    crowd = smile * heat * np.exp(chance.normal(0.0, 0.35, count)) * (0.6 + np.abs(shocks))
    volume = np.maximum(np.rint(DAILY_VOLUME / per_day * crowd / crowd.mean()), 1.0)
    return {
        "open": opens,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume.astype(np.int64),
        "bid": _ticks(close - half),
        "ask": _ticks(close + half),
    }


def _decaying(chance: np.random.Generator, count: int, memory: float) -> np.ndarray:
    """A first-order autoregression of unit innovations."""
    noise = chance.standard_normal(count)
    values = np.empty(count)
    level = 0.0
    for index in range(count):
        level = memory * level + noise[index]
        values[index] = level
    return values


def _ticks(prices: np.ndarray) -> np.ndarray:
    return np.round(prices, TICK_DECIMALS)


def _missing(chance: np.random.Generator, day: np.ndarray) -> np.ndarray:
    """Rows left out: one stretch within one session, none of sessions too short for it."""
    numbers = np.unique(day)
    rows = np.flatnonzero(day == chance.choice(numbers))
    if len(rows) < 4 * BARS_MISSING:
        return np.empty(0, np.int64)
    first = int(chance.integers(len(rows) // 4, len(rows) - 2 * BARS_MISSING))
    return rows[first : first + BARS_MISSING]


def write(recipe: Recipe, path: Path, force: bool = False, kind: str | None = None) -> int:
    """Generate into `path`, by its suffix .csv, .csv.gz or .parquet; returns the rows.

    `kind` (a suffix without its dot) has to agree with it: the suffix is what a reader goes by.
    Another file of that name is left alone unless `force`: it may be real data.
    """
    if not path.name.lower().endswith(SUFFIXES):
        raise UsageError(f"--out {path}: the name must end in {', '.join(SUFFIXES)}")
    if kind is not None and not path.name.lower().endswith(f".{kind}"):
        raise UsageError(f"--format {kind} and --out {path}: give it a name that ends in .{kind}")
    if path.is_dir():
        raise UsageError(f"--out {path} is a folder; name a file in it")
    frame = generate(recipe)
    content = _encoded(frame, path.name.lower())
    try:
        if path.exists() and not force and path.read_bytes() != content:
            raise UsageError(f"--out {path} exists; give another name, or --force to replace it")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from error
    return len(frame)


def _encoded(frame: "pd.DataFrame", name: str) -> bytes:
    if name.endswith(".parquet"):
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        return buffer.getvalue()
    text = frame.assign(timestamp=frame["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    content = text.to_csv(index=False, float_format=f"%.{TICK_DECIMALS}f", lineterminator="\n")
    return _zipped(content.encode()) if name.endswith(".gz") else content.encode()


def _zipped(content: bytes) -> bytes:
    """gzip without the time of day in its header: equal content, equal bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as stream:
        stream.write(content)
    return buffer.getvalue()
