"""Bars of a live feed become slices: grace, late, doubled, revised, bad and missing bars."""

from pathlib import Path

import numpy as np
import pytest

from tests.loop_kit import LiveRun, bar
from trader.core.schema import NS_PER_SECOND, Reason
from trader.engine.answers import Ages
from trader.feeds.live import BadBar, RevisedBar


def slices_of(run: LiveRun) -> list[tuple[int, tuple[int, ...]]]:
    """(minute, symbols) of every slice that was decided on."""
    rows = np.concatenate(run.decisions)
    first = int(rows["ts_ns"][0]) // (60 * NS_PER_SECOND)
    found: dict[int, tuple[int, ...]] = {}
    for row in rows:
        minute = int(row["ts_ns"]) // (60 * NS_PER_SECOND) - first + 1
        found[minute] = (*found.get(minute, ()), int(row["symbol"]))
    return sorted(found.items())


def test_symbols_that_close_together_are_one_slice_whatever_order_they_come_in(tmp_path: Path):
    run = LiveRun(tmp_path, [bar(1, symbol=1), bar(1), bar(2), bar(2, symbol=1)], symbols=2)
    run.run()
    assert slices_of(run) == [(1, (0, 1)), (2, (0, 1))]


@pytest.mark.long
def test_a_late_symbol_within_grace_joins_and_a_later_one_is_recorded_and_not_traded(
    tmp_path: Path,
):
    items = [
        bar(1),
        0.05,
        bar(1, symbol=1),  # within grace
        bar(2),
        0.5,
        bar(2, symbol=1),  # after it
        bar(3),
        bar(3, symbol=1),
    ]
    run = LiveRun(tmp_path, items, symbols=2, grace_s=0.25)
    run.run()
    assert slices_of(run) == [(1, (0, 1)), (2, (0,)), (3, (0, 1))]
    assert run.loop.refused == {"late": 1}


def test_a_slice_of_the_next_close_sends_the_one_before_without_waiting(tmp_path: Path):
    run = LiveRun(tmp_path, [bar(1), bar(2), bar(2, symbol=1)], symbols=2, grace_s=60.0)
    run.run()
    assert slices_of(run) == [(1, (0,)), (2, (0, 1))]


def test_a_doubled_bar_is_counted_and_a_revised_one_keeps_the_first_and_alerts(tmp_path: Path):
    run = LiveRun(tmp_path, [bar(1), bar(1), bar(2), bar(2, 61.0), bar(3)])
    run.run()
    assert len(slices_of(run)) == 3
    assert run.loop.refused == {"duplicate": 1, "revised": 1}
    assert [one["kind"] for one in run.told("error")] == ["DATA_REVISED"]
    assert "close 60 became 61" in run.told("error")[0]["text"]
    assert run.engine.book.positions[0]["mark"] == 60.0


def test_what_a_market_says_later_of_an_older_bar_is_recorded_as_revised(tmp_path: Path):
    changed = RevisedBar(bar(1, 61.0), "ACME 00:01: close 60 became 61")
    run = LiveRun(tmp_path, [bar(1), bar(2), bar(3), changed, bar(4)])
    run.run()
    assert len(slices_of(run)) == 4
    assert run.loop.refused == {"revised": 1}
    assert [one["text"] for one in run.told("error")] == [changed.text]
    assert run.slices._gate.counts["revised"] == 1


def test_a_bar_out_of_order_never_reaches_the_model(tmp_path: Path):
    seen: list[float] = []

    def watch(features: np.ndarray) -> np.ndarray:
        seen.append(float(features[0, 0]))
        return np.zeros(len(features), np.int8)

    run = LiveRun(tmp_path, [bar(1, 10.0), bar(3, 12.0), bar(2, 99.0), bar(4, 13.0)], watch)
    run.run()
    assert seen == [11.0, 12.5]  # means of two bars; 99 is in none of them
    assert run.loop.refused == {"late": 1}


def test_a_feed_of_which_everything_is_late_is_told_of_once_and_again_after_a_good_bar(
    tmp_path: Path,
):
    late = [bar(minute) for minute in range(2, 10)]
    run = LiveRun(tmp_path, [bar(50), *late, bar(51), *late])
    run.slices._plan = run.slices._plan._replace(max_late=5)
    run.run()
    assert run.loop.refused == {"late": 16, "disorder": 2}
    assert [one["kind"] for one in run.told("error")] == ["FEED_OUT_OF_ORDER"] * 2
    assert "6 bars in a row are late" in run.told("error")[0]["text"]


def test_a_reconnect_that_repeats_the_last_bars_changes_nothing(tmp_path: Path):
    bars = [bar(i, 60.0 + i) for i in range(1, 6)]
    run = LiveRun(tmp_path, [*bars, *bars[2:], bar(6, 66.0)])
    run.run()
    assert len(slices_of(run)) == 6
    assert sum(run.loop.refused.values()) == 3


def test_what_is_old_or_repeated_is_no_sign_of_life(tmp_path: Path):
    bars = [bar(1), bar(2), bar(3)]
    run = LiveRun(tmp_path, [*bars, *bars, bar(3), RevisedBar(bar(2, 61.0), "changed"), bar(4)])
    run.run()
    assert sum(run.loop.refused.values()) == 5
    assert run.slices.items == 4


@pytest.mark.parametrize(
    "fault",
    [
        {"close": np.nan},
        {"close": np.inf},
        {"close": -np.inf},
        {"open": 0.0},
        {"low": -1.0},
        {"volume": -1.0},
        {"high": 50.0},
        {"close": 70.0},
        {"volume": np.nan},
    ],
)
def test_a_bar_that_cannot_be_is_refused_and_its_symbol_waits_for_three_clean_ones(
    tmp_path: Path, fault: dict[str, float]
):
    run = LiveRun(tmp_path, [bar(1), bar(2), bar(3, **fault), *(bar(i) for i in range(4, 9))])
    run.run()
    assert run.loop.refused == {"invalid": 1}
    minutes = [minute for minute, _ in slices_of(run)]
    assert minutes == [1, 2, 4, 5, 6, 7, 8]
    held = [reason == Reason.DATA_INVALID for reason in run.reasons]
    assert held == [False, False, True, True, False, False, False]


def test_a_price_a_hundred_times_too_high_is_a_jump_and_is_refused_where_asked(tmp_path: Path):
    run = LiveRun(tmp_path, [bar(1), bar(2), bar(3, 6_000.0), bar(4)])
    run.slices._gate._quality = run.slices._gate._quality.model_copy(update={"jump": "drop"})
    run.run()
    assert run.loop.refused == {"invalid": 1}
    assert run.engine.book.positions[0]["mark"] == 60.0


def test_what_is_no_bar_is_refused_with_its_line_and_counted_in_a_row(tmp_path: Path):
    junk = [BadBar("{", "not one JSON object", 0, -1, number) for number in (2, 3, 4)]
    run = LiveRun(tmp_path, [bar(1), *junk])
    run.run()
    assert run.loop.refused == {"invalid": 3}
    assert run.slices.bad_in_a_row == 3
    assert run.told("error")[0]["text"] == "line 2: not one JSON object"


def test_a_line_that_names_its_symbol_and_is_no_bar_holds_that_symbol(tmp_path: Path):
    junk = BadBar("{", "close is not finite", 0, 1, 2)
    rows = [bar(minute, symbol=symbol) for minute in range(2, 6) for symbol in (0, 1)]
    run = LiveRun(tmp_path, [bar(1), bar(1, symbol=1), junk, *rows], symbols=2)
    run.run()
    decisions = np.concatenate(run.decisions)
    held = decisions[decisions["reason"] == Reason.DATA_INVALID]
    first = int(decisions["ts_ns"][0])
    minutes = (held["ts_ns"] - first) // (60 * NS_PER_SECOND) + 1
    assert list(zip(minutes.tolist(), held["symbol"].tolist(), strict=True)) == [(2, 1), (3, 1)]
    assert run.told("error")[0]["symbol"] == "S1"


@pytest.mark.long
def test_a_flood_is_taken_bar_by_bar_and_nothing_is_dropped(tmp_path: Path):
    run = LiveRun(tmp_path, [bar(i, 60 + i % 7) for i in range(1, 1_501)])
    run.run()
    assert len(slices_of(run)) == 1_500


def test_history_before_the_first_fresh_bar_is_traded_and_a_stale_one_after_it_is_not(
    tmp_path: Path,
):
    rows = [bar(i) for i in range(1, 7)]
    base = int(rows[3]["ts_ns"])  # the fourth bar comes in time; history before it
    now = [base] * 8 + [int(rows[4]["ts_ns"])] * 2 + [int(rows[5]["ts_ns"]) + 300 * 10**9] * 2
    clock = iter(now)
    run = LiveRun(tmp_path, rows, ages=Ages(120.0, 300.0), now_ns=lambda: next(clock))
    run.run()
    assert run.reasons[-1] == Reason.DATA_STALE
    assert Reason.DATA_STALE not in run.reasons[:-1]
    assert run.signals.is_live


def test_bars_far_too_old_three_times_in_a_row_are_counted_for_the_guard(tmp_path: Path):
    rows = [bar(i) for i in range(1, 7)]
    late = [int(row["ts_ns"]) + (0 if index < 3 else 400 * 10**9) for index, row in enumerate(rows)]
    clock = iter([stamp for stamp in late for _ in range(2)])
    run = LiveRun(tmp_path, rows, ages=Ages(120.0, 300.0), now_ns=lambda: next(clock))
    run.run()
    assert run.signals.hopeless_in_a_row == 3
