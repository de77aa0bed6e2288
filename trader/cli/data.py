"""`trader data check | generate | download`: judge market data, make it, fetch it."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader.cli.options import AsJson, ConfigFiles, Overrides
from trader.errors import DataError, TraderError, UsageError

if TYPE_CHECKING:
    from trader.feeds.checking import FileTerms

app = typer.Typer(help="Check market data, fetch it, or make example data.", no_args_is_help=True)


class Stamp(StrEnum):
    """What a stamp marks."""

    open = "open"
    close = "close"


class Format(StrEnum):
    """What kind of file is written."""

    csv = "csv"
    csv_gz = "csv.gz"
    parquet = "parquet"


@app.command("check")
def check_command(  # house: parameters - one for each option of the command
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="CSV, gzipped CSV or Parquet.")
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", "-c", metavar="FILE", help="Check the data of this config."),
    ] = None,
    overrides: Overrides = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Check this symbol only.")] = None,
    market_hours: Annotated[
        str, typer.Option("--market-hours", help="24x7 or a calendar such as XNYS.")
    ] = "24x7",
    period: Annotated[
        float | None,
        typer.Option(
            "--period", help="Bar length in seconds; default: the most frequent distance of stamps."
        ),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", help="Time zone of stamps that name none.")
    ] = None,
    timestamp: Annotated[
        Stamp,
        typer.Option("--timestamp", help="Whether a stamp is the open or the close of its bar."),
    ] = Stamp.open,
    as_json: AsJson = False,
) -> None:
    """Check files, or the data of a config, as a run would. Exit 4 if a run would refuse them."""
    from trader.cli import console

    if bool(files) == bool(config):
        raise UsageError("give either files or a config: trader data check FILE... or -c CONFIG")
    if files:
        from trader.cli.outcome import say_what_is_logged
        from trader.feeds.checking import FileTerms

        say_what_is_logged()
        settings = tuple(overrides or ())
        terms = FileTerms(market_hours, timezone, timestamp.value, symbol, period, settings)
        checks, errors = _file_checks(files, terms)
    else:
        checks, errors = [_config_check(config or [], overrides)], []
    failures = [failure for check in checks for failure in check.get("failures", ())]
    document = {"passed": not failures and not errors, "checks": checks}
    if as_json:
        console.print_json(document)
    else:
        from trader.report.qualityview import quality_view

        console.out().print(quality_view(document))
    if errors and not failures and len(errors) == 1:
        raise errors[0]
    if failures or errors:
        raise DataError("\n".join([*failures, *map(str, errors)]))


def _config_check(paths: list[Path], overrides: list[str] | None) -> dict[str, Any]:
    from trader.cli.outcome import explaining
    from trader.config.load import load_config
    from trader.feeds.checking import check_config

    loaded = load_config(paths, overrides or ())
    with explaining(loaded):
        return check_config(loaded.config).document()


def _file_checks(
    files: list[Path], terms: "FileTerms"
) -> tuple[list[dict[str, Any]], list[TraderError]]:
    """A document for each file, and what was raised of those that cannot be judged."""
    from trader.feeds.checking import check_file

    checks: list[dict[str, Any]] = []
    errors: list[TraderError] = []
    for path in files:
        try:
            checks.append(check_file(path, terms).document())
        except UsageError:
            raise
        except TraderError as error:
            errors.append(error)
            checks.append({"path": str(path), "passed": False, "error": str(error)})
    return checks, errors


@app.command("generate")
def generate_command(  # house: parameters - one for each option of the command
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Ends in .csv, .csv.gz or .parquet.")
    ],
    symbols: Annotated[
        str, typer.Option("--symbols", metavar="A,B,…", help="Names, separated by commas.")
    ] = "ACME",
    start: Annotated[str, typer.Option("--start", help="First day, YYYY-MM-DD.")] = "2024-03-04",
    days: Annotated[int, typer.Option("--days", min=1, help="How many trading days.")] = 10,
    period: Annotated[int, typer.Option("--period", min=1, help="Bar length in seconds.")] = 60,
    market_hours: Annotated[
        str, typer.Option("--market-hours", help="24x7 or a calendar such as XNYS.")
    ] = "XNYS",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 7,
    kind: Annotated[
        Format | None, typer.Option("--format", help="Default: by the ending of --out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write made-up bars that look like a market, some minutes missing."""
    from trader.cli import console
    from trader.feeds.generate import Recipe, write

    names = tuple(name.strip() for name in symbols.split(","))
    recipe = Recipe(names, start, days, period, market_hours, seed)
    rows = write(recipe, out, force, None if kind is None else kind.value)
    if as_json:
        console.print_json({"path": out, "rows": rows, "symbols": names, "seed": seed})
    else:
        typer.echo(f"wrote {rows:,} bars of {', '.join(names)} to {out}")


@app.command("download")
def download_command(
    config: ConfigFiles,
    overrides: Overrides = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="First open, ISO time; default: feed.start, or 30 days back.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="TIME", help="Last close, ISO time; default: feed.end, or now."
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")] = Path(
        "data"
    ),
    as_json: AsJson = False,
) -> None:
    """Fetch the history of a config's market as Parquet. Again: goes on where it stopped."""
    from trader.cli import console
    from trader.cli.outcome import explaining
    from trader.config.load import load_config
    from trader.jobs.download import DEFAULT_DAYS, DownloadRequest, download

    loaded = load_config(config, overrides or ())
    start_ns, end_ns = _moment_ns("--from", since), _moment_ns("--to", until)
    if start_ns is None and loaded.config.feed.start_ns is None:
        console.log(f"no --from and no feed.start: the last {DEFAULT_DAYS} days")
    with explaining(loaded), console.progress() as progress:
        done = download(
            loaded.config, DownloadRequest(out, start_ns, end_ns), progress, console.log
        )
    if as_json:
        console.print_json(done.document())
        return
    told = done.document()
    for warning in told["quality"].get("warnings", ()):
        console.log(f"data: {warning}")
    rate = f", {told['bars_per_second']:,} bars/s" if done.fetched else ""
    typer.echo(f"{done.fetched:,} bars fetched{rate}; {told['from']} to {told['to']}")
    for symbol, count in done.rows.items():
        typer.echo(f"  {symbol}: {count:,} bars")
    files = " ".join(f"-c {path}" for path in config)
    typer.echo(f"trader backtest {files} -c {done.layer}")
    typer.echo(f"  or: --set feed.type=parquet --set 'feed.path={done.path}'")


def _moment_ns(option: str, text: str | None) -> int | None:
    """UTC nanoseconds of an ISO time; a naive one is UTC."""
    if text is None:
        return None
    from trader.config.scalars import time_ns, to_time

    try:
        return time_ns(to_time(text), None)
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}") from None
