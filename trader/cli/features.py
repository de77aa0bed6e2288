"""`trader features`: the matrix as the model sees it, to train anywhere without skew."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trader.cli.options import AsJson, ConfigFiles, Overrides


def command(
    config: ConfigFiles,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="File to write: .parquet or .csv.")
    ],
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Write what the model sees to a file, with labels."""
    from trader.cli import console
    from trader.cli.outcome import explaining
    from trader.config.load import load_config
    from trader.errors import UsageError

    if out.suffix.lower() not in (".parquet", ".csv"):
        raise UsageError(f"--out {out}: name a file that ends in .parquet or .csv")
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file")
    loaded = load_config(config, overrides or ())
    with explaining(loaded), console.own_stdout():
        from trader.jobs.feature_matrix import feature_frame, write_frame

        frame = feature_frame(loaded, config)
        write_frame(frame, out)
    extra = {"timestamp", "symbol", "warm", "label"}
    document: dict[str, Any] = {
        "path": out,
        "rows": len(frame),
        "warm": int(frame["warm"].sum()),
        "features": [name for name in frame.columns if name not in extra],
        "labelled": int(frame["label"].notna().sum()) if "label" in frame else None,
    }
    if as_json:
        console.print_json(document)
        return
    labelled = document["labelled"]
    told = "no labels: the config has no train section"
    if labelled is not None:
        told = f"{labelled:,} with a label (0 HOLD, 1 BUY, 2 SELL)"
    typer.echo(f"wrote      {out}")
    typer.echo(f"features   {', '.join(document['features'])}")
    typer.echo(f"rows       {len(frame):,}, of which {document['warm']:,} are warm; {told}")
