"""Simulated days of the paper loop hold every invariant; the harness notices planted bugs.

`make sim DAYS=1000` runs the long form.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import sim_checks
from tests.harness.sim import Day, run_day
from tests.harness.sim_checks import CheckedSlices
from tests.harness.virtualtime import (
    Stuck,
    VirtualClock,
    VirtualExecutor,
    VirtualLoop,
    run_virtually,
)
from tests.tiers import cases
from trader.engine import recover, replay
from trader.engine.loop import ExecutionLoop
from trader.feeds import bargate
from trader.journal.records import Entry

pytestmark = pytest.mark.process  # none is started, but it is a harness: not for the inner loop

DAYS = cases(32)
CHUNKS = max(DAYS // 8, 1)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_invariant_breaks_on_a_simulated_day(chunk: int):
    faults: Counter[str] = Counter()
    for seed in range(chunk, DAYS, CHUNKS):
        report = run_day(seed)
        assert not report.problem, f"python tests/harness/sim.py --seed {seed}\n{report.problem}"
        assert report.slices > 300 or report.faults["given up"]
        faults += report.faults
        faults["sent"] += report.sent
    assert faults["sent"] > 100
    assert {"duplicate", "late", "revised", "nonsense", "silence", "timeout"} <= set(faults)
    assert {"crash", "kill", "interrupt"} & set(faults)


def test_a_kill_whose_orders_end_in_the_last_bits_of_a_sum_replays():
    """The intents after a KILL ended orders again, which the run itself had not done."""
    assert not run_day(82).problem


def test_a_seed_is_a_day(tmp_path: Path):
    one, other = run_day(4), run_day(4)
    assert (one.slices, one.lives, one.faults) == (other.slices, other.lives, other.faults)


def problems(kind: type[Day], first: int, days: int = 12) -> Iterator[str]:
    """What goes wrong, day by day; a day is run when it is asked for. `first` is a day that shows
    it now, so that most searches take one."""
    for seed in range(first, first + days):
        if problem := run_day(seed, kind).problem:
            yield problem


class WithoutIntents(CheckedSlices):
    def outputs(self) -> tuple[list[Entry], list[Entry]]:
        entries, intents = super().outputs()
        return [entry for entry in entries if entry not in intents], intents


def test_orders_that_leave_without_an_intent_on_disk_are_noticed():
    planted = type("Planted", (Day,), {"slices_class": WithoutIntents})
    assert any("no ORDER_INTENT" in problem for problem in problems(planted, 5))


class SentUnderAKill(Day):
    def _gate(self) -> Any:
        return recover.Reason.NONE

    def _guard(self, *parts: Any) -> None:
        return None


def test_a_gate_that_lets_orders_out_under_a_kill_is_noticed():
    found = problems(SentUnderAKill, 9)
    assert any("sent under a kill" in problem or "HALTED" in problem for problem in found)


def test_a_recovery_that_forgets_cancelled_orders_is_noticed(monkeypatch: pytest.MonkeyPatch):
    steps = {**replay._STEPS, "CANCEL_INTENT": lambda *_: None}
    monkeypatch.setattr(replay, "_STEPS", steps)
    found = problems(Day, 2, 30)
    assert any("another state" in problem or "replay" in problem for problem in found)


def test_a_bar_gate_that_lets_everything_through_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bargate.BarGate, "check", lambda self, bar: bargate.ACCEPTED)
    assert any("not the first of its close" in problem for problem in problems(Day, 0))


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("max_orders_per_day", 10.0, "orders a day"),
        ("max_position_concentration", 0.003, "of equity may be in it"),
        ("max_gross_exposure", 0.003, "of equity may be held"),
        ("max_order_size", 5.0, "an order of"),
    ],
)
def test_an_order_beyond_a_limit_is_noticed(
    limit: str, value: float, said: str, monkeypatch: pytest.MonkeyPatch
):
    """The core trades under one limit, and the checks know of another."""

    def under_another(book: Any, rules: Any, *order: Any) -> None:
        limits = rules.limits.copy()
        limits[limit] = value
        real(book, rules._replace(limits=limits), *order)

    real = sim_checks.check_order
    monkeypatch.setattr(sim_checks, "check_order", under_another)
    assert any(said in problem for problem in problems(Day, 2))


def test_a_snapshot_of_a_slice_under_way_is_noticed(monkeypatch: pytest.MonkeyPatch):
    def torn(self: ExecutionLoop) -> Any:
        found = self._taker.engine.snapshot()
        found.book.account["cash"] += 1.0
        return found

    monkeypatch.setattr(ExecutionLoop, "snapshot", torn)
    assert any("a snapshot in mid-slice" in problem for problem in problems(Day, 0))


def test_hours_pass_at_once_and_in_order():
    told: list[tuple[float, str]] = []
    loop = VirtualLoop()
    clock = VirtualClock(loop, 10**18)

    async def wait(hours: float, name: str) -> None:
        await asyncio.sleep(3_600 * hours)
        told.append((round(loop.time() / 3_600, 3), name))

    async def main() -> int:
        await asyncio.gather(wait(9, "c"), wait(1, "a"), wait(2.5, "b"))
        await clock.sleep_until_ns(10**18 + 10 * 3_600 * 10**9)
        return clock.now_ns()

    assert run_virtually(loop, main()) >= 10**18 + 10 * 3_600 * 10**9
    assert told == [(1.0, "a"), (2.5, "b"), (9.0, "c")]


def test_work_takes_the_time_it_is_said_to_take_and_may_fail():
    loop = VirtualLoop()
    slow = VirtualExecutor(lambda: 5.0)

    async def main() -> tuple[int, float]:
        result = await loop.run_in_executor(slow, lambda: 7)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(slow, lambda: 1 // 0)
        return result, loop.time()

    result, now_s = run_virtually(loop, main())
    assert result == 7
    assert now_s == pytest.approx(10.0)


def test_waiting_for_nothing_is_an_error_and_not_a_hang():
    loop = VirtualLoop()

    async def main() -> None:
        await loop.create_future()

    with pytest.raises(Stuck):
        run_virtually(loop, main())


def test_clocks_jump_and_stand_still_as_told():
    loop = VirtualLoop()
    clock = VirtualClock(loop, 10**18)

    async def main() -> None:
        before = clock.mono_ns()
        clock.jump(-3_600.0)
        assert clock.wall_ns() < clock.now_ns()
        assert clock.jump_ns() == -3_600 * 10**9
        assert clock.jump_ns() == 0
        clock.stand_still(1.0)
        await asyncio.sleep(0.5)
        assert clock.mono_ns() == before
        await asyncio.sleep(1.0)
        assert clock.mono_ns() > before

    run_virtually(loop, main())
