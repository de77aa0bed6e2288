"""What a recorded reason means for a decision: its limit, and what may be approved beside it."""

from typing import Any

from trader.core.schema import CashflowKind, Reason

# the limit a refusal or a cut is measured against, as named in RUN_START's limits
LIMIT_OF = {
    Reason.POSITION_LIMIT: "max_position_size",
    Reason.POSITION_NOTIONAL_LIMIT: "max_position_notional",
    Reason.ORDER_SIZE_LIMIT: "max_order_size",
    Reason.ORDER_NOTIONAL_LIMIT: "max_order_notional",
    Reason.DAILY_LOSS_LIMIT: "max_daily_loss",
    Reason.DRAWDOWN_LIMIT: "max_drawdown_frac",
    Reason.CONCENTRATION_LIMIT: "max_position_concentration",
    Reason.GROSS_EXPOSURE_LIMIT: "max_gross_exposure",
    Reason.PRICE_COLLAR: "price_collar",
    Reason.VOLUME_PARTICIPATION: "max_volume_participation",
    Reason.SPREAD: "max_spread_bps",
    Reason.VOLATILITY: "max_volatility",
    Reason.ABSOLUTE_CAP: "throttle_max_order_size",
    Reason.BELOW_MIN_SIZE: "min_order_size",
}
LIMIT_BY_CODE = {int(reason): name for reason, name in LIMIT_OF.items()}
# Beside an approved qty the first mean that it was cut, the others that only what closes is left.
CUT_BY = {
    Reason.NONE,
    Reason.VOLUME_PARTICIPATION,
    Reason.SPREAD,
    Reason.VOLATILITY,
    Reason.ABSOLUTE_CAP,
    Reason.CROSSED_BOOK,
    Reason.MAX_HOLDING,
    Reason.TRIMMED_TO_CASH,
}
OPENING_REFUSED = {
    Reason.REDUCE_ONLY,
    Reason.RESTRICTED,
    Reason.ORDER_RATE_LIMIT,
    Reason.POSITION_LIMIT,
    Reason.POSITION_NOTIONAL_LIMIT,
    Reason.ORDER_SIZE_LIMIT,
    Reason.ORDER_NOTIONAL_LIMIT,
    Reason.DAILY_LOSS_LIMIT,
    Reason.DRAWDOWN_LIMIT,
    Reason.CONCENTRATION_LIMIT,
    Reason.GROSS_EXPOSURE_LIMIT,
    Reason.BUYING_POWER,
    Reason.COOLDOWN,
    Reason.EXIT_DISTANCE_UNKNOWN,
    Reason.EXIT_PRICE,
    Reason.ORDER_UNKNOWN,
    Reason.CANCEL_PENDING,
    Reason.DELISTED,
    Reason.PRICE_COLLAR,
    Reason.BELOW_MIN_NOTIONAL,
    Reason.WORKING_ORDERS_FULL,
    Reason.MARGIN_CALL,  # and there the whole is what closes
}
# how many of max_order_size and the cap of the throttle hold for what only closes
CAPS_UNDER = {Reason.MAX_HOLDING: 1, Reason.MARGIN_CALL: 0}
ACCOUNT_WIDE = -1
COSTS = (CashflowKind.BORROW_FEE, CashflowKind.MARGIN_INTEREST, CashflowKind.TAX)


def flow_fault(symbol: object, kind: object, amount: float) -> str | None:
    """What a CASHFLOW row cannot be: interest of a symbol, a fee that is received."""
    if (symbol == ACCOUNT_WIDE) != (kind == CashflowKind.MARGIN_INTEREST):
        return f"a cash flow of kind {kind!r} of symbol {symbol!r}"
    if kind in COSTS and not amount < 0.0:
        return f"a cost of kind {kind!r} of {amount!r} is no cost"
    return None


def reason_name(code: Any) -> str:
    """What a recorded reason is called; the number itself where this version has no name."""
    return Reason(code).name if code in list(Reason) else repr(code)


def marked_symbols(start: dict[str, Any], *marks: str) -> frozenset[str]:
    """Symbols of which RUN_START's rules have one of `marks`, fields of an instrument, not at 0."""
    rules = start.get("rules")
    part = rules.get("instruments", {}) if isinstance(rules, dict) else {}
    fields = part.get("fields", ())
    at = [fields.index(name) for name in marks if name in fields]
    pairs = zip(start["symbols"], part["rows"], strict=True) if at else ()
    return frozenset(symbol for symbol, row in pairs if any(row[i] != 0 for i in at))
