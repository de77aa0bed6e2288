"""`trader train`: fit the estimator that the config names and write it with its card."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader.cli.options import AsJson, ConfigFiles, Overrides

if TYPE_CHECKING:
    from rich.table import Table

    from trader.config.schema import Config

COLUMNS = (
    ("learned", "Learned"),
    ("tested", "Tested"),
    ("accuracy", "Accuracy"),
    ("balanced_accuracy", "Balanced"),
    ("majority_class_share", "Majority"),
    ("log_loss", "Log loss"),
    ("brier", "Brier"),
    ("mean_absolute_error", "Mean error"),
    ("r2", "R2"),
    ("same_sign_share", "Same sign"),
    ("round_trips", "Trades"),
    ("pnl", "P&L"),
    ("pnl_rule", "P&L, rule"),
)
SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "majority_class_share": "the largest class alone",
    "mean_absolute_error": "mean error",
    "r2": "R2",
    "same_sign_share": "same sign",
}


def train(
    config: ConfigFiles,
    overrides: Overrides = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="File for the model; default: model.path."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a model file that exists.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fit the model of a config; write it with its card."""
    from trader.cli import console
    from trader.cli.outcome import explaining
    from trader.config.load import load_config
    from trader.models.model_card import output_path

    loaded = load_config(config, overrides or ())
    with explaining(loaded), console.own_stdout(), console.progress() as progress:
        path = output_path(loaded.config, out, force)
        from trader.jobs.train import train as fit_and_write

        card = fit_and_write(loaded, config, path, progress)
    if as_json:
        console.print_json({"path": path, **card})
        return
    if card.get("folds"):
        console.out().print(_fold_table(card))
    typer.echo(_summary(card, path, loaded.config))


def _fold_table(card: dict[str, Any]) -> "Table":
    """A row a fold, and their mean; profits and trades are summed."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows, mean = card["folds"], card["folds_mean"]
    columns = [(name, title) for name, title in COLUMNS if rows[0].get(name) is not None]
    table = Table(
        title=f"Walk-forward: {len(rows)} folds, {card['split']['embargo_bars']} bars of embargo",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("Fold", justify="right")
    table.add_column("Tested from")
    for _, title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        cells = [_cell(name, row[name]) for name, _ in columns]
        table.add_row(str(row["fold"]), row["tested_from"], *cells)
    table.add_section()
    table.add_row("all", "", *(_cell(name, mean.get(name)) for name, _ in columns))
    return table


def _cell(name: str, value: float | int | None) -> str:
    if value is None:
        return ""
    if name in ("learned", "tested", "round_trips"):
        return f"{value:,}"
    return f"{value:,.2f}" if name.startswith(("pnl", "comm")) else f"{value:.4f}"


def _summary(card: dict[str, Any], path: Path, config: "Config") -> str:
    from trader.models.model_card import card_path

    rows, score = card["rows"], card["in_sample"]
    classes = ", ".join(f"{name} {count:,}" for name, count in card["classes"].items())
    how_well = ", ".join(f"{SCORES[name]} {value:.4f}" for name, value in score.items())
    lines = [
        f"wrote      {path} and {card_path(path)}",
        f"estimator  {card['estimator']} on {', '.join(card['features'])}",
        f"span       {card['span']['first_bar_opens']} to {card['span']['last_bar_closes']}",
        f"rows       {rows['used']:,} of {rows['in_span']:,} bars: {classes}",
        f"in-sample  {how_well}",
        "           (on the rows it learned from: says nothing about other data)",
        *(f"warning    {warning}" for warning in card["warnings"]),
        f"sha256     {card['sha256']}",
    ]
    section, missing = _lines_to_paste(card, path, config)
    if not missing:
        return "\n".join([*lines, "The config names this very file already."])
    these = "this line" if len(missing) == 1 else "these lines"
    return "\n".join([*lines, f"Put {these} under `{section}:` in the config:", *missing])


def _lines_to_paste(card: dict[str, Any], path: Path, config: "Config") -> tuple[str, list[str]]:
    """The section of the config that names the model, and what it does not say yet."""
    from trader.models.estimators import format_of
    from trader.models.model_card import needs_classes

    assert config.train is not None
    is_meta = config.train.label.type == "meta"
    model: Any = getattr(config.model, "filter", None) if is_meta else config.model
    kind = format_of(config.train)
    wanted: dict[str, Any] = {"type": kind, "path": str(path), "sha256": card["sha256"]}
    names = ("type", "path", "sha256", "classes", "decide")
    named = {name: getattr(model, name, None) for name in names}
    is_there = isinstance(named["path"], str) and Path(named["path"]).resolve() == path.resolve()
    if named["type"] == kind and is_there:
        wanted["path"] = named["path"]
    if card["outputs"] is None and named["decide"] is None and not is_meta:
        least = config.train.label.threshold_bps * 1e-4
        wanted["decide"] = f"{{buy_above: {least:.10g}, sell_below: {-least:.10g}}}"
    if needs_classes(card) and named["classes"] is None:
        pairs = ", ".join(f"{at}: {name}" for at, name in enumerate(card["outputs"]))
        wanted["classes"] = f"{{{pairs}}}"
    missing = [f"  {name}: {value}" for name, value in wanted.items() if named[name] != value]
    return ("model.filter" if is_meta else "model"), missing
