"""Sessions of bars, daily losses and day orders against a naive twin in pandas.

A few telling calendars here; every calendar that exchange_calendars lists, 2015 to 2026, in
`tests/trials/test_calendar_sweep.py`.
"""

import numpy as np
import pytest

from tests.hours_sweep import HOUR, PERIODS, differences

CODES = ["XNYS", "XHKG", "CMES", "XASX"]  # half days, lunch, the evening before, across UTC days


@pytest.mark.parametrize("code", CODES)
def test_sessions_losses_and_day_orders_are_those_of_the_twin(code):
    assert differences(code, "2023-11-01", "2024-04-15", PERIODS) == []


def test_the_sweep_finds_a_session_that_is_off_by_one():
    assert differences("XNYS", "2024-01-02", "2024-03-01", {"hour": HOUR}, shift=1) != []


def test_every_period_is_swept():
    assert [name for name, _ in sorted(PERIODS.items(), key=lambda item: item[1])] == [
        "minute", "half hour", "hour", "odd hours", "day", "week",
    ]  # fmt: skip
    assert np.all(np.diff(sorted(PERIODS.values())) > 0)
