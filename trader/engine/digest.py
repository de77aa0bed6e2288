"""The digest of a run: one SHA-256 over what it decided, filled and was worth, in order.

Law: two runs over the same bars have one digest exactly when every decision, fill, cash and
equity are equal to the bit. It is taken as rows come, in whatever portions: portions do not
change it.

Digested are: every fill but for its unit value; every decision that asked for an order; of every
decision its action and its reason; of every slice its equity. What is left out follows from these
and the bars (cash moves by fills alone; a decision that asked for nothing is zero but for its
time), and made up most of the bytes.
"""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from trader.core.schema import CORE_VERSION, DECISION, FILL
from trader.engine.trial import outcome_code
from trader.jit import jit

STREAMS = ("requests", "outcomes", "fills", "equity")
ROWS_WORTH_A_THREAD = 4_096
DIGESTED_FILL = np.dtype(FILL.descr[:-1])  # the unit value comes last


@jit
def pack(decisions, equity, room):  # type: ignore[no-untyped-def]
    """Lay what is digested side by side; returns how many decisions asked for an order."""
    requests, outcomes, values = room
    count = 0
    for index in range(len(decisions)):
        decision = decisions[index]
        outcomes[index] = outcome_code(decision["action"], decision["reason"])
        if decision["requested_qty"] != 0.0:
            requests[count] = decision
            count += 1
    for index in range(len(equity)):
        values[index] = equity[index]["equity"]
    return count


def digested_fills(fills: np.ndarray) -> np.ndarray:
    """The bytes of FILL rows but for their last field, one row a fill."""
    packed = np.ascontiguousarray(fills).view(np.uint8).reshape(len(fills), FILL.itemsize)
    return np.ascontiguousarray(packed[:, : DIGESTED_FILL.itemsize])


class DigestRoom:
    """Room for what one portion puts into the digest."""

    def __init__(self, rows: int) -> None:
        self.requests = np.empty(rows, DECISION)
        self.outcomes = np.empty(rows, np.int16)
        self.values = np.empty(rows, np.float64)
        self.fills = np.empty(0, np.uint8)
        self.used = (0, 0, 0)

    def take(self, decisions: np.ndarray, fills: np.ndarray, equity: np.ndarray) -> None:
        """Copy what is digested of the rows."""
        count = pack(decisions, equity, (self.requests, self.outcomes, self.values))
        self.fills = digested_fills(fills)
        self.used = (count, len(decisions), len(equity))


class RunDigest:
    """Running digest. `add` rows as they come; `hexdigest` at any time.

    Large portions are hashed by a second thread (hashlib lets go of the GIL) from a small copy,
    while the caller goes on.
    """

    def __init__(self, is_threaded: bool = True) -> None:
        self._is_threaded = is_threaded  # not where other runs use the other cores
        self._streams = {name: hashlib.sha256() for name in STREAMS}
        self._packed = (DigestRoom(0), DigestRoom(0))
        self._turn = 0
        self._hashing: Future[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    def add(self, decisions: np.ndarray, fills: np.ndarray, equity: np.ndarray) -> None:
        """Take in DECISION, FILL and EQUITY rows, in order; any number of each."""
        rows = max(len(decisions), len(equity))
        if rows > len(self._packed[self._turn].values):
            self._wait()
            self._packed = (DigestRoom(rows), DigestRoom(rows))
        packed = self._packed[self._turn]
        packed.take(decisions, fills, equity)
        self._wait()
        if rows < ROWS_WORTH_A_THREAD or not self._is_threaded:
            self._update(packed)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._hashing = self._thread.submit(self._update, packed)
        self._turn = 1 - self._turn

    def add_requests(self, requests: np.ndarray) -> None:
        """Take in the DECISION rows that asked for an order; `add_trace` takes the rest."""
        self._streams["requests"].update(requests.data)

    def add_trace(self, outcomes: np.ndarray, fills: np.ndarray, equity: np.ndarray) -> None:
        """Take in what a history left as a trace (`engine/trial.py`), and its FILL rows."""
        self._streams["outcomes"].update(outcomes.data)
        self._streams["fills"].update(digested_fills(fills).data)
        self._streams["equity"].update(equity.data)

    def _update(self, packed: DigestRoom) -> None:
        requests, outcomes, values = packed.used
        self._streams["requests"].update(packed.requests[:requests].data)
        self._streams["outcomes"].update(packed.outcomes[:outcomes].data)
        self._streams["fills"].update(packed.fills.data)
        self._streams["equity"].update(packed.values[:values].data)

    def _wait(self) -> None:
        if self._hashing is not None:
            self._hashing.result()
            self._hashing = None

    def hexdigest(self) -> str:
        """64 hex characters over the version of the records and every stream."""
        self._wait()
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        whole = hashlib.sha256(f"trader-run/{CORE_VERSION}".encode())
        for name in STREAMS:
            whole.update(self._streams[name].digest())
        return whole.hexdigest()
