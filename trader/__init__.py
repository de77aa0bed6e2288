"""`trader`: a trained model over market data, under hard risk limits.

Law: importing this package imports nothing else (`trader kill` must start in tens of
milliseconds). Public names are loaded the first time they are asked for.
"""

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {  # name -> the module that has it
    "TradingAction": "trader.core.schema",
    "TradingState": "trader.core.schema",
    "KillSwitchReason": "trader.core.schema",
    "Reason": "trader.core.schema",
    "ExecutionLoop": "trader.run.loop",
    "bars_from_frame": "trader.feeds.frame",
    "RiskEventHandler": "trader.safety.events",
    "emergency_stop": "trader.safety.events",
    "TraderError": "trader.errors",
    "pre_trade_check": "trader.risk",
    "throttle_size": "trader.risk",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'trader' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
