"""How much of a run lies in what its model was trained on.

Law: the card beside a model says from when to when it learned; a bar inside that span is in
sample, whatever it was used for. A model without a card says nothing, and nothing is made up.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from trader.config.schema import Config
from trader.hours.bar_sessions import bar_opens
from trader.models.model_card import card_of, read_card
from trader.moments import iso_utc


@dataclass(frozen=True)
class InSample:
    """The bars of a run inside the training span of its model."""

    bars: int
    share: float  # of all bars of the run
    trained_from: str
    trained_to: str
    run_from: str
    run_to: str
    pnl_inside: float | None = None  # what the run made on those bars
    pnl_outside: float | None = None  # and on the others, that the model had never seen

    def with_profit(self, curve: np.ndarray, start_equity: float) -> "InSample":
        """The same, with what was made inside and outside by an equity curve (EQUITY rows)."""
        if not len(curve):
            return self
        first, last = _ns(self.trained_from), _ns(self.trained_to)
        inside = (curve["ts_ns"] > first) & (curve["ts_ns"] <= last)
        if not self.bars:
            inside[:] = False
        made = np.diff(curve["equity"], prepend=start_equity)
        return replace(
            self,
            pnl_inside=float(made[inside].sum()),
            pnl_outside=float(made[~inside].sum()),
        )

    @property
    def text(self) -> str:
        """For the user: one sentence."""
        return (
            f"{self.share:.1%} of the bars of this run ({self.run_from} to {self.run_to}) lie in "
            f"what the model was trained on ({self.trained_from} to {self.trained_to}): there, the "
            "result says nothing of other data"
        )

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def in_sample(config: Config, bars: np.ndarray) -> InSample | None:
    """What of BAR records (n,) the config's model, or its filter, has learned from: the larger;
    None where no card says so."""
    models = (config.model, getattr(config.model, "filter", None))
    found = [one for model in models if (one := _of_model(config, model, bars)) is not None]
    return max(found, key=lambda one: one.bars, default=None)


def _of_model(config: Config, model: Any, bars: np.ndarray) -> InSample | None:
    is_retrained = config.train is not None and config.train.retrain is not None
    if is_retrained and model is config.model and len(bars):
        return _walk_forward(config, bars)
    span = (_card_of_part(config, model) or {}).get("span")
    if not isinstance(span, dict) or len(bars) == 0:
        return None
    try:
        first, last = _ns(span["first_bar_opens"]), _ns(span["last_bar_closes"])
    except (KeyError, TypeError, ValueError):
        return None
    opens = bar_opens(bars, config.period_ns)
    inside = int(np.count_nonzero((bars["ts_ns"] > first) & (opens < last)))
    return InSample(
        inside,
        inside / len(bars),
        span["first_bar_opens"],
        span["last_bar_closes"],
        iso_utc(int(opens[0])),
        iso_utc(int(bars["ts_ns"][-1])),
    )


def _card_of_part(config: Config, model: Any) -> dict[str, Any] | None:
    """The card of the config's model, or of its filter."""
    if model is config.model:
        return card_of(config)
    path = getattr(model, "path", None)
    return None if path is None else read_card(path, getattr(model, "sha256", None))


def _walk_forward(config: Config, bars: np.ndarray) -> InSample:
    """No bar is in sample: each is decided by a model made of bars before it."""
    first = iso_utc(int(bar_opens(bars[:1], config.period_ns)[0]))
    last = iso_utc(int(bars["ts_ns"][-1]))
    return InSample(0, 0.0, first, last, first, last)


def _ns(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))
