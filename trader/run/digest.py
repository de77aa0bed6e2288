"""The digest of a run: one SHA-256 over every decision, fill and equity row, in order.

Law: two runs have one digest exactly when every decision, fill and equity row is equal to the
bit. It is taken as rows come, in whatever portions: portions do not change it.
"""

import hashlib

import numpy as np

from trader.core.schema import CORE_VERSION

PARTS = ("decisions", "fills", "equity")


class RunDigest:
    """Running digest. `add` rows as they come; `hexdigest` at any time."""

    def __init__(self) -> None:
        self._parts = {name: hashlib.sha256() for name in PARTS}

    def add(self, decisions: np.ndarray, fills: np.ndarray, equity: np.ndarray) -> None:
        """Take in DECISION, FILL and EQUITY rows, contiguous, in order."""
        self._parts["decisions"].update(decisions.data)
        self._parts["fills"].update(fills.data)
        self._parts["equity"].update(equity.data)

    def hexdigest(self) -> str:
        """64 hex characters over the version of the records and the three streams."""
        whole = hashlib.sha256(f"trader-run/{CORE_VERSION}".encode())
        for name in PARTS:
            whole.update(self._parts[name].digest())
        return whole.hexdigest()
