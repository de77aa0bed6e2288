"""The loop of a paper run with everything around it: features, model, hooks, watches, signals.

Makes the parts, starts them, and ends them in the opposite order.

Law: nothing that the user wrote (model, features, hooks) is called on the event loop.
"""

import asyncio
import functools
import gc
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trader.config.schema import Config
from trader.config.sections.running import QUEUE_PERIODS
from trader.core.schema import NS_PER_SECOND
from trader.engine.answers import Ages, LiveSignals, feature_rows
from trader.engine.hooks import EVENTS, Hooks
from trader.engine.loop import ExecutionLoop, StopCause
from trader.engine.slices import LiveSlices, SlicePlan
from trader.engine.supervise import (
    AnchorWatch,
    ClockWatch,
    FeedLimits,
    FeedWatch,
    FileWatch,
    Look,
    supervise,
)
from trader.feeds.bargate import BarGate
from trader.feeds.sessions import is_open
from trader.feeds.splits import DeclaredSplits
from trader.hours.periods import bar_clock
from trader.jobs.paper import os_signals
from trader.jobs.paper.broker_watch import broker_looks
from trader.jobs.paper.guard import FAULT, INTERRUPTED, TERMINATED, Guard
from trader.jobs.paper.opening import OpenRun
from trader.jobs.paper.start import Start
from trader.jobs.paper.statusboard import StatusBoard
from trader.models.model import load_model, open_model
from trader.models.model_rows import RowMemory, shape_of
from trader.models.thread_model import ThreadModel
from trader.models.worker import AskedModel, ModelWorker
from trader.safety.watchdog import Watchdog
from trader.user_code.hooks import load_hooks
from trader.wiring import build_features, search_paths

COLLECTIONS = (700, 10, 10)  # Python's own; a command that starts has more (`trader.__main__`)

OnEvent = Callable[[dict[str, Any]], None]
OnStatus = Callable[[dict[str, Any]], None]


class Watcher(NamedTuple):
    """Who looks on: called in the loop, so it must not wait."""

    on_event: OnEvent
    on_status: OnStatus


class Parts(NamedTuple):
    """What trades."""

    loop: ExecutionLoop
    slices: LiveSlices
    signals: LiveSignals
    bar_gate: BarGate


def make_hooks(config: Config, paths: Sequence[Path]) -> Hooks:
    """The hooks that the config names. ConfigError where one does not exist."""
    hooks = Hooks(config.execution.hook_timeout_seconds, apart=True)
    for only, callback in load_hooks(config, paths):
        for event in EVENTS if only is None else (only,):
            hooks.register_hook(event, callback)
    return hooks


@asynccontextmanager
async def made(begun: Start, opened: OpenRun, hooks: Hooks) -> AsyncIterator[Parts]:
    """Everything that trades, warm and started; ended when the block is left."""
    config = begun.config
    paths = search_paths(begun.order.config_files)
    features = build_features(config, begun.rules.sessions, paths, begun.rules.adjustments)
    stream = features.stream()
    gate = make_gate(begun)
    seen = _seen(begun, opened)
    if begun.history is not None:
        features.prove(begun.history.bars)
    memory = RowMemory(shape_of(config), len(config.symbols), stream.width)
    if seen is not None:
        needed = memory.needed_from(seen)
        stream.warm_up(seen[:needed])
        memory.note(seen[needed:], feature_rows(stream, seen[needed:]))
    _show(gate, begun, seen)
    last_ns = None if seen is None else int(seen[-1]["ts_ns"])
    begun.seen = seen = None  # a year of bars, and nobody needs them any more
    quarantine = begun.facts.own_quarantine()
    begun.facts.forget_bars()
    in_process = config.execution.model_isolation == "process"
    open_or_load = load_model if in_process else open_model
    load = functools.partial(open_or_load, config, features.names, config.symbols, paths)
    pool = ThreadPoolExecutor(config.execution.feature_max_workers, thread_name_prefix="signals")
    model = _model(config, load, pool)
    try:
        await model.start()
        signals = LiveSignals(stream, model, pool, begun.clock.now_ns, _ages(begun), memory)
        slices = LiveSlices(begun.feed, gate, _plan(begun, last_ns), quarantine)
        guard = Guard(opened, signals, slices, config.feed.quality.max_bad_bars)
        loop = ExecutionLoop(opened.slices, signals, hooks, guard)
        yield Parts(loop, slices, signals, gate)
    finally:
        model.close()
        pool.shutdown(wait=False, cancel_futures=True)


def make_gate(begun: Start) -> BarGate:
    """The gate of the run's feed, which has seen nothing yet."""
    config = begun.config
    quality, hours = config.feed.quality, begun.rules.sessions
    may_be_negative = [one.allow_negative_prices for one in config.instruments]
    gate = BarGate(
        len(config.symbols), config.period_ns, quality, hours, bar_clock(config), may_be_negative
    )
    gate.expect_splits(DeclaredSplits(begun.rules.adjustments))
    return gate


def _seen(begun: Start, opened: OpenRun) -> np.ndarray | None:
    """Every bar traded on so far, that of a slice which the start has finished, too."""
    facts = opened.slices.facts
    if begun.seen is None:
        return np.concatenate(facts.bars) if facts.bars else None
    if len(begun.seen) == facts.traded:
        return begun.seen
    return np.concatenate([begun.seen, facts.bars[-1]])


def _show(gate: BarGate, begun: Start, seen: np.ndarray | None) -> None:
    """Let the gate see what it saw before: bars traded on, and bad ones, in order of time.

    Where the run goes on from a snapshot, the last ones alone, which are not counted: `ending`
    counts them all.
    """
    if seen is None:
        return
    rows = list(seen if not begun.snapshot_seq else _last_of_each(seen))
    rows += [bars[0] for use, bars in begun.facts.refused if use == "invalid"]
    show_in_order(gate, rows)
    if begun.snapshot_seq:
        gate.count_from_here()


def _last_of_each(bars: np.ndarray) -> np.ndarray:
    """The last bar of every symbol."""
    _, places = np.unique(bars["symbol"][::-1], return_index=True)
    last: np.ndarray = bars[np.sort(len(bars) - 1 - places)]
    return last


def show_in_order(gate: BarGate, rows: Sequence[np.void]) -> None:
    """Let the gate see BAR records that it need not judge."""
    for bar in sorted(rows, key=lambda row: int(row["ts_ns"])):
        gate.check(bar)


def _model(config: Config, load: Callable[[], Any], pool: ThreadPoolExecutor) -> AskedModel:
    timeout_s = config.execution.model_timeout_seconds
    if config.execution.model_isolation == "thread":
        return ThreadModel(load(), timeout_s, pool)
    return ModelWorker(load, timeout_s, pool)


def _ages(begun: Start) -> Ages:
    """How old a bar may be: any age in a replay of files, whose bars come when asked for."""
    if begun.history is not None:
        return Ages()
    config = begun.config
    hopeless_s = config.execution.queue_max_age_seconds
    return Ages(
        config.feed.max_age_bars * config.bar_period_seconds,
        QUEUE_PERIODS * config.bar_period_seconds if hopeless_s is None else hopeless_s,
        bool(config.feed.trade_history),
    )


def _plan(begun: Start, last_ns: int | None) -> SlicePlan:
    config = begun.config
    return SlicePlan(
        len(config.symbols),
        config.execution.slice_grace_seconds,
        -(2**63) if last_ns is None else last_ns,
        is_timed=begun.history is None,
        max_late=config.feed.quality.max_bad_bars,
    )


async def trade(begun: Start, opened: OpenRun, parts: Parts, watcher: Watcher) -> StopCause:
    """Run the loop until the feed ends or something stops it. Raises what the loop raises."""
    loop, config = parts.loop, begun.config
    board = StatusBoard(begun, opened, parts)
    watchdog = Watchdog(opened.lease, config.watchdog.soft_s, config.watchdog.hard_s)
    loop.hooks.tap(watcher.on_event)
    os_signals.listen(functools.partial(_told_to_end, loop))
    loop.hooks.emit(
        "trading_started",
        run_id=opened.run_id,
        symbols=list(config.symbols),
        resumed=begun.path is not None,
    )
    loop.tell_state_since(opened.state_before)
    watchdog.start()
    looks = [*_looks(begun, opened, parts), board.look(watcher.on_status)]
    tasks = [asyncio.ensure_future(supervise(looks)), asyncio.ensure_future(watchdog.beating())]
    for task in tasks:
        task.add_done_callback(functools.partial(_failed, loop))
    _collect_often()
    try:
        return await loop.run(aiter(parts.slices))
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
        watchdog.stop()


def _told_to_end(loop: ExecutionLoop, number: signal.Signals) -> None:
    how = INTERRUPTED if number == signal.SIGINT else TERMINATED
    loop.request_stop(how, number.name)


def _collect_often() -> None:
    """A run of weeks: what is loaded stays and is looked at no more; what comes and goes from here
    on is few objects, though large ones (a client of a market that was let go of is a cycle)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


def _failed(loop: ExecutionLoop, task: "asyncio.Task[None]") -> None:
    """A look that raised is our bug or a dead journal: trading stops."""
    if not task.cancelled() and task.exception() is not None:
        loop.request_stop("fault", f"supervision failed: {task.exception()!r}")


def _looks(begun: Start, opened: OpenRun, parts: Parts) -> list[Look]:
    async def stop_if_killed() -> None:
        cause = opened.lease.stop_cause()
        if not cause and opened.lease.is_halted():  # a file that is gone, and held open by us
            cause = "a file of the latch is missing or damaged"
        if cause:
            parts.loop.request_stop("killed", cause)

    async def stop_if_damaged() -> None:
        found = "" if opened.earlier is None else opened.earlier.fault()
        if found:
            text = f"the journal before this start is damaged: {found}"
            parts.loop.request_stop(FAULT, text)

    config = begun.config
    looks: list[Look] = [
        stop_if_killed,
        stop_if_damaged,
        ClockWatch(parts.loop, opened.slices, begun.clock).look,
        FileWatch(parts.loop, opened.slices, begun.order.config_files).look,
        AnchorWatch(parts.loop, opened.slices, opened.anchor_failures).look,
        *broker_looks(parts.loop, opened.slices),
    ]
    if begun.history is None:
        lost_s = config.feed.disconnect_after_seconds
        if lost_s is None:
            lost_s = config.feed.max_age_bars * config.bar_period_seconds
            if config.bar_unit is not None:  # a closed market sends no bar, however long it is
                lost_s += longest_closure_s(begun.rules.sessions)
        limits = FeedLimits(lost_s, config.kill.connectivity_after_seconds)
        open_at = functools.partial(is_open, begun.rules.sessions)
        looks.append(
            FeedWatch(parts.loop, (parts.slices, parts.signals), begun.clock, limits, open_at).look
        )
    return looks


def longest_closure_s(sessions: np.ndarray) -> float:
    """The longest time between two stretches of trading hours, in seconds."""
    closed = sessions["open_ns"][1:] - sessions["close_ns"][:-1]
    return float(closed.max(initial=0)) / NS_PER_SECOND
