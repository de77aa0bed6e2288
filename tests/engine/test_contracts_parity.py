"""Multipliers, futures, currencies and own limits: replay, parity and verify take a run of them."""

from pathlib import Path

import pytest

from tests.core_kit import random_bars
from tests.engine.test_replay import trader
from tests.replay_kit import RecordedRun
from trader.engine.replay import replay

pytestmark = pytest.mark.process

RUN = "20240101T000000Z-paper-demo"
FOREIGN = (
    "instruments=[{symbol: ACME, currency: EUR, multiplier: 2, max_order_size: 60}, EUR/USD]",
    "broker.currency=USD",
    "position_sizing.base_size=1",
)
BELOW_ZERO = (
    "instruments=[{symbol: ACME, allow_negative_prices: true}, X]",
    "throttle.max_spread_bps=none",
    "throttle.max_volatility=none",
)
FUTURE = (
    "position_sizing.base_size=20",
    "instruments=[{symbol: ACME, multiplier: 5, future: true, max_order_size: 60}, X]",
)
SETTINGS = (
    "risk.max_daily_loss=none",
    "position_sizing.allow_short=true",
)


@pytest.mark.parametrize(
    ("instruments", "lower"),
    [(FOREIGN, 0.0), (FUTURE, 0.0), (BELOW_ZERO, 200.0)],
    ids=["foreign", "future", "below zero"],
)
def test_replay_and_verify_take_a_run_of_every_kind_of_instrument(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys,
    instruments: tuple[str, ...],
    lower: float,
) -> None:
    monkeypatch.chdir(tmp_path)
    bars = random_bars(3, 200, 2)
    for name in ("open", "high", "low", "close", "bid", "ask"):
        bars[name][bars["symbol"] == 0] -= lower
    run = RecordedRun(tmp_path / "runs" / RUN, *instruments, *SETTINGS, bars=bars).trade()
    account = run.book.account[0]
    run.snapshot()
    run.end()
    assert (bars["high"][bars["symbol"] == 0] < 0.0).all() == (lower > 0.0)
    assert run.book.positions["realized_pnl"][0] != 0.0
    assert account["realized_pnl"] != 0.0
    assert replay(run.path).ok, replay(run.path).divergence
    for command in (("parity", "--json"), ("replay", "--json")):
        code, out, err = trader(capsys, *command)
        assert code == 0, out + err
    code, out, err = trader(capsys, "audit", "verify", RUN)
    assert code == 0, out + err
