"""`trader report RUN [RUN...]`: one run as a page, or several side by side."""

from pathlib import Path
from typing import Annotated

import typer

from trader.cli import console
from trader.cli.runs import DEFAULT_FOLDER, MEANS_A_RUN, Folder


def command(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help=MEANS_A_RUN)],
    folder: Folder = DEFAULT_FOLDER,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="File to write; default: report.html, in the run folder or, of several, here.",
        ),
    ] = None,
) -> None:
    """Write report.html of runs or a sweep. Several runs stand side by side; it opens offline."""
    from trader.jobs.report import stored_report, stored_sweep
    from trader.report.html.page import REPORT, write_page
    from trader.report.runs import find_run

    if len(runs) == 1 and (page := stored_sweep(Path(runs[0]))) is not None:
        path = out or Path(runs[0]) / REPORT
        write_page(path, page)
        console.out().print(str(path), soft_wrap=True, markup=False, highlight=False)
        return
    found = [find_run(run, folder) for run in runs]
    path = out or (found[0].path / REPORT if len(found) == 1 else Path(REPORT))
    write_page(path, stored_report(found))
    console.out().print(str(path), soft_wrap=True, markup=False, highlight=False)
