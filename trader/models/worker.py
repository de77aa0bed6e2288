"""The model of a paper run: asked off the event loop, and unable to take the run down.

    ModelWorker                 in a child process: can be killed, so nothing it does matters long
    thread_model.ThreadModel    in a thread of the shared pool: faster; a hung one is told

Law: `predict` always returns one action and one reason per bar and raises nothing a model did:
HOLD with MODEL_TIMEOUT, MODEL_ERROR or MODEL_INVALID, and WARMUP where features are undefined,
as in a backtest. An answer counts only for the question it was given to.
"""

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol

import numpy as np

from trader.core.schema import Reason, TradingAction
from trader.errors import ModelError
from trader.models.answers import nonsense_in
from trader.models.child import Setup, Status
from trader.models.memory import half_the_memory
from trader.models.model import Model
from trader.models.prediction import Prediction
from trader.models.process import Answer, ChildGone, ModelProcess, TooLate

LOAD_TIMEOUT_S = 120.0
_log = logging.getLogger(__name__)
SUICIDE_FACTOR, SUICIDE_LEAST_S = 3.0, 5.0
CLOSE_S = 5.0  # for a thread that asks to notice that the child is gone


Question = tuple[np.ndarray, np.ndarray]  # BAR (n,) and float64 features (n, k) of one slice


class AskedModel(Protocol):
    """What the loop knows of a model."""

    health: "Health"

    async def start(self) -> None:
        """Return once it can be asked. `ModelError` if it cannot be loaded."""
        ...

    async def predict(self, bars: np.ndarray, features: np.ndarray) -> Prediction:
        """What it says of BAR records (n,) and float64 features (n, k) of one slice."""
        ...

    async def predict_all(self, asked: Sequence[Question]) -> list[Prediction]:
        """`predict` of one slice after the other, in one go: of a backlog."""
        ...

    def close(self) -> None:
        """Let go of it, hung or not. May be called again."""
        ...


class Health:
    """How a model has been doing."""

    def __init__(self) -> None:
        self.consecutive_failures = 0
        self.failures: dict[Reason, int] = {}
        self.replaced = 0  # child processes killed or lost, and started anew
        self.last_error = ""

    def note_success(self) -> None:
        self.consecutive_failures = 0

    def note_answer(self, said: Prediction) -> None:
        """An answer that is none for any warm row (NaN, say) counts as a failure."""
        asked = said.reasons != Reason.WARMUP
        if asked.any() and (said.reasons[asked] == Reason.MODEL_INVALID).all():
            self.note_failure(Reason.MODEL_INVALID, "an answer that is not a number")
        else:
            self.note_success()

    def note_failure(self, reason: Reason, text: str) -> None:
        self.consecutive_failures += 1
        self.failures[reason] = self.failures.get(reason, 0) + 1
        self.last_error = text


class ModelWorker:
    """A model in a child process. `load` is called there and must be picklable."""

    def __init__(
        self,
        load: Callable[[], Model],
        timeout_s: float,
        pool: Executor | None = None,
        memory_bytes: int | None = None,
        load_timeout_s: float = LOAD_TIMEOUT_S,
    ) -> None:
        self.health = Health()
        self._timeout_s = timeout_s
        self._load_timeout_s = load_timeout_s
        self._pool = pool
        self._setup = Setup(
            load,
            tuple(sys.path),
            os.getcwd(),
            half_the_memory() if memory_bytes is None else memory_bytes,
            max(SUICIDE_FACTOR * timeout_s, SUICIDE_LEAST_S),
        )
        self._lock = threading.Lock()  # one question at a time
        self._child: ModelProcess | None = None
        self._number = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The child's process id, for tests and the status page."""
        return None if self._child is None else self._child.pid

    async def start(self) -> None:
        """Start the child and wait until its model is loaded."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._start)

    async def predict(self, bars: np.ndarray, features: np.ndarray) -> Prediction:
        """See `AskedModel`. Never waits much longer than `timeout_s`."""
        reasons = cold_rows(features)
        if reasons.all():  # nobody to ask: no row is warm
            return Prediction(np.zeros(len(bars), np.int8), reasons)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._predict, bars, features, reasons)

    async def predict_all(self, asked: Sequence[Question]) -> list[Prediction]:
        """See `AskedModel`. Each question has its own deadline."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._predict_all, asked)

    def _predict_all(self, asked: Sequence[Question]) -> list[Prediction]:
        said = []
        for bars, features in asked:
            cold = cold_rows(features)
            if cold.all():
                said.append(Prediction(np.zeros(len(bars), np.int8), cold))
            else:
                said.append(self._predict(bars, features, cold))
        return said

    def close(self) -> None:
        """Kill the child, also while it is asked: who waits for its answer gets none."""
        self._closed = True
        if self._child is None:
            return
        self._child.end()
        if self._lock.acquire(timeout=CLOSE_S):  # the one who asked has noticed
            try:
                self._child.kill()  # what is there now: it may just have been replaced
            finally:
                self._lock.release()

    def _start(self) -> None:
        with self._lock:
            child = self._child = ModelProcess(self._setup)
            try:
                child.wait_ready(time.monotonic() + self._load_timeout_s)
            except (ChildGone, TooLate) as error:
                child.kill()
                late = f"the model is not loaded after {self._load_timeout_s:g} s"
                if isinstance(error, TooLate):
                    raise ModelError(late) from None
                raise error.as_error("") if error.exit_code else ModelError(str(error)) from None
            for notice in child.notices:
                _log.warning("%s", notice)

    def _predict(self, bars: np.ndarray, features: np.ndarray, cold: np.ndarray) -> Prediction:
        with self._lock:
            if self._closed:
                return held(cold, Reason.MODEL_ERROR)
            self._number += 1
            deadline_s = time.monotonic() + self._timeout_s
            try:
                if not self._is_ready(deadline_s):
                    return held(cold, Reason.MODEL_TIMEOUT)  # its replacement is still loading
                assert self._child is not None
                answer = self._child.ask(self._number, bars, features, deadline_s)
            except TooLate:
                text = f"no answer within {self._timeout_s:g} s"
                return self._replaced(cold, Reason.MODEL_TIMEOUT, text)
            except ChildGone as error:
                return self._replaced(cold, Reason.MODEL_ERROR, str(error))
            return self._judged(answer, cold)

    def _is_ready(self, deadline_s: float) -> bool:
        """Whether the child can be asked; ChildGone if it cannot be loaded (in time)."""
        child = self._child
        if child is None:
            raise ChildGone("the model was never started")
        if child.is_ready:
            return True
        try:
            child.wait_ready(deadline_s)
        except TooLate:
            if time.monotonic() - child.started_s > self._load_timeout_s:
                raise ChildGone(f"not loaded after {self._load_timeout_s:g} s") from None
            return False
        return True

    def _replaced(self, cold: np.ndarray, reason: Reason, text: str) -> Prediction:
        """The child is of no more use: kill it, start another, and answer HOLD meanwhile."""
        self.health.note_failure(reason, text)
        if self._child is not None:
            self._child.kill()
        if not self._closed:
            try:
                self._child = ModelProcess(self._setup)
                self.health.replaced += 1
                with contextlib.suppress(TooLate):  # hands over the setup; loads by itself
                    self._child.wait_ready(time.monotonic())
            except (OSError, ChildGone) as error:
                self.health.last_error = f"{text}; no replacement: {error}"
        return held(cold, reason)

    def _judged(self, answer: Answer, cold: np.ndarray) -> Prediction:
        if answer.status == Status.ACTIONS and answer.rows == len(cold):
            said = answer.prediction
            fault = nonsense_in(said.actions, said.reasons)
            if fault is None:
                self.health.note_answer(said)
                return said
            self.health.note_failure(Reason.MODEL_INVALID, fault)
            return held(cold, Reason.MODEL_INVALID)
        failed = answer.status == Status.FAILED
        reason = Reason.MODEL_ERROR if failed else Reason.MODEL_INVALID
        text = "an answer for other bars" if answer.status == Status.ACTIONS else answer.text
        self.health.note_failure(reason, text)
        return held(cold, reason)


def cold_rows(features: np.ndarray) -> np.ndarray:
    """Reasons int16 (n,): WARMUP where a feature is undefined, NONE elsewhere."""
    reasons = np.zeros(len(features), np.int16)
    if features.size:
        reasons[np.isnan(features).any(axis=1)] = Reason.WARMUP
    return reasons


def held(cold: np.ndarray, reason: Reason) -> Prediction:
    """HOLD for every bar: WARMUP where it is, `reason` elsewhere."""
    reasons = np.where(cold == Reason.NONE, np.int16(reason), cold)
    return Prediction(np.full(len(cold), TradingAction.HOLD, np.int8), reasons)
