"""Counts of what became of every decision, taken chunk by chunk while a run goes on.

Law: counts only, no history kept, so that ten million decisions cost nothing. Counts follow from
the decision rows alone and can be recomputed from decisions.parquet:

- requested: `requested_qty` is not 0;
- denied:    requested, and `approved_qty` is 0;
- trimmed:   approved for less by a limit (not by a throttle);
- throttled: `throttle` names a stage, whether anything was left of the order or not;
- held:      not requested, with a reason (a plain HOLD of the model has none).
"""

import numpy as np

from trader.core.schema import Reason, ThrottleStage, TradingAction
from trader.jit import jit

BELOW_LOT_SIZE = int(Reason.BELOW_LOT_SIZE)
REASON_CODES = max(Reason) + 1
STAGE_SETS = 2 * max(ThrottleStage)  # every combination of stage bits
THROTTLE_REASONS = frozenset(
    {
        Reason.VOLUME_PARTICIPATION,
        Reason.SPREAD,
        Reason.VOLATILITY,
        Reason.ABSOLUTE_CAP,
        Reason.CROSSED_BOOK,
    }
)


def stage_names(bits: int) -> str:
    """Names of the throttle stages in `bits`, in the order they apply, joined with `+`."""
    return "+".join(str(stage.name) for stage in ThrottleStage if stage and bits & stage)


@jit
def count_decisions(decisions, counts):  # type: ignore[no-untyped-def]
    """Count DECISION rows into `counts`: by reason denied, passed and held; by stages, actions."""
    denied, passed, held, stages, actions, below_lot = counts
    for index in range(len(decisions)):
        decision = decisions[index]
        reason = decision["reason"]
        if decision["approved_qty"] != 0.0:
            passed[reason] += 1
        elif decision["requested_qty"] != 0.0:
            denied[reason] += 1
        else:
            held[reason] += 1
            if reason == BELOW_LOT_SIZE and decision["observed"] >= below_lot[0]:
                below_lot[0] = decision["observed"]
                below_lot[1] = decision["limit"]
        stages[decision["throttle"]] += 1
        actions[decision["action"]] += 1


class DecisionTally:
    """Running counts. `add` each chunk of DECISION rows; read the properties at any time."""

    def __init__(self) -> None:
        self._denied = np.zeros(REASON_CODES, np.int64)
        self._passed = np.zeros(REASON_CODES, np.int64)
        self._held = np.zeros(REASON_CODES, np.int64)
        self._stages = np.zeros(STAGE_SETS, np.int64)
        self._actions = np.zeros(len(TradingAction), np.int64)
        self._below_lot = np.zeros(2)  # largest size wanted, and its lot

    def add(self, decisions: np.ndarray) -> None:
        """Count DECISION rows (any number, also none)."""
        outcomes = self._denied, self._passed, self._held
        counts = (*outcomes, self._stages, self._actions, self._below_lot)
        count_decisions(decisions, counts)

    @property
    def decisions(self) -> int:
        """Rows counted."""
        return int(self._actions.sum())

    @property
    def requested(self) -> int:
        """Decisions that asked for an order."""
        return int(self._denied.sum() + self._passed.sum())

    @property
    def approved(self) -> int:
        """Decisions that became an order, in full or in part."""
        return int(self._passed.sum())

    @property
    def denied(self) -> int:
        """Requests of which nothing was left."""
        return int(self._denied.sum())

    @property
    def throttled(self) -> int:
        """Decisions that at least one throttle cut."""
        return int(self._stages[1:].sum())

    @property
    def actions(self) -> dict[str, int]:
        """How often the model said what; every action is listed."""
        return {action.name: int(self._actions[action]) for action in TradingAction}

    @property
    def denied_by_reason(self) -> dict[str, int]:
        """Denied requests by reason name, most frequent first."""
        return _named(self._denied)

    @property
    def trimmed_by_reason(self) -> dict[str, int]:
        """Orders that a limit made smaller, by reason name, most frequent first."""
        trims = self._passed.copy()
        trims[[Reason.NONE, *THROTTLE_REASONS]] = 0
        return _named(trims)

    @property
    def held_by_reason(self) -> dict[str, int]:
        """Decisions that asked for nothing although the model did not simply hold."""
        held = self._held.copy()
        held[Reason.NONE] = 0
        return _named(held)

    @property
    def below_lot_size(self) -> dict[str, float] | None:
        """The largest size that was less than one lot, with that lot; None if none was."""
        size, lot_size = (float(value) for value in self._below_lot)
        return {"size": size, "lot_size": lot_size} if lot_size > 0.0 else None

    @property
    def throttled_by_reason(self) -> dict[str, int]:
        """Cuts by throttle stage; an order that two stages cut counts under both."""
        sets = np.arange(STAGE_SETS)
        cuts = {
            str(stage.name): int(self._stages[(sets & stage) != 0].sum())
            for stage in ThrottleStage
            if stage
        }
        return _by_count({name: count for name, count in cuts.items() if count})


def _named(counts: np.ndarray) -> dict[str, int]:
    return _by_count({Reason(int(code)).name: int(counts[code]) for code in np.flatnonzero(counts)})


def _by_count(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
