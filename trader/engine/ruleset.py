"""The rules of a run as the core's records, from its config.

Law: one value of the config becomes one field; `none` is +inf. Nothing here decides.
"""

import math

import numpy as np

from trader.config.instrument_rules import rate_of
from trader.config.schema import Config
from trader.core.book import Rules
from trader.core.schema import (
    BROKER,
    ENTRY,
    EXITS,
    INSTRUMENT,
    LIMITS,
    NS_PER_SECOND,
    SIZING,
    CommissionType,
    ExitType,
    FillRule,
    Intrabar,
    LimitFill,
    OnBreach,
    OrderType,
    SizingMode,
    SlippageType,
    TimeInForce,
)
from trader.feeds.adjustments import load_adjustments
from trader.feeds.sessions import bars_per_year

SCALED_BY_PILOT = (
    "max_position_size",
    "max_position_notional",
    "max_order_size",
    "max_order_notional",
    "max_daily_loss",
    "max_gross_exposure",
    "max_position_concentration",
)
PLAIN_LIMITS = (
    "max_drawdown_frac",
    "price_collar",
    "kill_volatility",
    "max_orders_per_second",
    "max_orders_per_bar",
    "max_orders_per_day",
    "max_executions_without_review",
)
THROTTLES = ("max_volume_participation", "max_spread_bps", "max_volatility")


def or_inf(value: float | None) -> float:
    """A limit as the core knows it: `none` is +inf."""
    return math.inf if value is None else float(value)


def build_rules(config: Config, sessions: np.ndarray) -> Rules:
    """The rules of a run as the core's records."""
    return Rules(
        limits=_limits_of_all(config),
        sizing=_sizing(config),
        broker=_broker(config),
        instruments=_instruments(config),
        sessions=sessions,
        entry=_entry(config),
        exits=_exits(config),
        adjustments=load_adjustments(config, sessions),
    )


def _limits_of_all(config: Config) -> np.ndarray:
    """The limits of `risk`, and where an instrument has its own, a row for each of them."""
    limits = _limits(config)
    if all(instrument.own_limits == {} for instrument in config.instruments):
        return limits
    rows = np.repeat(limits, 1 + len(config.instruments))
    for row, instrument in zip(rows[1:], config.instruments, strict=True):
        for name, value in instrument.own_limits.items():
            scale = config.risk.pilot_scale if name in SCALED_BY_PILOT else 1.0
            off = 0.0 if name == "min_order_size" else math.inf
            row[name] = off if value is None else value * scale
    return rows


def _limits(config: Config) -> np.ndarray:
    risk, throttle = config.risk, config.throttle
    limits = np.zeros(1, LIMITS)
    for name in SCALED_BY_PILOT:
        limits[name] = or_inf(getattr(risk, name)) * risk.pilot_scale
    for name in PLAIN_LIMITS:
        limits[name] = or_inf(getattr(risk, name))
    for name in THROTTLES:
        limits[name] = or_inf(getattr(throttle, name))
    limits["throttle_max_order_size"] = or_inf(throttle.max_order_size) * risk.pilot_scale
    limits["min_order_size"] = risk.min_order_size
    limits["open_guard_ns"] = round(risk.open_guard_seconds * NS_PER_SECOND)
    limits["close_guard_ns"] = round(risk.close_guard_seconds * NS_PER_SECOND)
    limits["volume_window"] = throttle.volume_window
    limits["volatility_window"] = throttle.volatility_window
    limits["on_daily_loss"] = OnBreach[risk.on_daily_loss.upper()]
    limits["on_drawdown"] = OnBreach[risk.on_drawdown.upper()]
    limits["allow_margin"] = risk.allow_margin
    return limits


def _sizing(config: Config) -> np.ndarray:
    section = config.position_sizing
    sizing = np.zeros(1, SIZING)
    sizing["mode"] = SizingMode[section.mode.upper()]
    sizing["base_size"] = section.base_size or 0.0
    sizing["percent"] = section.percent or 0.0
    sizing["target_volatility"] = section.target_volatility or 0.0
    sizing["floor"] = section.floor
    sizing["max_leverage"] = section.max_leverage
    sizing["rebalance_threshold"] = or_inf(section.rebalance_threshold)
    sizing["volatility_window"] = section.volatility_window
    sizing["allow_short"] = section.allow_short
    if section.mode == "volatility_target":
        per_year = bars_per_year(config.risk.market_hours, config.bar_period_seconds)
        sizing["annualisation"] = math.sqrt(per_year)
    return sizing


def _broker(config: Config) -> np.ndarray:
    section = config.broker
    broker = np.zeros(1, BROKER)
    broker["cash"] = section.cash
    broker["commission_type"] = CommissionType[section.commission.type.upper()]
    broker["commission_value"] = section.commission.value
    broker["commission_minimum"] = section.commission.minimum
    broker["slippage_type"] = SlippageType[section.slippage.type.upper()]
    broker["slippage_value"] = section.slippage.value
    broker["max_fill_participation"] = or_inf(section.max_fill_participation)
    broker["fill"] = FillRule[section.fill.upper()]
    broker["time_in_force"] = TimeInForce[section.time_in_force.upper()]
    broker["period_ns"] = config.period_ns
    broker["intrabar"] = Intrabar[section.intrabar.upper()]
    broker["detail_period_ns"] = config.at_source.period_ns if config.has_detail else 0
    broker["converts"] = any(rate_of(config, i) for i in range(len(config.instruments)))
    broker["limit_fill"] = LimitFill[section.limit_fill.upper()]
    if section.margin is not None:
        broker["initial_margin"] = section.margin.initial
        broker["maintenance_margin"] = section.margin.maintenance
    for name in ("borrow_rate", "interest_rate", "dividend_tax"):
        broker[name] = getattr(section, name)
    return broker


def _entry(config: Config) -> np.ndarray:
    section = config.orders.entry
    entry = np.zeros(1, ENTRY)
    entry["type"] = OrderType[section.type.upper()]
    entry["offset_bps"] = section.offset_bps
    entry["limit_offset_bps"] = section.limit_offset_bps
    entry["time_in_force"] = -1
    if section.time_in_force is not None:
        entry["time_in_force"] = TimeInForce[section.time_in_force.upper()]
    if section.expire_after_bars is not None:
        entry["time_in_force"] = TimeInForce.BARS
        entry["bars"] = section.expire_after_bars
    if section.type in ("moo", "moc"):
        entry["time_in_force"] = TimeInForce.GTC  # it waits for its auction, however far
    return entry


def _exits(config: Config) -> np.ndarray:
    section = config.exits
    exits = np.zeros(1, EXITS)
    legs = (
        ("stop", section.stop_loss),
        ("target", section.take_profit),
        ("trail", section.trailing_stop),
    )
    for name, level in legs:
        if level is not None:
            exits[f"{name}_type"] = ExitType[level.type.upper()]
            exits[f"{name}_value"] = level.value
            exits[f"{name}_period"] = level.period if level.type == "atr" else 0
            exits["legs"] += 1
    if section.trailing_stop is not None:
        exits["activate_at"] = section.trailing_stop.activate_at
    exits["max_holding_bars"] = section.max_holding_bars or 0
    exits["cooldown_bars"] = section.cooldown_bars
    return exits


def _instruments(config: Config) -> np.ndarray:
    instruments = np.zeros(len(config.instruments), INSTRUMENT)
    for i, (record, instrument) in enumerate(zip(instruments, config.instruments, strict=True)):
        record["tick_size"] = instrument.tick_size
        record["lot_size"] = instrument.lot_size
        record["allow_negative_prices"] = instrument.allow_negative_prices
        record["min_notional"] = instrument.min_notional
        record["multiplier"] = instrument.multiplier
        record["rate"] = rate_of(config, i) or 0
        record["future"] = bool(instrument.future)
        record["restricted"] = instrument.symbol in config.risk.restricted
    return instruments
