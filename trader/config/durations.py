"""What a written length of time means: `30d`, `12h`, `90min`, or a number of seconds."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from trader.config.scalars import to_number

SECONDS = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION = re.compile(r"^([0-9]+\.?[0-9]*|\.[0-9]+) ?(s|min|h|d|w)$")
EXPECTED = "must be a length of time such as 30d, 12h, 90min or 4w, or a number of seconds"


def to_duration(value: object) -> float:
    """Seconds of a length of time. `m` is refused: it could be minutes or months."""
    found = _DURATION.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if found is not None:
        return float(found[1]) * SECONDS[found[2]]
    try:
        return to_number(value)
    except ValueError:
        raise ValueError(EXPECTED) from None


Duration = Annotated[
    float,
    Field(gt=0, le=3.2e9),
    BeforeValidator(to_duration),
    WithJsonSchema({"type": ["number", "string"]}),
]
