"""`trader lookahead`: history cut at random points; what was known before must not change."""

from typing import TYPE_CHECKING, Annotated

import typer

from trader.cli.options import AsJson, ConfigFiles, Overrides

if TYPE_CHECKING:
    from trader.jobs.lookahead import Proof

LEAK = 8


def command(
    config: ConfigFiles,
    overrides: Overrides = None,
    cuts: Annotated[
        int,
        typer.Option(
            "--cuts", min=1, metavar="N", help="How many random points to cut the history at."
        ),
    ] = 24,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit 8 if a bar lies in the span the model was trained on."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Prove that features and actions use no later bars. Exit 8 if one does."""
    from trader.cli import console
    from trader.cli.outcome import explaining
    from trader.config.load import load_config

    loaded = load_config(config, overrides or ())
    with explaining(loaded), console.own_stdout(), console.progress() as progress:
        from trader.jobs.lookahead import lookahead

        proof = lookahead(loaded, config, cuts, progress)
    if as_json:
        console.print_json(proof.document())
    else:
        typer.echo(_summary(proof))
    seen = proof.in_sample is not None and proof.in_sample.bars > 0
    if proof.leaks or (strict and seen):
        raise typer.Exit(LEAK)


def _summary(proof: "Proof") -> str:
    lines = [
        f"compared   {', '.join(proof.columns)}",
        f"over       {proof.bars:,} bars, cut at {len(proof.cuts)} points",
        *(f"note       {note}" for note in proof.notes),
    ]
    if proof.in_sample is not None and proof.in_sample.bars:
        lines.append(f"in-sample  {proof.in_sample.text}")
    elif proof.in_sample is not None:
        lines.append("in-sample  no bar lies in what the model was trained on")
    if not proof.leaks:
        return "\n".join([*lines, "verdict    pass: no value changes when later bars are left out"])
    return "\n".join(
        [
            *lines,
            f"verdict    LEAK: {len(proof.leaks)} of {len(proof.columns)} columns use later bars",
            *(f"           {leak.text}" for leak in proof.leaks),
        ]
    )
