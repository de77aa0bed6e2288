"""The other side of `warm`: `warm_server.py DESCRIPTOR` forks a `trader` for every request.

A request is one packet of JSON, {"argv", "cwd", "env"}, and four descriptors: stdin, stdout,
stderr, and where the status of the process is written when it has ended. The answer is its number.
The server ends when the other end of the line is closed.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from tests import core_kit  # noqa: E402
from tests.harness.warm import MOST_BYTES, STATUS  # noqa: E402
from trader.engine.sliceengine import warm_up  # noqa: E402

IMPORTED = """
trader.cli.app trader.jobs.backtest trader.jobs.verify trader.jobs.paper.session
trader.report.paperview trader.report.ratios trader.cli.paperscreen trader.models.training
trader.models.rule_model trader.feeds.replay_source trader.safety.kill trader.user_code.pandas_later
exchange_calendars pyarrow.dataset argparse shlex
"""
OF_LIBRARIES = {"jemalloc_bg_thd"}  # threads that see to forks themselves


class Children:
    """The processes that were started, and where to tell that they have ended."""

    def __init__(self) -> None:
        self._told: dict[int, int] = {}
        self.woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def add(self, pid: int, status_fd: int) -> None:
        """One more."""
        self._told[pid] = status_fd

    def tell(self) -> None:
        """Pass on how those ended that have."""
        os.read(self.woken, 4096)
        while self._told:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            if (fd := self._told.pop(pid, None)) is not None:
                os.write(fd, STATUS.pack(status))
                os.close(fd)

    def forget(self) -> None:
        """In a fork: nothing of this is ours."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (self.woken, self._waker, *self._told.values()):
            os.close(fd)


def load() -> None:
    """What every start of `trader` would load."""
    for name in IMPORTED.split():
        __import__(name)
    for path in (ROOT / "trader" / "cli").glob("[a-z]*.py"):
        __import__(f"trader.cli.{path.stem}")
    bars = core_kit.random_bars(1, 9, 1)
    core_kit.run(bars, np.zeros(len(bars), np.int8))
    warm_up(core_kit.make_rules(core_kit.always_open(0, 10**9), 1))
    names = {path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")}
    assert names - OF_LIBRARIES == {Path("/proc/self/comm").read_text().strip()}, names


def serve(line: socket.socket) -> list[str]:
    """Fork at every request. Returns in a fork only: its command line."""
    children = Children()
    while True:
        ready, _, _ = select.select([line, children.woken], [], [])
        if children.woken in ready:
            children.tell()
        if line in ready:
            text, fds, _, _ = socket.recv_fds(line, MOST_BYTES, 4)
            if not text:
                sys.exit()
            *streams, status_fd = fds
            pid = os.fork()
            if not pid:
                children.forget()
                line.close()
                os.close(status_fd)
                return become(json.loads(text), streams)
            children.add(pid, status_fd)
            for fd in streams:
                os.close(fd)
            line.send(str(pid).encode())


def become(request: dict[str, Any], streams: list[int]) -> list[str]:
    """Streams, folder and environment of the process asked for."""
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)  # what was there knew another file
    lines = 1 if os.isatty(1) else -1
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", lines, closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    sys.path[0] = request["cwd"]  # as `python -m` has it
    argv: list[str] = request["argv"]
    return argv


if __name__ == "__main__":
    load()
    gc.collect()
    gc.freeze()  # pages stay shared with the forks
    sys.argv = serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("trader", run_name="__main__", alter_sys=True)
