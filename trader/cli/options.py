"""Options that several commands share, with one spelling and one help text each."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFiles = Annotated[
    list[Path],
    typer.Option(
        "--config", "-c", metavar="FILE", help="Config file; repeatable, later ones win key by key."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="One config value, over the files; repeatable."
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout instead of a table.")
]
OutFolder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder for the results; default: under runs/."),
]
