"""Friendly names for common TA-Lib functions: `{type: sma, period: 10}`.

Law: a friendly name is TA-Lib's function under plain names for parameters and outputs, nothing
else: same numbers, same defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FriendlyName:
    """A TA-Lib function; our parameter → TA-Lib's (all those it sets); our output → TA-Lib's."""

    function: str
    params: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)  # empty: it has one


PERIOD: Mapping[str, tuple[str, ...]] = {"period": ("timeperiod",)}
BANDS = {"upper": "upperband", "middle": "middleband", "lower": "lowerband"}

FRIENDLY: Mapping[str, FriendlyName] = {
    "sma": FriendlyName("SMA", PERIOD),
    "ema": FriendlyName("EMA", PERIOD),
    "wma": FriendlyName("WMA", PERIOD),
    "dema": FriendlyName("DEMA", PERIOD),
    "tema": FriendlyName("TEMA", PERIOD),
    "hma": FriendlyName("HMA", PERIOD),
    "kama": FriendlyName("KAMA", PERIOD),
    "vwma": FriendlyName("VWMA", PERIOD),
    "rsi": FriendlyName("RSI", PERIOD),
    "macd": FriendlyName(
        "MACD",
        {"fast": ("fastperiod",), "slow": ("slowperiod",), "signal": ("signalperiod",)},
        {"macd": "macd", "signal": "macdsignal", "histogram": "macdhist"},
    ),
    "stochastic": FriendlyName(
        "STOCH",
        {"k": ("fastk_period",), "k_smooth": ("slowk_period",), "d": ("slowd_period",)},
        {"k": "slowk", "d": "slowd"},
    ),
    "momentum": FriendlyName("MOM", PERIOD),
    "roc": FriendlyName("ROC", PERIOD),
    "cci": FriendlyName("CCI", PERIOD),
    "williams_r": FriendlyName("WILLR", PERIOD),
    "adx": FriendlyName("ADX", PERIOD),
    "plus_di": FriendlyName("PLUS_DI", PERIOD),
    "minus_di": FriendlyName("MINUS_DI", PERIOD),
    "aroon": FriendlyName("AROON", PERIOD, {"down": "aroondown", "up": "aroonup"}),
    "true_range": FriendlyName("TRANGE"),
    "atr": FriendlyName("ATR", PERIOD),
    "natr": FriendlyName("NATR", PERIOD),
    "std": FriendlyName("STDDEV", PERIOD),
    "bollinger": FriendlyName("BBANDS", {**PERIOD, "deviations": ("nbdevup", "nbdevdn")}, BANDS),
    "donchian": FriendlyName("DONCHIAN", PERIOD, BANDS),
    "keltner": FriendlyName(
        "KC", {**PERIOD, "atr_period": ("atrperiod",), "deviations": ("nbdev",)}, BANDS
    ),
    "supertrend": FriendlyName(
        "SUPERTREND",
        {**PERIOD, "multiplier": ("multiplier",)},
        {"supertrend": "supertrend", "trend": "trend"},
    ),
    "highest": FriendlyName("MAX", PERIOD),
    "lowest": FriendlyName("MIN", PERIOD),
    "sum": FriendlyName("SUM", PERIOD),
    "linear_regression": FriendlyName("LINEARREG", PERIOD),
    "slope": FriendlyName("LINEARREG_SLOPE", PERIOD),
    "correlation": FriendlyName("CORREL", PERIOD),
    "obv": FriendlyName("OBV"),
    "mfi": FriendlyName("MFI", PERIOD),
}
