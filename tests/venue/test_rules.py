"""The rules of a live market, each learnt from somebody's public issue, and the test that holds it.

Rows of one text: number, what was seen elsewhere, tests (`file::test`, of this folder or of feeds).
"""

import ast
import asyncio
from pathlib import Path

import pytest

from tests.extras import require

require("ccxt", "aiohttp")

from tests.venue.binance import Binance, options
from tests.venue.kit import is_whole, listening, truth, until, write_config
from tests.venue.market import Market

pytestmark = pytest.mark.process

TESTS = Path(__file__).parents[1]
RULES = """
1  no flag of a close: flag, else successor, else REST after the close; never a clock alone
   feeds/test_finaliser.py::test_the_flag_of_the_exchange_makes_a_bar_final
   feeds/test_finaliser.py::test_a_successor_proves_nothing_where_the_exchange_flags
   feeds/test_finaliser.py::test_rest_asked_within_the_grace_proves_nothing
   venue/test_kraken_feed.py::test_a_bar_is_closed_when_the_next_has_begun
2  a forming candle taken for a closed one
   feeds/test_finaliser.py::test_a_forming_row_never_leaves_however_old_it_is
   feeds/test_finaliser.py::test_a_bar_known_from_the_snapshot_alone_is_asked_for
   feeds/test_finaliser.py::test_a_bar_that_is_called_closed_before_its_close_is_asked_for_after_it
3  the final candle comes late or never
   feeds/test_finaliser.py::test_a_late_final_row_is_fetched_and_traded
   feeds/test_finaliser.py::test_questions_about_a_bar_that_rest_has_not_become_rarer
   venue/test_binance_feed.py::test_a_close_that_is_never_flagged_is_asked_for
4  flat bars invented in an outage
   feeds/test_finaliser.py::test_a_bar_is_empty_only_with_rest_on_both_sides_of_it
   feeds/test_finaliser.py::test_what_a_page_lacked_comes_with_the_next
   venue/test_binance_feed.py::test_an_answer_that_was_cut_off_makes_no_gap
   venue/test_kraken_feed.py::test_a_second_without_a_trade_is_a_gap_and_no_flat_bar
5  nothing fetched after a line that broke
   feeds/test_finaliser.py::test_what_was_missed_while_the_line_was_down_is_history
   venue/test_binance_feed.py::test_a_dropped_line_is_filled_from_rest_and_nothing_of_the_hole_is_live
6  a hole between history and stream
   feeds/test_finaliser.py::test_history_is_asked_for_before_anything_of_the_stream_leaves
   venue/test_binance_feed.py::test_history_and_stream_are_one_without_a_hole_or_an_overlap
7  a line that is open and mute
   feeds/test_finaliser.py::test_a_line_that_owes_three_bars_is_stale
   venue/test_binance_feed.py::test_a_mute_line_is_noticed_by_what_it_owes
   paper/test_feed.py::test_a_feed_that_goes_silent_loses_its_orders_and_then_the_run
8  old rows repeated: no news, and no sign of life
   feeds/test_finaliser.py::test_old_forming_rows_and_repeated_rows_are_no_news
   engine/test_live_slices.py::test_what_is_old_or_repeated_is_no_sign_of_life
9  twice, out of order, behind REST
   feeds/test_finaliser.py::test_any_telling_of_one_history_gives_that_history
   venue/test_binance_feed.py::test_repeated_disordered_and_revised_frames_change_nothing_that_was_traded
10 late trades revise a bar: the first stands, the other is told; compared with a later download
   feeds/test_finaliser.py::test_what_was_final_stays_and_a_correction_is_told
   venue/test_alpaca_feed.py::test_a_dropped_line_is_filled_and_a_correction_is_told
   venue/test_paper.py::test_closed_bars_a_broken_line_a_kill_and_a_restart
11 bars dead after a reset of some lines: all symbols are subscribed to again, and filled
   venue/test_rules.py::test_a_line_that_the_exchange_closes_is_made_anew_for_every_symbol
   venue/test_kraken_feed.py::test_a_line_that_breaks_proves_nothing_and_is_filled
12 429, 418: quiet for as long as it was asked for
   venue/test_binance_feed.py::test_a_request_for_quiet_is_kept
13 a storm of reconnects: an hour of refusals asks for a line at most 200 times
   venue/test_line_wait.py::test_only_a_line_that_spoke_and_lasted_makes_the_wait_short_again
   venue/test_line_wait.py::test_a_line_that_brought_bars_is_known_to_have_spoken
   venue/test_virtual_hours.py::test_an_hour_of_faults_loses_no_bar_and_doubles_none
14 clocks that drift
   venue/test_binance_feed.py::test_a_clock_that_is_off_by_minutes_is_refused
   venue/test_binance_feed.py::test_a_clock_that_is_off_a_little_is_told
   venue/test_binance_feed.py::test_time_that_is_behind_the_market_is_asked_for_before_its_bars_are_judged
   feeds/test_venue_clock.py::test_an_answer_that_waited_in_a_queue_does_not_set_the_time
15 steps and least sizes come from the exchange
   paper/test_market_facts.py::test_what_the_config_does_not_say_is_what_the_exchange_says
   paper/test_market_facts.py::test_a_least_notional_that_the_exchange_would_refuse_is_refused
   venue/test_binance_feed.py::test_a_tick_size_that_changes_ends_the_feed
16 thin markets have minutes without a bar
   venue/test_kraken_feed.py::test_a_second_without_a_trade_is_a_gap_and_no_flat_bar
   feeds/test_finaliser.py::test_a_bar_that_comes_after_its_gap_is_late
17 a connection lives a day: the second one is opened before the first is closed
   venue/test_handover.py::test_a_line_of_known_life_is_followed_before_its_end
   venue/test_handover.py::test_a_line_whose_end_is_announced_is_followed
   venue/test_virtual_hours.py::test_lines_that_end_one_after_the_other_lose_no_bar
   feeds/test_finaliser.py::test_two_lines_of_one_market_give_what_it_sent
   venue/test_rules.py::test_a_line_that_the_exchange_closes_is_made_anew_for_every_symbol
18 bars received of bars due
   feeds/test_bars_received.py::test_too_few_are_told_once_and_again_after_they_were_enough
   venue/test_download.py::test_a_market_is_watched_and_its_frames_are_kept
"""


def test_each_rule_has_tests_that_are_there():
    rules = [line for line in RULES.strip().splitlines() if not line.startswith(" ")]
    assert [int(line.split()[0]) for line in rules] == list(range(1, 19))
    for line in RULES.split():
        if "::" not in line:
            continue
        file, name = line.split("::")
        tree = ast.parse((TESTS / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, line


def test_a_line_that_the_exchange_closes_is_made_anew_for_every_symbol(tmp_path):
    async def whole():
        venue = await Binance(Market(23)).start()
        try:
            async with listening(write_config(tmp_path, options(venue.port))) as got:
                for symbol in (0, 1):
                    await until(got, lambda s=symbol: len(got.live(s)) >= 1)
                await venue.do("close")  # before its time
                counts = [len(got.live(symbol)) for symbol in (0, 1)]
                for symbol in (0, 1):
                    await until(got, lambda s=symbol: len(got.live(s)) >= counts[s] + 2)
                assert {"FEED_DOWN", "FEED_UP"} <= set(got.kinds())
                for symbol, name in enumerate(venue.symbols):
                    values = got.values(symbol)
                    assert is_whole(values)
                    assert values == truth(venue.market, name, values)
        finally:
            await venue.stop()

    asyncio.run(whole())
