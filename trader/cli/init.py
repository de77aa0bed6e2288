"""`trader init DIR`: a runnable example, copied out of the package."""

import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

import trader
from trader.cli.options import AsJson
from trader.errors import TraderError, UsageError

FOLDERS = ("configs", "data")
FIRST_CONFIG = "configs/demo.yaml"
TRAINED_CONFIG = "configs/demo_sklearn.yaml"


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make or fill.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Write into a folder that is not empty; files with the same name are replaced.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a runnable example: config, data, model."""
    from trader.cli.console import print_json

    _refuse_unless_free(folder, force)
    source = example_root()
    try:
        files = [path for name in FOLDERS for path in _copied(source / name, folder / name)]
    except OSError as error:
        raise UsageError(
            f"cannot write {error.filename or folder}: {error.strerror}; "
            "choose a folder that you may write to and that has room"
        ) from None
    steps = _next_steps(folder)
    if as_json:
        print_json({"dir": folder, "files": sorted(map(str, files)), "next": steps})
        return
    typer.echo(f"wrote {len(files)} files to {folder}/ ({', '.join(FOLDERS)})")
    typer.echo("next:")
    for step in steps:
        typer.echo(f"  {step}")


def example_root() -> Path:
    """The folder that holds the example's `configs/` and `data/`.

    Inside the installed package, or the root of the source tree this package runs from.
    """
    package = Path(trader.__file__).resolve().parent
    for root in (package / "example", package.parent):
        if (root / FIRST_CONFIG).is_file():
            return root
    raise TraderError(
        f"the example is missing from this installation of trader ({package}); install it again"
    )


def _refuse_unless_free(folder: Path, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder that is empty or does not exist")
    if folder.is_dir() and not force and any(folder.iterdir()):
        raise UsageError(
            f"{folder} is not empty; give another folder, or --force to write into this one"
        )


def _copied(source: Path, target: Path) -> list[Path]:
    """Copy a folder of the example; the files written."""
    written = []
    for path in sorted(source.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            written.append(copy)
    return written


def _next_steps(folder: Path) -> list[str]:
    enter = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    return [
        *enter,
        f"trader config show -c {FIRST_CONFIG}",
        f"trader backtest -c {FIRST_CONFIG}",
        f"trader backtest -c {TRAINED_CONFIG}",
        "trader runs list",
    ]
