"""Corporate actions that a market tells: rows of the rules, and a run that goes on with news."""

import numpy as np

from tests.config_demo import DEMO, load, write
from tests.core_kit import (
    MINUTE,
    START,
    actions_from,
    always_open,
    make_rules,
    random_bars,
)
from tests.journal_kit import slices as split
from trader.core.book import Inputs
from trader.core.schema import ADJUSTMENT, AdjustmentKind
from trader.engine.batch import RowKeeper
from trader.engine.sliceengine import SliceEngine
from trader.feeds.adjustments import load_adjustments
from trader.feeds.alpaca_rows import actions_of
from trader.feeds.corporate_actions import (
    CorporateAction,
    actions_text,
    still_to_come,
    with_actions,
)
from trader.feeds.sessions import session_table

DAY_NS = 86_400 * 10**9
SPLIT, DIVIDEND = int(AdjustmentKind.SPLIT), int(AdjustmentKind.DIVIDEND)
TOLD = {
    "forward_splits": [
        {"symbol": "ACME", "new_rate": 4, "old_rate": 1, "ex_date": "2020-08-31"}
    ],
    "reverse_splits": [
        {"symbol": "ACME", "new_rate": 1, "old_rate": 10, "ex_date": "2020-09-02"}
    ],
    "stock_dividends": [{"symbol": "ACME", "rate": 0.05, "ex_date": "2020-09-03"}],
    "cash_dividends": [{"symbol": "ACME", "rate": 0.205, "ex_date": "2020-09-04"}],
}  # fmt: skip


def new_york(tmp_path, more=""):
    text = DEMO.replace("market_hours: 24x7", "market_hours: XNYS")
    text = text.replace("type: csv", "type: csv" + more)
    config = load(write(tmp_path, text)).config
    return config, session_table("XNYS", 18_490 * DAY_NS, 18_520 * DAY_NS)


def test_each_kind_acts_at_the_open_of_its_day(tmp_path):
    config, hours = new_york(tmp_path)
    none = np.empty(0, ADJUSTMENT)
    rows = with_actions(none, list(actions_of(TOLD)), config, hours)
    assert rows["kind"].tolist() == [SPLIT, SPLIT, SPLIT, DIVIDEND]
    assert rows["value"].tolist() == [4.0, 0.1, 1.05, 0.205]
    opens = [str(np.datetime64(int(ts), "ns"))[:16] for ts in rows["ts_ns"]]
    assert opens == [f"2020-{day}T13:30" for day in ("08-31", "09-02", "09-03", "09-04")]


def test_what_the_file_says_holds_and_what_is_downloaded_reads_back(tmp_path):
    actions = list(actions_of(TOLD))
    file = tmp_path / "a.csv"
    file.write_text(actions_text([actions[0]._replace(value="5")]))
    config, hours = new_york(tmp_path, f"\n  adjustments: {file}")
    rows = with_actions(load_adjustments(config, hours), actions, config, hours)
    assert rows["value"].tolist() == [5.0, 0.1, 1.05, 0.205]
    file.write_text(actions_text(actions))
    again = load_adjustments(config, hours)
    assert with_actions(again, actions, config, hours).tobytes() == again.tobytes()


def rows_at(*minutes):
    rows = [(START + at * MINUTE, 2.0, 0, SPLIT) for at in minutes]
    return np.array(rows, ADJUSTMENT)


def test_what_has_acted_stays_and_what_is_to_come_is_taken_anew():
    acted, now = rows_at(1, 3), rows_at(2, 4, 6)
    found = still_to_come(acted, now, START + 4 * MINUTE)
    assert found.tobytes() == rows_at(1, 3, 6).tobytes()


def test_news_between_two_slices_give_what_was_known_from_the_start_would():
    bars = random_bars(3, 60)
    hours = always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    rules = make_rules(hours)._replace(adjustments=rows_at(5))
    known = rules._replace(adjustments=rows_at(5, 40))
    actions = actions_from("B...S" * 12)[: len(bars)]
    engines = [SliceEngine(known, RowKeeper(0)), SliceEngine(rules, RowKeeper(0))]
    for number, (one, action) in enumerate(
        zip(split(bars), np.split(actions, len(bars)), strict=True)
    ):
        inputs = Inputs(one, action, np.zeros(len(one), np.int16))
        if number == 20:
            engines[1].use_adjustments(known.adjustments)
        for engine in engines:
            engine.take(inputs)
            engine.pass_gate()
    first, second = (engine.record() for engine in engines)
    assert first.digest == second.digest
    assert len(first.fills) > 3


def test_an_action_reads_as_a_person_says_it():
    action = CorporateAction("2020-08-31", "AAPL", "split", "4:1")
    assert str(action) == "AAPL: split of 4:1 on 2020-08-31"
