"""`import trader; trader.backtest(...)` is the run of the command line."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import trader
from tests.config_demo import DEMO
from trader.cli.app import run as run_command
from trader.models.skops_file import dump_skops

ROOT = Path(__file__).parents[2]
ACME = ROOT / "data" / "acme.csv"
QUIET = {"throttle.max_spread_bps": None, "throttle.max_volume_participation": None}


def acme(rows: int = 1_500) -> pd.DataFrame:
    return pd.read_csv(ACME, nrows=rows)


def config(**sections) -> dict:
    """The demo as a dict, over files that exist."""
    made = yaml.safe_load(DEMO)
    made["feed"]["path"] = str(ACME)
    return made | sections


@pytest.fixture
def by_command(tmp_path, capsys):
    """Runs a dict config by the command line; gives back its JSON document."""

    def run(made: dict, *words: str) -> dict:
        path = tmp_path / "command.yaml"
        path.write_text(yaml.safe_dump(made))
        out = str(tmp_path / "runs")
        assert run_command(["backtest", "-c", str(path), "--json", "--out", out, *words]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_a_dict_a_path_and_the_command_have_one_digest(tmp_path, by_command):
    expected = by_command(config(), "--set", "broker.cash=50000")
    assert expected["fills"] > 0
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config()))
    upper = {"broker": {"cash": 50_000}}
    runs = [
        trader.backtest(config(), set={"broker.cash": 50_000}),
        trader.backtest(str(path), set={"broker.cash": "50000"}),
        trader.backtest([path, upper]),
        trader.backtest(config(), set={"broker.cash": np.int64(50_000)}),
    ]
    assert {run.digest for run in runs} == {expected["digest"]}
    assert runs[0].metrics == expected["metrics"]
    assert runs[0].risk == expected["risk"]


def test_the_loop_gives_the_same_run():
    frame = acme(400)
    runs = [trader.backtest(config(), bars=frame, engine=engine) for engine in ("batch", "loop")]
    assert runs[0].digest == runs[1].digest
    assert len(runs[0].fills) > 0


def test_a_frame_of_the_file_is_the_file(by_command):
    expected = by_command(config())
    frame = acme(100_000)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    indexed = frame.set_index("timestamp").rename(columns=str.capitalize)
    runs = [
        trader.backtest(config(), bars=acme(100_000)),  # text stamps
        trader.backtest(config(), bars=indexed),
        trader.backtest(config(), bars=indexed.tz_convert("America/New_York")),
    ]
    assert {run.digest for run in runs} == {expected["digest"]}


def test_a_frame_needs_no_feed_section_and_is_left_as_it_was():
    made = config()
    del made["feed"]
    frame = acme()
    before = frame.copy()
    run = trader.backtest(made, bars=frame)
    assert len(run.equity) == len(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_symbols_of_a_column_and_of_an_index_are_the_same():
    made = config(instruments=["ACME", "B"])
    one, two = acme(800).assign(symbol="ACME"), acme(800).assign(symbol="B")
    two[["open", "high", "low", "close", "bid", "ask"]] *= 1.5
    frame = pd.concat([one, two]).sort_values(["timestamp", "symbol"], ignore_index=True)
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    by_column = trader.backtest(made, bars=frame)
    by_index = trader.backtest(made, bars=frame.set_index(["symbol", "timestamp"]))
    assert by_column.digest == by_index.digest
    assert set(by_column.decisions["symbol"]) == {"ACME", "B"}


def test_nothing_is_written_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = trader.backtest(config(), bars=acme())
    assert run.path is None
    assert list(tmp_path.iterdir()) == []
    saved = trader.backtest(config(), bars=acme(), save=True)
    assert saved.path is not None
    assert saved.path.parent == tmp_path / "runs"
    assert saved.digest == run.digest


def test_a_saved_run_reads_back_as_it_was(tmp_path):
    run = trader.backtest(config(), bars=acme(), save=tmp_path)
    back = trader.load_run(run.path)
    assert len(run.trades) > 3
    for name in ("fills", "trades", "equity", "decisions", "orders"):
        pd.testing.assert_frame_equal(getattr(run, name), getattr(back, name))
    assert (run.digest, run.metrics, run.risk) == (back.digest, back.metrics, back.risk)
    assert repr(run) == repr(back)
    assert run._repr_html_() == back._repr_html_()


def test_tables_have_aware_times_and_the_columns_of_the_files():
    run = trader.backtest(config(), bars=acme())
    header = ["timestamp", "symbol", "side", "qty", "price", "commission", "slippage"]
    assert list(run.fills)[: len(header)] == header
    for frame, column in (
        (run.fills, "timestamp"),
        (run.trades, "entry_time"),
        (run.decisions, "timestamp"),
        (run.orders, "ended"),
        (run.equity, "timestamp"),
    ):
        assert str(frame[column].dt.tz) == "UTC"
    assert str(run.equity.index.tz) == "UTC"
    assert run.equity["equity"].iloc[-1] == run.metrics["final_equity"]
    assert len(run.decisions) == 1_500


@pytest.mark.process
def test_a_fitted_classifier_is_the_model_of_its_skops_file(tmp_path, by_command):
    forest = pytest.importorskip("sklearn.ensemble").RandomForestClassifier(
        4, n_jobs=2, max_depth=4
    )
    features = {"r": {"type": "returns", "period": 3}, "z": {"type": "zscore", "window": 20}}
    made = config(features=features)
    rng = np.random.default_rng(7)
    inputs = pd.DataFrame({"r": rng.normal(0, 1e-3, 900), "z": rng.normal(0, 1, 900)})
    fitted = forest.fit(inputs, rng.integers(0, 3, 900))
    data = dump_skops(fitted)
    (tmp_path / "m.skops").write_bytes(data)
    from_file = {"type": "sklearn", "path": str(tmp_path / "m.skops")}
    from_file["sha256"] = hashlib.sha256(data).hexdigest()
    expected = by_command(made | {"model": from_file})
    run = trader.backtest(made, model=fitted, save=tmp_path)
    assert run.digest == expected["digest"]
    assert run.metrics["trades"] > 0
    assert fitted.n_jobs == 2
    assert list(fitted.feature_names_in_) == ["r", "z"]
    manifest = json.loads((run.path / "manifest.json").read_text())
    assert manifest["model"]["sha256"] == from_file["sha256"]
    assert manifest["model"]["made_of"].endswith("RandomForestClassifier")


def test_a_callable_is_a_model_and_told_as_not_reproducible(caplog):
    def follow(features):
        return np.where(features[:, 0] > features[:, 1], 1, 2)

    rule = trader.backtest(config(), bars=acme())
    with caplog.at_level("WARNING", "trader"):
        run = trader.backtest(config(), bars=acme(), model=follow)
    assert run.digest == rule.digest
    assert "cannot be reproduced" in caplog.text


@pytest.mark.parametrize(
    ("overrides", "bars", "model", "error", "told"),
    [
        ({"risk.max_daily_los": 5}, None, None, trader.ConfigError, "did you mean max_daily_loss"),
        (
            {"broker.cash": object()},
            None,
            None,
            trader.ConfigError,
            "cash: has the type object",
        ),
        ({"features.sma_fast.period": 0}, None, None, trader.ConfigError, "set: features.sma_fast"),
        ({"feed.path": "nowhere.csv"}, None, None, trader.ConfigError, "does not exist"),
        ({"feed.type": "frame", "feed.path": None}, None, None, trader.ConfigError, "from Python"),
        ({"feed.timezone": None}, "naive", None, trader.DataError, "has no time zone"),
        ({}, "numbers", None, trader.DataError, "does not say its unit"),
        ({}, "no close", None, trader.DataError, "DataFrame: missing column 'close'"),
        ({}, "text", None, trader.DataError, "holds no numbers"),
        ({}, "none", None, trader.DataError, "no rows"),
        ({}, [1, 2], None, trader.DataError, "bars is a list"),
        ({}, "high", None, trader.DataError, "DataFrame row 7: ACME"),
        ({}, None, 5, trader.ModelError, "must be callable"),
        ({}, None, lambda features: features, trader.ModelError, "the model answered"),
        ({"model": {"type": "object"}}, None, None, trader.ConfigError, "from Python"),
    ],
)
def test_mistakes_are_the_errors_of_the_command_line(overrides, bars, model, error, told):
    with pytest.raises(error, match=None) as caught:
        trader.backtest(config(), set=overrides, bars=broken(bars), model=model)
    assert told in str(caught.value)


def broken(kind):
    frame = acme(50)
    stamps = pd.to_datetime(frame["timestamp"], utc=True)
    match kind:
        case "naive":
            return frame.assign(timestamp=stamps.dt.tz_localize(None))
        case "numbers":
            return frame.assign(timestamp=range(50))
        case "no close":
            return frame.drop(columns="close")
        case "text":
            return frame.assign(close="high")
        case "none":
            return frame.iloc[:0]
        case "high":
            frame.loc[7, "high"] = 1.0
            return frame
        case None:
            return None
    return kind


def test_a_run_shows_itself_with_text_escaped():
    run = trader.backtest(config(name="demo"), bars=acme(), set=QUIET)
    html = run._repr_html_()
    assert "Final equity" in html
    assert run.digest[:12] in html
    run.document["run_id"] = "<script>"
    assert "<script>" not in run._repr_html_()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(trader.UsageError, match="no run folder"):
        trader.load_run(tmp_path / "none")
    with pytest.raises(trader.UsageError, match="batch or loop"):
        trader.backtest(config(), engine="fast")


def test_the_picture_is_an_svg_that_keeps_every_extreme(tmp_path):
    import xml.etree.ElementTree as xml

    from trader.report.sketch import equity_picture, extremes

    run = trader.backtest(config(), bars=acme(500))
    picture = run.plot()
    root = xml.fromstring(picture._repr_svg_())
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 2
    assert f"{run.metrics['final_equity']:,.2f} at the end" in picture.svg
    assert picture.save(tmp_path / "run.svg").read_text() == picture.svg
    values = np.random.default_rng(2).normal(size=100_000)
    kept = extremes(values, 50)
    assert len(kept) <= 102
    assert {values.argmin(), values.argmax(), 0, 99_999} <= set(kept)
    none = np.empty(0)
    assert "no bars" in equity_picture(none.astype(int), none, none).svg
