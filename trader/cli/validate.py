"""`trader validate`: everything a run would refuse, without a run."""

from typing import Any

import typer

from trader.cli.options import AsJson, ConfigFiles, Overrides


def command(config: ConfigFiles, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check config, data and model without a run."""
    from trader.cli import console
    from trader.cli.outcome import explaining
    from trader.config.load import load_config

    loaded = load_config(config, overrides or ())
    with explaining(loaded), console.own_stdout():
        from trader.jobs import validate

        found = validate.validate(loaded, config)
    for warning in found.warnings:
        console.log(f"warning: {warning}")
    if as_json:
        console.print_json(found.document)
    else:
        typer.echo(_summary(found.document))


def _summary(document: dict[str, Any]) -> str:
    if not document["bars"]:
        return "\n".join(
            [
                "config     is complete and consistent",
                "data       has no bars before it runs",
                f"features   {', '.join(document['features']) or 'none'}",
                f"model      {document['model']} can be loaded",
            ]
        )
    sample = ", ".join(f"{name} {count}" for name, count in document["sample"].items())
    spans = [
        f"           {symbol}: {facts['rows']:,} bars, {facts['first']} to {facts['last']}"
        for symbol, facts in document["symbols"].items()
    ]
    features = ", ".join(document["features"]) or "none"
    return "\n".join(
        [
            "config     is complete and consistent",
            f"data       passes the gate: {document['bars']:,} bars",
            *spans,
            f"features   {features}; defined on {document['warm_bars']:,} bars",
            f"model      {document['model']}; answers a sample of bars with {sample}",
        ]
    )
