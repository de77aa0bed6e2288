"""Runs side by side: metrics, configs key by key, digests, and where they first part.

Law: the first run named is the one the others are measured against. Equal means equal: texts of
fills.csv line by line, floats of equity.parquet bit by bit.
"""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from trader.errors import UsageError
from trader.moments import iso_utc
from trader.report.artifacts import CONFIG, EQUITY_CURVE, FILLS
from trader.report.parting import equity_apart, trades_apart
from trader.report.runs import StoredRun

UNSET = None  # a key that a config does not have
COUNTS = ("bars", "slices", "orders", "fills", "denied", "throttled")


def comparison(runs: Sequence[StoredRun]) -> dict[str, Any]:
    """The JSON document of `trader runs compare`; lists are in the order of `runs`."""
    digests = [run.manifest["digest"] for run in runs]
    names = [name for name in runs[0].metrics if name not in ("undefined", "warnings")]
    return {
        "runs": [run.run_id for run in runs],
        "run_dirs": [str(run.path) for run in runs],
        "fill_rules": [run.manifest["risk"].get("fill_rule") for run in runs],
        "digests": digests,
        "digest_equal": len(set(digests)) == 1,
        "counts": {name: [run.manifest["counts"].get(name) for run in runs] for name in COUNTS},
        "metrics": {name: [run.metrics.get(name) for run in runs] for name in names},
        "config_differences": config_differences(runs),
        "same_code": len({run.manifest.get("code_sha256") for run in runs}) == 1,
        "same_model": all(_model(run) == _model(runs[0]) for run in runs),
        "same_data": len({_data_hashes(run) for run in runs}) == 1,
        "divergence": [
            {
                "run_id": run.run_id,
                "fills": first_different_fill(runs[0].path, run.path),
                "equity": first_different_equity(runs[0].path, run.path),
                "trades": trades_apart(runs[0].path, run.path),
                "equity_gap": equity_apart(runs[0].path, run.path),
            }
            for run in runs[1:]
        ],
    }


def _model(run: StoredRun) -> Any:
    """What the manifest says of the model: its section, the hashes of its files and its code."""
    return run.manifest.get("model")


def config_differences(runs: Sequence[StoredRun]) -> dict[str, list[Any]]:
    """Dotted keys whose values are not all equal, with every run's value (None: not set)."""
    flat = [_flat_config(run.path / CONFIG) for run in runs]
    keys = dict.fromkeys(key for config in flat for key in config)
    values = {key: [config.get(key, UNSET) for config in flat] for key in keys}
    return {key: found for key, found in values.items() if any(v != found[0] for v in found)}


def first_different_fill(left: Path, right: Path) -> dict[str, Any] | None:
    """The first row in which two fills.csv differ; None if they are equal.

    `row` counts from 1; a side that has ended is None.
    """
    with _opened(left / FILLS) as mine, _opened(right / FILLS) as theirs:
        for row, (a, b) in enumerate(zip_longest(mine, theirs)):
            if a != b:
                return {"row": row, "first": a and a.rstrip("\n"), "other": b and b.rstrip("\n")}
    return None


def first_different_equity(left: Path, right: Path) -> dict[str, Any] | None:
    """The first slice in which two equity curves differ; None if they are equal."""
    files = [_parquet(folder / EQUITY_CURVE) for folder in (left, right)]
    rows = [file.metadata.num_rows for file in files]
    shared = min(rows)
    first, fields = shared, list[str]()
    for name in ("timestamp", "equity", "cash", "gross_exposure", "trading_state"):
        a, b = (_column(file, name)[:shared] for file in files)
        different = np.flatnonzero(a != b)
        if different.size and different[0] <= first:
            fields = [name] if different[0] < first else [*fields, name]
            first = int(different[0])
    if first == shared and rows[0] == rows[1]:
        return None
    return {
        "row": first + 1,
        "slices": rows,
        "fields": fields,
        "first": _equity_row(files[0], first),
        "other": _equity_row(files[1], first),
    }


def _opened(path: Path) -> Any:
    try:
        return path.open(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow: a bad file is an ArrowInvalid, a ValueError
        raise UsageError(f"{path}: cannot be read: {error}") from error


def _column(file: pq.ParquetFile, name: str) -> np.ndarray:
    """A column as bits that compare equal exactly when the values are the same."""
    column = file.read([name]).column(0)
    if name == "timestamp":
        return np.asarray(column.cast("int64"))
    values = column.to_numpy()
    return values.view(np.int64) if values.dtype == np.float64 else values


def _equity_row(file: pq.ParquetFile, row: int) -> dict[str, Any] | None:
    if row >= file.metadata.num_rows:
        return None
    values = {name: file.read([name]).column(0)[row] for name in ("equity", "cash")}
    stamp = file.read(["timestamp"]).column(0).cast("int64")[row].as_py()
    return {"timestamp": iso_utc(stamp)} | {name: value.as_py() for name, value in values.items()}


def changed_keys(recorded: Path, resolved_yaml: str) -> list[str]:
    """`key was OLD, is NEW` for each key in which a run's config differs from another one."""
    before, after = _flat_config(recorded), _flat(yaml.safe_load(resolved_yaml))
    keys = dict.fromkeys([*before, *after])
    return [
        f"{key} was {before.get(key, 'not set')}, is {after.get(key, 'not set')}"
        for key in keys
        if before.get(key, UNSET) != after.get(key, UNSET)
    ]


def _flat_config(path: Path) -> dict[str, Any]:
    try:
        return _flat(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{path}: damaged, not YAML: {error}") from error


def _flat(tree: Any) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    _flatten("", tree, flat)
    return flat


def _flatten(prefix: str, value: Any, flat: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _flatten(f"{prefix}.{key}" if prefix else str(key), inner, flat)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            _flatten(f"{prefix}[{index}]", inner, flat)
    elif value is None or isinstance(value, str | int | float):
        flat[prefix] = value
    else:  # a date, an empty list: as text
        flat[prefix] = str(value)


def _data_hashes(run: StoredRun) -> tuple[Any, ...]:
    return tuple(source.get("sha256") for source in run.manifest.get("data", []))
