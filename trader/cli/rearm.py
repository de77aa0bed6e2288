"""`trader rearm`: the only way to trade again after a kill."""

import os
import sys
from typing import Annotated, Any

import typer

from trader.cli.options import AsJson


def command(
    kill_id: Annotated[
        str, typer.Argument(metavar="KILL_ID", help="Id of one kill, as `trader status` shows it.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why it is safe to trade again.")],
    root_cause: Annotated[
        str, typer.Option("--root-cause", help="What caused the kill, if known.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Allow trading again after one kill. Only the owner may, and only while nothing runs."""
    from trader.cli.console import log, print_json
    from trader.safety.rearm import rearm
    from trader.safety.records import storable
    from trader.safety.statedir import home_path

    done = rearm(home_path(), kill_id, storable(reason), root_cause)
    try:
        if as_json:
            print_json(done)
        else:
            _tell(done)
        sys.stdout.flush()
    except OSError as error:  # it is done: a full disk or a closed pipe does not undo it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        log(f"re-armed {kill_id}; that could not be printed: {error.strerror}")


def _tell(done: dict[str, Any]) -> None:
    typer.echo(f"re-armed {done['kill_id']}")
    if done["armed"]:
        typer.echo("  its scope may trade again")
        if done["flatten"]:
            typer.echo("  the model decides as ever: it may buy back what --flatten closed")
    if done["pending"]:
        typer.echo(f"  still in force: {', '.join(done['pending'])}")
    if done["audit"] != "written":
        typer.echo(f"  the audit line could not be written: {done['audit']}", err=True)
