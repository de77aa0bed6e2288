"""One child process with a model in it, as its parent sees it: ask, wait, kill.

Law: no call waits longer than it was told to, whatever the child does; no descriptor but the two
pipes reaches it. Answers are bytes of a fixed form, never a pickle: a model cannot run code here.
"""

import contextlib
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trader.core.schema import REQUEST
from trader.errors import ConfigError, ModelError, TraderError
from trader.models.child import HEADER, LENGTH, LONGEST_TEXT, Setup, Status
from trader.models.prediction import Prediction

MODULE = "trader.models.child"
READ_BLOCK = 1 << 16
BYTES_PER_ROW = 3  # action i1, reason i2
MOST_PER_ROW = BYTES_PER_ROW + REQUEST.itemsize
MOST_ROWS = 1 << 20  # of one answer
_LONGEST = max(LONGEST_TEXT * 4, MOST_PER_ROW * MOST_ROWS)
DEATH_S = 5.0  # for the kernel to reap a killed process


class ChildGone(Exception):
    """The child died or spoke nonsense; it has to be replaced."""

    def __init__(self, text: str, exit_code: int = 0, key: str = "") -> None:
        super().__init__(text)
        self.exit_code = exit_code  # of the error it could not load for; 0: it just ended
        self.key = key

    def as_error(self, path: str) -> TraderError:
        """What the run ends with."""
        if self.exit_code == ConfigError.exit_code:
            return ConfigError(str(self), key=self.key or None)
        if self.exit_code:
            return ModelError(str(self))
        return ModelError(
            f"model.path {path}: cannot be loaded: {self}; the file is damaged, or needs more "
            "memory than a model may take"
        )


class TooLate(Exception):
    """No answer before the deadline."""


@dataclass(frozen=True)
class Answer:
    """A well-formed answer to question `number`."""

    number: int
    status: Status
    rows: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def row(self) -> int | None:
        """The row that an answer NONSENSE is about."""
        return self.rows - 1 if self.rows else None

    @property
    def prediction(self) -> Prediction:
        """The arrays that were packed."""
        actions = np.frombuffer(self.body, np.int8, self.rows)
        reasons = np.frombuffer(self.body, np.int16, self.rows, offset=self.rows)
        requests = np.frombuffer(self.body, REQUEST, offset=BYTES_PER_ROW * self.rows)
        return Prediction(actions, reasons, requests)


class ModelProcess:
    """A started child. Its model is loading until an answer READY has come."""

    def __init__(
        self,
        setup: Setup | None = None,
        preload: Sequence[str] = (),
        inherited: Sequence[int] = (),
    ) -> None:
        """Without `setup` it waits for `begin`, and imports the modules `preload` meanwhile."""
        request_read, self._request = os.pipe()
        self._answer, answer_write = os.pipe()
        self._rest = b""
        self._closed = False
        self.is_ready = False
        self.notices: list[str] = []  # for the user, once it is ready
        self.started_s = time.monotonic()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(request_read), str(answer_write), *preload],
                stdin=subprocess.DEVNULL,
                pass_fds=(request_read, answer_write, *inherited),
                start_new_session=True,  # a process group of its own: forks die with it
                env=_environment(),
            )
        except BaseException:
            os.close(self._request)
            os.close(self._answer)
            raise
        finally:
            os.close(request_read)
            os.close(answer_write)
        os.set_blocking(self._request, False)
        os.set_blocking(self._answer, False)
        self._first = b""
        if setup is not None:
            self.begin(setup)

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, setup: Setup) -> None:
        """Say what to load; `wait_ready` sends it."""
        inner = pickle.dumps(setup)
        self._first = pickle.dumps((list(setup.path), setup.folder, inner))

    def wait_ready(self, deadline_s: float) -> None:
        """Return once the model is loaded. TooLate, or ChildGone with what went wrong."""
        if self._first:
            message, self._first = self._first, b""
            self._write(message, deadline_s)
        while not self.is_ready:
            answer = self._read(deadline_s)
            if answer.status == Status.NOT_LOADED:
                key, _, text = answer.text.partition("\0")
                raise ChildGone(text, answer.rows, key)
            if answer.status == Status.READY:
                self.is_ready = True
                self.notices = _notices(answer)

    def ask(self, number: int, bars: np.ndarray, features: np.ndarray, deadline_s: float) -> Answer:
        """The answer to this question; answers to others are thrown away."""
        self.send(number, (bars, features), deadline_s)
        return self.answer_to(number, deadline_s)

    def send(self, number: int, what: object, deadline_s: float) -> None:
        """Ask, and do not wait."""
        self._write(pickle.dumps((number, what), protocol=5), deadline_s)

    def answer_to(self, number: int, deadline_s: float) -> Answer:
        """The answer to a question that was sent."""
        while True:
            answer = self._read(deadline_s)
            if answer.number == number:
                return answer

    def end(self) -> None:
        """SIGKILL to the child and all it forked: a thread that waits for its answer sees the end
        of the pipe. The pipes stay open, so that it reads from no other file; `kill` is next."""
        if self._closed:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def kill(self) -> None:
        """`end`, and let go of the pipes: when nobody asks it. May be called again."""
        if self._closed:
            return
        self.end()
        self._closed = True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(DEATH_S)
        os.close(self._request)
        os.close(self._answer)

    def _write(self, message: bytes, deadline_s: float) -> None:
        view = memoryview(LENGTH.pack(len(message)) + message)
        while view:
            try:
                view = view[os.write(self._request, view) :]
            except BlockingIOError:
                self._wait(self._request, select.POLLOUT, deadline_s)
            except OSError as error:
                raise ChildGone(self._how_it_ended()) from error

    def _read(self, deadline_s: float) -> Answer:
        while True:
            answer = self._complete()
            if answer is not None:
                return answer
            try:
                block = os.read(self._answer, READ_BLOCK)
            except BlockingIOError:
                self._wait(self._answer, select.POLLIN, deadline_s)
                continue
            if not block:
                raise ChildGone(self._how_it_ended())
            self._rest += block

    def _complete(self) -> Answer | None:
        """The next answer if all of it is here; ChildGone if it is none."""
        if len(self._rest) < LENGTH.size:
            return None
        length = LENGTH.unpack_from(self._rest)[0]
        if not HEADER.size <= length <= HEADER.size + _LONGEST:
            raise ChildGone("the model wrote into our pipe")
        whole = LENGTH.size + length
        if len(self._rest) < whole:
            return None
        message, self._rest = self._rest[LENGTH.size : whole], self._rest[whole:]
        number, status, rows = HEADER.unpack_from(message)
        body = message[HEADER.size :]
        lengths = {
            Status.ACTIONS: (rows * BYTES_PER_ROW, rows * MOST_PER_ROW),
            Status.SHARED: (0,),
        }
        known = status in Status.__members__.values()
        if not known or len(body) not in lengths.get(Status(status), (len(body),)):
            raise ChildGone("the model wrote into our pipe")
        return Answer(number, Status(status), rows, body)

    def _wait(self, descriptor: int, event: int, deadline_s: float) -> None:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0.0:
            raise TooLate
        poll = select.poll()
        poll.register(descriptor, event)
        poll.poll(left_s * 1_000.0 + 1.0)

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "the model's process closed its pipe"
        if code < 0:
            name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
            return f"the model's process was ended by {name}"
        return f"the model's process ended with exit code {code}"


def _notices(answer: Answer) -> list[str]:
    try:
        found = json.loads(answer.body or b"[]")
    except ValueError:
        raise ChildGone("the model wrote into our pipe") from None
    return [str(text) for text in found]


def _environment() -> dict[str, str]:
    """Ours; `-m` finds this package also where it is not installed."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{known}" if known else package}
