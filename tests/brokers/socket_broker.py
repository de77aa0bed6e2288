"""An adapter of the tests: the port over a socket to `tests.brokers.exchange`."""

import json
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from trader.brokers.broker import (
    AccountSnapshot,
    BrokerEvent,
    BrokerOrder,
    EventKind,
    Execution,
)
from trader.brokers.client_orders import as_sent
from trader.core.schema import OrderStatus, OrderType, TimeInForce

ROOT = Path(__file__).resolve().parents[2]


class SocketBroker:
    """One connection, opened anew after each break. Every break raises, and `cuts` counts them."""

    def __init__(self, port):
        self.port, self.cuts, self.submits = port, 0, 0
        self._connection = self._lines = None
        self._come = []

    def submit(self, order):
        self.submits += 1
        sent = as_sent(order)
        self._come += self.ask("submit", *sent[:3], *sent[5:])

    def cancel(self, order_id):
        self._come += self.ask("cancel", order_id)

    def events(self):
        come, self._come = self._come, []
        raw = come + self.ask("poll")
        return [BrokerEvent(one[0], EventKind(one[1]), *one[2:]) for one in raw]

    def snapshot(self):
        return self.parsed(self.ask("snapshot"))

    def ask(self, *request):
        """The reply. `ConnectionError` where the line breaks before it is there."""
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            self._lines = self._connection.makefile("rw")
        try:
            self._lines.write(json.dumps(request) + "\n")
            self._lines.flush()
            line = self._lines.readline()
        except OSError:
            line = ""
        if not line:
            self.close()
            self.cuts += 1
            raise ConnectionError("the connection broke before the answer")
        return json.loads(line)

    def close(self):
        if self._connection is not None:
            self._lines.close()
            self._connection.close()
            self._connection = None

    @staticmethod
    def parsed(raw):
        seq, orders, positions, cash, fills, _ = raw
        parsed = tuple(
            BrokerOrder(
                *one[:4], OrderStatus(one[4]), OrderType(one[5]), *one[6:8], TimeInForce(one[8])
            )
            for one in orders
        )
        return AccountSnapshot(
            seq, parsed, positions, cash, tuple(Execution(*one) for one in fills)
        )


@contextmanager
def exchange_process():
    """The port of an exchange in a process of its own, which ends with this block."""
    command = [sys.executable, "-m", "tests.brokers.exchange"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()
