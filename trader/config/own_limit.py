"""A limit of one instrument: a number, `none`, or the word `risk` for the one of that section."""

from typing import Annotated, Final, Literal

from pydantic import PlainValidator, WithJsonSchema

from trader.config.scalars import to_none, to_number

OF_RISK: Final = "risk"


def own_limit(value: object) -> float | str | None:
    if value == OF_RISK or to_none(value) is None:
        return to_none(value)  # type: ignore[return-value]  # one of the two
    number = to_number(value)
    if not (number >= 0.0):
        raise ValueError("must be 0 or more, none, or risk")
    return number


OwnLimit = Annotated[
    float | Literal["risk"] | None,
    PlainValidator(own_limit),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}, {"enum": [OF_RISK]}]}
    ),
]
