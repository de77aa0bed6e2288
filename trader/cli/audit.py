"""`trader audit verify` and `trader audit show`: is a run's journal true, and what does it say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trader.cli.options import AsJson

if TYPE_CHECKING:
    from trader.journal.audit.findings import Report

app = typer.Typer(help="Check a run's journal, and read it.", no_args_is_help=True)

CORRUPT = 8
SHOWN = 2_000  # characters of a line: a journal holds reasons of any length
PARENT = {  # by `status` of the run before
    "matches": "still there",
    "differs": "NOT what is in this folder",
    "absent": "not in this folder, not compared",
}
Run = Annotated[
    str,
    typer.Argument(metavar="[RUN]", help="Run id, its beginning, a folder path, or latest."),
]
Folder = Annotated[Path, typer.Option("--dir", help="Folder that holds the runs.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="HEAD",
        help="A head kept elsewhere, SEQ:HASH, or an anchor file; finds a cut tail too.",
    ),
]


@app.command()
def verify(
    run: Run = "latest",
    anchor: From = None,
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> int:
    """Check hashes, order, gaps and meaning of a run's journal. Exit 8 if anything is wrong."""
    from trader.cli.console import print_json
    from trader.journal.anchor import parse_anchor
    from trader.journal.audit.verify import verify as verify_journal
    from trader.journal.locate import find_journal

    path = find_journal(run, folder)
    anchors = parse_anchor(anchor) if anchor is not None else ()
    report = verify_journal(path, anchors, parents=path.absolute().parent.parent)
    if as_json:
        print_json(report.fields())
    else:
        _print_report(report)
    return 0 if report.ok else CORRUPT


def _print_report(report: "Report") -> None:
    from trader.safety.pending import shown

    verdict = "clean" if report.ok else "CORRUPT"
    typer.echo(f"{verdict}: {report.run_id or 'unknown run'}, {report.path}")
    for problem in report.problems:
        typer.echo(f"  record {problem.seq}: {problem.kind}: {shown(problem.text, SHOWN)}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.counts.items()))
    typer.echo(f"  {report.records} records hold together: {kinds or 'none'}")
    typer.echo(f"  {report.tail}")
    typer.echo(f"  head {report.head}")
    if report.parent is not None:
        parent = report.parent
        typer.echo(f"  run before {parent.run_id}, head {parent.head}: {PARENT[parent.status]}")
    if report.anchored_seq is None and report.ok:
        typer.echo(
            "  A local chain cannot show a cut tail or a rewritten whole: keep the head elsewhere "
            "and give it with --from."
        )


@app.command()
def show(
    order: Annotated[
        str,
        typer.Option(
            "--order", metavar="ID", help="Order id, its beginning, or its number in fills.csv."
        ),
    ],
    run: Run = "latest",
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Tell one order's story: bar, decision, six checks, throttles, order, fills."""
    from trader.cli.console import print_json
    from trader.journal.audit.show import story_document, story_lines
    from trader.journal.audit.story import naming_damage, tell
    from trader.journal.locate import find_journal

    path = find_journal(run, folder)
    with naming_damage(path):
        story = tell(path, order)
        lines, document = story_lines(story), story_document(story)
    if as_json:
        print_json(document)
        return
    from trader.safety.pending import shown

    for line in lines:
        typer.echo(shown(line, SHOWN))
