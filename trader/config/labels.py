"""Classes of a model and fixed words, as they are written in a config."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator

from trader.config.scalars import NUMBER_PATTERN

NUMBER = re.compile(NUMBER_PATTERN)


def to_label(value: object) -> str:
    """A class of a model as text: `1` for 1, 1.0 and "1", `true` for True, a name as it is."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return "true" if value else "false"
    text = value if isinstance(value, str) else str(value)
    if NUMBER.fullmatch(text):
        number = Decimal(text)
        return str(int(number)) if number == int(number) else str(float(text))
    return text.lower() if text in ("True", "False") else text


def to_word(value: object) -> object:
    """A fixed word in capitals, written in any case."""
    return value.upper() if isinstance(value, str) else value


Label = Annotated[str, BeforeValidator(to_label)]
