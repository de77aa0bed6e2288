"""`trader parity`: a paper run's bars through the backtest path give the paper run's decisions."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.engine.test_replay import spoiled, trader
from tests.journal_kit import slices
from tests.replay_kit import RecordedRun, recorded_run
from trader.core.schema import Reason, TradingState
from trader.engine.replay import replay
from trader.journal import entries as build

pytestmark = pytest.mark.process

RUN = "20240101T000000Z-paper-demo"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_streaming_and_batch_decide_the_same_with_one_digest(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recorded_run(home / RUN)
    code, out, err = trader(capsys, "parity", "--json")
    assert code == 0, out + err
    document = json.loads(out)
    assert document["verdict"] == "pass"
    assert document["digest"] == replay(run.path).digest
    assert document["bars"] == document["decisions"] == len(run.bars)
    assert document["fills"] > 10
    code, out, _ = trader(capsys, "parity")
    assert out.startswith(f"PASS: {RUN} decided as a backtest")


def test_an_action_the_model_would_not_take_is_found(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RecordedRun(home / RUN)
    for number, part in enumerate(slices(run.bars)):
        actions, reasons, _ = run.answers(part)
        if number == 40:
            actions = (actions + 1) % 3
        run.feed(part, actions.astype(np.int8), reasons)
    run.end()
    code, out, _ = trader(capsys, "replay", "--json")
    assert code == 0, "replay takes actions as recorded"
    code, out, _ = trader(capsys, "parity", "--json")
    found = json.loads(out)["divergence"]
    assert code == 8
    assert (found["kind"], found["field"]) == ("ACTION", "action")
    assert found["event_ns"] == slices(run.bars)[40][0]["ts_ns"]
    code, out, _ = trader(capsys, "parity")
    assert "FAIL" in out
    assert "recomputed" in out


@pytest.mark.parametrize(
    ("kind", "field", "value"), [("DECISION", "account", 0), ("FILL", "fill", 4)]
)
def test_a_forged_outcome_is_found(
    home: Path, capsys: pytest.CaptureFixture[str], kind: str, field: str, value: int
) -> None:
    run = recorded_run(home / RUN)
    seq = spoiled(run.path, kind, lambda data: data[field].__setitem__(value, 99.0))
    code, out, _ = trader(capsys, "parity", "--json")
    assert code == 8
    assert json.loads(out)["divergence"]["seq"] == seq


def test_a_hold_from_outside_the_model_is_taken_as_recorded_and_counted(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RecordedRun(home / RUN)
    for number, part in enumerate(slices(run.bars)):
        actions, reasons, _ = run.answers(part)
        if number == 40:
            actions, reasons = np.zeros_like(actions), np.full_like(reasons, Reason.MODEL_TIMEOUT)
        run.feed(part, actions, reasons)
    run.end()
    held = len(slices(run.bars)[40])
    code, out, _ = trader(capsys, "parity", "--json")
    assert code == 0, out
    assert json.loads(out)["held_from_outside"] == {"MODEL_TIMEOUT": held}
    code, out, _ = trader(capsys, "parity")
    assert f"{held} bars were held by MODEL_TIMEOUT" in out


def test_after_a_kill_nothing_is_compared_and_that_is_said(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RecordedRun(home / RUN).trade(50)
    run.journal.append([build.kill("k1", 7, "enough", {})])
    later = slices(run.bars)[50:60]
    for part in [*later, later[-1]]:  # the last one twice, as after a crash
        run.journal.append([build.bars(part)])
    run.end()
    bars = sum(map(len, slices(run.bars)[:50]))
    extent = f"{bars} of {bars + sum(map(len, later))} bars"
    code, out, _ = trader(capsys, "parity")
    assert code == 0
    assert out.startswith(f"PASS for {extent}: {RUN}")
    assert f" of {extent}\n" in out, "the digest is of what was compared"
    assert "not compared after KILL" in out
    code, out, _ = trader(capsys, "parity", "--json")
    document = json.loads(out)
    assert (document["slices"], document["stopped_by"]) == (50, "KILL")
    assert (document["bars"], document["recorded_bars"]) == (bars, bars + sum(map(len, later)))


def test_a_kill_that_a_limit_caused_is_the_backtests_own_and_the_rest_is_compared(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RecordedRun(home / RUN, "risk.max_daily_loss=0.5", "risk.on_daily_loss=kill")
    killed = False
    for part in slices(run.bars):
        run.feed(part, *run.answers(part))
        if run.book.account[0]["trading_state"] == TradingState.HALTED and not killed:
            killed = True
            run.journal.append([build.kill("k1", 2, "daily loss", {"source": "engine"})])
    run.end()
    assert killed
    for command in ("replay", "parity"):
        code, out, err = trader(capsys, command, "--json")
        assert code == 0, out + err
        assert json.loads(out)["slices"] == len(slices(run.bars))


def test_bars_seen_before_the_first_decision_warm_the_features(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RecordedRun(home / RUN)
    parts = slices(run.bars)
    for part in parts[:20]:
        run.answers(part)
        run.journal.append([build.bars(part, "history")])
    for part in parts[20:]:
        actions, reasons, _ = run.answers(part)
        assert not reasons.any()
        run.feed(part, actions, reasons)
    run.end()
    code, out, err = trader(capsys, "parity", "--json")
    assert code == 0, out + err
    assert json.loads(out)["slices"] == len(parts) - 20


def test_a_missing_config_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = recorded_run(home / RUN)
    (run.path.parent / "config.resolved.yaml").unlink()
    code, _, err = trader(capsys, "parity")
    assert code == 2
    assert "config.resolved.yaml is missing" in err
