"""How a trade from each bar would end: at its stop, at its target, or at the end of its time.

Law: the barriers are the exits of the core, at its prices and by its rules of what fills inside a
bar (core/exits.py, core/venue.py): levels on the tick that is worse for us, a stop at its level or
at the open beyond it, the stop before the target where `broker.intrabar` is worst. A trade enters
at the next open (at the close where `broker.fill` is same_close), before costs, and is closed at
the open after `most` bars.
"""
# mypy: allow-untyped-defs

import numpy as np

from trader.config.schema import Config
from trader.config.sections.exits import ExitLevel
from trader.core.exits import exit_distance
from trader.core.schema import ExitType
from trader.jit import inlined, jit
from trader.rounding import tick_against

NO_TRADE, TIME, TARGET, STOP = range(4)
NO_EXIT = int(ExitType.NONE)
PERCENT = int(ExitType.PERCENT)

BARRIERS = np.dtype(
    [
        ("stop_type", "<i8"),  # ExitType
        ("stop_value", "<f8"),
        ("stop_period", "<i8"),
        ("target_type", "<i8"),
        ("target_value", "<f8"),
        ("target_period", "<i8"),
        ("most", "<i8"),  # bars a trade lasts
        ("tick_size", "<f8"),
        ("at_close", "<i8"),  # 1: entered at the close it is decided on
        ("touch", "<i8"),  # 1: a limit fills where the price touches it
        ("path", "<i8"),  # 1: open → nearer extreme → other extreme; 0: the stop first
    ]
)
TRADE = np.dtype(
    [
        ("outcome", "<i8"),
        ("end", "<i8"),  # bar at whose close the outcome is known
        ("latest", "<i8"),  # bar that would have ended it
        ("entry", "<f8"),
        ("exit", "<f8"),
    ]
)


def barriers_of(config: Config, levels: tuple[ExitLevel | None, ExitLevel | None]) -> np.ndarray:
    """BARRIERS (1,) of a stop loss and a take profit, without `most` and `tick_size`."""
    terms = np.zeros(1, BARRIERS)
    for name, level in zip(("stop", "target"), levels, strict=True):
        if level is not None:
            terms[f"{name}_type"] = ExitType[level.type.upper()]
            terms[f"{name}_value"] = level.value
            terms[f"{name}_period"] = level.period
    broker = config.broker
    terms["at_close"] = broker.fill == "same_close"
    terms["touch"] = broker.limit_fill == "touch"
    terms["path"] = broker.intrabar == "ohlc"
    return terms


@inlined
def true_range(bars, at):
    """Of bar `at` > 0, with the close before it."""
    before, high, low = bars[at - 1]["close"], bars[at]["high"], bars[at]["low"]
    return max(high - low, abs(high - before), abs(low - before))


@inlined
def next_average(average, count, period, now):
    """Wilder's average after `count` true ranges, the last of which is `now`."""
    if count > period:
        return (average * (period - 1) + now) / period
    total = average + now
    return total / period if count == period else total


@inlined
def level(entry, direction, kind, distance, tick, qty):
    """A price `distance` from the entry, on the tick that is worse for an order of `qty`."""
    if kind == PERCENT:
        return tick_against(entry * (1.0 + direction * distance), qty, tick)
    return tick_against(entry + direction * distance, qty, tick)


@inlined
def is_beyond(price, stop, side):
    """Whether a price is at a stop or beyond it, seen from a trade of `side`."""
    return stop > 0.0 and (stop - price) * side >= 0.0


@inlined
def is_at_target(price, target, side, touch):
    """Whether a price fills a target."""
    gain = (price - target) * side
    return target > 0.0 and (gain > 0.0 or (touch == 1 and gain == 0.0))


@inlined
def met_first(bar, side, stop, target, terms):
    """(outcome, price) of what a bar meets first; NO_TRADE where it meets neither."""
    price, touch = bar["open"], terms["touch"]
    if is_beyond(price, stop, side):
        return STOP, price
    if is_at_target(price, target, side, touch):
        return TARGET, price
    best = bar["high"] if side > 0.0 else bar["low"]
    worst = bar["low"] if side > 0.0 else bar["high"]
    stops = is_beyond(worst, stop, side)
    reaches = is_at_target(best, target, side, touch)
    if stops and reaches and terms["path"] == 1:
        is_high_first = bar["high"] - price < price - bar["low"]
        stops = is_high_first != (side > 0.0)
    if stops:
        return STOP, stop
    if reaches:
        return TARGET, target
    return NO_TRADE, 0.0


@jit
def end_trades(bars, sides, terms, trades):
    """Fill TRADE (n,) of a trade from each BAR record (n,) of one symbol, in order of time.

    `sides` (n,) is 1 for long, −1 for short, 0 for no trade. There is no trade
    where the bars do not last for `most` of them.
    """
    rules = terms[0]
    most, tick = rules["most"], rules["tick_size"]
    stop_range, target_range = 0.0, 0.0
    for at in range(len(bars)):
        if at > 0:
            now = true_range(bars, at)
            if rules["stop_period"] > 0:
                stop_range = next_average(stop_range, at, rules["stop_period"], now)
            if rules["target_period"] > 0:
                target_range = next_average(target_range, at, rules["target_period"], now)
        side = float(sides[at])
        last = at + most + (1 - rules["at_close"])  # the bar that closes it in the end
        if side == 0.0 or last >= len(bars):
            continue
        entry = bars[at]["close"] if rules["at_close"] == 1 else bars[at + 1]["open"]
        stop, target = 0.0, 0.0
        if rules["stop_type"] != NO_EXIT:
            terms = rules["stop_type"], rules["stop_value"], rules["stop_period"]
            distance = exit_distance(terms, stop_range, at + 1)
            if not (distance > 0.0):
                continue
            stop = level(entry, 0.0 - side, rules["stop_type"], distance, tick, 0.0 - side)
        if rules["target_type"] != NO_EXIT:
            terms = rules["target_type"], rules["target_value"], rules["target_period"]
            distance = exit_distance(terms, target_range, at + 1)
            if not (distance > 0.0):
                continue
            target = level(entry, side, rules["target_type"], distance, tick, side)
        outcome, end = TIME, last
        price = bars[last]["close"] if rules["at_close"] == 1 else bars[last]["open"]
        for later in range(at + 1, at + most + 1):
            met, met_price = met_first(bars[later], side, stop, target, rules)
            if met != NO_TRADE:
                outcome, end, price = met, later, met_price
                break
        trades[at]["outcome"] = outcome
        trades[at]["end"] = end
        trades[at]["latest"] = last
        trades[at]["entry"] = entry
        trades[at]["exit"] = price
