"""The end of a live feed, and bars of before the start. Real processes."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.paper_kit import Paper, bar

pytestmark = pytest.mark.process

SECONDS = (
    ("bar_period_seconds: 60", "bar_period_seconds: 1"),
    ("{type: stdin,", "{type: stdin, max_age_bars: 600,"),
    ("execution: {", "execution: {queue_max_age_seconds: 600, "),  # a slow machine is no fault
)


def at(ts_s: float, price: float = 60.0) -> str:
    """A bar that closes at a Unix time."""
    return bar(0, price, timestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ts_s)))


def history(seconds: int) -> list[str]:
    """Bars of one second up to now."""
    now_s = int(time.time())
    return [at(now_s - seconds + second) for second in range(1, seconds + 1)]


def sent_live(paper: Paper) -> None:
    """Bars of now, until one of them has sent an order."""
    deadline = time.monotonic() + 60
    while not paper.count("ORDER_SENT"):
        assert time.monotonic() < deadline
        paper.send(at(time.time()))
        time.sleep(1.0)


def events(lines: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [line for line in lines if line.get("event") == name]


def test_bars_of_before_the_start_warm_features_and_the_end_of_a_live_feed_ends_no_run(
    tmp_path: Path,
):
    paper = Paper(tmp_path / "run", *SECONDS)
    paper.start().send(*history(30)).until("ACTION", 30)
    assert paper.count("ORDER_SENT") == 0
    sent_live(paper)
    code, lines, err = paper.end()
    assert code == 1, err
    assert err.splitlines()[-1].startswith("the run is not over: start it again")
    assert "lost; the feed ended inside trading hours" in err
    assert "bars of before the start: they warmed features, and nothing was decided on them" in err
    actions = events(lines, "action_generated")
    assert {one["reason"] for one in actions[:30]} <= {"DATA_HISTORY", "WARMUP"}
    held = lines[-1]["risk"]["open_positions"]

    paper.start().send(*history(20))  # missed in the meantime
    code, lines, err = paper.end()
    assert code == 1, err
    assert events(lines, "trading_started")[0]["resumed"]
    assert events(lines, "order_sent") == []
    assert {one["reason"] for one in events(lines, "action_generated")} <= {"DATA_HISTORY"}
    assert not held or lines[-1]["risk"]["open_positions"] == held
    paper.assert_sound()


@pytest.mark.parametrize(("wanted", "orders"), [("false", 0), ("true", 1)])
def test_history_that_is_piped_in_is_traded_where_the_config_says_so(
    tmp_path: Path, wanted: str, orders: int
):
    stdin = ("{type: stdin,", f"{{type: stdin, trade_history: {wanted},")
    paper = Paper(tmp_path / "run", stdin)
    now_s = int(time.time()) // 60 * 60
    lines = [at(now_s - 60 * (30 - minute)) for minute in range(30)]
    code, out, err = paper.start().send(*lines).end()
    assert len(events(out, "order_sent")) == orders, err
    assert code == (0 if orders else 1), err


def test_a_feed_that_dies_within_a_line_leaves_its_limits_and_position_behind(tmp_path: Path):
    paper = Paper(tmp_path / "run", ("max_daily_loss: none", "max_daily_loss: 50"))
    paper.start().send(bar(1, 60), bar(2, 60), bar(3, 60), bar(4, 50), '{"timestamp": "2024-')
    code, lines, err = paper.end()
    assert code == 1, err
    assert "lost; the feed ended in the middle of a line" in err
    (change,) = events(lines, "trading_state_changed")
    assert change["after"] == "REDUCING"
    code, lines, err = paper.start().send(bar(5, 60), bar(6, 60)).end()
    assert code == 0, err
    assert events(lines, "trading_started")[0]["resumed"]
    assert events(lines, "order_sent") == []
    assert lines[-1]["risk"]["worst_daily_loss"] > 50


def test_a_recording_that_comes_to_bars_of_now_ends_there_and_says_what_to_do(tmp_path: Path):
    paper = Paper(tmp_path / "run")
    paper.start().send(bar(1, 60), bar(2, 60)).until("ORDER_SENT")
    # after the start, whose second it may still be, and inside the tolerance of the clock
    ahead = time.gmtime(time.time() + 1)
    late = bar(0, 60, timestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", ahead))
    paper.send(late).until("RUN_END")
    code, _, err = paper.end()
    assert code == 4, err
    assert "feed.trade_history: false" in err
    records = [data for kind, data in paper.records() if kind == "RUN_END"]
    assert [data["reason"] for data in records] == ["caught_up"]
    status = json.loads(paper.run("status", "--json").stdout)
    assert (status["runs"], status["latched"]) == ([], False)
