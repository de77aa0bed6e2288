"""`trader train`: fit the classifier that the config names and write it with its card."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader.cli.options import AsJson, ConfigFiles, Overrides

if TYPE_CHECKING:
    from trader.config.load import LoadedConfig
    from trader.config.schema import Config


def train(
    config: ConfigFiles,
    overrides: Overrides = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Where the model goes; default: model.path."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit the model a config names on its own features, and write it with its card."""
    from trader.cli.console import own_stdout, print_json
    from trader.cli.outcome import explaining
    from trader.config.load import load_config
    from trader.models.model_card import output_path

    loaded = load_config(config, overrides or ())
    with explaining(loaded), own_stdout():
        path = output_path(loaded.config, out, force)
        card = _trained(loaded, config, path)
    if as_json:
        print_json({"path": path, **card})
    else:
        typer.echo(_summary(card, path, loaded.config))


def _trained(loaded: "LoadedConfig", config_files: list[Path], path: Path) -> dict[str, Any]:
    """Data, features, fit, files; the card."""
    from dataclasses import asdict

    from trader import wiring
    from trader.models.model_card import Origin, write_model
    from trader.models.training import train_model

    history = wiring.load_bars(loaded.config)
    paths = wiring.search_paths(config_files)
    features = wiring.build_features(loaded.config, history.sessions, paths)
    bars = history.bar_set.bars
    matrix = features.proved_batch(bars)
    trained = train_model(loaded.config, features.forward(bars), matrix, features.names)
    sources = [asdict(source) for source in history.bar_set.sources]
    origin = Origin(loaded.sha256, sources)
    return write_model(trained, path, loaded.config, features.names, origin)


def _summary(card: dict[str, Any], path: Path, config: "Config") -> str:
    from trader.models.model_card import card_path

    rows, score = card["rows"], card["in_sample"]
    classes = ", ".join(f"{name} {count:,}" for name, count in card["classes"].items())
    lines = [
        f"wrote      {path} and {card_path(path)}",
        f"estimator  {card['estimator']} on {', '.join(card['features'])}",
        f"span       {card['span']['first_bar_opens']} to {card['span']['last_bar_closes']}",
        f"rows       {rows['used']:,} of {rows['in_span']:,} bars: {classes}",
        f"in-sample  accuracy {score['accuracy']:.4f}, balanced {score['balanced_accuracy']:.4f}; "
        f"the largest class alone {score['majority_class_share']:.4f}",
        "           (on the rows it learned from: says nothing about other data)",
        *(f"warning    {warning}" for warning in card["warnings"]),
        f"sha256     {card['sha256']}",
    ]
    model = config.model
    named = {"type": model.type, "path": getattr(model, "path", None)}
    named["sha256"] = getattr(model, "sha256", None)
    wanted = {"type": "sklearn", "path": str(path), "sha256": card["sha256"]}
    if model.type == "sklearn" and Path(model.path).resolve() == path.resolve():
        wanted["path"] = model.path
    missing = [f"  {key}: {value}" for key, value in wanted.items() if named[key] != value]
    if not missing:
        return "\n".join([*lines, "The config names this very file already."])
    these = "this line" if len(missing) == 1 else "these lines"
    return "\n".join([*lines, f"Put {these} under `model:` in the config:", *missing])
