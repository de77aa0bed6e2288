"""The finaliser's smaller rules, one at a time: corrections, sessions, misses, who is asked."""

import pytest

from tests.feeds.finaliser_kit import GRACE, PERIOD, START, S, at, bar, begun, finaliser, of_kind
from trader.core.schema import BarProof
from trader.feeds import final_bars
from trader.feeds.final_bars import FinalBars
from trader.feeds.finaliser import BarFinaliser
from trader.feeds.finaliser_events import (
    TICK,
    Ask,
    Final,
    Hours,
    Late,
    Odd,
    Page,
    PendingBar,
    Quiet,
    Revision,
    Stale,
    SymbolGone,
    Terms,
)
from trader.feeds.source import Finality, Notice, Row, StreamLoss, Up


def two_symbols():
    """Both with bars 0 to 2 as history and a stream since."""
    made = BarFinaliser(2, [START, START], Terms(PERIOD, Finality.FLAG, GRACE, 120 * S))
    made.on(TICK, at(3, 2))
    for symbol in (0, 1):
        made.on(Up(symbol), at(3, 2))
        made.on(Page(symbol, START, at(3), [bar(i) for i in range(3)], at(3, 2)), at(3, 2.1))
    return made


def waiting_for_history():
    """A final bar 4 of ten units that waits for bar 3, which was missed, and the question."""
    made = begun()
    made.on(StreamLoss(0, "1006"), at(3, 30))
    (ask,) = made.on(Up(0), at(4))
    assert made.on(Row(0, bar(4), True), at(5, 0.1)) == []
    return made, ask


def test_a_bar_that_is_corrected_before_it_leaves_leaves_so():
    made, ask = waiting_for_history()
    assert made.on(Row(0, bar(4, 12.0), True), at(5, 0.2)) == []
    assert made.on(Row(0, bar(4, 11.0), True), at(5, 0.3)) == []  # an older state
    assert made.on(Row(0, bar(4, 13.0), False), at(5, 0.4)) == []  # not said to be closed
    page = Page(0, ask.start_ns, ask.end_ns, [bar(2), bar(3)], at(5, 0.5))
    outs = made.on(page, at(5, 0.6))
    assert outs[0] == Final(0, bar(3), BarProof.REST, True)
    assert outs[1] == Final(0, bar(4, 12.0), BarProof.FLAG, False)


@pytest.mark.parametrize(("rest", "left"), [(13.0, 13.0), (9.0, 10.0)])
def test_rest_corrects_a_proven_bar_that_waits_unless_it_is_behind(rest, left):
    made, ask = waiting_for_history()
    page = Page(0, ask.start_ns, at(5), [bar(2), bar(3), bar(4, rest)], at(5, 1.5))
    outs = made.on(page, at(5, 1.6))
    assert outs[1] == Final(0, bar(4, left), BarProof.FLAG, False)


def test_a_row_of_the_line_before_proves_nothing_however_young_its_bar_is():
    made = begun(Finality.SUCCESSOR, 5)
    made.on(Row(0, bar(5, 1.0)), at(5, -0.5))  # the exchange's clock is a little ahead
    made.on(StreamLoss(0, "1006"), at(5, -0.2))
    made.on(Up(0), at(5))
    made.on(Page(0, at(4), at(5), [bar(4)], at(5, 1)), at(5, 1.1))
    assert of_kind(made.on(Row(0, bar(6, 1.0)), at(6, 0.5)), Final) == []


def missed(made, index):
    """REST has the next bar, the stream had not; what is told."""
    (ask,) = of_kind(made.on(TICK, at(index + 1, 1)), Ask)
    page = Page(0, ask.start_ns, ask.end_ns, [bar(index - 1), bar(index)], at(index + 1, 1))
    return of_kind(made.on(page, at(index + 1, 1.1)), Stale)


def test_a_bar_of_the_stream_ends_the_count_of_misses():
    made = begun()
    assert missed(made, 3) + missed(made, 4) == []
    made.on(Row(0, bar(5), True), at(6, 0.1))
    assert missed(made, 6) + missed(made, 7) == []
    assert len(missed(made, 8)) == 1
    assert missed(made, 9) + missed(made, 10) == []  # it was told of


def test_a_quiet_market_on_which_rest_confirms_each_bar_is_not_mute():
    made = begun(Finality.SUCCESSOR)
    told = []
    for index in range(3, 9):  # a bar each two minutes: none is followed at once
        made.on(Row(0, bar(index)), at(index, 30))
        told += missed(made, index)
    assert told == []


def test_bars_of_a_hole_are_no_misses():
    made = begun()
    made.on(StreamLoss(0, "1006"), at(3, 30))
    (ask,) = made.on(Up(0), at(9, 10))
    rows = [bar(i) for i in range(2, 9)]
    outs = made.on(Page(0, ask.start_ns, ask.end_ns, rows, at(9, 11)), at(9, 12))
    assert len(of_kind(outs, Final)) == 6
    assert of_kind(outs, Stale) == []


def test_who_is_down_and_who_is_waited_for():
    made = two_symbols()
    assert (made.is_down, made.is_catching_up) == (False, False)
    made.on(StreamLoss(1, "1006"), at(3, 30))
    assert (made.is_down, made.is_catching_up) == (True, False)
    made.on(Up(1), at(4, 30))
    assert (made.is_down, made.is_catching_up) == (False, True)
    assert made.owed_ns() == at(3)
    made.on(StreamLoss(1, "1006"), at(4, 40))
    made.on(SymbolGone(1), at(4, 41))
    assert (made.is_down, made.is_catching_up) == (False, False)
    assert made.owed_ns() == 2**63 - 1


def test_where_nothing_streams_nobody_is_down():
    made = finaliser(Finality.POLL)
    assert (made.is_down, made.is_catching_up) == (False, True)


def test_a_row_has_its_own_symbol_asked_for_and_no_other():
    made = two_symbols()
    (ask,) = of_kind(made.on(Row(0, bar(4, 1.0), False), at(4, 1.5)), Ask)
    assert ask.symbol == 0
    (ask,) = of_kind(made.on(TICK, at(4, 1.5)), Ask)
    assert ask.symbol == 1


def test_quiet_is_only_what_rest_says_beside_what_it_has():
    made = begun()
    (ask,) = made.on(TICK, at(4, 1))
    assert made.on(Page(0, ask.start_ns, ask.end_ns, [], at(4, 1)), at(4, 1.1)) == []
    (ask,) = made.on(TICK, at(4, 9))
    assert made.on(Page(0, ask.start_ns, ask.end_ns, [bar(2)], at(4, 9)), at(4, 9.1)) == [Quiet(0)]
    (ask,) = made.on(Row(0, bar(4, 1.0), False), at(4, 30))  # the stream has traded
    page = Page(0, ask.start_ns, ask.end_ns, [bar(2)], at(4, 31))
    assert of_kind(made.on(page, at(4, 31)), Quiet) == []


def test_a_notice_changes_nothing():
    assert begun().on(Notice("FEED_MUTE", "a word"), at(3, 30)) == []


def test_what_comes_after_a_gap_is_late_only_where_it_is_said_to_be_closed():
    made = begun()
    (ask,) = made.on(Row(0, bar(4), True), at(5, 0.1))
    made.on(Page(0, ask.start_ns, ask.end_ns, [bar(2), bar(4)], at(5, 1)), at(5, 1.1))
    for is_closed in (None, False):
        assert made.on(Row(0, bar(3), is_closed), at(5, 2)) == []
    assert made.on(Row(0, bar(-1), True), at(5, 2)) == []  # older than all that is known
    assert made.on(Row(0, bar(3), True), at(5, 2)) == [Late(0, bar(3))]


def test_a_stream_without_flags_corrects_by_any_row_that_is_not_behind():
    made = begun(Finality.SUCCESSOR)
    assert made.on(Row(0, bar(2, 9.0)), at(3, 30)) == []
    assert made.on(Row(0, bar(2, 11.0)), at(3, 31)) == [Revision(0, bar(2), bar(2, 11.0))]
    assert made.on(Row(0, bar(2, 11.0)), at(3, 32)) == []


def test_a_snapshot_takes_no_correction_back():
    """ccxt shows its cache again after a line was made anew: bars as they were once."""
    made = begun(Finality.SUCCESSOR)
    new = bar(2, close=101.0)
    page = Page(0, at(0), at(3), [bar(0), bar(1), new], at(3, 30), is_check=True)
    assert made.on(page, at(3, 30)) == [Revision(0, bar(2), new)]
    assert made.on(Row(0, bar(2), is_snapshot=True), at(3, 40)) == []
    assert made.on(Row(0, bar(2, close=101.5)), at(3, 41)) == [
        Revision(0, new, bar(2, close=101.5))
    ]


def test_a_disputed_bar_is_believed_after_three_pages():
    made = begun()
    made.on(Row(0, bar(3, 12.0), False), at(3, 59))
    finals, now = [], at(4, 1)
    pages = 0
    while not finals:
        asks = of_kind(made.on(TICK, now), Ask)
        for ask in asks:
            pages += 1
            page = Page(0, ask.start_ns, ask.end_ns, [bar(2), bar(3, 9.0)], now)
            finals += of_kind(made.on(page, now), Final)
        now += S
    assert pages == 3
    assert finals == [Final(0, bar(3, 9.0), BarProof.REST, False)]


def test_a_bar_may_open_ahead_of_the_clock_by_the_grace_and_no_more():
    made = begun()
    assert made.on(Row(0, bar(4, 1.0), False), at(4, -1)) == []
    (odd,) = made.on(Row(0, bar(4, 1.0), False)._replace(bar=bar(5, 1.0)), at(4, -0.9))
    assert isinstance(odd, Odd)


def test_what_a_page_has_between_two_bars_or_out_of_hours_is_no_bar():
    hours = Hours([at(0), at(20)], [at(4), at(30)])
    made = BarFinaliser(1, [at(0)], Terms(PERIOD, Finality.STATED, GRACE, 120 * S, hours))
    (ask,) = made.on(TICK, at(4, 2))
    made.on(Up(0), at(4, 2))
    skewed = bar(1)._replace(open_ns=at(1, 7))
    rows = [bar(0), bar(1), skewed, bar(2), bar(3), bar(4)]
    outs = made.on(Page(0, ask.start_ns, ask.end_ns, rows, at(6, 2)), at(6, 3))
    assert [out.bar for out in of_kind(outs, Final)] == [bar(i) for i in range(4)]


def test_hours_count_back_over_a_night():
    hours = Hours([at(0), at(20)], [at(4), at(30)])
    assert [hours.hold(at(i)) for i in (-1, 0, 3, 4, 20, 30)] == [
        False, True, True, False, True, False,
    ]  # fmt: skip
    assert [hours.next_ns(at(i)) for i in (-2, 2, 7, 29)] == [at(0), at(2), at(20), at(29)]
    assert hours.next_ns(at(31)) == at(31)  # nothing is known of after that
    assert hours.back_ns(at(22), 2 * PERIOD) == at(20)
    assert hours.back_ns(at(22), 3 * PERIOD) == at(3)
    assert hours.back_ns(at(22), 50 * PERIOD) == at(0)
    assert Hours([], []).back_ns(at(22), PERIOD) == at(22)


def test_an_older_state_and_a_snapshot_of_what_has_come_change_nothing():
    held = PendingBar(bar(3, 5.0), None, 2, False)
    assert held.is_changed_by(Row(0, bar(3, 6.0)), 2)
    assert held.is_changed_by(Row(0, bar(3, 5.0)), 2)  # it confirms what a snapshot showed
    assert not held.is_changed_by(Row(0, bar(3, 4.0)), 2)
    assert not held.is_changed_by(Row(0, bar(3, 5.0), is_snapshot=True), 2)
    assert held.is_changed_by(Row(0, bar(3, 5.0), is_snapshot=True), 3)
    assert held.is_changed_by(Row(0, bar(3, 6.0), is_snapshot=True), 2)


def test_final_bars_remember_so_many_and_are_due_by_turns(monkeypatch):
    monkeypatch.setattr(final_bars, "REMEMBERED", 4)
    monkeypatch.setattr(final_bars, "CHECKED_EVERY", 3)
    bars = FinalBars(1)
    assert bars.newest_ns(7) == 7
    for index in range(6):
        bars.add(bar(index), is_history=True)
        assert not bars.is_to_be_asked()
    assert (len(bars), bars.oldest_ns, bars.newest_ns(7)) == (4, at(2), at(5))
    due = []
    for index in range(6, 14):
        bars.add(bar(index), is_history=index == 7)  # a hole counts, once it trades
        if bars.is_to_be_asked():
            due.append(index)
            assert not bars.is_to_be_asked()
            bars.checked()
    assert due == [7, 10, 13]
    assert bars.correct(bar(13), 5) is None
    assert bars.correct(bar(13, 1.0), 5) == bar(13)
    assert bars.correct(bar(2, 1.0), 5) is None  # forgotten
    assert bars.correct(bar(13, 2.0), 4) is None  # said before
    assert bars.get(at(13)) == bar(13, 1.0)
    assert bars.correct(bar(13, 2.0), 5) == bar(13, 1.0)


def test_an_answer_that_comes_late_takes_no_correction_back():
    made = begun()
    made.on(Row(0, bar(3), True), at(4, 0.1))
    new = bar(3, close=101.0)
    (told,) = made.on(Page(0, at(2), at(4), [new], at(4, 30)), at(4, 31))
    assert told == Revision(0, bar(3), new)
    old = Page(0, at(0), at(4), [bar(i) for i in range(4)], at(4, 20), is_check=True)
    assert made.on(old, at(4, 40)) == []
    (told,) = made.on(Row(0, bar(3, close=101.5), True), at(4, 41))
    assert (told.old, told.new) == (new, bar(3, close=101.5))
    assert made.on(Page(0, at(2), at(4), [new], at(4, 35)), at(4, 42)) == []
