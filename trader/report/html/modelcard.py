"""What the page says of the model: its section of the config, its card, what it has seen."""

from collections.abc import Mapping
from typing import Any

from trader.report.html.markup import facts, flat, grid, text

NOT_SHOWN = ("card_version", "sha256", "feature_definitions", "versions", "data", "params")


def model_parts(manifest: Mapping[str, Any]) -> list[str]:
    """The model of a run, in HTML."""
    section = flat(manifest.get("model", {}))
    parts = [facts((name, value) for name, value in section if value is not None)]
    seen = manifest.get("in_sample")
    if seen is not None:
        told = (
            f"{seen['share']:.1%} of the bars ({seen['bars']:,}) lie in what the model was trained "
            f"on ({seen['trained_from']} to {seen['trained_to']}); the run is from "
            f"{seen['run_from']} to {seen['run_to']}."
        )
        parts += ["<h3>In sample</h3>", f"<p>{text(told)}</p>"]
    card = manifest.get("model_card")
    if card is None:
        if seen is None:
            parts.append('<p class="soft">No card says what the model was trained on.</p>')
        return parts
    shown = {key: value for key, value in card.items() if key not in NOT_SHOWN}
    tables = {key: value for key, value in shown.items() if _is_table(value)}
    plain = {key: value for key, value in shown.items() if key not in tables}
    parts += ["<h3>Its card</h3>", facts(flat(plain))]
    for key, rows in tables.items():
        head = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[_cell(row.get(name)) for name in head] for row in rows]
        parts += [f"<h3>{text(key.replace('_', ' ').capitalize())}</h3>", grid(head, cells)]
    rest = {key: card[key] for key in NOT_SHOWN if key in card}
    parts.append(f"<details><summary>All of the card</summary>{facts(flat(rest))}</details>")
    return parts


def _is_table(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_cell(one)}" for name, one in value.items())
    return "" if value is None else str(value)
