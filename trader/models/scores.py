"""How well a model's answers tell the labels. The scores are scikit-learn's."""

import warnings
from typing import Any

import numpy as np

BINS = 10


def class_scores(classes: np.ndarray, answers: np.ndarray, count: int) -> dict[str, float | None]:
    """How well probabilities (n, `count`), or labels (n,), tell the classes (n,)."""
    from sklearn.metrics import (
        accuracy_score,
        balanced_accuracy_score,
        brier_score_loss,
        log_loss,
    )

    said = answers if answers.ndim == 1 else answers.argmax(axis=1)
    present = np.unique(classes, return_counts=True)[1]
    codes = list(range(count))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that a fold does not have
        scores: dict[str, float | None] = {
            "accuracy": float(accuracy_score(classes, said)),
            "balanced_accuracy": float(balanced_accuracy_score(classes, said)),
            "log_loss": None,
            "brier": None,
            "majority_class_share": float(present.max() / present.sum()),
        }
        if answers.ndim == 2:
            chance = answers / answers.sum(axis=1, keepdims=True)  # float32 sums to nearly 1
            scores["log_loss"] = float(log_loss(classes, chance, labels=codes))
            asked: Any = chance[:, 1] if count == 2 else chance
            extra: dict[str, Any] = {} if count == 2 else {"labels": codes}
            scores["brier"] = float(brier_score_loss(classes, asked, **extra))
    return scores


def number_scores(returns: np.ndarray, answers: np.ndarray) -> dict[str, float | None]:
    """How well numbers (n,) tell returns (n,)."""
    from sklearn.metrics import mean_absolute_error, r2_score

    return {
        "mean_absolute_error": float(mean_absolute_error(returns, answers)),
        "r2": float(r2_score(returns, answers)) if len(returns) > 1 else None,
        "same_sign_share": float(np.mean(np.sign(answers) == np.sign(returns))),
    }


def reliability(classes: np.ndarray, answers: np.ndarray, code: int) -> list[dict[str, float]]:
    """Of a class: the probability that was said and the share that came, in bins of equal width."""
    from sklearn.calibration import calibration_curve

    chance = answers[:, code]
    came, said = calibration_curve(classes == code, chance, n_bins=BINS)
    bins = np.minimum((chance * BINS).astype(np.int64), BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    rows = rows[rows > 0]
    if len(rows) != len(said):  # a probability on an edge that binary floats moved
        rows = np.full(len(said), -1)
    return [
        {"said": float(s), "came": float(c), "rows": int(r)}
        for s, c, r in zip(said, came, rows, strict=True)
    ]
