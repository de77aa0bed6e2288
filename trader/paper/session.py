"""A whole paper run as one function: start, open, trade, end. What `trader paper` calls.

Law: a table of contents. A journal that cannot be written ends the process: the latch is tripped,
and what is on disk is enough to go on from. Whatever else goes wrong trips the latch as well.
"""

import asyncio
from collections.abc import Callable

from trader.journal.records import JournalError
from trader.paper.ending import Ended, finish, stop
from trader.paper.guard import FAULT, INTERRUPTED
from trader.paper.opening import Opened, leave, open_run
from trader.paper.start import Asked, Start, start
from trader.paper.trading import Parts, Watcher, made, make_hooks, trade
from trader.run.loop import Stopped
from trader.run.sliceengine import warm_up
from trader.runner import Order
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
    hooks = make_hooks(order.loaded.config, search_paths(order.config_files))
    begun = await start(order, asked)
    warm_up(begun.rules)
    opened = open_run(begun)
    try:
        async with made(begun, opened, hooks) as parts:
            stopped = await _traded(begun, opened, parts, watcher, say)
        hooks.emit("trading_stopped", how=stopped.how, text=stopped.text)
        ended = finish(begun, opened, stopped, parts.bar_gate)
        await hooks.drained(DRAIN_S)
        for line in hooks.failures():
            say(f"warning: {line}")
        return ended
    except JournalError as error:
        leave(opened.lease, error)
        raise  # not reached: `leave` ends the process
    finally:
        opened.lease.close()
        opened.desk.pool.shutdown(wait=False)


async def _traded(
    begun: Start, opened: Opened, parts: Parts, watcher: Watcher, say: Say
) -> Stopped:
    """Trade and stop; an error in between stops, too, with the latch tripped."""
    try:
        stopped = await trade(begun, opened, parts, watcher)
    except JournalError:
        raise
    except asyncio.CancelledError:  # Ctrl-C before `trade` listened to it
        stopped = Stopped(INTERRUPTED, "SIGINT")
    except BaseException as error:
        opened.lease.shut_gate(f"{type(error).__name__}")
        await stop(opened, parts.loop, Stopped(FAULT, f"{type(error).__name__}: {error}"))
        raise
    return await stop(opened, parts.loop, stopped)
