"""What every live feed keeps to, whatever it reads from; then what each adds."""

import asyncio
import gzip
import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import config_demo
from tests.tiers import cases
from trader.config.schema import Config
from trader.core.schema import BAR
from trader.errors import DataError, UsageError
from trader.feeds.feed import load_history
from trader.feeds.jsonbar import BarParser
from trader.feeds.live import BadBar, LiveBar, LiveFeed, ResumePoint, open_feed
from trader.feeds.pipe_history import FeedEnd, PipeHistory, PipeStart
from trader.feeds.stdin_source import LONGEST_LINE, LineSplitter, StdinFeed

SYMBOLS = ("ACME", "BTC/USD")
MINUTE = 60 * 10**9
START = "2024-03-04T14:{:02d}:00Z"
CLOSES = (100.0, 101.5, 99.25, 100.0000000000001, 102.0)


class VirtualClock:
    """Time that passes only while somebody waits for it."""

    def __init__(self, now_ns: int = 1_800_000_000_000_000_000) -> None:
        self.time_ns = now_ns
        self.waits: list[int] = []

    def now_ns(self) -> int:
        return self.time_ns

    def latest_ns(self) -> int:
        return self.now_ns()

    async def sleep_until_ns(self, ts_ns: int) -> None:
        self.waits.append(ts_ns)
        self.time_ns = max(self.time_ns, ts_ns)
        await asyncio.sleep(0)


def rows() -> Iterator[dict[str, object]]:
    for minute, close in enumerate(CLOSES):
        for symbol in SYMBOLS:
            if (minute, symbol) == (2, SYMBOLS[1]):
                continue  # one symbol misses a minute
            yield {
                "timestamp": START.format(30 + minute),
                "symbol": symbol,
                "open": close - 0.25,
                "high": close + 1.0,
                "low": close - 1.0,
                "close": close,
                "volume": 1000 + minute,
                "bid": close - 0.01,
                "ask": close + 0.01,
            }


def config_of(folder: Path, feed: str, path: Path | None) -> Config:
    text = config_demo.demo(
        ("{symbol: ACME, tick_size: 0.01, lot_size: 1}", "ACME\n  - BTC/USD"),
        ("type: csv", f"type: {feed}"),
        ("path: data/acme.csv", f"path: {path}" if path else "start: none"),
    )
    return config_demo.load(config_demo.write(folder, text)).config


def csv_feed(folder: Path, clock: VirtualClock, after_ns: int | None) -> LiveFeed:
    table = [dict(row) for row in rows()]
    path = folder / "bars.csv.gz"
    lines = [",".join(table[0]), *(",".join(str(v) for v in row.values()) for row in table)]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return open_feed(config_of(folder, "csv", path), clock, 60.0, ResumePoint(after_ns))


def parquet_feed(folder: Path, clock: VirtualClock, after_ns: int | None) -> LiveFeed:
    import pandas as pd

    frame = pd.DataFrame(rows())
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    path = folder / "bars.parquet"
    frame.to_parquet(path)
    return open_feed(config_of(folder, "parquet", path), clock, None, ResumePoint(after_ns))


def stdin_file_feed(folder: Path, clock: VirtualClock, after_ns: int | None) -> LiveFeed:
    path = folder / "bars.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    descriptor = os.open(path, os.O_RDONLY)
    return StdinFeed(config_of(folder, "stdin", None), clock, descriptor, ResumePoint(after_ns))


def stdin_pipe_feed(folder: Path, clock: VirtualClock, after_ns: int | None) -> LiveFeed:
    text = "\n".join(json.dumps(row) for row in rows())  # no newline at the end
    return piped(folder, clock, [text.encode()], after_ns)


def piped(
    folder: Path, clock: VirtualClock, blocks: list[bytes], after_ns: int | None = None
) -> LiveFeed:
    """A feed on a pipe that somebody writes these blocks into, bit by bit."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb", buffering=0) as stream:
            for block in blocks:
                stream.write(block)

    threading.Thread(target=write, daemon=True).start()
    return StdinFeed(config_of(folder, "stdin", None), clock, reader, ResumePoint(after_ns))


Opener = Callable[[Path, VirtualClock, int | None], LiveFeed]
FEEDS = (csv_feed, parquet_feed, stdin_file_feed, stdin_pipe_feed)
every_feed = pytest.mark.parametrize("opener", FEEDS)


def taken(feed: LiveFeed, most: int = 10**9) -> list[LiveBar | BadBar]:
    async def take() -> list[LiveBar | BadBar]:
        items = []
        async for item in feed:
            items.append(item)
            if len(items) == most:
                await feed.aclose()
        return items

    return asyncio.run(asyncio.wait_for(take(), 30))


def bars_of(items: list[LiveBar | BadBar]) -> np.ndarray:
    assert all(isinstance(item, LiveBar) for item in items), items
    return np.array([item.bar for item in items if isinstance(item, LiveBar)], BAR)


def expected_bars() -> np.ndarray:
    table = list(rows())
    bars = np.zeros(len(table), BAR)
    for bar, row in zip(bars, table, strict=True):
        opened = np.datetime64(str(row["timestamp"])[:-1], "ns").astype("i8")
        bar["ts_ns"] = opened + MINUTE
        bar["symbol"] = SYMBOLS.index(str(row["symbol"]))
        for name in ("open", "high", "low", "close", "volume", "bid", "ask"):
            bar[name] = row[name]
    return bars


@every_feed
def test_every_bar_comes_once_in_order_to_the_last_bit(tmp_path: Path, opener: Opener) -> None:
    items = taken(opener(tmp_path, VirtualClock(), None))
    assert bars_of(items).tobytes() == expected_bars().tobytes()


@every_feed
def test_times_are_the_given_clocks(tmp_path: Path, opener: Opener) -> None:
    clock = VirtualClock()
    before = clock.time_ns
    items = taken(opener(tmp_path, clock, None))
    received = [item.received_ns for item in items]
    assert received == sorted(received)
    assert all(before <= ns <= clock.time_ns for ns in received)


@every_feed
def test_closing_early_ends_it(tmp_path: Path, opener: Opener) -> None:
    assert len(taken(opener(tmp_path, VirtualClock(), None), most=3)) == 3


@every_feed
def test_a_resumed_run_gets_only_what_closes_later(tmp_path: Path, opener: Opener) -> None:
    bars = expected_bars()
    after = int(bars["ts_ns"][4])
    items = taken(opener(tmp_path, VirtualClock(), after))
    assert bars_of(items).tobytes() == bars[bars["ts_ns"] > after].tobytes()


@every_feed
def test_a_bar_is_not_changed_by_the_ones_after_it(tmp_path: Path, opener: Opener) -> None:
    async def take() -> None:
        kept = []
        async for item in opener(tmp_path, VirtualClock(), None):
            assert isinstance(item, LiveBar)
            kept.append((item.bar, item.bar.tobytes()))
        assert all(bar.tobytes() == was for bar, was in kept)

    asyncio.run(take())


# --- replay ---


def test_a_paced_replay_waits_for_each_close_on_its_own_scale(tmp_path: Path) -> None:
    clock = VirtualClock()
    start = clock.time_ns
    items = taken(csv_feed(tmp_path, clock, None))
    assert clock.waits == [start + minute * MINUTE // 60 for minute in range(len(CLOSES))]
    assert all(item.received_ns == item.due_ns for item in items if isinstance(item, LiveBar))


def test_a_slow_consumer_sees_its_lag_and_loses_nothing(tmp_path: Path) -> None:
    clock = VirtualClock()

    async def take() -> list[int]:
        lags = []
        async for item in csv_feed(tmp_path, clock, None):
            assert isinstance(item, LiveBar)
            lags.append(item.received_ns - item.due_ns)
            clock.time_ns += 3 * 10**9  # three paced minutes a bar
        return lags

    lags = asyncio.run(take())
    assert len(lags) == len(expected_bars())
    assert lags == sorted(lags)
    assert lags[-1] >= 20 * 10**9


def test_a_replay_lets_other_tasks_run(tmp_path: Path) -> None:
    async def both() -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        async for _ in parquet_feed(tmp_path, VirtualClock(), None):
            pass
        task.cancel()
        return turns

    assert asyncio.run(both()) >= len(CLOSES)


@pytest.mark.parametrize("pace", [0.0, -1.0, float("nan"), float("inf")])
def test_a_senseless_pace_is_a_usage_error(tmp_path: Path, pace: float) -> None:
    feed = csv_feed(tmp_path, VirtualClock(), None)
    assert feed.history is not None
    with pytest.raises(UsageError, match="max"):
        type(feed)(feed.history, VirtualClock(), pace)  # type: ignore[call-arg]


def test_a_file_that_fails_the_gate_is_refused_before_the_first_bar(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(
        "timestamp,symbol,open,high,low,close,volume\n2024-03-04T14:30Z,ACME,1,1,1,-1,5\n"
    )
    with pytest.raises(DataError, match="line 2"):
        open_feed(config_of(tmp_path, "csv", path), VirtualClock(), None)


def test_a_replay_yields_what_a_backtest_runs_on(tmp_path: Path, real_data: Path) -> None:
    config = config_demo.load(
        config_demo.write(tmp_path, config_demo.DEMO),
        f"feed.path={real_data / 'COINBASE_BTCUSD_1m.csv'}",
        "feed.end=2016-10-10",
    ).config
    items = taken(open_feed(config, VirtualClock(), None))
    assert len(items) > 2_000
    assert bars_of(items).tobytes() == load_history(config).bars.tobytes()


# --- stdin ---

GOOD = json.loads(json.dumps(next(rows())))


def line(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({k: v for k, v in GOOD.items() if k != name}).encode()


BAD_LINES = [
    (b"not json", "not one JSON object"),
    (b'{"timestamp": "2024-03', "not one JSON object"),
    (b"[1, 2]", "a list where"),
    (b"17", "a int where"),
    (b"[" * 60_000, "nested too deeply"),
    (b"\xff\xfe" + line(), "not UTF-8"),
    (b"\0" + line(), "not one JSON object"),
    (line(symbol="NOPE"), "'NOPE' is not an instrument"),
    (line(symbol=3), "3 is not an instrument"),
    (without("symbol"), "no 'symbol'"),
    (without("close"), "no 'close'"),
    (line(close="100,0"), "close is '100,0', not a number"),
    (line(close="nan"), "close is 'nan', not a number"),
    (line(close="1_0"), "close is '1_0'"),
    (line(close=None), "close is None"),
    (line(close=True), "close is True"),
    (line(close=""), "close is ''"),
    (line(close=float("nan")), "NaN"),
    (line(close=float("-inf")), "-Infinity"),
    (line(close=0).replace(b'"close": 0', b'"close": 1e400'), "close is not finite"),
    (line(volume=10**400), "volume is not finite"),
    (line(close=0).replace(b'"close": 0', b'"close": ' + b"9" * 5000), "not one JSON object"),
    (line(bid="x"), "bid is 'x'"),
    (line().replace(b'"open"', b'"close"'), "a key appears twice"),
    (line(timestamp=17), "timestamp 17 is a number that does not say its unit; set feed.time_unit"),
    (line(timestamp=True), "not an ISO-8601 time"),
    (line(timestamp=-1), "timestamp is -1, no time"),
    (line(timestamp="yesterday"), "not an ISO-8601 time"),
    (line(timestamp="2024-02-30T00:00:00Z"), "day is out of range"),
    (line(timestamp="2016-12-31T23:59:60Z"), "second must be in 0..59"),
    (line(timestamp="1500-01-01T00:00:00Z"), "the year is outside"),
    (line(timestamp="9999-12-31T23:59:59-23:59"), "the year is outside"),
]


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> BarParser:
    return BarParser(config_of(tmp_path_factory.mktemp("parser"), "stdin", None))


@pytest.mark.parametrize(("text", "reason"), BAD_LINES, ids=[reason for _, reason in BAD_LINES])
def test_a_bad_line_is_named_and_the_next_one_counts(
    tmp_path: Path, text: bytes, reason: str
) -> None:
    items = taken(piped(tmp_path, VirtualClock(), [text + b"\n" + line() + b"\n"]))
    bad, good = items
    assert isinstance(bad, BadBar)
    assert reason in bad.reason
    assert len(bad.line) < 1_000
    assert isinstance(good, LiveBar)


@settings(max_examples=cases(300), deadline=None)
@example(b"1e999")
@given(text=st.binary(max_size=200) | st.text(max_size=60).map(lambda t: json.dumps(t).encode()))
def test_no_line_raises(parser: BarParser, text: bytes) -> None:
    assert isinstance(parser.parse(text, 5), BadBar)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=cases(300), deadline=None)
@given(name=st.sampled_from(sorted(GOOD)), value=JSON)
def test_no_value_raises(parser: BarParser, name: str, value: object) -> None:
    item = parser.parse(line(**{name: value}), 5)
    assert isinstance(item, BadBar) or item.dtype == BAR


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-04T14:30:00Z", "2024-03-04T14:31:00"),
        ("2024-03-04 09:30:00-05:00", "2024-03-04T14:31:00"),
        ("2024-03-04T20:00+0530", "2024-03-04T14:31:00"),
        ("2024-03-04T14:30:00.123456789Z", "2024-03-04T14:31:00.123456789"),
        ("1965-01-01T00:00:00.5Z", "1965-01-01T00:01:00.5"),
        ("2040-06-01T00:00:00Z", "2040-06-01T00:01:00"),
        ("2024-03-04T14:30:00", "2024-03-04T14:31:00"),
    ],
)
def test_stamps_are_read_to_the_nanosecond(parser: BarParser, text: str, expected: str) -> None:
    bar = parser.parse(line(timestamp=text), 5)
    assert not isinstance(bar, BadBar), bar
    assert bar["ts_ns"] == np.datetime64(expected, "ns").astype("i8")


def zoned(folder: Path, zone: str) -> BarParser:
    text = config_demo.demo(
        ("type: csv", "type: stdin"),
        ("path: data/acme.csv", f"timezone: {zone}"),
        ("\n  timezone: UTC", ""),
    )
    return BarParser(config_demo.load(config_demo.write(folder, text)).config)


def test_a_clock_change_is_refused_and_the_hours_around_it_are_right(tmp_path: Path) -> None:
    parser = zoned(tmp_path, "America/New_York")
    before = parser.parse(line(timestamp="2024-03-10T01:59:00"), 0)
    after = parser.parse(line(timestamp="2024-03-10T03:00:00"), 0)
    assert not isinstance(before, BadBar)
    assert not isinstance(after, BadBar)
    assert after["ts_ns"] - before["ts_ns"] == MINUTE
    for never_or_twice in ("2024-03-10T02:30:00", "2024-11-03T01:30:00"):
        bad = parser.parse(line(timestamp=never_or_twice), 0)
        assert isinstance(bad, BadBar)
        assert "twice or never" in bad.reason


def test_a_naive_stamp_without_a_zone_says_what_to_set(tmp_path: Path) -> None:
    bad = zoned(tmp_path, "none").parse(line(timestamp="2024-03-04T14:30:00"), 0)
    assert isinstance(bad, BadBar)
    assert "feed.timezone" in bad.reason


def test_a_million_character_line_is_skipped_and_the_rest_is_read(tmp_path: Path) -> None:
    huge = b'{"timestamp": "' + b"x" * 1_000_000 + b'"}'
    items = taken(
        piped(tmp_path, VirtualClock(), [line() + b"\n" + huge + b"\n" + line() + b"\r\n"])
    )
    assert [type(item) for item in items] == [LiveBar, BadBar, LiveBar]
    assert isinstance(items[1], BadBar)
    assert "longer than" in items[1].reason
    assert len(items[1].line) <= 200


def test_blank_lines_and_a_byte_order_mark_are_no_lines(tmp_path: Path) -> None:
    items = taken(
        piped(tmp_path, VirtualClock(), [b"\xef\xbb\xbf" + line() + b"\n\n  \r\n" + line()])
    )
    assert [type(item) for item in items] == [LiveBar, LiveBar]


@settings(max_examples=cases(200), deadline=None)
@given(text=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=6))
def test_lines_do_not_depend_on_how_they_are_read(text: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    splitter = LineSplitter()
    lines = []
    for start, stop in itertools.pairwise(places):
        lines += splitter.feed(text[start:stop])
    lines += splitter.end()
    whole = text.split(b"\n")
    assert [part for part, _ in lines] == (whole if whole[-1] else whole[:-1])


def test_a_line_that_never_ends_takes_no_memory() -> None:
    splitter = LineSplitter()
    for _ in range(1_000):
        assert splitter.feed(b"x" * 65_536) == []
        assert len(splitter._rest) <= LONGEST_LINE
    assert splitter.feed(b"\n")[0][1]


@pytest.mark.long
def test_a_full_queue_makes_the_writer_wait_and_nothing_is_dropped(tmp_path: Path) -> None:
    count = 20_000
    text = line() + b"\n"
    reader, writer = os.pipe()
    written = 0

    def write() -> None:
        nonlocal written
        with os.fdopen(writer, "wb", buffering=0) as stream:
            for _ in range(count):
                stream.write(text)
                written += 1

    threading.Thread(target=write, daemon=True).start()
    feed = StdinFeed(config_of(tmp_path, "stdin", None), VirtualClock(), reader)

    async def take() -> tuple[int, int]:
        got, stalled_at = 0, -1
        async for _ in feed:
            got += 1
            if got == 1:  # take nothing until the writer stands still
                while written != stalled_at:
                    stalled_at = written
                    await asyncio.sleep(0.2)
        return got, stalled_at

    got, stalled_at = asyncio.run(take())
    assert got == count
    assert stalled_at * len(text) < 3 << 20, "about a mebibyte waits, not the whole input"


def test_closing_while_the_reader_waits_for_input_returns(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    feed = StdinFeed(config_of(tmp_path, "stdin", None), VirtualClock(), reader)

    async def run() -> list[LiveBar | BadBar]:
        async def take() -> list[LiveBar | BadBar]:
            return [item async for item in feed]

        task = asyncio.create_task(take())
        await asyncio.sleep(0.05)
        await feed.aclose()
        return await task

    assert asyncio.run(asyncio.wait_for(run(), 30)) == []
    os.close(writer)


def test_a_bar_of_the_future_is_refused_by_name_and_one_of_now_is_not(tmp_path: Path) -> None:
    close_ns = 1_709_562_600_000_000_000 + MINUTE  # of the first row
    tolerance_ns = 2 * 10**9
    (row, *_) = rows()
    outcomes = (
        (close_ns - tolerance_ns, LiveBar, 0),
        (close_ns - tolerance_ns - 1, None, 1),
        (close_ns - tolerance_ns - MINUTE, None, 1),
        (close_ns - tolerance_ns - MINUTE - 1, BadBar, 0),
    )
    for now_ns, kind, forming in outcomes:
        feed = piped(tmp_path, VirtualClock(now_ns), [json.dumps(row).encode() + b"\n"])
        items = taken(feed)
        assert [type(item) for item in items] == ([kind] if kind else [])
        assert feed.forming == forming
    (item,) = items
    assert (item.symbol, "2024-03-04T14:31:00Z, 62 s from now" in item.reason) == (0, True)


def test_a_candle_that_is_forming_is_left_out_and_its_true_values_are_taken(tmp_path: Path) -> None:
    close_ns = 1_709_562_600_000_000_000 + MINUTE
    clock = VirtualClock(close_ns - 30 * 10**9)
    (row, *_) = rows()
    told: list[str] = []
    reader, writer = os.pipe()
    feed = StdinFeed(config_of(tmp_path, "stdin", None), clock, reader, tell=told.append)

    async def run() -> list[object]:
        items = []

        async def take() -> None:
            async for item in feed:
                items.append(item)

        task = asyncio.create_task(take())
        for change in (0.5, 0.75):  # as it forms
            os.write(writer, json.dumps({**row, "close": row["close"] + change}).encode() + b"\n")
        while feed.forming < 2:
            await asyncio.sleep(0.01)
        clock.time_ns = close_ns
        os.write(writer, json.dumps(row).encode() + b"\n")
        os.close(writer)
        await task
        return items

    (item,) = asyncio.run(asyncio.wait_for(run(), 30))
    assert isinstance(item, LiveBar)
    assert item.bar["close"] == row["close"]
    assert len(told) == 1
    assert "closes 30.0 s from now: it is still forming" in told[0]


NOW_NS = 1_709_562_600_000_000_000  # when the first row opens; all close later


@pytest.mark.parametrize(
    ("started_ns", "wanted", "was_live", "history", "end"),
    [
        (NOW_NS + 3 * MINUTE, None, None, 3, FeedEnd.LOST),
        (NOW_NS + 3 * MINUTE, False, None, 3, FeedEnd.LOST),
        (NOW_NS + 3 * MINUTE, True, None, 0, FeedEnd.LOST),
        (NOW_NS + 10 * MINUTE, True, None, 0, FeedEnd.OVER),
        (NOW_NS + 10 * MINUTE, None, None, 5, FeedEnd.LOST),
        (NOW_NS + 31 * 1440 * MINUTE, None, None, 0, FeedEnd.OVER),
        (NOW_NS + 31 * 1440 * MINUTE, False, None, 5, FeedEnd.LOST),
        (NOW_NS + 31 * 1440 * MINUTE, None, True, 5, FeedEnd.LOST),
        (NOW_NS + 10 * MINUTE, None, False, 0, FeedEnd.OVER),
        (NOW_NS + 3 * MINUTE, None, False, 0, FeedEnd.CAUGHT_UP),
    ],
)
def test_what_closed_before_the_start_is_history_unless_it_is_asked_for_or_a_recording(
    started_ns: int, wanted: bool | None, was_live: bool | None, history: int, end: FeedEnd
) -> None:
    past = PipeHistory(PipeStart(started_ns, wanted, was_live), MINUTE)
    marks = []
    for minute in range(1, 6):
        mark = past.is_history(NOW_NS + minute * MINUTE)
        if past.caught_up:
            break
        marks.append(mark)
    assert (sum(marks), marks) == (history, [True] * history + [False] * (len(marks) - history))
    assert past.count == history
    assert past.caught_up == (end == FeedEnd.CAUGHT_UP)
    assert past.is_recording == (end == FeedEnd.OVER)


@pytest.mark.parametrize(
    ("rest", "end"), [("", FeedEnd.OVER), ('{"timestamp": "2024-03-04T14:5', FeedEnd.CUT)]
)
def test_a_pipe_that_ends_in_the_middle_of_a_line_was_cut(
    tmp_path: Path, rest: str, end: FeedEnd
) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows()) + rest
    feed = piped(tmp_path, VirtualClock(), [text.encode()])
    taken(feed)
    assert feed.end == end


def test_a_last_line_without_a_line_end_is_a_bar_where_it_is_one(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(row) for row in rows())
    feed = piped(tmp_path, VirtualClock(), [text.encode()])
    assert all(isinstance(item, LiveBar) for item in taken(feed))
    assert feed.end == FeedEnd.OVER


def test_bars_that_a_run_has_traded_past_are_counted(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in rows())
    after_ns = 1_709_562_600_000_000_000 + 2 * MINUTE
    feed = piped(tmp_path, VirtualClock(), [lines.encode()], after_ns)
    assert len(taken(feed)) == 5
    assert feed.skipped == 4
