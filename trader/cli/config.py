"""`trader config show` and `trader config schema`."""

import json

import typer

from trader.cli.options import AsJson, ConfigFiles, Overrides

app = typer.Typer(help="Look at configurations.", no_args_is_help=True)


@app.command()
def show(config: ConfigFiles, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Print every resolved value and where it comes from."""
    from trader.config.load import load_config
    from trader.config.resolved import tree, values, written

    loaded = load_config(config, overrides or ())
    if as_json:
        document = {
            "config": tree(loaded.config),
            "origins": loaded.origins,
            "sha256": loaded.sha256,
        }
        typer.echo(json.dumps(document, indent=2))
        return
    rows = [(key, written(value), loaded.origins[key]) for key, value in values(loaded.config)]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for key, value, origin in rows:
        typer.echo(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {origin}")
    typer.echo(f"sha256 {loaded.sha256}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a config file."""
    from trader.config.json_schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
