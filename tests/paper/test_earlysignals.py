"""SIGTERM and SIGHUP of before a run trades, and Ctrl-C of before anything is imported."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trader.cli.backtest import end_in_order
from trader.jobs.paper.os_signals import ENDING, Termination, at_once, cancelling


@pytest.fixture(autouse=True)
def as_from_a_terminal() -> Iterator[None]:
    """Under `nohup` the tests themselves ignore SIGHUP."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_what_is_loaded_and_nothing_is_changed_for_later(number: signal.Signals):
    before = signal.getsignal(number)
    with pytest.raises(Termination, match=number.name), at_once():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_a_signal_that_a_compiler_swallows_is_raised_at_the_end():
    def swallowed(number: signal.Signals) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt), at_once((signal.SIGINT,)):
        swallowed(signal.SIGINT)
    raise_again = end_in_order()
    try:
        raise_again()
        swallowed(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            raise_again()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_compiler_that_fails_for_a_signal_it_swallowed_is_no_error(
    capfd: pytest.CaptureFixture[str],
):
    @ctypes.CFUNCTYPE(None)
    def callback() -> None:
        signal.raise_signal(signal.SIGINT)

    def compiled() -> None:
        callback()  # Python loses what is raised in there
        raise RuntimeError("no compiled object yet")

    with pytest.raises(KeyboardInterrupt), at_once((signal.SIGINT,)):
        compiled()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_cancels_a_start_that_waits_and_is_remembered(number: signal.Signals):
    async def start() -> list[str]:
        with cancelling() as heard:
            signal.raise_signal(number)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(60)
            return heard

    assert asyncio.run(start()) == [number.name]


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with at_once():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.process
def test_ctrl_c_while_the_command_line_is_imported_is_no_traceback(tmp_path: Path):
    (tmp_path / "typer.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    path = os.pathsep.join((str(tmp_path), *filter(None, sys.path)))
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from trader.__main__ import main; sys.exit(main())"],
        check=False, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": path},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
