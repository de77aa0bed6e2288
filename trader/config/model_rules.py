"""What the section of a model may not say together.

Law: as of `rules`: it only judges what the config says, and opens no file.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trader.config.sections.model import OutputRules

if TYPE_CHECKING:
    from trader.config.schema import Config

Found = tuple[str, str]
ACTING = ("buy", "sell", "close")  # keys of model.threshold


def model_contradictions(config: "Config") -> Iterator[Found]:
    """(key, message) of what a model's section says against itself, or against another's."""
    model = config.model
    if model.type == "sklearn" and model.sha256 is None and config.train is None:
        yield "model.sha256", "is required: the file's SHA-256, as `trader train` prints it"
    if isinstance(model, OutputRules):
        yield from _output(model)
    if getattr(model, "filter", None) is not None:
        yield from _filter(config)


def _filter(config: "Config") -> Iterator[Found]:
    """A second model: what its type needs, and a size that it may shrink."""
    second = getattr(config.model, "filter", None)
    assert second is not None, "who asks has looked"
    needed = ("target",) if second.type == "python" else ("path", "sha256")
    beside = ("path", "sha256") if second.type == "python" else ("target", "params", "files")
    for name in needed:
        if getattr(second, name) is None:
            yield f"model.filter.{name}", f"is required for type {second.type}"
    for name in beside:
        if getattr(second, name):
            yield f"model.filter.{name}", f"has no meaning for type {second.type}"
    if second.shrink and config.position_sizing.base_size is None:
        yield (
            "model.filter.shrink",
            f"shrinks base_size, and {config.position_sizing.mode} has none: leave it out",
        )
    if config.train is not None and config.train.retrain is not None:
        yield "model.filter", "has no meaning beside train.retrain: leave one out"


def _output(model: OutputRules) -> Iterator[Found]:
    """Rules of how a model's answer becomes an action."""
    decide, threshold = model.decide, model.threshold
    if decide is not None:
        for name in ("classes", "threshold", "margin"):
            if getattr(model, name) is not None:
                yield f"model.{name}", "has no meaning beside model.decide: leave one of them out"
        if decide.buy_above is None and decide.sell_below is None:
            yield "model.decide", "needs buy_above, sell_below or both"
        elif None not in (decide.buy_above, decide.sell_below):
            assert decide.buy_above is not None
            assert decide.sell_below is not None
            if not (decide.sell_below <= decide.buy_above):
                yield "model.decide.sell_below", "must not be above buy_above: both would hold"
    if threshold is not None and threshold.model_dump() == dict.fromkeys(ACTING):
        yield "model.threshold", "needs buy, sell or both"
    if model.classes is not None:
        actions = set(model.classes.values())
        if not actions - {"HOLD"}:
            yield "model.classes", "name no class that means BUY or SELL"
        for name in ACTING:
            wanted = threshold is not None and getattr(threshold, name) is not None
            if wanted and name.upper() not in actions:
                yield f"model.threshold.{name}", f"no class of model.classes means {name.upper()}"
