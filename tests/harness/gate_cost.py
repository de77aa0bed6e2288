"""What one order costs at the gate, without the journal's flush, for `make kill-bench`."""

import os
import time

from tests.harness.sender import StampOrder
from trader.safety.lease import RunInfo, arm

BATCH = 500


class NoBroker:
    """Takes every order and does nothing with it: what is measured is the gate."""

    def send(self, order):
        pass


def measure_gate(home, orders):
    """µs an order as means of batches of 500: the clock itself costs a tenth of an order."""
    lease = arm(home, "gate-cost", RunInfo("paper", home, False, 250.0, 0.0))
    gate, broker = lease.open_gate(), NoBroker()
    means = []
    for first in range(0, orders, BATCH):
        batch = [StampOrder(number) for number in range(first, first + BATCH)]
        began = time.perf_counter_ns()
        for order in batch:
            passage = gate.send(order, broker)
        means.append((time.perf_counter_ns() - began) / BATCH / 1000)
        if passage.outcome != "SENT":
            raise RuntimeError(f"the gate did not let an order pass: {passage}")
    lease.close()
    return means


def load_average():
    """Processes that wanted a core in the last 1, 5 and 15 minutes: others use this machine too."""
    return " ".join(f"{load:.2f}" for load in os.getloadavg())
