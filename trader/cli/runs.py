"""`trader runs list | show | compare`: look at finished runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader.cli import console
from trader.cli.options import AsJson

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="List, show and compare finished runs.", no_args_is_help=True)

DEFAULT_FOLDER = Path("runs")
MEANS_A_RUN = "Run id, its beginning, a folder path, or latest."

Folder = Annotated[Path, typer.Option("--dir", help="Folder that holds the runs.")]


@app.command("list")
def list_command(folder: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """List the runs of a folder, newest first."""
    from trader.report.runs import list_runs
    from trader.report.runviews import list_document, list_view

    is_new = folder == DEFAULT_FOLDER and not folder.exists()
    document = list_document(*(([], []) if is_new else list_runs(folder)))
    _output(document, None if as_json else list_view(document, str(folder)))


@app.command("show")
def show_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help=MEANS_A_RUN)],
    folder: Folder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Show the result of one run again."""
    from trader.report.runs import find_run
    from trader.report.tables import summary_view

    document = find_run(run, folder).document()
    _output(document, None if as_json else summary_view(document))


@app.command("compare")
def compare_command(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help=MEANS_A_RUN)],
    folder: Folder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Compare runs with the first: figures, config, where they part."""
    from trader.errors import UsageError
    from trader.report.compare import comparison
    from trader.report.runs import find_run
    from trader.report.runviews import comparison_view

    if len(runs) < 2:
        raise UsageError("compare needs at least two runs: trader runs compare RUN RUN")
    document = comparison([find_run(run, folder) for run in runs])
    _output(document, None if as_json else comparison_view(document))


def _output(document: dict[str, Any], view: "RenderableType | None") -> None:
    """The result on stdout: the view, or the JSON document where there is none."""
    if view is None:
        console.print_json(document)
    else:
        console.out().print(view)
