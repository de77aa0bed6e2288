"""The parameters of a sweep: which values each takes, and the combinations by number.

Law: ranges are Python's, the stop excluded, and exact in decimals; combination `n` is the n-th of
the grid with the last parameter fastest. Nothing of the size of the grid is kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from trader.errors import UsageError

MOST_VALUES = 1_000_000  # of one parameter, and of all combinations of a grid
Value = str | int | float | bool | None
Assignment = dict[str, Value]


@dataclass(frozen=True)
class Parameter:
    """A config key and the values it takes, in order."""

    key: str
    values: tuple[Value, ...]

    @property
    def is_ordered(self) -> bool:
        """Whether neighbouring values are near each other."""
        return all(isinstance(value, int | float) for value in self.values) and not any(
            isinstance(value, bool) for value in self.values
        )


@dataclass(frozen=True)
class Space:
    """All combinations of the parameters."""

    parameters: tuple[Parameter, ...]

    @property
    def size(self) -> int:
        """How many combinations there are."""
        size = 1
        for parameter in self.parameters:
            size *= len(parameter.values)
        return size

    def places(self, number: int) -> tuple[int, ...]:
        """Of combination `number`, the place of each parameter's value among its values."""
        places = []
        for parameter in reversed(self.parameters):
            number, place = divmod(number, len(parameter.values))
            places.append(place)
        return tuple(reversed(places))

    def assignment(self, places: Sequence[int]) -> Assignment:
        """Key to value of the combination at `places`."""
        pairs = zip(self.parameters, places, strict=True)
        return {parameter.key: parameter.values[place] for parameter, place in pairs}


def space_of(params: Mapping[str, Any]) -> Space:
    """The space of dotted keys to values; `UsageError` for what is no list of values."""
    if not params:
        raise UsageError(
            "nothing to try: name a parameter with --param features.fast.period=5:50:5, or under "
            "sweep.params of the config"
        )
    parameters = tuple(Parameter(key, values_of(key, given)) for key, given in params.items())
    for parameter in parameters:
        if parameter.key.split(".")[0] in ("sweep", "name", ""):
            raise UsageError(f"{parameter.key} cannot be tried: it does not change a run")
    return Space(parameters)


def read_options(options: Iterable[str]) -> dict[str, str]:
    """`--param key=values` as key to text."""
    params: dict[str, str] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not all(key.strip().split(".")):
            raise UsageError(
                f"--param {option}: write it as section.key=5:50:5 or section.key=1,2,3"
            )
        if key.strip() in params:
            raise UsageError(f"--param {key.strip()} is given twice; put its values into one list")
        params[key.strip()] = text
    return params


def as_override(pair: tuple[str, Value]) -> str:
    """A key and its value as after `--set`."""
    key, value = pair
    if value is None or isinstance(value, bool):
        return f"{key}={'none' if value is None else str(value).lower()}"
    return f"{key}={value}"


def values_of(key: str, given: Any) -> tuple[Value, ...]:
    """The values that a text, a range or a list means: numbers where they look like numbers."""
    if isinstance(given, str):
        values = _of_text(key, given.strip())
    elif isinstance(given, Iterable):
        values = tuple(_plain(key, value) for value in given)
    else:
        values = (_plain(key, given),)
    if not values:
        raise UsageError(f"{key}: no value to try in {given!r}; a range excludes its stop")
    if len(values) > MOST_VALUES:
        raise UsageError(f"{key}: {len(values):,} values are too many (at most {MOST_VALUES:,})")
    seen: set[tuple[type, Value]] = set()
    for value in values:
        if (type(value), value) in seen:
            raise UsageError(f"{key}: the value {value} is listed twice")
        seen.add((type(value), value))
    return values


def _plain(key: str, value: Any) -> Value:
    if hasattr(value, "tolist") and getattr(value, "ndim", 1) == 0:
        value = value.tolist()  # a NumPy number
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise UsageError(f"{key}: {value!r} cannot be tried; give numbers or words")


def _of_text(key: str, text: str) -> tuple[Value, ...]:
    parts = text.split(":")
    if len(parts) in (2, 3) and all(_number(part) is not None for part in parts):
        return _range(key, parts)
    if len(parts) > 1 and all(_number(part) is not None for part in parts if part):
        raise UsageError(f"{key}={text}: write a range as start:stop or start:stop:step")
    return tuple(_scalar(part.strip()) for part in text.split(",") if part.strip())


def _range(key: str, parts: Sequence[str]) -> tuple[Value, ...]:
    numbers = [Decimal(part) for part in parts]
    start, stop = numbers[:2]
    step = numbers[2] if len(numbers) == 3 else Decimal(1)
    if step == 0:
        raise UsageError(f"{key}: the step of a range must not be 0")
    count = int(max((stop - start) / step, Decimal(0)).to_integral_value("ROUND_CEILING"))
    if count > MOST_VALUES:
        raise UsageError(f"{key}: {count:,} values are too many (at most {MOST_VALUES:,})")
    is_whole = all(number == int(number) for number in (start, step))
    made = [start + step * index for index in range(count)]
    return tuple(int(value) if is_whole else float(value) for value in made)


def _scalar(text: str) -> Value:
    number = _number(text)
    if number is None:
        return text
    is_whole = "." not in text and "e" not in text.lower()
    return int(number) if is_whole else float(number)


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
