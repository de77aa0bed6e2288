"""What was asked for is remembered, and only once on disk."""

import pytest

from trader.errors import DataError
from trader.feeds.source import RawBar
from trader.jobs.history_store import ASKED, HistoryStore, merged

DAY = 86_400 * 10**9


def bar(day):
    return RawBar(day * DAY, 1.0, 2.0, 0.5, 1.5, float(day))


def test_what_was_asked_for_is_not_missing_though_it_had_no_bar(tmp_path):
    store = HistoryStore(tmp_path / "x")
    assert store.missing(0, 10 * DAY) == [(0, 10 * DAY)]
    store.put([bar(2)], (2 * DAY, 4 * DAY))
    store.put([bar(6)], (6 * DAY, 7 * DAY))
    assert store.missing(0, 8 * DAY) == [(0, 2 * DAY), (4 * DAY, 6 * DAY), (7 * DAY, 8 * DAY)]
    store.put([bar(4)], (4 * DAY, 6 * DAY))
    assert store.missing(2 * DAY, 7 * DAY) == []
    assert store.rows() == 3


def test_bars_lie_in_the_file_of_their_month(tmp_path):
    store = HistoryStore(tmp_path)
    store.put([bar(30), bar(31)], (30 * DAY, 32 * DAY))
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == [
        "1970-01.parquet",
        "1970-02.parquet",
    ]


def test_spans_that_touch_are_one():
    assert merged([(5, 7), (1, 3), (3, 5), (9, 10)]) == [(1, 7), (9, 10)]


def test_a_damaged_note_is_an_error_that_names_it(tmp_path):
    (tmp_path / ASKED).write_text("[[1,")
    with pytest.raises(DataError, match=ASKED):
        HistoryStore(tmp_path).missing(0, 1)
