"""The naive twin of sessions, in pandas alone: what the core and the report are compared with.

It reads the schedule of exchange_calendars itself, looks at every stretch near a bar, and sums
overlaps with a groupby. It knows no cursor and no shortcut, and is meant to be read.
"""

from dataclasses import dataclass

import exchange_calendars as xcals
import numpy as np
import pandas as pd

from tests.core_kit import Run, make_inputs, make_rules
from trader.core.schema import (
    BAR,
    BAR_STRETCH_SHIFT,
    EventKind,
    Reason,
    TimeInForce,
    TradingAction,
    TradingState,
)
from trader.hours.upstream import mended_calendar

DAY_NS = 86_400 * 10**9
NEAR = 8  # stretches looked at on either side of a bar's close


@dataclass
class Hours:
    """Stretches of trading hours and the date of the session of each, sorted."""

    opens: np.ndarray  # i8 UTC nanoseconds
    closes: np.ndarray
    dates: np.ndarray  # datetime64[D]


def schedule_hours(code: str, first: str, last: str) -> Hours:
    """Of one calendar, as far as it knows, from its schedule; a break makes two stretches."""
    factory = xcals.calendar_utils._default_calendar_factories[code]
    low, high = factory.bound_min(), factory.bound_max()
    start = max(pd.Timestamp(first), low or pd.Timestamp(first))
    end = min(pd.Timestamp(last), high or pd.Timestamp(last))
    schedule = mended_calendar(factory, str(start.date()), str(end.date())).schedule
    rows = []
    for day, row in zip(schedule.index, schedule.itertuples(index=False), strict=True):
        if pd.isna(row.break_start):
            rows.append((row.open.value, row.close.value, day))
        else:
            rows.append((row.open.value, row.break_start.value, day))
            rows.append((row.break_end.value, row.close.value, day))
    frame = pd.DataFrame(rows, columns=["open", "close", "date"]).sort_values("open")
    dates = frame["date"].to_numpy().astype("datetime64[D]")
    return Hours(frame["open"].to_numpy("i8"), frame["close"].to_numpy("i8"), dates)


def bar_dates(hours: Hours, closes_ns: np.ndarray, period_ns: int) -> np.ndarray:
    """Session date of each bar: most overlap, the later of equals; else the one that opens next.

    Days and weeks are sessions themselves and belong to the one they end with.
    """
    if period_ns >= DAY_NS:
        return hours.dates[np.searchsorted(hours.closes, closes_ns)]
    opens_ns = closes_ns - period_ns
    middle = np.searchsorted(hours.closes, closes_ns)
    found = []
    for step in range(-NEAR, NEAR + 1):
        row = middle + step
        there = (row >= 0) & (row < len(hours.opens))
        row = np.clip(row, 0, len(hours.opens) - 1)
        overlap = np.minimum(hours.closes[row], closes_ns) - np.maximum(hours.opens[row], opens_ns)
        bar = np.flatnonzero(there & (overlap > 0))
        found.append(
            pd.DataFrame({"bar": bar, "date": hours.dates[row[bar]], "overlap": overlap[bar]})
        )
    sums = pd.concat(found).groupby(["bar", "date"], as_index=False)["overlap"].sum()
    best = sums.sort_values(["bar", "overlap", "date"]).groupby("bar").last()["date"]
    following = np.minimum(middle, len(hours.dates) - 1)
    dates = pd.Series(hours.dates[following])
    dates.loc[best.index] = best
    return dates.to_numpy().astype("datetime64[D]")


def instant_dates(hours: Hours, times_ns: np.ndarray) -> np.ndarray:
    """Session that is open at each time, or opens next; NaT after the last."""
    row = np.array([np.flatnonzero(hours.closes > time)[:1].sum() for time in times_ns], np.int64)
    dates = hours.dates[row]
    dates[times_ns >= hours.closes[-1]] = np.datetime64("NaT")
    return dates


def bar_opens(hours: Hours, closes_ns: np.ndarray, period_ns: int) -> np.ndarray:
    """When the bars open: days and weeks with the first session after the bar before them."""
    if period_ns < DAY_NS:
        return closes_ns - period_ns
    before = np.concatenate([[hours.opens[0] - 1], closes_ns[:-1]])
    return hours.opens[np.searchsorted(hours.opens, before)]


def walk(seed: int, closes_ns: np.ndarray, opens_ns: np.ndarray, period_ns: int) -> np.ndarray:
    """BAR records of a random walk that open and close at the given times."""
    chance = np.random.default_rng(seed)
    bars = np.zeros(len(closes_ns), BAR)
    close = np.round(100.0 * np.exp(np.cumsum(chance.normal(0, 0.01, len(closes_ns)))), 2)
    bars["close"] = close
    bars["open"] = np.concatenate([[100.0], close[:-1]])
    bars["high"] = np.maximum(bars["open"], close)
    bars["low"] = np.minimum(bars["open"], close)
    bars["volume"] = 10.0
    bars["bid"] = bars["ask"] = np.nan
    bars["ts_ns"] = closes_ns
    bars["flags"] = ((closes_ns - opens_ns - period_ns) // 10**9) << BAR_STRETCH_SHIFT
    return bars


def losses_differ(hours: Hours, table: np.ndarray, bars: np.ndarray, period_ns: int) -> str:
    """Daily losses and reducing sessions of a run that holds 500 units, against the twin's."""
    limit = 500.0
    actions = np.full(len(bars), TradingAction.BUY, np.int8)  # until the market takes it
    rules = make_rules(
        table, base_size=500.0, max_daily_loss=limit, period_ns=period_ns, cash=100_000.0
    )
    run = Run(rules, make_inputs(bars, actions))
    equity = pd.Series(run.equity["equity"])
    dates = pd.Series(bar_dates(hours, bars["ts_ns"], period_ns))
    last = equity.groupby(dates).last()
    base = last.shift(1, fill_value=100_000.0)
    loss = dates.map(base) - equity
    breached = (loss > limit).groupby(dates).cummax()
    state = np.where(breached, int(TradingState.REDUCING), int(TradingState.ACTIVE))
    if not np.array_equal(state, run.equity["trading_state"]):
        row = int(np.argmax(state != run.equity["trading_state"]))
        return f"trading state at {np.datetime64(int(bars['ts_ns'][row]), 'ns')}"
    if abs(max(float(loss.max()), 0.0) - float(run.account["worst_daily_loss"])) > 1e-6:
        return f"worst daily loss {run.account['worst_daily_loss']} and not {loss.max()}"
    return ""


def day_orders_differ(hours: Hours, table: np.ndarray, bars: np.ndarray, period_ns: int) -> str:
    """Fills and cancellations of day orders, a fifth of a lot a bar, against the twin's."""
    actions = np.full(len(bars), TradingAction.HOLD, np.int8)
    actions[::7] = TradingAction.BUY
    rules = make_rules(
        table, mode=1, base_size=3.0, max_fill_participation=0.1, period_ns=period_ns,
        time_in_force=int(TimeInForce.DAY),
    )  # fmt: skip
    run = Run(rules, make_inputs(bars, actions))
    placed = np.flatnonzero(run.decisions["approved_qty"] > 0.0)
    until = instant_dates(hours, bars["ts_ns"][placed])
    opens_ns = bar_opens(hours, bars["ts_ns"], period_ns)
    opens = instant_dates(hours, opens_ns)
    wanted_fills, wanted_ends, working = [], [], []
    for row in range(len(bars)):
        room = 1.0
        for order in list(working):
            if order[1] != opens[row]:
                wanted_ends.append((order[0], int(bars["ts_ns"][row])))
                working.remove(order)
            elif room > 0.0:
                wanted_fills.append((order[0], int(opens_ns[row])))
                order[2] -= 1.0
                room -= 1.0
                if order[2] == 0.0:
                    working.remove(order)
        if row in placed:
            number = int(np.searchsorted(placed, row))
            working.append([number + 1, until[number], 3.0])
    fills = list(zip(run.fills["order_id"].tolist(), run.fills["ts_ns"].tolist(), strict=True))
    ended = run.events[
        (run.events["kind"] == EventKind.ORDER_CANCELLED)
        & (run.events["reason"] == Reason.TIME_IN_FORCE)
    ]
    ends = list(zip(ended["order_id"].tolist(), ended["ts_ns"].tolist(), strict=True))
    if ends != wanted_ends:
        return f"ends {_first_difference(ends, wanted_ends)}"
    return "" if fills == wanted_fills else f"fills {_first_difference(fills, wanted_fills)}"


def _first_difference(found: list, wanted: list) -> str:
    for one, other in zip(found, wanted, strict=False):
        if one != other:
            return f"{one} and not {other}"
    return f"{len(found)} and not {len(wanted)}"
