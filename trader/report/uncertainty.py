"""How much of a figure is the luck of the order of days and trades: bootstrap intervals.

Law: the stationary bootstrap (Politis and Romano 1994): stretches of the history, of geometric
length, drawn with putting back and laid end to end until there are as many sessions (or trades)
again. The interval is the middle 95 % of what that gives. The seed is the config's: equal runs
have equal intervals. An end that is no number (resamples without a losing trade) is None.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from trader.jit import jit
from trader.report.ratios import FORMULAS

LEVEL = 0.95
RESAMPLES = 1_000
LEAST = 10  # of fewer sessions or trades nothing can be said
VALUES_AT_ONCE = 65_536  # resampled, so that they stay in the processor's cache
METHOD = "stationary bootstrap"


class Stretches(NamedTuple):
    """What each resample is made of; the lengths of a row add up to the count."""

    starts: np.ndarray  # i8 (resamples, most)
    lengths: np.ndarray  # i8, 0 where a row needs no more


class SessionMoves(NamedTuple):
    """Of each session, as multiples of the equity before it."""

    closing: np.ndarray  # f8
    lowest: np.ndarray
    highest: np.ndarray
    fall: np.ndarray  # the deepest within the session, a fraction


def mean_stretch(count: int) -> int:
    """Sessions (or trades) of a stretch on average: the cube root of how many there are."""
    return max(1, round(count ** (1.0 / 3.0)))


def drawn_stretches(count: int, seed: int, resamples: int = RESAMPLES) -> Stretches:
    """Stretches of `count` things in a ring."""
    rng, mean = np.random.default_rng(seed), mean_stretch(count)
    starts, lengths, left = [], [], np.full(resamples, count)
    while left.any():
        starts.append((rng.random(resamples) * count).astype(np.int64))
        drawn = 1.0 - rng.random(resamples)  # above 0
        longer = np.log(drawn) / math.log1p(-1.0 / mean) if mean > 1 else np.zeros(resamples)
        taken = np.minimum(1 + longer.astype(np.int64), left)
        lengths.append(taken)
        left = left - taken
    return Stretches(np.array(starts).T, np.array(lengths).T)


def resampled_sums(values: np.ndarray, drawn: Stretches) -> np.ndarray:
    """The sum of each resample of `values`."""
    ring = np.append(0.0, np.cumsum(np.concatenate([values, values])))
    sums: np.ndarray = (ring[drawn.starts + drawn.lengths] - ring[drawn.starts]).sum(axis=1)
    return sums


def session_moves(
    equity: np.ndarray, ends: np.ndarray, start_equity: float, returns: np.ndarray
) -> SessionMoves:
    """What EQUITY rows did within each session; `ends` is the last row of each."""
    made = np.empty((3, len(ends)))
    session_ranges(equity, ends, start_equity, made)
    return SessionMoves(1.0 + returns, *made)


@jit
def session_ranges(equity, ends, start_equity, made):  # type: ignore[no-untyped-def]
    """Lowest and highest of each session over the equity before it, and its deepest fall."""
    before, row = start_equity, 0
    for session in range(len(ends)):
        low, high, fall, last = before, before, 0.0, before
        while row <= ends[session]:
            last = equity[row]["equity"]
            low = min(low, last)
            high = max(high, last)
            if high > 0.0:
                fall = max(fall, (high - last) / high)
            row += 1
        made[0, session] = low / before if before != 0.0 else 1.0
        made[1, session] = high / before if before != 0.0 else 1.0
        made[2, session] = fall
        before = last


def resampled_drawdowns(moves: SessionMoves, drawn: Stretches) -> np.ndarray:
    """The deepest fall of each resample, on every slice as the drawdown of the run is."""
    count = len(moves.closing)
    rows_at_once = max(1, VALUES_AT_ONCE // count)
    found = np.empty(len(drawn.starts))
    for first in range(0, len(found), rows_at_once):
        rows = slice(first, first + rows_at_once)
        found[rows] = _drawdowns(moves, _places(drawn, rows, count))
    return found


def _places(drawn: Stretches, rows: slice, count: int) -> np.ndarray:
    """Which sessions some of the resamples are made of, one row each."""
    starts, lengths = drawn.starts[rows], drawn.lengths[rows]
    shift = starts - (np.cumsum(lengths, axis=1) - lengths)  # of a stretch against its places
    where = np.repeat(shift.ravel(), lengths.ravel()).reshape(len(starts), count)
    return (where + np.arange(count)) % count


def _drawdowns(moves: SessionMoves, places: np.ndarray) -> np.ndarray:
    after = np.cumprod(moves.closing[places], axis=1)
    before = np.concatenate([np.ones((len(places), 1)), after[:, :-1]], axis=1)
    peaks = np.maximum.accumulate(before * moves.highest[places], axis=1)
    peaks = np.concatenate([np.ones((len(places), 1)), peaks[:, :-1]], axis=1)
    falls = np.maximum(1.0 - before * moves.lowest[places] / peaks, moves.fall[places])
    deepest: np.ndarray = falls.max(axis=1)
    return deepest


def interval(values: np.ndarray) -> dict[str, float | None] | None:
    """The middle of resampled values; None where fewer than half of them are defined."""
    known = np.sort(values[~np.isnan(values)])
    if 2 * len(known) < len(values):
        return None
    cut = round((1.0 - LEVEL) / 2.0 * len(known))
    low, high = float(known[cut]), float(known[len(known) - 1 - cut])
    return {
        "low": low if math.isfinite(low) else None,
        "high": high if math.isfinite(high) else None,
    }


def session_intervals(
    returns: np.ndarray, moves: SessionMoves, per_year: float, seed: int
) -> dict[str, Any]:
    """Of what is read off the returns of sessions, by name; empty where nothing can be said."""
    count = len(returns)
    if count < LEAST or not np.isfinite(returns).all() or returns.min() <= -1.0:
        return {}
    drawn = drawn_stretches(count, seed)
    total, squares = resampled_sums(returns, drawn), resampled_sums(returns * returns, drawn)
    lower = np.minimum(returns, 0.0)
    below = resampled_sums(lower * lower, drawn)
    growth = resampled_sums(np.log1p(returns), drawn)
    mean, year = total / count, math.sqrt(per_year)
    with np.errstate(all="ignore"):
        spread = np.sqrt(np.maximum(squares - count * mean * mean, 0.0) / (count - 1))
        made = {
            "cagr": np.expm1(growth * (per_year / count)),
            "volatility": spread * year,
            "sharpe": _ratio(mean, spread) * year,
            "sortino": _ratio(mean, np.sqrt(np.maximum(below, 0.0) / count)) * year,
            "max_drawdown": resampled_drawdowns(moves, drawn),
        }
    assert set(FORMULAS) < set(made)
    return {name: found for name, values in made.items() if (found := interval(values))}


def trade_intervals(pnl: np.ndarray, seed: int) -> dict[str, Any]:
    """Of what is read off closed trades, in the order they closed."""
    if len(pnl) < LEAST:
        return {}
    drawn = drawn_stretches(len(pnl), seed)
    won = resampled_sums(np.maximum(pnl, 0.0), drawn)
    lost = resampled_sums(np.maximum(-pnl, 0.0), drawn)
    noise = 1e-12 * float(np.abs(pnl).sum())  # of a difference of sums
    lost = np.where(lost > noise, lost, 0.0)
    with np.errstate(all="ignore"):
        made = {"profit_factor": won / lost, "expectancy": (won - lost) / len(pnl)}
    return {name: found for name, values in made.items() if (found := interval(values))}


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """NaN where there is next to nothing below."""
    return np.where(below > 1e-12, above / below, np.nan)


def about(sessions: int, trades: int, seed: int) -> dict[str, Any]:
    """How the intervals were made."""
    return {
        "level": LEVEL,
        "method": METHOD,
        "resamples": RESAMPLES,
        "mean_stretch_sessions": mean_stretch(sessions) if sessions else None,
        "mean_stretch_trades": mean_stretch(trades) if trades else None,
        "seed": seed,
    }
