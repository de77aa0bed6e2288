"""What the cash allows is bought; what equity no longer carries is stopped."""

import numpy as np
import pytest

from tests.core_kit import flat_bars, run
from trader.core.schema import CommissionType, Reason, SizingMode

PERCENT = int(SizingMode.PERCENT_EQUITY)
ALL = {"mode": PERCENT, "percent": 1.0, "allow_margin": 0}


def together(*prices: list[float]) -> np.ndarray:
    """Bars of several symbols in one time order."""
    bars = np.concatenate([flat_bars(row, symbol=symbol) for symbol, row in enumerate(prices)])
    return bars[np.lexsort((bars["symbol"], bars["ts_ns"]))]


def outcome(result, row: int) -> tuple[str, float, float]:
    decision = result.decisions[row]
    return (
        Reason(int(decision["reason"])).name,
        float(decision["requested_qty"]),
        float(decision["approved_qty"]),
    )


def test_the_last_of_two_halves_is_trimmed_to_what_its_commission_leaves():
    result = run(
        together([100.0] * 3, [100.0] * 3), "BB....", mode=PERCENT, percent=0.5, allow_margin=0,
        commission_value=10.0,
    )  # fmt: skip
    assert outcome(result, 0) == ("NONE", 500.0, 500.0)
    assert outcome(result, 1) == ("TRIMMED_TO_CASH", 500.0, 499.0)
    assert result.decisions[1]["observed"] == 100_050.0
    assert result.decisions[1]["limit"] == 100_000.0
    assert result.account["cash"] >= 0.0


def test_beside_a_symbol_that_gained_the_other_is_trimmed():
    bars = together([100.0, 100.0, 110.0, 110.0], [100.0] * 4)
    result = run(bars, "B....B..", mode=PERCENT, percent=0.5, allow_margin=0)
    name, requested, approved = outcome(result, 5)
    assert (name, requested, approved) == ("TRIMMED_TO_CASH", 525.0, 500.0)


@pytest.mark.parametrize(
    "costs",
    [
        {"commission_value": 5.0},
        {"commission_type": int(CommissionType.PER_SHARE), "commission_value": 0.02},
        {"commission_type": int(CommissionType.PER_ORDER), "commission_value": 30.0},
        {"commission_minimum": 30.0},
        {"commission_value": 5.0, "slippage_value": 10.0},
    ],
)
def test_a_reversal_of_all_the_money_is_trimmed_and_never_leaves_it_flat(costs):
    result = run(flat_bars([100.0] * 9), "B.S.B.S..", **ALL, **costs)
    assert len(result.fills) == 4
    assert [float(np.sign(fill["qty"])) for fill in result.fills] == [1.0, -1.0, 1.0, -1.0]
    assert "BUYING_POWER" not in result.reasons()
    held = abs(float(result.positions[0]["qty"]))
    equity = float(result.account["equity"])
    assert held * 100.0 <= equity < (held + 3) * 100.0, "all but the costs is invested"


def test_a_fixed_size_is_trimmed_only_where_another_order_of_its_instant_took_the_money():
    alone = run(flat_bars([100.0, 100.0]), "B.", cash=999.0, allow_margin=0)
    assert outcome(alone, 0) == ("BUYING_POWER", 10.0, 0.0)
    two = run(together([100.0] * 2, [100.0] * 2), "BB..", cash=1_500.0, allow_margin=0)
    assert outcome(two, 0) == ("NONE", 10.0, 10.0)
    assert outcome(two, 1) == ("TRIMMED_TO_CASH", 10.0, 5.0)
    later = run(together([100.0] * 3, [100.0] * 3), "B..B..", cash=1_500.0, allow_margin=0)
    assert outcome(later, 3) == ("BUYING_POWER", 10.0, 0.0)


def test_nothing_is_trimmed_below_the_smallest_order():
    result = run(
        together([100.0] * 2, [100.0] * 2), "BB..", cash=1_500.0, allow_margin=0, min_order_size=6.0
    )
    assert outcome(result, 1) == ("BELOW_MIN_SIZE", 10.0, 0.0)


def test_a_size_of_less_than_one_lot_is_told_with_the_size_and_the_lot():
    result = run(flat_bars([60_000.0] * 3), "BS.", mode=PERCENT, percent=0.01, cash=100_000.0)
    assert result.reasons()[:2] == ["BELOW_LOT_SIZE"] * 2
    first = result.decisions[0]
    assert first["requested_qty"] == first["approved_qty"] == 0.0
    assert first["observed"] == pytest.approx(1_000 / 60_000)
    assert first["limit"] == 1.0


def test_buying_never_sells_the_last_lot_when_the_share_is_worth_less_than_one():
    result = run(flat_bars([100.0, 100.0, 150.0, 150.0]), "B.B.", mode=PERCENT, percent=0.1,
                 cash=1_000.0)  # fmt: skip
    assert result.decisions["requested_qty"].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert result.reasons()[2] == "AT_TARGET"


def test_equity_of_nothing_halts():
    result = run(flat_bars([100.0, 100.0, 90.0, 90.0]), "B.BS", cash=1_000.0, base_size=100.0)
    assert result.account["equity"] == 0.0
    assert result.account["trading_state"] == 2
    assert result.account["state_reason"] == Reason.NO_EQUITY
    assert outcome(result, 3)[0] == "HALTED"
    breach = result.events[result.events["kind"] == 3][0]
    assert (breach["reason"], breach["value"], breach["limit"]) == (Reason.NO_EQUITY, 0.0, 0.0)


# --- prices at or below zero ---

BELOW = {"allow_negative_prices": 1}


def test_prices_below_zero_are_refused_unless_the_instrument_says_so():
    assert run(flat_bars([-5.0, -5.0]), "B.").reasons()[0] == "PARAM_PRICE"
    assert run(flat_bars([0.0, 0.0]), "B.").reasons()[0] == "PARAM_PRICE"


def test_buying_below_zero_brings_cash_and_equity_follows_the_price():
    result = run(flat_bars([-5.0, -5.0, -2.0, 0.0, 3.0]), "B....", commission_value=10.0, **BELOW)
    commission = 10 * 5.0 * 0.001
    assert result.fills["price"].tolist() == [-5.0]
    assert result.fills["commission"].tolist() == [pytest.approx(commission)]
    assert result.equity["cash"][1] == pytest.approx(100_050.0 - commission)
    assert result.equity["equity"].tolist()[1:] == pytest.approx(
        [100_000.0 - commission + 10 * gained for gained in (0.0, 3.0, 5.0, 8.0)]
    )
    assert result.equity["gross_exposure"].tolist() == [0.0, 50.0, 20.0, 0.0, 30.0]


def test_slippage_and_ticks_are_against_the_order_below_zero_too():
    for actions, price in (("B.", -9.99), ("S.", -10.01)):
        result = run(flat_bars([-10.0] * 2), actions, slippage_value=5.0, tick_size=0.01, **BELOW)
        assert result.fills["price"].tolist() == [pytest.approx(price)]
        assert result.fills["slippage"][0] > 0.0


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_position_notional": 49.0}, "POSITION_NOTIONAL_LIMIT"),
        ({"max_order_notional": 49.0}, "ORDER_NOTIONAL_LIMIT"),
        ({"max_position_concentration": 0.00049}, "CONCENTRATION_LIMIT"),
        ({"max_gross_exposure": 0.00049}, "GROSS_EXPOSURE_LIMIT"),
        ({"cash": 49.0, "allow_margin": 0}, "BUYING_POWER"),
        ({"price_collar": 0.5}, "PRICE_NOT_POSITIVE"),
        ({"mode": PERCENT, "percent": 0.5}, "PRICE_NOT_POSITIVE"),
        ({"mode": int(SizingMode.VOLATILITY_TARGET), "target_volatility": 0.1},
         "PRICE_NOT_POSITIVE"),
        ({"max_spread_bps": 100.0}, "THROTTLED_TO_ZERO"),
        ({"max_volatility": 0.5}, "THROTTLED_TO_ZERO"),
    ],
)  # fmt: skip
def test_limits_see_the_worth_below_zero_and_fractions_of_the_price_deny(limits, reason):
    bars = flat_bars([-5.0] * 8)
    bars["bid"], bars["ask"] = -5.01, -4.99
    bought = run(bars, "......B.", **BELOW, **limits)
    assert bought.reasons()[6] == reason
    assert len(bought.fills) == 0
    assert not np.isnan(bought.decisions["observed"]).any()


def test_a_collar_that_is_off_cancels_nothing_below_zero():
    assert len(run(flat_bars([0.0, -1.0, 2.0]), "BS.", **BELOW).fills) == 2
