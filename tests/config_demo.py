"""One good config for the config tests, and how they load variations of it."""

from pathlib import Path

from trader.config.load import LoadedConfig, load_config

DEMO = """\
name: demo
instruments:
  - {symbol: ACME, tick_size: 0.01, lot_size: 1}
feed:
  type: csv
  path: data/acme.csv
  timestamp: open
  timezone: UTC
bar_period_seconds: 60
features:
  sma_fast: {type: sma, period: 10}
  sma_slow: {type: sma, period: 30}
model:
  type: rule
  buy: sma_fast > sma_slow
  sell: sma_fast <= sma_slow
position_sizing: {mode: target, base_size: 100, allow_short: false}
risk:
  max_position_size: 1000
  max_order_size: 500
  min_order_size: 1
  max_daily_loss: 1000
  max_position_concentration: 0.5
  market_hours: 24x7
throttle:
  max_volume_participation: 0.1
  volume_window: 20
  max_spread_bps: 50
  max_volatility: 0.02
  volatility_window: 20
  max_order_size: 500
broker:
  cash: 100000
  commission: {type: bps, value: 1.0}
  slippage: {type: bps, value: 0.0}
execution: {feature_max_workers: 4, model_timeout_seconds: 1.0}
hooks: []
"""


def demo(*swaps: tuple[str, str]) -> str:
    """The demo with text replaced; each text has to be there."""
    text = DEMO
    for old, new in swaps:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def write(folder: Path, text: str | bytes, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(path: Path, *overrides: str, **environ: str) -> LoadedConfig:
    return load_config(path, overrides, environ)
