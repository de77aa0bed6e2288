"""Chance in code of the user's own: the config's `seed` begins Python's and NumPy's generators.

Law: called in every process that is to run such code, before any of it is loaded, so that equal
configs give equal runs. What makes a generator of its own seeds that itself.
"""

import random

import numpy as np

NUMPY_SEEDS = 2**32


def seed_generators(seed: int) -> None:
    """Begin the global generators of `random` and `numpy.random` anew."""
    random.seed(seed)
    np.random.seed(seed % NUMPY_SEEDS)  # noqa: NPY002 - the generator that users' code draws from
