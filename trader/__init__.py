"""`trader`: a trained model over market data, under hard risk limits.

Law: importing this package imports nothing else (`trader kill` must start in tens of
milliseconds). Public names are loaded the first time they are asked for.
"""

from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it; `typing` itself would be one import more
if TYPE_CHECKING:
    from trader.api import Run as Run
    from trader.api import backtest as backtest
    from trader.api import features as features
    from trader.api import load_run as load_run
    from trader.api import sweep as sweep
    from trader.core.schema import KillSwitchReason as KillSwitchReason
    from trader.core.schema import Reason as Reason
    from trader.core.schema import Side as Side
    from trader.core.schema import TradingAction as TradingAction
    from trader.core.schema import TradingState as TradingState
    from trader.engine.loop import ExecutionLoop as ExecutionLoop
    from trader.errors import ConfigError as ConfigError
    from trader.errors import DataError as DataError
    from trader.errors import HaltedError as HaltedError
    from trader.errors import KilledError as KilledError
    from trader.errors import ModelError as ModelError
    from trader.errors import TraderError as TraderError
    from trader.errors import UsageError as UsageError
    from trader.errors import VerificationError as VerificationError
    from trader.feeds.frame import bars_from_frame as bars_from_frame
    from trader.risk import Market as Market
    from trader.risk import Order as Order
    from trader.risk import Portfolio as Portfolio
    from trader.risk import RiskLimits as RiskLimits
    from trader.risk import pre_trade_check as pre_trade_check
    from trader.risk import throttle_size as throttle_size
    from trader.safety.events import RiskEvent as RiskEvent
    from trader.safety.events import RiskEventHandler as RiskEventHandler
    from trader.safety.events import StopReport as StopReport
    from trader.safety.events import emergency_stop as emergency_stop
    from trader.safety.events import kill_switch_reason as kill_switch_reason

__version__ = "0.1.0"

_MODULES = {  # module -> its public names
    "api": "Run backtest features load_run sweep",
    "core.schema": "KillSwitchReason Reason Side TradingAction TradingState",
    "errors": "ConfigError DataError HaltedError KilledError ModelError TraderError UsageError "
    "VerificationError",
    "feeds.frame": "bars_from_frame",
    "risk": "Market Order Portfolio RiskLimits pre_trade_check throttle_size",
    "engine.loop": "ExecutionLoop",
    "safety.events": "RiskEvent RiskEventHandler StopReport emergency_stop kill_switch_reason",
}
_PUBLIC = {name: f"trader.{module}" for module, names in _MODULES.items() for name in names.split()}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'trader' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
