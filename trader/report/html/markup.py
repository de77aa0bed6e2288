"""Small pieces of HTML. Law: every text that goes in is escaped here."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any


def text(value: Any) -> str:
    """Escaped, as it stands in the documents of the run."""
    return "" if value is None else escape(str(value))


def section(name: str, title: str, *parts: str) -> str:
    inside = "".join(parts)
    return f'<section id="s-{name}"><h2>{text(title)}</h2>{inside}</section>'


def chart(name: str, title: str, told: str, look: str = "") -> str:
    """A place that page.js draws in; `told` says in words what the picture shows."""
    return (
        f'<h3>{text(title)}</h3><div class="chart {look}" id="{name}" role="group" '
        f'aria-label="{text(title)}. {text(told)}"></div>'
    )


def facts(rows: Iterable[tuple[str, Any]]) -> str:
    """Names and values in two columns."""
    lines = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>' for name, value in rows
    )
    return f'<div class="wide"><table>{lines}</table></div>'


def grid(head: Sequence[str], rows: Iterable[Sequence[Any]], texts: int = 1) -> str:
    """A table; the first `texts` columns are texts, the others numbers."""
    sides = ["text" if place < texts else "number" for place in range(len(head))]
    top = "".join(
        f'<th scope="col" class="{side}">{text(name)}</th>'
        for name, side in zip(head, sides, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{side}">{text(value)}</td>' for value, side in zip(row, sides, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def cards(rows: Iterable[tuple[str, str, str]]) -> str:
    """Figures with their names, and a note below each."""
    inside = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}"
        + (f"<small>{text(small)}</small>" if small else "")
        + "</dd></div>"
        for name, value, small in rows
    )
    return f'<dl class="cards">{inside}</dl>'


def warning(line: str) -> str:
    return f'<p class="warning">{text(line)}</p>'


def flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Nested mappings as dotted keys."""
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            rows += flat(value, name)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for place, one in enumerate(value):
                rows += flat(one, f"{name}.{place}")
        else:
            rows.append((name, value))
    return rows
