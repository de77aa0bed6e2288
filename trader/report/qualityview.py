"""`trader data check` on the screen, at 80 columns and without colour.

Law: made from the same documents that `--json` prints.
"""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trader.config.scalars import PERIODS

SYMBOLS_SHOWN = 30
GAPS_SHOWN = 5


def quality_view(document: Mapping[str, Any]) -> Group:
    """All checks of one call, one below the other."""
    parts: list[RenderableType] = []
    for check in document["checks"]:
        parts += [Text(), *_check(check)] if parts else _check(check)
    return Group(*parts)


def _period(seconds: float) -> str:
    """A day, week or month by its name, anything else in seconds."""
    named = {length: f"a {name}" for name, length in PERIODS.items()}
    return named.get(seconds, f"{seconds:g} s")


def _check(check: Mapping[str, Any]) -> list[RenderableType]:
    if "error" in check:
        return [Text(f"{check['path']}: cannot be read", style="bold red")]
    passed = check["passed"]
    verdict = Text("passed" if passed else "FAILED", style="bold green" if passed else "bold red")
    rows = sum(file["rows"] for file in check["files"])
    parts: list[RenderableType] = [
        *(Text(file["path"], style="bold") for file in check["files"]),
        Text(
            f"{rows:,} rows, {_symbol_count(check['symbols'])}, bars of "
            f"{_period(check['bar_period_seconds'])}, market hours {check['market_hours']}: "
        ).append_text(verdict),
        Text(),
        _classes(check["classes"]),
        Text(),
        _symbols(check["symbols"]),
    ]
    if check["largest_gaps"]:
        parts += [Text(), *_gaps(check)]
    parts += _remarks(check)
    return parts


def _symbol_count(symbols: Mapping[str, Any]) -> str:
    return f"{len(symbols)} symbol" + ("" if len(symbols) == 1 else "s")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        right = name in ("Found", "Bars", "Missing")
        table.add_column(name, justify="right" if right else "left", no_wrap=right)
    return table


def _classes(classes: Mapping[str, Any]) -> Table:
    table = _table("Class", "Policy", "Found", "Rule", "First")
    for kind, entry in classes.items():
        count = entry["count"]
        bad = count and entry["policy"] == "error"
        first = entry["examples"][0]["place"].rsplit("/", 1)[-1] if count else ""
        style = "red" if bad else "yellow" if count else ""
        table.add_row(kind, entry["policy"], f"{count:,}", entry["rule"], first, style=style)
    return table


def _symbols(symbols: Mapping[str, Any]) -> Table:
    table = _table("Symbol", "Bars", "First close", "Last close")
    for name, known in list(symbols.items())[:SYMBOLS_SHOWN]:
        table.add_row(name, f"{known['rows']:,}", known["first"], known["last"])
    if len(symbols) > SYMBOLS_SHOWN:
        table.add_row("…", f"{len(symbols) - SYMBOLS_SHOWN} more", "", "")
    return table


def _gaps(check: Mapping[str, Any]) -> list[RenderableType]:
    table = _table("Symbol", "Missing", "After the bar of", "Before the bar of")
    for gap in check["largest_gaps"][:GAPS_SHOWN]:
        table.add_row(gap["symbol"], f"{gap['missing_bars']:,}", gap["after"], gap["before"])
    return [Text(f"Largest gaps ({check['missing_bars']:,} bars missing in all)"), table]


def _remarks(check: Mapping[str, Any]) -> list[RenderableType]:
    counts = {
        "rows left out": check["dropped_total"],
        "quotes with bid above ask": check["crossed_quotes"],
        "bars without bid or ask": check["missing_quotes"],
        "bars off the grid of the bar period": check["off_grid"],
        f"bars outside the trading hours of {check['market_hours']}": check["outside_hours"],
    }
    lines = [f"{count:,} {what}" for what, count in counts.items() if count]
    if check["open_ended"]:
        lines.append("the last line has no line end, and may have been cut off")
    if check["unknown_symbols"]:
        names = ", ".join(sorted(check["unknown_symbols"])[:8])
        lines.append(f"rows of symbols that are not instruments: {names}")
    if check["extra_columns"]:
        lines.append(f"columns not used: {', '.join(check['extra_columns'])}")
    return [Text(), *(Text(line) for line in lines)] if lines else []
