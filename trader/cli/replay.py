"""`trader replay`: does a run, rebuilt from its journal, reproduce itself bit for bit."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trader.cli.options import AsJson

FAILED = 8
Run = Annotated[
    str,
    typer.Argument(metavar="[RUN]", help="Run id, its beginning, a folder path, or latest."),
]
Folder = Annotated[Path, typer.Option("--dir", help="Folder that holds the runs.")]


def command(run: Run = "latest", folder: Folder = Path("runs"), as_json: AsJson = False) -> int:
    """Rebuild a run from its journal, and compare. Exit 8 at the first record that differs."""
    from trader.cli import console
    from trader.jobs.verify import replay_run

    with console.own_stdout():
        document = replay_run(run, folder)
    if as_json:
        console.print_json(document)
    else:
        exactly = "bit for bit" if document.get("rounded") is None else "but for rounding"
        print_verdict(document, f"reproduces itself {exactly}")
    return 0 if document["verdict"] == "pass" else FAILED


def print_verdict(document: dict[str, Any], claim: str, extent: str = "") -> None:
    """PASS with counts and digest, or the first divergence. `extent`: how much was compared."""
    run_id = document["run_id"] or document["journal"]
    if document["verdict"] == "pass":
        typer.echo(f"PASS{f' for {extent}' if extent else ''}: {run_id} {claim}")
    else:
        typer.echo(f"FAIL: {run_id}: {document['verdict']}")
        found = document["divergence"]
        about = f" of {found['symbol']}" if found["symbol"] else ""
        typer.echo(f"  first at record {found['seq']} ({found['kind']}): {found['field']}{about}")
        typer.echo(f"    recorded    {found['recorded']}")
        typer.echo(f"    recomputed  {found['recomputed']}")
    counts = [
        f"{document[name]} {name}"
        for name in ("records", "slices", "bars", "decisions", "orders", "fills")
        if name in document
    ]
    if counts:
        typer.echo(f"  {', '.join(counts)}")
    if document["digest"]:
        typer.echo(f"  digest {document['digest']}{f' of {extent}' if extent else ''}")
    if found := document.get("rounded"):
        about = f" of {found['symbol']}" if found["symbol"] else ""
        typer.echo(
            "  the version that wrote it left noise of floats in the last places, first in record "
            f"{found['seq']} ({found['field']}{about}: {found['recorded']}, "
            f"today {found['recomputed']})"
        )
    if document["verdict"] == "pass" and document.get("has_end") is False:
        typer.echo("  the run has not ended: compared up to its last record")
