"""Which finer bars make up each bar: what `broker.intrabar: detail` is met by."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trader.core.book import NO_EDGES, NO_FINER


class Detail(NamedTuple):
    """The finer bars of n bars: those of bar i are `finer[edges[i] : edges[i + 1]]`."""

    finer: np.ndarray = NO_FINER  # BAR, those of one bar in order of time
    edges: np.ndarray = NO_EDGES  # i8 (n + 1,), or (0,) where no bar has finer ones

    @classmethod
    def of(cls, parts: Sequence[np.ndarray]) -> "Detail":
        """BAR records for each bar."""
        edges = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return cls(np.concatenate([NO_FINER, *parts]), edges)

    def rows(self, first: int, stop: int) -> "Detail":
        """Of the bars [first, stop)."""
        if not len(self.edges):
            return self
        edges = self.edges[first : stop + 1]
        return Detail(self.finer[edges[0] : edges[-1]], edges - edges[0])

    def of_bar(self, place: int) -> np.ndarray | None:
        """BAR records of one bar; None where no bar has any."""
        if not len(self.edges):
            return None
        return self.finer[self.edges[place] : self.edges[place + 1]]

    def parts(self) -> list[np.ndarray]:
        """BAR records for each bar."""
        edges = self.edges.tolist()
        return [self.finer[first:stop] for first, stop in itertools.pairwise(edges)]


NO_DETAIL = Detail()
