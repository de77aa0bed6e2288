"""Calendars: kept on disk, mended, refused in one line, usable to their last day."""

import numpy as np
import pytest

from trader.codes import DAY_NS
from trader.errors import ConfigError
from trader.feeds.sessions import bars_per_year, session_table, sessions_per_year
from trader.hours import calendars


def ns(text):
    return int(np.datetime64(text, "ns").astype(np.int64))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and nothing remembered in the process."""
    monkeypatch.setenv("TRADER_CACHE_DIR", str(tmp_path))
    calendars._kept.cache_clear()
    yield tmp_path / "calendars"
    calendars._kept.cache_clear()


def refuse(*_):
    raise AssertionError("the calendar was computed again")


def test_a_calendar_is_computed_once_and_read_from_then_on(cache, monkeypatch):
    first = session_table("XNYS", ns("2024-03-04"), ns("2024-03-08"))
    assert len(list(cache.iterdir())) == 1
    calendars._kept.cache_clear()
    monkeypatch.setattr(calendars, "_computed", refuse)
    second = session_table("XNYS", ns("2024-03-04"), ns("2024-03-08"))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("harm", ["cut", "changed", "empty", "other version"])
def test_a_kept_calendar_that_is_not_whole_is_made_again(harm, cache, monkeypatch):
    first = session_table("XNYS", ns("2024-03-04"), ns("2024-03-08"))
    (path,) = cache.iterdir()
    content = path.read_bytes()
    changed = bytes([content[0], *content[1:-9], content[-9] ^ 1, *content[-8:]])
    if harm == "other version":
        monkeypatch.setattr(calendars, "_version", lambda: "0.1")
        monkeypatch.setattr(calendars, "_computed", lambda *_: pytest.fail("asked anew"))
        calendars._kept.cache_clear()
        with pytest.raises(pytest.fail.Exception, match="asked anew"):
            session_table("XNYS", ns("2024-03-04"), ns("2024-03-08"))
        return
    path.write_bytes({"cut": content[:-24], "changed": changed, "empty": b""}[harm])
    calendars._kept.cache_clear()
    second = session_table("XNYS", ns("2024-03-04"), ns("2024-03-08"))
    assert first.tobytes() == second.tobytes()
    assert path.read_bytes() == content


def test_no_folder_to_write_to_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRADER_CACHE_DIR", str(tmp_path / "file"))
    calendars._kept.cache_clear()
    assert len(session_table("XLON", ns("2024-03-04"), ns("2024-03-08"))) > 0
    calendars._kept.cache_clear()


def is_session(code, date):
    table = session_table(code, ns(date), ns(date))
    return np.datetime64(date, "D").astype(int) in table["session"]


@pytest.mark.parametrize(
    ("code", "traded", "closed"),
    [
        # Sunday to Thursday until 2026-01-04, Monday to Friday from then on
        ("XTAE", ["2025-12-28", "2026-01-04", "2026-01-09"], ["2025-12-26", "2026-01-11"]),
        # Saturdays on which the market was open, and ordinary ones
        ("XBOM", ["2024-01-20", "2025-02-01"], ["2024-01-27", "2025-02-08", "2024-01-26"]),
        ("XMOS", ["2024-04-27", "2024-11-02", "2024-12-28"], ["2024-04-20", "2024-12-21"]),
        ("XKRX", ["1998-11-28", "1998-12-05"], ["1998-12-12", "1998-11-29"]),
    ],
)
def test_a_week_that_changed_and_a_saturday_that_traded_are_seen(code, traded, closed):
    assert [date for date in traded if not is_session(code, date)] == []
    assert [date for date in closed if is_session(code, date)] == []


def test_the_sunday_and_the_friday_of_tel_aviv_close_early():
    table = session_table("XTAE", ns("2025-12-25"), ns("2026-01-12"))
    closes = dict(zip(table["session"].tolist(), table["close_ns"].tolist(), strict=True))
    at = {
        "2025-12-28": "2025-12-28T13:40",
        "2025-12-29": "2025-12-29T15:15",
        "2026-01-09": "2026-01-09T11:50",
    }
    for date, close in at.items():
        assert closes[int(np.datetime64(date, "D").astype(int))] == ns(close)


@pytest.mark.parametrize("code", ["ASEX", "XBSE", "XBEL", "XCYS"])
def test_a_calendar_that_needs_orthodox_easter_is_built(code):
    table = session_table(code, ns("2024-05-02"), ns("2024-05-08"))
    dates = set(table["session"].astype("datetime64[D]").astype(str))
    assert "2024-05-03" not in dates
    assert "2024-05-06" not in dates
    assert "2024-04-29" in dates


def test_the_last_days_of_a_calendar_are_usable_and_no_more():
    bound = calendars.calendar_years("XSHG", 2021, 2024).known_to
    last = bound * DAY_NS
    table = session_table("XSHG", last - 5 * DAY_NS, last)
    assert table["session"][-1] <= bound
    with pytest.raises(ConfigError, match=r"XSHG does not reach from .* knows its sessions"):
        session_table("XSHG", last, last + 30 * DAY_NS)


def test_an_unknown_calendar_lists_those_there_are():
    with pytest.raises(ConfigError, match=r"known: .*24x7, .*FX, .*XLON, .*XNYS"):
        session_table("NEWYORK", 0, 0)


def test_the_fx_week_rolls_at_17_in_new_york():
    table = session_table("FX", ns("2024-03-08"), ns("2024-03-11"))
    rows = table[table["session"] >= calendars.day_number("2024-03-08")][:2]
    told = [str(np.datetime64(int(t), "ns"))[:16] for row in rows for t in row.tolist()[:2]]
    assert told == [
        "2024-03-07T22:00", "2024-03-08T22:00",  # Friday 17:00 is the end of the week
        "2024-03-10T21:00", "2024-03-11T21:00",  # and Sunday 17:00, clocks changed, its begin
    ]  # fmt: skip
    assert 260 <= sessions_per_year("FX") <= 262


def test_a_year_has_the_bars_it_has():
    day, week, month = 86_400.0, 604_800.0, 2_629_746.0
    assert bars_per_year("XNYS", day) == sessions_per_year("XNYS") == 251.25
    assert bars_per_year("XNYS", week) == pytest.approx(52.1775)
    assert bars_per_year("XNYS", month) == 12.0
    assert bars_per_year("24x7", day) == 365.25
    assert bars_per_year("24x7", month) == pytest.approx(12.0, rel=1e-4)
