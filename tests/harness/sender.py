"""A runner that sends as fast as the gate lets it, for the trials of the kill switch.

It holds a real lease and a real gate. Its broker stamps each order with CLOCK_MONOTONIC into a
shared mapping, which survives SIGKILL: the last order it sent is known whatever became of it.
"""

import ctypes
import mmap
import os
import struct
import threading
import time

from trader.errors import KilledError
from trader.safety.lease import Lease, RunInfo, arm

STATES = ("idle", "busy", "hung", "gil", "sigstop", "starting", "dead")
EXIT_KILLED = 7
BARRIER_MS = [250.0]  # `kill_bench.py --barrier-ms`
CANCEL_S = 0.03  # a hung runner is given so long to cancel; the command's default is 5 s
_ROW = struct.Struct("<qqq")  # orders sent, time of the last, 1 when ready


class Ledger:
    """What left, when: three numbers in a shared file."""

    def __init__(self, path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, 4096)
        self._map = mmap.mmap(fd, 4096)
        os.close(fd)

    def clear(self):
        _ROW.pack_into(self._map, 0, 0, 0, 0)

    def stamp(self, count):
        _ROW.pack_into(self._map, 0, count, time.monotonic_ns(), 1)

    def ready(self):
        _ROW.pack_into(self._map, 0, 0, 0, 1)

    def read(self):
        return _ROW.unpack_from(self._map, 0)


class StampOrder:
    __slots__ = ("decision", "leg", "order_id", "qty")

    def __init__(self, number):
        self.order_id, self.decision, self.leg, self.qty = f"o{number}", number, 0, 1.0


class StampBroker:
    """Stamps; hangs inside the gate at order `hang_at`, for good."""

    def __init__(self, ledger, hang_at=-1):
        self.ledger, self.count, self.hang_at = ledger, 0, hang_at

    def submit(self, order):
        self.count += 1
        self.ledger.stamp(self.count)
        if self.count == self.hang_at:
            while True:
                pass


def send_flat_out(lease, gate, broker, limit=None):
    """Sends until the gate says no (then leaves as a runner should) or `limit` orders are out."""
    number = 0
    while limit is None or number < limit:
        passage = gate.send(StampOrder(number), broker)
        number += 1
        if number % 256 == 0:
            lease.heartbeat(time.monotonic_ns())
        if passage.outcome == "ABORTED":
            leave(lease)


def leave(lease: Lease):
    lease.close()
    os._exit(EXIT_KILLED)


def idle(lease, gate, ledger):
    ledger.ready()
    while not gate.stop_cause():
        lease.heartbeat(time.monotonic_ns())
        time.sleep(0.002)
    leave(lease)


def hung(lease, gate, ledger, chance):
    """A Python loop that never ends, in half the runs while an order is inside the gate."""
    if chance.random() < 0.5:
        send_flat_out(lease, gate, StampBroker(ledger, hang_at=chance.randrange(1, 200)))
    send_flat_out(lease, gate, StampBroker(ledger), limit=chance.randrange(1, 200))
    while True:
        pass


def gil(lease, gate, ledger, chance):
    """C code that keeps the GIL, taken from the sender wherever it happens to be."""
    sender = threading.Thread(target=send_flat_out, args=(lease, gate, StampBroker(ledger)))
    sender.daemon = True
    sender.start()
    while ledger.read()[0] < 3:
        time.sleep(0.0005)
    time.sleep(chance.random() * 0.005)
    ctypes.PyDLL(None).sleep(60)


def run_sender(home, state, ledger, chance):
    """The whole life of one runner, in a forked child."""
    try:
        info = RunInfo("paper", home, False, BARRIER_MS[0], CANCEL_S)
        lease = arm(home, "sender", info)
        if state == "starting":
            time.sleep(chance.random() * 0.003)  # recovering
        gate = lease.open_gate()
    except KilledError:
        os._exit(EXIT_KILLED)
    if state == "idle":
        idle(lease, gate, ledger)
    elif state == "hung":
        hung(lease, gate, ledger, chance)
    elif state == "gil":
        gil(lease, gate, ledger, chance)
    send_flat_out(lease, gate, StampBroker(ledger))
