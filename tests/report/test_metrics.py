"""Headline statistics against hand counts and plain formulas; what is undefined says why."""

import json
import math
from statistics import fmean, stdev

import numpy as np
import pytest

from tests.report_kit import DAY_NS, FIRST_DAY, MINUTE_NS, ExampleRun, example_sessions
from trader.core.schema import BAR, EQUITY, FILL
from trader.report.curve import curve_facts, session_ends, session_equity
from trader.report.metrics import (
    ROWS_AT_ONCE,
    EquityFacts,
    MarketFacts,
    market_facts,
    performance,
)
from trader.report.ratios import annual_ratios, daily_returns
from trader.report.roundtrips import round_trips

RETURNS = [0.01, -0.02, 0.015, 0.003, -0.004, 0.0]


def market(opens=(100.0,), closes=(110.0,), sessions_per_year=252.0):
    return MarketFacts(sessions_per_year, np.array(opens), np.array(closes))


def fills_of(*rows):
    found = np.zeros(len(rows), FILL)
    for row, values in zip(found, rows, strict=True):
        row["qty"], row["price"], row["commission"], row["realized_pnl"] = values
    found["ts_ns"] = FIRST_DAY * DAY_NS + MINUTE_NS * np.arange(len(rows))
    found["slippage"] = 0.25
    found["unit_value"] = 1.0
    return found


def metrics_of(by_day, fills=None, start=100.0, **facts):
    """Metrics of a run with one slice a day."""
    rows = np.zeros(len(by_day), EQUITY)
    rows["ts_ns"] = (FIRST_DAY + 1 + np.arange(len(by_day))) * DAY_NS
    rows["equity"] = by_day
    fills = np.zeros(0, FILL) if fills is None else fills
    ends = session_ends(rows["ts_ns"], example_sessions(max(len(by_day), 1)), DAY_NS)
    by_session = session_equity(rows, ends)
    curve = curve_facts(rows, start) if len(rows) else None
    trips = round_trips(fills, np.array([1.0]))
    return performance(
        EquityFacts(start, curve, daily_returns(by_session, start)), fills, trips, market(**facts)
    )


def test_ratios_equal_their_formulas():
    year, count = 252.0, len(RETURNS)
    values, undefined = annual_ratios(np.array(RETURNS), year)
    growth = math.prod(1.0 + r for r in RETURNS)
    downside = math.sqrt(fmean(min(r, 0.0) ** 2 for r in RETURNS))
    assert undefined == {}
    assert values["cagr"] == pytest.approx(growth ** (year / count) - 1.0)
    assert values["volatility"] == pytest.approx(stdev(RETURNS) * math.sqrt(year))
    assert values["sharpe"] == pytest.approx(fmean(RETURNS) / stdev(RETURNS) * math.sqrt(year))
    assert values["sortino"] == pytest.approx(fmean(RETURNS) / downside * math.sqrt(year))


def test_year_of_the_calendar_in_use_scales_the_ratios():
    stocks, _ = annual_ratios(np.array(RETURNS), 252.0)
    crypto, _ = annual_ratios(np.array(RETURNS), 365.0)
    assert crypto["sharpe"] / stocks["sharpe"] == pytest.approx(math.sqrt(365.0 / 252.0))


def test_first_daily_return_starts_from_the_starting_equity():
    assert daily_returns(np.array([110.0, 99.0]), 100.0) == pytest.approx([0.1, -0.1])


@pytest.mark.parametrize(
    ("returns", "reasons"),
    [
        ([], dict.fromkeys(("cagr", "volatility", "sharpe", "sortino"), "at least 2 trading days")),
        ([0.1], dict.fromkeys(("cagr", "sharpe"), "at least 2 trading days")),
        ([0.01, 0.01], {"sharpe": "do not vary", "sortino": "no losing day"}),
        ([0.0, 0.0], {"sharpe": "do not vary", "sortino": "no losing day"}),
        ([0.01, -1.2], dict.fromkeys(("cagr", "sharpe", "sortino"), "equity reached zero")),
        ([0.01, float("nan")], {"volatility": "equity reached zero"}),
        ([1e9, 1e9, -0.5], {"cagr": "not a finite number"}),
    ],
)
def test_ratio_that_is_not_defined_is_none_with_its_reason(returns, reasons):
    values, undefined = annual_ratios(np.array(returns), 365.0)
    for name, words in reasons.items():
        assert values[name] is None
        assert words in undefined[name]
    assert {name for name, value in values.items() if value is None} == set(undefined)


def test_metrics_of_a_small_run_counted_by_hand():
    fills = fills_of(
        (10.0, 10.0, 1.0, 0.0),
        (-10.0, 12.0, 1.0, 20.0),  # +18 net
        (10.0, 12.0, 1.0, 0.0),
        (-10.0, 11.0, 1.0, -10.0),  # -12 net
        (5.0, 11.0, 0.5, 0.0),  # open
    )
    found = metrics_of([118.0, 105.0, 106.0], fills, sessions_per_year=252.0)
    assert found["profit"] == pytest.approx(6.0)
    assert found["total_return"] == pytest.approx(0.06)
    assert found["buy_and_hold_return"] == pytest.approx(0.1)
    assert found["max_drawdown"] == pytest.approx(13.0 / 118.0)
    assert found["max_drawdown_duration_s"] == 2 * 86_400.0
    assert found["calmar"] == pytest.approx(found["cagr"] / found["max_drawdown"])
    assert (found["trades"], found["open_trades"]) == (2, 1)
    assert found["win_rate"] == 0.5
    assert found["profit_factor"] == pytest.approx(18.0 / 12.0)
    assert found["expectancy"] == pytest.approx(3.0)
    assert found["best_trade"] == pytest.approx(18.0 / 100.0)
    assert found["worst_trade"] == pytest.approx(-12.0 / 120.0)
    assert found["average_trade"] == pytest.approx((0.18 - 0.1) / 2)
    assert (found["best_trade_pnl"], found["worst_trade_pnl"]) == (18.0, -12.0)
    assert found["commission"] == 4.5
    assert found["slippage"] == 1.25
    traded = 100.0 + 120.0 + 120.0 + 110.0 + 55.0
    assert found["turnover"] == pytest.approx(traded / fmean([118.0, 105.0, 106.0]))
    assert found["trading_days"] == 3
    assert found["undefined"] == {}


def test_buy_and_hold_weighs_symbols_equally_and_skips_those_without_bars():
    found = metrics_of([100.0, 100.0], opens=(10.0, 50.0, math.nan), closes=(20.0, 25.0, math.nan))
    assert found["buy_and_hold_return"] == pytest.approx((1.0 - 0.5) / 2)


def test_run_without_trades_has_no_trade_statistics_and_says_so():
    found = metrics_of([100.0, 100.0, 100.0])
    for name in ("win_rate", "profit_factor", "expectancy", "best_trade", "worst_trade"):
        assert found[name] is None
        assert found["undefined"][name] == "no round trip was closed"
    assert found["trades"] == 0
    assert found["total_return"] == 0.0
    assert found["max_drawdown"] == 0.0
    assert found["calmar"] is None
    assert found["undefined"]["calmar"] == "no drawdown"


def test_run_without_a_losing_trade_has_no_profit_factor():
    found = metrics_of([120.0, 130.0], fills_of((1.0, 10.0, 0.0, 0.0), (-1.0, 12.0, 0.0, 2.0)))
    assert found["profit_factor"] is None
    assert found["undefined"]["profit_factor"] == "no losing trade"
    assert found["win_rate"] == 1.0


def test_run_without_bars_is_all_zeros_and_reasons():
    found = metrics_of([], opens=(math.nan,), closes=(math.nan,))
    assert (found["final_equity"], found["total_return"]) == (100.0, 0.0)
    assert (found["first_slice"], found["trading_days"]) == (None, 0)
    for name in ("exposure", "turnover", "buy_and_hold_return"):
        assert found[name] is None
        assert found["undefined"][name] == "no bars were run"


@pytest.mark.parametrize("by_day", [[], [50.0], [0.0, 0.0], [100.0, -5.0], [1e300, 1.0]])
def test_metrics_are_always_plain_finite_json(by_day):
    found = metrics_of(by_day)
    json.dumps(found, allow_nan=False)
    empty = {name for name, value in found.items() if value is None} - {"first_slice", "last_slice"}
    assert empty == set(found["undefined"])


def test_drawdown_is_that_of_the_slices_and_agrees_with_the_account_of_a_real_run():
    result = ExampleRun(days=6).result()
    by_session = session_equity(result.equity, result.session_ends)
    peaks = np.maximum.accumulate(np.append(result.start_equity, by_session))
    daily = float(((peaks[1:] - by_session) / peaks[1:]).max())
    assert result.metrics["max_drawdown"] > daily
    assert result.metrics["max_drawdown"] == float(result.account["worst_drawdown_frac"])
    assert result.metrics["final_equity"] == float(result.account["equity"])
    assert result.metrics["trading_days"] == 6


def test_profit_of_a_real_run_is_trades_plus_what_is_open_minus_costs():
    result = ExampleRun(days=6).result()
    held = result.positions
    unrealized = float((held["qty"] * (held["mark"] - held["avg_price"])).sum())
    gross = float(held["realized_pnl"].sum()) + unrealized
    assert result.metrics["profit"] == pytest.approx(gross - result.metrics["commission"])


@pytest.mark.parametrize("padding", [0, 1, ROWS_AT_ONCE - 1, 2 * ROWS_AT_ONCE])
def test_market_facts_find_first_open_and_last_close_of_late_and_dead_symbols(padding):
    bars = np.zeros(4 + padding, BAR)
    bars["ts_ns"] = np.arange(len(bars))
    bars["open"] = 10.0 + np.arange(len(bars))
    bars["close"] = 0.5 + bars["open"]
    bars["symbol"][1] = 2  # its only bar
    bars["symbol"][-2] = 1  # listed late
    facts = market_facts(bars, 4, 252.0)
    last = float(len(bars) - 1)
    assert facts.first_open[:3].tolist() == [10.0, 10.0 + last - 1.0, 11.0]
    assert facts.last_close[:3].tolist() == [10.5 + last, 10.5 + last - 1.0, 11.5]
    assert np.isnan([facts.first_open[3], facts.last_close[3]]).all()
