"""A whole paper run as one function: take, start, open, trade, end. What `trader paper` calls.

Law: a journal that cannot be written ends the process: the latch is tripped,
and what is on disk is enough to go on from. Whatever else goes wrong trips the latch as well.
"""

import asyncio
import contextlib
import functools
import signal
import threading
from collections.abc import Callable, Sequence

from trader.core.schema import Reason
from trader.engine.hooks import Hooks
from trader.engine.loop import ExecutionLoop, StopCause
from trader.engine.run_facts import OVER
from trader.engine.sliceengine import warm_up
from trader.errors import KilledError
from trader.jobs.backtest import Order
from trader.jobs.paper.broker_watch import is_outside, last_words, tell_fills
from trader.jobs.paper.ending import LATCHED, PaperResult, finish, stop
from trader.jobs.paper.feed_end import end_of_feed
from trader.jobs.paper.guard import (
    CAUGHT_UP,
    CLOSED,
    END,
    FAULT,
    INTERRUPTED,
    KILLED,
    TERMINATED,
)
from trader.jobs.paper.opening import OpenRun, leave, open_run
from trader.jobs.paper.os_signals import ENDING, Termination, at_once, cancelling
from trader.jobs.paper.preflight import require_armed
from trader.jobs.paper.resume import came_to_nothing
from trader.jobs.paper.right_to_run import (
    OwnedRun,
    claim_name,
    forget_unbegun,
    new_folder,
    own_run,
)
from trader.jobs.paper.start import ResumeRequest, Start, first_bar, start
from trader.jobs.paper.statusboard import StatusBoard
from trader.jobs.paper.trading import Parts, Watcher, made, make_hooks, trade
from trader.jobs.paper.which_run import (
    cut_off,
    missed_runs,
    require_none_missed,
    runs_of_this_name,
)
from trader.journal.records import JournalError
from trader.safety.registry import forget
from trader.wiring import search_paths

Say = Callable[[str], None]
DRAIN_S = 2.0  # for hooks to take their last events
ANCHOR_S = 1.0  # for the last heads; with DRAIN_S well under what `trader kill` waits


def paper(order: Order, asked: ResumeRequest, watcher: Watcher, say: Say) -> PaperResult:
    """Run a config on bars as they come, or go on with the run that was cut off.

    Raises the errors of config, data and model, `KilledError` under a kill, `UsageError` where
    the run that would go on had another config, `Termination` where SIGTERM or SIGHUP came before
    it traded. Not for use inside a running event loop.
    """
    return asyncio.run(_in_order(order, asked, watcher, say))


async def _in_order(order: Order, asked: ResumeRequest, watcher: Watcher, say: Say) -> PaperResult:
    """`_paper`, ended by SIGTERM and SIGHUP as by Ctrl-C while it starts."""
    with cancelling() as heard:
        try:
            return await _paper(order, asked, (watcher, say), heard)
        except asyncio.CancelledError:
            if heard:
                raise Termination(heard[0]) from None
            raise


async def _paper(
    order: Order, asked: ResumeRequest, told: tuple[Watcher, Say], heard: Sequence[str]
) -> PaperResult:
    require_armed()
    watcher, say = told
    hooks = make_hooks(order.loaded.config, search_paths(order.config_files))
    kill = order.loaded.config.kill
    with contextlib.ExitStack() as ending:
        claim = ending.enter_context(claim_name(order))
        forget_unbegun(runs_of_this_name(order))
        missed = list(missed_runs(order))
        if not asked.new:
            require_none_missed(missed)
        cut = cut_off(order)
        is_new = asked.new
        if cut is not None and not is_new and came_to_nothing(cut, order):
            say(f"{cut.parent.name} ended as it started, with another config: a new run begins")
            is_new = True
        path = None if is_new else cut
        if path is not None:
            claim(path.parent.name)
        # One that goes on is taken before its journal is read, a new one once there is what to run.
        held = ending.enter_context(own_run(path.parent, kill)) if path else None
        begun = start(order, asked, path, functools.partial(_tell_apart, say))
        if held is None:
            held = ending.enter_context(own_run(new_folder(order, begun.started_at), kill))
        held.heard = heard
        claim(held.folder.name)
        say(f"`trader kill --reason TEXT` stops it; without Python: touch {held.lease.home}/HALT")
        if begun.history is not None:
            for warning in begun.history.quality.to_dict()["warnings"]:
                say(f"data: {warning}")
        try:
            await first_bar(begun)
            for note in begun.notes:
                say(note)
            with at_once((*ENDING, signal.SIGINT)):  # compiling takes half a minute
                warm_up(begun.rules)
            ending.callback(begun.broker.close)
            opened = open_run(begun, held)
            for note in opened.notes:
                say(note)
            ending.callback(opened.desk.pool.shutdown, wait=False)
            if opened.earlier is not None:
                ending.callback(opened.earlier.close)
            if is_new and cut is not None:
                forget(held.lease.home, cut.parent.name)
            for one in missed:
                say(f"{one}; --new leaves it behind")
                forget(held.lease.home, one.run_id)
            ended = await _run(begun, opened, held, (hooks, watcher, say))
        finally:
            await begun.feed.aclose()
        held.over = ended.stopped.how in OVER
        return ended


def _tell_apart(say: Say, line: str) -> None:
    """`say` in a thread of its own: a terminal that takes nothing must not hold up the loop."""
    threading.Thread(target=say, args=(line,), daemon=True).start()


async def _run(
    begun: Start, opened: OpenRun, held: OwnedRun, around: tuple[Hooks, Watcher, Say]
) -> PaperResult:
    """Trade, end, write."""
    hooks, watcher, say = around
    try:
        async with made(begun, opened, hooks) as parts:
            held.watch.stop()
            try:
                stopped = await _traded(begun, opened, parts, held, watcher)
            finally:
                StatusBoard(begun, opened, parts).write()
        tell_fills(opened.slices, parts.loop)
        hooks.emit("trading_stopped", how=stopped.how, text=stopped.text)
        try:
            ended = finish(begun, opened, stopped, parts.bar_gate)
        except KilledError:
            await hooks.drained(DRAIN_S)
            opened.close_anchor(ANCHOR_S)
            raise
        await hooks.drained(DRAIN_S)
        opened.close_anchor(ANCHOR_S)
        for text in opened.anchor_failures():
            say(f"warning: a head was not copied to audit.anchor: {text}")
        for line in hooks.failures():
            say(f"warning: {line}")
        return ended
    except JournalError as error:
        leave(opened.lease, error)
        raise  # not reached: `leave` ends the process


async def _traded(
    begun: Start, opened: OpenRun, parts: Parts, held: OwnedRun, watcher: Watcher
) -> StopCause:
    """Trade and stop; an error in between stops, too, with the latch tripped."""
    try:
        stopped = await trade(begun, opened, parts, watcher)
        if stopped.how == END:
            stopped = end_of_feed(begun)
    except JournalError:
        raise
    except asyncio.CancelledError:  # a kill or a signal before `trade` listened to it
        stopped = StopCause(INTERRUPTED, "SIGINT")
        if held.watch.killed:
            stopped = StopCause(KILLED)
        elif held.heard:
            stopped = StopCause(TERMINATED, held.heard[0])
    except BaseException as error:
        opened.lease.shut_gate(f"{type(error).__name__}")
        await stop(opened, parts.loop, StopCause(FAULT, f"{type(error).__name__}: {error}"))
        raise
    return await _settled(opened, parts.loop, await stop(opened, parts.loop, stopped))


async def _settled(opened: OpenRun, loop: ExecutionLoop, stopped: StopCause) -> StopCause:
    """The last word of a broker outside: nothing works there any more, and the account is ours."""
    if stopped.how in (END, CLOSED, CAUGHT_UP) and is_outside(opened.slices):
        await loop.cancel_working(Reason.SHUTDOWN)  # nobody would listen for what works there
    fault = await last_words(opened.slices, loop)
    if fault and stopped.how not in LATCHED:
        return await stop(opened, loop, StopCause(FAULT, fault))
    return stopped
