"""The steady clock of a paper run, on a machine whose wall clock is set while it runs."""

import asyncio
import time

import pytest

from trader.jobs.paper.clock import RealClock


def test_a_jump_of_the_wall_clock_is_told_once_and_time_never_goes_back(
    monkeypatch: pytest.MonkeyPatch,
):
    clock = RealClock()
    real = time.time_ns
    before = clock.now_ns()
    assert clock.jump_ns() == 0
    for hours in (1, -1, 24):
        monkeypatch.setattr(time, "time_ns", lambda by=hours: real() + by * 3_600 * 10**9)
        jump = clock.jump_ns()
        assert abs(jump) > 3_590 * 10**9
        assert clock.jump_ns() == 0
        assert clock.now_ns() > before
        before = clock.now_ns()
    assert clock.now_ns() - real() > 23 * 3_600 * 10**9  # it followed the clock that was put on
    monkeypatch.undo()
    clock.jump_ns()
    assert clock.now_ns() >= before


def test_sleeping_until_a_time_that_is_past_returns_at_once():
    clock = RealClock()

    async def main() -> float:
        began = time.monotonic()
        await clock.sleep_until_ns(clock.now_ns() - 10**9)
        await clock.sleep_until_ns(clock.now_ns() + 20_000_000)
        return time.monotonic() - began

    assert asyncio.run(main()) >= 0.02
