"""The six pre-trade steps and the four throttles as plain functions, for notebooks and tests.

    pre_trade_check(order, limits, portfolio)  → RiskDecision: allowed, reason, observed, limit
    throttle_size(order, limits, market)       → ThrottledOrder: size, original_size, reasons

Law: thin: the core's own functions judge, so an answer here is a run's. Inputs are never changed;
refusals are values. What is no real number becomes NaN at this edge, which every check refuses.
"""
# house: module lines - the public face of the checks is one module

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import numpy as np

from trader.books import new_book
from trader.core import risk, sizing, throttle
from trader.core.book import Book, Rules
from trader.core.exposure import worst_exposure
from trader.core.market import spread_bps
from trader.core.schema import (
    BROKER,
    INSTRUMENT,
    LIMITS,
    SESSION,
    SIZING,
    KillSwitchReason,
    Reason,
    Side,
    SizingMode,
    TradingAction,
    TradingState,
)
from trader.exact import real, unsigned

__all__ = [
    "KillSwitchReason", "Market", "Order", "Portfolio", "Reason", "RiskDecision", "RiskLimits",
    "Side", "ThrottleStep", "ThrottledOrder", "TradingAction", "TradingState", "pre_trade_check",
    "throttle_size",
]  # fmt: skip

STAGES = ("max_volume_participation", "max_spread_bps", "max_volatility", "throttle_max_order_size")
ALWAYS_OPEN = np.array([(-(2**62), 2**62, 0)], SESSION)


@dataclass(frozen=True)
class Order:
    """An order to judge. `side` is a `Side`, a `TradingAction` or a name; `size` > 0 in units.

    `price` is the last price of the symbol, `reference_price` the close before it (needed when
    a price collar is set). Sizes and prices are ints, floats, NumPy's or `Decimal`; any other
    kind (a bool, a text, None) and what is not finite and above 0 is denied. `is_share`: a share
    of the money, or beside another order of its instant: trimmed to what can be paid, as in a run.
    """

    symbol: str
    side: Side | TradingAction | str | int
    size: float | Decimal
    price: float | Decimal
    reference_price: float | Decimal | None = None
    is_share: bool = False

    @property
    def sign(self) -> float:
        """+1 for a buy, −1 for a sell; ValueError for HOLD or anything else."""
        if isinstance(self.side, Side):
            return float(self.side)
        action = TradingAction.parse(self.side)
        if action not in (TradingAction.BUY, TradingAction.SELL):
            raise ValueError(f"an order buys or sells; {action.name} is not an order")
        return 1.0 if action is TradingAction.BUY else -1.0


@dataclass(frozen=True, kw_only=True)
class RiskLimits:
    """Limits as in the config: the first eight have no default; None switches a limit off."""

    max_position_size: float | None
    max_order_size: float | None
    max_daily_loss: float | None
    max_position_concentration: float | None
    max_volume_participation: float | None
    max_spread_bps: float | None
    max_volatility: float | None
    throttle_max_order_size: float | None
    min_order_size: float = 0.0
    max_position_notional: float | None = None
    max_order_notional: float | None = None
    max_drawdown_frac: float | None = None
    max_gross_exposure: float | None = None
    price_collar: float | None = None
    allow_margin: bool = False
    lot_size: float = 1.0
    restricted: frozenset[str] = frozenset()

    def record(self) -> np.ndarray:
        """The limits as the core's LIMITS record. ValueError for one that limits nothing: NaN."""
        if not (0.0 < real(self.lot_size) < math.inf):
            raise ValueError(f"lot_size is {self.lot_size!r}: a lot is a number > 0")
        limits = np.zeros(1, LIMITS)
        for name in LIMITS.names or ():
            if LIMITS[name].kind == "f":
                value = getattr(self, name, None)
                limits[name] = math.inf if value is None else real(value)
                if not (limits[name][0] >= 0.0):
                    raise ValueError(
                        f"{name} is {value!r}: a limit is a number >= 0, or None for off"
                    )
        limits["allow_margin"] = self.allow_margin
        limits["volume_window"] = limits["volatility_window"] = 2
        return limits


@dataclass(frozen=True)
class Portfolio:
    """What is held. Money in account currency, positions signed, working orders per side ≥ 0.

    `marks`: the last price of every other symbol held. `unit_values`: what a price of 1 is worth
    where that is not 1, multiplier × rate of its currency. `cash` and `positions` give the equity;
    `session_open_equity` and `peak_equity` default to it (no loss yet).
    """

    cash: float
    positions: Mapping[str, float] = field(default_factory=dict)
    marks: Mapping[str, float] = field(default_factory=dict)
    working_buy: Mapping[str, float] = field(default_factory=dict)
    working_sell: Mapping[str, float] = field(default_factory=dict)
    session_open_equity: float | None = None
    peak_equity: float | None = None
    trading_state: TradingState = TradingState.ACTIVE
    state_reason: Reason = Reason.NONE
    unit_values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Market:
    """What drives the throttles. NaN or None is unknown, and unknown lets nothing through."""

    mean_volume: float | None = None
    bid: float | None = None
    ask: float | None = None
    volatility: float | None = None


@dataclass(frozen=True)
class RiskDecision:
    """`allowed` for all of the order; `approved_size` > 0 where at least a part of it is."""

    allowed: bool
    reason: Reason
    observed: float
    limit: float
    approved_size: float


@dataclass(frozen=True)
class ThrottleStep:
    """One stage that cut: size before and after, the driver seen and its limit."""

    reason: Reason
    before: float
    after: float
    driver: float
    limit: float


@dataclass(frozen=True)
class ThrottledOrder:
    """What is left of an order. `denied` is why nothing is (NONE if something is)."""

    order: Order
    size: float
    original_size: float
    steps: tuple[ThrottleStep, ...]
    denied: Reason

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Reasons in the order the stages cut, and last why nothing was left, if so."""
        last = [] if self.denied is Reason.NONE else [self.denied]
        return (*(step.reason for step in self.steps), *last)


def pre_trade_check(
    order: Order,
    limits: RiskLimits,
    portfolio: Portfolio,
    *,
    now: datetime | None = None,
    sessions: np.ndarray | None = None,
) -> RiskDecision:
    """Judge `order` by the six steps, in their order; the first refusal is the answer.

    `now` (aware) and `sessions` (SESSION records, `trader.feeds.sessions.session_table`) feed
    the market-hours step; without them the market counts as open. A reversal is its closing
    part, which no loss or exposure limit blocks, and its opening part.
    """
    if (now is None) != (sessions is None):
        raise ValueError("market hours need both now and sessions")
    if now is not None and now.tzinfo is None:
        raise ValueError("now must carry a time zone")
    symbols = list(dict.fromkeys([order.symbol, *portfolio.positions, *portfolio.marks]))
    rules = _rules(limits, symbols, ALWAYS_OPEN if sessions is None else sessions)
    rules.sizing["mode"] = SizingMode.PERCENT_EQUITY if order.is_share else SizingMode.TARGET
    book = _book(rules, symbols, portfolio, order)
    if now is not None:
        _set_clock(book, rules, now)
    size, position = real(order.size), book.positions[0]
    qty = order.sign * size if size > 0.0 else math.nan  # −5 to buy is not 5 to sell
    is_known = position["working_buy"] + position["working_sell"] >= 0.0  # else nothing closes
    closing = sizing.closing_qty(position, qty) if is_known else 0.0
    approved, reason, observed, limit = risk.pre_trade(book, rules, 0, qty, closing)
    return RiskDecision(
        allowed=bool(approved == qty),
        reason=Reason(int(reason)),
        observed=size if reason == Reason.PARAM_QTY else float(observed),
        limit=float(limit),
        approved_size=abs(float(approved)),
    )


def throttle_size(
    order: Order, limits: RiskLimits, market: Market, *, position: float = 0.0
) -> ThrottledOrder:
    """Cut `order` by volume, spread, volatility and the absolute cap, in that order.

    `position` is what is held of the symbol (signed): the part of the order that closes it is
    not cut by spread or volatility. Sizes are whole lots, rounded down. No size or price: denied.
    """
    record, original = limits.record()[0], real(order.size)
    wrong, held = _wrong_parameter(original, real(order.price)), -order.sign * real(position)
    if wrong is not Reason.NONE:
        return ThrottledOrder(order, 0.0, original, (), wrong)
    size, closing = original, min(held, original) if 0.0 < held < math.inf else 0.0
    lot_size, least = real(limits.lot_size), float(record["min_order_size"])
    spread = spread_bps({"bid": real(market.bid), "ask": real(market.ask)})
    drivers = (real(market.mean_volume), float(spread), real(market.volatility), 0.0)
    steps = []
    for stage, name in enumerate(STAGES):
        limit = float(record[name])
        if limit == math.inf:
            continue
        rule = (limit, lot_size)
        after = float(throttle.stage_result(stage, size, closing, drivers[stage], rule))
        if after < size:
            reason = Reason(int(throttle.stage_reason(stage, drivers[stage])))
            steps.append(ThrottleStep(reason, size, after, drivers[stage], limit))
            size = after
    denied = Reason.NONE
    if size == 0.0:
        denied = Reason.THROTTLED_TO_ZERO
    elif size < least and not (closing >= size == held):
        denied, size = Reason.BELOW_MIN_SIZE, 0.0
    return ThrottledOrder(order, size, original, tuple(steps), denied)


def _wrong_parameter(size: float, price: float) -> Reason:
    """Step 1 for what is not finite and above 0; NONE where both are."""
    if not (0.0 < size < math.inf):
        return Reason.PARAM_QTY
    return Reason.NONE if 0.0 < price < math.inf else Reason.PARAM_PRICE


def _rules(limits: RiskLimits, symbols: list[str], sessions: np.ndarray) -> Rules:
    instruments = np.zeros(len(symbols), INSTRUMENT)
    instruments["lot_size"] = real(limits.lot_size)
    instruments["restricted"] = [symbol in limits.restricted for symbol in symbols]
    sizing_record = np.zeros(1, SIZING)
    sizing_record["volatility_window"] = 2
    return Rules(limits.record(), sizing_record, np.zeros(1, BROKER), instruments, sessions)


def _book(rules: Rules, symbols: list[str], portfolio: Portfolio, order: Order) -> Book:
    """The book of `portfolio`; the order's prices are its symbol's, the first."""
    book = new_book(rules)
    marks = {**portfolio.marks, order.symbol: order.price}
    equity = real(portfolio.cash)
    for index, symbol in enumerate(symbols):
        position = book.positions[index]
        position["qty"] = real(portfolio.positions.get(symbol, 0.0))
        position["mark"] = real(marks.get(symbol))
        position["unit_value"] = real(portfolio.unit_values.get(symbol, 1.0))
        position["working_buy"] = unsigned(portfolio.working_buy.get(symbol, 0.0))
        position["working_sell"] = unsigned(portfolio.working_sell.get(symbol, 0.0))
        if position["qty"] != 0.0:
            equity += float(
                position["qty"] * position["mark"] * position["unit_value"]
            )  # NaN: denied
    book.positions[0]["reference"] = real(order.reference_price)
    account = book.account[0]
    account["cash"], account["equity"] = real(portfolio.cash), equity
    opened, peak = portfolio.session_open_equity, portfolio.peak_equity
    account["session_open_equity"] = opened = equity if opened is None else real(opened)
    account["peak_equity"] = max(equity, opened) if peak is None else real(peak)
    account["trading_state"], account["state_reason"] = (
        portfolio.trading_state,
        portfolio.state_reason,
    )
    sum_exposure(book)
    return book


def _set_clock(book: Book, rules: Rules, now: datetime) -> None:
    account = book.account[0]
    seconds = math.floor(now.replace(microsecond=0).timestamp())
    account["ts_ns"] = seconds * 10**9 + now.microsecond * 1_000
    later = rules.sessions["close_ns"] >= account["ts_ns"]
    account["session_cursor"] = int(np.argmax(later)) if later.any() else len(rules.sessions)


def sum_exposure(book: Book) -> None:
    """Write the worst cases of a book that was filled in by hand."""
    total = 0.0
    with np.errstate(invalid="ignore"):  # an unknown price is NaN, which denies
        for position in book.positions:
            position["exposure"] = worst_exposure(position)
            total += position["exposure"]
    book.account[0]["worst_exposure"] = total
