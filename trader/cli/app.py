"""The command line: which commands there are, in the order of the help.

Law: imports typer and the standard library only, and so does every module in the table, or
`trader --help` is slow. A command is added with one line in `COMMANDS`.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from trader import __version__
from trader.cli import outcome

# name on the command line -> module:attribute, a function or, for a group, a `typer.Typer`
COMMANDS = (
    ("init", "trader.cli.init:command"),
    ("validate", "trader.cli.validate:command"),
    ("backtest", "trader.cli.backtest:command"),
    ("sweep", "trader.cli.sweep:command"),
    ("paper", "trader.cli.paper:command"),
    ("train", "trader.cli.train:train"),
    ("features", "trader.cli.features:command"),
    ("lookahead", "trader.cli.lookahead:command"),
    ("model", "trader.cli.model:app"),
    ("kill", "trader.cli.kill:command"),
    ("rearm", "trader.cli.rearm:command"),
    ("status", "trader.cli.status:command"),
    ("replay", "trader.cli.replay:command"),
    ("parity", "trader.cli.parity:command"),
    ("audit", "trader.cli.audit:app"),
    ("runs", "trader.cli.runs:app"),
    ("report", "trader.cli.report:command"),
    ("config", "trader.cli.config:app"),
    ("data", "trader.cli.data:app"),
    ("feed", "trader.cli.feed:app"),
)

HELP = {"help_option_names": ["--help", "-h"]}
# `trader.safety.kill` reads its own arguments, `--help` among them
FORWARDED = {
    "kill": {"help_option_names": [], "ignore_unknown_options": True, "allow_extra_args": True}
}


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trader {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Run a trained BUY/SELL/HOLD model over market data under hard risk limits.

    History: `trader backtest`. Bars as they come: `trader paper`. Stop everything at once:
    `trader kill --reason TEXT`.
    """


def build_app() -> typer.Typer:
    """The whole command line as one Typer application."""
    app = typer.Typer(
        name="trader",
        rich_markup_mode=None,  # 150 ms of the 250 that `trader --help` may take
        pretty_exceptions_enable=False,
        add_completion=False,
        no_args_is_help=True,
        context_settings=HELP,
    )
    app.callback()(_root)
    for name, place in COMMANDS:
        module, _, attribute = place.partition(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name, context_settings=FORWARDED.get(name))(command)
    return app


def run(argv: Sequence[str]) -> int:
    """Run one command line; everything that can go wrong becomes a message and an exit code."""
    return outcome.exit_code_of(lambda: _invoke(argv))


def _invoke(argv: Sequence[str]) -> object:
    """What Typer does, without its own handling of errors and broken pipes."""
    command = typer.main.get_command(build_app())
    with command.make_context("trader", list(argv)) as context:
        return command.invoke(context)
