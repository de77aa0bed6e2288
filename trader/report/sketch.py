"""Equity and drawdown as one small picture, for a notebook: SVG, drawn without any library.

Law: of many points each column of the picture keeps the lowest and the highest, so that no extreme
is lost; the last value is always there. Colours follow the page around it.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trader.moments import iso_utc

WIDTH, HEIGHT, FALL, LEFT, TOP = 760, 200, 70, 84, 24
COLUMNS = 600


@dataclass(frozen=True)
class Picture:
    """An SVG that shows itself in a notebook."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Write the picture to a file."""
        target = Path(path)
        target.write_text(self.svg, encoding="utf-8")
        return target


def equity_picture(ts_ns: np.ndarray, equity: np.ndarray, drawdown: np.ndarray) -> Picture:
    """Equity above, drawdown (a fraction, 0 … 1) below, over int64 UTC nanoseconds."""
    inner = WIDTH - LEFT - 12
    if len(equity) == 0:
        return Picture(_svg([_text(LEFT, TOP, "no bars were run")]))
    rows = extremes(equity, COLUMNS)
    falls = extremes(-drawdown, COLUMNS)
    low, high = float(equity.min()), float(equity.max())
    deepest = float(drawdown.max())
    below = TOP + HEIGHT + 24
    x = (ts_ns - ts_ns[0]) / max(int(ts_ns[-1] - ts_ns[0]), 1) * inner + LEFT
    y = TOP + HEIGHT - (equity - low) / ((high - low) or 1.0) * HEIGHT
    down = below + drawdown / (deepest or 1.0) * FALL
    parts = [
        _line(x[rows], y[rows], "#2f6fdb"),
        _line(x[falls], down[falls], "#c23b3b"),
        _text(4, TOP + 10, f"{high:,.0f}"),
        _text(4, TOP + HEIGHT, f"{low:,.0f}"),
        _text(4, below + 10, "0 %"),
        _text(4, below + FALL, f"-{deepest:.1%}"),
        _text(LEFT, TOP - 8, f"Equity, {float(equity[-1]):,.2f} at the end"),
        _text(LEFT, below - 6, "Drawdown"),
        _text(LEFT, below + FALL + 18, iso_utc(int(ts_ns[0]))),
        _text(WIDTH - 170, below + FALL + 18, iso_utc(int(ts_ns[-1]))),
    ]
    return Picture(_svg(parts))


def extremes(values: np.ndarray, columns: int) -> np.ndarray:
    """Rows of the lowest and highest value of each of `columns` parts, the ends included."""
    if len(values) <= 2 * columns:
        return np.arange(len(values))
    cuts = np.linspace(0, len(values), columns + 1).astype(int)
    kept = [0, len(values) - 1]
    for first, last in itertools.pairwise(cuts):
        part = values[first:last]
        kept += [first + int(part.argmin()), first + int(part.argmax())]
    return np.unique(kept)


def _line(x: np.ndarray, y: np.ndarray, colour: str) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1.2" points="{points}"/>'


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x}" y="{y}">{text}</text>'


def _svg(parts: list[str]) -> str:
    height = TOP + HEIGHT + 24 + FALL + 28
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        'role="img" aria-label="Equity and drawdown" font-family="sans-serif" font-size="12" '
        f'fill="currentColor">{"".join(parts)}</svg>'
    )
