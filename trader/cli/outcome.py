"""How a command ends: a message on stderr and an exit code, never a bare traceback.

    TraderError            error: MESSAGE                          its own code, 2 to 8
    wrong usage            usage, error: MESSAGE                   2
    Ctrl-C                 interrupted                             130
    reader of stdout gone  nothing (`trader runs list | head`)     141, as of any Unix tool
    OSError                error: MESSAGE, and where to look       1
    anything else          internal error: ..., and where to look  1

Law: `TRADER_DEBUG=1` shows the traceback of any of them. A broken pipe is quiet only if it is
our own stdout or stderr that has no reader any more.
"""

import errno
import os
import select
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import typer

from trader.errors import ConfigError, TraderError

if TYPE_CHECKING:
    from trader.config.load import LoadedConfig

CRASHED = 1
INTERRUPTED = 130
LAST_WORD_S = 1.0  # for somebody to read it
READER_GONE = 141  # 128 + SIGPIPE


def exit_code_of(command: Callable[[], object]) -> int:
    """Run `command` and turn its end into an exit code; what it returns counts if it is an int."""
    _plug_closed_streams()
    _let_any_text_be_printed()
    try:
        return _exit_code_of(command)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()


def _exit_code_of(command: Callable[[], object]) -> int:
    try:
        ended = command()
        sys.stdout.flush()
    except typer.Abort:
        raise
    except typer.Exit as ending:
        return ending.exit_code
    except SystemExit as ending:
        return _system_exit_code(ending)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            _drop_output()
            return READER_GONE
        return _failed(error)
    return ended if isinstance(ended, int) else 0


def _interrupted() -> int:
    """Say so, and leave at once where nobody reads what is said or what was printed before."""
    with suppress(ValueError):  # not the main thread: no signals come here
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one changes nothing any more
    telling = threading.Thread(target=_last_word, args=("interrupted",), daemon=True)
    telling.start()
    telling.join(LAST_WORD_S)
    if telling.is_alive():
        os._exit(INTERRUPTED)
    return INTERRUPTED


def _last_word(message: str) -> None:
    _say(message)
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _drop_output()


@contextmanager
def explaining(loaded: "LoadedConfig") -> Iterator[None]:
    """Put file, line and column in front of a ConfigError that what runs inside raises.

    `load_config`'s own errors have their places already; wiring, features and models know only
    the key. What the modules log meanwhile is said on stderr with its level in front.
    """
    say_what_is_logged()
    loaded.tell()
    try:
        yield
    except ConfigError as error:
        if error.key is None:
            raise
        raise ConfigError(loaded.explain(error)) from error


def say_what_is_logged() -> None:
    """`warning: …`, `info: …` on stderr for every record of ours; Python would print bare text."""
    import logging

    class Teller(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _say(f"{record.levelname.lower()}: {record.getMessage()}")

    ours = logging.getLogger("trader")
    if not any(type(handler).__name__ == Teller.__name__ for handler in ours.handlers):
        ours.addHandler(Teller(logging.INFO))
        ours.setLevel(logging.INFO)


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, is that the system gave no memory or no thread."""
    text = str(error)
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        refusals = (
            "failed to map segment",
            "cannot allocate memory",
            "can't start new thread",
            "Failed to launch worker thread",
        )
        if any(one in text for one in refusals):
            return True
        error = error.__cause__ or error.__context__
        text = str(error)
    return False


def _memory_limit() -> str:
    """The limit of this process in words, where it has one."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return (
        ""
        if soft == resource.RLIM_INFINITY
        else f" under its limit of {soft >> 20:,} MiB (ulimit -v)"
    )


def _failed(error: Exception) -> int:
    if os.environ.get("TRADER_DEBUG") == "1":
        _say("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, TraderError):
        _say(f"error: {error}")
        return error.exit_code
    if isinstance(error, typer.TyperException):
        _say(_usage_message(error))
        return error.exit_code
    if isinstance(error, FileNotFoundError) and _is_nowhere():
        gone = f"the working folder {os.environ.get('PWD', '')} is gone, deleted or moved"
        _say(f"error: {gone}: change to one that exists (cd), and run this again")
        return CRASHED
    if _is_out_of_memory(error):
        _say(
            f"error: not enough memory{_memory_limit()}: raise the limit, or use less (feed.start)"
        )
        return CRASHED
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        _say(f"error: {error.strerror or error}{place} ({_where_to_look(error)})")
        return CRASHED
    words = " ".join(str(error).split())
    what = type(error).__name__ + (f": {words}" if words else "")
    _say(f"internal error: {what} ({_where_to_look(error)})")
    return CRASHED


def _is_nowhere() -> bool:
    """Whether this process stands in a folder that has no path any more."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _usage_message(error: typer.TyperException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if message.startswith("Usage:") or context is None:  # a bare `trader` or `trader runs`
        return message
    help_line = f"Try '{context.command_path} --help'."
    return f"{context.get_usage()}\n{help_line}\nerror: {message}"


def _where_to_look(error: Exception) -> str:
    if os.environ.get("TRADER_DEBUG") == "1":
        return "traceback above"
    try:
        handle, path = tempfile.mkstemp(prefix="trader-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.writelines(traceback.format_exception(error))
    except OSError:
        return "TRADER_DEBUG=1 shows the traceback"
    return f"traceback in {path}; TRADER_DEBUG=1 shows it"


def _system_exit_code(ending: SystemExit) -> int:
    if ending.code is None or isinstance(ending.code, int):
        return ending.code or 0
    _say(str(ending.code))
    return CRASHED


def _say(message: str) -> None:
    try:
        print(message, file=sys.stderr, flush=True)  # noqa: T201 - the one place that reports
    except OSError:
        _drop_output()  # nobody is left to read it; the exit code still tells


def _plug_closed_streams() -> None:
    """`trader … >&-`: what is printed goes nowhere, and no file of ours gets a stream's number."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        os.set_inheritable(descriptor, True)  # a child has its streams, too
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _let_any_text_be_printed() -> None:
    """A symbol that the terminal's encoding lacks becomes `?`, not a crash in mid-report."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace" if stream is sys.stdout else "backslashreplace")


def _reader_is_gone() -> bool:
    """Whether stdout or stderr is a pipe that nobody reads."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)
    gone = select.POLLERR | select.POLLHUP
    return any(event & gone for _, event in poll.poll(0))


def _drop_output() -> None:
    """Send what is still buffered to nowhere, so that the interpreter's exit stays quiet."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
