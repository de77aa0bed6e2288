"""Every record layout and every code of the trading core. Names and numbers here are frozen.

Law: enumerations are append-only (a number is never reused); records are packed, little-endian
in practice, every field on an 8-byte boundary or packed four and two below it, so that
`record.tobytes()` has no hidden padding and can be hashed. Times are UTC nanoseconds since 1970
(`ts_ns`), money is account currency, `qty` is signed (+ long or buy, − short or sell).
Fields are read and written by name: `position["qty"]`.
"""
# house: module lines - one place for every record and code is the point of this file

from enum import EnumType, IntEnum, IntFlag
from typing import Any

import numpy as np

CORE_VERSION = 2
MAX_WORKING_ORDERS = 16  # working orders one symbol can hold at once
NS_PER_SECOND = 1_000_000_000


class _OfExactKinds(EnumType):
    """Looks members up by int, NumPy int or name only: Python holds True and 1.0 equal to 1."""

    def __call__(cls, value: Any, *rest: Any, **named: Any) -> Any:
        is_bool = isinstance(value, (bool, np.bool_))
        if is_bool or not isinstance(value, (int, np.integer, str)):
            raise ValueError(f"{value!r} is not a valid {cls.__name__}")
        return super().__call__(value, *rest, **named)


class TradingAction(IntEnum, metaclass=_OfExactKinds):
    """What the model asks for. Accepts ints, NumPy ints and names in any case; nothing else.

    Booleans and floats are refused although Python counts them equal to ints: `True` and `1.0`
    out of a model are a sign of a wrong dtype, not a BUY.
    """

    HOLD = 0
    BUY = 1
    SELL = 2
    CLOSE = 3

    @classmethod
    def _missing_(cls, value: object) -> "TradingAction | None":
        if isinstance(value, str):
            return cls.__members__.get(value.strip().upper())
        return None

    @classmethod
    def parse(cls, value: object) -> "TradingAction":
        """The action meant by an int, a NumPy int or a name; `ValueError` for anything else."""
        try:
            return cls(value)  # type: ignore[arg-type]  # whatever it is: _OfExactKinds
        except ValueError:
            raise ValueError(
                f"not a trading action: {value!r} (use 0, 1, 2, 3 or HOLD, BUY, SELL, CLOSE)"
            ) from None


class Side(IntEnum):
    """Side of an order or fill, for the edges; the core itself uses the sign of `qty`."""

    BUY = 1
    SELL = -1


class TradingState(IntEnum):
    """ACTIVE trades; REDUCING passes only reducing orders; HALTED passes nothing, and latches."""

    ACTIVE = 0
    REDUCING = 1
    HALTED = 2


class KillSwitchReason(IntEnum):
    """Why trading was stopped for good. The numbers are frozen: they are on disk."""

    RISK_BREACH = 1
    DAILY_LOSS_LIMIT = 2
    POSITION_LIMIT = 3
    CONCENTRATION_LIMIT = 4
    MARKET_VOLATILITY = 5
    SYSTEM_ERROR = 6
    MANUAL_STOP = 7
    CONNECTIVITY_LOSS = 8


class Reason(IntEnum):
    """Why a decision came out as it did. Append-only."""

    NONE = 0
    # the action never became a request
    WARMUP = 1
    MODEL_TIMEOUT = 2
    MODEL_INVALID = 3
    AT_TARGET = 4
    SHORT_NOT_ALLOWED = 5
    NO_VOLATILITY = 6
    MODEL_ERROR = 7
    BELOW_THRESHOLD = 8
    COOLDOWN = 16  # too few bars since the exit before
    EXIT_DISTANCE_UNKNOWN = 17  # the range a stop is measured by has too few bars
    EXIT_PRICE = 18  # a stop or target on the wrong side of the price
    REQUEST_INVALID = 19  # a size or price that came beside the action is none
    # trading state
    HALTED = 10
    KILLED = 11
    REDUCE_ONLY = 12
    # step 1, parameters
    PARAM_SYMBOL = 20
    PARAM_SIDE = 21
    PARAM_QTY = 22
    PARAM_LOT = 23
    PARAM_PRICE = 24
    PARAM_TICK = 25
    PARAM_TIF = 26
    PARAM_ID = 27
    RESTRICTED = 28
    NO_REFERENCE_PRICE = 29
    PRICE_COLLAR = 30
    ORDER_RATE_LIMIT = 31
    WORKING_ORDERS_FULL = 32
    NO_QUOTE = 33
    DUPLICATE = 34
    SELF_MATCH = 35
    # step 2, position size
    POSITION_LIMIT = 40
    POSITION_NOTIONAL_LIMIT = 41
    # step 3, order size
    ORDER_SIZE_LIMIT = 50
    ORDER_NOTIONAL_LIMIT = 51
    # step 4, losses
    DAILY_LOSS_LIMIT = 60
    DRAWDOWN_LIMIT = 61
    # step 5, concentration and exposure
    CONCENTRATION_LIMIT = 70
    GROSS_EXPOSURE_LIMIT = 71
    BUYING_POWER = 72
    PRICE_NOT_POSITIVE = 73
    # step 6, market hours
    MARKET_CLOSED = 80
    CALENDAR_UNKNOWN = 81
    # throttles
    VOLUME_PARTICIPATION = 90
    SPREAD = 91
    VOLATILITY = 92
    ABSOLUTE_CAP = 93
    CROSSED_BOOK = 94
    THROTTLED_TO_ZERO = 95
    BELOW_MIN_SIZE = 96
    # money
    TRIMMED_TO_CASH = 97
    BELOW_LOT_SIZE = 98
    NO_EQUITY = 99
    # data and system (paper)
    DATA_GAP = 100
    DATA_LATE = 101
    DATA_REVISED = 102
    DATA_STALE = 103
    DATA_INVALID = 104
    POSITIONS_UNKNOWN = 105
    CHECK_ERROR = 106
    EXPIRED_UNSENT = 107
    MARKET_VOLATILITY = 108
    EXECUTION_REVIEW = 109
    SYSTEM_ERROR = 110
    DATA_HISTORY = 111  # it closed before the run or its line was up
    BELOW_MIN_NOTIONAL = 112  # the exchange would refuse it as worth too little
    # why a working order ended unfilled
    REPLACED = 120
    TIME_IN_FORCE = 121
    SHUTDOWN = 122
    FEED_LOST = 123
    POSITION_CLOSED = 124  # what it was to close is closed
    ENTRY_ENDED = 125  # the entry it belongs to ended unfilled
    # corporate actions
    DELISTED = 160  # the symbol trades no more
    SPLIT_TO_ZERO = 161  # an order too small for a whole lot after a split
    # the broker's credit
    MARGIN_CALL = 162  # equity below the maintenance margin
    BANKRUPT = 163  # equity below zero: the run ends
    # why an order closes although the model did not ask for it
    MAX_HOLDING = 126
    FILTERED = 195  # model.filter did not want the action
    ORDER_UNKNOWN = 127  # an order of the symbol has left or not: the broker has not said
    # currencies
    NO_RATE = 170  # no close yet of the symbol that its currency is converted at
    NO_SCORE = 171  # the action came without the score that sizes it


class ThrottleStage(IntFlag):
    """Which throttles cut an order, as bits, in the order they are applied."""

    NONE = 0
    VOLUME_PARTICIPATION = 1
    SPREAD = 2
    VOLATILITY = 4
    ABSOLUTE_CAP = 8


class SizingMode(IntEnum):
    """How an action becomes a target quantity."""

    TARGET = 0
    INCREMENT = 1
    PERCENT_EQUITY = 2
    VOLATILITY_TARGET = 3
    SCORE = 4


class OnBreach(IntEnum):
    """What a loss or drawdown limit does when it is crossed."""

    REDUCE_ONLY = 0
    FLATTEN = 1
    KILL = 2


class FillRule(IntEnum):
    """When an order decided on a close fills."""

    NEXT_OPEN = 0
    SAME_CLOSE = 1


class BarProof(IntEnum):
    """How a live bar was known to be closed: the low bits of its flags."""

    FLAG = 1  # the exchange's own flag
    SUCCESSOR = 2  # the next bar began on the same unbroken stream
    REST = 3  # asked for after its close
    STATED = 4  # the source sends closed bars only


BAR_PROOF_BITS = 0b1111
BAR_STRETCH_SHIFT = 8  # the bits above: signed seconds by which a bar is longer than the period
BAR_HISTORY = 0b10000  # it closed before the line was up: it warms features, nothing trades on it


class TimeInForce(IntEnum):
    """How long the unfilled rest of an order works."""

    GTC = 0
    DAY = 1
    IOC = 2
    FOK = 3
    BARS = 4  # a number of bars


class SlippageType(IntEnum):
    """How a fill price is moved against the order."""

    BPS = 0
    HALF_SPREAD = 1
    VOLUME_SHARE = 2


class CommissionType(IntEnum):
    """What a commission is charged on."""

    BPS = 0
    PER_SHARE = 1
    PER_ORDER = 2


class OrderStatus(IntEnum):
    """Where an order stands. From FILLED on it is over, but for UNKNOWN. Append-only."""

    INTENT = 0  # decided, not past the gate
    WORKING = 1
    SUBMITTED = 2  # an exit that waits for its entry to fill
    PARTLY_FILLED = 3
    FILLED = 4
    CANCELLED = 5
    REJECTED = 6  # by the broker
    EXPIRED = 7  # its time in force ran out
    UNKNOWN = 8  # sent, or not: the broker has not said
    REFUSED = 9  # by our own gate


class OrderType(IntEnum):
    """What makes an order fill. docs/execution-model.md has a row for each."""

    MARKET = 0
    LIMIT = 1
    STOP = 2
    STOP_LIMIT = 3
    TRAILING_STOP = 4
    MOO = 5  # market at the next session's open
    MOC = 6  # market at the session's close


class OrderKind(IntEnum):
    """Why an order is there; stands on its fills. Append-only."""

    ENTRY = 0
    SIGNAL = 1  # the model asked for an exit
    STOP_LOSS = 2
    TAKE_PROFIT = 3
    TRAILING_STOP = 4
    MAX_HOLDING = 5
    LIQUIDATION = 6
    FLATTEN = 7  # a limit or a kill closes everything
    DELISTED = 8


# of orders that rest beside a position and only close it
EXIT_KINDS = (OrderKind.STOP_LOSS, OrderKind.TAKE_PROFIT, OrderKind.TRAILING_STOP)


class Leg(IntEnum):
    """Which of its decision's orders an order is."""

    ORDER = 0
    STOP_LOSS = 1
    TAKE_PROFIT = 2
    TRAILING_STOP = 3
    CLOSING = 4  # the closing half of a reversal whose entry is no market order


class AdjustmentKind(IntEnum):
    """What happens to a symbol at an instant. A rename is the feed's affair. Append-only."""

    SPLIT = 0  # value = new units for one old
    DIVIDEND = 1  # value = amount a unit
    DELIST = 2  # value = closing price; NaN: the last one
    FUNDING = 3  # value = rate: longs pay it on their notional, shorts receive it


class CashflowKind(IntEnum):
    """Why money or units moved without a trade. Append-only."""

    SPLIT = 0  # units alone
    DIVIDEND = 1
    CASH_IN_LIEU = 2  # of the part of a lot that a split leaves
    DELISTED = 3  # a fill without an order: in fills.csv, not in cashflows.csv
    BORROW_FEE = 4  # of what is held short
    MARGIN_INTEREST = 5  # of borrowed cash
    FUNDING = 6  # of perpetual futures
    TAX = 7  # withheld of a dividend


class ExitType(IntEnum):
    """What the distance of an exit is measured in."""

    NONE = 0
    PERCENT = 1
    ATR = 2
    PRICE = 3


class LevelUnit(IntEnum):
    """How an exit's price follows from the entry price."""

    FIXED = 0  # not at all: it was given
    FRACTION = 1
    DISTANCE = 2


class Intrabar(IntEnum):
    """In which order the prices inside a bar are taken to have come."""

    WORST = 0
    OHLC = 1
    DETAIL = 2  # finer bar by finer bar, WORST inside each


class LimitFill(IntEnum):
    """What fills a limit order inside a bar."""

    THROUGH = 0
    TOUCH = 1


class FillFlag(IntFlag):
    """What to know of a fill, as bits."""

    AMBIGUOUS = 1  # the order of prices inside the bar decided it
    INSIDE = 2  # at a price inside the bar, at an instant nobody knows: stamped with the close


class EventKind(IntEnum):
    """What an EVENT record tells."""

    TRADING_STATE = 1  # value = new state, limit = old state
    ORDER_CANCELLED = 2  # value = unfilled qty
    LIMIT_BREACH = 3  # value = observed, limit = the limit
    ORDER_ABORTED = 4  # value = qty; the gate refused an intent
    ORDER_TRIMMED = 5  # value = qty taken off a working order so that it only reduces


def _record(*fields: tuple[str, str]) -> np.dtype:
    dtype = np.dtype(list(fields))
    assert dtype.itemsize % 8 == 0, "records stay multiples of 8 bytes"
    return dtype


BAR = _record(
    ("ts_ns", "<i8"),  # CLOSE of the bar, UTC
    ("open", "<f8"),
    ("high", "<f8"),
    ("low", "<f8"),
    ("close", "<f8"),
    ("volume", "<f8"),
    ("bid", "<f8"),  # NaN where the source has none
    ("ask", "<f8"),
    ("symbol", "<i4"),  # index into the config's instruments
    ("flags", "<i4"),  # of a live market: BarProof, BAR_HISTORY; above: the stretch
)

REQUEST = _record(  # what may come beside an action: an input like it; NaN where it does not
    ("score", "<f8"),  # the probability or value behind the action
    ("limit_price", "<f8"),  # the entry is a limit order at this price
    ("stop_loss", "<f8"),  # prices of the exits of this entry
    ("take_profit", "<f8"),
    ("size", "<f8"),  # units, instead of position_sizing
)

SESSION = _record(  # one unbroken stretch of trading hours; a lunch break makes two of one session
    ("open_ns", "<i8"),
    ("close_ns", "<i8"),
    ("session", "<i8"),  # trading date, days since 1970-01-01
)

INSTRUMENT = _record(
    ("tick_size", "<f8"),  # 0 rounds nothing
    ("lot_size", "<f8"),
    ("restricted", "<i8"),
    ("allow_negative_prices", "<i8"),  # prices may be 0 or less
    ("multiplier", "<f8"),  # units of its currency that a price of 1 is worth; 0 is 1
    ("min_notional", "<f8"),  # the exchange refuses orders worth less, in its currency; 0: none
    ("rate", "<i8"),  # 0: account currency; n: × the close of symbol n − 1; −n: ÷ by it
)

LIMITS = _record(  # +inf where the config says `none`
    ("max_position_size", "<f8"),
    ("max_position_notional", "<f8"),
    ("max_order_size", "<f8"),
    ("max_order_notional", "<f8"),
    ("min_order_size", "<f8"),
    ("max_daily_loss", "<f8"),
    ("max_drawdown_frac", "<f8"),
    ("max_position_concentration", "<f8"),
    ("max_gross_exposure", "<f8"),
    ("price_collar", "<f8"),
    ("kill_volatility", "<f8"),
    ("max_volume_participation", "<f8"),
    ("max_spread_bps", "<f8"),
    ("max_volatility", "<f8"),
    ("throttle_max_order_size", "<f8"),
    ("max_orders_per_second", "<f8"),
    ("max_orders_per_bar", "<f8"),
    ("max_orders_per_day", "<f8"),
    ("max_executions_without_review", "<f8"),
    ("open_guard_ns", "<i8"),
    ("close_guard_ns", "<i8"),
    ("volume_window", "<i8"),
    ("volatility_window", "<i8"),
    ("on_daily_loss", "<i8"),  # OnBreach
    ("on_drawdown", "<i8"),  # OnBreach
    ("allow_margin", "<i8"),
)

SIZING = _record(
    ("mode", "<i8"),  # SizingMode
    ("base_size", "<f8"),
    ("percent", "<f8"),  # fraction of equity
    ("target_volatility", "<f8"),  # annualised fraction of equity
    ("max_leverage", "<f8"),
    ("floor", "<f8"),  # of `base_size` at a score of 0
    ("rebalance_threshold", "<f8"),  # +inf: a position of the right sign is left alone
    ("annualisation", "<f8"),  # sqrt(bars per year)
    ("volatility_window", "<i8"),
    ("allow_short", "<i8"),
)

BROKER = _record(
    ("cash", "<f8"),
    ("commission_value", "<f8"),
    ("commission_minimum", "<f8"),
    ("slippage_value", "<f8"),
    ("max_fill_participation", "<f8"),
    ("commission_type", "<i8"),
    ("slippage_type", "<i8"),
    ("fill", "<i8"),  # FillRule
    ("time_in_force", "<i8"),
    ("period_ns", "<i8"),
    ("intrabar", "<i8"),  # Intrabar
    ("limit_fill", "<i8"),  # LimitFill
    ("detail_period_ns", "<i8"),  # of the finer bars of Intrabar DETAIL
    ("converts", "<i8"),  # whether any instrument has a rate
    ("initial_margin", "<f8"),  # of notional, to open; 0: no margin account
    ("maintenance_margin", "<f8"),  # of notional; 0: nothing is liquidated
    ("borrow_rate", "<f8"),  # a year
    ("interest_rate", "<f8"),  # a year
    ("dividend_tax", "<f8"),  # fraction withheld of a dividend received
)

ENTRY = _record(  # orders.entry: what an order that opens is sent as
    ("offset_bps", "<f8"),  # a limit better, a stop worse than the close
    ("limit_offset_bps", "<f8"),  # of a stop-limit: how far the limit lies beyond the stop
    ("type", "<i8"),  # OrderType
    ("time_in_force", "<i8"),  # −1: that of the broker
    ("bars", "<i8"),  # of TimeInForce BARS
)

EXITS = _record(
    ("stop_value", "<f8"),
    ("target_value", "<f8"),
    ("trail_value", "<f8"),
    ("activate_at", "<f8"),  # gain from which a trailing stop is there, in its unit
    ("stop_type", "<i8"),  # ExitType
    ("target_type", "<i8"),
    ("trail_type", "<i8"),
    ("stop_period", "<i8"),  # bars of ATR
    ("target_period", "<i8"),
    ("trail_period", "<i8"),
    ("legs", "<i8"),  # how many of the three there are
    ("max_holding_bars", "<i8"),  # 0: none
    ("cooldown_bars", "<i8"),
)

ACCOUNT = _record(
    ("cash", "<f8"),
    ("equity", "<f8"),
    ("start_equity", "<f8"),
    ("session_open_equity", "<f8"),
    ("peak_equity", "<f8"),
    ("realized_pnl", "<f8"),  # gross of commission
    ("commission", "<f8"),
    ("gross_exposure", "<f8"),  # Σ |qty| × mark × unit value
    ("worst_exposure", "<f8"),  # Σ of the positions' `exposure`
    ("worst_daily_loss", "<f8"),
    ("worst_drawdown_frac", "<f8"),
    ("ts_ns", "<i8"),  # close of the last slice
    ("session", "<i8"),
    ("session_cursor", "<i8"),  # where in the session table the search goes on; not state
    ("trading_state", "<i8"),
    ("state_reason", "<i8"),  # Reason
    ("state_since_ns", "<i8"),
    ("next_order_id", "<i8"),
    ("next_fill_id", "<i8"),
    ("decisions", "<i8"),
    ("second", "<i8"),  # rate window, event time
    ("orders_this_second", "<i8"),
    ("orders_this_session", "<i8"),
    ("executions", "<i8"),
)

POSITION = _record(
    ("qty", "<f8"),
    ("avg_price", "<f8"),
    ("realized_pnl", "<f8"),
    ("mark", "<f8"),  # last close, 0 before the first bar
    ("reference", "<f8"),  # the close before it, 0 before the second bar
    ("bid", "<f8"),  # quote of the last bar, NaN if it had none
    ("ask", "<f8"),
    ("spread", "<f8"),  # last spread seen in price units, NaN before the first quote
    ("volume", "<f8"),  # of the last bar
    ("working_buy", "<f8"),
    ("working_sell", "<f8"),  # ≥ 0
    ("mark_ns", "<i8"),
    ("working_orders", "<i8"),
    ("bars", "<i8"),  # bars seen
    ("volatile_bars", "<i8"),  # in a row above kill_volatility
    ("quiet_bars", "<i8"),  # in a row far below it
    ("orders_ns", "<i8"),  # bar of `orders_this_bar`
    ("orders_this_bar", "<i8"),
    ("resting", "<i8"),  # of its orders, those that are no plain market orders
    ("exits", "<i8"),  # of those, exits that close what is held
    ("entry_bar", "<i8"),  # `bars` when it was last entered from flat
    ("exit_bar", "<i8"),  # `bars` when it last became flat
    ("session", "<i8"),  # of its last bar
    ("calm_low", "<f8"),  # between these prices a bar meets nothing that rests
    ("calm_high", "<f8"),
    ("trail_best", "<f8"),  # beyond it a trailing stop moves
    ("delisted", "<i8"),
    ("unit_value", "<f8"),  # account currency that a price of 1 is worth; 0 until it is known
    ("exposure", "<f8"),  # most that it is worth while what works fills one side first
    ("is_financed", "<i8"),  # of another currency: only its profit reaches cash
    ("margin_call", "<i8"),  # to be closed by the decision of this slice
    ("borrow_due", "<f8"),  # fee that ran up since the last roll of the session
)

ORDER = _record(
    ("order_id", "<i8"),
    ("ts_ns", "<i8"),  # close of the bar it was decided on
    ("decision", "<i8"),  # number of that decision, from 0
    ("session", "<i8"),
    ("qty", "<f8"),
    ("filled_qty", "<f8"),  # signed
    ("filled_notional", "<f8"),  # ≥ 0
    ("ended_qty", "<f8"),  # signed part that will not fill any more
    ("commission", "<f8"),
    ("reference", "<f8"),  # close it was decided on
    ("volume", "<f8"),  # of that bar
    ("closing", "<f8"),  # signed part that only closes, and comes first
    ("limit_price", "<f8"),  # NaN where it has none
    ("stop_price", "<f8"),
    ("distance", "<f8"),  # of an exit: from the entry price, or (trailing) from the best
    ("activate_at", "<f8"),  # of a trailing stop: the gain from which it is there
    ("best", "<f8"),  # of a trailing stop: the best price since the entry
    ("parent", "<i8"),  # order id of the entry an exit was sent with; 0 for none
    ("bars_left", "<i8"),  # of TimeInForce BARS
    ("met_ns", "<i8"),  # bar that it was last filled by
    ("ended_ns", "<i8"),
    ("symbol", "<i4"),
    ("status", "<i4"),  # OrderStatus
    ("type", "<i4"),  # OrderType
    ("time_in_force", "<i4"),
    ("kind", "<i4"),  # OrderKind
    ("leg", "<i4"),  # Leg
    ("unit", "<i4"),  # LevelUnit
    ("reason", "<i4"),  # Reason it ended for
    ("triggered", "<i8"),  # a stop that the market has reached
)

FILL = _record(
    ("ts_ns", "<i8"),
    ("order_id", "<i8"),
    ("fill_id", "<i8"),
    ("qty", "<f8"),
    ("price", "<f8"),
    ("commission", "<f8"),
    ("slippage", "<f8"),  # account currency, ≥ 0: (price − reference) × qty
    ("realized_pnl", "<f8"),  # gross of commission
    ("best_price", "<f8"),  # what the kindest order of prices inside the bar would have given
    ("symbol", "<i4"),
    ("flags", "<i4"),  # FillFlag bits
    ("leg", "<i4"),  # Leg
    ("kind", "<i4"),  # OrderKind
    ("unit_value", "<f8"),  # of the position at that instant; not digested
)

DECISION = _record(
    ("ts_ns", "<i8"),
    ("requested_qty", "<f8"),
    ("approved_qty", "<f8"),
    ("observed", "<f8"),
    ("limit", "<f8"),
    ("symbol", "<i4"),
    ("reason", "<i2"),  # Reason
    ("action", "<i1"),  # TradingAction
    ("throttle", "<u1"),  # ThrottleStage bits
)

THROTTLE = _record(  # one row a stage that cut an order
    ("decision", "<i8"),
    ("before", "<f8"),
    ("after", "<f8"),
    ("driver", "<f8"),
    ("limit", "<f8"),
    ("symbol", "<i4"),
    ("reason", "<i4"),  # Reason
)

ADJUSTMENT = _record(  # a corporate action, in force from the first bar that opens at or after it
    ("ts_ns", "<i8"),
    ("value", "<f8"),
    ("symbol", "<i4"),
    ("kind", "<i4"),  # AdjustmentKind
)

CARRY = _record(  # where the book stands in what moves money by time
    ("adjustments", "<i8"),  # how many corporate actions are in force
    ("interest_due", "<f8"),  # ran up since the last roll of the session
)

CASHFLOW = _record(  # what moved without a trade
    ("ts_ns", "<i8"),
    ("amount", "<f8"),  # account currency, signed
    ("qty", "<f8"),  # units, signed
    ("value", "<f8"),  # split: new for one old; dividend: a unit; otherwise a price or rate
    ("realized_pnl", "<f8"),  # of a split: that of the part of a lot paid out
    ("fill_id", "<i8"),  # of the next fill after it
    ("symbol", "<i4"),  # −1: the whole account
    ("kind", "<i4"),  # CashflowKind
)

EQUITY = _record(  # one row a slice
    ("ts_ns", "<i8"),
    ("equity", "<f8"),
    ("cash", "<f8"),
    ("gross_exposure", "<f8"),
    ("trading_state", "<i8"),
)

EVENT = _record(
    ("ts_ns", "<i8"),
    ("order_id", "<i8"),
    ("value", "<f8"),
    ("limit", "<f8"),
    ("symbol", "<i4"),  # −1: the whole account
    ("kind", "<i2"),  # EventKind
    ("reason", "<i2"),  # Reason
)
