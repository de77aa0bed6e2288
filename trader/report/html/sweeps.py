"""The page of a sweep: the best with their neighbours, heat maps, what luck did, every trial.

Law: numbers are those of the sweep's document and of trials.parquet. A cell of a heat map is the
mean of the objective over all trials that have these two values; its shade is its rank.
"""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from trader.report.html.data import MOST_ORDERS, Kind, finite, table
from trader.report.html.markup import facts, flat, section, text
from trader.report.sweepview import figure, ridge, short_names

MOST_CELLS = 40  # of one side: beyond it values are left out, evenly
MOST_MAPS = 10
SHADES = 7
LOWER_IS_BETTER = ("max_drawdown",)
RESULTS = ("total_return", "sharpe", "sortino", "max_drawdown", "final_equity", "trades")
Rows = Sequence[Mapping[str, Any]]


class SweepBody(NamedTuple):
    """What the page holds: its words, and the table of trials that page.js fills."""

    body: str
    table: dict[str, Any]


def sweep_body(document: Mapping[str, Any], keys: Sequence[str], rows: Rows) -> SweepBody:
    """Everything between head and data."""
    failed = f", {document['failed']:,} of them failed" if document["failed"] else ""
    head = (
        f"<header><h1>{text(document['run_id'] or 'Sweep')}</h1>"
        f'<p class="soft">{document["trials"]:,} trials{failed} · {text(document["sampler"])} · '
        f"judged by {text(document['objective'])}</p></header>"
    )
    left = max(len(rows) - MOST_ORDERS, 0)
    more = f"The first {MOST_ORDERS:,}; {left:,} more are in trials.parquet." if left else ""
    parts = [
        section(
            "luck", "What it is worth", f"<p>{text(document['in_words'])}</p>", _luck(document)
        ),
        section("best", "The best, and what is near them", *_best(document, keys)),
        section("maps", "Heat maps", *_maps(document, keys, rows)),
    ]
    if document["folds"]:
        parts.append(section("folds", "Out of sample", *_folds(document, keys)))
    inside = f'<p class="soft">{more}</p><div id="all-trials"></div>'
    parts.append(section("trials", "Every trial", inside))
    return SweepBody(f"{head}<main>{''.join(parts)}</main>", _trials(keys, rows))


def _luck(document: Mapping[str, Any]) -> str:
    found = {key: value for key, value in document["overfitting"].items() if key != "undefined"}
    rows = [*flat(found), *document["overfitting"]["undefined"].items()]
    return facts(rows)


def _best(document: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    if not document["top"]:
        return ["<p>No trial has a value to be judged by.</p>"]
    objective = document["objective"]
    names = [objective, "neighbours_mean", "neighbours_worst"]
    names += [name for name in RESULTS if name != objective]
    head = [*short_names(keys), objective, "neighbours", "worst neighbour", *names[3:]]
    rows = [
        [*(str(row[key]) for key in keys), *(figure(name, row) for name in names)]
        for row in document["top"]
    ]
    return [f"<p>{text(ridge(document))}</p>", _numbers("The best trials", head, rows)]


def _folds(document: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    head = ["fold", "days", *short_names(keys), "chosen by", "in sample", "out of sample", "rank"]
    rows = [
        [
            str(fold["fold"]),
            f"{fold['days']:,}",
            *(str(fold[key]) for key in keys),
            fold["chosen_by"],
            figure("in_sample", fold),
            figure("out_of_sample", fold),
            str(fold["out_of_sample_rank"] or "n/a"),
        ]
        for fold in document["folds"]
    ]
    told = "In each part of the history: the trial that is best on all the others, and its rank."
    return [f'<p class="soft">{told}</p>', _numbers("Folds", head, rows)]


def _numbers(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are all figures."""
    top = "".join(f'<th scope="col" class="number">{text(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td class="number">{text(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return (
        '<div class="wide" tabindex="0" role="region" '
        f'aria-label="{text(title)}"><table><thead>'
        f"<tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _maps(document: Mapping[str, Any], keys: Sequence[str], rows: Rows) -> list[str]:
    """A map of each pair of parameters, the first with many values."""
    objective = document["objective"]
    values = {key: _ordered({row[key] for row in rows}) for key in keys}
    varied = [key for key in keys if len(values[key]) > 1]
    scored = [row for row in rows if finite_number(row.get(objective))]
    pairs = list(itertools.combinations(varied, 2)) or [(key, "") for key in varied]
    if not pairs or not scored:
        return ["<p>One combination has no map.</p>"]
    made = [_map(pair, values, scored, objective) for pair in pairs[:MOST_MAPS]]
    if len(pairs) > MOST_MAPS:
        made.append(f"<p>{len(pairs) - MOST_MAPS} more pairs of parameters are not drawn.</p>")
    better = "least" if objective in LOWER_IS_BETTER else "most"
    told = f"Mean {objective} of the trials with these values; framed: the {better}."
    return [f'<p class="soft">{text(told)}</p>', *made]


def _map(
    pair: tuple[str, str], values: Mapping[str, Sequence[Any]], rows: Rows, objective: str
) -> str:
    down, across = pair
    sums: dict[tuple[Any, Any], list[float]] = {}
    for row in rows:
        place = (row[down], row[across] if across else "")
        sums.setdefault(place, []).append(float(row[objective]))
    means = {place: math.fsum(found) / len(found) for place, found in sums.items()}
    is_lower = objective in LOWER_IS_BETTER
    scores = {place: -mean if is_lower else mean for place, mean in means.items()}
    ranked = sorted(scores.values())
    low, high = ranked[0], ranked[-1]
    columns = _thinned(values[across]) if across else [""]
    top = "".join(f'<th scope="col">{text(value)}</th>' for value in columns)
    lines = []
    for value in _thinned(values[down]):
        cells = [f'<th scope="row">{text(value)}</th>']
        for column in columns:
            place = (value, column)
            if place not in means:
                cells.append("<td>·</td>")
                continue
            rank = bisect_left(ranked, scores[place]) + bisect_right(ranked, scores[place]) - 1
            share = rank / 2 / max(1, len(ranked) - 1) if high > low else 0.5
            best = " best" if scores[place] == high and high > low else ""
            shade = min(SHADES - 1, int(share * SHADES))
            shown = figure(objective, {objective: means[place]})
            cells.append(f'<td class="h{shade}{best}">{text(shown)}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    title = f"{down} (down) and {across} (across)" if across else down
    return (
        f'<h3>{text(title)}</h3><div class="wide heat" tabindex="0" role="region" '
        f'aria-label="{text(title)}"><table><thead><tr><td></td>{top}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _ordered(values: set[Any]) -> list[Any]:
    """Numbers by size, everything else as text."""
    if all(isinstance(value, int | float) for value in values):
        return sorted(values)
    return sorted(values, key=str)


def _thinned(values: Sequence[Any]) -> list[Any]:
    if len(values) <= MOST_CELLS:
        return list(values)
    last = len(values) - 1
    places = {round(place * last / (MOST_CELLS - 1)) for place in range(MOST_CELLS)}
    return [values[place] for place in sorted(places)]


def finite_number(value: Any) -> bool:
    """Whether a cell of the table is a number."""
    return isinstance(value, int | float) and math.isfinite(value)


def _trials(keys: Sequence[str], rows: Rows) -> dict[str, Any]:
    shown = rows[:MOST_ORDERS]
    kinds = [Kind("trial", "Trial", "number")]
    names = short_names(keys)
    kinds += [Kind(key, name, "value") for key, name in zip(keys, names, strict=True)]
    shares = ("total_return", "max_drawdown")
    kinds += [Kind(name, name, "percent" if name in shares else "number") for name in RESULTS]
    kinds += [Kind(name, name, "text") for name in ("state", "trading_state", "error")]
    columns = {kind.name: [finite(row[kind.name]) for row in shown] for kind in kinds}
    return table("all-trials", "Every trial", tuple(kinds), columns)
