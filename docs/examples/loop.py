"""The ExecutionLoop by hand, in a folder made by `trader init`: the digest is the backtest's.

`loop.snapshot()` copies the state after the last slice, `loop.request_stop(how, text)` finishes
the slice under way; both from any thread.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trader import ExecutionLoop
from trader.config.load import load_config
from trader.engine.answers import StreamSignals
from trader.engine.batch import RowKeeper
from trader.engine.slice_takers import PlainSlices
from trader.engine.sliceengine import SliceEngine
from trader.engine.slices import history_portions
from trader.wiring import Timing, prepare

files = [Path("configs/demo.yaml")]
loaded = load_config(files)
made = prepare(loaded, files, Timing())
fills: list[dict[str, Any]] = []

with ThreadPoolExecutor(1) as pool:
    engine = SliceEngine(made.rules, RowKeeper(len(made.inputs.bars)))
    taker = PlainSlices(engine, loaded.config.symbols)
    loop = ExecutionLoop(taker, StreamSignals(made.features, made.model, pool))
    loop.register_hook("order_filled", fills.append)
    stopped = asyncio.run(loop.run(history_portions(made.inputs.bars)))
    asyncio.run(loop.hooks.drained(5.0))

digest = engine.record().digest
print(stopped.how, digest, loop.snapshot().book.account[0]["equity"], len(fills))
