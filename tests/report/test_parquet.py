"""decisions.parquet and equity.parquet, written in chunks, read back exactly."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.report_kit import SYMBOLS, ExampleRun
from trader.core.schema import DECISION, EQUITY, Reason, TradingAction, TradingState
from trader.errors import TraderError
from trader.report.parquet import ROWS_PER_GROUP, DecisionWriter, EquityWriter
from trader.report.tally import stage_names

DECISION_COLUMNS = (
    "timestamp,symbol,action,requested_qty,approved_qty,reason,throttle,observed,limit"
)


def test_decisions_parquet_reads_back_every_decision(tmp_path):
    run = ExampleRun(days=6)
    path = tmp_path / "decisions.parquet"
    buffer = np.empty(7, DECISION)
    with DecisionWriter(path, SYMBOLS) as writer:
        for start in range(0, len(run.decisions), len(buffer)):  # one buffer, used again and again
            chunk = run.decisions[start : start + len(buffer)]
            buffer[: len(chunk)] = chunk
            writer.write(buffer[: len(chunk)])
            buffer[:] = np.zeros(1, DECISION)
    frame = pd.read_parquet(path)
    assert ",".join(frame.columns) == DECISION_COLUMNS
    assert str(frame["timestamp"].dtype) == "datetime64[ns, UTC]"
    expected = run.decisions
    assert frame["timestamp"].astype("int64").tolist() == expected["ts_ns"].tolist()
    assert frame["symbol"].tolist() == [SYMBOLS[code] for code in expected["symbol"]]
    assert frame["action"].tolist() == [TradingAction(int(a)).name for a in expected["action"]]
    names = ["" if not code else Reason(int(code)).name for code in expected["reason"]]
    assert frame["reason"].tolist() == names
    assert frame["throttle"].tolist() == [stage_names(int(bits)) for bits in expected["throttle"]]
    for name in ("requested_qty", "approved_qty", "observed", "limit"):
        assert frame[name].to_numpy().tobytes() == expected[name].tobytes()


def test_every_reason_and_throttle_combination_has_its_name_in_the_file(tmp_path):
    rows = np.zeros(len(Reason) + 16, DECISION)
    rows["reason"][: len(Reason)] = list(Reason)
    rows["throttle"][len(Reason) :] = range(16)
    with DecisionWriter(tmp_path / "d.parquet", SYMBOLS) as writer:
        writer.write(rows)
    frame = pd.read_parquet(tmp_path / "d.parquet")
    assert frame["reason"][1 : len(Reason)].tolist() == [reason.name for reason in Reason][1:]
    assert frame["throttle"][len(Reason) :].tolist() == [stage_names(bits) for bits in range(16)]


def test_more_rows_than_a_group_are_written_in_order_whatever_the_chunks(tmp_path):
    rows = np.zeros(2 * ROWS_PER_GROUP + 1234, DECISION)
    rows["ts_ns"] = np.arange(len(rows))
    rows["observed"] = np.arange(len(rows)) / 3.0
    with DecisionWriter(tmp_path / "d.parquet", SYMBOLS) as writer:
        for start in range(0, len(rows), 100_003):
            writer.write(rows[start : start + 100_003])
    file = pq.ParquetFile(tmp_path / "d.parquet")
    assert writer.rows == file.metadata.num_rows == len(rows)
    assert file.metadata.num_row_groups == 3
    assert file.read(["observed"]).column(0).to_numpy().tobytes() == rows["observed"].tobytes()


def test_run_without_decisions_leaves_a_readable_empty_file(tmp_path):
    with DecisionWriter(tmp_path / "d.parquet", SYMBOLS):
        pass
    frame = pd.read_parquet(tmp_path / "d.parquet")
    assert len(frame) == 0
    assert ",".join(frame.columns) == DECISION_COLUMNS


@pytest.mark.long
def test_equity_parquet_adds_the_drawdown_across_groups(tmp_path):
    rng = np.random.default_rng(3)
    rows = np.zeros(ROWS_PER_GROUP + 500, EQUITY)
    rows["ts_ns"] = np.arange(len(rows)) * 1_000_000_007
    rows["equity"] = 1000.0 + np.cumsum(rng.normal(0.0, 0.1, len(rows)))
    rows["trading_state"] = rng.integers(0, 3, len(rows))
    with EquityWriter(tmp_path / "e.parquet", 1000.0) as writer:
        writer.write(rows)
    frame = pd.read_parquet(tmp_path / "e.parquet")
    assert list(frame.columns) == [
        "timestamp", "equity", "cash", "gross_exposure", "drawdown_frac", "trading_state"
    ]  # fmt: skip
    assert frame["timestamp"].astype("int64").tolist() == rows["ts_ns"].tolist()
    peaks = np.maximum(np.maximum.accumulate(rows["equity"]), 1000.0)
    assert frame["drawdown_frac"].to_numpy() == pytest.approx(1.0 - rows["equity"] / peaks)
    states = [TradingState(int(code)).name for code in rows["trading_state"]]
    assert frame["trading_state"].tolist() == states


@pytest.mark.filterwarnings("error")
def test_equity_beyond_all_numbers_has_no_drawdown_and_no_warning(tmp_path):
    rows = np.zeros(3, EQUITY)
    rows["equity"] = 1000.0, np.inf, -np.inf
    with EquityWriter(tmp_path / "e.parquet", 1000.0) as writer:
        writer.write(rows)
    drawdown = pd.read_parquet(tmp_path / "e.parquet")["drawdown_frac"].to_numpy()
    assert drawdown[0] == 0.0
    assert np.isnan(drawdown[1:]).all()


def test_writer_into_a_missing_folder_is_a_clear_error(tmp_path):
    with pytest.raises(TraderError, match=r"cannot write .*d\.parquet.*--out"):
        DecisionWriter(tmp_path / "missing" / "d.parquet", SYMBOLS)
