"""What must hold after every slice of a simulated day, and at its end.

Law: says it in its own words, from orders, positions and bars; asks nothing of the code that made
them but the arrays.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from trader.books import snapshot
from trader.core.book import Book, Rules
from trader.core.schema import OrderStatus, TradingState
from trader.engine.answers import Answer
from trader.engine.journaled import JournaledSlices
from trader.engine.replay import replay
from trader.finer_bars import NO_DETAIL, Detail
from trader.journal import readback
from trader.journal.audit.verify import verify_here
from trader.journal.store import read_records

DUST = 1e-6


class Broken(AssertionError):
    """An invariant does not hold."""


class CheckedSlices(JournaledSlices):
    """The real thing, looked at after every slice."""

    truth: set[bytes]
    is_killed: Callable[[], bool]
    was_halted = False

    async def take(
        self, bars: np.ndarray, answer: Answer, more: bool = False, detail: Detail = NO_DETAIL
    ) -> None:
        for bar in bars:
            if bar.tobytes() not in self.truth:
                raise Broken(f"decided on a bar that was not the first of its close: {bar}")
        before = self.engine.book.account[0]["trading_state"]
        sent = len(self._around.sent)
        await super().take(bars, answer, more, detail)
        check_book(self.engine.book, self.engine.rules)
        if before == TradingState.HALTED:
            if self.engine.book.account[0]["trading_state"] != TradingState.HALTED:
                raise Broken("HALTED was left without a re-arm")
            if any(True for _ in self.engine.orders()):
                raise Broken("an order while HALTED")
        if self.is_killed() and len(self._around.sent) > sent:
            raise Broken("an order was sent under a kill")
        check_decisions(self)


def check_book(book: Book, rules: Rules) -> None:
    """Money adds up; no position and no worst case is beyond its limit."""
    account, limits = book.account[0], rules.limits[0]
    worth = float((book.positions["qty"] * book.positions["mark"]).sum())
    if not abs(account["cash"] + worth - account["equity"]) <= DUST * (1 + abs(worth)):
        raise Broken(f"equity {account['equity']} is not cash {account['cash']} + {worth}")
    for symbol, position in enumerate(book.positions):
        orders = book.orders[symbol][: position["working_orders"]]
        if (orders["status"] == OrderStatus.INTENT).any():
            raise Broken("an intent without an outcome")
        rest = orders["qty"] - orders["filled_qty"]
        for side in (1.0, -1.0):
            working = float(rest[rest * side > 0].sum())
            worst = abs(float(position["qty"]) + working)
            if working and not worst <= limits["max_position_size"] + DUST:
                raise Broken(f"symbol {symbol}: {worst} may be held, {limits['max_position_size']}")
        if not (np.abs(orders["qty"]) <= limits["throttle_max_order_size"] + DUST).all():
            raise Broken(f"symbol {symbol}: an order above the cap")


def check_decisions(slices: JournaledSlices) -> None:
    """A decision never grows what was asked for, and never turns it round."""
    for row in slices.engine.rows().decisions:
        asked, approved = float(row["requested_qty"]), float(row["approved_qty"])
        if not math.isfinite(approved) or abs(approved) > abs(asked) + DUST:
            raise Broken(f"asked for {asked}, approved {approved}")
        if approved * asked < 0.0:
            raise Broken("an approved order on the other side")
    passed = slices.engine.rows().decisions
    passed = passed[passed["approved_qty"] != 0.0]
    for number, row in enumerate(passed):
        later = len(passed) - 1 - number
        check_order(slices.engine.book, slices.engine.rules, row, later)


def check_order(book: Book, rules: Rules, row: np.void, later: int) -> None:
    """An order of this slice against the limits that the book must obey when one opens.

    `later`: orders of this slice after it; they may close, whatever their number.
    """
    account, limits = book.account[0], rules.limits[0]
    symbol, approved = int(row["symbol"]), float(row["approved_qty"])
    if abs(approved) > limits["max_order_size"] + DUST:
        raise Broken(f"an order of {approved}, {limits['max_order_size']} allowed")
    worst = [worst_case(book, one) for one in range(len(book.positions))]
    side = worst[symbol][0 if approved > 0 else 1]
    held = float(book.positions[symbol]["qty"])
    if approved < 0 and not rules.sizing[0]["allow_short"] and side < -DUST:
        raise Broken(f"symbol {symbol}: {side} may be held, and shorts are not allowed")
    if not abs(side) > abs(held) + DUST:
        return  # it only closes
    marks = book.positions["mark"]
    share = abs(side) * marks[symbol] / account["equity"]
    if not share <= limits["max_position_concentration"] * (1 + DUST):
        raise Broken(f"symbol {symbol}: {share} of equity may be in it")
    orders = account["orders_this_session"] - later
    if not orders <= limits["max_orders_per_day"]:
        raise Broken(f"{orders} orders a day, {limits['max_orders_per_day']} allowed")
    most = [max(map(abs, sides)) for sides in worst]
    most[symbol] = abs(side)
    gross = float((np.array(most) * marks).sum() / account["equity"])
    if not gross <= limits["max_gross_exposure"] * (1 + DUST):
        raise Broken(f"{gross} of equity may be held, {limits['max_gross_exposure']} allowed")


def worst_case(book: Book, symbol: int) -> tuple[float, float]:
    """Position if all working buys filled, and if all working sells did."""
    position = book.positions[symbol]
    orders = book.orders[symbol][: position["working_orders"]]
    rest = orders["qty"] - orders["filled_qty"]
    held = float(position["qty"])
    return held + float(rest[rest > 0].sum()), held + float(rest[rest < 0].sum())


def check_journal(path: Path, book: Book, digest: str, sent: list[str]) -> None:
    """Whole, true, reproducible; positions are the fold of fills; every order left once."""
    report = verify_here(path)
    if not report.ok:
        raise Broken(f"the journal: {report.problems[0]}")
    again = replay(path)
    if again.divergence is not None:
        raise Broken(f"replay: {again.divergence}")
    if again.digest != digest:
        raise Broken("the replay has another digest than the run")
    held = np.zeros(len(book.positions))
    for record in read_records(path, types=("FILL",)):
        fill = readback.fill_of(record)[0]
        held[fill["symbol"]] += fill["qty"]
    if not np.allclose(held, book.positions["qty"], atol=DUST):
        raise Broken(f"fills add up to {held}, held are {book.positions['qty']}")
    if len(set(sent)) != len(sent):
        raise Broken("an order was sent twice")


def same_state(one: Book, other: Book) -> bool:
    """Bit for bit, but for the bookmark in the session table."""
    for book in (one, other):
        book.account["session_cursor"] = 0
    return snapshot(one) == snapshot(other)
