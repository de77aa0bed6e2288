"""What positions and working orders could come to, at the worst.

Law: the worst is the position plus every working order of one side, unnetted.
"""

from trader.core.jit import inlined


@inlined
def worst_qty(position, qty):
    """Position if every working order of the side of `qty`, and `qty` itself, filled."""
    if qty > 0.0:
        return position["qty"] + position["working_buy"] + qty
    return position["qty"] - position["working_sell"] + qty


@inlined
def exposure_of_others(positions, symbol):
    """Σ worst-case notional of every symbol but `symbol`, in config order."""
    total = 0.0
    for index in range(len(positions)):
        if index != symbol:
            position = positions[index]
            long_side = abs(position["qty"] + position["working_buy"])
            short_side = abs(position["qty"] - position["working_sell"])
            total += max(long_side, short_side) * position["mark"]
    return total
