"""`trader feed check | record | replay`: look at a live market without trading."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from trader.cli.options import AsJson, ConfigFiles, Overrides

app = typer.Typer(help="Look at a live market without trading.", no_args_is_help=True)

Minutes = Annotated[float, typer.Option("--minutes", min=0.01, help="How long to watch.")]


@app.command("check")
def check_command(
    config: ConfigFiles,
    overrides: Overrides = None,
    minutes: Minutes = 10.0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="File for the report as JSON.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Watch a config's market and report how it behaves. Exit 8 if REST gives others."""
    from trader.cli import console
    from trader.errors import VerificationError

    report = _watched(config, overrides, minutes, None)
    if out is not None:
        out.write_text(json.dumps(report, indent=2) + "\n")
    if as_json:
        console.print_json(report)
    else:
        _print(report)
    different = len(report["rest"]["different"])
    if different:
        raise VerificationError(
            f"{different} of {report['rest']['compared']} bars of the stream are not what "
            f"{report['source']} says by REST afterwards"
        )


@app.command("record")
def record_command(
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="File to write: JSON lines, gzipped if it ends in .gz."),
    ],
    config: ConfigFiles,
    overrides: Overrides = None,
    minutes: Minutes = 10.0,
    as_json: AsJson = False,
) -> None:
    """Record the raw frames of a config's market, each with its time."""
    from trader.cli import console

    report = _watched(config, overrides, minutes, out)
    if as_json:
        console.print_json({"path": out, **report})
    else:
        source, frames = report["source"], f"{report['frames']:,} frames"
        what = frames if report["frames"] else "no frames, what REST said"
        typer.echo(f"{what} of {source} in {out}")


@app.command("replay")
def replay_command(
    recording: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file of `trader feed record`.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for its bars as Parquet.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play a recording again: the bars that a live run would have had."""
    from trader.cli import console
    from trader.jobs.feed_replay import replay

    report = replay(recording, out)
    if as_json:
        console.print_json(report)
        return
    _print(report)
    if out is not None:
        typer.echo(f"trader backtest -c CONFIG -c {report['config']}")


def _watched(
    config: list[Path], overrides: list[str] | None, minutes: float, out: Path | None
) -> dict[str, Any]:
    from trader.cli import console
    from trader.cli.outcome import explaining
    from trader.config.load import load_config
    from trader.jobs.feed_check import watch

    loaded = load_config(config, overrides or ())
    with explaining(loaded):
        return watch(loaded.config, 60.0 * minutes, console.log, out)


def _print(report: dict[str, Any]) -> None:
    for key, value in report.items():
        if isinstance(value, dict) and value:
            typer.echo(f"{key}:")
            for name, one in value.items():
                typer.echo(f"  {name}: {_words(one)}")
        else:
            typer.echo(f"{key}: {_words(value)}")


def _words(value: Any) -> str:
    """A value of a report on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "none"
    return "none" if value is None else str(value)
