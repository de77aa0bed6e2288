"""A model in a file: loaded, checked against the config, asked, and its answers made actions.

    pinned bytes ─► predictor (one file for each format) ─► answers ─► decisions

Law: everything that config and file say of each other is compared before the first row: names,
order and count of the features, classes, and what is needed to make an action of an answer. At
least four rows are asked for at once (a lone row is repeated), so that a row gets the same answer
alone and among a million; the first rows, which are real ones, prove it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.config.sections.model import (
    CatboostModel,
    LightgbmModel,
    OnnxModel,
    OutputRules,
    SklearnModel,
    XgboostModel,
)
from trader.config.sections.model import (
    FileModel as FileSection,
)
from trader.core.schema import Reason, TradingAction
from trader.errors import ModelError, TraderError
from trader.models.actions import Classes, ModelActions, by_number, plain
from trader.models.answers import AnswerError
from trader.models.file_kinds import wrong_kind
from trader.models.fitted_on import FittedOn
from trader.models.model_card import needs_classes, read_card
from trader.models.pinned import read_pinned
from trader.models.predictor import Predictor, TrialPredictor, sample
from trader.user_code.targets import what_failed

MIN_ROWS = 4


def at_least_four(features: np.ndarray) -> np.ndarray:
    """Rows to ask a predictor for: of fewer than four the first is repeated behind them."""
    lacking = MIN_ROWS - len(features)
    if lacking <= 0 or not len(features):
        return features
    return np.concatenate([features, np.repeat(features[:1], lacking, axis=0)])


def load_predictor(section: FileSection, data: bytes) -> Predictor:
    """The model in `data`. Raises `ModelError`, and `ConfigError` where an extra is missing."""
    try:
        return _predictor(section, data)
    except (TraderError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a damaged or malicious file can fail anywhere
        first = (str(error).strip().splitlines() or [""])[0][:300]
        raise ModelError(
            f"model.path {section.path}: cannot be loaded: {type(error).__name__}: {first}"
        ) from error


def _predictor(section: FileSection, data: bytes) -> Predictor:
    if isinstance(section, SklearnModel):
        from trader.models.sklearn_predictor import SklearnPredictor, load_estimator

        return SklearnPredictor(load_estimator(section, data), section, section.path)
    if isinstance(section, OnnxModel):
        from trader.models.onnx_predictor import OnnxPredictor

        _require_kind(section, data)
        return OnnxPredictor(section, data)
    _require_kind(section, data)
    if isinstance(section, LightgbmModel):
        from trader.models.lightgbm_predictor import LightgbmPredictor

        return LightgbmPredictor(data, section.path)
    if isinstance(section, XgboostModel):
        from trader.models.xgboost_predictor import XgboostPredictor

        return XgboostPredictor(data, section.path)
    assert isinstance(section, CatboostModel), "every file section has its predictor"
    from trader.models.catboost_predictor import CatboostPredictor

    return CatboostPredictor(data, section.path)


def _require_kind(section: FileSection, data: bytes) -> None:
    said = wrong_kind(section.path, data, section.type)  # type: ignore[attr-defined]
    if said is not None:
        raise ModelError(said)


class PredictorModel:
    """A predictor whose answers are made actions. Made with `_take`."""

    feature_names: tuple[str, ...]
    symbols: tuple[str, ...]
    path: str  # of the file, or another name of the model for messages
    chunk_rows: int
    notices: list[str]  # for the user, at the start

    def _take(
        self, predictor: Predictor, rules: OutputRules, card: Mapping[str, Any], config: Config
    ) -> None:
        """Check a predictor against the config and make it ours."""
        self._predictor, self._rules, self._is_proved = predictor, rules, False
        fit = FittedOn(self.path, predictor.signature, card)
        self.notices += fit.check(self.feature_names, config)
        self._classes = self._rule()

    def check_history(self, bars: np.ndarray) -> None:
        """Nothing to check: a model in a file is asked about any bars."""

    def predict(self, bars: np.ndarray, features: np.ndarray) -> ModelActions:
        """Actions of finite float64 features (n, k), `chunk_rows` at a time."""
        if not self._is_proved and len(features):
            self._prove(features)
            self._is_proved = True
        if len(features) <= self.chunk_rows:
            return self._decided(features, 0)
        parts = [
            self._decided(features[start : start + self.chunk_rows], start)
            for start in range(0, len(features), self.chunk_rows)
        ]
        return ModelActions(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _decided(self, features: np.ndarray, start: int) -> ModelActions:
        rows = len(features)
        answer = self._answer(features, start)
        signature = self._predictor.signature
        try:
            if signature.answer == "number":
                if answer.shape != (rows,):
                    raise AnswerError(
                        f"the model answered with shape {answer.shape} for {rows} rows; one number "
                        "a row was expected"
                    )
                return by_number(self._rules, answer)
            assert self._classes is not None
            if signature.answer == "probabilities":
                return self._classes.of_probabilities(answer, signature.are_probabilities)
            return plain(self._classes.of_labels(answer, rows))
        except AnswerError as error:
            row = None if error.row is None else start + error.row
            raise AnswerError(error.complaint, row) from error

    def _answer(self, features: np.ndarray, start: int) -> np.ndarray:
        rows, asked = len(features), at_least_four(features)
        try:
            answer = self._predictor.predict(asked)
        except (AnswerError, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._blame_infinite(features, start)
            raise ModelError(f"{self.path}: the model failed: {what_failed(error)}") from error
        if len(answer) != len(asked):
            raise AnswerError(f"the model gave {len(answer)} answers to {len(asked)} rows")
        return answer[:rows]

    def _prove(self, features: np.ndarray) -> None:
        """The first real rows, alone and together: `ModelError` where the answers differ."""
        few = sample(features)
        if isinstance(self._predictor, TrialPredictor):
            self._predictor.prove(at_least_four(few))
        together = self._decided(few, 0)
        numbers = together.scores
        if len(few) >= MIN_ROWS and (together.reasons == Reason.MODEL_INVALID).all():
            raise ModelError(
                f"{self.path}: the model answers no number (NaN or infinite) for any of the first "
                f"{len(few)} rows it was asked about"
            )
        for row in range(len(few)):
            alone = self._decided(few[row : row + 1], row)
            if alone.actions[0] != together.actions[row]:
                raise ModelError(
                    f"{self.path}: the model gives a row another answer alone than among others "
                    f"(score {alone.scores[0]!r}, {numbers[row]!r}); such a model cannot be the "
                    "same in backtest and paper"
                )

    def _blame_infinite(self, features: np.ndarray, start: int) -> None:
        """Name the first infinite feature, which most models refuse without saying where."""
        bad = ~np.isfinite(features)
        if bad.any():
            row, column = np.argwhere(bad)[0].tolist()
            name = self.feature_names[column % len(self.feature_names)]
            raise AnswerError(
                f"the feature {name} is {features[row, column]}, which the model cannot take",
                start + row,
            ) from None

    def _rule(self) -> Classes | None:
        """What makes actions of the answers; None for a number."""
        rules, signature = self._rules, self._predictor.signature
        if signature.answer == "number":
            if rules.decide is None:
                raise ModelError(
                    f"model.path {self.path}: {signature.format} gives one number a row, not "
                    "classes; say what it means: model.decide: {buy_above: …, sell_below: …}"
                )
            return None
        if rules.decide is not None:
            self._predictor = _of_second_class(self._predictor, self.path)
            return None
        labels = signature.labels
        if labels is None and rules.classes is not None:
            labels = tuple(rules.classes)
        if labels is None:
            labels = (0, 1, 2)
        rule = Classes(self.path, rules, labels)
        if rule.needs_probabilities and signature.answer == "labels":
            raise ModelError(
                f"model.path {self.path}: {signature.format} answers with classes alone, and "
                "model.threshold and model.margin need probabilities"
            )
        return rule


class FileModel(PredictorModel):
    """A model out of a pinned file."""

    def __init__(
        self, config: Config, feature_names: Sequence[str], symbols: Sequence[str]
    ) -> None:
        section = config.model
        assert isinstance(section, FileSection), "load_model dispatches by type"
        self.feature_names = tuple(feature_names)
        self.symbols = tuple(symbols)
        self.path = section.path
        self.chunk_rows = section.chunk_rows
        self.notices = []
        data = read_pinned(section.path, section.sha256)
        if getattr(section, "allow_pickle", False):
            self.notices.append(
                f"{self.path}: model.allow_pickle lets this file run code when it is loaded; its "
                f"SHA-256 is {section.sha256}"
            )
        card = read_card(section.path, section.sha256) or {}
        if section.classes is None and needs_classes(card):
            pairs = ", ".join(f"{at}: {name}" for at, name in enumerate(card["outputs"]))
            raise ModelError(
                f"model.path {section.path}: its card says that its classes are not HOLD, BUY, "
                f"SELL in this order; write model.classes: {{{pairs}}}"
            )
        self._take(load_predictor(section, data), section, card, config)
        if section.classes is None and section.decide is None and "outputs" not in card:
            self._tell_places()

    def _tell_places(self) -> None:
        """A file without labels, and nobody who says what its classes mean: told, not assumed."""
        signature = self._predictor.signature
        if signature.are_places and signature.labels is not None:
            taken = ", ".join(f"{at} for {TradingAction(at).name}" for at in signature.labels)
            self.notices.append(
                f"{self.path} does not say what its classes mean: {taken}, counted from the "
                "smallest label of the fit. Write model.classes"
            )


def _of_second_class(predictor: Predictor, path: str) -> Predictor:
    """`decide` beside classes: where there are two, the probability of the second is the number."""
    signature = predictor.signature
    if signature.answer != "probabilities" or len(signature.labels or ()) != 2:
        shown = ", ".join(map(str, signature.labels or ()))
        raise ModelError(
            f"model.path {path}: {signature.format} has the classes {shown}, and model.decide is "
            "for a model that answers one number; use model.classes and model.threshold"
        )
    return SecondClass(predictor)


class SecondClass:
    """A predictor of two classes as one number: the probability of the second."""

    def __init__(self, inner: Predictor) -> None:
        self._inner = inner
        self.signature = replace(inner.signature, answer="number", labels=None)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """See `Predictor`."""
        return self._inner.predict(features)[:, 1]
