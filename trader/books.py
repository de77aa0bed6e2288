"""Room for the core: a book before its first bar, buffers for its rows, its state as bytes."""

import numpy as np

from trader.core.book import CASHFLOWS_PER_SYMBOL, EVENTS_PER_SLICE, FILLS_PER_BAR, Book, Out, Rules
from trader.core.schema import (
    ACCOUNT,
    CARRY,
    CASHFLOW,
    DECISION,
    EQUITY,
    EVENT,
    FILL,
    MAX_WORKING_ORDERS,
    ORDER,
    POSITION,
    THROTTLE,
    SizingMode,
    TradingState,
)

NEVER = -(2**40)  # bars ago


def new_book(rules: Rules) -> Book:
    """The book before the first bar: all cash, flat, ACTIVE."""
    symbols = len(rules.instruments)
    book = Book(
        account=np.zeros(1, ACCOUNT),
        positions=np.zeros(symbols, POSITION),
        orders=np.zeros((symbols, MAX_WORKING_ORDERS), ORDER),
        volumes=np.zeros((symbols, ring_length(volume_window(rules)))),
        returns=np.zeros((symbols, ring_length(volatility_window(rules)))),
        ranges=np.zeros((symbols, 3)),
        carry=np.zeros(1, CARRY),
    )
    account = book.account[0]
    cash = rules.broker[0]["cash"]
    for field in ("cash", "equity", "start_equity", "session_open_equity", "peak_equity"):
        account[field] = cash
    account["session"] = -1
    account["next_order_id"] = account["next_fill_id"] = 1
    account["second"] = -1
    account["trading_state"] = TradingState.ACTIVE
    for field in ("bid", "ask", "spread"):
        book.positions[field] = np.nan
    book.positions["exit_bar"] = NEVER
    multipliers = rules.instruments["multiplier"]
    in_account_currency = rules.instruments["rate"] == 0
    book.positions["is_financed"] = ~in_account_currency | (rules.instruments["future"] != 0)
    values = np.where(multipliers > 0.0, multipliers, 1.0)
    book.positions["unit_value"] = np.where(in_account_currency, values, 0.0)
    return book


def volume_window(rules: Rules) -> int:
    """Bars of volume the book must remember for the throttle."""
    is_asked = (rules.limits["max_volume_participation"] < np.inf).any()
    return int(rules.limits[0]["volume_window"]) if is_asked else 1


def volatility_window(rules: Rules) -> int:
    """Bars of returns the book must remember for throttle, kill and sizing."""
    limits, sizing = rules.limits, rules.sizing[0]
    windows = [1]
    if (limits["max_volatility"] < np.inf).any() or (limits["kill_volatility"] < np.inf).any():
        windows.append(int(limits[0]["volatility_window"]))
    if sizing["mode"] == SizingMode.VOLATILITY_TARGET:
        windows.append(int(sizing["volatility_window"]))
    return max(windows)


def ring_length(window: int) -> int:
    """The power of two that holds `window`: a ring's slot is then a mask away, not a division."""
    return 1 << (window - 1).bit_length()


def new_out(symbols: int, slices: int, adjustments: int = 0) -> Out:
    """Buffers for at least one slice of `symbols` bars, and about `slices` slices.

    `adjustments`: how many corporate actions the rules have.
    """
    rows = symbols * max(slices, 1)
    orders = symbols * MAX_WORKING_ORDERS
    fills = symbols * FILLS_PER_BAR
    return Out(
        decisions=np.zeros(rows, DECISION),
        equity=np.zeros(max(slices, 1), EQUITY),
        fills=np.zeros(fills + rows, FILL),
        throttles=np.zeros(4 * rows, THROTTLE),
        events=np.zeros(4 * orders + EVENTS_PER_SLICE + rows, EVENT),
        orders=np.zeros(3 * orders + rows, ORDER),
        cashflows=np.zeros(2 * adjustments + CASHFLOWS_PER_SYMBOL * rows + 1, CASHFLOW),
        counts=np.zeros(7, np.int64),
    )


def snapshot(book: Book) -> bytes:
    """The whole state as bytes, in field order."""
    return b"".join(array.tobytes() for array in book)


def restore(book: Book, state: bytes) -> None:
    """Overwrite `book` with a `snapshot` of a book of the same shape; ValueError if not."""
    if len(state) != sum(array.nbytes for array in book):
        raise ValueError(f"a snapshot of {len(state)} bytes does not fit this book")
    offset = 0
    for array in book:
        part = np.frombuffer(state, array.dtype, array.size, offset)
        array[...] = part.reshape(array.shape)
        offset += array.nbytes
