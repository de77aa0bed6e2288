"""Which limits are in force for a symbol: its own, or those of `risk`."""

from trader.core.jit import inlined


@inlined
def limits_of(rules, symbol):
    """LIMITS of a symbol; what is judged of the whole account stands in `rules.limits[0]`."""
    return rules.limits[symbol + 1 if len(rules.limits) > 1 else 0]
