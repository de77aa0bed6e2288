"""The command line's frame: the table of commands, how a command ends, what a process prints."""

import ast
import inspect
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer

from tests import config_demo
from trader import __version__, errors
from trader.cli import app, outcome
from trader.config.load import load_config

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("pydantic", "yaml", "numpy", "numba", "pandas", "pyarrow", "sklearn", "rich", "asyncio")
FAILURES = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, errors.TraderError)
]


def trader(*arguments, **settings):
    """Run `trader` as a process of its own; text of stdout and stderr, exit code."""
    return subprocess.run(
        [sys.executable, "-m", "trader", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **settings,
    )


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.process
def test_help_lists_every_command_with_its_line():
    shown = trader("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = [line.split() for line in shown.stdout.splitlines()]
    for name, _ in app.COMMANDS:
        assert any(words[:1] == [name] and len(words) > 2 for words in lines), name
    assert "kill" in dict(app.COMMANDS)


@pytest.mark.process
def test_help_imports_nothing_heavy():
    code = "import sys; from trader.cli import app; app.run(['--help']); print(*sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(shown.stdout.splitlines()[-1].split())
    assert "typer" in loaded
    assert loaded & set(HEAVY) == set()


def test_main_imports_only_sys_before_it_dispatches():
    body = ast.parse((ROOT / "trader" / "__main__.py").read_text()).body
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["import sys"]


@pytest.mark.parametrize("name", [name for name, _ in app.COMMANDS if name != "kill"])
def test_every_command_explains_itself(name, capsys):
    assert app.run([name, "--help"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"Usage: trader {name}")
    assert shown.err == ""


def test_every_command_file_is_in_the_table():
    files = {path.stem for path in (ROOT / "trader" / "cli").glob("*.py")}
    frame = {"__init__", "app", "console", "options", "outcome"}
    commands = {
        name
        for name in files - frame
        if {"command", "app", name} & set(vars(import_module(f"trader.cli.{name}")))
    }
    assert commands == {place.split(":")[0].rpartition(".")[2] for _, place in app.COMMANDS}


@pytest.mark.process
def test_version_is_the_package_version():
    shown = trader("--version")
    assert (shown.returncode, shown.stdout) == (0, f"trader {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "No such command 'nope'"),
        (["init"], "Missing argument 'DIR'"),
        (["init", "x", "--nope"], "No such option: --nope"),
        (["config", "show"], "Missing option '--config' / '-c'"),
    ],
)
def test_wrong_usage_says_what_and_where_help_is_and_exits_2(arguments, message, capsys):
    assert app.run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"error: {message}" in shown.err
    assert "--help'" in shown.err


@pytest.mark.parametrize("arguments", [[], ["config"]])
def test_no_command_prints_the_help_and_exits_2(arguments, capsys):
    assert app.run(arguments) == 2
    assert "Commands:" in capsys.readouterr().err


def test_backtest_typo_names_the_nearest_command(capsys):
    assert app.run(["confg"]) == 2
    assert "'config'" in capsys.readouterr().err


@pytest.mark.parametrize("kind", FAILURES)
def test_trader_error_becomes_its_message_and_exit_code(kind, capsys):
    assert outcome.exit_code_of(raising(kind("data/a.csv: row 7: no"))) == kind.exit_code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "error: data/a.csv: row 7: no\n")


def test_exit_codes_are_those_of_the_contract():
    codes = {kind.__name__: kind.exit_code for kind in FAILURES}
    assert codes == {
        "TraderError": 1,
        "UsageError": 2,
        "ConfigError": 3,
        "DataError": 4,
        "ModelError": 5,
        "HaltedError": 6,
        "KilledError": 7,
        "VerificationError": 8,
    }


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (typer.Abort(), 130, "interrupted\n"),
        (SystemExit(6), 6, ""),
        (SystemExit(None), 0, ""),
        (SystemExit("no"), 1, "no\n"),
    ],
)
def test_ends_that_are_no_failures_keep_their_code(error, code, message, capsys):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert outcome.exit_code_of(raising(error)) == code
        is_deaf = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert is_deaf == (code == 130), "a second Ctrl-C changes nothing any more"
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (7, 7), ("text", 0)])
def test_integer_that_a_command_returns_is_the_exit_code(returned, code):
    assert outcome.exit_code_of(lambda: returned) == code


def test_unexpected_error_names_a_file_with_the_traceback(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert outcome.exit_code_of(raising(ZeroDivisionError("by\nzero"))) == 1
    shown = capsys.readouterr().err
    (file,) = tmp_path.glob("trader-traceback-*.txt")
    assert shown == (
        f"internal error: ZeroDivisionError: by zero "
        f"(traceback in {file}; TRADER_DEBUG=1 shows it)\n"
    )
    assert "raise error" in file.read_text()


def test_unexpected_error_is_told_even_where_no_file_can_be_written(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert outcome.exit_code_of(raising(ZeroDivisionError())) == 1
    assert "ZeroDivisionError (TRADER_DEBUG=1 shows the traceback)" in capsys.readouterr().err


def test_debug_setting_shows_the_traceback(capsys, monkeypatch):
    monkeypatch.setenv("TRADER_DEBUG", "1")
    assert outcome.exit_code_of(raising(errors.DataError("row 7"))) == 4
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.endswith("error: row 7\n")


def test_system_error_names_the_file_and_no_internals(capsys):
    error = PermissionError(13, "Permission denied", "/root/x")
    assert outcome.exit_code_of(raising(error)) == 1
    assert capsys.readouterr().err.startswith("error: Permission denied: /root/x (traceback in ")


@pytest.mark.process
def test_reader_that_left_is_no_error():
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "trader", "config", "schema"],
        stdout=write,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        check=False,
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.process
def test_pipe_broken_elsewhere_is_an_error():
    code = (
        "from trader.cli import outcome\n"
        "def command(): raise BrokenPipeError(32, 'Broken pipe')\n"
        "raise SystemExit(outcome.exit_code_of(command))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: Broken pipe")


def test_late_config_error_gets_the_place_of_its_key(tmp_path):
    file = config_demo.write(tmp_path, config_demo.DEMO)
    loaded = load_config([file])
    with pytest.raises(errors.ConfigError) as caught, outcome.explaining(loaded):
        raise errors.ConfigError("too small", key="bar_period_seconds")
    assert str(caught.value).startswith(f"{loaded.locate('bar_period_seconds')}: ")
    assert str(file) in str(caught.value)


def test_config_error_without_a_key_stays_as_it_is():
    loaded = load_config([ROOT / "configs" / "demo.yaml"], environ={})
    with pytest.raises(errors.ConfigError, match=r"^as it is$"), outcome.explaining(loaded):
        raise errors.ConfigError("as it is")
