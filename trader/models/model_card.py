"""Writes a trained model and its card: what the model is, learned from what, and how well.

Law: nothing that exists is overwritten unless told to; each file appears whole or not at all. The
card says nothing of the clock, so training again on the same inputs changes neither file.
"""

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from trader.config.schema import Config
from trader.config.sections.train import Train
from trader.core.schema import TradingAction
from trader.errors import ConfigError, UsageError
from trader.models.estimators import SAVED_AS, format_of
from trader.models.label_kinds import META, look_ahead
from trader.models.training import TrainedModel

CARD_VERSION = 1
PACKAGES = ("numpy", "scikit-learn", "scipy", "skops", "TA-Lib", "trader")
LIBRARIES = {"sklearn": (), "lightgbm": ("lightgbm",), "xgboost": ("xgboost", "xgboost-cpu")}
NAMES = {"sklearn": "scikit-learn", "lightgbm": "LightGBM", "xgboost": "XGBoost"}
MEANINGS = {
    "horizon": "sign of the close-to-close return over the next horizon_bars bars",
    "triple_barrier": "whether a long (BUY) or a short (SELL) from the next open ends at its "
    "take_profit, within horizon_bars bars",
    "meta": "whether the trade that the rule makes is a winner",
}


@dataclass(frozen=True)
class Origin:
    """Where a training run's inputs came from."""

    config_sha256: str
    sources: Sequence[Mapping[str, Any]]  # of each data file: path, sha256


def card_path(path: Path) -> Path:
    """`model.skops` → `model.skops.card.json`."""
    return path.with_name(f"{path.name}.card.json")


def read_card(path: str, sha256: str | None) -> dict[str, Any] | None:
    """The card beside the model at `path` if it is the card of this very file, else None."""
    try:
        card = json.loads(card_path(Path(path)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return card if isinstance(card, dict) and card.get("sha256") == sha256 else None


def card_of(config: Config) -> dict[str, Any] | None:
    """The card of the config's model; None where it has none."""
    path = getattr(config.model, "path", None)
    return None if path is None else read_card(path, getattr(config.model, "sha256", None))


def output_path(config: Config, out: str | None, force: bool) -> Path:
    """Where the model goes: `--out`, else `model.path`. `UsageError` if something is there."""
    path = Path(out if out is not None else _own_path(config))
    for there in (path, card_path(path)):
        if there.is_dir() or (there.exists() and not force):
            remedy = "name a file" if there.is_dir() else "use --force to replace it"
            raise UsageError(f"{there} exists already; {remedy}, or another --out")
    return path


def _own_path(config: Config) -> str:
    """The file that the config names for the model; `ConfigError` where it names none."""
    train = config.train
    kind = "sklearn" if train is None else format_of(train)
    if train is not None and train.label.type == "meta":
        section: Any = getattr(config.model, "filter", None)
        if section is None or section.path is None:
            raise ConfigError(
                "a meta label trains a second model beside the rule; name a file with --out",
                key="train.label.type",
            )
    else:
        section = config.model
    if section.type != kind:
        raise ConfigError(
            f"`trader train` writes a {NAMES[kind]} model, and the config's is of type "
            f"{section.type}; set model.type to {kind}, or name a file with --out",
            key="model.type",
        )
    return str(section.path)


def write_model(
    trained: TrainedModel,
    path: Path,
    config: Config,
    feature_names: Sequence[str],
    origin: Origin,
) -> dict[str, Any]:
    """Write the model at `path` and its card beside it; the card, as it is in the file."""
    card = model_card(trained, config, feature_names, origin)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(path, trained.data)
        text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False)
        _write_whole(card_path(path), text.encode() + b"\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    return card


def model_card(
    trained: TrainedModel, config: Config, feature_names: Sequence[str], origin: Origin
) -> dict[str, Any]:
    """Everything worth knowing about the model, as plain JSON values."""
    train = config.train
    assert train is not None, "a model was trained, so there is a train section"
    fitted = trained.fitted
    return {
        "card_version": CARD_VERSION,
        "format": SAVED_AS[fitted.kind],
        "sha256": hashlib.sha256(trained.data).hexdigest(),
        "estimator": train.estimator,
        "params": {key: _plain(value) for key, value in fitted.params.items()},
        "scale": train.scale is not False and fitted.kind == "sklearn",
        "steps": [
            {"estimator": one.estimator, "params": _plain(one.params)} for one in train.steps
        ],
        "seed": config.seed,
        "features": list(feature_names),
        "feature_definitions": feature_definitions(config),
        "symbols": list(config.symbols),
        "bar_period_seconds": config.bar_period_seconds,
        "label": label_facts(config),
        "outputs": outputs_of(trained),
        "sample_weight": train.sample_weight,
        "calibration": _plain(fitted.calibration),
        **trained.facts,
        "data": [dict(source) for source in origin.sources],
        "config_sha256": origin.config_sha256,
        "versions": versions_of(train),
    }


def outputs_of(trained: TrainedModel) -> list[str] | None:
    """What each class of the file means, in the order of its columns; None for a number."""
    codes = trained.fitted.codes
    return None if codes is None else [trained.class_names[code] for code in codes]


def needs_classes(card: Mapping[str, Any]) -> bool:
    """Whether the config has to say what the classes of a file mean: it knows columns alone."""
    outputs = card.get("outputs")
    if card.get("format") == "skops" or not isinstance(outputs, list):
        return False
    return outputs != [action.name for action in TradingAction][: len(outputs)] and (
        outputs != list(META)
    )


def label_facts(config: Config) -> dict[str, Any]:
    """What was learned, as plain JSON values."""
    train = config.train
    assert train is not None
    label = train.label
    facts = {
        "type": label.type,
        "meaning": MEANINGS[label.type],
        "horizon_bars": look_ahead(config),
        "threshold_bps": label.threshold_bps,
    }
    if label.type == "horizon":
        return facts
    for name in ("stop_loss", "take_profit"):
        level = getattr(label, name) or getattr(config.exits, name)
        facts[name] = None if level is None else level.model_dump()
    if label.type == "meta":
        rule = config.model.model_dump(mode="json")
        facts |= {"rule": {key: rule[key] for key in ("buy", "sell")}, "classes": list(META)}
    return facts


def feature_definitions(config: Config) -> dict[str, dict[str, Any]]:
    """Feature name → type and parameters, as plain JSON values."""
    return {
        name: {"type": feature.type} | {key: _plain(value) for key, value in feature.params.items()}
        for name, feature in config.features.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and abs(value) < float("inf"):
        return value
    return repr(value)


def versions_of(train: Train) -> dict[str, str]:
    """Versions of what a model is made with."""
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, *LIBRARIES[format_of(train)]):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _write_whole(path: Path, data: bytes) -> None:
    """Write through a neighbour and a rename, so that a reader never sees half a file."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
