"""What a sweep says when it is over: the best trial, its neighbours, and how much of it is luck.

Law: made from the recorded trials alone. What cannot be said has its reason in words. All trials
count that were ever run on the same data, failed ones too.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trader.jobs.sweep.record import Moments
from trader.jobs.sweep.space import Parameter
from trader.report.overfitting import (
    deflated_sharpe,
    overfitting_probability,
    return_of,
    sharpe_of,
    sortino_of,
)

Row = dict[str, Any]
TOP = 10
LOWER_IS_BETTER = ("max_drawdown",)
MOST_FOR_PBO = 2_000  # trials: the best ones, beyond it


def score(row: Row, objective: str) -> float | None:
    """What a trial is judged by, higher is better; None for a trial without it."""
    value = row.get(objective)
    if row["state"] != "done" or value is None or not math.isfinite(value):
        return None
    return -float(value) if objective in LOWER_IS_BETTER else float(value)


def ranking(rows: Sequence[Row], objective: str) -> list[Row]:
    """Trials that have a score, best first; equal ones by number."""
    scored = [(value, row) for row in rows if (value := score(row, objective)) is not None]
    return [row for _, row in sorted(scored, key=lambda pair: (-pair[0], pair[1]["trial"]))]


def with_neighbours(
    best: Sequence[Row], rows: Sequence[Row], parameters: Sequence[Parameter], objective: str
) -> list[Row]:
    """The best rows, each with the mean and the worst objective of the trials one step away.

    A step is the next value of one parameter that has an order; words have no neighbours.
    """
    keys = [parameter.key for parameter in parameters]
    by_values = {tuple(row[key] for key in keys): row for row in rows}
    told = []
    for row in best:
        near = []
        for place, parameter in enumerate(parameters):
            if not parameter.is_ordered:
                continue
            values = sorted(parameter.values)  # type: ignore[type-var]  # numbers
            here = values.index(row[parameter.key])
            for other in (here - 1, here + 1):
                if 0 <= other < len(values):
                    found = [row[key] for key in keys]
                    found[place] = values[other]
                    neighbour = by_values.get(tuple(found))
                    if neighbour is not None and score(neighbour, objective) is not None:
                        near.append(float(neighbour[objective]))
        worst = max if objective in LOWER_IS_BETTER else min
        told.append(
            {
                **row,
                "neighbours": len(near),
                "neighbours_mean": float(np.mean(near)) if near else None,
                "neighbours_worst": worst(near) if near else None,
            }
        )
    return told


def overfitting(history: Moments, best: Row | None, counted: int) -> dict[str, Any]:
    """Deflated Sharpe and PBO as a document; `counted` is how many trials were ever run."""
    document: dict[str, Any] = {"trials_counted": counted, "undefined": {}}
    names = ("sharpe_daily", "expected_sharpe_of_luck_daily", "deflated_sharpe", "pbo")
    document |= dict.fromkeys(names)
    if history.sums is None or best is None:
        why = "needs at least 8 trading days, the same for all trials"
        document["undefined"] = dict.fromkeys(names, why)
        return document
    sums, whole = history.sums, history.sums.sum(axis=1)
    sharpes = sharpe_of(whole)
    known = sharpes[np.isfinite(sharpes)]
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else 0.0
    chosen = whole[int(np.flatnonzero(history.trials == best["trial"])[0])]
    found = deflated_sharpe(chosen, variance, counted)
    if found is None:
        document["undefined"] |= dict.fromkeys(names[:3], "the best trial's returns do not vary")
    else:
        document["sharpe_daily"] = found.sharpe
        document["expected_sharpe_of_luck_daily"] = found.expected_of_luck
        document["deflated_sharpe"] = _finite(found.probability)
    if len(sums) > MOST_FOR_PBO:
        order = np.argsort(-np.nan_to_num(sharpes, nan=-np.inf), kind="stable")
        sums = sums[np.sort(order[:MOST_FOR_PBO])]
    document["pbo"] = overfitting_probability(sums)
    if document["pbo"] is None:
        document["undefined"]["pbo"] = "needs at least 2 trials whose returns vary"
    return document


def folds(
    history: Moments, objective: str, rows: Sequence[Row], per_year: float
) -> list[dict[str, Any]]:
    """Of each fold: the trial that is best on all the others, and how it did in this one.

    Sharpe and Sortino are a year's.
    """
    if history.folds is None:
        return []
    sums = history.folds
    whole = sums.sum(axis=1)
    judged = {"sharpe": sharpe_of, "sortino": sortino_of}.get(objective, return_of)
    scale = 1.0 if judged is return_of else math.sqrt(per_year)
    by_trial = {row["trial"]: row for row in rows}
    told = []
    for fold in range(sums.shape[1]):
        inside = judged(whole - sums[:, fold])
        if not np.isfinite(inside).any():
            continue
        place = int(np.nanargmax(inside))
        outside = sums[place, fold]
        told.append(
            {
                "fold": fold + 1,
                "days": int(outside[0]),
                "chosen_by": judged.__name__.removesuffix("_of"),
                "in_sample": float(inside[place]) * scale,
                "out_of_sample": _finite(judged(outside) * scale),
                "out_of_sample_return": _finite(return_of(outside)),
                "out_of_sample_rank": _rank(judged(sums[:, fold]), place),
                **by_trial[int(history.trials[place])],
            }
        )
    return told


def _rank(values: np.ndarray, place: int) -> int | None:
    """1 for the best of a fold; None where the value is not defined."""
    if not np.isfinite(values[place]):
        return None
    return 1 + int(np.count_nonzero(values > values[place]))


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def in_words(document: dict[str, Any], per_year: float) -> str:
    """What the number of trials does to the best of them, in one sentence."""
    counted = document["trials_counted"]
    luck, own = document["expected_sharpe_of_luck_daily"], document["sharpe_daily"]
    if luck is None or own is None:
        why = next(iter(document["undefined"].values()), "too few days")
        return f"{counted:,} trials; what luck did among them cannot be said: {why}."
    year = math.sqrt(per_year)
    words = (
        f"The best of {counted:,} trials has a Sharpe ratio of {own * year:.2f}; the best of as "
        f"many without any skill would show about {luck * year:.2f} on this data. "
        f"That it is better than luck has a probability of {document['deflated_sharpe']:.2f}"
    )
    if document["pbo"] is None:
        return words + "."
    return words + (
        f"; in {document['pbo']:.0%} of the ways to halve the history, the best of one half was "
        "below the middle in the other."
    )
