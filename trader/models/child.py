"""The child process a model runs in: `python -m trader.models.child REQUEST_FD ANSWER_FD`.

Law: serves one parent over two pipes and dies with it. Whatever the model does, the parent gets
an answer that carries the number of its question, or the end of the pipe. What the model prints
goes to stderr. A question that is not answered in time kills this process even if nobody else
does, also while C code holds the GIL; so a parent that was killed leaves no orphan behind.
"""

import contextlib
import faulthandler
import gc
import os
import pickle
import signal
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, BinaryIO

import numpy as np

from trader.errors import TraderError

LENGTH = struct.Struct("<I")
HEADER = struct.Struct("<qbI")  # number of the question, Status, rows
LONGEST_TEXT = 2_000


class Status(IntEnum):
    """What an answer is."""

    READY = 0  # the model is loaded
    ACTIONS = 1
    FAILED = 2  # it raised
    NONSENSE = 3  # it answered what is no action
    NOT_LOADED = 4


@dataclass(frozen=True)
class Setup:
    """The first message: how this process makes its model."""

    load: Callable[[], object]  # returns a `signals.model.Model`
    path: tuple[str, ...]  # the parent's import path
    folder: str  # the parent's working directory
    memory_bytes: int | None  # address space on top of what Python itself takes
    suicide_s: float  # after this long a question kills the process


def pack(number: int, status: Status, body: bytes = b"", rows: int = 0) -> bytes:
    """An answer as bytes, its length first. `body` is actions, reasons and requests, or a text."""
    message = HEADER.pack(number, status, rows) + body
    return LENGTH.pack(len(message)) + message


def main(request_fd: int, answer_fd: int) -> None:
    """Serve until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    _print_to_stderr()
    requests = os.fdopen(request_fd, "rb")
    setup = _setup(requests, answer_fd)
    if setup is None:
        return
    served_by = os.getpid()
    try:
        _limit_memory(setup.memory_bytes)
        model = setup.load()
        from trader.models.model import predict_rows
    except BaseException as error:
        _send(answer_fd, pack(0, Status.NOT_LOADED, text_of(error)))
        return
    gc.collect()
    gc.freeze()
    _send(answer_fd, pack(0, Status.READY))
    while (question := _receive(requests)) is not None:
        number, bars, features = pickle.loads(question)  # noqa: S301 - our parent wrote it
        faulthandler.dump_traceback_later(setup.suicide_s, exit=True, file=2)
        answer = _answer(predict_rows, model, (number, bars, features))
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
        _send(answer_fd, pack(0, Status.NOT_LOADED, text_of(error)))
        return None
    return setup


def _answer(predict_rows: Callable[..., Any], model: object, question: Any) -> bytes:
    from trader.models.actions import AnswerError

    number, bars, features = question
    try:
        with contextlib.redirect_stdout(sys.stderr):
            said = predict_rows(model, bars, features)
    except BaseException as error:
        nonsense = isinstance(error, AnswerError) or isinstance(error.__cause__, AnswerError)
        return pack(number, Status.NONSENSE if nonsense else Status.FAILED, text_of(error))
    body = said.actions.astype(np.int8).tobytes() + said.reasons.astype(np.int16).tobytes()
    return pack(number, Status.ACTIONS, body + said.requests.tobytes(), len(said.actions))


def text_of(error: BaseException) -> bytes:
    """An exception as a message; one that cannot be printed is no crash of ours."""
    try:
        text, kind = str(error), type(error).__name__
        if not isinstance(error, TraderError):
            text = f"{kind}: {text}" if text else kind
    except BaseException:
        text = f"{type(error).__name__}, which cannot be printed"
    return text[:LONGEST_TEXT].encode("utf-8", "backslashreplace")


def _limit_memory(memory_bytes: int | None) -> None:
    if memory_bytes is None:
        return
    try:
        import resource

        with open("/proc/self/statm") as stream:
            taken = int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory_bytes, taken + memory_bytes))
    except (ImportError, OSError, ValueError):
        return  # not on this system: the process's own limit has to do


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
        main(int(sys.argv[1]), int(sys.argv[2]))
