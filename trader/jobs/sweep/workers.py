"""Who runs the trials: this process, processes on this machine, or a dask cluster.

Law: nobody but this module starts a process, and none of them outlives the sweep, however it ends.
A worker that dies costs the trials it had under way, which are run again; one that kills its
worker three times is a failed trial.
"""

import contextlib
import gc
import os
import pickle
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trader import jit
from trader.errors import UsageError, needs_extra
from trader.jobs.sweep.space import Assignment
from trader.jobs.sweep.trial import Outcome, Sweepable, Task, Workshop
from trader.processes import ends_with_parent

CHUNK_S = 0.2  # work sent to a worker at once: more only delays, less costs messages
MOST_AT_ONCE = 64
DEATHS = 3
READY_WAIT_S = 60.0
_shops: dict[str, Workshop] = {}  # of this process, by folder


@dataclass(frozen=True)
class Crew:
    """How many run the trials, and where."""

    jobs: int
    cluster: str | None = None


@dataclass(frozen=True)
class PackedJob:
    """A sweep as workers are sent it: bytes that only the first chunk of a worker unpacks."""

    folder: str
    job: bytes

    @classmethod
    def of(cls, job: Sweepable) -> "PackedJob":
        """As joblib packs it: a model may be of a class that no file has."""
        from joblib.externals.loky.backend.reduction import dumps

        return cls(job.folder, bytes(dumps(job)))


def run_chunk(packed: PackedJob, tasks: Sequence[Task], owner: int | None) -> list[Outcome]:
    """What a worker does: some trials, one after another. `owner`: the process that it is of."""
    shop = _shops.get(packed.folder)
    if shop is None:
        _end_with(owner)
        if not Path(packed.folder).is_dir():
            raise UsageError(
                f"a worker of the cluster does not see {packed.folder}: it must lie on a disk that "
                "all of them share (choose it with --out)"
            )
        _shops.clear()
        job = pickle.loads(packed.job)  # noqa: S301 - our own sweep's, over joblib's own channel
        shop = _shops[packed.folder] = Workshop(job)
    return shop.run(tasks)


def _end_with(owner: int | None) -> None:
    """Let this worker end when its sweep is killed; one of a cluster (None) is not ours."""
    if owner is not None and not ends_with_parent(owner):
        os._exit(1)


def get_ready(job: Sweepable, place: int, owner: int, everybody: int) -> None:
    """Load everything, and wait until all workers have: a worker takes one such task only."""
    _end_with(owner)
    shop = _shops[job.folder] = Workshop(job)
    shop.warm_up()
    gc.freeze()  # what is loaded stays: no collection looks at it again
    store = shop.store.folder
    (store / f".ready-{place}").touch()
    until = time.monotonic() + READY_WAIT_S
    while time.monotonic() < until:
        if all((store / f".ready-{other}").exists() for other in range(everybody)):
            return
        time.sleep(0.005)


class Pace:
    """How many trials go to a worker at once, by how long they take."""

    def __init__(self) -> None:
        self._seconds, self._trials = 0.0, 0

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from finished trials."""
        self._seconds += sum(one.span[1] - one.span[0] for one in outcomes)
        self._trials += len(outcomes)

    def size(self, left: int, jobs: int) -> int:
        """Of the next chunk, when `left` trials are not sent yet."""
        if self._trials == 0:
            return 1
        each = max(self._seconds / self._trials, 1e-6)
        share = left if jobs == 1 else left // (2 * jobs)
        return max(1, min(MOST_AT_ONCE, int(CHUNK_S / each), share))


class Workers:
    """Runs batches of trials. Use as a context: at its end no process is left."""

    def __init__(self, job: Sweepable, crew: Crew) -> None:
        self._job, self._crew = job, crew
        self._pace = Pace()
        self._client: Any = None

    def __enter__(self) -> "Workers":
        if self._crew.cluster is not None:
            self._client = _connected(self._crew.cluster)
        elif self._crew.jobs > 1:
            self._assemble()
        else:
            _shops[self._job.folder] = Workshop(self._job)
            _shops[self._job.folder].warm_up()
        return self

    def __exit__(self, *error: object) -> None:
        _shops.pop(self._job.folder, None)
        if self._client is not None:
            with contextlib.suppress(Exception):  # the cluster is not ours, and may be gone
                self._client.close(timeout=5)
        elif self._crew.jobs > 1:
            _end_processes()

    def run(self, tasks: Sequence[Task], take: Callable[[Outcome], None]) -> None:
        """Run `tasks`; `take` is called with each outcome as soon as it is known."""
        if self._crew.cluster is None and self._crew.jobs == 1:
            shop = _shops[self._job.folder]
            place = 0
            while place < len(tasks):
                part = tasks[place : place + self._pace.size(len(tasks) - place, 1)]
                place += len(part)
                outcomes = shop.run(part)
                self._pace.note(outcomes)
                for outcome in outcomes:
                    take(outcome)
            return
        left = dict(tasks)
        deaths: Counter[int] = Counter()
        while left:
            sent: set[int] = set()
            try:
                self._run_together(left, sent, take)
            except _deaths():
                for number in sent & left.keys():
                    deaths[number] += 1
                    if deaths[number] >= DEATHS:
                        told = f"its worker process died {DEATHS} times (out of memory?)"
                        take(Outcome(number, left.pop(number), "failed", told))
                _end_processes()

    def _run_together(
        self, left: dict[int, Assignment], sent: set[int], take: Callable[[Outcome], None]
    ) -> None:
        """Run what is left; finished trials are taken out of it."""
        from joblib import Parallel, delayed

        queue, packed = list(left.items()), PackedJob.of(self._job)
        cluster = self._crew.cluster is not None
        owner = None if cluster else os.getpid()

        def chunks() -> Iterator[Any]:
            place = 0
            while place < len(queue):
                size = self._pace.size(len(queue) - place, self._crew.jobs)
                part = queue[place : place + size]
                place += size
                sent.update(number for number, _ in part)
                yield delayed(run_chunk)(packed, part, owner)

        with _backend(self._crew), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # joblib's, of a worker that stopped
            parallel = Parallel(
                n_jobs=-1 if cluster else self._crew.jobs,
                batch_size=1,
                pre_dispatch="2*n_jobs",
                return_as="generator_unordered",
            )
            results = parallel(chunks())
            try:
                for outcomes in results:
                    self._pace.note(outcomes)
                    for outcome in outcomes:
                        left.pop(outcome.trial, None)
                        take(outcome)
            finally:
                results.close()

    def _assemble(self) -> None:
        """Start the processes, each with everything loaded, before the first trial counts."""
        from joblib import Parallel, delayed

        if jit.needs_compiling():  # once, here, and not in each of them
            Workshop(self._job).warm_up()
        for old in Path(self._job.folder).glob(".ready-*"):
            old.unlink()
        with _backend(self._crew):
            Parallel(n_jobs=self._crew.jobs, batch_size=1, pre_dispatch="all")(
                delayed(get_ready)(self._job, place, os.getpid(), self._crew.jobs)
                for place in range(self._crew.jobs)
            )


def _backend(crew: Crew) -> Any:
    from joblib import parallel_config

    if crew.cluster is not None:
        return parallel_config(backend="dask")
    return parallel_config(backend="loky", inner_max_num_threads=1)


def _connected(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(f"--cluster {needs_extra('cluster')}") from error
    try:
        return Client(address, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(f"--cluster {address}: no scheduler answers there: {error}") from error


def _deaths() -> tuple[type[BaseException], ...]:
    from concurrent.futures.process import BrokenProcessPool

    from joblib.externals.loky.process_executor import TerminatedWorkerError

    return (TerminatedWorkerError, BrokenProcessPool)


def _end_processes() -> None:
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def with_cores(crew: Crew) -> Crew:
    """The crew with as many jobs as there are cores, where none were asked for."""
    return crew if crew.jobs > 0 else replace(crew, jobs=len(os.sched_getaffinity(0)))
