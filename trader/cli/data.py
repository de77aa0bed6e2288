"""`trader data check | generate`: look at market data through the gate; make example data."""

from pathlib import Path
from typing import Annotated

import typer

from trader.cli.options import AsJson

app = typer.Typer(help="Check market data, or make example data.", no_args_is_help=True)


@app.command("generate")
def generate_command(  # house: parameters - one for each option of the command
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Ends in .csv, .csv.gz or .parquet.")
    ],
    symbols: Annotated[
        str, typer.Option("--symbols", metavar="A,B,…", help="Names, separated by commas.")
    ] = "ACME",
    start: Annotated[str, typer.Option("--start", help="First day, YYYY-MM-DD.")] = "2024-03-04",
    days: Annotated[int, typer.Option("--days", min=1, help="Sessions to make.")] = 10,
    period: Annotated[int, typer.Option("--period", min=1, help="Length of a bar, seconds.")] = 60,
    market_hours: Annotated[
        str, typer.Option("--market-hours", help="24x7 or a calendar such as XNYS.")
    ] = "XNYS",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 7,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write seeded, realistic example bars, with one stretch of missing minutes."""
    from trader.cli import console
    from trader.feeds.generate import Recipe, write

    names = tuple(name.strip() for name in symbols.split(","))
    recipe = Recipe(names, start, days, period, market_hours, seed)
    rows = write(recipe, out, force)
    if as_json:
        console.print_json({"path": out, "rows": rows, "symbols": names, "seed": seed})
    else:
        typer.echo(f"wrote {rows:,} bars of {', '.join(names)} to {out}")
