"""Sentences that belong to the figures: their uncertainty, their year, their benchmark.

Law: made from metrics alone; "" where there is nothing to say, as of runs before there was it.
"""

from collections.abc import Mapping
from typing import Any

from trader.report.labels import NOT_DEFINED, RETURNS, TRADES, Format, ratio, signed_share

SURE = ("cagr", "sharpe", "max_drawdown", "profit_factor")  # of what the terminal tells
FORMS = {key: form for _, key, form in (*RETURNS, *TRADES)}
LABELS = {key: label for label, key, _ in (*RETURNS, *TRADES)}
AGAINST: tuple[tuple[str, str, Format], ...] = (
    ("total return", "total_return", signed_share),
    ("alpha a year", "alpha", signed_share),
    ("beta", "beta", ratio),
    ("correlation", "correlation", ratio),
    ("information ratio", "information_ratio", ratio),
)


def annual_note(metrics: Mapping[str, Any]) -> str:
    """What yearly figures are annualised by."""
    by = {key: year for key, year in metrics.get("annualised_by", {}).items() if key in LABELS}
    if not by or metrics["trading_days"] == 0:
        return ""
    year = next(iter(by.values()))
    names = ", ".join(LABELS[key].removesuffix(" a year") for key in by)
    return f"Annualised by {year:,.6g} sessions a year: {names}."


def interval_words(key: str, interval: Mapping[str, Any]) -> str:
    """`0.12 to 2.40`, or an end that there is not in words."""
    low, high = interval["low"], interval["high"]
    form = FORMS[key]
    if high is None:
        return "no upper end" if low is None else f"{form(low)} or more"
    return f"up to {form(high)}" if low is None else f"{form(low)} to {form(high)}"


def interval_note(metrics: Mapping[str, Any]) -> str:
    """How far the order of days and trades alone moves the figures."""
    found = metrics.get("intervals", {})
    told = [f"{LABELS[key]} {interval_words(key, found[key])}" for key in SURE if key in found]
    if not told:
        return ""
    about = found["about"]
    return f"{about['level']:.0%} intervals ({about['method']}): {'; '.join(told)}."


def benchmark_note(metrics: Mapping[str, Any]) -> str:
    """The run against its benchmark."""
    found = metrics.get("benchmark")
    if not found:
        return ""
    told = (
        f"{label} {NOT_DEFINED if found[key] is None else form(found[key])}"
        for label, key, form in AGAINST
    )
    return f"Against {found['name']} over {found['sessions']:,} sessions: {', '.join(told)}."
