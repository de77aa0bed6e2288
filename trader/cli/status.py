"""`trader status`: what runs, what is halted and why, and how to clear it."""

import time
from typing import Annotated

import typer

from trader.cli.options import AsJson

CLEAR_SCREEN = "\x1b[H\x1b[2J"


def command(
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=0.1, help="Seconds between refreshes.")
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Show live runs and kills, and how to clear them."""
    from trader.cli.console import out, print_json
    from trader.safety.status import collect, render

    on_terminal = out().is_terminal
    while True:
        found = collect()
        if as_json:
            print_json(found, line=watch)
        else:
            clear = CLEAR_SCREEN if watch and on_terminal else ""
            typer.echo(clear + render(found), nl=False)
        if not watch:
            return
        time.sleep(interval)
