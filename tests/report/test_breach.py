"""A crossed limit in words."""

import math

import pytest

from trader.core.schema import Reason
from trader.report.breach import MEASURES, breach_text


@pytest.mark.parametrize(
    ("reason", "observed", "limit", "text"),
    [
        ("DAILY_LOSS_LIMIT", 1003.2, 1000.0,
         "daily loss 1,003.20 of 1,000.00 allowed (risk.max_daily_loss)"),
        ("DAILY_LOSS_LIMIT", 1000.0004, 1000.0,
         "daily loss 1,000.0004 of 1,000.0000 allowed (risk.max_daily_loss)"),
        ("DAILY_LOSS_LIMIT", math.nan, 1000.0,
         "daily loss no number of 1,000.00 allowed (risk.max_daily_loss)"),
        ("DRAWDOWN_LIMIT", 0.1032, 0.1,
         "drawdown 10.32 % of 10.00 % allowed (risk.max_drawdown_frac)"),
        ("POSITION_LIMIT", 1100.0, 1000.0,
         "position 1,100 of 1,000 allowed (risk.max_position_size)"),
        ("POSITION_LIMIT", 0.123, 0.1, "position 0.12 of 0.10 allowed (risk.max_position_size)"),
        ("MARKET_VOLATILITY", 0.05, 0.02,
         "volatility 5.00 % a bar of 2.00 % allowed (risk.kill_volatility)"),
        ("EXECUTION_REVIEW", 101.0, 100.0,
         "101 executions of 100 allowed unreviewed (risk.max_executions_without_review)"),
        ("GROSS_EXPOSURE_LIMIT", 3.0, None,
         "GROSS_EXPOSURE_LIMIT: 3 of no number allowed (risk.max_gross_exposure)"),
        ("OF_A_LATER_VERSION", 3.0, 2.0, "OF_A_LATER_VERSION: 3 of 2 allowed"),
    ],
)  # fmt: skip
def test_a_crossed_limit_is_told_with_its_numbers_and_its_key(reason, observed, limit, text):
    assert breach_text(reason, observed, limit) == text


def test_every_measure_is_of_a_reason_there_is():
    assert set(MEASURES) <= set(Reason.__members__)
