"""Closing a position at once, from outside: what `trader kill --flatten` asks of the broker.

Law: closes all of a position and nothing else, whatever the trading state. There is no bar to
fill at, so the price is the last close, moved against the order by slippage and rounded as any
fill; with bars alone nothing better is known (docs/execution-model.md).
"""

from trader.core import accounting, execution
from trader.core.jit import jit
from trader.core.rows import write_fill

NO_DECISION = -1


@jit
def close_out(book, rules, symbol, out):
    """Fill an order that takes the symbol's position to zero; a FILL row tells. No-op if flat.

    The caller has ended every working order of the symbol before.
    """
    account = book.account[0]
    position = book.positions[symbol]
    qty = 0.0 - position["qty"]
    if qty == 0.0:
        return
    instrument = rules.instruments[symbol]
    broker = rules.broker[0]
    orders = book.orders[symbol]
    order = execution.place_order(account, position, orders, qty, NO_DECISION)
    order["symbol"] = symbol
    basis = (position["mark"], account["ts_ns"], position["volume"])
    price = execution.fill_price(broker, qty, basis, position, instrument)
    commission = execution.charge_commission(broker, order, qty, price)
    realized = accounting.apply_fill(
        account, position, qty, price, commission, instrument["lot_size"]
    )
    write_fill(account, order, basis, (qty, price, commission, realized), out)
    execution.recount_working(position, orders, instrument["lot_size"])
    accounting.mark_to_market(account, book.positions)
