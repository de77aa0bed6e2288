"""Every calendar that exchange_calendars lists, 2015 to 2026, against the naive twin."""

import exchange_calendars as xcals
import pytest

from tests.hours_sweep import PERIODS, differences
from trader.errors import ConfigError
from trader.feeds.sessions import session_table
from trader.hours.calendars import day_number

pytestmark = pytest.mark.trials
CODES = [code for code in xcals.get_calendar_names(include_aliases=False) if code not in ("24/7",)]
JUNE_2024 = day_number("2024-06-03") * 86_400 * 10**9


@pytest.mark.parametrize("code", CODES)
def test_a_calendar_agrees_with_its_twin_or_is_refused_in_one_line(code):
    refusal = None
    try:
        session_table(code, JUNE_2024, JUNE_2024)
    except ConfigError as error:
        refusal = error
    if refusal is not None:
        assert refusal.key == "risk.market_hours"
        assert f"cannot build {code}" in str(refusal)
        assert "\n" not in str(refusal)
        return
    assert differences(code, "2015-01-01", "2026-12-31", PERIODS) == []
