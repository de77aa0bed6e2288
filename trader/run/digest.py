"""The digest of a run: one SHA-256 over what it decided, filled and was worth, in order.

Law: two runs over the same bars have one digest exactly when every decision, fill, cash and
equity are equal to the bit. It is taken as rows come, in whatever portions: portions do not
change it.

Digested are: every fill; every decision that asked for an order; of every decision its action
and its reason; of every slice its equity. What is left out follows from these and the bars
(cash moves by fills alone; a decision that asked for nothing is zero but for its time), and made
up most of the bytes.
"""

import hashlib

import numpy as np

from trader.core.schema import CORE_VERSION

STREAMS = ("requests", "actions", "reasons", "fills", "equity")


class RunDigest:
    """Running digest. `add` rows as they come; `hexdigest` at any time."""

    def __init__(self) -> None:
        self._streams = {name: hashlib.sha256() for name in STREAMS}

    def add(self, decisions: np.ndarray, fills: np.ndarray, equity: np.ndarray) -> None:
        """Take in DECISION, FILL and EQUITY rows, in order; any number of each."""
        self._take("requests", decisions[decisions["requested_qty"] != 0.0])
        self._take("actions", decisions["action"])
        self._take("reasons", decisions["reason"])
        self._take("fills", fills)
        self._take("equity", equity["equity"])

    def _take(self, stream: str, rows: np.ndarray) -> None:
        self._streams[stream].update(np.ascontiguousarray(rows).view(np.uint8).data)

    def hexdigest(self) -> str:
        """64 hex characters over the version of the records and every stream."""
        whole = hashlib.sha256(f"trader-run/{CORE_VERSION}".encode())
        for name in STREAMS:
            whole.update(self._streams[name].digest())
        return whole.hexdigest()
