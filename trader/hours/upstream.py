"""What exchange_calendars 4.13 gets wrong under pandas 3.1, mended here and nowhere else.

Law: decides no holiday and no hour: both are the calendar's own. A calendar that has nothing to
mend is built as it is.

pandas 3.1 asks an offset of a package's own for another method than before. Orthodox Easter is
not found then (ASEX, XBSE, XBEL, XCYS), and a week that changed is not seen: XTAE (Sunday to
Thursday until 2026) cannot be built, and XBOM, XMOS and XKRX lose the Saturdays that they traded.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

MARGIN_DAYS = 370  # around what is asked for: a step from its ends stays among known days
EVERY_DAY = "1111111"


def mended_calendar(factory: Any, start: str, end: str) -> Any:
    """The calendar of a class of exchange_calendars, from one ISO date to another.

    Raises whatever the class raises where it cannot be built.
    """
    import pandas as pd

    _mend_easter()
    if not getattr(factory, "special_weekmasks", None):
        return factory(start=start, end=end)
    margin = pd.Timedelta(MARGIN_DAYS, unit="D")
    days = pd.date_range(pd.Timestamp(start) - margin, pd.Timestamp(end) + margin, freq="D")

    def session_days(calendar: Any) -> "pd.offsets.CustomBusinessDay":
        closed = days[~open_days(calendar, days)]
        return pd.offsets.CustomBusinessDay(weekmask=EVERY_DAY, holidays=list(closed))

    mended = type(factory.__name__, (factory,), {"day": property(session_days)})
    return mended(start=start, end=end)


def open_days(calendar: Any, days: "pd.DatetimeIndex") -> np.ndarray:
    """bool (days,): whether each has a session, by week and holidays in force on it."""
    import pandas as pd

    is_open = _in_week(calendar.weekmask, days)
    for first, last, weekmask in calendar.special_weekmasks:
        is_here = np.ones(len(days), bool)
        if first is not None:
            is_here &= days >= pd.Timestamp(first)
        if last is not None:
            is_here &= days <= pd.Timestamp(last)
        is_open = np.where(is_here, _in_week(weekmask, days), is_open)
    holidays = pd.DatetimeIndex(calendar.adhoc_holidays).tz_localize(None)
    is_open &= ~days.isin(holidays)
    if calendar.regular_holidays is not None:
        is_open &= ~days.isin(calendar.regular_holidays.holidays(days[0], days[-1]))
    return is_open


def _in_week(weekmask: str, days: "pd.DatetimeIndex") -> np.ndarray:
    return np.array([mark == "1" for mark in weekmask])[days.day_of_week]


def _mend_easter() -> None:
    from exchange_calendars.pandas_extensions import offsets

    easter = offsets.OrthodoxEaster
    if "_add_datetime" not in vars(easter) and "_apply" in vars(easter):
        easter._add_datetime = easter._apply
