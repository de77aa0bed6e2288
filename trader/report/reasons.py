"""Every reason code in plain words, with the config key that governs it.

Law: complete (a test compares it with `Reason`); a note says what was true at that moment, so
that it reads on after "because".
"""

from typing import NamedTuple

from trader.core.schema import Reason


class Note(NamedTuple):
    """Why, in words; and the config keys to look at, empty where none governs it."""

    words: str
    key: str = ""


NOTES: dict[Reason, Note] = {
    Reason.NONE: Note("nothing stood in the way"),
    Reason.WARMUP: Note("features were not warm yet", "features"),
    Reason.MODEL_TIMEOUT: Note(
        "the model took too long to answer", "execution.model_timeout_seconds"
    ),
    Reason.MODEL_INVALID: Note("the model's answer was not an action", "model"),
    Reason.AT_TARGET: Note("the position was already there", "position_sizing"),
    Reason.SHORT_NOT_ALLOWED: Note(
        "SELL with nothing held, and shorts are off", "position_sizing.allow_short"
    ),
    Reason.NO_VOLATILITY: Note(
        "volatility to size by was not known yet", "position_sizing.volatility_window"
    ),
    Reason.MODEL_ERROR: Note("the model raised an error", "model"),
    Reason.BELOW_THRESHOLD: Note("the model was not sure enough", "model.threshold"),
    Reason.FILTERED: Note("model.filter did not want the action", "model.filter.keep_above"),
    Reason.COOLDOWN: Note("too few bars had passed since the exit", "exits.cooldown_bars"),
    Reason.EXIT_DISTANCE_UNKNOWN: Note("the range behind the exits was not known yet", "exits"),
    Reason.EXIT_PRICE: Note("a stop or target was on the wrong side", "model"),
    Reason.REQUEST_INVALID: Note("the size or price beside the action was invalid", "model"),
    Reason.HALTED: Note("trading was halted by a limit", "risk"),
    Reason.KILLED: Note("the run was killed"),
    Reason.REDUCE_ONLY: Note("only reducing orders were let through", "risk"),
    Reason.PARAM_SYMBOL: Note("the symbol is not in the config", "instruments"),
    Reason.PARAM_SIDE: Note("the side was neither BUY nor SELL"),
    Reason.PARAM_QTY: Note("the quantity was not a number above 0"),
    Reason.PARAM_LOT: Note("the quantity was not whole lots", "instruments.lot_size"),
    Reason.PARAM_PRICE: Note("the price was not a number above 0"),
    Reason.PARAM_TICK: Note("the price was not on a tick", "instruments.tick_size"),
    Reason.PARAM_TIF: Note("the time in force is unknown", "broker.time_in_force"),
    Reason.PARAM_ID: Note("the order id was missing or used before"),
    Reason.RESTRICTED: Note("the symbol may not be traded", "risk.restricted"),
    Reason.NO_REFERENCE_PRICE: Note("no earlier price to compare with", "risk.price_collar"),
    Reason.PRICE_COLLAR: Note("the price was too far from the last", "risk.price_collar"),
    Reason.ORDER_RATE_LIMIT: Note("too many orders at once", "risk.max_orders_per_*"),
    Reason.WORKING_ORDERS_FULL: Note("too many orders were still working"),
    Reason.NO_SCORE: Note("the model gave no score to size it by", "position_sizing.mode"),
    Reason.NO_RATE: Note("the rate of its currency is not known yet", "instruments.currency"),
    Reason.NO_QUOTE: Note("no bid and ask to fill against", "broker.slippage.type"),
    Reason.DUPLICATE: Note("the same order was sent before"),
    Reason.SELF_MATCH: Note("it would have met an own order"),
    Reason.POSITION_LIMIT: Note("the position would be too large", "risk.max_position_size"),
    Reason.POSITION_NOTIONAL_LIMIT: Note(
        "the position would be worth too much", "risk.max_position_notional"
    ),
    Reason.ORDER_SIZE_LIMIT: Note("the order was too large", "risk.max_order_size"),
    Reason.ORDER_NOTIONAL_LIMIT: Note("the order was worth too much", "risk.max_order_notional"),
    Reason.DAILY_LOSS_LIMIT: Note("the daily loss was over its limit", "risk.max_daily_loss"),
    Reason.DRAWDOWN_LIMIT: Note("the drawdown was over its limit", "risk.max_drawdown_frac"),
    Reason.CONCENTRATION_LIMIT: Note(
        "too much of equity in one symbol", "risk.max_position_concentration"
    ),
    Reason.GROSS_EXPOSURE_LIMIT: Note("total exposure was too large", "risk.max_gross_exposure"),
    Reason.BUYING_POWER: Note(
        "positions and orders would be worth more than equity carries", "risk.allow_margin"
    ),
    Reason.PRICE_NOT_POSITIVE: Note(
        "a fraction of a price at or below zero is undefined", "instruments.allow_negative_prices"
    ),
    Reason.MARKET_CLOSED: Note("the market was closed", "risk.market_hours"),
    Reason.CALENDAR_UNKNOWN: Note("the calendar does not know the date", "risk.market_hours"),
    Reason.VOLUME_PARTICIPATION: Note(
        "the market traded too little volume", "throttle.max_volume_participation"
    ),
    Reason.SPREAD: Note("the spread was wide", "throttle.max_spread_bps"),
    Reason.VOLATILITY: Note("volatility was high", "throttle.max_volatility"),
    Reason.ABSOLUTE_CAP: Note("the order was above the cap", "throttle.max_order_size"),
    Reason.CROSSED_BOOK: Note("the bid was above the ask", "throttle.max_spread_bps"),
    Reason.THROTTLED_TO_ZERO: Note("throttles left less than one lot", "throttle"),
    Reason.BELOW_MIN_SIZE: Note("what was left was too small", "risk.min_order_size"),
    Reason.BELOW_MIN_NOTIONAL: Note(
        "the order was worth less than the exchange takes", "instruments.min_notional"
    ),
    Reason.TRIMMED_TO_CASH: Note(
        "only what could be paid with costs was ordered", "risk.allow_margin"
    ),
    Reason.BELOW_LOT_SIZE: Note("the size wanted was less than one lot", "instruments.lot_size"),
    Reason.NO_EQUITY: Note("equity fell to zero"),
    Reason.BANKRUPT: Note("equity fell below zero: the run ended"),
    Reason.MARGIN_CALL: Note("equity was below the maintenance margin", "broker.margin"),
    Reason.DATA_GAP: Note("bars were missing", "feed.quality.gap"),
    Reason.DATA_LATE: Note("the bar came too late", "execution.slice_grace_seconds"),
    Reason.DATA_REVISED: Note("the bar was changed afterwards", "feed.quality.revised"),
    Reason.DATA_HISTORY: Note("the bar closed before the run or its line", "feed.trade_history"),
    Reason.DATA_STALE: Note("the newest bar was too old", "feed.max_age_bars"),
    Reason.DATA_INVALID: Note("the bar broke a rule of the data gate", "feed.quality"),
    Reason.POSITIONS_UNKNOWN: Note("positions were not known"),
    Reason.CHECK_ERROR: Note("a check failed to run"),
    Reason.EXPIRED_UNSENT: Note("the order was too old to send", "execution.queue_max_age_seconds"),
    Reason.MARKET_VOLATILITY: Note("the market was too volatile", "risk.kill_volatility"),
    Reason.EXECUTION_REVIEW: Note(
        "too many executions without a review", "risk.max_executions_without_review"
    ),
    Reason.SYSTEM_ERROR: Note("something failed inside"),
    Reason.REPLACED: Note("a newer order took its place"),
    Reason.TIME_IN_FORCE: Note("its time ran out", "broker.time_in_force"),
    Reason.SHUTDOWN: Note("the run was stopped (Ctrl-C, SIGTERM)"),
    Reason.POSITION_CLOSED: Note("the position it was to close was closed"),
    Reason.ENTRY_ENDED: Note("the entry it belonged to ended unfilled"),
    Reason.MAX_HOLDING: Note("the position was held for long enough", "exits.max_holding_bars"),
    Reason.ORDER_UNKNOWN: Note("whether an earlier order left is not known"),
    Reason.BROKER_REJECTED: Note("the broker would not have the order"),
    Reason.BROKER_CANCELLED: Note("the broker ended the order unasked"),
    Reason.CANCEL_PENDING: Note("an order of the symbol was being cancelled"),
    Reason.NOT_AT_BROKER: Note("a broker outside keeps no stop and no target"),
    Reason.DELISTED: Note("the symbol trades no more", "feed.adjustments"),
    Reason.SPLIT_TO_ZERO: Note("a split left less than a lot of it", "feed.adjustments"),
    Reason.FEED_LOST: Note("no bar came for too long", "feed.disconnect_after_seconds"),
}


def note(name: str) -> Note:
    """The note of a reason by its name; empty words for a name this version does not know."""
    reason = Reason.__members__.get(name)
    return NOTES[reason] if reason is not None else Note("")
