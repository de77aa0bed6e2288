"""Processes of `trader` without the seconds that Python, NumPy and Numba take to load.

    done = run(["backtest", "-c", "demo.yaml"], cwd=folder, env=environ)

does what `subprocess.run([sys.executable, "-m", "trader", ...])` does. What it starts is a fork of
a server that has imported `trader` and done nothing with it: a process of its own, with its own
number, descriptors, folder and environment, that takes signals and ends like any other.

Law: the server has one thread and does nothing of `trader` but import it and load the compiled
core. What depends on how a process begins (imports, Python's own settings, limits, search path)
is tested with a process from scratch.
"""

import atexit
import functools
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).resolve().parents[2]
SERVER = Path(__file__).with_name("warm_server.py")
MOST_BYTES = 1 << 17  # of a request: words and environment
STATUS = struct.Struct("i")  # as `os.waitpid` gives it
Stream = int | IO[Any] | None


class Process:
    """A running `trader`, in the manner of `subprocess.Popen` with `text=True`."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        streams: tuple[Stream, Stream, Stream],
    ) -> None:
        """`streams` as Popen's stdin, stdout, stderr: PIPE, DEVNULL, a file, or None: ours."""
        self.args = [sys.executable, "-m", "trader", *words]
        self.returncode: int | None = None
        request = {"argv": list(self.args[2:]), "cwd": str(cwd), "env": dict(env)}
        theirs, ours = zip(
            *(_ends(stream, number) for number, stream in enumerate(streams)), strict=True
        )
        try:
            self.pid, self._status = _server().start(json.dumps(request).encode(), theirs)
        finally:
            for fd, stream in zip(theirs, streams, strict=True):
                if stream in (subprocess.PIPE, subprocess.DEVNULL):
                    os.close(fd)
        self.stdin, self.stdout, self.stderr = ours

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended."""
        if (code := self._ended(timeout)) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            (status,) = STATUS.unpack(os.read(self._status, STATUS.size))
            os.close(self._status)
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def communicate(
        self, input: str | None = None, timeout: float | None = None
    ) -> tuple[str | None, str | None]:
        """Write `input`, read the pipes to their ends, wait; what was read, None of no pipe."""
        said: dict[int, str] = {}

        def tell() -> None:
            if self.stdin is not None and not self.stdin.closed:
                try:
                    with self.stdin as stdin:
                        stdin.write(input or "")
                except BrokenPipeError:
                    pass

        def hear(number: int, stream: IO[str]) -> None:
            said[number] = stream.read()

        heard = [(1, self.stdout), (2, self.stderr)]
        works = [tell, *(functools.partial(hear, n, one) for n, one in heard if one is not None)]
        threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join(timeout)
        return said.get(1), said.get(2)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def run(
    words: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input: str | None = None,
    timeout: float = 120.0,
) -> "subprocess.CompletedProcess[str]":
    """`trader WORDS` to its end, what it wrote captured. Not ended in time: killed, and raises."""
    pipe = subprocess.PIPE
    streams = (None if input is None else pipe, pipe, pipe)
    place, environ = cwd or Path.cwd(), os.environ if env is None else env
    with Process(words, cwd=place, env=environ, streams=streams) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    assert process.returncode is not None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _ends(stream: Stream, number: int) -> tuple[int, IO[str] | None]:
    """The descriptor a child gets as its `number`, and our end of a pipe."""
    if stream is None:
        return number, None
    if stream == subprocess.DEVNULL:
        return os.open(os.devnull, os.O_RDWR), None
    if stream != subprocess.PIPE:
        return stream if isinstance(stream, int) else stream.fileno(), None
    reader, writer = os.pipe()
    if number == 0:
        return reader, os.fdopen(writer, "w")
    return writer, os.fdopen(reader)


class _Server:
    """The server of this process, and the line to it."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MOST_BYTES)
        environ = {name: text for name, text in os.environ.items() if name != "TRADER_HOME"}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVER), str(theirs.fileno())],
                env={**environ, "OPENBLAS_NUM_THREADS": "1"},  # a fork copies one thread
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                preexec_fn=as_from_a_terminal,  # noqa: PLW1509 - nothing but signals
            )
        self._lock = threading.Lock()
        atexit.register(self._line.close)

    def start(self, request: bytes, streams: Sequence[int]) -> tuple[int, int]:
        """Number of the new process, and where its status will be read."""
        reader, writer = os.pipe()
        with self._lock:
            try:
                socket.send_fds(self._line, [request], [*streams, writer])
                answer = self._line.recv(64)
            except BaseException:  # a test's time is up: the answer to come is to nobody
                self.end()
                raise
        os.close(writer)
        assert answer, f"the server of warm processes is gone: {self._process.poll()}"
        return int(answer), reader

    def end(self) -> None:
        """Hang up. The next request starts another server: none takes the answer to this one."""
        self._line.close()
        _server_of.cache_clear()


@functools.cache
def _server_of(owner: int) -> _Server:
    return _Server()


def _server() -> _Server:
    return _server_of(os.getpid())


def as_from_a_terminal() -> None:
    """In a child: started in the background it ignores SIGINT, and under `nohup` SIGHUP."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
