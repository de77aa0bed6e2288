"""ExecutionLoop by its public name: model off the loop, state from any thread, hooks that fail."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trader
from tests.loop_kit import LiveRun, bar
from trader.core.schema import NS_PER_SECOND, OnBreach, Reason, TradingAction
from trader.engine.answers import Ages
from trader.engine.hooks import EVENTS
from trader.engine.loop import ExecutionLoop
from trader.errors import UsageError


def test_async_model_prediction(tmp_path: Path):
    """The model runs in a thread; the event loop goes on meanwhile."""
    threads: list[str] = []

    def slow(features: np.ndarray) -> np.ndarray:
        threads.append(threading.current_thread().name)
        time.sleep(0.15)
        return np.full(len(features), TradingAction.BUY, np.int8)

    run = LiveRun(tmp_path, [bar(i) for i in range(1, 5)], slow)
    ticks: list[float] = []

    async def main() -> None:
        trading = asyncio.ensure_future(run.trade())
        while not trading.done():
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)
        assert trading.result().how == "end"

    asyncio.run(main())
    assert len(threads) == 3  # the first bar has no feature yet
    assert threading.current_thread().name not in threads
    assert len(ticks) > 15  # while the model slept for 0.45 s
    assert int(run.engine.book.account[0]["next_order_id"]) == 2


@pytest.mark.long
def test_thread_safe_trading_state(tmp_path: Path):
    """Snapshots taken by threads and tasks during trading are each of one moment."""
    prices = 60.0 + np.random.default_rng(1).normal(0, 1, 400).cumsum() / 10
    run = LiveRun(tmp_path, [bar(i + 1, float(price)) for i, price in enumerate(prices)])
    run.engine.rules.broker["commission_value"] = 0.5
    errors: list[float] = []
    seen: set[int] = set()
    done = threading.Event()

    def look() -> None:
        last = -1
        while not done.is_set():
            snapshot = run.loop.snapshot()
            book = snapshot.book
            held = float((book.positions["qty"] * book.positions["mark"]).sum())
            errors.append(abs(book.account[0]["cash"] + held - book.account[0]["equity"]))
            assert snapshot.slices >= last, "time went back"
            last = snapshot.slices
            seen.add(last)
            time.sleep(0)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    run.run()
    done.set()
    for thread in threads:
        thread.join()
    assert len(seen) > 20
    assert max(errors) < 1e-6
    snapshot = run.loop.snapshot()
    before = snapshot.book.account.tobytes()
    run.engine.halt(Reason.KILLED)
    assert snapshot.book.account.tobytes() == before, "a snapshot is a copy"


def test_complete_order_execution_path(tmp_path: Path):
    """bar → features → model → action → size → checks → throttle → order → fill → P&L → hooks."""
    run = LiveRun(
        tmp_path,
        [bar(1), bar(2), bar(3, 61.0), bar(4, 63.0)],
        rules={"max_order_size": 10.0, "slippage_value": 10.0, "tick_size": 0.01},
    )
    assert run.run().how == "end"
    assert [details["reason"] for details in run.told("action_generated")][:2] == ["WARMUP", "NONE"]
    (sent,) = run.told("order_sent")
    assert (sent["symbol"], sent["side"], sent["qty"]) == ("S0", "BUY", 10.0)
    (fill,) = run.told("order_filled")
    assert fill["timestamp"] > sent["timestamp"] or fill["timestamp"] == sent["timestamp"]
    assert fill["price"] == pytest.approx(61.07)  # open 61, 10 bps against it, up to the tick
    assert fill["order_id"] == sent["order_id"]
    account = run.engine.book.account[0]
    assert account["equity"] == pytest.approx(100_000 + 10 * (63 - fill["price"]))
    names = [details["event"] for details in run.events]
    assert names.index("order_sent") < names.index("order_filled")
    assert {"bar", "action_generated", "order_sent", "order_filled"} <= set(names)


def test_risk_check_integration(tmp_path: Path):
    """A refusal of the six checks is a decision with its reason, and nothing else happens."""
    run = LiveRun(tmp_path, [bar(i) for i in range(1, 5)], rules={"max_order_size": 5.0})
    run.run()
    denied = run.told("order_denied")
    assert {one["reason"] for one in denied} == {"ORDER_SIZE_LIMIT"}
    assert {(one["observed"], one["limit"]) for one in denied} == {(10.0, 5.0)}
    assert not run.told("order_sent")
    assert len(run.record.fills) == 0
    assert run.record.book.account[0]["cash"] == 100_000.0


@pytest.mark.parametrize("policy", list(OnBreach))
def test_a_limit_that_is_crossed_is_told_once_with_its_numbers_and_what_follows(tmp_path, policy):
    prices = [60.0, 60.0, 60.0, 54.0, 53.0, 52.0]
    rules = {"max_daily_loss": 50.0, "on_daily_loss": int(policy)}
    run = LiveRun(tmp_path, [bar(i, price) for i, price in enumerate(prices, 1)], rules=rules)
    run.run()
    (told,) = run.told("limit_breach")
    (changed,) = run.told("trading_state_changed")
    assert told == {
        "event": "limit_breach",
        "timestamp": changed["timestamp"],
        "reason": "DAILY_LOSS_LIMIT",
        "observed": 60.0,
        "limit": 50.0,
        "policy": policy.name.lower(),
    }
    assert changed["after"] == ("HALTED" if policy == OnBreach.KILL else "REDUCING")


def test_a_second_limit_under_the_first_is_told_too_and_one_without_a_policy_kills(tmp_path):
    prices = [60.0, 60.0, 60.0, 54.0, 44.0, 43.0]
    rules = {"max_daily_loss": 50.0, "max_drawdown_frac": 0.001}
    items = [bar(i, price) for i, price in enumerate(prices, 1)]
    run = LiveRun(tmp_path, items, rules=rules)
    run.run()
    assert [one["reason"] for one in run.told("limit_breach")] == [
        "DAILY_LOSS_LIMIT", "DRAWDOWN_LIMIT",
    ]  # fmt: skip
    run = LiveRun(tmp_path, items, rules={"max_executions_without_review": 1.0})
    run.run()
    (told,) = run.told("limit_breach")
    assert (told["reason"], told["observed"], told["limit"], told["policy"]) == (
        "EXECUTION_REVIEW", 1.0, 1.0, "kill",
    )  # fmt: skip


def test_configurable_bar_period(tmp_path: Path):
    """Pacing, gaps and staleness follow the config's period."""
    five_seconds = 5 * NS_PER_SECOND
    rows = [bar(1) for _ in range(4)]
    for index, row in enumerate(rows):
        row["ts_ns"] += index * five_seconds
    late = rows[3]["ts_ns"] + 11 * NS_PER_SECOND
    clock = iter([int(row["ts_ns"]) for row in rows[:3] for _ in range(2)] + [late, late])
    run = LiveRun(
        tmp_path,
        rows,
        ages=Ages(stale_s=10.0, hopeless_s=60.0),
        now_ns=lambda: next(clock),
        period_ns=five_seconds,
    )
    run.run()
    assert run.reasons[-1] == Reason.DATA_STALE
    assert Reason.DATA_STALE not in run.reasons[:-1]
    assert run.signals.lag_s == 11.0


def test_hook_error_handling(tmp_path: Path):
    """A hook that raises, hangs, blocks or re-enters stops and delays nothing, and is counted."""
    run = LiveRun(tmp_path, [bar(i, 60 + i) for i in range(1, 40)])
    loop = run.loop
    loop.hooks._dispatcher._timeout_s = 0.2
    release = threading.Event()
    entered: list[Any] = []

    def raises(details: dict[str, Any]) -> None:
        raise SystemExit("from a hook")

    def hangs(details: dict[str, Any]) -> None:
        release.wait(20)

    async def hangs_in_a_loop(details: dict[str, Any]) -> None:
        await asyncio.sleep(20)

    def re_enters(details: dict[str, Any]) -> None:
        loop.register_hook("bar", lambda more: None)
        entered.append(loop.snapshot().slices)
        details.clear()  # its own copy

    stats = {
        name: loop.register_hook("bar", callback)
        for name, callback in (
            ("raises", raises),
            ("hangs", hangs),
            ("async", hangs_in_a_loop),
            ("re-enters", re_enters),
        )
    }
    began = time.monotonic()
    assert run.run().how == "end"
    took = time.monotonic() - began
    deadline = time.monotonic() + 5
    while not (stats["hangs"].timed_out and stats["async"].timed_out and stats["raises"].raised):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    release.set()
    assert took < 10.0
    assert len(run.record.fills) == 1
    assert len(run.told("bar")) == 39
    assert "SystemExit" in stats["raises"].last_error
    assert entered
    assert any("hangs" in line and "timed out" in line for line in loop.hooks.failures())


def test_a_hook_of_no_event_or_that_cannot_be_called_is_a_usage_error(tmp_path: Path):
    loop = LiveRun(tmp_path, []).loop
    with pytest.raises(UsageError, match="trading_started"):
        loop.register_hook("bars", print)
    with pytest.raises(UsageError, match="callable"):
        loop.register_hook("bar", 3)
    assert len(EVENTS) == 12


def test_a_stop_asked_for_by_a_thread_ends_a_loop_that_waits_for_a_bar(tmp_path: Path):
    run = LiveRun(tmp_path, [bar(1), bar(2), 60.0, bar(3)])
    threading.Timer(0.3, run.loop.request_stop, ("killed", "by a thread")).start()
    began = time.monotonic()
    assert run.run() == ("killed", "by a thread")
    assert time.monotonic() - began < 20
    assert run.feed.closed
    assert run.engine.slices == 2


def test_the_public_name_is_the_loop_that_both_commands_run():
    assert trader.ExecutionLoop is ExecutionLoop
