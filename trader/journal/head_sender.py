"""Heads handed to a program or to syslog: best effort, in a thread of their own.

Law: whoever writes the journal only puts the checkpoint down and goes on; nothing here can stop or
delay it. What could not be delivered is said once, in `failures`, and never tried again: the next
head stands for all records before it.
"""

import os
import queue
import signal
import subprocess
import syslog
import threading
from collections.abc import Callable, Sequence

from trader.journal.anchor import Checkpoint, checkpoint_text

COMMAND_S = 5.0  # a program that has not ended by then is killed
MOST_WAITING = 100  # checkpoints
IDENT = "trader"

Deliver = Callable[[Checkpoint], None]


class HeadSender:
    """An `on_checkpoint` of Journal that has `deliver` called elsewhere."""

    def __init__(self, deliver: Deliver) -> None:
        self.failures: list[str] = []  # whoever reads them may take them away
        self._deliver = deliver
        self._waiting: queue.Queue[Checkpoint | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None

    def __call__(self, checkpoint: Checkpoint) -> None:
        """Put it down to be delivered. Never waits."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="anchor", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(checkpoint)
        except queue.Full:
            self._failed(checkpoint, f"{MOST_WAITING} before it are still waiting")

    def close(self, timeout_s: float) -> None:
        """Wait so long for what is on its way; no more comes."""
        if self._thread is None:
            return
        try:
            self._waiting.put(None, timeout=timeout_s)
            self._thread.join(timeout_s)
        except queue.Full:
            pass
        if self._thread.is_alive():
            self.failures.append("the last heads may not have arrived: there was no time to wait")

    def _work(self) -> None:
        while (checkpoint := self._waiting.get()) is not None:
            try:
                self._deliver(checkpoint)
            except Exception as error:
                self._failed(checkpoint, str(error))

    def _failed(self, checkpoint: Checkpoint, why: str) -> None:
        self.failures.append(f"checkpoint {checkpoint.size}: {why}")


class CommandAnchor:
    """Runs a program with the text of each checkpoint on its standard input."""

    def __init__(self, command: Sequence[str], timeout_s: float = COMMAND_S) -> None:
        self._command = list(command)
        self._timeout_s = timeout_s

    def __call__(self, checkpoint: Checkpoint) -> None:
        """OSError if it cannot be started, takes too long or ends with anything but 0."""
        # Its own session: Ctrl-C in the run's terminal is not meant for it, and what it started
        # is killed with it. Its output goes nowhere: a pipe that a grandchild holds would hang us.
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        try:
            process.communicate(checkpoint_text(checkpoint), timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise OSError(f"{self._command[0]} took over {self._timeout_s:g} s") from None
        if process.returncode != 0:
            raise OSError(f"{self._command[0]} ended with {process.returncode}")


def to_syslog(checkpoint: Checkpoint) -> None:
    """One line a checkpoint: run, `SEQ:HASH`. Syslog does not say whether anybody took it."""
    syslog.openlog(IDENT, syslog.LOG_PID)
    line = f"journal head {checkpoint.run_id} {checkpoint.size}:{checkpoint.head.hex()}"
    syslog.syslog(syslog.LOG_NOTICE, line)
