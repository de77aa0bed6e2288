"""The matrix as the model sees it, with labels. What `trader features` and `trader.features` call.

Law: the very functions of a backtest make it, so that a model trained on it anywhere meets the
same numbers in a run. A row is warm where the model would be asked.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trader.config.load import LoadedConfig
from trader.config.schema import Config
from trader.errors import ConfigError, UsageError
from trader.models.estimators import is_regressor
from trader.models.label_kinds import labels_of
from trader.models.labels import UNLABELLED, bars_inside
from trader.wiring import NOTHING, InMemory, build_features, load_bars, search_paths

if TYPE_CHECKING:
    import pandas as pd

TIMESTAMP, SYMBOL, WARM, LABEL = "timestamp", "symbol", "warm", "label"


def feature_frame(
    loaded: LoadedConfig, config_files: Sequence[Path], given: InMemory = NOTHING
) -> "pd.DataFrame":
    """One row a bar: `timestamp` (close, UTC), `symbol`, the features, `warm`, and `label`.

    `label` stands where the config has a `train` section, as `trader train` learns it: a class's
    number (an action's; 0 wrong and 1 right of `meta`), or the return for a regressor; missing
    where it would look outside the span. Raises the errors of config, data and features.
    """
    import pandas as pd

    config = loaded.config
    history = load_bars(config, given)
    bars = history.bar_set.bars
    features = build_features(config, history.sessions, search_paths(config_files))
    added = [TIMESTAMP, SYMBOL, WARM, *([LABEL] if config.train is not None else [])]
    for name in features.names:
        if name in added:
            raise ConfigError(
                f"{name} is a column of the matrix; give the feature another name",
                key=f"features.{name}",
            )
    matrix = features.proved_batch(bars)
    stamps = pd.DatetimeIndex(bars["ts_ns"].view("M8[ns]")).tz_localize("UTC")
    columns: dict[str, Any] = {
        TIMESTAMP: stamps,
        SYMBOL: np.array(config.symbols, object)[bars["symbol"]],
        **{name: matrix[:, at] for at, name in enumerate(features.names)},
        WARM: ~np.isnan(matrix).any(axis=1),
    }
    if config.train is not None:
        columns[LABEL] = _label_column(config, features.forward(bars), matrix, features.names)
    return pd.DataFrame(columns)


def _label_column(
    config: Config, bars: np.ndarray, matrix: np.ndarray, names: Sequence[str]
) -> Any:
    import pandas as pd

    assert config.train is not None
    inside = bars_inside(bars, config.period_ns, config.train_span_ns)
    labels = labels_of(config, bars, inside, matrix, names)
    if is_regressor(config.train):
        return np.where(labels.classes == UNLABELLED, np.nan, labels.returns)
    column = pd.array(np.where(labels.classes == UNLABELLED, 0, labels.classes), dtype="Int8")
    column[labels.classes == UNLABELLED] = pd.NA
    return column


def write_frame(frame: "pd.DataFrame", path: Path) -> None:
    """Write as Parquet, or as CSV where the name ends so. `UsageError` where that fails."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".csv":
            frame.to_csv(part, index=False)
        else:
            frame.to_parquet(part, index=False)
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
