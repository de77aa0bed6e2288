"""`trader parity`: would a backtest over the bars a paper run saw have done what the run did."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trader.cli.options import AsJson
from trader.cli.replay import FAILED, Folder, Run, print_verdict

History = Annotated[
    Path | None,
    typer.Option(
        "--history",
        metavar="DIR",
        help="Folder of a download (data/EXCHANGE): show bars changed since.",
    ),
]


def command(
    run: Run = "latest",
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
    history: History = None,
) -> int:
    """Compare a paper run with a backtest of its bars. Exit 8 at the first difference."""
    from trader.cli import console
    from trader.jobs.verify import parity_run

    with console.own_stdout():
        document = parity_run(run, folder, history)
    if as_json:
        console.print_json(document)
        return 0 if document["verdict"] == "pass" else FAILED
    print_verdict(document, "decided as a backtest over its bars decides", _extent(document))
    for reason, count in (document.get("held_from_outside") or {}).items():
        typer.echo(f"  {count} bars were held by {reason}, which is taken as recorded")
    if document.get("stopped_at") is not None:
        stop = f"{document['stopped_by']} in record {document['stopped_at']}"
        typer.echo(f"  not compared after {stop}: a backtest is not stopped")
    if found := document.get("market"):
        typer.echo(
            f"  {found['changed']} of {found['compared']} bars were changed by the market after "
            f"their close; {found['told']} of these while the run saw it"
        )
        for one in found["changes"]:
            typer.echo(f"    {one['close']} {one['symbol']} {one['run, history']}")
    return 0 if document["verdict"] == "pass" else FAILED


def _extent(document: dict[str, Any]) -> str:
    """`134 of 3,888 bars` if a stop ended the comparison before the run's last bar, else ""."""
    compared, recorded = document.get("bars", 0), document.get("recorded_bars", 0)
    return f"{compared:,} of {recorded:,} bars" if compared < recorded else ""
