"""`make mutation`: does a test fail for each small mistake made in gate, latch, kill and risk?

Each mutant (see `mutants.py`) goes into a copy of the project, and the tests of that module run
on it with -x. A mutant that no test notices has survived. Exit 1 when a module's score (noticed
of all, in per cent) is under --least. Survivors are listed with their lines.

    python tests/harness/mutate.py [--only trader/safety/gate.py] [--workers 2] [--least 90]
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.harness.mutants import Mutant, mutants_of  # noqa: E402
from tests.harness.protected import PROTECTED  # noqa: E402

NOTICED, SURVIVED, TIMED_OUT = "noticed", "survived", "timed out"
PATIENCE = 4.0  # a mutant may take so many times as long as the tests without a mistake
SPARE_S = 20.0
# Every child of a run imports these; done once here, a run starts in a tenth of a second.
PRELOADED = "import numpy, pandas, numba, hypothesis, exchange_calendars, pytest"
# What is preloaded is not rewritten; of that pytest warns, and a warning is an error.
QUIETLY = "ignore::pytest.PytestAssertRewriteWarning"
ALONE = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", QUIETLY]
SERVER = f"""
import os, sys
{PRELOADED}
for line in sys.stdin:
    words = line.split()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        sys.path.insert(0, os.getcwd())
        os._exit(int(pytest.main({ALONE!r} + words)))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Copy:
    """A copy of the project in which one mutant at a time is tried."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        for name in ("trader", "tests"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, self.root / name, ignore=ignored)
        for name in ("pyproject.toml", "configs", "data"):
            os.symlink(ROOT / name, self.root / name)
        environ = {key: text for key, text in os.environ.items() if not key.startswith("TRADER")}
        scratch = folder / "scratch"
        scratch.mkdir()
        environ.update(
            PYTHONPATH=str(self.root), NUMBA_DISABLE_JIT="1", OPENBLAS_NUM_THREADS="1",
            PYTHONDONTWRITEBYTECODE="1", HOME=str(scratch), TMPDIR=str(scratch), CI="1",
        )  # fmt: skip
        environ.pop("XDG_RUNTIME_DIR", None)
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], cwd=self.root, env=environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self, tests: tuple[str, ...], timeout_s: float) -> str:
        """Runs tests on the copy as it stands."""
        self._server.stdin.write(" ".join(tests) + "\n")
        self._server.stdin.flush()
        pid = int(self._server.stdout.readline())
        late = []

        def end() -> None:
            late.append(True)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

        from threading import Timer

        timer = Timer(timeout_s, end)
        timer.start()
        code = int(self._server.stdout.readline())
        timer.cancel()
        self.end_what_is_left()
        if late:
            return TIMED_OUT
        return SURVIVED if code == 0 else NOTICED

    def end_what_is_left(self) -> None:
        """Ends every process of this copy but its server: those of sessions of their own, too.

        A mutant of `trader kill` can spin for good, and its test cannot always see to its end.
        """
        mine = f"PYTHONPATH={self.root}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if int(entry.name) != self._server.pid and mine in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)

    def try_mutant(self, path: str, mutant: Mutant, timeout_s: float) -> str:
        """What the tests of a module say to one mutant of it."""
        file = self.root / path
        original = file.read_text(encoding="utf-8")
        file.write_text(mutant.source, encoding="utf-8")
        try:
            return self.run(PROTECTED[path], timeout_s)
        finally:
            file.write_text(original, encoding="utf-8")

    def close(self) -> None:
        """Ends the server, and whatever a run that was cut off has left."""
        self._server.kill()
        self._server.wait()
        self.end_what_is_left()


def measure(path: str, copies: SimpleQueue, workers: int) -> tuple[int, list[str]]:
    """Number of mutants of a module, and its survivors in words."""
    copy = copies.get()
    began = time.monotonic()
    if copy.run(PROTECTED[path], 600.0) != SURVIVED:
        raise SystemExit(f"error: {', '.join(PROTECTED[path])} fail without any mutant")
    timeout_s = PATIENCE * (time.monotonic() - began) * workers + SPARE_S
    copies.put(copy)
    mutants = mutants_of((ROOT / path).read_text(encoding="utf-8"))

    def attempt(mutant: Mutant) -> str:
        place = copies.get()
        try:
            return place.try_mutant(path, mutant, timeout_s)
        finally:
            copies.put(place)

    with ThreadPoolExecutor(workers) as pool:
        outcomes = list(pool.map(attempt, mutants))
    both = zip(mutants, outcomes, strict=True)
    survivors = [f"{path}:{each.line} {each.name}" for each, what in both if what == SURVIVED]
    late = outcomes.count(TIMED_OUT)
    score = 100.0 * (1 - len(survivors) / len(mutants))
    told = f"{path:24s} {len(mutants):5d} mutants  {len(mutants) - len(survivors):5d} noticed"
    print(f"{told}  {score:5.1f} %  ({late} by time-out)", flush=True)
    return len(mutants), survivors


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(PROTECTED))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--least", type=float, default=90.0, help="per cent (90)")
    asked = parser.parse_args(argv)
    all_survivors, too_low = [], []
    for number in (signal.SIGTERM, signal.SIGHUP):  # end as Ctrl-C does: nothing is left running
        signal.signal(number, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        places = [Copy(Path(folder) / str(number)) for number in range(asked.workers)
                  if not (Path(folder) / str(number)).mkdir()]  # fmt: skip
        copies: SimpleQueue = SimpleQueue()
        for place in places:
            copies.put(place)
        try:
            for path in asked.only or PROTECTED:
                count, survivors = measure(path, copies, asked.workers)
                all_survivors += survivors
                if not 100.0 * (count - len(survivors)) >= asked.least * count:
                    too_low.append(path)
        finally:
            for place in places:
                place.close()
    print("\n".join(["survivors:", *all_survivors]))
    for path in too_low:
        print(f"error: {path} is under {asked.least:g} %", file=sys.stderr)
    return 1 if too_low else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
