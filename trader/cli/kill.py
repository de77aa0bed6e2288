"""`trader kill`'s line in the help. The command itself is `trader.safety.kill`.

`trader/__main__.py` goes there before this file is ever imported; a program that runs the
Typer application itself comes through here.
"""

import typer


def command(context: typer.Context) -> None:
    """Stop every run (or --run ID) at once: -r TEXT says why."""
    from trader.safety.kill import main

    raise typer.Exit(main(context.args))
