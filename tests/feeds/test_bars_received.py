"""Received of expected bars, and the word when too few come."""

from trader.feeds.bars_received import Receipts


def test_bars_of_before_the_first_in_time_do_not_count():
    seen = Receipts(1)
    assert [seen.note(0, False) for _ in range(200)] == [""] * 200
    assert (seen.received, seen.expected) == ([0], [0])


def test_too_few_are_told_once_and_again_after_they_were_enough():
    seen = Receipts(2)
    told = [seen.note(0, True) for _ in range(100)]
    told += [seen.note(0, False)]
    assert told == [""] * 101  # 99 of 100 is enough
    assert seen.note(0, False) == "98 of the last 100 bars came as they closed"
    assert seen.note(0, False) == ""
    assert (seen.received[0], seen.expected[0]) == (100, 103)
    assert [seen.note(0, True) for _ in range(100)] == [""] * 100
    again = [seen.note(0, False) for _ in range(2)]
    assert again == ["", "98 of the last 100 bars came as they closed"]
    assert seen.expected == [205, 0]
