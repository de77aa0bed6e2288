"""`trader report` as a user calls it: one run, several, a sweep, old and broken folders."""

import base64
import json
import re
import zlib

import pytest
import yaml

import trader
from tests.api.test_backtest import acme, config
from trader.cli import console
from trader.cli.app import run as run_command


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a config, two runs and a sweep."""
    home = tmp_path_factory.mktemp("reports")
    acme(1_200).to_csv(home / "acme.csv", index=False)
    made = config()
    made["feed"]["path"] = str(home / "acme.csv")
    (home / "run.yaml").write_text(yaml.safe_dump(made))
    for name, period in (("one", 5), ("two", 7)):
        changes = {"name": name, "features.sma_fast.period": period}
        trader.backtest(home / "run.yaml", set=changes, save=home / "runs")
    grid = {"features.sma_fast.period": [5, 10], "features.sma_slow.period": [30, 40]}
    trader.sweep(home / "run.yaml", grid, save=home / "runs")
    return home


@pytest.fixture
def report(home, monkeypatch, capsys):
    """Calls `trader report …` in the home folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(home)

    def call(*words):
        console._console.cache_clear()
        code = run_command(["report", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def folder(home, name):
    (found,) = (home / "runs").glob(f"*-{name}")
    return found


def data_of(page):
    packed = re.search(r'id="data">(.*?)</script>', page).group(1)
    return json.loads(zlib.decompress(base64.b64decode(json.loads(packed)["text"])))


def test_a_run_folder_has_the_page_and_report_writes_the_same_again(home, report):
    page = folder(home, "one") / "report.html"
    written = page.read_text()
    page.unlink()
    code, out, _ = report(folder(home, "one").name)
    assert code == 0
    assert out.strip() == str(page.relative_to(home))
    assert page.read_text() == written


def test_several_runs_stand_side_by_side_in_a_file_of_ones_choice(home, report):
    code, out, _ = report(*(folder(home, name).name for name in ("one", "two")), "--out", "x.html")
    assert (code, out.strip()) == (0, "x.html")
    page = (home / "x.html").read_text()
    assert len(data_of(page)["curves"]) == 2
    assert all(folder(home, name).name in page for name in ("one", "two"))


def test_a_sweep_has_a_page_with_maps_and_every_trial(home, report):
    path = folder(home, f"sweep-{config()['name']}")
    written = (path / "report.html").read_text()
    assert report(str(path), "--out", "sweep.html")[0] == 0
    assert (home / "sweep.html").read_text() == written
    (table,) = data_of(written)["tables"]
    assert [column["name"] for column in table["columns"]][1:3] == [
        "features.sma_fast.period",
        "features.sma_slow.period",
    ]
    assert len(table["columns"][0]["values"]) == 4
    assert len(re.findall(r'<td class="h[0-6]', written)) == 4
    assert json.loads((path / "sweep.json").read_text())["document"]["in_words"] in written


def test_a_folder_that_lost_its_data_says_so_and_shows_the_fills(home, report, tmp_path):
    (home / "acme.csv").rename(tmp_path / "acme.csv")
    try:
        assert report(folder(home, "one").name, "--out", "without.html")[0] == 0
    finally:
        (tmp_path / "acme.csv").rename(home / "acme.csv")
    page = (home / "without.html").read_text()
    assert "Fills are shown without prices" in page
    assert data_of(page)["prices"][0]["x"]["n"] == 0
    assert data_of(page)["slices"]["n"] == 1_200


def test_a_folder_of_an_earlier_version_still_has_a_page(home, report):
    old = folder(home, "two")
    kept = {name: (old / name).read_bytes() for name in ("orders.parquet", "metrics.json")}
    metrics = json.loads(kept["metrics.json"])
    new = ("intervals", "by_group", "by_period", "annualised_by", "exits", "ambiguous_fills")
    (old / "metrics.json").write_text(
        json.dumps({key: value for key, value in metrics.items() if key not in new})
    )
    (old / "orders.parquet").unlink()
    try:
        assert report(old.name, "--out", "old.html")[0] == 0
    finally:
        for name, content in kept.items():
            (old / name).write_bytes(content)
    page = (home / "old.html").read_text()
    assert "n/a" not in page.split("<section")[0]
    assert [one["id"] for one in data_of(page)["tables"]] == ["trades", "fills", "refusals"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere",), "no run 'nowhere'"),
        ((), "Missing argument"),
    ],
)
def test_what_is_no_run_is_a_usage_error(report, words, told):
    code, _, err = report(*words)
    assert code == 2
    assert told in err


def test_a_damaged_file_is_named(home, report):
    path = folder(home, "one") / "equity.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    try:
        code, _, err = report(folder(home, "one").name, "--out", "none.html")
    finally:
        path.write_bytes(whole)
    assert code == 2
    assert "equity.parquet" in err
    assert not (home / "none.html").exists()


def test_report_false_writes_none(home):
    run = trader.backtest(home / "run.yaml", set={"report": False, "name": "none"}, save=home / "r")
    assert not (run.path / "report.html").exists()
    table = trader.sweep(
        home / "run.yaml", {"features.sma_fast.period": [5]}, set={"report": False}, save=home / "r"
    )
    (path,) = (home / "r").glob("*-sweep-*")
    assert len(table) == 1
    assert not (path / "report.html").exists()
