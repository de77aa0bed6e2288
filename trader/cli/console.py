"""What a command prints: results on stdout, logs and progress on stderr.

Law: stdout carries the result and nothing else. Colour and progress bars only on a terminal,
`NO_COLOR` is honoured; into a pipe nothing is wrapped, cropped or coloured. Text is printed as
it is: brackets and colons in a symbol are not markup.
"""

import functools
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from datetime import date
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 1000  # columns: wide enough that no table is squeezed on its way into a file


def out() -> "Console":
    """The console of stdout, for results."""
    return _console(sys.stdout)


def err() -> "Console":
    """The console of stderr, for logs and progress.

    One and the same while a live view stands in for `sys.stderr`: a second console would write
    into the view, which then stays where it was, half overwritten.
    """
    return _console(getattr(sys.stderr, "rich_proxied_file", sys.stderr))


@functools.lru_cache(maxsize=4)
def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    terminal = stream.isatty()
    chosen = terminal or "COLUMNS" in os.environ
    return Console(
        file=stream,
        width=None if chosen else PIPE_WIDTH,
        soft_wrap=not terminal,
        markup=False,
        emoji=False,
        highlight=False,
    )


def log(message: str) -> None:
    """One plain line on stderr, above a progress bar if one is shown. Nobody has to read it."""
    with suppress(OSError, SystemExit):  # Rich leaves by SystemExit when a pipe is closed
        err().print(message, soft_wrap=True)


def print_json(document: object, *, line: bool = False) -> None:
    """One JSON document on stdout, indented, or on one `line` for streams of them.

    NaN and infinities become null; NumPy scalars and arrays, enum names, dates and paths become
    what JSON has. Anything else is a bug and raises TypeError.
    """
    text = json.dumps(json_value(document), indent=None if line else 2, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def json_value(value: Any) -> Any:
    """`value` in the types of JSON: dict, list, str, int, finite float, bool and None."""
    if isinstance(value, Mapping):
        return {str(json_value(key)): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(item) for item in value]
    if hasattr(value, "tolist"):  # a NumPy scalar or array, without importing NumPy to ask
        value = value.tolist()
        return json_value(value) if isinstance(value, list) else _json_scalar(value)
    return _json_scalar(value)


def _json_scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):  # and its child, datetime
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


@contextmanager
def own_stdout() -> Iterator[TextIO]:
    """Yields stdout, for results alone, while the user's code runs.

    What models, hooks and the C code under them print meanwhile goes to stderr. The stream has a
    descriptor of its own, which lives as long as the stream: a thread that waits for a slow reader
    may hold it longer than this block, and must not write to a number that is another file's by
    then.
    """
    stream = sys.stdout
    stream.flush()
    own = os.fdopen(os.dup(1), "w", encoding=stream.encoding, errors=stream.errors)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield own if _descriptor(stream) == 1 else stream
    finally:
        os.dup2(own.fileno(), 1)


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # a test's or a notebook's, with no file below
        return None


@contextmanager
def progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Progress bars on stderr; yields a function to call with (stage, done so far, in all).

    One bar a stage, on a terminal only, and removed at the end; elsewhere the function does
    nothing. `None` in all shows a pulsing bar.
    """
    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    bars = Progress(
        *columns, console=err(), transient=True, redirect_stdout=False, redirect_stderr=False
    )
    tasks: dict[str, TaskID] = {}

    def report(stage: str, done: int, total: int | None) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total)
        bars.update(tasks[stage], completed=done, total=total)

    with bars:
        yield report
