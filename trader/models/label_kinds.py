"""The labels that `train.label` asks for, each with the bar at whose close it is known.

    horizon          HOLD, BUY, SELL by the return over `horizon_bars`
    triple_barrier   BUY where a long from here ends at its target, SELL where a short does, else
                     HOLD; both: the one that comes first, in one bar HOLD
    meta             RIGHT or WRONG: how the trade ends that the rule of `model` makes here

Law: `ends[i]` is the last bar that label i has looked at, `latest[i]` the last that it might have
looked at; both lie inside the training span. A row is learned from only where `latest` is inside,
however soon it ended: else only quick ends would be known near the end of a span. Where there is no
target, what the trade stands at in the end decides, by `threshold_bps`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trader.config.schema import Config
from trader.config.sections.exits import ExitLevel
from trader.config.sections.model import RuleModel as RuleSection
from trader.config.sections.train import Label
from trader.core.schema import TradingAction
from trader.errors import ConfigError
from trader.models.barriers import NO_TRADE, TARGET, TIME, TRADE, barriers_of, end_trades
from trader.models.labels import FLOAT_BPS, UNLABELLED, forward_labels

ACTIONS = tuple(action.name for action in TradingAction if action.name != "CLOSE")
META = ("WRONG", "RIGHT")
NOWHERE = -1


@dataclass(frozen=True)
class Labels:
    """What is to be learned, a row a bar."""

    classes: np.ndarray  # i1 (n,): index into `names`, or UNLABELLED
    returns: np.ndarray  # f8 (n,): the same as a fraction, for regressors; NaN where unlabelled
    ends: np.ndarray  # i8 (n,): row of the last bar looked at, NOWHERE where unlabelled
    latest: np.ndarray  # i8 (n,): row of the last bar that might have been looked at
    names: tuple[str, ...]  # of the classes


def labels_of(
    config: Config, bars: np.ndarray, inside: np.ndarray, matrix: np.ndarray, names: Sequence[str]
) -> Labels:
    """The labels of BAR records (n,), of those bars only of which `inside` (bool) holds.

    `matrix` (n, k) are the features called `names`, which a rule reads. Raises `ConfigError`.
    """
    train = config.train
    assert train is not None, "labels are asked for where there is a train section"
    label = train.label
    sides = _sides(config, bars, matrix, names) if label.type == "meta" else None
    levels = _levels(config, label)
    if label.type == "horizon" or (label.type == "meta" and levels == (None, None)):
        return _by_return(config, bars, inside, sides)
    return _by_barriers(config, (bars, inside), levels, sides)


def look_ahead(config: Config) -> int:
    """How many bars a label may look ahead; `ConfigError` where nothing says."""
    assert config.train is not None
    label = config.train.label
    if label.horizon_bars is not None:
        return label.horizon_bars
    if label.type == "horizon":
        return 1
    most = config.exits.max_holding_bars
    if most is None and _levels(config, label) == (None, None):
        return 1
    if most is None:
        raise ConfigError(
            "is missing: how many bars a trade may last until its label is known; write it, or "
            "exits.max_holding_bars",
            key="train.label.horizon_bars",
        )
    return most


def _levels(config: Config, label: Label) -> tuple[ExitLevel | None, ExitLevel | None]:
    """The stop and the target that labels are made with."""
    if label.type == "horizon":
        return None, None
    levels = (
        label.stop_loss or config.exits.stop_loss,
        label.take_profit or config.exits.take_profit,
    )
    if label.type == "triple_barrier" and levels == (None, None):
        raise ConfigError(
            "has no barrier: write exits.stop_loss and exits.take_profit, or the same keys under "
            "train.label",
            key="train.label.type",
        )
    return levels


def _sides(
    config: Config, bars: np.ndarray, matrix: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """i8 (n,): what the config's rule does: 1 BUY, −1 SELL, 0 anything else or not warm."""
    from trader.models.rule_model import RuleModel

    if not isinstance(config.model, RuleSection):
        raise ConfigError(
            f"meta asks whether a rule was right, and the model is of type {config.model.type}; "
            "write the rule under `model:` (the trained file goes to --out, then under "
            "model.filter)",
            key="train.label.type",
        )
    actions = RuleModel(config.model, names, config.symbols).predict(bars, matrix)
    sides = np.zeros(len(bars), np.int64)
    sides[actions == TradingAction.BUY], sides[actions == TradingAction.SELL] = 1, -1
    sides[np.isnan(matrix).any(axis=1)] = 0
    return sides


def _by_return(
    config: Config, bars: np.ndarray, inside: np.ndarray, sides: np.ndarray | None
) -> Labels:
    assert config.train is not None
    horizon, threshold = look_ahead(config), config.train.label.threshold_bps
    classes = forward_labels(bars, inside, horizon, threshold)
    returns, ends = np.full(len(bars), np.nan), np.full(len(bars), NOWHERE, np.int64)
    for symbol in np.unique(bars["symbol"]).tolist():
        rows = np.flatnonzero(inside & (bars["symbol"] == symbol))
        if len(rows) > horizon:
            close = bars["close"][rows]
            returns[rows[:-horizon]] = (close[horizon:] - close[:-horizon]) / close[:-horizon]
            ends[rows[:-horizon]] = rows[horizon:]
    if sides is None:
        return Labels(classes, returns, ends, ends, ACTIONS)
    is_right = np.where(sides > 0, classes == TradingAction.BUY, classes == TradingAction.SELL)
    is_known = (classes != UNLABELLED) & (sides != 0)
    ends[~is_known] = NOWHERE
    return _meta(is_right, returns * sides, ends, ends)


def _by_barriers(
    config: Config,
    span: tuple[np.ndarray, np.ndarray],
    levels: tuple[ExitLevel | None, ExitLevel | None],
    sides: np.ndarray | None,
) -> Labels:
    bars, inside = span
    terms = barriers_of(config, levels)
    terms["most"] = look_ahead(config)
    has_target = levels[1] is not None
    assert config.train is not None
    threshold = config.train.label.threshold_bps
    if sides is not None:
        trades = _trades(config, bars, inside, terms, sides)
        returns = _returns(trades) * sides
        won = _won(trades, returns, has_target, threshold)
        return _meta(won, returns, trades["end"], trades["latest"])
    longs, shorts = (
        _trades(config, bars, inside, terms, np.full(len(bars), side, np.int64)) for side in (1, -1)
    )
    returns = _returns(longs)
    buys = _won(longs, returns, has_target, threshold)
    sells = _won(shorts, 0.0 - _returns(shorts), has_target, threshold)
    first = np.where(buys & ~sells, longs["end"], np.maximum(longs["end"], shorts["end"]))
    ends = np.where(sells & ~buys, shorts["end"], first)
    sooner = np.sign(shorts["end"] - longs["end"])  # 1: the long ended first
    both = buys & sells
    ends[both] = np.minimum(longs["end"], shorts["end"])[both]
    classes = np.full(len(bars), TradingAction.HOLD, np.int8)
    classes[buys & (~sells | (sooner > 0))] = TradingAction.BUY
    classes[sells & (~buys | (sooner < 0))] = TradingAction.SELL
    unknown = (longs["outcome"] == NO_TRADE) | (shorts["outcome"] == NO_TRADE)
    classes[unknown], returns[unknown], ends[unknown] = UNLABELLED, np.nan, NOWHERE
    return Labels(classes, returns, ends, np.where(unknown, NOWHERE, longs["latest"]), ACTIONS)


def _trades(
    config: Config, bars: np.ndarray, inside: np.ndarray, terms: np.ndarray, sides: np.ndarray
) -> np.ndarray:
    """TRADE (n,) from each bar, its `end` a row of `bars`."""
    trades = np.zeros(len(bars), TRADE)
    trades["end"] = trades["latest"] = NOWHERE
    for symbol in np.unique(bars["symbol"]).tolist():
        rows = np.flatnonzero(inside & (bars["symbol"] == symbol))
        own, part = terms.copy(), trades[rows]
        own["tick_size"] = config.instruments[symbol].tick_size
        end_trades(np.ascontiguousarray(bars[rows]), sides[rows], own, part)
        known = part["outcome"] != NO_TRADE
        for name in ("end", "latest"):
            part[name][known] = rows[part[name][known]]
        trades[rows] = part
    return trades


def _returns(trades: np.ndarray) -> np.ndarray:
    """By how much the price moved from entry to exit, a fraction; NaN where there is no trade."""
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = (trades["exit"] - trades["entry"]) / trades["entry"]
    return np.where(trades["outcome"] == NO_TRADE, np.nan, moved)


def _won(
    trades: np.ndarray, gains: np.ndarray, has_target: bool, threshold_bps: float
) -> np.ndarray:
    if has_target:
        return np.asarray(trades["outcome"] == TARGET)
    with np.errstate(invalid="ignore"):
        is_up = gains * 1e4 > threshold_bps + FLOAT_BPS
    return np.asarray((trades["outcome"] == TIME) & is_up)


def _meta(is_right: np.ndarray, gains: np.ndarray, ends: np.ndarray, latest: np.ndarray) -> Labels:
    unknown = ends == NOWHERE
    classes = is_right.astype(np.int8)
    classes[unknown] = UNLABELLED
    return Labels(classes, np.where(unknown, np.nan, gains), ends, latest, META)
