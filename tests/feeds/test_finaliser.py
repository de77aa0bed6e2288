"""The finaliser: whatever a market's line does, each bar leaves once, in order, as it was."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.feeds.finaliser_kit import GRACE, PERIOD, START, S, at, bar, begun, finaliser, of_kind
from tests.tiers import cases
from trader.core.schema import BarProof
from trader.feeds.final_bars import CHECKED_EVERY
from trader.feeds.finaliser import BarFinaliser
from trader.feeds.finaliser_events import (
    TICK,
    Ask,
    Final,
    Gap,
    Hours,
    Late,
    Odd,
    Page,
    Quiet,
    Revision,
    Stale,
    SymbolGone,
    Terms,
)
from trader.feeds.source import Finality, RawBar, Row, StreamLoss, Up


def test_history_is_asked_for_before_anything_of_the_stream_leaves():
    made = finaliser()
    assert made.on(TICK, at(3, 2)) == [Ask(0, START, at(3))]
    made.on(Up(0), at(3, 2))
    assert made.on(Row(0, bar(3), True), at(4, 0.1)) == []  # flagged, and its history is not in
    outs = made.on(Page(0, START, at(3), [bar(i) for i in range(3)], at(3, 2)), at(4, 0.2))
    assert [out.bar.open_ns for out in of_kind(outs, Final)] == [at(i) for i in range(4)]
    assert [out.is_history for out in of_kind(outs, Final)] == [True, True, True, False]


def test_a_forming_row_never_leaves_however_old_it_is():
    made = begun()
    assert made.on(Row(0, bar(3), False), at(3, 30)) == []
    assert of_kind(made.on(TICK, at(9)), Final) == []


def test_the_flag_of_the_exchange_makes_a_bar_final():
    made = begun()
    (final,) = made.on(Row(0, bar(3), True), at(4, 0.05))
    assert final == Final(0, bar(3), BarProof.FLAG, False)


@pytest.mark.parametrize("finality", [Finality.FLAG, Finality.STATED])
def test_a_bar_that_is_called_closed_before_its_close_is_asked_for_after_it(finality):
    made = begun(finality)
    assert made.on(Row(0, bar(3, 5.0, 99.5), True), at(3, 30)) == []
    (ask,) = of_kind(made.on(TICK, at(4, 1)), Ask)
    outs = made.on(Page(0, ask.start_ns, ask.end_ns, [bar(3)], at(4, 1)), at(4, 1.2))
    assert of_kind(outs, Final) == [Final(0, bar(3), BarProof.REST, False)]
    (final,) = made.on(Row(0, bar(4), True), at(5, -0.5))  # clocks differ a little
    assert final.bar == bar(4)


def test_a_successor_proves_nothing_where_the_exchange_flags():
    made = begun(Finality.FLAG)
    made.on(Row(0, bar(3), False), at(3, 59))
    assert of_kind(made.on(Row(0, bar(4, 1.0), False), at(4, 0.5)), Final) == []


def test_the_bar_in_which_a_line_comes_up_is_confirmed_by_rest_and_the_next_by_its_successor():
    made = begun(Finality.SUCCESSOR)
    made.on(Row(0, bar(3)), at(3, 30))
    assert of_kind(made.on(Row(0, bar(4, 1.0)), at(4, 0.5)), Final) == []
    (ask,) = of_kind(made.on(TICK, at(4, 1)), Ask)
    outs = made.on(Page(0, ask.start_ns, ask.end_ns, [bar(3)], at(4, 1)), at(4, 1.2))
    assert of_kind(outs, Final) == [Final(0, bar(3), BarProof.REST, False)]
    made.on(Row(0, bar(4)), at(4, 59))
    (final,) = made.on(Row(0, bar(5, 1.0)), at(5, 0.5))
    assert final == Final(0, bar(4), BarProof.SUCCESSOR, False)


def test_a_bar_known_from_the_snapshot_alone_is_asked_for():
    made = begun(Finality.SUCCESSOR)
    made.on(Row(0, bar(3), is_snapshot=True), at(3, 30))
    assert of_kind(made.on(Row(0, bar(4, 1.0)), at(4, 0.5)), Final) == []
    (ask,) = of_kind(made.on(TICK, at(4, 1)), Ask)
    assert (ask.start_ns, ask.end_ns) == (at(2), at(4))  # one bar of overlap


def test_a_snapshot_that_shows_what_is_known_takes_no_proof_away():
    made = begun(Finality.SUCCESSOR, 4)
    made.on(Row(0, bar(5, 1.0)), at(5, 1))
    made.on(Row(0, bar(5)), at(5, 30))
    made.on(Page(0, at(3), at(5), [bar(3), bar(4)], at(5, 31)), at(5, 31))
    made.on(Row(0, bar(5), is_snapshot=True), at(5, 40))  # of a second line
    (final,) = of_kind(made.on(Row(0, bar(6, 1.0)), at(6, 0.5)), Final)
    assert final == Final(0, bar(5), BarProof.SUCCESSOR, False)


def test_two_lines_prove_nothing_together():
    made = begun(Finality.SUCCESSOR, 4)
    made.on(Row(0, bar(5, 1.0)), at(5, 1))  # and mute from here on
    made.on(Page(0, at(3), at(5), [bar(3), bar(4)], at(5, 31)), at(5, 31))
    assert of_kind(made.on(Row(0, bar(6, 1.0), line=1), at(6, 0.5)), Final) == []
    made.on(Row(0, bar(6), line=1), at(6, 30))
    outs = made.on(Page(0, at(4), at(6), [bar(4), bar(5)], at(6, 31)), at(6, 31))
    assert of_kind(outs, Final) == [Final(0, bar(5), BarProof.REST, False)]
    (final,) = of_kind(made.on(Row(0, bar(7, 1.0), line=1), at(7, 0.5)), Final)
    assert final == Final(0, bar(6), BarProof.SUCCESSOR, False)


def test_a_row_of_the_stream_before_a_reconnect_is_not_proven_by_one_after():
    made = begun(Finality.SUCCESSOR)
    made.on(Row(0, bar(3, 5.0)), at(3, 30))
    made.on(StreamLoss(0, "1006"), at(3, 40))
    made.on(Up(0), at(3, 50))
    assert of_kind(made.on(Row(0, bar(4, 1.0)), at(4, 0.5)), Final) == []


def test_a_late_final_row_is_fetched_and_traded():
    made = begun()
    assert made.on(TICK, at(4, 0.9)) == []
    (ask,) = made.on(TICK, at(4, 1))
    outs = made.on(Page(0, ask.start_ns, ask.end_ns, [bar(2), bar(3)], at(4, 1)), at(4, 1.2))
    assert outs == [Final(0, bar(3), BarProof.REST, False)]


def test_rest_asked_within_the_grace_proves_nothing():
    made = begun()
    (ask,) = made.on(TICK, at(4, 1))
    outs = made.on(Page(0, ask.start_ns, ask.end_ns, [bar(3)], at(4, 0.5)), at(4, 1.2))
    assert of_kind(outs, Final) == []


def test_a_page_that_has_a_bar_has_the_others_asked_for_it_at_once():
    """So that the bar waits for them, and is in one slice with theirs."""
    made = BarFinaliser(2, [START, START], Terms(PERIOD, Finality.FLAG, GRACE, 120 * S))
    assert made.on(TICK, at(3, 0.5)) == [Ask(0, START, at(3)), Ask(1, START, at(3))]
    for symbol in (0, 1):
        made.on(Up(symbol), at(3, 0.5))
    early = Page(1, START, at(3), [bar(i) for i in range(3)], at(3, 0.5))  # within the grace
    assert [out.bar for out in made.on(early, at(3, 0.6))] == [bar(0), bar(1)]
    later = Page(0, START, at(3), [bar(i) for i in range(3)], at(3, 1.1))
    outs = made.on(later, at(3, 1.2))
    assert [out.bar for out in of_kind(outs, Final)] == [bar(i) for i in range(3)]
    assert [(ask.symbol, ask.end_ns) for ask in of_kind(outs, Ask)] == [(1, at(3))]
    assert made.owed_ns() == at(2)


def test_rest_that_is_behind_the_stream_is_asked_again():
    made = begun()
    made.on(Row(0, bar(3, 9.0), False), at(3, 59))
    (ask,) = made.on(TICK, at(4, 1))
    old = Page(0, ask.start_ns, ask.end_ns, [bar(3, 7.0)], at(4, 1))
    assert of_kind(made.on(old, at(4, 1.2)), Final) == []
    (ask,) = of_kind(made.on(TICK, at(4, 3)), Ask)
    new = Page(0, ask.start_ns, ask.end_ns, [bar(3, 9.0)], at(4, 3))
    assert of_kind(made.on(new, at(4, 3.1)), Final)[0].bar == bar(3, 9.0)


def test_a_bar_of_a_page_that_is_behind_is_no_gap():
    made = begun()
    made.on(Row(0, bar(3, 9.0), False), at(3, 59))
    made.on(Row(0, bar(4), True), at(5, 0.1))
    page = Page(0, at(2), at(5), [bar(2), bar(3, 7.0), bar(4)], at(5, 1))
    assert made.on(page, at(5, 1.2)) == []
    (ask,) = of_kind(made.on(TICK, at(5, 5)), Ask)
    page = Page(0, ask.start_ns, ask.end_ns, [bar(2), bar(3, 9.0), bar(4)], at(5, 5))
    finals = of_kind(made.on(page, at(5, 5.1)), Final)
    assert [final.bar for final in finals] == [bar(3, 9.0), bar(4)]


def test_only_the_very_next_bar_is_a_successor():
    made = begun(Finality.SUCCESSOR)
    made.on(Row(0, bar(3, 5.0)), at(3, 30))
    assert of_kind(made.on(Row(0, bar(5, 1.0)), at(5, 0.5)), Final) == []


def test_what_was_missed_while_the_line_was_down_is_history():
    made = begun()
    made.on(StreamLoss(0, "1006"), at(3, 30))
    outs = made.on(Up(0), at(6, 10))
    assert outs == [Ask(0, at(2), at(6))]
    assert made.on(Row(0, bar(6), True), at(7, 0.1)) == []  # after the hole, not before
    rows = [bar(i) for i in range(2, 6)]
    outs = of_kind(made.on(Page(0, at(2), at(6), rows, at(6, 10)), at(7, 0.2)), Final)
    assert [(out.bar.open_ns, out.is_history) for out in outs] == [
        (at(3), True),
        (at(4), True),
        (at(5), True),
        (at(6), False),
    ]


def test_a_bar_is_empty_only_with_rest_on_both_sides_of_it():
    made = begun()
    (ask,) = made.on(TICK, at(4, 1))
    assert made.on(Page(0, ask.start_ns, ask.end_ns, [bar(2)], at(4, 1)), at(4, 1.1)) == [Quiet(0)]
    (ask,) = made.on(Row(0, bar(5), True), at(6, 0.1))
    page = Page(0, ask.start_ns, ask.end_ns, [bar(2), bar(5)], at(6, 0.1))
    outs = made.on(page, at(6, 0.2))
    assert outs[0] == Gap(0, at(3), 2)
    assert outs[1].bar == bar(5)


def test_short_bars_of_a_hole_are_waited_for_as_long():
    terms = Terms(S, Finality.FLAG, S, 120 * S)
    made, second = BarFinaliser(1, [START], terms, {}), START
    asks = made.on(TICK, second) + made.on(Up(0), second)
    outs = []
    while second < START + 60 * S:
        second += S
        rows = [] if second > START + 5 * S else [RawBar(START, 1.0, 2.0, 0.5, 1.0, 3.0)]
        pages = [Page(0, ask.start_ns, ask.end_ns, rows, second) for ask in of_kind(asks, Ask)]
        told = [out for page in pages for out in made.on(page, second)]
        flagged = RawBar(second - S, 1.0, 2.0, 0.5, 1.0, 3.0)
        if second > START + 40 * S:  # the line was mute, and REST empty
            told += made.on(Row(0, flagged, True), second)
        asks = told + made.on(TICK, second)
        outs += asks
    assert not of_kind(outs, Gap)


@pytest.mark.parametrize("rows", [[], [bar(2)]])
def test_a_page_that_ends_before_what_the_stream_has_proven_shows_no_gap_for_a_minute(rows):
    made = begun()
    told = made.on(StreamLoss(0, "1006"), at(3, 10)) + made.on(Up(0), at(4, 50))
    told += made.on(Row(0, bar(4), True), at(5))
    now = at(5, 1)
    while not of_kind(told, Final):  # a cache that is behind, an answer that was cut off
        now += S // 2
        pages = [Page(0, ask.start_ns, ask.end_ns, rows, now) for ask in told]
        told = [out for page in pages for out in made.on(page, now)] + made.on(TICK, now)
    assert of_kind(told, Gap) == [Gap(0, at(3), 1)]
    assert of_kind(told, Final) == [Final(0, bar(4), BarProof.FLAG, False)]
    assert at(6) < now < at(6, 10)


def test_what_a_page_lacked_comes_with_the_next():
    made = begun()
    made.on(Row(0, bar(4), True), at(5, 0.1))
    assert made.on(Page(0, at(2), at(5), [bar(2)], at(5, 1)), at(5, 1)) == []
    page = Page(0, at(2), at(5), [bar(2), bar(3), bar(4)], at(5, 3))
    assert [out.bar for out in made.on(page, at(5, 3))] == [bar(3), bar(4)]


def test_questions_about_a_bar_that_rest_has_not_become_rarer():
    made = begun()
    asked, now = [], at(4)
    while now < at(20):
        for ask in of_kind(made.on(TICK, now), Ask):
            asked.append(now)
            made.on(Page(0, ask.start_ns, ask.end_ns, [bar(2)], now), now)
        now += S // 2
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert gaps == sorted(gaps)
    assert gaps[0] <= 2 * GRACE
    assert gaps[-1] == 60 * S


def test_outside_trading_hours_nothing_is_missing_and_nothing_is_asked():
    hours = Hours([at(0), at(20)], [at(4), at(30)])
    made = BarFinaliser(1, [at(-5)], Terms(PERIOD, Finality.STATED, GRACE, 120 * S, hours))
    (ask,) = made.on(TICK, at(3, 2))
    assert (ask.start_ns, ask.end_ns) == (at(0), at(3))
    made.on(Up(0), at(3, 2))
    made.on(Page(0, ask.start_ns, ask.end_ns, [bar(i) for i in range(-2, 3)], at(3, 2)), at(3, 3))
    assert len(made.on(Row(0, bar(3)), at(4, 0.5))) == 1  # the last of the session
    for minute in range(4, 20):
        assert made.on(Row(0, bar(minute)), at(minute + 1)) == []
        assert made.on(TICK, at(minute + 1)) == []
    (final,) = made.on(Row(0, bar(20)), at(21, 0.5))
    assert final.bar == bar(20)
    assert hours.back_ns(at(21), 3 * PERIOD) == at(2)


def test_what_was_final_stays_and_a_correction_is_told():
    made = begun()
    made.on(Row(0, bar(3), True), at(4, 0.1))
    (told,) = made.on(Row(0, bar(3, close=101.0), True), at(4, 20))
    assert told == Revision(0, bar(3), bar(3, close=101.0))
    assert made.on(Row(0, bar(3, close=101.0), True), at(4, 21)) == []


def test_now_and_then_rest_is_asked_for_what_has_left_and_nobody_waits_for_it():
    made, asks = begun(), []
    last = 3 + CHECKED_EVERY
    for index in range(3, last + CHECKED_EVERY):  # longer than one check is answered late
        asks += of_kind(made.on(Row(0, bar(index), True), at(index + 1, 0.1)), Ask)
    assert asks == [Ask(0, START, at(last), is_check=True)]
    assert made.owed_ns() == 2**63 - 1
    rows = [bar(9), bar(10, close=101.0), bar(last - 1, close=101.0)]
    page = Page(0, START, at(last), rows, at(last, 0.5), is_check=True)  # the last: in its grace
    outs = made.on(page, at(last, 0.7))
    assert of_kind(outs, Revision) == [Revision(0, bar(10), bar(10, close=101.0))]
    assert [ask.is_check for ask in of_kind(outs, Ask)] == [True]  # that was due meanwhile
    assert made.on(page, at(last, 0.8)) == []


def test_what_left_before_a_restart_is_asked_for_again_too():
    terms = Terms(PERIOD, Finality.FLAG, GRACE, 120 * S)
    made = BarFinaliser(1, [at(3)], terms, {0: [bar(i) for i in range(3)]})
    (ask,) = made.on(TICK, at(5, 2))
    made.on(Up(0), at(5, 2))
    rows = [bar(2, close=101.0), bar(4)]  # the one between is not there: a hole that is told
    outs = made.on(Page(0, ask.start_ns, ask.end_ns, rows, at(5, 2)), at(5, 2.1))
    assert outs[:2] == [Revision(0, bar(2), bar(2, close=101.0)), Gap(0, at(3), 1)]
    (told,) = made.on(Row(0, bar(1, close=99.5), True), at(5, 3))
    assert told == Revision(0, bar(1), bar(1, close=99.5))
    for index in range(5, 5 + CHECKED_EVERY):
        asks = of_kind(made.on(Row(0, bar(index), True), at(index + 1, 0.1)), Ask)
    assert asks == [Ask(0, START, at(index + 1), is_check=True)]


def test_a_symbol_that_is_gone_is_not_checked():
    made = begun()
    for index in range(3, 2 + CHECKED_EVERY):
        made.on(Row(0, bar(index), True), at(index + 1, 0.1))
    made.on(SymbolGone(0), at(index + 1, 0.2))
    assert made.on(Row(0, bar(index + 1), True), at(index + 2, 0.1)) == [
        Final(0, bar(index + 1), BarProof.FLAG, False)
    ]


@settings(max_examples=cases(50))
@given(st.sampled_from([Finality.FLAG, Finality.SUCCESSOR]), st.integers(0, 2**32))
def test_what_a_line_loses_without_a_word_is_told_later(finality, seed):
    """Rows lost in its middle, and corrections that only REST has."""
    random, made, known, asks = Random(seed), begun(finality), {}, []
    true = {index: bar(index, 10.0 + index % 7) for index in range(200)}
    flag = False if finality == Finality.FLAG else None

    def give(event, now):
        for out in made.on(event, now):
            if isinstance(out, Ask):
                asks.append((out, now))
            elif isinstance(out, Final | Revision):
                told = out.bar if isinstance(out, Final) else out.new
                known[told.open_ns] = told

    for index in range(3, 200):
        whole = true[index]
        rows = [Row(0, whole._replace(volume=1.0, high=101.0), flag), Row(0, whole, flag)]
        rows += [] if flag is None else [Row(0, whole, True)]
        for part, row in enumerate(rows):
            now = at(index, 20 * part + 10)
            give(row if random.random() < 0.8 else TICK, now)
            if random.random() < 0.1 and index > 5:
                true[index - 2] = true[index - 2]._replace(close=101.5)
            if asks and random.random() < 0.5:
                ask, asked_ns = asks.pop(0)
                rest = [true[i] for i in range(index) if ask.start_ns <= at(i) < ask.end_ns]
                give(Page(*ask[:3], rest, asked_ns, ask.is_check), now + S)
    assert len(known) > 190
    checked = range(3, 200 - 2 * CHECKED_EVERY)
    assert [known[at(i)] for i in checked] == [true[i] for i in checked]


def test_old_forming_rows_and_repeated_rows_are_no_news():
    made = begun(Finality.SUCCESSOR)
    made.on(Row(0, bar(3)), at(3, 30))
    made.on(Row(0, bar(4, 1.0)), at(4, 0.5))
    made.on(Page(0, at(3), at(4), [bar(3)], at(4, 1)), at(4, 1.2))
    made.on(Row(0, bar(4)), at(4, 30))
    made.on(Row(0, bar(4, 4.0)), at(4, 31))  # behind what was seen
    (final,) = made.on(Row(0, bar(5, 1.0)), at(5, 0.5))
    assert final.bar == bar(4)
    assert made.on(Row(0, bar(4)), at(5, 1)) == []
    assert made.on(Row(0, bar(4, 4.0)), at(5, 1)) == []


def test_a_bar_that_comes_after_its_gap_is_late():
    made = begun()
    (ask,) = made.on(Row(0, bar(4), True), at(5, 0.1))
    made.on(Page(0, ask.start_ns, ask.end_ns, [bar(2), bar(4)], at(5, 1)), at(5, 1.1))
    assert made.on(Row(0, bar(3), True), at(5, 2)) == [Late(0, bar(3))]


def test_a_line_that_owes_three_bars_is_stale():
    made = begun()
    told = []
    for index in range(3, 6):
        (ask,) = made.on(TICK, at(index + 1, 1))
        rows = [bar(index - 1), bar(index)]
        page = Page(0, ask.start_ns, ask.end_ns, rows, at(index + 1, 1))
        told += of_kind(made.on(page, at(index + 1, 1.1)), Stale)
    assert len(told) == 1


def test_a_hole_of_many_bars_makes_a_line_anew_once():
    made = begun()
    (ask,) = made.on(TICK, at(33, 1))
    page = Page(0, ask.start_ns, ask.end_ns, [bar(i) for i in range(2, 33)], at(33, 1))
    outs = made.on(page, at(33, 2))
    assert len(of_kind(outs, Final)) == 30
    assert len(of_kind(outs, Stale)) == 1
    again = [of_kind(outs, Stale) for i in range(33, 37) for outs in [missed(made, i)]]
    assert [len(told) for told in again] == [0, 0, 1, 0]  # three bars further


def missed(made, index):
    """What comes of a bar that REST alone has."""
    (ask,) = of_kind(made.on(TICK, at(index + 1, 2)), Ask)
    page = Page(0, ask.start_ns, ask.end_ns, [bar(index - 1), bar(index)], at(index + 1, 2))
    return made.on(page, at(index + 1, 2.1))


def test_rows_that_can_be_no_bar_are_odd():
    made = begun()
    (odd,) = made.on(Row(0, bar(3)._replace(open_ns=at(3, 7)), True), at(4))
    assert isinstance(odd, Odd)
    (odd,) = made.on(Row(0, bar(9), False), at(4))
    assert "future" in odd.why


def test_a_symbol_that_is_gone_asks_no_more_and_holds_up_nobody():
    made = BarFinaliser(2, [START, START], Terms(PERIOD, Finality.FLAG, GRACE, 120 * S))
    assert len(made.on(TICK, at(3, 2))) == 2
    made.on(SymbolGone(1), at(3, 2))
    made.on(Page(0, START, at(3), [bar(i) for i in range(3)], at(3, 2)), at(3, 3))
    assert not made.is_catching_up
    assert [ask.symbol for ask in of_kind(made.on(TICK, at(9)), Ask)] == [0]


def test_a_history_that_begins_later_than_asked_for_is_no_gap():
    made = finaliser()
    (ask,) = made.on(TICK, at(9, 2))
    rows = [bar(i) for i in range(5, 9)]
    outs = made.on(Page(0, ask.start_ns, ask.end_ns, rows, at(9, 2)), at(9, 2.1))
    assert [out.bar for out in outs] == rows


@st.composite
def markets(draw):
    """A true history with empty minutes, how its exchange tells of a close, and a seed."""
    count = draw(st.integers(8, 20))
    missing = draw(st.sets(st.integers(1, count - 2), max_size=3))
    return count, missing, draw(st.sampled_from(list(Finality))), draw(st.integers(0, 2**32))


class Market:
    """One true history, told over a line that drops, repeats, reorders and breaks."""

    def __init__(self, count, missing, finality, seed):
        self.random = Random(seed)
        self.finality = finality
        self.true = {
            i: bar(i, 10.0 + i, 100.0 + self.random.choice([-1, 0, 1]))
            for i in range(count)
            if i not in missing
        }
        self.count, self.outs, self.asks, self.is_up = count, [], [], False
        self.events = 0
        self.made = finaliser(finality)

    def give(self, event, now):
        self.events += 1
        assert self.events < 20_000, "a question that is answered is asked again at once, for ever"
        outs = self.made.on(event, now)
        self.asks += [(out, now) for out in outs if isinstance(out, Ask)]
        self.outs += [(out, now) for out in outs]

    def forming(self, index, share):
        whole = self.true[index]
        return whole._replace(volume=whole.volume * share, close=99.5, high=101.0)

    def rows(self, index):
        """What the stream sends of one bar, in order; a flagged stream may lose any of it."""
        if self.finality == Finality.POLL or index not in self.true:
            return []
        stated = self.finality == Finality.STATED
        flag = None if self.finality == Finality.SUCCESSOR else False
        rows = [] if stated else [Row(0, self.forming(index, s), flag) for s in (0.2, 0.6)]
        rows.append(Row(0, self.true[index], None if flag is None else True))
        loses = self.finality != Finality.SUCCESSOR
        rows = [row for row in rows if not (loses and self.random.random() < 0.3)]
        rows += self.random.sample(rows, self.random.randint(0, len(rows)))  # repeats of old states
        return rows

    def answer(self, now):
        while self.asks:
            ask, asked = self.asks.pop(0)
            begin, end = (ask.start_ns - START) // PERIOD, (ask.end_ns - START) // PERIOD
            rows = [self.true[i] for i in range(begin, end + 1) if i in self.true and at(i) <= now]
            rows = [
                row
                if at((row.open_ns - START) // PERIOD + 1) <= asked
                else self.forming((row.open_ns - START) // PERIOD, 0.4)
                for row in rows
            ]
            self.give(Page(*ask[:3], rows, asked, ask.is_check), now)

    def run(self):
        for index in range(3, self.count):
            rows = self.rows(index)
            if self.finality in (Finality.FLAG, Finality.STATED):
                self.random.shuffle(rows)
            for step, row in enumerate(rows or [None]):
                now = at(index, 5 + step * 5) if row is None or not row.is_closed else at(index + 1)
                if self.random.random() < 0.1:
                    self.is_up = False
                    self.give(StreamLoss(0, "1006"), now)
                if not self.is_up and self.random.random() < 0.6:
                    self.is_up = True
                    self.give(Up(0), now)
                    if self.finality == Finality.SUCCESSOR and index in self.true:
                        sent = [one.bar for one in rows[: step + 1]]
                        newest = max(sent, key=lambda one: one.volume)
                        self.give(Row(0, newest, None, True), now)
                if row is not None and self.is_up:
                    self.give(row, now)
                if self.random.random() < 0.7:
                    self.answer(now)
                self.give(TICK, now)
        end = at(self.count + 3)
        for second in range(200):
            self.give(TICK, end + second * S)
            self.answer(end + second * S)


def test_after_minutes_without_a_trade_the_next_bar_is_asked_for_as_soon_as_it_is_due():
    made, asked = begun(Finality.POLL), []
    trades_again = 9
    for second in range(7 * 60):
        now = at(3, second)
        for ask in of_kind(made.on(TICK, now), Ask):
            asked.append(second)
            rows = [bar(2)] + [bar(trades_again)] * (now >= at(trades_again + 1))
            outs = made.on(Page(*ask[:3], rows, now), now)
            if finals := of_kind(outs, Final):
                assert of_kind(outs, Gap) == [Gap(0, at(3), trades_again - 3)]
                assert [out.bar for out in finals] == [bar(trades_again)]
                assert now == at(trades_again + 1) + GRACE
    assert [s for s in asked if s % 60 == 1] == [61, 121, 181, 241, 301, 361]
    assert len(asked) < 30  # else: later and later, not at every tick


def test_time_that_goes_back_stands_still():
    made = begun()
    (ask,) = made.on(StreamLoss(0, "1006"), at(4, 50))
    assert made.on(Up(0), at(5)) == []  # asked already
    page = Page(0, ask.start_ns, ask.end_ns, [bar(2), bar(3)], at(4, 50))
    assert of_kind(made.on(page, at(4, 59)), Ask) == [Ask(0, at(3) - PERIOD, at(5))]


def test_a_clock_that_was_set_back_has_rest_asked_again_by_its_time():
    made = begun()
    (ask,) = made.on(TICK, at(4, 1))
    page = Page(0, ask.start_ns, ask.end_ns, [bar(2), bar(3)], at(3, 56))  # set back meanwhile
    assert made.on(page, at(3, 56.1)) == []
    assert made.on(TICK, at(4, 0.9)) == []
    assert len(made.on(TICK, at(4, 1))) == 1


@settings(max_examples=cases(150))
@given(markets())
def test_any_telling_of_one_history_gives_that_history(market):
    count, missing, finality, seed = market
    told = Market(count, missing, finality, seed)
    told.run()
    finals = [out for out, _ in told.outs if isinstance(out, Final)]
    opens = [final.bar.open_ns for final in finals]
    assert opens == sorted(set(opens))  # once and in order
    assert [final.bar for final in finals] == [told.true[i] for i in sorted(told.true)]
    empty = {
        gap.open_ns + i * PERIOD
        for gap, _ in told.outs
        if isinstance(gap, Gap)
        for i in range(gap.bars)
    }
    assert empty == {at(i) for i in missing}
    for final, now in [(out, now) for out, now in told.outs if isinstance(out, Final)]:
        assert now >= final.bar.open_ns + PERIOD or final.proof == BarProof.FLAG
    assert not [out for out, _ in told.outs if isinstance(out, Revision)]


def told_by_two_lines(finality, seed):
    """(when it comes, row) of two lines of one market: each lags as it likes, the second begins
    with a snapshot while the first still speaks, or long after that went mute without a word."""
    random, flag = Random(seed), None if finality == Finality.SUCCESSOR else False
    sent = []  # (when it is sent, row)
    for index in range(4, 12):
        whole = bar(index, 10.0 + index, 100.0 + random.choice([-1, 0, 1]))
        early = whole._replace(volume=2.0, close=99.5, high=101.0)
        shown = [(at(index, 10), Row(0, early, flag)), (at(index, 50), Row(0, whole, flag))]
        sent += [one for one in shown if random.random() < 0.7] or shown[1:]
        if flag is not None:
            sent.append((at(index + 1), Row(0, whole, True)))
    second, ends = random.sample(range(len(sent)), 2)
    lines = [sent[:ends], sent[second:]]
    if finality == Finality.SUCCESSOR:
        known = {row.bar.open_ns: row for _, row in sent[: second + 1]}  # as it is by then
        last = max(known)
        lines[1] = [(sent[second][0], known[last]._replace(is_snapshot=True)), *lines[1][1:]]
    came = []
    for number, rows in enumerate(lines):
        newest = 0
        for sent_ns, row in rows:
            newest = max(newest, sent_ns + random.randint(0, 900_000_000))
            came.append((newest, row._replace(line=number)))
    return sorted(came, key=lambda one: one[0]), sent, second <= ends


@settings(max_examples=cases(150))
@given(st.sampled_from([Finality.FLAG, Finality.SUCCESSOR]), st.integers(0, 2**32))
def test_two_lines_of_one_market_give_what_it_sent(finality, seed):
    came, sent, is_whole = told_by_two_lines(finality, seed)
    true = {row.bar.open_ns: row.bar for _, row in sent}
    made, outs, asked, random = begun(finality, 4), [], [], Random(seed)
    for now, event in [*came, (came[-1][0] + GRACE, TICK)]:
        more = made.on(event, now) + made.on(TICK, now)
        asked += [(ask, now) for ask in of_kind(more, Ask)]
        outs += more
        while asked and (event is TICK or random.random() < 0.5):  # REST may take its time
            ask, asked_ns = asked.pop()
            rows = [true[open_ns] for open_ns in sorted(true) if open_ns + PERIOD <= asked_ns]
            more = made.on(Page(*ask[:3], rows, asked_ns, ask.is_check), now)
            asked += [(ask, now) for ask in of_kind(more, Ask)]
            outs += more
    finals = of_kind(outs, Final)
    assert [final.bar for final in finals] == [true[at(4 + i)] for i in range(len(finals))]
    assert len(finals) >= 7
    assert not of_kind(outs, Revision) + of_kind(outs, Gap)
    if is_whole and finality == Finality.FLAG:  # else REST may be asked, and may answer late
        assert not any(final.is_history for final in finals)


@pytest.mark.parametrize("finality", list(Finality))
def test_rest_alone_gives_the_whole_history(finality):
    told = Market(12, {4}, finality, 7)
    for index in range(3, 12):
        told.give(TICK, at(index, 30))
        told.answer(at(index, 30))
    told.run()
    finals = [out for out, _ in told.outs if isinstance(out, Final)]
    assert [final.bar for final in finals] == [told.true[i] for i in sorted(told.true)]
