"""The run folder: its name, its appearance, its files, whole or not at all."""

import hashlib
import json
import math
import os
import resource
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.report_kit import SYMBOLS, ExampleRun
from trader.errors import TraderError, UsageError
from trader.report.artifacts import COMPLETE, DECISIONS, write_run
from trader.report.folder import create_live, create_partial, run_id_stem, write_file
from trader.report.parquet import DecisionWriter, EquityWriter
from trader.report.provenance import SOURCES_ROOT, code_sha256

STARTED = datetime(2026, 11, 23, 7, 30, 0, 999, tzinfo=UTC)


def write_all(run, folder):
    """A run folder as the backtest writes it."""
    with DecisionWriter(folder / DECISIONS, SYMBOLS) as writer:
        writer.write(run.decisions)
    return write_run(folder, run.result())


def test_run_id_is_utc_time_command_and_a_safe_name():
    east = timezone(timedelta(hours=5))
    local = datetime(2026, 11, 23, 12, 30, tzinfo=east)
    assert run_id_stem("backtest", "demo", local) == "20261123T073000Z-backtest-demo"
    assert run_id_stem("paper", "../x y/ü", STARTED) == "20261123T073000Z-paper-x-y"
    assert run_id_stem("paper", "///", STARTED) == "20261123T073000Z-paper-run"
    assert len(run_id_stem("paper", "n" * 500, STARTED)) < 120


def test_folder_appears_under_its_name_only_when_published(tmp_path):
    folder = create_partial(tmp_path / "a" / "runs", "backtest", "demo", STARTED)
    (folder.path / "x").write_text("1")
    assert not folder.final.exists()
    assert folder.publish() == folder.final == tmp_path / "a" / "runs" / folder.run_id
    folder.discard()
    assert [path.name for path in folder.final.parent.iterdir()] == [folder.run_id]
    assert (folder.final / "x").read_text() == "1"


def test_discarded_folder_leaves_nothing_behind(tmp_path):
    folder = create_partial(tmp_path, "backtest", "demo", STARTED)
    (folder.path / "half").write_text("1")
    folder.discard()
    assert list(tmp_path.iterdir()) == []


def test_runs_that_start_in_the_same_second_get_different_folders(tmp_path):
    def one(number):
        make = create_live if number % 3 == 0 else create_partial
        folder = make(tmp_path, "backtest", "demo", STARTED)
        (folder.path / "who").write_text(str(number))
        folder.publish()
        return folder.run_id

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(one, range(40)))
    assert len(set(names)) == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert {(tmp_path / name / "who").read_text() for name in names} == {str(i) for i in range(40)}


def test_partial_folder_of_a_run_that_died_keeps_its_name_reserved(tmp_path):
    create_partial(tmp_path, "backtest", "demo", STARTED)
    other = create_partial(tmp_path, "backtest", "demo", STARTED)
    assert other.run_id == "20261123T073000Z-backtest-demo-2"


def test_file_in_the_way_of_the_run_folder_is_a_usage_error(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match=r"runs: a file is in the way.*--out"):
        create_partial(tmp_path / "runs", "backtest", "demo", STARTED)
    with pytest.raises(UsageError, match="--out"):
        create_partial(tmp_path / "runs" / "deeper", "backtest", "demo", STARTED)


def test_folder_that_cannot_be_made_is_a_clear_error():
    with pytest.raises(TraderError, match=r"cannot write /proc/.*--out"):
        create_partial(Path("/proc/trader-runs"), "backtest", "demo", STARTED)


def test_file_that_cannot_be_written_whole_is_not_there_at_all(tmp_path):
    target = tmp_path / "manifest.json"
    target.mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(TraderError, match=r"cannot write .*manifest\.json"):
        write_file(target, "text")
    assert list(tmp_path.iterdir()) == [target]


def test_run_folder_holds_every_file_and_they_agree(tmp_path):
    run = ExampleRun()
    timing = write_all(run, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(COMPLETE)
    result = run.result()
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == result.metrics
    assert json.loads((tmp_path / "data_quality.json").read_text()) == {"gaps": 0}
    assert yaml.safe_load((tmp_path / "config.resolved.yaml").read_text())["name"] == "demo"
    equity = pd.read_parquet(tmp_path / "equity.parquet")
    assert len(equity) == result.slices
    assert equity["equity"].iloc[-1] == metrics["final_equity"]
    assert equity["drawdown_frac"].max() == metrics["max_drawdown"]
    fills = pd.read_csv(tmp_path / "fills.csv")
    assert len(fills) == len(result.fills)
    trades = pd.read_csv(tmp_path / "trades.csv")
    assert trades["pnl"].mean() == pytest.approx(metrics["expectancy"])
    decisions = pd.read_parquet(tmp_path / "decisions.parquet")
    denied = decisions[(decisions["requested_qty"] != 0) & (decisions["approved_qty"] == 0)]
    assert denied["reason"].value_counts().to_dict() == result.risk["denied_by_reason"]
    assert (decisions["throttle"] != "").sum() == result.tally.throttled
    assert timing["report_s"] > 0.0
    assert timing["total_s"] > result.timing["total_s"]


def test_manifest_tells_what_ran_on_what_and_how_it_ended(tmp_path):
    run = ExampleRun()
    write_all(run, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["run_id"] == "20261123T073000Z-backtest-demo"
    assert (manifest["command"], manifest["engine"]) == ("backtest", "batch")
    assert manifest["started_at"] == "2026-11-23T07:30:00.000000Z"
    assert manifest["finished_at"] == "2026-11-23T07:30:01.500000Z"
    assert manifest["digest"] == run.record.digest
    assert (manifest["fill_rule"], manifest["seed"], manifest["exit_code"]) == ("next_open", 0, 0)
    assert manifest["config_sha256"] == "ab" * 32
    assert manifest["data"] == [{"path": "data/ACME.csv", "sha256": "cd" * 32, "rows": 120}]
    assert manifest["model"]["sha256"] == "ef" * 32
    assert manifest["versions"]["python"] == sys.version.split()[0]
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["counts"]["decisions"] == len(run.decisions)
    assert manifest["trading_state"] == manifest["risk"]["trading_state"] == "ACTIVE"
    assert manifest["host"]["cpus"] == os.cpu_count()
    assert manifest["command_line"][:2] == ["trader", "backtest"]


def test_code_hash_covers_every_source_file():
    digest = hashlib.sha256()
    for path in sorted(SOURCES_ROOT.rglob("*.py")):
        source = path.read_bytes()
        name = path.relative_to(SOURCES_ROOT).as_posix()
        digest.update(f"{name}\0{len(source)}\0".encode() + source)
    assert SOURCES_ROOT.name == "trader"
    code_sha256.cache_clear()
    assert code_sha256() == digest.hexdigest()


def test_equity_parquet_streamed_during_the_run_is_left_as_it_is(tmp_path):
    run = ExampleRun()
    with EquityWriter(tmp_path / "equity.parquet", 100_000.0) as writer:
        writer.write(run.record.equity)
    before = (tmp_path / "equity.parquet").read_bytes()
    write_all(run, tmp_path)
    assert (tmp_path / "equity.parquet").read_bytes() == before


def test_numbers_that_json_lacks_never_reach_a_file(tmp_path):
    result = replace(ExampleRun().result(), quality={"gap": math.nan})
    with pytest.raises(ValueError, match="JSON"):
        write_run(tmp_path, result)
    assert not (tmp_path / "manifest.json").exists()


def test_files_are_readable_by_others_as_the_umask_allows(tmp_path):
    write_file(tmp_path / "x.json", "{}")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == 0o666 & ~umask


FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.report_kit import ExampleRun, SYMBOLS
from tests.report.test_folder import STARTED
from trader.errors import TraderError
from trader.report.artifacts import DECISIONS, write_run
from trader.report.folder import create_partial
from trader.report.parquet import DecisionWriter
run = ExampleRun(days=6)
folder = create_partial(Path(sys.argv[1]), "backtest", "demo", STARTED)
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with DecisionWriter(folder.path / DECISIONS, SYMBOLS) as writer:
        writer.write(run.decisions)
    write_run(folder.path, run.result())
    folder.publish()
except TraderError as error:
    print(error)
    sys.exit(error.exit_code)
finally:
    folder.discard()
"""


@pytest.mark.process
@pytest.mark.parametrize("limit_bytes", [0, 2_000, 6_000])
def test_disk_that_fills_up_is_a_clear_error_and_leaves_nothing(tmp_path, limit_bytes):
    """A real limit on file size in a real process; writes fail as on a full disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(limit_bytes)],
        capture_output=True,
        text=True,
        check=False,
        cwd=SOURCES_ROOT.parent,
    )
    assert done.returncode == 1, done.stderr
    assert "cannot write" in done.stdout
    assert "--out" in done.stdout
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != limit_bytes
