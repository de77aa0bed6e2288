"""`trader model`: what a model file holds."""

from typing import Annotated, Any

import typer

from trader.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Look at model files.")


@app.command("inspect")
def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The model file.")],
    as_json: AsJson = False,
) -> None:
    """Show what a model file holds, and the config lines to paste. Never runs the model."""
    from trader.cli.console import print_json
    from trader.models.inspection import inspect_file

    found = inspect_file(path)
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(_lines(found)))


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [
        f"file       {found['path']}, {found['bytes']:,} bytes",
        f"format     {found['format']}" + (f", {found['model']}" if found.get("model") else ""),
        f"sha256     {found['sha256']}",
    ]
    if not found["loads"]:
        lines.append(f"not loaded {found['why']}")
        names = found.get("names")
        lines += [f"imports    {', '.join(names)}"] if names else []
        return lines
    names = found["features"]
    count = found["feature_count"]
    shown = ", ".join(names) if names else f"{count or 'any number of'}, without names"
    lines.append(f"features   {shown} ({found['dtype']})")
    for port in found.get("inputs", ()):
        lines.append(f"input      {port['name']}: {_shape(port)}")
    for port in found.get("outputs", ()):
        lines.append(f"output     {port['name']}: {_shape(port)}")
    classes = found["classes"]
    answer = f"{found['answer']} of {', '.join(map(str, classes))}" if classes else found["answer"]
    lines.append(f"answers    {answer}")
    lines += _card(found["card"])
    return [*lines, "Paste into the config:", *(f"  {line}" for line in found["config"])]


def _shape(port: dict[str, Any]) -> str:
    return f"{port['dtype']} ({', '.join('?' if n is None else str(n) for n in port['shape'])})"


def _card(card: dict[str, Any] | None) -> list[str]:
    if card is None:
        return ["card       none beside it"]
    span = card.get("span", {})
    return [
        f"card       {card.get('estimator')}, trained on {span.get('first_bar_opens')} to "
        f"{span.get('last_bar_closes')}"
    ]
