"""`trader backtest`: history through the core to a run folder, a table and an exit code."""

import signal
import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from trader.cli.options import AsJson, ConfigFiles, OutFolder, Overrides

if TYPE_CHECKING:
    from trader.jobs.backtest import WrittenRun

IN_SAMPLE = 8


class Engine(StrEnum):
    """Which shell runs the core; both give the same digest."""

    batch = "batch"
    loop = "loop"


def command(
    config: ConfigFiles,
    overrides: Overrides = None,
    engine: Annotated[
        Engine,
        typer.Option(
            "--engine",
            help="batch: compiled; loop: bar by bar, as `trader paper` runs. Same result.",
        ),
    ] = Engine.batch,
    out: OutFolder = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit 8 if a bar lies in the span the model was trained on."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a config over history; write a run folder."""
    from trader.cli import console
    from trader.cli.outcome import explaining
    from trader.config.load import load_config
    from trader.user_code.pandas_later import leave_pandas_out

    raise_again = end_in_order()
    loaded = load_config(config, overrides or ())
    with explaining(loaded), console.own_stdout(), console.progress() as progress:
        leave_pandas_out()
        from trader.jobs import (
            backtest as runs,  # heavy; a wrong config is told before it is paid for
        )

        notice = runs.compile_notice(engine.value)
        if notice:
            console.log(notice)
        parent = Path(out) if out is not None else runs.RUNS
        order = runs.Order(loaded, config, engine.value, parent, tuple(sys.argv))

        def report(stage: str, done: int, total: int | None) -> None:
            raise_again()
            progress(stage, done, total)

        finished = runs.backtest(order, report)
    _print(finished, as_json)
    if finished.result.exit_code:
        raise typer.Exit(finished.result.exit_code)
    seen = finished.result.in_sample
    if strict and seen is not None and seen["bars"]:
        raise typer.Exit(IN_SAMPLE)


def end_in_order() -> Callable[[], None]:
    """Let SIGTERM and SIGHUP end a run as Ctrl-C does: exit 130, and no half folder left.

    What is returned raises KeyboardInterrupt again where one was heard: the compiler calls back
    into Python, and loses what is raised there.
    """
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    def raise_again() -> None:
        if heard:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        return raise_again  # a caller's thread: signals are the caller's
    for asked in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # `nohup` ignores SIGHUP: so do we
        if signal.getsignal(asked) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(asked, hear)
    return raise_again


def _print(finished: "WrittenRun", as_json: bool) -> None:
    from trader.cli import console
    from trader.report.document import summary_document

    result = finished.result
    for warning in result.quality["warnings"]:
        console.log(f"data: {warning}")
    document = summary_document(result, finished.timing)
    if as_json:
        console.print_json(document)
        return
    from trader.report.tables import summary_view

    console.out().print(summary_view(document))
