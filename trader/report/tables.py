"""A run on the screen: the headline statistics in plain words, and what the limits did.

Law: made from the JSON document alone, so that a live run and `trader runs show` print the same;
plain ASCII at 80 columns, readable without colour; what is undefined says why. Fills at the
close they were decided on are flagged before any number.
"""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trader.moments import duration_text
from trader.report.explain import why_no_trades
from trader.report.labels import NOT_DEFINED, RETURNS, TRADES, Format, money, share
from trader.report.notes import annual_note, benchmark_note, interval_note
from trader.report.reasons import note

REASONS_SHOWN = 6  # of each kind
WIDTHS = (23, 14, 24, 14)  # label, value, label, value: 80 columns with the gaps


def summary_view(document: Mapping[str, Any]) -> Group:
    """Everything about one run: header, warnings, statistics, risk block."""
    parts: list[RenderableType] = [_header(document)]
    parts += [Text(line, style="bold red") for line in warnings(document)]
    reasons = why_no_trades(document)
    parts += [Text(line, style="yellow") for line in reasons]
    if document["bars"]:
        parts += [_heading("Result"), headline_table(document["metrics"], RETURNS)]
        parts += [_heading("Trades"), headline_table(document["metrics"], TRADES)]
        parts += _undefined_notes(document["metrics"])
        parts += _notes(document["metrics"])
        parts += exit_lines(document["metrics"])
        parts += [_heading("Risk"), *risk_view(document)]
    return Group(*parts)


def _notes(metrics: Mapping[str, Any]) -> list[RenderableType]:
    """What belongs to the figures: how sure they are, what they are a year of, and against what."""
    told = (benchmark_note(metrics), interval_note(metrics), annual_note(metrics))
    return [Text(line) for note_ in told for line in textwrap.wrap(note_, 80)]


def exit_lines(metrics: Mapping[str, Any]) -> list[RenderableType]:
    """Why trades closed, and what the order of prices inside a bar decided; none of old runs."""
    lines: list[RenderableType] = []
    exits = metrics.get("exits", {})
    if exits and set(exits) != {"SIGNAL"}:
        told = ", ".join(f"{name} {count:,}" for name, count in exits.items())
        lines += [Text(line) for line in textwrap.wrap(f"Trades closed by: {told}", 80)]
    doubtful = metrics.get("ambiguous_fills", 0)
    if doubtful:
        told = (
            f"{doubtful:,} fill{'' if doubtful == 1 else 's'} ambiguous: stop and target, or entry "
            "and stop, inside one bar, of which the worse was taken (broker.intrabar); the best "
            f"order of prices would have made {money(metrics['ambiguous_best'])} more"
        )
        lines += [Text(line) for line in textwrap.wrap(told, 80)]
    return lines


def warnings(document: Mapping[str, Any]) -> list[str]:
    """What makes the numbers better than real trading would have been, or unfinished."""
    risk = document["risk"]
    lines = []
    if risk["fill_rule"] == "same_close":
        lines.append(
            "WARNING: broker.fill is same_close. Orders filled at the very close they were\n"
            "decided on, which no real order can do. Do not trust these numbers."
        )
    seen = document.get("in_sample")
    if seen is not None and seen["bars"]:
        lines.append(
            f"WARNING: in sample. {seen['share']:.1%} of the bars lie in what the model was\n"
            f"trained on ({seen['trained_from']} to {seen['trained_to']}).\n"
            "There, the result says nothing of other data." + _made_in_and_out(seen)
        )
    if risk["trading_state"] != "ACTIVE":
        lines.append(
            f"Trading ended {risk['trading_state']} since {risk['state_since']}: "
            f"{risk['state_reason']}"
        )
    return lines


def _made_in_and_out(seen: Mapping[str, Any]) -> str:
    """What was made on bars that the model had learned from, and on those it had not."""
    if seen.get("pnl_outside") is None or seen["share"] >= 1.0:
        return ""
    return (
        f"\nMade on the bars it learned from: {money(seen['pnl_inside'])}; "
        f"on those it had never seen: {money(seen['pnl_outside'])}."
    )


def headline_table(metrics: Mapping[str, Any], rows: Iterable[tuple[str, str, Format]]) -> Table:
    """Two statistics a line, label and value."""
    table = Table.grid(padding=(0, 1), collapse_padding=True)
    for index, width in enumerate(WIDTHS):
        is_value = index % 2 == 1
        table.add_column(
            width=width,
            justify="right" if is_value else "left",
            no_wrap=True,
            style="bold" if is_value else "",
        )
    cells: list[str] = []
    for label, key, style in rows:
        value = metrics.get(key)
        cells += [label, NOT_DEFINED if value is None else style(value)]
    for start in range(0, len(cells), len(WIDTHS)):
        left_label, left, right_label, right = cells[start : start + len(WIDTHS)]
        table.add_row(left_label, left, f"   {right_label}", right)
    return table


def risk_view(document: Mapping[str, Any]) -> list[RenderableType]:
    """What the limits did, how close losses came to theirs, and the trading state."""
    risk = document["risk"]
    table = Table.grid(padding=(0, 1))
    table.add_column(width=WIDTHS[0], no_wrap=True)
    table.add_column(style="bold")
    for label, value in _risk_rows(document, risk):
        table.add_row(label, value)
    views: list[RenderableType] = [table]
    reasons = reason_table(risk)
    if reasons.row_count:
        views += [Text(), reasons]
    return views


def _risk_rows(document: Mapping[str, Any], risk: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and value of each line of the risk block."""
    loss, loss_limit = risk["worst_daily_loss"], risk["max_daily_loss"]
    drawdown, drawdown_limit = risk["worst_drawdown_frac"], risk["max_drawdown_frac"]
    rows = [
        ("Orders requested", f"{risk['requested']:,}"),
        ("  sent", f"{risk['approved']:,}"),
        ("  denied", f"{document['denied']:,}"),
        ("  cut by throttles", f"{document['throttled']:,}"),
        ("  cut by limits", f"{sum(risk['trimmed_by_reason'].values()):,}"),
        ("Worst daily loss", _against_limit(loss, loss_limit, money)),
        ("Worst drawdown", _against_limit(drawdown, drawdown_limit, share)),
        ("Time halted", _time_in_state(risk, "halted")),
        ("Time reducing only", _time_in_state(risk, "reducing")),
        ("Trading state at end", risk["trading_state"]),
    ]
    closing = document["orders"] - risk["approved"]  # no decision is behind these
    if closing > 0:
        rows.insert(2, ("  sent to close", f"{closing:,}"))
    if risk["state_changes_total"]:
        last = risk["state_changes"][-1]
        text = f"{last['from']} to {last['to']} at {last['time']} {last['reason']}".rstrip()
        rows.append((f"State changes ({risk['state_changes_total']:,})", f"last {text}"))
    if risk["orders_working_at_end"] or risk["open_positions"]:
        working, held = risk["orders_working_at_end"], len(risk["open_positions"])
        orders = f"{working:,} working order{'' if working == 1 else 's'}"
        positions = f"{held:,} open position{'' if held == 1 else 's'}"
        rows.append(("Left at the end", f"{orders}, {positions}"))
    if risk.get("fees_due"):
        rows.append(("Fees and interest not paid yet", money(risk["fees_due"])))
    return rows


def reason_table(risk: Mapping[str, Any]) -> Table:
    """Counts by outcome and reason, with what each means and the config key behind it."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("Outcome", no_wrap=True)
    table.add_column("Reason", no_wrap=True)
    table.add_column("Count", justify="right", no_wrap=True)
    table.add_column("Because")
    outcomes = ("denied", "trimmed", "throttled", "held", "cancelled")
    for outcome in outcomes:
        counts = list(risk[f"{outcome}_by_reason"].items())
        for name, count in counts[:REASONS_SHOWN]:
            words, key = note(name)
            because = f"{words} ({key})" if key else words
            table.add_row(outcome, name, f"{count:,}", because)
        hidden = counts[REASONS_SHOWN:]
        if hidden:
            total = sum(count for _, count in hidden)
            table.add_row(outcome, f"{len(hidden)} others", f"{total:,}", "")
    return table


def _header(document: Mapping[str, Any]) -> Text:
    metrics = document["metrics"]
    text = Text(str(document["run_id"]), style="bold")
    if document["bars"]:
        days = metrics["trading_days"]
        text.append(
            f"\n{metrics['first_slice']} to {metrics['last_slice']}, {days:,} trading "
            f"day{'' if days == 1 else 's'}\n{document['bars']:,} bars in "
            f"{document['slices']:,} slices, {document['fills']:,} fills at "
            f"{_fill_words(document)}, {document['engine']} engine",
            style="not bold",
        )
    return text


def _fill_words(document: Mapping[str, Any]) -> str:
    """The fill rule in words."""
    is_next_open = document["risk"]["fill_rule"] == "next_open"
    return "the next open" if is_next_open else "the SAME CLOSE"


def _heading(title: str) -> Text:
    return Text(f"\n{title}", style="bold cyan")


def _against_limit(value: float, limit: float | None, style: Format) -> str:
    if limit is None:
        return f"{style(value)}, no limit set"
    used = f" ({value / limit * 100:,.0f} %)" if limit > 0.0 else ""
    return f"{style(value)} of {style(limit)} allowed{used}"


def _time_in_state(risk: Mapping[str, Any], state: str) -> str:
    if risk[f"{state}_s"] == 0.0:
        return "none before its end" if risk["trading_state"] == state.upper() else "none"
    return f"{duration_text(risk[f'{state}_s'])} ({share(risk[f'{state}_frac'])} of the time)"


def _undefined_notes(metrics: Mapping[str, Any]) -> list[RenderableType]:
    """Why shown statistics have no value, and what to know of those that have one."""
    labels = {key: label for label, key, _ in (*RETURNS, *TRADES)}
    by_reason: dict[str, list[str]] = {}
    for key, reason in metrics["undefined"].items():
        if key in labels:
            by_reason.setdefault(reason, []).append(labels[key])
    notes: list[RenderableType] = [
        Text(f"{NOT_DEFINED}: {reason} ({', '.join(names)})", style="dim")
        for reason, names in by_reason.items()
    ]
    for key, warning in metrics.get("warnings", {}).items():
        notes.append(Text(f"WARNING: {labels.get(key, key)}: {warning}", style="yellow"))
    return notes
