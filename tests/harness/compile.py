"""`compile.py batch` and `compile.py loop`: between them, every entry of the core, kept on disk.

Two processes take half the time of one. Each runs the bundled example on its engine, which also
compiles what features and reports have, and then its share of what a run calls from outside.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGINES = ("batch", "loop")


def is_compiled() -> bool:
    """Whether the core lies on disk as its sources are now, for the first and the last entry."""
    from trader.core import apply
    from trader.engine import compiled_loop

    for entry in (compiled_loop.run_slices, apply.on_slice, apply.close_out, apply.rearm):
        cache = getattr(entry, "_cache", None)
        if cache is None:  # nothing compiles here
            return True
        source = Path(entry.py_func.__code__.co_filename)
        found = Path(cache.cache_path).glob(f"{source.stem}.{entry.py_func.__name__}-*.nbi")
        if not any(one.stat().st_mtime >= source.stat().st_mtime for one in found):
            return False
    return True


def compile_all() -> None:
    """Both processes, to their ends. What goes wrong in them goes wrong again in a test."""
    if is_compiled():
        return
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "TRADER_HOME": folder, "PYTHONPATH": str(ROOT)}
        words = [[sys.executable, __file__, engine, folder] for engine in ENGINES]
        pipe = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        for running in [subprocess.Popen(one, cwd=ROOT, env=environ, **pipe) for one in words]:
            running.wait()


def compile_here(engine: str, folder: str) -> None:
    """The share of one engine."""
    from tests import core_kit
    from trader.cli import app
    from trader.core.schema import Reason
    from trader.engine.batch import RowKeeper
    from trader.engine.sliceengine import SliceEngine

    app.run(["backtest", "-c", "configs/demo.yaml", "--engine", engine, "--out", folder])
    core = SliceEngine(core_kit.make_rules(core_kit.always_open(0, 10**9)), RowKeeper(1))
    if engine == "batch":
        core.close_out(0)
        core.halt(Reason.KILLED)
    else:
        core.submit(0, 0)
        core.doubt(0, 0)
        core.refuse(0, 0, Reason.KILLED)
        core.cancel(0, 0, Reason.KILLED)
        core.rearm()


if __name__ == "__main__":
    compile_here(*sys.argv[1:])
