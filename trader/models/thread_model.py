"""The model of a paper run in a thread of the shared pool: faster; a hung one is told, not stopped.

Law: as that of `worker`: one action and one reason per bar, and nothing raised that a model did.
"""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from trader.core.schema import Reason
from trader.models.answers import AnswerError
from trader.models.child import text_of
from trader.models.model import Model, predict_rows
from trader.models.prediction import Prediction
from trader.models.worker import Health, Question, cold_rows, held


class ThreadModel:
    """A model in a thread of `pool`. One that hangs keeps its thread; it is not asked again
    before it has returned, and what it returns then is thrown away."""

    def __init__(self, model: Model, timeout_s: float, pool: Executor | None = None) -> None:
        self.health = Health()
        self._model = model
        self._timeout_s = timeout_s
        self._pool = pool
        self._late: asyncio.Future[Any] | None = None

    async def start(self) -> None:
        """Nothing to do: it is loaded."""

    async def predict(self, bars: np.ndarray, features: np.ndarray) -> Prediction:
        """See `AskedModel`."""
        cold = cold_rows(features)
        if cold.all():
            return Prediction(np.zeros(len(bars), np.int8), cold)
        if self._late is not None and not self._late.done():
            self.health.note_failure(Reason.MODEL_TIMEOUT, "still busy with an earlier bar")
            return held(cold, Reason.MODEL_TIMEOUT)
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._pool, self._answer, bars, features)
        done, _ = await asyncio.wait({asked}, timeout=self._timeout_s)
        if not done:
            self._late = asked
            text = f"no answer within {self._timeout_s:g} s"
            self.health.note_failure(Reason.MODEL_TIMEOUT, text)
            return held(cold, Reason.MODEL_TIMEOUT)
        return self._judged(*asked.result(), cold)

    def _judged(
        self, answer: Prediction, reason: Reason, text: str, cold: np.ndarray
    ) -> Prediction:
        if reason == Reason.WARMUP:  # nobody was asked
            return answer
        if reason == Reason.NONE:
            self.health.note_answer(answer)
            return answer
        self.health.note_failure(reason, text)
        return held(cold, reason)

    async def predict_all(self, asked: Sequence[Question]) -> list[Prediction]:
        """See `AskedModel`. Each question has its own deadline: none is asked after a late one."""
        if self._late is not None and not self._late.done():
            return [await self.predict(*question) for question in asked]
        said: list[tuple[Prediction, Reason, str]] = []
        stop = threading.Event()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._pool, self._answer_all, asked, said, stop)
        answered = -1
        while not work.done() and len(said) > answered:
            answered = len(said)
            await asyncio.wait({work}, timeout=self._timeout_s)
        if not work.done():
            stop.set()
            self._late = work
        told = list(said)
        found = [
            self._judged(*one, cold_rows(features))
            for one, (_, features) in zip(told, asked, strict=False)
        ]
        for _, features in asked[len(told) :]:
            text = f"no answer within {self._timeout_s:g} s"
            self.health.note_failure(Reason.MODEL_TIMEOUT, text)
            found.append(held(cold_rows(features), Reason.MODEL_TIMEOUT))
        return found

    def _answer_all(
        self,
        asked: Sequence[Question],
        said: list[tuple[Prediction, Reason, str]],
        stop: threading.Event,
    ) -> None:
        for bars, features in asked:
            if stop.is_set():
                return
            cold = cold_rows(features)
            if cold.all():
                said.append((Prediction(np.zeros(len(bars), np.int8), cold), Reason.WARMUP, ""))
            else:
                said.append(self._answer(bars, features))

    def close(self) -> None:
        """Nothing to let go of."""

    def _answer(self, bars: np.ndarray, features: np.ndarray) -> tuple[Prediction, Reason, str]:
        """Catches everything: SystemExit in a thread of the pool would end the event loop."""
        try:
            return predict_rows(self._model, bars, features), Reason.NONE, ""
        except BaseException as error:
            invalid = isinstance(error, AnswerError) or isinstance(error.__cause__, AnswerError)
            reason = Reason.MODEL_INVALID if invalid else Reason.MODEL_ERROR
            nothing = Prediction(np.zeros(0, np.int8), np.zeros(0, np.int16))
            return nothing, reason, text_of(error).decode()
