"""`trader train`: load, features, folds with their profit, fit, write. What the command calls.

Law: a fold is traded by a model that learned from what came before it alone, over its own bars,
from a fresh book, by the rules, costs and limits of the config: the core of a backtest.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trader.config.load import LoadedConfig
from trader.config.schema import Config
from trader.core.book import Inputs
from trader.core.schema import CashflowKind, TradingAction
from trader.engine.ruleset import build_rules
from trader.jobs.sweep.lean import LeanRunner
from trader.models.file_model import at_least_four
from trader.models.fitting import fit
from trader.models.folds import FoldRows, folds_of
from trader.models.label_kinds import META
from trader.models.model import predict_actions
from trader.models.model_card import Origin, write_model
from trader.models.model_in_memory import ModelInMemory, answers_of_meta, predictor_of, rules_of
from trader.models.prediction import Prediction
from trader.models.scores import class_scores, number_scores, reliability
from trader.models.training import TrainingRows, train_on, training_rows
from trader.moments import iso_utc
from trader.report.roundtrips import round_trips, with_splits
from trader.wiring import (
    NOTHING,
    History,
    InMemory,
    Progress,
    build_features,
    check_drivers,
    load_bars,
    search_paths,
)

SURE = 0.5  # from which probability of being right a fold trades what the rule says


@dataclass(frozen=True)
class _Course:
    """All that a fold needs: the config, its bars as they traded, and what is learned from."""

    config: Config
    history: History
    known: TrainingRows
    runner: LeanRunner


def train(
    loaded: LoadedConfig,
    config_files: Sequence[Path],
    path: Path,
    progress: Progress | None = None,
    given: InMemory = NOTHING,
) -> dict[str, Any]:
    """Fit the config's model, write it at `path` with its card; the card.

    Raises the errors of config, data, features and model.
    """
    config = loaded.config
    history = load_bars(config, given)
    features = build_features(config, history.sessions, search_paths(config_files))
    bars = history.bar_set.bars
    matrix = features.proved_batch(bars)
    known = training_rows(config, features.forward(bars), matrix, features.names)
    asked = 0 if config.train is None or config.train.split is None else config.train.split.folds

    def told(done: int) -> None:
        if progress is not None:
            progress("train", done, asked + 1)

    told(0)
    facts: dict[str, Any] = {}
    if asked:
        check_drivers(config, bars)
        course = _Course(config, history, known, LeanRunner())
        facts = _fold_facts(course, told)
    trained = train_on(config, known)
    told(asked + 1)
    trained = replace(trained, facts={**trained.facts, **facts})
    origin = Origin(loaded.sha256, [asdict(source) for source in history.bar_set.sources])
    return write_model(trained, path, config, features.names, origin)


def _fold_facts(course: _Course, told: Callable[[int], None]) -> dict[str, Any]:
    """What the card says of the folds: a row each, their mean, how far probabilities hold."""
    train = course.config.train
    assert train is not None
    assert train.split is not None
    rows, classes, answers = [], [], []
    for fold in folds_of(course.config, course.known):
        row, said = _fold(course, fold)
        rows.append(row)
        classes.append(course.known.labels.classes[course.known.rows[fold.tested]])
        answers.append(said)
        told(fold.number)
    pooled, said = np.concatenate(classes), np.concatenate(answers)
    names = course.known.labels.names
    held = {}
    if said.ndim == 2:
        held = {
            name: reliability(pooled, said, code)
            for code, name in enumerate(names)
            if name not in ("HOLD", "WRONG")
        }
    return {
        "split": {**train.split.model_dump(), "purged": True},
        "folds": rows,
        "folds_mean": _mean(rows),
        "reliability": held,
    }


def _fold(course: _Course, fold: FoldRows) -> tuple[dict[str, Any], np.ndarray]:
    """Learn, ask, trade; the row of the table, and the answers on the rows tested."""
    config, known = course.config, course.known
    fitted = fit(config, known.lesson(fold.learned, config))
    labels, tested = known.labels, known.rows[fold.tested]
    features = known.matrix[tested]
    is_number = fitted.codes is None
    if labels.names == META:
        assert fitted.codes is not None
        right = answers_of_meta(fitted.kind, fitted.data, fitted.codes, features)
        answers = np.stack([1.0 - right, right], axis=1)
    else:
        rules = rules_of(config, is_number)
        asked = predictor_of(fitted.kind, fitted.data, fitted.codes, rules)
        answers = np.asarray(asked.predict(at_least_four(features)))[: len(tested)]
    if is_number:
        scores = number_scores(labels.returns[tested], answers)
    else:
        scores = class_scores(labels.classes[tested], answers, len(labels.names))
    money = _traded(course, fold, fitted)
    row = {
        "fold": fold.number,
        "tested_from": iso_utc(fold.first_ns),
        "tested_to": iso_utc(fold.last_ns),
        "learned": len(fold.learned),
        "tested": len(tested),
        **scores,
        **money,
    }
    return row, answers


def _traded(course: _Course, fold: FoldRows, fitted: Any) -> dict[str, Any]:
    """The profit of a fold's model over the bars it is tested on."""
    config, known = course.config, course.known
    stamps = known.bars["ts_ns"]
    part = slice(*np.searchsorted(stamps, [fold.first_ns, fold.last_ns + 1]).tolist())
    seen, matrix = known.bars[part], known.matrix[part]
    if known.labels.names == META:
        from trader.models.model import load_model

        said = predict_actions(load_model(config, known.names, config.symbols), seen, matrix)
        alone = _run(course, part, said)
        warm = ~np.isnan(matrix).any(axis=1)
        right = np.zeros(len(seen))
        right[warm] = answers_of_meta(fitted.kind, fitted.data, fitted.codes, matrix[warm])
        actions = np.where(right > SURE, said.actions, np.int8(TradingAction.HOLD))
        return {**_run(course, part, said._replace(actions=actions)), "pnl_rule": alone["pnl"]}
    model = ModelInMemory(config, known.names, fitted.kind, fitted.data, fitted.codes)
    return _run(course, part, predict_actions(model, seen, matrix))


def _run(course: _Course, part: slice, said: Prediction) -> dict[str, Any]:
    config = course.config
    rules = build_rules(config, course.history.sessions)
    bar_set = course.history.bar_set
    detail = bar_set.detail.rows(part.start, part.stop)
    record = course.runner.run(rules, Inputs(bar_set.bars[part], *said, *detail))
    start = float(record.book.account[0]["start_equity"])
    final = float(record.equity[-1]) if len(record.equity) else start
    lots = np.array([instrument.lot_size for instrument in config.instruments])
    splits = record.cashflows[record.cashflows["kind"] == CashflowKind.SPLIT]
    trades = round_trips(with_splits(record.fills, splits), lots).closed
    return {
        "pnl": final - start,
        "commissions": float(record.fills["commission"].sum()),
        "round_trips": len(trades),
    }


def _mean(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of every score over the folds, and the sums of money and trades."""
    means: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name in ("pnl", "pnl_rule", "commissions", "round_trips", "tested"):
            means[name] = sum(values)
        elif name not in ("fold", "learned") and not isinstance(values[0], str):
            means[name] = None if None in values else float(np.mean(values))
    return means
