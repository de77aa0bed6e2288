"""Whether prices lie on the ticks that the config says they move in.

Law: changes no price. A tick above what a symbol usually costs is a mistake of the config; closes
beside their ticks are told, for every fill is rounded to the tick against the order.
"""

import numpy as np

from trader.config.schema import Config
from trader.errors import ConfigError
from trader.rounding import LAST_PLACES

SAMPLE = 10_000  # closes looked at of each symbol, spread over its history
TOLERANCE = 1e-6  # ticks; nothing finer than a float of that many ticks
MOST_BESIDE = 0.5  # of the sample; adjusted prices of the past are beside their ticks, too


def warn_of_ticks(config: Config, bars: np.ndarray) -> list[str]:
    """A sentence for each symbol most of whose closes lie beside their ticks.

    `ConfigError` where the tick is larger than the median close. `bars` are BAR records.
    """
    told = []
    for code, instrument in enumerate(config.instruments):
        tick = instrument.tick_size
        if tick <= 0.0:
            continue
        every = bars["close"][bars["symbol"] == code]
        closes = every[:: max(1, len(every) // SAMPLE)]
        if len(closes) == 0:
            continue
        usual = float(np.median(np.abs(closes)))
        if tick > usual and not instrument.allow_negative_prices:
            raise ConfigError(
                f"{instrument.symbol} costs {usual:g} (median close), less than one "
                f"tick of {tick:g}; write its price step, or 0 to round nothing",
                key=f"instruments.{code}.tick_size",
            )
        ticks = closes / tick
        noise = np.maximum(TOLERANCE, np.abs(ticks) * LAST_PLACES)
        beside = np.abs(ticks - np.rint(ticks)) > noise
        if beside.mean() > MOST_BESIDE:
            first = float(closes[np.argmax(beside)])
            told.append(
                f"most closes of {instrument.symbol} are not multiples of its tick_size {tick:g} "
                f"(such as {first!r}): every fill is rounded to it, against the order"
            )
        if not instrument.allow_negative_prices and every.min() < tick:
            told.append(
                f"{np.count_nonzero(every < tick):,} closes of {instrument.symbol} lie below one "
                f"tick of {tick:g} (the lowest {float(every.min())!r}): a sale there would round "
                "to nothing, so it fills beside its tick"
            )
    return told
