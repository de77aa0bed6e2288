"""Two watchdogs inside a runner: one that trips the kill, one that ends the process.

Law: standard library only. Both watch the event loop's heartbeat and neither needs the loop.

soft  a thread: no heartbeat for `soft_s` trips SYSTEM_ERROR. Works while Python code runs.
hard  `faulthandler.dump_traceback_later(hard_s, exit=True)`, armed anew by every heartbeat: a C
      thread without the GIL writes all tracebacks to `hang.txt` and ends the process, so it works
      while C code holds the GIL. The locks go with the process; the latch is looked at on restart.
"""

import asyncio
import faulthandler
import os
import threading
import time
from typing import IO

from trader.safety import registry
from trader.safety.lease import Lease

BEAT_S = 0.1


class Watchdog:
    """The watchdogs of one lease. `start` in the thread of the loop; then `beat` every 100 ms.

    A disk that does not take the heartbeat trips the kill as well: nothing else of the run could
    be written there either.
    """

    def __init__(self, lease: Lease, soft_s: float = 2.0, hard_s: float = 10.0) -> None:
        if not 0 < soft_s < hard_s:
            raise ValueError(f"watchdog: need 0 < soft_s < hard_s, got {soft_s:g} and {hard_s:g}")
        self._lease, self._soft_s, self._hard_s = lease, soft_s, hard_s
        self._beat_ns = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._file: IO[str] | None = None
        self.tripped = ""

    def start(self) -> None:
        """First heartbeat; from here on silence has consequences."""
        path = os.path.join(self._lease.folder, registry.HANG)
        self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - open as long as we live
        self.beat()
        self._thread.start()

    def beat(self) -> None:
        """The loop is alive, now."""
        self._beat_ns = time.monotonic_ns()
        if self._file is not None:
            faulthandler.dump_traceback_later(self._hard_s, exit=True, file=self._file)
        try:
            self._lease.heartbeat(self._beat_ns)
        except OSError as error:
            self._trip(f"the heartbeat cannot be written: {error.strerror}")

    async def beating(self) -> None:
        """The heartbeat as a task of the loop; ends when `stop` was called."""
        while not self._ended.is_set():
            self.beat()
            await asyncio.sleep(BEAT_S)

    def stop(self) -> None:
        """No more consequences. For an orderly end, before the lease is closed."""
        self._ended.set()
        faulthandler.cancel_dump_traceback_later()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._soft_s / 8):
            silent_s = (time.monotonic_ns() - self._beat_ns) / 1e9
            if not silent_s <= self._soft_s:
                self._trip(f"the event loop was silent for {silent_s:.1f} s")
                return

    def _trip(self, text: str) -> None:
        if not self.tripped:
            self.tripped = text
            self._lease.trip("SYSTEM_ERROR", text, source="watchdog")
