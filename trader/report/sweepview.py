"""A sweep on the screen: the best trials with their neighbours, and what they are worth.

Law: made from the JSON document alone; plain words, no number that the document does not have.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trader.report.labels import NOT_DEFINED, money

ERRORS_SHOWN = 3
LONGEST_HEADING = 10  # on one line
PARTS = ("total_return", "max_drawdown")


def sweep_view(document: Mapping[str, Any], params: Sequence[str]) -> Group:
    """Everything that a person needs to choose."""
    failed = f", {document['failed']:,} of them failed" if document["failed"] else ""
    seconds = document["timing"]["trials_s"]
    taken = f"{seconds:.1f} s" if seconds >= 1.0 else f"{1000.0 * seconds:.0f} ms"
    parts: list[RenderableType] = [
        Text(f"{document['trials']:,} trials{failed}, in {taken}", style="bold")
    ]
    for message, count in list(document["errors"].items())[:ERRORS_SHOWN]:
        parts.append(Text(f"  {count:,} x {message}", style="yellow"))
    if document["top"]:
        parts += [Text(), _best(document, params)]
        parts.append(Text(ridge(document)))
    if document["folds"]:
        parts += [Text(), _folds(document["folds"], params)]
    parts += [Text(), Text(document["in_words"], style="bold")]
    if document["run_dir"]:
        parts.append(Text(f"{document['run_dir']}/trials.parquet"))
    return Group(*parts)


def _best(document: Mapping[str, Any], params: Sequence[str]) -> Table:
    objective = document["objective"]
    table = _table()
    for name in (*short_names(params), *_others(objective)):
        table.add_column(heading(name), justify="right", no_wrap=True)
    for row in document["top"]:
        shown = [str(row[key]) for key in params]
        shown += [figure(name, row) for name in (objective, "neighbours_mean")]
        shown += [figure(name, row) for name in _plain(objective)]
        table.add_row(*shown)
    return table


def _plain(objective: str) -> list[str]:
    names = ("total_return", "sharpe", "max_drawdown", "final_equity", "trades")
    return [name for name in names if name != objective]


def _others(objective: str) -> list[str]:
    return [objective, "neighbours", *_plain(objective)]


def figure(name: str, row: Mapping[str, Any]) -> str:
    """A figure of a trial, as people read it."""
    value = row.get(name)
    if value is None or value != value:
        return NOT_DEFINED
    if name in PARTS:
        return f"{value * 100:,.2f} %"
    if name == "final_equity":
        return money(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def ridge(document: Mapping[str, Any]) -> str:
    """Whether the best trial stands alone."""
    best, name = document["top"][0], document["objective"]
    if not best["neighbours"]:
        return "The best has no neighbours that were tried: nothing says whether it stands alone."
    own, near = best[name], best["neighbours_mean"]
    worst = best["neighbours_worst"]
    words = f"The {best['neighbours']} trials one step from the best have {name} {near:.3f} on "
    words += f"average, {worst:.3f} at worst; the best has {own:.3f}. "
    lower = name == "max_drawdown"
    is_far = near > 2 * own if lower else near < own / 2
    return words + ("It is a spike: do not trust it." if is_far else "It is not a spike.")


def _folds(folds: Sequence[Mapping[str, Any]], params: Sequence[str]) -> Table:
    table = _table()
    names = (
        "fold",
        "days",
        *short_names(params),
        "chosen by",
        "in sample",
        "out of sample",
        "rank",
    )
    for name in names:
        table.add_column(heading(name), justify="right", no_wrap=True)
    for fold in folds:
        values = [str(fold["fold"]), str(fold["days"]), *(str(fold[key]) for key in params)]
        values += [fold["chosen_by"], figure("in_sample", fold), figure("out_of_sample", fold)]
        table.add_row(*values, str(fold["out_of_sample_rank"] or NOT_DEFINED))
    return table


def heading(name: str) -> str:
    """A long name on two lines, so that 80 columns hold two parameters and every figure."""
    cut = max(map(name.rfind, "._ ")) + 1 if len(name) > LONGEST_HEADING else 0
    return f"{name[:cut].rstrip()}\n{name[cut:]}" if cut else name


def short_names(params: Sequence[str]) -> list[str]:
    """The last words of the keys, as many as tell them apart."""
    for words in range(1, 10):
        short = [".".join(key.split(".")[-words:]) for key in params]
        if len(set(short)) == len(params):
            return short
    return list(params)


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
