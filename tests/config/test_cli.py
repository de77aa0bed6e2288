"""`trader config show` and `trader config schema`, in processes of their own."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.config_demo import DEMO, demo, load, write
from trader.cli.config import app
from trader.errors import ConfigError


def run(*arguments: str, **environ: str):
    return CliRunner().invoke(app, list(arguments), env=environ)


def test_show_prints_every_value_with_its_origin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, DEMO)
    result = run("show", "-c", "run.yaml", "--set", "seed=7", TRADER__BROKER__CASH="1e6")
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert rows["seed"] == ["7", "--set"]
    assert rows["broker.cash"] == ["1000000.0", "env", "TRADER__BROKER__CASH"]
    assert rows["features.sma_fast.period"] == ["10", "run.yaml:11:33"]
    assert rows["risk.price_collar"] == ["none", "default"]
    assert rows["risk.market_hours"] == ['"24x7"', "run.yaml:24:17"]
    assert rows["hooks"] == ["[]", "run.yaml:37:8"]
    assert set(rows) - {"sha256"} == set(load(tmp_path / "run.yaml").origins)


def test_show_json_is_one_document(tmp_path):
    path = write(tmp_path, DEMO)
    result = run("show", "-c", str(path), "--json")
    document = json.loads(result.stdout)
    loaded = load(path)
    assert document["config"]["risk"]["max_daily_loss"] == 1000.0
    assert document["config"]["risk"]["price_collar"] is None
    assert document["origins"] == loaded.origins
    assert document["sha256"] == loaded.sha256


def test_show_of_several_files_lets_the_last_win(tmp_path):
    first, second = write(tmp_path, DEMO), write(tmp_path, "seed: 9\n", "b.yaml")
    result = run("show", "-c", str(first), "--config", str(second), "--json")
    assert json.loads(result.stdout)["config"]["seed"] == 9


def test_show_of_a_bad_config_raises_the_config_error(tmp_path):
    result = run("show", "-c", str(write(tmp_path, "nam: demo\n")))
    assert isinstance(result.exception, ConfigError)
    assert result.stdout == ""


def test_show_without_a_file_is_a_usage_error():
    assert run("show").exit_code == 2


def test_schema_prints_the_json_schema():
    result = run("schema")
    schema = json.loads(result.stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False


@pytest.mark.process
def test_loading_a_config_imports_nothing_heavy(tmp_path):
    path = write(tmp_path, DEMO)
    code = (
        "import sys; from trader.config.load import load_config; load_config(sys.argv[1]);"
        "print([m for m in ('numpy', 'pandas', 'numba', 'rich', 'typer', 'exchange_calendars')"
        " if m in sys.modules])"
    )
    environ = {key: value for key, value in os.environ.items() if "TRADER" not in key}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True, text=True, check=True, env=environ,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


@pytest.mark.process
def test_a_bad_config_exits_3_with_the_message_on_stderr(tmp_path):
    path = write(tmp_path, demo(("cash: 100000", "cash: .inf")))
    done = subprocess.run(
        [sys.executable, "-m", "trader", "config", "show", "-c", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"error: {path}:33:9: broker.cash: must be a finite number; got '.inf'\n"
    )


@pytest.mark.parametrize("arguments", [["show", "--help"], ["schema", "--help"]])
def test_help_is_there(arguments):
    assert run(*arguments).exit_code == 0
