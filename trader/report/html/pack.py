"""Numbers in few bytes: whole steps, differences, byte by byte, deflate, base64.

Law: what the page reads back is the value on its step (`scale`), and steps are finer than a
pixel. The other half is `unpack` in page.js.
"""

import base64
import zlib
from typing import Any

import numpy as np

LEVEL = 6
LARGEST = 2**31 - 1
STEPS = 2**16  # of the range, for values without a step of their own
SAMPLE = 20_000
EMPTY: dict[str, Any] = {"n": 0, "base": 0.0, "scale": 1.0, "diff": True, "data": ""}


def packed_text(text: str) -> str:
    """A text as base64 of its deflated bytes."""
    return base64.b64encode(zlib.compress(text.encode(), LEVEL)).decode()


def packed(values: np.ndarray, step: float | None = None, *, diff: bool = True) -> dict[str, Any]:
    """Finite numbers as whole steps above the first; `step` is chosen where none is given.

    `diff` writes the moves from one to the next, for what walks; without, each on its own.
    """
    if len(values) == 0:
        return EMPTY
    base = float(values[0])
    span = float(values.max()) - float(values.min())
    if step is None or not span / step < LARGEST:
        step = span / STEPS or 1.0
    return _block(np.rint((values - base) / step).astype(np.int64), base, step, diff)


def packed_whole(values: np.ndarray) -> dict[str, Any]:
    """Whole numbers that never go back, as their moves: times and places."""
    if len(values) == 0:
        return EMPTY
    moved = values - values[0]
    scale = max(1, int(np.gcd.reduce(moved)))  # bars of a minute are whole minutes apart
    while moved[-1] // scale > LARGEST:
        scale *= 10
    return _block(moved // scale, float(values[0]), float(scale), True)


def price_step(prices: np.ndarray) -> float | None:
    """The decimal step that all prices are on, 1e-8 at the finest; None if there is none."""
    sample = prices[:: max(1, len(prices) // SAMPLE)]
    for decimals in range(9):
        scaled = sample * 10.0**decimals
        if np.abs(scaled - np.rint(scaled)).max(initial=0.0) < 1e-4:
            return float(10.0**-decimals)
    return None


def _block(whole: np.ndarray, base: float, scale: float, diff: bool) -> dict[str, Any]:
    steps = (np.diff(whole, prepend=0) if diff else whole).astype("<i4")
    planes = steps.view(np.uint8).reshape(-1, 4).T.tobytes()  # high bytes are nearly all alike
    # long runs and noise have nothing else that repeats: seven times as fast, and smaller
    runs = zlib.compressobj(LEVEL, strategy=zlib.Z_RLE)
    data = base64.b64encode(runs.compress(planes) + runs.flush()).decode()
    return {"n": len(whole), "base": base, "scale": scale, "diff": diff, "data": data}


def extremes(values: np.ndarray, most: int) -> np.ndarray:
    """Places of at most `most` values that keep the lowest and highest of every stretch, sorted."""
    count = len(values)
    if count <= most:
        return np.arange(count)
    edges = np.linspace(0, count, most // 2 - 1).astype(np.int64)[:-1]
    width = np.diff(np.append(edges, count))
    part = np.repeat(np.arange(len(edges)), width)
    order = np.lexsort((values, part))
    lowest, highest = order[edges], order[np.append(edges[1:], count) - 1]
    return np.unique(np.concatenate([[0], lowest, highest, [count - 1]]))
