"""A whole paper run as one function: take, start, open, trade, end. What `trader paper` calls.

Law: a table of contents. A journal that cannot be written ends the process: the latch is tripped,
and what is on disk is enough to go on from. Whatever else goes wrong trips the latch as well.
"""

import asyncio
import contextlib
from collections.abc import Callable

from trader.journal.records import JournalError
from trader.paper.claim import claimed
from trader.paper.ending import Ended, finish, stop
from trader.paper.guard import END, FAULT, INTERRUPTED, KILLED
from trader.paper.opening import Opened, leave, open_run
from trader.paper.start import Asked, Start, cut_off, first_bar, start
from trader.paper.statusboard import StatusBoard
from trader.paper.taking import Held, new_folder, require_armed, taken
from trader.paper.trading import Parts, Watcher, made, make_hooks, trade
from trader.run.hooks import Hooks
from trader.run.loop import Stopped
from trader.run.sliceengine import warm_up
from trader.runner import Order
from trader.safety.runs import forget
from trader.wiring import search_paths

Say = Callable[[str], None]
DRAIN_S = 2.0  # for hooks to take their last events


def paper(order: Order, asked: Asked, watcher: Watcher, say: Say) -> Ended:
    """Run a config on bars as they come, or go on with the run that was cut off.

    Raises the errors of config, data and model, `KilledError` under a kill, `UsageError` where
    the run that would go on had another config. Not for use inside a running event loop.
    """
    return asyncio.run(_paper(order, asked, watcher, say))


async def _paper(order: Order, asked: Asked, watcher: Watcher, say: Say) -> Ended:
    require_armed()
    hooks = make_hooks(order.loaded.config, search_paths(order.config_files))
    kill = order.loaded.config.kill
    with contextlib.ExitStack() as ending:
        claim = ending.enter_context(claimed(order))
        cut = cut_off(order)
        path = None if asked.new else cut
        if path is not None:
            claim(path.parent.name)
        # One that goes on is taken before its journal is read, a new one once there is what to run.
        held = ending.enter_context(taken(path.parent, kill)) if path else None
        begun = start(order, asked, path)
        if held is None:
            held = ending.enter_context(taken(new_folder(order, begun.started_at), kill))
        claim(held.folder.name)
        say(f"`trader kill --reason TEXT` stops it; without Python: touch {held.lease.home}/HALT")
        await first_bar(begun)
        warm_up(begun.rules)
        opened = open_run(begun, held)
        ending.callback(opened.desk.pool.shutdown, wait=False)
        if asked.new and cut is not None:
            forget(held.lease.home, cut.parent.name)
        ended = await _run(begun, opened, held, (hooks, watcher, say))
        held.over = ended.stopped.how == END
        return ended


async def _run(
    begun: Start, opened: Opened, held: Held, around: tuple[Hooks, Watcher, Say]
) -> Ended:
    """Trade, end, write."""
    hooks, watcher, say = around
    try:
        async with made(begun, opened, hooks) as parts:
            held.watch.stop()
            try:
                stopped = await _traded(begun, opened, parts, held, watcher)
            finally:
                StatusBoard(begun, opened, parts).write()
        hooks.emit("trading_stopped", how=stopped.how, text=stopped.text)
        ended = finish(begun, opened, stopped, parts.bar_gate)
        await hooks.drained(DRAIN_S)
        for line in hooks.failures():
            say(f"warning: {line}")
        return ended
    except JournalError as error:
        leave(opened.lease, error)
        raise  # not reached: `leave` ends the process


async def _traded(
    begun: Start, opened: Opened, parts: Parts, held: Held, watcher: Watcher
) -> Stopped:
    """Trade and stop; an error in between stops, too, with the latch tripped."""
    try:
        stopped = await trade(begun, opened, parts, watcher)
    except JournalError:
        raise
    except asyncio.CancelledError:  # a kill or Ctrl-C before `trade` listened to it
        stopped = Stopped(KILLED) if held.watch.killed else Stopped(INTERRUPTED, "SIGINT")
    except BaseException as error:
        opened.lease.shut_gate(f"{type(error).__name__}")
        await stop(opened, parts.loop, Stopped(FAULT, f"{type(error).__name__}: {error}"))
        raise
    return await stop(opened, parts.loop, stopped)
