"""The live feed of a paper run: silence, bad lines, history piped in. Real processes."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.paper_kit import Paper, bar, stamp

pytestmark = pytest.mark.process


def now_bar(price: float = 60.0, **changes: Any) -> str:
    """A bar that closes this second."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return bar(0, price, timestamp=stamp, **changes)


def codes(paper: Paper) -> list[str]:
    """Codes of the kills in force."""
    return [kill["code"] for kill in json.loads(paper.run("status", "--json").stdout)["kills"]]


def test_a_feed_that_goes_silent_loses_its_orders_and_then_the_run(tmp_path: Path):
    paper = Paper(
        tmp_path / "run",
        ("bar_period_seconds: 60", "bar_period_seconds: 1"),
        ("{type: stdin,", "{type: stdin, max_age_bars: 60, disconnect_after_seconds: 3,"),
        ("execution: {", "execution: {queue_max_age_seconds: 60, "),  # a slow machine is no fault
        ("execution:", "kill: {connectivity_after_seconds: 2}\nexecution:"),
    )
    paper.start()
    for _ in range(4):
        paper.send(now_bar())
        time.sleep(1.0)
    paper.until("ORDER_SENT").until("RUN_END")
    code, lines, err = paper.end()
    assert code == 7, err
    assert codes(paper) == ["CONNECTIVITY_LOSS"]
    assert "FEED_SILENT" in err or any(one.get("kind") == "FEED_SILENT" for one in lines)
    paper.assert_sound()


def test_history_that_is_piped_in_trades_as_its_backtest_and_may_pause(tmp_path: Path):
    paper = Paper(tmp_path / "run")
    lines = [bar(i, 50 + (i % 13) - 6 * (i % 3)) for i in range(1, 120)]
    paper.start().send(*lines[:60])
    time.sleep(0.5)
    paper.send(*lines[60:])
    code, out, err = paper.end()
    assert code == 0, err
    paper.assert_sound()
    name = paper.run_dir.name
    parity = paper.run("parity", name, "--json")
    assert parity.returncode == 0, parity.stdout
    document = json.loads(parity.stdout)
    assert document["digest"] == out[-1]["digest"]
    assert document["slices"] == 119
    columns = ("timestamp", "symbol", "open", "high", "low", "close", "volume")
    rows = [json.loads(line) for line in lines]
    text = "\n".join([",".join(columns)] + [",".join(str(r[c]) for c in columns) for r in rows])
    (paper.folder / "bars.csv").write_text(text + "\n")
    backtest = paper.run(
        "backtest", "-c", "live.yaml", "--json",
        "--set", "feed.type=csv", "--set", "feed.path=bars.csv",
    )  # fmt: skip
    assert backtest.returncode == 0, backtest.stderr
    document = json.loads(backtest.stdout)
    assert document["digest"] == out[-1]["digest"]
    assert set(document) == set(out[-1]) - {"event"}


def test_more_bad_lines_in_a_row_than_allowed_trip_system_error(tmp_path: Path):
    paper = Paper(tmp_path / "run")
    paper.start().send(bar(1, 60), bar(2, 60), *["junk\n"] * 6).until("RUN_END")
    code, _, err = paper.end()
    assert code == 7, err
    assert codes(paper) == ["SYSTEM_ERROR"]
    assert "6 bars in a row were bad" in err
    paper.assert_sound()


def test_a_bar_of_the_future_is_a_bad_bar_and_the_run_goes_on_to_hear_the_good_ones(
    tmp_path: Path,
):
    paper = Paper(tmp_path / "run")
    future = bar(1, 60).replace("2024-", "2199-")
    paper.start().send(future, bar(1, 60), future, bar(2, 60), bar(3, 60)).until("DECISION", 3)
    paper.signal(signal.SIGKILL)
    paper.end()
    code, lines, err = paper.start().send(bar(2, 60), bar(3, 60), bar(4, 60)).end()
    assert code == 0, err
    assert lines[-1]["slices"] == 4
    assert "data: 2 × bars up to the last one before the restart" in err
    alerts = [data for kind, data in paper.records() if kind == "ALERT"]
    assert [(one["kind"], one["symbol"]) for one in alerts] == [("BAD_BAR", 0)] * 2
    paper.assert_sound()


@pytest.mark.parametrize("text", ["", "junk\n", "\n\n"])
def test_a_feed_without_a_bar_is_a_data_error_and_leaves_no_run(tmp_path: Path, text: str):
    paper = Paper(tmp_path / "run")
    paper.start().send(text)
    code, _, err = paper.end()
    assert code == 4
    assert "before its first bar" in err
    assert not list(paper.folder.glob("runs/*"))


def test_bars_of_an_instrument_that_is_none_are_refused_by_name(tmp_path: Path):
    paper = Paper(tmp_path / "run")
    paper.start().send(bar(1, 60), bar(1, 60, symbol="OTHER"), bar(2, 60))
    code, lines, err = paper.end()
    assert code == 0, err
    assert "OTHER" in err or "OTHER" in json.dumps(lines)
    assert lines[-1]["bars"] == 2


@pytest.mark.parametrize("pace", ["fast", "nan", "-1", "0", "inf"])
def test_a_pace_that_is_none_is_a_usage_error(tmp_path: Path, pace: str):
    paper = Paper(tmp_path / "run")
    bars = "timestamp,symbol,open,high,low,close,volume\n2024-03-04T10:31:00Z,ACME,1,1,1,1,1\n"
    (paper.folder / "bars.csv").write_text(bars)
    feed = ("--set", "feed.type=csv", "--set", "feed.path=bars.csv")
    done = paper.run("paper", "-c", "live.yaml", f"--pace={pace}", *feed)
    assert done.returncode == 2, done.stderr
    assert "pace" in done.stderr
    assert not list(paper.folder.glob("runs/*"))


def test_what_is_refused_is_named_and_counted_at_the_end(tmp_path: Path):
    paper = Paper(tmp_path / "run")
    twice = bar(2, 60)
    paper.start().send(bar(1, 60), twice, twice, bar(3, -1), bar(4, 60), bar(4, 61))
    code, lines, err = paper.end()
    assert code == 0, err
    errors = {one["kind"]: one for one in lines if one["event"] == "error"}
    assert errors["BAD_BAR"]["timestamp"].startswith(stamp(3)[:-1])
    assert errors["DATA_REVISED"]["symbol"] == "ACME"
    for found in ("1 × duplicate", "1 × price", "1 × revised"):
        assert f"data: {found}" in err
    assert "ACME BAD_BAR: " in err


def test_warnings_of_a_file_are_told_once_and_at_the_start(tmp_path: Path):
    paper = Paper(tmp_path / "run")
    rows = [f"{stamp(minute)},ACME,60,60,60,60,1\n" for minute in (1, 2, 3, 9)]
    head = "timestamp,symbol,open,high,low,close,volume\n"
    (paper.folder / "bars.csv").write_text(head + "".join(rows))
    feed = ("--set", "feed.type=csv", "--set", "feed.path=bars.csv")
    done = paper.run("paper", "-c", "live.yaml", "--pace=max", *feed)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("data: ") == 1
    assert done.stderr.index("data: ") < done.stderr.index("BUY")
    assert "data: " not in done.stdout


def held(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(timestamp, reason) of every action that was held from outside."""
    actions = [one for one in lines if one["event"] == "action_generated"]
    return [(one["timestamp"], one["reason"]) for one in actions if one["reason"] != "NONE"]


@pytest.mark.parametrize("line", [bar(4, 60, low=0), bar(4, 60, close=None)])
def test_a_bad_bar_holds_its_symbol_for_two_bars_also_when_the_run_dies_in_between(
    tmp_path: Path, line: str
):
    whole, cut = Paper(tmp_path / "whole"), Paper(tmp_path / "cut")
    before, after = [bar(i, 60) for i in range(1, 4)], [bar(i, 60) for i in range(5, 9)]
    code, lines, err = whole.start().send(*before, line, *after).end()
    assert code == 0, err
    assert [reason for _, reason in held(lines)][-2:] == ["DATA_INVALID"] * 2
    cut.start().send(*before, line).until("ALERT")
    cut.signal(signal.SIGKILL)
    _, begun, _ = cut.end()
    code, rest, err = cut.start().send(*after).end()
    assert code == 0, err
    assert held(begun) + held(rest) == held(lines)
    assert rest[-1]["digest"] == lines[-1]["digest"]
    cut.assert_sound()


def test_bad_bars_in_a_row_are_counted_on_after_a_crash(tmp_path: Path):
    paper = Paper(tmp_path / "run")
    paper.start().send(bar(1, 60), bar(2, 60), *["junk\n"] * 4).until("ALERT", 4)
    paper.signal(signal.SIGKILL)
    paper.end()
    paper.start().send(*["junk\n"] * 2).until("RUN_END")
    code, _, err = paper.end()
    assert code == 7, err
    assert "6 bars in a row were bad" in err
    paper.assert_sound()
