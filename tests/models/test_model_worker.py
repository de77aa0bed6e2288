"""A model in its own process, and what it may do without the run noticing more than a HOLD."""

import asyncio
import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from tests import hostile_models
from trader.core.schema import BAR, Reason
from trader.errors import ModelError
from trader.models.child import Status, pack
from trader.models.process import Answer, ChildGone, ModelProcess
from trader.models.thread_model import ThreadModel
from trader.models.worker import AskedModel, ModelWorker, nonsense_in

pytestmark = pytest.mark.process

ROWS = 3
BARS = np.zeros(ROWS, BAR)
GENTLE = np.zeros((ROWS, 1))
PROVOKING = np.ones((ROWS, 1))
PATIENT_S, HASTY_S = 30.0, 2.0  # a machine that is slow is not a model that hangs


def serve(
    deed: str,
    scenario: Callable[[ModelWorker], Awaitable[None]],
    timeout_s: float = PATIENT_S,
    **more: int,
) -> ModelWorker:
    worker = ModelWorker(functools.partial(hostile_models.make, deed), timeout_s, **more)

    async def run() -> None:
        await worker.start()
        await scenario(worker)

    try:
        asyncio.run(run())
    finally:
        worker.close()
    return worker


async def is_buying(worker: AskedModel) -> None:
    actions, reasons, _ = await worker.predict(BARS, GENTLE)
    assert actions.tolist() == [1] * ROWS
    assert reasons.tolist() == [0] * ROWS
    assert worker.health.consecutive_failures == 0


async def is_held(worker: AskedModel, reason: Reason) -> None:
    actions, reasons, _ = await worker.predict(BARS, PROVOKING)
    assert actions.tolist() == [0] * ROWS
    assert reasons.tolist() == [reason] * ROWS


async def until_buying(worker: ModelWorker) -> None:
    """The replacement loads in the background; until then HOLD, and that is no new failure."""
    failures = worker.health.consecutive_failures
    for _ in range(200):
        actions, reasons, _ = await worker.predict(BARS, GENTLE)
        if actions.all():
            assert worker.health.consecutive_failures == 0
            return
        assert reasons.tolist() == [Reason.MODEL_TIMEOUT] * ROWS
        assert worker.health.consecutive_failures == failures
    raise AssertionError("no replacement came")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stream:
        return stream.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("deed", ["sleep", "loop", "hold_the_gil"])
def test_model_worker_hung_is_held_killed_and_replaced(deed: str) -> None:
    async def scenario(worker: ModelWorker) -> None:
        await is_buying(worker)
        pid = worker.pid
        assert pid is not None
        await is_held(worker, Reason.MODEL_TIMEOUT)
        assert worker.health.consecutive_failures == 1
        assert not is_alive(pid)
        await until_buying(worker)
        assert worker.pid != pid

    worker = serve(deed, scenario, HASTY_S)
    assert worker.health.failures == {Reason.MODEL_TIMEOUT: 1}
    assert worker.health.replaced == 1


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("crash", "SIGSEGV"),
        ("leave_at_once", "exit code 3"),
        ("close_everything", "exit code"),
        ("scribble", "wrote into our pipe"),
    ],
)
def test_model_worker_that_dies_is_an_error_and_replaced(deed: str, said: str) -> None:
    async def scenario(worker: ModelWorker) -> None:
        await is_held(worker, Reason.MODEL_ERROR)
        assert said in worker.health.last_error
        await until_buying(worker)

    assert serve(deed, scenario).health.replaced == 1


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("fail", "no such luck"),
        ("fail_beyond_exceptions", "KeyboardInterrupt"),
        ("leave", "SystemExit"),
    ],
)
def test_model_worker_that_raises_is_an_error_and_goes_on(deed: str, said: str) -> None:
    async def scenario(worker: ModelWorker) -> None:
        for count in (1, 2, 3):
            await is_held(worker, Reason.MODEL_ERROR)
            assert worker.health.consecutive_failures == count
        assert said in worker.health.last_error
        await is_buying(worker)

    assert serve(deed, scenario).health.replaced == 0


def test_model_worker_that_eats_memory_is_stopped_by_its_limit() -> None:
    async def scenario(worker: ModelWorker) -> None:
        await is_held(worker, Reason.MODEL_ERROR)
        assert "MemoryError" in worker.health.last_error
        await is_buying(worker)

    serve("eat", scenario, memory_bytes=1 << 30)


@pytest.mark.parametrize(
    "deed",
    ["nan", "infinite", "shapeless", "too_many", "truth", "boxed_truth", "fraction", "words",
     "generator", "nothing"],
)  # fmt: skip
def test_model_worker_nonsense_is_invalid(deed: str) -> None:
    thread = ThreadModel(hostile_models.make(deed), PATIENT_S)  # judged in the same way there
    asyncio.run(is_held(thread, Reason.MODEL_INVALID))
    assert thread.health.failures == {Reason.MODEL_INVALID: 1}


def test_model_worker_nonsense_is_invalid_through_the_pipe() -> None:
    async def scenario(worker: ModelWorker) -> None:
        await is_held(worker, Reason.MODEL_INVALID)
        assert "not an action" in worker.health.last_error
        await is_buying(worker)

    assert serve("nan", scenario).health.replaced == 0


def test_model_worker_that_forks_answers_once() -> None:
    async def scenario(worker: ModelWorker) -> None:
        for _ in range(5):
            actions, _, _ = await worker.predict(BARS, PROVOKING)
            assert actions.tolist() == [1] * ROWS
        await is_buying(worker)

    serve("fork", scenario)


def test_model_worker_stdout_stays_clean(capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario(worker: ModelWorker) -> None:
        actions, _, _ = await worker.predict(BARS, PROVOKING)
        assert actions.all()

    serve("chatter", scenario)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "hello from the model" in captured.err


def test_model_worker_does_not_block_the_loop() -> None:
    async def scenario(worker: ModelWorker) -> None:
        asked = asyncio.create_task(worker.predict(BARS, PROVOKING))
        turns = 0
        while not asked.done():
            turns += 1
            await asyncio.sleep(0.001)
        assert turns > 5

    serve("hold_the_gil", scenario, HASTY_S)


def test_model_worker_marks_cold_rows_and_asks_about_the_others() -> None:
    async def scenario(worker: ModelWorker) -> None:
        features = np.array([[np.nan], [0.0], [0.0]])
        actions, reasons, _ = await worker.predict(BARS, features)
        assert actions.tolist() == [0, 1, 1]
        assert reasons.tolist() == [Reason.WARMUP, 0, 0]
        features[1] = 1.0
        actions, reasons, _ = await worker.predict(BARS, features)
        assert actions.tolist() == [0, 0, 0]
        assert reasons.tolist() == [Reason.WARMUP, Reason.MODEL_ERROR, Reason.MODEL_ERROR]

    serve("fail", scenario)


def test_model_worker_with_nothing_warm_is_not_asked() -> None:
    worker = ModelWorker(functools.partial(hostile_models.make, "fail"), HASTY_S)
    actions, reasons, _ = asyncio.run(worker.predict(BARS, np.full((ROWS, 1), np.nan)))
    assert worker.pid is None
    assert not actions.any()
    assert reasons.tolist() == [Reason.WARMUP] * ROWS


def test_model_worker_large_slices_cross_the_pipes() -> None:
    async def scenario(worker: ModelWorker) -> None:
        for rows in (50_000, 1):
            actions, reasons, _ = await worker.predict(np.zeros(rows, BAR), np.zeros((rows, 1)))
            assert actions.all()
            assert len(actions) == len(reasons) == rows

    serve("fail", scenario)


def test_model_worker_a_question_too_large_for_a_hung_child_times_out() -> None:
    async def scenario(worker: ModelWorker) -> None:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGSTOP)
        actions, reasons, _ = await worker.predict(np.zeros(50_000, BAR), np.zeros((50_000, 40)))
        assert not actions.any()
        assert (reasons == Reason.MODEL_TIMEOUT).all()

    serve("fail", scenario, HASTY_S)


def test_model_worker_that_cannot_load_says_why() -> None:
    worker = ModelWorker(hostile_models.unloadable, PATIENT_S)
    with pytest.raises(ModelError, match="the file is gone"):
        asyncio.run(worker.start())
    worker.close()


def test_model_worker_that_never_loads_is_given_up() -> None:
    worker = ModelWorker(hostile_models.endless, PATIENT_S, load_timeout_s=1.0)
    with pytest.raises(ModelError, match="not loaded after 1 s"):
        asyncio.run(worker.start())
    assert worker.pid is not None
    assert not is_alive(worker.pid)
    worker.close()


def test_model_worker_gets_no_descriptor_of_ours(tmp_path: Path) -> None:
    with (tmp_path / "gate.lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)

        async def scenario(worker: ModelWorker) -> None:
            folder = f"/proc/{worker.pid}/fd"
            targets = []
            for name in os.listdir(folder):
                with contextlib.suppress(OSError):
                    targets.append(os.readlink(f"{folder}/{name}"))
            assert not [target for target in targets if "gate.lock" in target]
            assert len([target for target in targets if target.startswith("pipe:")]) <= 4

        serve("fail", scenario)


def test_model_worker_leaves_no_descriptor_open_here() -> None:
    before = len(os.listdir("/proc/self/fd"))
    serve("crash", lambda worker: is_held(worker, Reason.MODEL_ERROR))
    assert len(os.listdir("/proc/self/fd")) == before


RUNNER = """
import asyncio, functools, sys
import numpy as np
from tests import hostile_models
from trader.core.schema import BAR
from trader.models.worker import ModelWorker
async def main():
    worker = ModelWorker(functools.partial(hostile_models.make, "hold_the_gil"), 1.0)
    await worker.start()
    print(worker.pid, flush=True)
    worker._timeout_s = 3600.0
    await worker.predict(np.zeros(1, BAR), np.ones((1, 1)))
asyncio.run(main())
"""


def test_model_worker_hung_child_does_not_outlive_a_killed_runner() -> None:
    runner = subprocess.Popen([sys.executable, "-c", RUNNER], stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    pid = int(runner.stdout.readline())
    time.sleep(0.3)  # it hangs by now
    runner.kill()
    runner.wait()
    runner.stdout.close()
    deadline = time.monotonic() + 30
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_alive(pid)


class Scripted(ModelProcess):
    """A child whose pipe holds these bytes."""

    def __init__(self, *messages: bytes) -> None:
        self._rest = b"".join(messages)

    def take(self) -> Answer | None:
        return self._complete()


def test_model_worker_late_answer_of_an_earlier_question_is_never_taken() -> None:
    old = pack(1, Status.ACTIONS, b"\x02\x00\x00", 1)
    new = pack(2, Status.ACTIONS, b"\x01\x00\x00", 1)
    child = Scripted(old, new)
    child._write = lambda message, deadline_s: None  # type: ignore[method-assign]
    answer = child.ask(2, BARS[:1], GENTLE[:1], time.monotonic() + 1.0)
    assert answer.prediction.actions.tolist() == [1]


@pytest.mark.parametrize(
    "noise",
    [
        b"\xff" * 64,
        b"\0\0\0\0" * 8,
        pack(1, Status.ACTIONS, b"\x01", 1),
        pack(1, Status.ACTIONS, b"\x01" * 3, 2**31),
        pack(1, Status.READY)[:-13] + b"\0" * 8 + b"\x63" + b"\0" * 4,
    ],
)
def test_model_worker_noise_in_the_pipe_is_recognised(noise: bytes) -> None:
    with pytest.raises(ChildGone, match="wrote into our pipe"):
        Scripted(noise).take()


def test_model_worker_answers_are_checked_again_on_our_side() -> None:
    good = np.array([0, 1, 2], np.int8), np.array([0, 1, 0], np.int16)
    assert nonsense_in(*good) is None
    for action in (4, -1):
        assert nonsense_in(np.array([0, action], np.int8), np.zeros(2, np.int16)) is not None
    assert nonsense_in(np.zeros(1, np.int8), np.array([Reason.KILLED], np.int16)) is not None


@pytest.mark.parametrize(("deed", "said"), [("fail", "luck"), ("leave", "SystemExit")])
def test_model_worker_in_a_thread_that_raises_is_held(deed: str, said: str) -> None:
    async def scenario() -> None:
        model = ThreadModel(hostile_models.make(deed), PATIENT_S)
        await model.start()
        await is_held(model, Reason.MODEL_ERROR)
        assert said in model.health.last_error
        await is_buying(model)
        model.close()

    asyncio.run(scenario())


def test_model_worker_in_a_thread_that_hangs_is_not_asked_again_until_it_returns() -> None:
    release = threading.Event()
    asked = []

    class Waiting(hostile_models.Hostile):
        def sleep(self, rows: int) -> np.ndarray:
            asked.append(rows)
            release.wait(60)
            return np.full(rows, 2)

    async def scenario() -> None:
        model = ThreadModel(Waiting("sleep", 1.0), HASTY_S)
        await is_held(model, Reason.MODEL_TIMEOUT)
        await is_held(model, Reason.MODEL_TIMEOUT)
        assert model.health.consecutive_failures == 2
        assert asked == [ROWS]
        release.set()
        assert model._late is not None
        await model._late
        await is_buying(model)  # 1, and not the 2 that came late

    asyncio.run(scenario())


def test_model_worker_in_a_thread_answers_a_backlog_slice_by_slice_until_one_hangs() -> None:
    release = threading.Event()

    class Waiting(hostile_models.Hostile):
        def sleep(self, rows: int) -> np.ndarray:
            release.wait(60)
            return np.full(rows, 2)

    async def scenario() -> None:
        model = ThreadModel(Waiting("sleep", 1.0), HASTY_S)
        said = await model.predict_all([(BARS, GENTLE), (BARS, PROVOKING), (BARS, GENTLE)])
        assert [one.actions.tolist() for one in said] == [[1] * ROWS, [0] * ROWS, [0] * ROWS]
        late = [int(Reason.MODEL_TIMEOUT)] * ROWS
        assert [one.reasons.tolist() for one in said] == [[0] * ROWS, late, late]
        assert model.health.consecutive_failures == 2
        release.set()
        assert model._late is not None
        await model._late
        assert (await model.predict_all([(BARS, GENTLE)]))[0].actions.tolist() == [1] * ROWS

    asyncio.run(scenario())


def test_model_worker_in_a_process_answers_a_backlog_as_it_does_one_slice_after_the_other() -> None:
    cold = np.full((ROWS, 1), np.nan)

    async def scenario(worker: ModelWorker) -> None:
        said = await worker.predict_all([(BARS, cold), (BARS, GENTLE), (BARS, GENTLE)])
        assert [one.actions.tolist() for one in said] == [[0] * ROWS, [1] * ROWS, [1] * ROWS]
        assert said[0].reasons.tolist() == [int(Reason.WARMUP)] * ROWS

    serve("sleep", scenario)
