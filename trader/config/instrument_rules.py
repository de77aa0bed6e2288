"""Rules of instruments beside other sections. Each yields (dotted key, message), as in `rules`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trader.config.schema import Config

Found = tuple[str, str]


def own_limits(config: "Config") -> Iterator[Found]:
    """An instrument's own limits must leave room for an order."""
    for i, instrument in enumerate(config.instruments):
        own = instrument.own_limits
        least = own.get("min_order_size", config.risk.min_order_size) or 0.0
        most = own.get("max_order_size", config.risk.max_order_size)
        if most is not None and least > most:
            key = next((name for name in ("min_order_size", "max_order_size") if name in own), "")
            if key:
                yield (
                    f"instruments.{i}.{key}",
                    f"leaves {instrument.symbol} orders of at least {least:g} and at most "
                    f"{most:g}: every one would be denied",
                )
