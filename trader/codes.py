"""Every code of trading: actions, states, reasons, kinds of orders, of events and of rules.

Law: enumerations are append-only, and a number is never reused: they are on disk and in the public
face. Every room reads them; what compiled code reads of them names its cache.
"""
# house: module lines - one place for every code is the point of this file

from enum import EnumType, IntEnum, IntFlag
from typing import Any

import numpy as np

NS_PER_SECOND = 1_000_000_000
DAY_NS = 86_400 * NS_PER_SECOND
BAR_PROOF_BITS = 0b1111
BAR_STRETCH_SHIFT = 8  # the bits above: signed seconds by which a bar is longer than the period
BAR_HISTORY = 0b10000  # it closed before the line was up: it warms features, nothing trades on it


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
