"""Model files of every format, trained by the libraries themselves on small seeded data."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trader.models.skops_file import dump_skops

NAMES = ("a", "b", "c")
ROWS = 600


def training_data(labels: Sequence[Any] = (0, 1, 2)) -> tuple[pd.DataFrame, np.ndarray]:
    """Features with names and one of three labels a row."""
    features = np.random.default_rng(5).normal(size=(ROWS, len(NAMES)))
    direction = features[:, 0] - features[:, 1]
    choice = np.select([direction > 0.5, direction < -0.5], [1, 2], 0)
    return pd.DataFrame(features, columns=list(NAMES)), np.asarray(labels)[choice]


def section_of(path: Path, kind: str, **more: Any) -> dict[str, Any]:
    """The model section that pins the file at `path`."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"type": kind, "path": str(path), "sha256": sha256, **more}


def logistic(labels: Sequence[Any] = (0, 1, 2)) -> Any:
    """A fitted scikit-learn pipeline."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*training_data(labels))


def to_onnx(estimator: Any, path: Path, zipmap: bool = False, names: Sequence[str] = ()) -> Path:
    """An estimator as an ONNX file: one input of float32, or one an element of `names`."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    inputs = [("input", FloatTensorType([None, len(NAMES)]))]
    if names:
        inputs = [(name, FloatTensorType([None, 1])) for name in names]
    options = {id(estimator): {"zipmap": zipmap}} if hasattr(estimator, "classes_") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = convert_sklearn(estimator, initial_types=inputs, options=options)
    path.write_bytes(graph.SerializeToString())
    return path


def sklearn_file(path: Path) -> dict[str, Any]:
    path.write_bytes(dump_skops(logistic()))
    return section_of(path, "sklearn")


def onnx_file(path: Path) -> dict[str, Any]:
    return section_of(to_onnx(logistic(), path), "onnx")


def lightgbm_file(path: Path) -> dict[str, Any]:
    lightgbm_booster().save_model(str(path))
    return section_of(path, "lightgbm")


def lightgbm_booster(objective: str = "multiclass") -> Any:
    """A booster of 10 rounds."""
    import lightgbm

    frame, labels = training_data()
    params = {"objective": objective, "num_threads": 1, "verbosity": -1}
    if objective == "multiclass":
        params["num_class"] = 3
    else:
        labels = (labels == 1).astype(int)
    return lightgbm.train(params, lightgbm.Dataset(frame, labels), 10)


def xgboost_file(path: Path) -> dict[str, Any]:
    xgboost_booster().save_model(str(path))
    return section_of(path, "xgboost")


def xgboost_booster(objective: str = "multi:softprob") -> Any:
    """A booster of 10 rounds."""
    import xgboost

    frame, labels = training_data()
    params = {"objective": objective, "nthread": 1}
    if objective.startswith("multi"):
        params["num_class"] = 3
    else:
        labels = (labels == 1).astype(int)
    return xgboost.train(params, xgboost.DMatrix(frame, labels), 10)


def catboost_file(path: Path) -> dict[str, Any]:
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(iterations=10, verbose=0, thread_count=1, allow_writing_files=False)
    model.fit(*training_data())
    model.save_model(str(path))
    return section_of(path, "catboost")


FORMATS: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "sklearn": ("model.skops", sklearn_file),
    "onnx": ("model.onnx", onnx_file),
    "lightgbm": ("model.txt", lightgbm_file),
    "xgboost-json": ("model.json", xgboost_file),
    "xgboost-ubj": ("model.ubj", xgboost_file),
    "catboost": ("model.cbm", catboost_file),
}


def make_file(kind: str, folder: Path) -> dict[str, Any]:
    """A model of one of `FORMATS` in `folder`; the section that pins it."""
    name, made = FORMATS[kind]
    return made(folder / name)
