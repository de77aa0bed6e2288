"""UTC nanoseconds as text, and durations in words.

Law: an instant is written as ISO-8601 with a trailing Z and only as many decimals as it needs;
nothing here knows a local time zone or reads a clock.
"""

import numpy as np

from trader.core.schema import NS_PER_SECOND

NS_PER_MS = 1_000_000
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def iso_utc(ts_ns: int) -> str:
    """`2019-02-11T14:31:00Z`; decimals of a second only where there are any."""
    whole, rest = divmod(int(ts_ns), NS_PER_SECOND)
    text = str(np.datetime64(whole, "s"))
    decimals = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{text}{decimals}Z"


def seconds(ns: int) -> float:
    """Nanoseconds as seconds."""
    return ns / NS_PER_SECOND


def duration_text(value_s: float) -> str:
    """A duration in its two largest units: `3 d 4 h`, `12 min`, `0 s`."""
    rest = round(value_s)
    parts = []
    for size, name in UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:,} {name}")
    return " ".join(parts[:2]) or "0 s"
