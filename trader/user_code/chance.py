"""Chance of the user's own code: Python's and NumPy's generators, seeded by the config's `seed`.

Law: features and model have a sequence each, which the other does not disturb, so that a history,
where all features come first, and a live run, where they take turns, draw the same numbers.
"""

import contextlib
import random
from collections.abc import Iterator

import numpy as np

from trader.user_code.seeds import seed_generators


class Chance:
    """One sequence of both generators. Inside the block they go on where it left off."""

    def __init__(self, seed: int) -> None:
        self._seed: int | None = seed
        self._python: object = None
        self._numpy: object = None

    @contextlib.contextmanager
    def drawn(self) -> Iterator[None]:
        """The generators are this sequence's until the block is left."""
        if self._seed is None:
            random.setstate(self._python)  # type: ignore[arg-type]
            np.random.set_state(self._numpy)  # type: ignore[arg-type]  # noqa: NPY002
        else:
            seed_generators(self._seed)
            self._seed = None
        try:
            yield
        finally:
            self._python, self._numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
