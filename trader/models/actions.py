"""From what a model answers to actions: one rule for every format.

    labels          the class of each row                  → its action
    probabilities   one column a class                     → the likeliest, or by threshold
    a number        a return, a margin, a probability      → above and below

Law: an action is taken only where the answer surely asks for it. A tie holds, and so does what
stays below its threshold (BELOW_THRESHOLD); an answer that is not finite holds (MODEL_INVALID).
Rows are answered one by one: no row's action depends on another row.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from trader.config.labels import to_label
from trader.config.sections.model import OutputRules
from trader.core.schema import Reason, TradingAction
from trader.errors import ConfigError, ModelError
from trader.models.answers import AnswerError, to_actions

SUM_TOLERANCE = 1e-3
HOLD = int(TradingAction.HOLD)


class ModelActions(NamedTuple):
    """What a model wants done, row by row."""

    actions: np.ndarray  # int8, TradingAction
    reasons: np.ndarray  # int16, Reason: why a HOLD is not the model's own
    scores: np.ndarray  # float64: probability or number behind the action; NaN where none is known


def plain(actions: np.ndarray) -> ModelActions:
    """Actions of a model that gives no score."""
    rows = len(actions)
    return ModelActions(actions, np.zeros(rows, np.int16), np.full(rows, np.nan))


def class_actions(path: str, rules: OutputRules, labels: Sequence[Any]) -> np.ndarray:
    """int8 (k,): the action of each class of a model.

    Raises `ModelError` where config and model do not name the same classes.
    """
    shown = ", ".join(map(str, labels))
    if rules.classes is None:
        return _actions_by_name(path, labels, shown)
    wanted = [_key_of(label, rules.classes) for label in labels]
    given = ", ".join(f"{label}: {action}" for label, action in rules.classes.items())
    missing = [str(label) for label, key in zip(labels, wanted, strict=True) if key is None]
    extra = [key for key in rules.classes if key not in wanted]
    if missing or extra:
        parts = [f"not in model.classes: {', '.join(missing)}"] if missing else []
        parts += [f"not the model's: {', '.join(extra)}"] if extra else []
        raise ModelError(
            f"model.path {path}: its {len(labels)} classes are {shown}, and model.classes has "
            f"{given} ({'; '.join(parts)}); name every class of the model, and no other"
        )
    names = [rules.classes[key] for key in wanted if key is not None]
    return np.array([TradingAction[name] for name in names], np.int8)


def _key_of(label: Any, classes: Mapping[str, str]) -> str | None:
    key = to_label(label)
    if key in classes:
        return key
    as_number = {"true": "1", "false": "0"}.get(key)  # True is 1 in Python, too
    return as_number if as_number in classes else None


def _actions_by_name(path: str, labels: Sequence[Any], shown: str) -> np.ndarray:
    """Classes that are actions already: 0, 1, 2 or the names."""
    try:
        codes = to_actions(np.asarray(labels), len(labels))
    except AnswerError as error:
        keys = ", ".join(f"{to_label(label)}: …" for label in labels)
        raise ModelError(
            f"model.path {path}: its classes are {shown}, which are not actions (0 1 2 3 or HOLD "
            f"BUY SELL CLOSE); say what each means: model.classes: {{{keys}}}"
        ) from error
    if len(set(codes.tolist())) != len(codes):
        raise ModelError(f"model.path {path}: its classes {shown} mean the same action twice")
    return codes


class Classes:
    """The rule for a model with classes."""

    def __init__(self, path: str, rules: OutputRules, labels: Sequence[Any]) -> None:
        self._path = path
        self._actions = class_actions(path, rules, labels)
        self._meant = sorted(set(self._actions.tolist()))  # the rows of a table of actions
        self._codes = {
            to_label(label): int(a) for label, a in zip(labels, self._actions, strict=True)
        }
        threshold = rules.threshold
        self._least = {
            int(action): None if threshold is None else getattr(threshold, action.name.lower())
            for action in (TradingAction.BUY, TradingAction.SELL, TradingAction.CLOSE)
        }
        self._margin = rules.margin
        for action, least in self._least.items():
            if least is not None and action not in self._actions:
                name = TradingAction(action).name
                raise ConfigError(
                    f"no class of the model means {name}: {', '.join(map(str, labels))}",
                    key=f"model.threshold.{name.lower()}",
                )
        self._has_threshold = threshold is not None

    @property
    def needs_probabilities(self) -> bool:
        """Whether a label alone is not enough."""
        return self._has_threshold or self._margin is not None

    def of_labels(self, answer: Any, rows: int) -> np.ndarray:
        """int8 actions (rows,) of predicted labels."""
        values = np.asarray(answer)
        if values.shape != (rows,):
            raise AnswerError(
                f"the model answered with shape {values.shape} for {rows} rows; one label a row "
                "was expected"
            )
        actions = np.full(rows, -1, np.int8)
        while (row := int(np.argmin(actions))) < rows and actions[row] < 0:
            value = values[row]
            code = self._codes.get(to_label(value))
            if code is None:
                raise AnswerError(
                    f"the model answered {value!r}, which is none of its classes", row
                )
            actions[values == value] = code
        return actions

    def of_probabilities(self, values: np.ndarray, are_checked: bool = True) -> ModelActions:
        """Actions of float64 (n, classes), columns in the order of the classes."""
        rows = len(values)
        if values.shape != (rows, len(self._actions)):
            raise AnswerError(
                f"the model answered with shape {values.shape} for {rows} rows; it has "
                f"{len(self._actions)} classes"
            )
        with np.errstate(invalid="ignore"):  # what is not finite is told by its reason
            return self._of_finite(values, are_checked)

    def _of_finite(self, values: np.ndarray, are_checked: bool) -> ModelActions:
        rows = len(values)
        finite = np.ones(rows, bool)
        if not np.isfinite(values.sum()):  # one number tells of all rows, as nearly all are
            finite = np.isfinite(values.sum(axis=1))
        if not are_checked and self.needs_probabilities:
            _require_probabilities(values, finite)
        table = self._by_action(values)
        decided = self._by_threshold(table) if self._has_threshold else self._likeliest(table)
        return _without_nonsense(decided, finite)

    def _by_action(self, values: np.ndarray) -> np.ndarray:
        """float64 (actions meant, n): the probability of each action."""
        table = np.empty((len(self._meant), len(values)))
        for row, action in zip(table, self._meant, strict=True):
            columns = np.flatnonzero(self._actions == action)
            row[:] = values[:, columns[0]]
            for column in columns[1:]:
                np.add(row, values[:, column], out=row)
        return table

    def _likeliest(self, table: np.ndarray) -> ModelActions:
        top = table.max(axis=0)
        is_top = table == top
        is_sure = _count(is_top) == 1
        if self._margin is not None:
            leads = top - _next(table, is_top) >= self._margin
            is_sure &= leads | self._row_of(HOLD, is_top)
        return ModelActions(self._of_places(is_top, is_sure), _below(~is_sure), top)

    def _by_threshold(self, table: np.ndarray) -> ModelActions:
        top = table.max(axis=0)
        is_top = table == top
        is_single = _count(is_top) == 1
        wants = np.zeros(table.shape, bool)
        for row, action in enumerate(self._meant):
            least = self._least.get(action)
            if action != HOLD:
                wants[row] = is_top[row] & is_single if least is None else table[row] >= least
        reached = np.where(wants, table, -np.inf)
        best = reached.max(axis=0)
        wants &= reached == best
        found = _count(wants)
        is_sure = found == 1
        if self._margin is not None:
            is_sure &= best - _next(table, wants) >= self._margin
        is_hold = self._row_of(HOLD, is_top) & is_single & (found == 0)
        scores = np.where(found > 0, best, top)
        return ModelActions(self._of_places(wants, is_sure), _below(~(is_sure | is_hold)), scores)

    def _row_of(self, action: int, table: np.ndarray) -> np.ndarray:
        """What is so of an action; nothing where no class means it."""
        is_meant = action in self._meant
        return table[self._meant.index(action)] if is_meant else np.zeros(table.shape[1], bool)

    def _of_places(self, places: np.ndarray, is_sure: np.ndarray) -> np.ndarray:
        """int8 (n,): the one action that `places` marks; HOLD where that is not sure."""
        actions = np.zeros(places.shape[1], np.int8)
        for row, action in zip(places, self._meant, strict=True):
            actions += row.view(np.int8) * np.int8(action)
        return actions * is_sure.view(np.int8)


def by_number(rules: OutputRules, values: np.ndarray) -> ModelActions:
    """Actions of float64 numbers (n,): BUY above, SELL below, HOLD between."""
    decide = rules.decide
    assert decide is not None, "a number is decided by model.decide"
    actions = np.zeros(len(values), np.int8)
    if decide.buy_above is not None:
        actions[values > decide.buy_above] = TradingAction.BUY
    if decide.sell_below is not None:
        actions[values < decide.sell_below] = TradingAction.SELL
    reasons = np.where(actions == HOLD, np.int16(Reason.BELOW_THRESHOLD), np.int16(Reason.NONE))
    return _without_nonsense(ModelActions(actions, reasons, values), np.isfinite(values))


def _count(marks: np.ndarray) -> np.ndarray:
    """int8 (n,): how many are marked in each column."""
    return np.add.reduce(marks.view(np.int8), axis=0, dtype=np.int8)


def _below(is_below: np.ndarray) -> np.ndarray:
    """int16 (n,): why these are HOLD."""
    reasons = np.zeros(len(is_below), np.int16)
    reasons[is_below] = Reason.BELOW_THRESHOLD
    return reasons


def _next(table: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The largest probability of the actions that are not chosen; 0 where there are none."""
    return np.maximum(np.where(chosen, -np.inf, table).max(axis=0), 0.0)


def _without_nonsense(decided: ModelActions, finite: np.ndarray) -> ModelActions:
    if not finite.all():
        bad = ~finite
        decided.actions[bad], decided.reasons[bad] = HOLD, Reason.MODEL_INVALID
        decided.scores[bad] = np.nan
    return decided


def _require_probabilities(values: np.ndarray, finite: np.ndarray) -> None:
    """Thresholds are on probabilities: `AnswerError` at the first row that holds none."""
    good = (values >= -SUM_TOLERANCE).all(axis=1)
    good &= np.abs(values.sum(axis=1) - 1.0) <= SUM_TOLERANCE
    good |= ~finite
    if not good.all():
        row = int(np.argmin(good))
        raise AnswerError(
            f"the model answered {values[row].tolist()}, which are not probabilities (none below "
            "0, together 1), and model.threshold and model.margin need them; put a softmax at its "
            "end",
            row,
        )
