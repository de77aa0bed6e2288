"""What happened, as rows: every write into the `Out` buffers but the decisions themselves.

Law: each function appends exactly one row and writes every field of it: buffers are reused.
"""

from trader.core.book import CASHFLOWS, EQUITIES, EVENTS, FILLS, ORDERS, THROTTLES
from trader.core.schema import EventKind
from trader.jit import inlined

ACCOUNT_WIDE = -1


@inlined
def write_event(account, what, value, limit, out):
    """Append an EVENT row. `what` is (kind, reason, symbol, order id)."""
    row = out.counts[EVENTS]
    out.counts[EVENTS] = row + 1
    event = out.events[row]
    event["ts_ns"] = account["ts_ns"]
    event["kind"], event["reason"], event["symbol"], event["order_id"] = what
    event["value"] = value
    event["limit"] = limit


@inlined
def write_state_event(account, before, out):
    """Append the EVENT of a trading state that changed from `before`."""
    what = (EventKind.TRADING_STATE, account["state_reason"], ACCOUNT_WIDE, 0)
    write_event(account, what, float(account["trading_state"]), float(before), out)


@inlined
def write_order_event(account, order, kind, reason, out):
    """Append an EVENT about the rest of an order."""
    what = (kind, reason, order["symbol"], order["order_id"])
    write_event(account, what, order["qty"] - order["filled_qty"], 0.0, out)


@inlined
def write_throttle(account, stage, sizes, driver, out):
    """Append a THROTTLE row; `stage` is (symbol, reason), `driver` (value, limit)."""
    row = out.counts[THROTTLES]
    out.counts[THROTTLES] = row + 1
    record = out.throttles[row]
    record["decision"] = account["decisions"]
    record["symbol"], record["reason"] = stage
    record["before"], record["after"] = sizes
    record["driver"], record["limit"] = driver


@inlined
def write_equity(account, out):
    """Append the EQUITY row of the slice."""
    row = out.counts[EQUITIES]
    out.counts[EQUITIES] = row + 1
    equity = out.equity[row]
    equity["ts_ns"] = account["ts_ns"]
    equity["equity"] = account["equity"]
    equity["cash"] = account["cash"]
    equity["gross_exposure"] = account["gross_exposure"]
    equity["trading_state"] = account["trading_state"]


@inlined
def write_order(order, out):
    """Append the ORDER row of an order that has ended."""
    row = out.counts[ORDERS]
    out.counts[ORDERS] = row + 1
    out.orders[row] = order


@inlined
def write_cashflow(account, what, amount, qty, value, out):
    """Append a CASHFLOW row; returns it. `what` is (ts_ns, symbol, CashflowKind)."""
    row = out.counts[CASHFLOWS]
    out.counts[CASHFLOWS] = row + 1
    cashflow = out.cashflows[row]
    cashflow["ts_ns"], cashflow["symbol"], cashflow["kind"] = what
    cashflow["amount"] = amount
    cashflow["qty"] = qty
    cashflow["value"] = value
    cashflow["realized_pnl"] = 0.0
    cashflow["fill_id"] = account["next_fill_id"]
    return cashflow


@inlined
def write_fill(account, position, order, basis, execution_values, out):
    """Append a FILL row; returns it. `execution_values` is (qty, price, commission, P&L)."""
    qty, price, commission, realized = execution_values
    unit_value = position["unit_value"]
    row = out.counts[FILLS]
    out.counts[FILLS] = row + 1
    fill = out.fills[row]
    fill["ts_ns"] = basis[1]
    fill["order_id"] = order["order_id"]
    fill["fill_id"] = account["next_fill_id"]
    fill["qty"] = qty
    fill["price"] = price
    fill["commission"] = commission
    fill["slippage"] = (price - basis[0]) * qty * unit_value + 0.0
    fill["realized_pnl"] = realized
    fill["best_price"] = price
    fill["symbol"] = order["symbol"]
    fill["flags"] = 0
    fill["leg"] = order["leg"]
    fill["kind"] = order["kind"]
    fill["unit_value"] = unit_value
    account["next_fill_id"] += 1
    return fill
