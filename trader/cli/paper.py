"""`trader paper`: bars as they come, money simulated, everything in a journal."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader.cli.options import ConfigFiles, OutFolder, Overrides

if TYPE_CHECKING:
    from trader.jobs.paper.ending import PaperResult


def command(
    config: ConfigFiles,
    overrides: Overrides = None,
    pace: Annotated[
        str,
        typer.Option(
            "--pace",
            metavar="N|max",
            help="Speed of files: 60 is sixty times real time, max does not wait.",
        ),
    ] = "1",
    new: Annotated[
        bool,
        typer.Option(
            "--new", help="Begin with fresh cash instead of going on where the last run stopped."
        ),
    ] = False,
    out: OutFolder = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document a line, one for each event.")
    ] = False,
) -> None:
    """Run a config on bars as they come, or resume its run."""
    from trader.cli import console
    from trader.cli.outcome import explaining
    from trader.cli.paperscreen import LineWriter, Screen
    from trader.jobs.paper.preflight import require_armed, require_files, require_memory

    times = _pace(pace)
    require_armed()  # a start that is refused pays for nothing
    require_memory()
    require_files()
    with _ended_in_order():
        from trader.config.load import load_config

        loaded = load_config(config, overrides or ())
        with explaining(loaded), console.own_stdout() as stdout:
            from trader.jobs import backtest as runs
            from trader.jobs.paper.session import paper
            from trader.jobs.paper.start import ResumeRequest
            from trader.jobs.paper.trading import Watcher
            from trader.report.paperview import PaperView

            parent = Path(out) if out is not None else runs.RUNS
            order = runs.Order(loaded, config, "loop", parent, tuple(sys.argv))
            view = PaperView(loaded.config.name, loaded.config.symbols)
            with Screen(view, stdout if as_json else None) as screen:
                is_file = loaded.config.feed.is_file
                for notice in _notices(runs.compile_notice("loop"), times, is_file):
                    screen.say(notice)
                watcher = Watcher(screen.on_event, screen.on_status)
                ended = paper(order, ResumeRequest(times, new), watcher, screen.say)
    _print(ended.finished, as_json)
    last = LineWriter(sys.stderr)  # whom nobody may read any more
    for line in _last_lines(ended, not loaded.config.feed.is_file):
        last.put(line)
    last.close()
    _leave(ended.exit_code, last.is_done)


def _notices(compiling: str | None, times: float | None, is_file: bool) -> Iterator[str]:
    """What a user should know while nothing happens yet."""
    if compiling:
        yield compiling
    if times == 1.0 and is_file:
        yield "bars come as they happened; --pace 60 is faster, max does not wait"


def _last_lines(ended: "PaperResult", tells_of_data: bool) -> Iterator[str]:
    from trader.report.eventlines import one_line

    # Of files the data's warnings were told at the start.
    for warning in ended.finished.result.quality["warnings"] if tells_of_data else ():
        yield one_line(f"data: {warning}")
    yield f"journal head {ended.head}"
    if ended.stopped.how != "end":
        yield one_line(f"{ended.run_id}: {ended.stopped.how}; {ended.stopped.text}")
        if ended.stopped.how == "caught_up":
            return
        first = "after the re-arm " if ended.is_latched else "the run is not over: "
        yield f"{first}start it again to go on where it is, or with --new for a fresh run"


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP before it trades: exit 0, nothing left."""
    from trader.cli import console
    from trader.jobs.paper.os_signals import Termination, at_once

    try:
        with at_once():
            yield
    except Termination as ending:
        console.log(f"ended by {ending} before it traded")
        _leave(0, is_read=True)
        raise typer.Exit from None


def _leave(code: int, is_read: bool) -> None:
    """End with `code`; without waiting for a thread of the user's own code that hangs, nor, unless
    `is_read`, for whoever should read stderr."""
    own = {threading.main_thread(), threading.current_thread()}
    hangs = any(
        thread.is_alive() and not thread.daemon for thread in set(threading.enumerate()) - own
    )
    if hangs or not is_read:
        sys.stdout.flush()
        if is_read:
            sys.stderr.flush()
        os._exit(code)
    if code:
        raise typer.Exit(code)


def _pace(text: str) -> float | None:
    from trader.errors import UsageError

    if text == "max":
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--pace {text}: write a number, such as 1 or 60, or max") from None


def _print(finished: Any, as_json: bool) -> None:
    from trader.cli import console
    from trader.report.document import summary_document

    document = summary_document(finished.result, finished.timing)
    if as_json:
        console.print_json({"event": "summary", **document}, line=True)
        return
    from trader.report.tables import summary_view

    console.out().print(summary_view(document))
