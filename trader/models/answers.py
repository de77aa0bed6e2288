"""Turns what a model answered into int8 actions, or says which row is at fault.

Law: one answer a row, HOLD, BUY, SELL or CLOSE: 0 to 3, or the names in any case. Whole floats
(0.0 to 3.0 in a float array) are accepted, because many networks answer in floats;
booleans, fractions, NaN and everything else are errors. Nothing is rounded, cut or filled in.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from trader.core.schema import Reason, TradingAction
from trader.errors import ModelError
from trader.moments import iso_utc

ALLOWED = "use 0, 1, 2, 3 or HOLD, BUY, SELL, CLOSE"
LARGEST = max(TradingAction)
MAX_SPELLINGS = 12  # of names in a string array, before it is read value by value
OWN_REASONS = (
    Reason.NONE,
    Reason.WARMUP,
    Reason.BELOW_THRESHOLD,
    Reason.FILTERED,
    Reason.MODEL_INVALID,
)
_NAMES = {action.name: int(action) for action in TradingAction}


class AnswerError(ModelError):
    """A model's answer broke the contract. `row` is the first bad row, None if all are."""

    def __init__(self, complaint: str, row: int | None = None) -> None:
        super().__init__(complaint if row is None else f"row {row}: {complaint}")
        self.complaint = complaint
        self.row = row

    def __reduce__(self) -> tuple[type, tuple[str, int | None]]:
        """Crosses from a model's own process to ours with its row."""
        return type(self), (self.complaint, self.row)


def to_actions(answer: Any, rows: int) -> np.ndarray:
    """int8 actions (rows,) out of a model's answer; `AnswerError` names the first bad row.

    Accepted: NumPy arrays of integers, whole floats, names or Python objects; lists and tuples;
    anything that NumPy can read as an array (a pandas Series, a tensor); and the pair
    `(actions, state)` that reinforcement-learning policies return.
    """
    if isinstance(answer, tuple) and len(answer) == 2 and _is_column(answer[0]):
        answer = answer[0]
    values = _as_array(answer)
    if values.shape != (rows,):
        raise AnswerError(
            f"the model answered with shape {values.shape} for {rows} rows; it must return one "
            f"action per row, shape ({rows},){_shape_hint(values, rows)}"
        )
    if rows == 0:
        return np.zeros(0, np.int8)
    kind = values.dtype.kind
    if kind in "iuf":
        return _from_numbers(values)
    if kind in "UT":
        return _from_names(values)
    if kind == "O":
        return _from_objects(values)
    _refuse(values[0], 0)


def _is_column(value: Any) -> bool:
    """Whether `value` could hold the actions of many rows (and is not itself one action)."""
    return isinstance(value, list) or getattr(value, "ndim", 0) > 0


def _as_array(answer: Any) -> np.ndarray:
    if isinstance(answer, np.ma.MaskedArray) and np.ma.is_masked(answer):
        row = int(np.argmax(np.ma.getmaskarray(answer).reshape(-1)))
        raise AnswerError("the answer is masked, which is not an action", row)
    if isinstance(answer, list | tuple):
        # element by element: np.asarray([True, 2]) would turn True into 1
        values = np.empty(len(answer), object)
        values[:] = [_scalar(value) for value in answer]
        return values
    if not isinstance(answer, np.ndarray) and not hasattr(answer, "__array__"):
        raise AnswerError(
            f"the model answered with {_shown(answer)} ({type(answer).__name__}); it must return "
            "an array or a list with one action per row"
        )
    try:
        return np.asarray(answer)
    except Exception as error:
        raise AnswerError(f"the model's answer cannot be read as an array: {error}") from error


def _scalar(value: Any) -> Any:
    """Zero-dimensional arrays (torch and NumPy give them when indexed) as plain values."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _shape_hint(values: np.ndarray, rows: int) -> str:
    if values.shape == (rows, 1):
        return "; return answer.ravel()"
    if values.shape == (rows, 3):
        return "; these look like probabilities: return answer.argmax(axis=1)"
    return ""


def _from_numbers(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    if low >= 0 and high <= LARGEST:  # NaN fails both
        actions = values.astype(np.int8)
        if values.dtype.kind != "f" or np.array_equal(actions, values):
            return actions
    good = np.isin(values, [int(action) for action in TradingAction])
    row = int(np.argmin(good))
    _refuse(values[row], row)


def _from_names(values: np.ndarray) -> np.ndarray:
    """Names by spelling: a pass over the array for each of the few spellings in it."""
    actions = np.full(len(values), -1, np.int8)
    for _ in range(MAX_SPELLINGS):
        row = int(np.argmin(actions))
        if actions[row] >= 0:
            return actions
        actions[values == values[row]] = _parse(str(values[row]), row)
    return _from_objects(values.astype(object))


def _from_objects(values: np.ndarray) -> np.ndarray:
    if set(map(type, values)) == {str}:
        codes = list(map(_NAMES.get, values))
        if None not in codes:
            return np.array(codes, np.int8)
    return np.array([_parse(value, row) for row, value in enumerate(values)], np.int8)


def _parse(value: Any, row: int) -> int:
    try:
        return int(TradingAction.parse(value))
    except Exception:  # ValueError, or what printing the value for it raised
        _refuse(value, row)


def _refuse(value: Any, row: int) -> NoReturn:
    raise AnswerError(
        f"the model answered {_shown(value)}, which is not an action ({ALLOWED})", row
    )


def _shown(value: Any) -> str:
    """The value, short enough for a message; a `repr` that fails is not our crash."""
    try:
        text = str(value) if isinstance(value, np.number) else repr(value)
    except Exception:
        text = "a value that cannot be printed"
    return text if len(text) <= 60 else text[:57] + "..."


def bar_label(bars: np.ndarray, row: int, symbols: Sequence[str]) -> str:
    """`ACME, bar closing 2024-01-02T09:31:00Z`, for messages."""
    bar = bars[row]
    symbol = int(bar["symbol"])
    name = symbols[symbol] if 0 <= symbol < len(symbols) else f"symbol {symbol}"
    return f"{name}, bar closing {iso_utc(int(bar['ts_ns']))}"


def nonsense_in(actions: np.ndarray, reasons: np.ndarray) -> str | None:
    """What is wrong with int8 actions and int16 reasons that came from another process, if any."""
    if len(actions) and int(actions.view(np.uint8).max()) > LARGEST:
        return "an answer that is not an action"
    is_known = reasons == Reason.NONE
    for reason in OWN_REASONS[1:]:
        if is_known.all():
            break
        is_known |= reasons == reason
    return None if is_known.all() else "a reason that is not a model's"
