"""`trader.sweep` and `trader sweep`: every trial is its config run alone, whoever runs it."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml

import trader
from tests.api.test_backtest import acme, config
from trader.cli.app import run as run_command
from trader.jobs.sweep.space import space_of, values_of

GRID = {"features.sma_fast.period": range(5, 20, 5), "features.sma_slow.period": [30, 40]}
OPTIONS = [
    "--param",
    "features.sma_fast.period=5:20:5",
    "--param",
    "features.sma_slow.period=30,40",
]


@pytest.fixture
def demo(tmp_path):
    """A config file over the first rows of the example."""
    acme(1_200).to_csv(tmp_path / "acme.csv", index=False)
    made = config()
    made["feed"]["path"] = str(tmp_path / "acme.csv")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(made))
    return tmp_path / "run.yaml"


def command(capsys, demo: Path, *words: str) -> dict:
    out = str(demo.parent / "runs")
    assert run_command(["sweep", "-c", str(demo), "--json", "--out", out, *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_trial_is_the_config_run_alone(demo):
    table = trader.sweep(demo, GRID)
    assert len(table) == 6
    assert list(table["state"]) == ["done"] * 6
    for row in table.to_dict("records"):
        alone = trader.backtest(demo, set={key: row[key] for key in GRID})
        assert row["digest"] == alone.digest
        for name in ("final_equity", "total_return", "sharpe", "sortino", "max_drawdown", "trades"):
            assert row[name] == alone.metrics[name] or (
                math.isnan(row[name]) and alone.metrics[name] is None
            )
    assert len(set(table["digest"])) == 6


@pytest.mark.trials  # of 1 and 2: test_a_killed_worker_costs_nothing_but_time_and_not_a_byte
@pytest.mark.parametrize("crews", [(1, 2, 4)])
def test_any_number_of_workers_writes_the_same_bytes(demo, capsys, tmp_path, crews):
    written = []
    for jobs in crews:
        document = command(capsys, demo, *OPTIONS, "--jobs", str(jobs))
        written.append((Path(document["run_dir"]) / "trials.parquet").read_bytes())
        assert document["trials"] == 6
        assert document["timing"]["trials_s"] > 0
    assert len(set(written)) == 1
    table = pd.read_parquet(Path(document["run_dir"]) / "trials.parquet")
    assert set(GRID) | {"final_equity", "total_return", "sharpe", "sortino"} <= set(table)
    assert {"max_drawdown", "trades", "digest", "state"} <= set(table)
    best = document["best"]
    assert best["sharpe"] == table["sharpe"].max()
    assert document["overfitting"]["trials_counted"] == 6 * len(
        crews
    )  # of the sweeps before it, too
    assert run_command(["runs", "list", "--dir", str(tmp_path / "runs")]) == 0


def test_memory_does_not_grow_with_the_number_of_trials(demo):
    def peak(trials):
        tracemalloc.start()
        trader.sweep(demo, {"broker.cash": range(100_000, 100_000 + trials)}, set={"report": False})
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)  # imports, caches
    each = (peak(60) - peak(10)) / 50
    assert each < 20_000  # bytes a trial; the equity of one is 1,200 bars of 40


def test_a_wrong_combination_is_a_row(demo):
    table = trader.sweep(demo, {"features.sma_fast.period": [5, 0], "broker.cash": [1000, "x"]})
    assert list(table["state"]) == ["done", "failed", "failed", "failed"]
    assert "sma_fast" in table["error"][2]
    assert "broker.cash" in table["error"][1]
    with pytest.raises(trader.ConfigError, match="all 1 trials failed"):
        trader.sweep(demo, {"features.sma_fast.period": [0]})


def test_a_config_may_be_whole_only_with_its_parameters(demo, capsys):
    made = yaml.safe_load(demo.read_text())
    made["exits"] = {"stop_loss": {"type": "percent"}}
    demo.write_text(yaml.safe_dump(made))
    key = "exits.stop_loss.value"
    table = trader.sweep(demo, {key: [0.05, 2]})
    assert list(table["state"]) == ["done", "done"]
    alone = trader.backtest(demo, set={key: 0.05})
    assert table["digest"][0] == alone.digest
    assert "STOP_LOSS" in set(alone.orders["kind"])
    document = command(capsys, demo, "--param", f"{key}=0.05,2", "--jobs", "1")
    assert document["trials"] == 2
    assert run_command(["sweep", "-c", str(demo), "--param", "broker.cash=1,2"]) == 3
    assert "exits.stop_loss.value: is required" in capsys.readouterr().err


def test_a_broken_off_sweep_goes_on_with_what_it_has(demo, capsys):
    whole = command(capsys, demo, *OPTIONS, "--jobs", "1")
    folder = Path(whole["run_dir"])
    expected = (folder / "trials.parquet").read_bytes()
    lines = (folder / "trials.jsonl").read_text().splitlines(keepends=True)
    (folder / "trials.jsonl").write_text("".join(lines[:3]) + lines[3][:40])  # cut off in a line
    (folder / "trials.parquet").unlink()
    about = json.loads((folder / "sweep.json").read_text())
    (folder / "sweep.json").write_text(json.dumps(about | {"state": "running"}))
    again = command(capsys, demo, *OPTIONS, "--jobs", "1")
    assert Path(again["run_dir"]) == folder
    assert again["resumed"] == 3
    assert (folder / "trials.parquet").read_bytes() == expected
    assert Path(command(capsys, demo, *OPTIONS, "--jobs", "1")["run_dir"]) != folder


@pytest.mark.long
def test_bars_and_a_model_from_memory_and_nothing_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = acme(900)
    table = trader.sweep(config(), {"broker.cash": [1e5, 2e5]}, bars=frame, model=by_size, jobs=2)
    alone = trader.backtest(config(), set={"broker.cash": 2e5}, bars=frame, model=by_size)
    assert table["digest"][1] == alone.digest
    assert list(tmp_path.iterdir()) == []


def by_size(features):
    return np.where(features[:, 0] > features[:, 1], "BUY", "SELL")


def test_limits_and_exits_vary_over_the_same_actions(demo):
    params = {"risk.max_daily_loss": [50, 1000], "broker.fill": ["next_open", "same_close"]}
    table = trader.sweep(demo, params)
    assert len(set(table["digest"])) == 4 or len(set(table["digest"])) == 2
    row = table.iloc[3]
    alone = trader.backtest(demo, set={"risk.max_daily_loss": 1000, "broker.fill": "same_close"})
    assert row["digest"] == alone.digest


def test_the_config_section_says_what_the_options_say(demo, capsys):
    by_option = command(
        capsys, demo, *OPTIONS, "--folds", "3", "--jobs", "1", "--objective", "total_return"
    )
    made = yaml.safe_load(demo.read_text())
    made["sweep"] = {
        "params": {"features.sma_fast.period": "5:20:5", "features.sma_slow.period": [30, 40]},
        "folds": 3,
        "objective": "total_return",
    }
    demo.write_text(yaml.safe_dump(made))
    by_section = command(capsys, demo, "--jobs", "1")
    assert by_section["best"] == by_option["best"]
    assert [fold["fold"] for fold in by_section["folds"]] == [1, 2, 3]
    assert len(trader.sweep(demo)) == 6


def test_random_draws_without_putting_back_and_by_the_seed(demo):
    one = trader.sweep(demo, GRID, sampler="random", trials=4)
    again = trader.sweep(demo, GRID, sampler="random", trials=4)
    pd.testing.assert_frame_equal(one, again)
    assert len(one[list(GRID)].drop_duplicates()) == 4
    other = trader.sweep(demo, GRID, sampler="random", trials=4, set={"seed": 3})
    assert not one[list(GRID)].equals(other[list(GRID)])


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.trials)])
def test_tpe_says_the_same_for_any_number_of_workers(demo, jobs):
    pytest.importorskip("optuna")
    params = {"features.sma_fast.period": range(2, 29), "features.sma_slow.period": range(30, 90)}
    one = trader.sweep(demo, params, sampler="tpe", trials=18, jobs=1)
    two = trader.sweep(demo, params, sampler="tpe", trials=18, jobs=jobs)
    pd.testing.assert_frame_equal(one, two)
    assert len(one) == 18


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing to try"),
        (["--param", "features.sma_fast.period"], "write it as"),
        (["--param", "a.b=5:1"], "no value to try"),
        (["--param", "a.b=1:2:0"], "step of a range"),
        (["--param", "a.b=1,1"], "listed twice"),
        (["--param", "a.b=1", "--param", "a.b=2"], "given twice"),
        (["--param", "broker.cash=1:9", "--sampler", "random"], "--trials N"),
        (["--param", "broker.cash=1:9", "--trials", "3"], "--sampler random"),
        (["--param", "broker.cash=1,2", "--folds", "900000000"], "the history has 4 trading days"),
        (
            ["--param", "broker.cash=1:1000", "--param", "risk.max_order_size=1:2000"],
            "the grid has",
        ),
        pytest.param(  # ten seconds until it is given up
            ["--param", "broker.cash=1,2", "--cluster", "tcp://127.0.0.1:1"],
            "no scheduler",
            marks=pytest.mark.process,
        ),
    ],
)
def test_what_cannot_be_tried_is_told_as_usage(demo, capsys, tmp_path, words, told):
    out = tmp_path / "runs"
    assert run_command(["sweep", "-c", str(demo), "--out", str(out), *words]) == 2
    assert told in capsys.readouterr().err
    assert not list(out.glob("*-sweep-*"))


def test_of_a_sweep_whose_trials_all_failed_their_table_is_kept(demo, capsys, tmp_path):
    asked = ["sweep", "-c", str(demo), "--out", str(tmp_path), "--jobs", "1"]
    assert run_command([*asked, "--param", "features.nothing.period=1,2"]) == 3
    assert "all 2 trials failed" in capsys.readouterr().err
    (folder,) = tmp_path.glob("*-sweep-*")
    assert pd.read_parquet(folder / "trials.parquet")["state"].tolist() == ["failed"] * 2
    assert not (folder / ".work").exists()


def test_the_table_on_80_columns_is_whole_and_says_what_luck_did(demo, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    asked = ["sweep", "-c", str(demo), "--out", str(demo.parent / "runs"), "--jobs", "1"]
    assert run_command([*asked, "--folds", "2", *OPTIONS]) == 0
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert "6 trials" in shown
    assert "one step from the best" in shown
    assert "without any skill" in shown or "cannot be said" in shown


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("5:50:15", (5, 20, 35)),
        ("3:0:-1", (3, 2, 1)),
        ("0:3", (0, 1, 2)),
        ("0.1:0.4:0.1", (0.1, 0.2, 0.3)),
        ("1,2.5,x", (1, 2.5, "x")),
        (range(3), (0, 1, 2)),
        (np.array([0.5, 1.5]), (0.5, 1.5)),
        ([True, False], (True, False)),
        (7, (7,)),
    ],
)
def test_values_of_a_parameter(given, values):
    found = values_of("a.b", given)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_combinations_by_number_have_the_last_parameter_fastest():
    space = space_of({"a.b": [1, 2], "c.d": ["x", "y", "z"]})
    made = [space.assignment(space.places(number)) for number in range(space.size)]
    assert [tuple(one.values()) for one in made] == [(a, b) for a in (1, 2) for b in "xyz"]


@pytest.fixture
def slow(tmp_path):
    """A config whose model takes long enough to be caught at work, and counts its trials."""
    (tmp_path / "slowly.py").write_text(
        "import os, time, numpy as np\n"
        "def answer(features, wait=0.3, deadly=False):\n"
        "    if deadly and not os.path.exists('died'):\n"
        "        open('died', 'w').close(); os.kill(os.getpid(), 9)\n"
        "    time.sleep(wait)\n"
        "    return np.where(features[:, 0] > features[:, 1], 1, 2)\n"
    )
    acme(300).to_csv(tmp_path / "acme.csv", index=False)
    made = config(model={"type": "python", "target": "slowly:answer", "params": {"wait": 0.3}})
    made["feed"]["path"] = str(tmp_path / "acme.csv")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(made))
    return tmp_path


def start(folder: Path, *words: str) -> subprocess.Popen:
    line = [sys.executable, "-m", "trader", "sweep", "-c", "run.yaml", "--json", *words]
    return subprocess.Popen(
        line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def here(capsys, *words: str) -> dict:
    """The same in this process, in the working directory."""
    assert run_command(["sweep", "-c", "run.yaml", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def lines_of(folder: Path) -> int:
    return sum(path.read_text().count("\n") for path in folder.glob("runs/*/trials.jsonl"))


def wait_for(what) -> None:
    until = time.monotonic() + 120
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.process
def test_ctrl_c_leaves_no_process_and_the_same_command_goes_on(slow, capsys, monkeypatch):
    words = ["--param", "model.params.wait=0.30:0.42:0.005"]  # 24: it must not be over before
    begun = start(slow, *words, "--jobs", "2")
    wait_for(lambda: lines_of(slow) >= 3 or begun.poll() is not None)
    children = psutil.Process(begun.pid).children(recursive=True)
    assert len(children) >= 2
    begun.send_signal(signal.SIGINT)
    _, told = begun.communicate(timeout=60)
    assert begun.returncode == 130, told
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    kept = lines_of(slow)
    assert 3 <= kept < 24
    monkeypatch.chdir(slow)
    document = here(capsys, *words, "--jobs", "1")
    assert document["resumed"] == kept
    assert document["trials"] == 24


@pytest.mark.process
def test_a_killed_sweep_leaves_no_worker(slow):
    begun = start(slow, "--param", "model.params.wait=60,61", "--jobs", "2")
    begun.stdout.close()
    wait_for(lambda: len(list(slow.glob("runs/*/.work/.ready-*"))) == 2)
    children = psutil.Process(begun.pid).children(recursive=True)
    assert len(children) >= 2
    begun.kill()
    begun.communicate()
    _, alive = psutil.wait_procs(children, timeout=30)  # a worker at work would sleep for longer
    assert alive == []


@pytest.mark.process
def test_a_full_disk_ends_a_sweep_which_goes_on_when_there_is_room(demo, small_disk, capsys):
    filler = small_disk / "filler"
    filler.write_bytes(bytes(300 * 1024))  # there is room for the bars, and not for all features
    asked = ["sweep", "-c", str(demo), "--out", str(small_disk / "runs"), "--jobs", "1", "--json"]
    asked += ["--param", "features.sma_fast.period=5:20"]
    assert run_command(asked) == 1
    told = capsys.readouterr().err
    assert "cannot write" in told
    assert "No space left on device; free some space" in told
    filler.unlink()
    assert run_command(asked) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["trials"], document["failed"]) == (15, 0)


@pytest.mark.process
def test_a_killed_worker_costs_nothing_but_time_and_not_a_byte(slow, capsys, monkeypatch):
    monkeypatch.chdir(slow)
    words = ["--param", "model.params.deadly=true,false", "--param", "model.params.wait=0,0.01"]
    two = here(capsys, *words, "--jobs", "2", "--out", "two")
    assert (slow / "died").exists()
    assert (two["trials"], two["failed"]) == (4, 0)
    one = here(capsys, *words, "--jobs", "1", "--out", "one")
    tables = [(Path(made["run_dir"]) / "trials.parquet").read_bytes() for made in (one, two)]
    assert tables[0] == tables[1]


@pytest.mark.trials
def test_a_trial_that_kills_every_worker_is_a_failed_row(slow):
    (slow / "slowly.py").write_text(
        "import os, numpy as np\n"
        "def answer(features, wait=0, deadly=False):\n"
        "    if deadly:\n        os.kill(os.getpid(), 9)\n"
        "    return np.where(features[:, 0] > features[:, 1], 1, 2)\n"
    )
    words = ["--param", "model.params.deadly=true,false", "--jobs", "2"]
    out, told = start(slow, *words).communicate(timeout=150)
    document = json.loads(out)
    assert (document["trials"], document["failed"]) == (2, 1), told
    assert "died 3 times" in next(iter(document["errors"]))
    assert os.path.exists(document["run_dir"])


@pytest.mark.trials
def test_a_cluster_gives_the_same_bytes_with_a_worker_killed_in_the_middle(slow):
    pytest.importorskip("distributed")
    words = ["--param", "model.params.wait=0.20:0.50:0.01", "--jobs", "1"]
    out, _ = start(slow, *words).communicate(timeout=150)
    expected = (Path(json.loads(out)["run_dir"]) / "trials.parquet").read_bytes()
    place = slow / "scheduler.json"
    here = ["--scheduler-file", str(place), "--host", "127.0.0.1"]
    dask = [sys.executable, "-m", "distributed.cli"]
    processes = []
    try:
        line = [f"{dask[2]}.dask_scheduler", *here, "--port", "0", "--no-dashboard"]
        processes.append(subprocess.Popen([*dask[:2], *line], cwd=slow))
        wait_for(place.exists)
        for _ in range(2):
            line = [f"{dask[2]}.dask_worker", *here, "--nthreads", "1", "--no-nanny"]
            processes.append(subprocess.Popen([*dask[:2], *line, "--no-dashboard"], cwd=slow))
        address = json.loads(place.read_text())["address"]
        begun = start(slow, *words[:2], "--cluster", address, "--out", "clustered")
        lines = slow / "clustered"
        wait_for(
            lambda: (
                any(path.read_text().count("\n") >= 4 for path in lines.glob("*/trials.jsonl"))
                or begun.poll() is not None
            )
        )
        processes[1].kill()
        out, told = begun.communicate(timeout=150)
        assert begun.returncode == 0, told
        document = json.loads(out)
        assert (document["trials"], document["failed"]) == (30, 0)
        assert (slow / document["run_dir"] / "trials.parquet").read_bytes() == expected
    finally:
        for process in processes:
            process.kill()
            process.wait()
