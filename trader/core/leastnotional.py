"""Least notional: what the exchange would refuse as worth too little is denied before it is sent.

Law: judges each order as `placing.place` sends it, at the price it is expected to fill at, in the
instrument's own currency. Exits that rest beside a position and a liquidation are not judged.
"""

from trader.core import placing, sizing
from trader.core.schema import Reason
from trader.jit import inlined
from trader.rounding import is_money_within


@inlined
def deny_below(rules, symbol, position, decision, limit_price):
    """Take from a decision's approved qty the orders that are worth too little."""
    instrument = rules.instruments[symbol]
    approved, least = decision["approved_qty"], instrument["min_notional"]
    if not (least > 0.0) or approved == 0.0:
        return
    closing = sizing.closing_qty(position, approved)
    price = placing.entry_price(rules, symbol, position, approved, limit_price)
    kept, part = 0.0, approved
    if approved == closing:
        price = limit_price if limit_price == limit_price else position["mark"]
    elif placing.is_split(closing, approved - closing, placing.type_of_entry(rules, limit_price)):
        kept, part = closing, approved - closing
        if not is_enough(instrument, closing, position["mark"]):
            kept, part, price = 0.0, closing, position["mark"]
    if not is_enough(instrument, part, price):
        decision["approved_qty"] = kept
        decision["reason"] = Reason.BELOW_MIN_NOTIONAL
        decision["observed"] = notional(instrument, part, price)
        decision["limit"] = least


@inlined
def is_enough(instrument, qty, price):
    """Whether the exchange takes such an order."""
    return is_money_within(instrument["min_notional"], notional(instrument, qty, price))


@inlined
def notional(instrument, qty, price):
    """What an order is worth in the instrument's own currency."""
    multiplier = instrument["multiplier"] if instrument["multiplier"] > 0.0 else 1.0
    return abs(qty * price) * multiplier
