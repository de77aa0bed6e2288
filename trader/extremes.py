"""The lowest and the highest of many numbers, four side by side: none waits for the one before.

Law: the same values in any order of comparing; that one is NaN is told, and then neither counts.
"""
# mypy: allow-untyped-defs

from trader.jit import inlined


@inlined
def extremes(values):
    """(lowest, highest, whether all are numbers) of at least one value; four side by side."""
    lows = highs = (values[0], values[0], values[0], values[0])
    sums = (0.0, 0.0, 0.0, 0.0)
    for block in range(len(values) // 4):
        place = 4 * block
        a, b, c, d = values[place], values[place + 1], values[place + 2], values[place + 3]
        lows = lower(a, lows[0]), lower(b, lows[1]), lower(c, lows[2]), lower(d, lows[3])
        highs = higher(a, highs[0]), higher(b, highs[1]), higher(c, highs[2]), higher(d, highs[3])
        sums = sums[0] + a, sums[1] + b, sums[2] + c, sums[3] + d
    low = lower(lower(lows[0], lows[1]), lower(lows[2], lows[3]))
    high = higher(higher(highs[0], highs[1]), higher(highs[2], highs[3]))
    total = sums[0] + sums[1] + sums[2] + sums[3]
    for place in range(len(values) - len(values) % 4, len(values)):
        low, high = lower(values[place], low), higher(values[place], high)
        total += values[place]
    return low, high, total == total


@inlined
def lower(value, other):
    """The lower of two; the second where one is NaN."""
    return value if value < other else other


@inlined
def higher(value, other):
    """The higher of two; the second where one is NaN."""
    return value if value > other else other
