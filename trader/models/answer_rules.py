"""`classes`, `threshold`, `margin` and `decide` for the answers of a user's own callable.

Law: the same rules as for a model in a file. The columns of probabilities stand in the order of
`model.classes`; without it they are HOLD, BUY, SELL.
"""

from typing import Any

import numpy as np

from trader.config.sections.model import OutputRules
from trader.models.actions import Classes, ModelActions, by_number, plain
from trader.models.answers import AnswerError

UNNAMED = (0, 1, 2)


def answer_rules(name: str, section: object) -> "AnswerRules | None":
    """The rules of a section; None where the answers are actions."""
    if not isinstance(section, OutputRules):
        return None
    told = (section.classes, section.threshold, section.margin, section.decide)
    return None if all(one is None for one in told) else AnswerRules(name, section)


class AnswerRules:
    """From probabilities, classes or one number a row to actions."""

    def __init__(self, name: str, section: OutputRules) -> None:
        self._section = section
        labels = UNNAMED if section.classes is None else tuple(section.classes)
        self._classes = None if section.decide is not None else Classes(name, section, labels)

    def of(self, answer: Any, rows: int) -> ModelActions:
        """Actions of an answer to `rows` rows; `AnswerError` for what the rules cannot read."""
        values = np.asarray(answer)
        if self._classes is None:
            if values.shape == (rows, 1):
                values = values[:, 0]
            if values.shape != (rows,):
                raise AnswerError(
                    f"the model answered with shape {values.shape} for {rows} rows; model.decide "
                    "is for one number a row"
                )
            return by_number(self._section, _numbers(values))
        if values.ndim == 2:
            return self._classes.of_probabilities(_numbers(values), are_checked=False)
        if self._classes.needs_probabilities:
            raise AnswerError(
                f"the model answered with shape {values.shape} for {rows} rows; model.threshold "
                "and model.margin need probabilities, one column a class"
            )
        return plain(self._classes.of_labels(values, rows))


def _numbers(values: np.ndarray) -> np.ndarray:
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise AnswerError(
            f"the model's answer holds something that is not a number: {error}"
        ) from error
