"""One life of the run: a forked child that trades for real until its fate meets it.

Law: what runs is `trader.jobs.paper.session.paper`. Replaced are only the outermost ends: the
observer of the named points, the simulated broker (by one that outlives the process) and, because
they take most of the time and nothing of them is recovered, the tables of the result. Seven lives
in eight also go without threads, without a process of its own for the audit of the journal, and
with bars that have been read before.
"""

import contextlib
import gc
import io
import mmap
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from tests.harness.crash_scenes import Scene
from tests.harness.crash_script import Fate
from trader.brokers.simulated import SimulatedBroker
from trader.engine import crash_points, recover, slices
from trader.errors import TraderError
from trader.feeds import feed
from trader.jobs import backtest as runs
from trader.jobs.paper import earlier_records, ending, opening, resume, session, start, trading
from trader.jobs.paper.session import paper
from trader.jobs.paper.start import ResumeRequest
from trader.jobs.paper.trading import Watcher
from trader.journal import log
from trader.journal.audit.verify import verify_here
from trader.report.artifacts import MANIFEST
from trader.safety import trip
from trader.safety.stop import StopOrder

DIED, FAULTY = 99, 98  # exit codes
SQL = ("sql BEGIN IMMEDIATE", "sql INSERT", "sql COMMIT")
PLACES = (*crash_points.NAMES, *SQL)
LEAST_FILE = 60_000  # bytes: SQLite's shared-memory file alone takes 32 KiB

Plant = Callable[[], None]  # puts a bug into this process


class Tally:
    """Counters by place, shared with forked children."""

    def __init__(self) -> None:
        self._row = struct.Struct(f"{len(PLACES)}q")
        self._map = mmap.mmap(-1, self._row.size)

    def add(self, place: str) -> None:
        values = list(self._row.unpack_from(self._map))
        values[PLACES.index(place)] += 1
        self._row.pack_into(self._map, 0, *values)

    def read(self) -> dict[str, int]:
        return dict(zip(PLACES, self._row.unpack_from(self._map), strict=True))


class Broker(SimulatedBroker):
    """Takes orders into a file: one line `LIFE ID DECISION QTY` each, and `KILLED` marks."""

    def __init__(self, path: Path, life: int) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._life = life
        super().__init__(time.monotonic_ns)

    def submit(self, order: Any) -> None:
        super().submit(order)
        self.note(f"{order.order_id} {order.decision} {order.qty!r}")

    def note(self, text: str) -> None:
        os.write(self._fd, f"{self._life} {text}\n".encode())


class AtOnce(Executor):
    """Runs work where it is submitted: most lives go without the cost of real threads."""

    def __init__(self, *sizes: object, **names: object) -> None:
        """As a `ThreadPoolExecutor` is made."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **named))
        except Exception as error:
            done.set_exception(error)
        return done


class _AtOnceProcess:
    """What `Earlier` would have a process do, done here and now."""

    def __init__(self, request: dict[str, Any]) -> None:
        path, said = Path(request["path"]), io.StringIO()
        with contextlib.redirect_stdout(said):
            problems = verify_here(path).problems
            self.returncode = 8 if problems else earlier_records._folded(path, request)
        text = f"{problems[0]}" if problems else said.getvalue()
        (Path(request["folder"]) / earlier_records.SAID).write_text(text)

    def poll(self) -> int:
        return self.returncode

    wait = poll


class Untold:
    """In the place of tally and decision file: nobody asks for the tables."""

    def __init__(self, *places: object) -> None:
        """As a `DecisionWriter` is made."""

    def __enter__(self) -> "Untold":
        return self

    def __exit__(self, *raised: object) -> None:
        """Nothing is open."""

    def add(self, rows: object) -> None:
        """Not counted."""

    def write(self, rows: object) -> None:
        """Not written."""

    def close(self) -> None:
        """Nothing is open."""


class Cell:
    """The small world of one cycle: state folder, runs, the broker's file, what a life leaves."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home, self.runs = root / "home", root / "runs"
        self.broker, self.left = root / "broker.txt", root / "left.bin"
        self.errors = root / "errors.txt"
        root.mkdir(parents=True)
        self.broker.touch()

    @property
    def journal(self) -> Path | None:
        """The journal, once there is one. There is never a second."""
        found = sorted(self.runs.glob("*/journal.sqlite"))
        return found[0] if found else None


class Life:
    """A child process and its fate."""

    def __init__(self, cell: Cell, scene: Scene, number: int, fate: Fate) -> None:
        self.cell, self.scene, self.fate = cell, scene, fate
        self.number = number
        self.broker = Broker(cell.broker, number)
        self.has_threads = number % 8 == 0
        self.is_thorough = number % 32 == 0  # the journal is audited by a process of its own
        self.is_uncut = False  # it goes unjudged, and its statements are counted
        self.passed: dict[str, int] = {}
        self.home = str(cell.home)

    def meet(self, place: str, died: Tally, passed: Tally) -> None:
        """Count `place`, and let the fate happen if this is where."""
        passed.add(place)
        count = self.passed[place] = self.passed.get(place, 0) + 1
        fate = self.fate
        if place != fate.where or count != fate.nth:
            return
        died.add(place)
        if fate.then is not None:
            self.fate = fate.then._replace(nth=self.passed.get(fate.then.where, 0) + 1)
        if fate.how == "exit":
            os._exit(DIED)
        elif fate.how == "sigkill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fate.how in ("sigint", "sigint2"):
            for _ in range(1 + (fate.how == "sigint2")):
                os.kill(os.getpid(), signal.SIGINT)
        elif fate.how in ("trip", "flatten"):
            order = StopOrder("script", 7, source="engine", flatten=fate.how == "flatten")
            if trip.Tripwire(self.home).trip(order).durable:
                self.broker.note("KILLED")


def live(life: Life, died: Tally, passed: Tally, plant: Plant | None) -> int:
    """Trade until the end; the exit code. To be called in a forked child only."""
    cell, scene = life.cell, life.scene
    gc.disable()  # frozen pages stay shared with the parent
    place(cell, scene)
    _replace_ends(life, died, passed)
    if plant is not None:
        plant()
    if life.fate.how == "full":
        _fill_disk(cell, life.fate.nth)
    order = runs.Order(scene.loaded, [scene.config_file], "loop", cell.runs, ("crash",))
    try:
        ended = paper(order, ResumeRequest(None), Watcher(nobody, nobody), nobody)
    except TraderError as error:
        cell.errors.write_text(f"{type(error).__name__}: {error}")
        return error.exit_code
    except KeyboardInterrupt:  # before the run listens itself; what the command line says then
        return 130
    except BaseException:
        cell.errors.write_text(traceback.format_exc())
        return FAULTY
    return ended.exit_code


def place(cell: Cell, scene: Scene) -> None:
    """Let this process see the cell and the scene's files, and nothing of the user's."""
    os.environ.update(TRADER_HOME=str(cell.home), XDG_RUNTIME_DIR=str(cell.root))
    tempfile.tempdir = str(cell.root)
    os.chdir(scene.folder)


@contextlib.contextmanager
def placed(cell: Cell, scene: Scene) -> Iterator[None]:
    """`place`, and back."""
    before, folder, temporary = dict(os.environ), os.getcwd(), tempfile.tempdir
    place(cell, scene)
    try:
        yield
    finally:
        os.chdir(folder)
        tempfile.tempdir = temporary
        os.environ.clear()
        os.environ.update(before)


def nobody(said: object) -> None:
    """Nobody listens."""


def _replace_ends(life: Life, died: Tally, passed: Tally) -> None:
    def meet(place: str) -> None:
        life.meet(place, died, passed)

    def open_writer(path: Path, real: Callable[..., Any] = log.open_writer) -> Any:
        connection = real(path)
        connection.set_trace_callback(lambda sql: _statement(sql, meet))
        return connection

    def finish(*parts: Any, real: Callable[..., Any] = session.finish) -> Any:
        ended = real(*parts)
        opened = parts[1]
        book = b"".join(array.tobytes() for array in opened.slices.engine.book)
        whole = life.cell.left.with_suffix(".new")  # a second Ctrl-C may end us in mid-write
        whole.write_bytes(ended.finished.result.encode() + b"\n" + book)
        whole.replace(life.cell.left)
        return ended

    crash_points.observer = meet
    if life.fate.where in SQL or life.is_uncut:
        log.open_writer = open_writer
    session.finish = finish
    start.open_broker = lambda config: life.broker  # type: ignore[assignment,misc]
    if not life.is_thorough:
        resume.verify = verify_here  # type: ignore[assignment]
    log.PACK_RECORDS = 15
    slices.SLICES_AT_ONCE = max(1, life.number % 6 - 2)
    if life.number % 2:  # from the snapshot on
        recover.WHOLE_UP_TO = 0
        earlier_records._started = _AtOnceProcess  # type: ignore[assignment]
    if not life.has_threads:
        feed.load_history = lambda config: life.scene.history  # type: ignore[assignment]
        opening.DecisionWriter = ending.DecisionWriter = Untold  # type: ignore[assignment,misc]
        opening.ThreadPoolExecutor = AtOnce  # type: ignore[assignment,misc]
        trading.ThreadPoolExecutor = AtOnce  # type: ignore[assignment,misc]


def without_tables() -> None:
    """From now on runs of this process end without the tables of their results.

    Called in the parent: what makes them (SciPy among it) is a fifth of what a fork copies.
    """
    opening.DecisionTally = Untold  # type: ignore[assignment,misc]
    ending._result = lambda begun, opened, record, *more: record.digest  # type: ignore[assignment]
    ending.write_run = _write_manifest  # type: ignore[assignment]
    ending.write_report = lambda *_: None  # type: ignore[assignment]


def _write_manifest(folder: Path, result: object) -> dict[str, float]:
    """The file that says that a run folder is complete; the others are tested elsewhere."""
    (folder / MANIFEST).touch()
    return {}


def _statement(sql: str, meet: Callable[[str], None]) -> None:
    for place in SQL:
        if sql.startswith(place[4:]):
            meet(place)


def _fill_disk(cell: Cell, more: int) -> None:
    """No file may grow beyond the journal's write-ahead file and `more` bytes."""
    journal = cell.journal
    ahead = 0 if journal is None else _size(journal.with_name(journal.name + "-wal"))
    most = max(LEAST_FILE, ahead + more)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def start_life(life: Life, died: Tally, passed: Tally, plant: Plant | None) -> int:
    """Fork a child that lives `life`; its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = FAULTY
        try:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            code = live(life, died, passed, plant)
        finally:
            os._exit(code)
    return pid
