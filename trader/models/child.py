"""The process a model runs in: `python -m trader.models.child REQUEST_FD ANSWER_FD [MODULE…]`.

Law: serves one parent over two pipes and dies with it. Whatever the model does, the parent gets
an answer that carries the number of its question, or the end of the pipe. What the model prints
goes to stderr. A question that is not answered in time kills this process even if nobody else
does, also while C code holds the GIL; so a parent that was killed leaves no orphan behind.
"""

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import pickle
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, BinaryIO

import numpy as np

from trader.core.schema import BAR
from trader.errors import ModelError, TraderError
from trader.models.memory import limit_memory

LENGTH = struct.Struct("<I")
HEADER = struct.Struct("<qbI")  # number of the question, Status, rows (or row + 1, exit code)
LONGEST_TEXT = 2_000
LONGEST_NOTICE = 500


class Status(IntEnum):
    """What an answer is."""

    READY = 0  # the model is loaded
    ACTIONS = 1
    FAILED = 2  # it raised
    NONSENSE = 3  # it answered what is no action
    NOT_LOADED = 4
    SHARED = 5  # actions, reasons and scores are in the shared memory, behind the rows


@dataclass(frozen=True)
class Setup:
    """The first message: how this process makes its model."""

    load: Callable[[], object]  # returns a `signals.model.Model`
    path: tuple[str, ...]  # the parent's import path
    folder: str  # the parent's working directory
    memory_bytes: int | None  # address space on top of what Python itself takes
    suicide_s: float  # after this long a question kills the process
    shared_fds: tuple[int, ...] = ()  # of `SharedRows`, where the parent has some


def pack(number: int, status: Status, body: bytes = b"", rows: int = 0) -> bytes:
    """An answer as bytes, its length first. `body` is actions, reasons and requests, or a text."""
    message = HEADER.pack(number, status, rows) + body
    return LENGTH.pack(len(message)) + message


def main(request_fd: int, answer_fd: int, preload: Sequence[str] = ()) -> None:
    """Serve until the parent is gone. `preload`: modules to import while the parent is busy."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    _print_to_stderr()
    for module in preload:
        with contextlib.suppress(Exception):  # loading the model will say what is missing
            importlib.import_module(module)
    requests = os.fdopen(request_fd, "rb")
    setup = _setup(requests, answer_fd)
    if setup is None:
        return
    served_by = os.getpid()
    try:
        limit_memory(setup.memory_bytes)
        model = setup.load()
        if (loaded := sys.modules.get("trader.models.sklearn_predictor")) is not None:
            loaded.settle_threads()  # each question would take a part of a millisecond for it
        ask = _ask(model, setup)
    except BaseException as error:
        _send(answer_fd, not_loaded(error))
        return
    gc.collect()
    gc.freeze()
    notices = json.dumps([text[:LONGEST_NOTICE] for text in getattr(model, "notices", [])[:10]])
    _send(answer_fd, pack(0, Status.READY, notices.encode()))
    while (question := _receive(requests)) is not None:
        number, what = pickle.loads(question)  # noqa: S301 - our parent wrote it
        faulthandler.dump_traceback_later(setup.suicide_s, exit=True, file=2)
        answer = _answer(ask, number, what)
        faulthandler.cancel_dump_traceback_later()
        if os.getpid() != served_by:
            os._exit(0)  # the model forked: only the one that was asked answers
        _send(answer_fd, answer)


def _print_to_stderr() -> None:
    """What goes to stdout goes to stderr; both to nowhere where there is no stderr."""
    try:
        os.dup2(2, 1)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)


def _setup(requests: BinaryIO, answer_fd: int) -> Setup | None:
    message = _receive(requests)
    if message is None:
        return None
    path, folder, inner = pickle.loads(message)  # noqa: S301 - our parent wrote it
    sys.path[:] = path  # before the inner pickle: it may name modules found there
    try:
        os.chdir(folder)
        setup: Setup = pickle.loads(inner)  # noqa: S301 - our parent wrote it
    except BaseException as error:
        _send(answer_fd, not_loaded(error))
        return None
    return setup


def _ask(model: Any, setup: Setup) -> Callable[[Any], Any]:
    """What answers a question: (bars, features) of a slice, or rows in shared memory."""
    from trader.models.model import predict_rows
    from trader.models.shared_rows import SharedMatrix, SharedRows

    shared = [SharedRows(descriptor) for descriptor in setup.shared_fds]
    nothing = np.empty(0, BAR)

    def ask(what: Any) -> Any:
        if not isinstance(what, SharedMatrix):
            return predict_rows(model, *what)
        memory = shared[what.file]
        memory.put_answer(what, model.predict(nothing, memory.get(what)))
        return what

    return ask


def _answer(ask: Callable[[Any], Any], number: int, what: Any) -> bytes:
    from trader.models.answers import AnswerError
    from trader.models.shared_rows import SharedMatrix

    try:
        with contextlib.redirect_stdout(sys.stderr):
            said = ask(what)
    except BaseException as error:
        cause = error if isinstance(error, AnswerError) else error.__cause__
        if isinstance(cause, AnswerError):
            is_plain = error is cause and cause.row is not None
            text = cause.complaint.encode("utf-8", "backslashreplace") if is_plain else b""
            row = cause.row + 1 if is_plain and cause.row is not None else 0
            return pack(number, Status.NONSENSE, text[:LONGEST_TEXT] or text_of(error), row)
        return pack(number, Status.FAILED, text_of(error))
    if isinstance(said, SharedMatrix):
        return pack(number, Status.SHARED, rows=said.rows)
    body = said.actions.astype(np.int8).tobytes() + said.reasons.astype(np.int16).tobytes()
    return pack(number, Status.ACTIONS, body + said.requests.tobytes(), len(said.actions))


def not_loaded(error: BaseException) -> bytes:
    """The answer of a process that has no model: exit code, config key and text of the error."""
    code = error.exit_code if isinstance(error, TraderError) else ModelError.exit_code
    key = getattr(error, "key", None) or ""
    return pack(0, Status.NOT_LOADED, str(key).encode() + b"\0" + text_of(error), code)


def text_of(error: BaseException) -> bytes:
    """An exception as a message; one that cannot be printed is no crash of ours."""
    try:
        text, kind = str(error), type(error).__name__
        if not isinstance(error, TraderError):
            text = f"{kind}: {text}" if text else kind
    except BaseException:
        text = f"{type(error).__name__}, which cannot be printed"
    return text[:LONGEST_TEXT].encode("utf-8", "backslashreplace")


def _receive(stream: BinaryIO) -> bytes | None:
    """One message; None at the end of the pipe."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    body = stream.read(LENGTH.unpack(head)[0])
    return body if len(body) == LENGTH.unpack(head)[0] else None


def _send(descriptor: int, message: bytes) -> None:
    view = memoryview(message)
    while view:
        view = view[os.write(descriptor, view) :]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
