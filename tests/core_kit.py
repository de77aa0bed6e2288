"""Builders for core tests: rules without limits, bars from a table, a run of it all.

Law: everything a test does not say is off (no limits, no costs, lot 1, always open), so that
what it says is what it tests.
"""

import math
from typing import Any

import numpy as np

from trader.core.book import NO_REQUESTS, Inputs, Rules
from trader.core.schema import (
    BAR,
    BROKER,
    ENTRY,
    EXITS,
    INSTRUMENT,
    LIMITS,
    NS_PER_SECOND,
    SESSION,
    SIZING,
    Reason,
    TradingAction,
)
from trader.engine.batch import RowKeeper, RunRecord, run_history
from trader.finer_bars import NO_DETAIL, Detail

MINUTE = 60 * NS_PER_SECOND
DAY = 86_400 * NS_PER_SECOND
START = 17_600 * DAY  # 2018-03-10T00:00Z


def always_open(first_ns: int, last_ns: int) -> np.ndarray:
    """SESSION rows of UTC days around [first_ns, last_ns]."""
    days = np.arange(first_ns // DAY - 2, last_ns // DAY + 3)
    sessions = np.zeros(len(days), SESSION)
    sessions["open_ns"] = days * DAY
    sessions["close_ns"] = (days + 1) * DAY
    sessions["session"] = days
    return sessions


def make_rules(sessions: np.ndarray, symbols: int = 1, **changes: Any) -> Rules:
    """Rules with every limit off; `changes` are fields of any record by name."""
    limits = np.zeros(1, LIMITS)
    for name in LIMITS.names:
        if LIMITS[name].kind == "f":
            limits[name] = math.inf
    limits["min_order_size"] = 0.0
    limits["allow_margin"] = 1
    limits["volume_window"] = limits["volatility_window"] = 3
    sizing = np.zeros(1, SIZING)
    sizing["base_size"] = 10.0
    sizing["allow_short"] = 1
    sizing["max_leverage"] = 1.0
    sizing["rebalance_threshold"] = math.inf
    sizing["annualisation"] = 1.0
    broker = np.zeros(1, BROKER)
    broker["cash"] = 100_000.0
    broker["max_fill_participation"] = math.inf
    broker["period_ns"] = MINUTE
    instruments = np.zeros(symbols, INSTRUMENT)
    instruments["lot_size"] = 1.0
    entry = np.zeros(1, ENTRY)
    entry["time_in_force"] = -1
    exits = np.zeros(1, EXITS)
    rules = Rules(limits, sizing, broker, instruments, sessions, entry, exits)
    for name in [key for key in changes if key.startswith("entry_")]:
        entry[name.removeprefix("entry_")] = changes.pop(name)
    for name, value in changes.items():
        placed = False
        for record in (limits, sizing, broker, instruments, exits):
            if name in record.dtype.names and not (name == "volatility_window" and placed):
                record[name] = value
                placed = True
        assert placed, f"no record has a field {name}"
    exits["legs"] = sum(int(exits[f"{leg}_type"][0] != 0) for leg in ("stop", "target", "trail"))
    sizing["volatility_window"] = max(2, int(limits["volatility_window"][0]))
    return rules


def bars_from(rows: list[tuple[float, ...]], symbol: int = 0, start_ns: int = START) -> np.ndarray:
    """BAR records a minute apart from (open, high, low, close, volume[, bid, ask]) rows."""
    bars = np.zeros(len(rows), BAR)
    for index, row in enumerate(rows):
        bar = bars[index]
        for name, value in zip(("open", "high", "low", "close", "volume"), row, strict=False):
            bar[name] = value
        bar["bid"], bar["ask"] = row[5:7] if len(row) > 5 else (math.nan, math.nan)
        bar["ts_ns"] = start_ns + (index + 1) * MINUTE
        bar["symbol"] = symbol
    return bars


def whole_bar(parts: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """(open, high, low, close, volume) of the bar that is made of such rows."""
    opens, highs, lows, closes, volumes = zip(*parts, strict=True)
    return opens[0], max(highs), min(lows), closes[-1], sum(volumes)


def detail_of(tables: list[list[tuple[Any, ...]]]) -> Detail:
    """Finer bars of a quarter of a minute for each bar of `bars_from`, from its opening on."""
    parts = []
    for number, rows in enumerate(tables):
        bars = bars_from([tuple(map(float, row)) for row in rows])
        bars["ts_ns"] = START + number * MINUTE + (np.arange(len(rows)) + 1) * (MINUTE // 4)
        parts.append(bars)
    return Detail.of(parts)


def flat_bars(prices: list[float], volume: float = 1e6, **more: Any) -> np.ndarray:
    """Bars whose four prices are one number each."""
    return bars_from([(price, price, price, price, volume) for price in prices], **more)


def random_bars(seed: int, count: int, symbols: int = 1) -> np.ndarray:
    """Seeded random-walk bars of several symbols in one time order; some minutes missing."""
    chance = np.random.default_rng(seed)
    parts = []
    for symbol in range(symbols):
        close = 100.0 * np.exp(np.cumsum(chance.normal(0, 0.002, count)))
        open_ = np.concatenate([[100.0], close[:-1]]) * np.exp(chance.normal(0, 0.0005, count))
        bars = np.zeros(count, BAR)
        bars["open"], bars["close"] = np.round(open_, 2), np.round(close, 2)
        bars["high"] = np.maximum(bars["open"], bars["close"]) + 0.01
        bars["low"] = np.minimum(bars["open"], bars["close"]) - 0.01
        bars["volume"] = chance.integers(0, 2_000, count)
        half = np.round(chance.uniform(0.005, 0.2, count), 3)
        bars["bid"], bars["ask"] = bars["close"] - half, bars["close"] + half
        bars["ts_ns"] = START + (np.arange(count) + 1) * MINUTE
        bars["symbol"] = symbol
        parts.append(bars[chance.random(count) > 0.05])
    joined = np.concatenate(parts)
    return joined[np.lexsort((joined["symbol"], joined["ts_ns"]))]


def random_detail(seed: int, count: int) -> tuple[np.ndarray, Detail]:
    """Two symbols' minutes, each made of up to four quarters."""
    chance = np.random.default_rng(seed)
    bars, parts = [], []
    last = [100.0, 100.0]
    for number in range(count):
        for symbol in range(2):
            part = np.zeros(int(chance.integers(1, 5)), BAR)
            steps = chance.normal(0, 0.12, (len(part), 4)).round(2)
            for at_, row in enumerate(part):
                opened = round(last[symbol] + steps[at_, 0] / 4, 2)
                close = round(opened + steps[at_, 1], 2)
                row["open"], row["close"], row["volume"] = opened, close, 500.0
                row["high"] = max(opened, close) + abs(steps[at_, 2])
                row["low"] = min(opened, close) - abs(steps[at_, 3])
                row["ts_ns"] = START + number * MINUTE + (at_ + 1) * MINUTE // 4
                last[symbol] = close
            part["symbol"], part["bid"], part["ask"] = symbol, np.nan, np.nan
            bar = part[:1].copy()
            bar["ts_ns"] = START + (number + 1) * MINUTE
            bar["high"], bar["low"] = part["high"].max(), part["low"].min()
            bar["close"], bar["volume"] = part["close"][-1], part["volume"].sum()
            bars.append(bar)
            parts.append(part)
    return np.concatenate(bars), Detail.of(parts)


def actions_from(word: str) -> np.ndarray:
    """`"B.SC"` → BUY, HOLD, SELL, CLOSE."""
    codes = {
        "B": TradingAction.BUY,
        "S": TradingAction.SELL,
        ".": TradingAction.HOLD,
        "C": TradingAction.CLOSE,
    }
    return np.array([codes[letter] for letter in word], np.int8)


def make_inputs(
    bars: np.ndarray,
    actions: np.ndarray | str,
    requests: np.ndarray = NO_REQUESTS,
    detail: Detail = NO_DETAIL,
) -> Inputs:
    """Inputs without reasons."""
    chosen = actions_from(actions) if isinstance(actions, str) else actions.astype(np.int8)
    assert len(chosen) == len(bars)
    return Inputs(bars, chosen, np.zeros(len(bars), np.int16), requests, *detail)


class Run:
    """A finished core run with its decisions kept."""

    def __init__(self, rules: Rules, inputs: Inputs) -> None:
        self.rules, self.inputs = rules, inputs
        kept: list[np.ndarray] = []
        keeper = RowKeeper(len(inputs.bars), (lambda rows: kept.append(rows.copy()),))
        self.record: RunRecord = run_history(rules, inputs, keeper)
        self.decisions = np.concatenate(kept)
        self.fills = self.record.fills
        self.equity = self.record.equity
        self.events = self.record.events
        self.orders = self.record.order_rows
        self.throttles = self.record.throttles
        self.account = self.record.book.account[0]
        self.positions = self.record.book.positions

    def reasons(self) -> list[str]:
        """Reason name of each decision."""
        return [Reason(int(code)).name for code in self.decisions["reason"]]


def run(bars: np.ndarray, actions: np.ndarray | str, **changes: Any) -> Run:
    """Run `actions` over `bars` with rules that are off but for `changes`.

    `sessions`, `symbols`, `requests` and `detail` may be among the changes; `entry_` begins those
    of ENTRY.
    """
    first, last = int(bars["ts_ns"][0]), int(bars["ts_ns"][-1])
    sessions = changes.pop("sessions", None)
    symbols = changes.pop("symbols", int(bars["symbol"].max()) + 1)
    chosen = always_open(first, last) if sessions is None else sessions
    requests = changes.pop("requests", NO_REQUESTS)
    detail = changes.pop("detail", NO_DETAIL)
    inputs = make_inputs(bars, actions, requests, detail)
    return Run(make_rules(chosen, symbols, **changes), inputs)
