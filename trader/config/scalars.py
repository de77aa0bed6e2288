"""What one written value means: numbers, switches, text, times. The schema decides, not YAML.

Law: a scalar arrives as the text that stands in the file and its field parses it, so `010` is the
number 10 in a number field and the text `010` in a text field, and `NO` is never a boolean.
Values built in Python (int, float, bool, None) are accepted as themselves, never across types.
Every refusal is a `ValueError` that says what was expected.
"""

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import core_schema

NUMBER_PATTERN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NOT_A_NUMBER = "must be a plain decimal number, such as 10, 0.5 or 1e5"
NOT_FINITE = "must be a finite number"
ALWAYS_OPEN = "24x7"
PERIODS = {"day": 86_400.0, "week": 604_800.0, "month": 2_629_746.0}  # a month: 365.2425 / 12 days
MONTHS_S = (2_592_000.0, 2_628_000.0, 2_629_746.0, 2_629_800.0, 2_635_200.0, 2_678_400.0)
WHOLE_LIMIT = 2**63 - 1
_NUMBER = re.compile(NUMBER_PATTERN)
_WHOLE = re.compile(r"^[+-]?[0-9]+$")
FEATURE_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_DIGEST = re.compile(r"^[0-9A-Fa-f]{64}$")
_CALENDAR = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_./-]*$")
_TARGET = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")


class Plain(str):
    """A scalar written without quotes. Only free parameters care: there it may be a number."""

    __slots__ = ()


def to_number(value: object) -> float:
    """The finite float meant by `value`; decimal or exponent notation, nothing else."""
    match value:
        case str():
            number = _written_number(value)
        case bool():
            raise ValueError(NOT_A_NUMBER)
        case int() | float():
            number = float(value) if abs(value) <= sys.float_info.max else math.inf
        case _:
            raise ValueError(NOT_A_NUMBER)
    if not math.isfinite(number):
        raise ValueError(NOT_FINITE)
    return number + 0.0  # −0.0 becomes 0.0: equal configs have equal bytes


def _written_number(text: str) -> float:
    if text.lower().lstrip("+-.") in ("nan", "inf", "infinity"):
        return math.nan
    if not _NUMBER.fullmatch(text):
        raise ValueError(NOT_A_NUMBER)
    return float(text)


def to_whole(value: object) -> int:
    """The whole number meant by `value`; `1e5` and `3.0` are whole, `2.5` is not."""
    number = to_number(value)
    if abs(number) > WHOLE_LIMIT:
        raise ValueError("must be a whole number below 2**63")
    exact = Decimal(str(value))
    if exact != int(exact):
        raise ValueError("must be a whole number")
    return int(exact)


def to_period(value: object) -> float:
    """Seconds of a bar: a number, or `day`, `week`, `month`. 30, 31 and mean days are a month."""
    if isinstance(value, str) and value.lower() in PERIODS:
        return PERIODS[value.lower()]
    number = to_number(value)
    return PERIODS["month"] if number in MONTHS_S else number


def to_switch(value: object) -> bool:
    """`true` or `false`, in lower case; `yes`, `on` and `1` are refused."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    raise ValueError("must be true or false")


def to_text(value: object) -> str:
    """Text that is not empty and holds no control characters."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("is empty; write a value")
        if not value.isprintable():
            raise ValueError("must not hold line breaks or control characters")
        return str(value)
    raise ValueError("must be text")


def to_none(value: object) -> object:
    """`none` written out is None; everything else is left to the field's own type."""
    return None if isinstance(value, str) and value == "none" else value


def to_time(value: object) -> datetime:
    """A date or time in ISO 8601; a naive one is kept naive and read in `feed.timezone`."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(to_text(value))
    except ValueError:
        raise ValueError("must be an ISO date or time, such as 2024-01-31T09:30:00Z") from None
    if not 1678 <= moment.year <= 2261:
        raise ValueError("must be a time between the years 1678 and 2261")
    return moment


def time_ns(moment: datetime, zone: str | None) -> int:
    """UTC nanoseconds of `moment`; a naive one is local to `zone`, or UTC without one."""
    if moment.tzinfo is None:
        if zone is None or zone == "UTC":
            moment = moment.replace(tzinfo=UTC)
        else:
            from zoneinfo import ZoneInfo

            moment = moment.replace(tzinfo=ZoneInfo(zone))
    span = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (span.days * 86_400 + span.seconds) * 1_000_000_000 + span.microseconds * 1_000


def to_param(value: object) -> Any:
    """A free parameter: plain integers, numbers, true, false and none are what they look like.

    Everything else is text, and so is anything in quotes. Lists and mappings are followed.
    """
    if isinstance(value, dict):
        return {_param_key(key): to_param(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(to_param(item) for item in value)
    if isinstance(value, float):
        return to_number(value)
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("must be text in UTF-8")
    if isinstance(value, Plain):
        return _plain_param(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise ValueError("must be a number, text, true, false, none, a list or a mapping")


def _param_key(key: object) -> object:
    """A key of a mapping: what reads as a number is one (`class_weight: {0: 1, 1: 5}`)."""
    text = str(key)
    if _WHOLE.fullmatch(text):
        return to_whole(text)
    return to_number(text) if _NUMBER.fullmatch(text) else text


def _plain_param(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    if text in ("none", "null"):
        return None
    if text.lower().lstrip("+-") in (".nan", ".inf", "nan", "inf"):
        raise ValueError(NOT_FINITE)
    if _WHOLE.fullmatch(text):
        return to_whole(text)
    if _NUMBER.fullmatch(text):
        return to_number(text)
    return str(text)


def _name(text: str) -> str:
    if len(text) > 64 or not _NAME.fullmatch(text):
        raise ValueError("must be 1 to 64 letters, digits, '.', '_' or '-': it names files")
    return text


def _target(text: str) -> str:
    if not _TARGET.fullmatch(text):
        raise ValueError("must be module:name, such as mypackage.models:predict")
    return text


def _digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        raise ValueError("must be 64 hexadecimal digits")
    return text.lower()


def _hours(text: str) -> str:
    if text == "none" or not _CALENDAR.fullmatch(text):
        raise ValueError("must be 24x7, or an exchange calendar code such as XNYS, or FX")
    if text.lower() in ("24x7", "24/7"):
        return ALWAYS_OPEN
    return "FX" if text.upper() == "FX" else text


def _zone(text: str) -> str:
    if text != "UTC":
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(text)
        except (OSError, ValueError, KeyError):
            raise ValueError("must be an IANA time zone, such as America/New_York") from None
    return text


@dataclass(frozen=True)
class OrName:
    """Lets a mapping be written as the plain text of its main key: `ACME` for `symbol: ACME`."""

    key: str

    def expand(self, value: object) -> object:
        return {self.key: value} if isinstance(value, str) else value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


@dataclass(frozen=True)
class OrText:
    """Lets plain text, which stays text, be written in the place of a mapping."""

    section: type[BaseModel]

    def choose(self, value: object, validate: Callable[[object], object]) -> object:
        return to_text(value) if isinstance(value, str) else validate(value)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            self.choose,
            handler.generate_schema(self.section),
            serialization=core_schema.plain_serializer_function_ser_schema(_dumped),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


def _dumped(value: object) -> object:
    return value.model_dump() if isinstance(value, BaseModel) else value


T = TypeVar("T")

OrNone = Annotated[T | None, BeforeValidator(to_none)]
Text = Annotated[str, BeforeValidator(to_text)]
Name = Annotated[str, BeforeValidator(to_text), AfterValidator(_name)]
Target = Annotated[str, BeforeValidator(to_text), AfterValidator(_target)]
Digest = Annotated[str, BeforeValidator(to_text), AfterValidator(_digest)]
Hours = Annotated[str, BeforeValidator(to_text), AfterValidator(_hours)]
Zone = Annotated[str, BeforeValidator(to_text), AfterValidator(_zone)]
Switch = Annotated[bool, BeforeValidator(to_switch)]
Number = Annotated[float, BeforeValidator(to_number)]
Positive = Annotated[float, Field(gt=0), BeforeValidator(to_number)]
Amount = Annotated[float, Field(ge=0), BeforeValidator(to_number)]
Share = Annotated[float, Field(gt=0, le=1), BeforeValidator(to_number)]
ShareOrZero = Annotated[float, Field(ge=0, le=1), BeforeValidator(to_number)]
Count = Annotated[int, Field(ge=0), BeforeValidator(to_whole)]
CountFromOne = Annotated[int, Field(ge=1), BeforeValidator(to_whole)]
Period = Annotated[
    float,
    Field(ge=1e-6, le=31_622_400),
    BeforeValidator(to_period),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": list(PERIODS)}]}),
]
Seconds = Annotated[float, Field(gt=0, le=1_000_000), BeforeValidator(to_number)]
SecondsOrZero = Annotated[float, Field(ge=0, le=1_000_000), BeforeValidator(to_number)]
Guard = Annotated[float, Field(ge=0, le=86_400), BeforeValidator(to_number)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1), BeforeValidator(to_whole)]
Workers = Annotated[int, Field(ge=1, le=1024), BeforeValidator(to_whole)]
Window = Annotated[int, Field(ge=2, le=100_000), BeforeValidator(to_whole)]
Moment = Annotated[datetime, BeforeValidator(to_time), WithJsonSchema({"format": "date-time"})]
Param = Annotated[Any, BeforeValidator(to_param)]
