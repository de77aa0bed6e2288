"""What one order costs at the gate, without the journal's flush, for `make kill-bench`."""

import fcntl
import os
import time

from tests.harness.sender import StampOrder
from trader.safety import latch
from trader.safety.lease import RunInfo, arm

BATCH = 500


class NoBroker:
    """Takes every order and does nothing with it: what is measured is the gate."""

    def submit(self, order):
        pass


def measure_gate(home, orders):
    """µs an order, and µs of its system calls alone, as means of batches of 500.

    The clock itself costs a tenth of an order. Batches of both alternate: what of a slow order is
    the machine's is told by the second.
    """
    lease = arm(home, "gate-cost", RunInfo("paper", home, False, 250.0, 0.0))
    gate, broker = lease.open_gate(), NoBroker()
    means, bare = [], []
    for first in range(0, orders, BATCH):
        batch = [StampOrder(number) for number in range(first, first + BATCH)]
        began = time.perf_counter_ns()
        for order in batch:
            passage = gate.send(order, broker)
        means.append((time.perf_counter_ns() - began) / BATCH / 1000)
        if passage.outcome != "SENT":
            raise RuntimeError(f"the gate did not let an order pass: {passage}")
        began = time.perf_counter_ns()
        for _ in range(BATCH):
            call_the_system(gate._paths)
        bare.append((time.perf_counter_ns() - began) / BATCH / 1000)
    lease.close()
    return means, bare


def call_the_system(paths):
    """The nine calls of an order at the gate, and nothing else of it."""
    os.getpid()
    fcntl.flock(paths.lock_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.pread(paths.home_page, latch.PAGE_SIZE + 1, 0)
    os.pread(paths.run_page, latch.PAGE_SIZE + 1, 0)
    os.access(paths.home_permit, os.F_OK)
    os.access(paths.home_halt, os.F_OK, follow_symlinks=False)
    os.access(latch.PERMIT, os.F_OK, dir_fd=paths.run_folder)
    os.access(latch.HALT, os.F_OK, dir_fd=paths.run_folder, follow_symlinks=False)
    fcntl.flock(paths.lock_fd, fcntl.LOCK_UN)


def load_average():
    """Processes that wanted a core in the last 1, 5 and 15 minutes: others use this machine too."""
    return " ".join(f"{load:.2f}" for load in os.getloadavg())
