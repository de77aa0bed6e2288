"""An adapter of the tests: the port over a socket to `tests.brokers.exchange`."""

import json
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from trader.brokers.broker import AccountSnapshot, BrokerEvent, BrokerOrder, EventKind
from trader.core.schema import OrderStatus

ROOT = Path(__file__).resolve().parents[2]


class SocketBroker:
    """One connection, opened anew after each break. Every break raises, and `cuts` counts them."""

    def __init__(self, port):
        self.port, self.cuts, self.submits = port, 0, 0
        self._connection = self._lines = None
        self._come = []

    def submit(self, order):
        self.submits += 1
        self._come += self.ask("submit", order.order_id, order.symbol, order.qty)

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
        seq, orders, positions, cash, ids, _ = raw
        parsed = tuple(BrokerOrder(*one[:4], OrderStatus(one[4])) for one in orders)
        return AccountSnapshot(seq, parsed, positions, cash, frozenset(ids))


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
