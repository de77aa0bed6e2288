"""The words and tables of several runs on one page."""

from collections.abc import Sequence

from trader.report.html.markup import chart, grid, section, text, warning
from trader.report.html.source import Source
from trader.report.labels import NOT_DEFINED, RETURNS, TRADES
from trader.report.tables import warnings

LINES = 6  # colours; beyond them lines are dashed


def many_runs_body(sources: Sequence[Source]) -> str:
    """Curves on one picture, figures side by side."""
    names = [source.run_id for source in sources]
    told = "".join(
        warning(f"{source.run_id}: {line}")
        for source in sources
        for line in warnings(source.manifest)
    )
    keys = "".join(f"<li>{_swatch(place)}{text(name)}</li>" for place, name in enumerate(names))
    rows = []
    for label, key, form in (*RETURNS, *TRADES):
        values = [source.metrics.get(key) for source in sources]
        rows.append((label, *(NOT_DEFINED if v is None else form(v) for v in values)))
    digests = [str(source.manifest["digest"]) for source in sources]
    rows.append(("Digest", *(digest[:16] for digest in digests)))
    same = " All runs did exactly the same." if len(set(digests)) == 1 else ""
    return (
        f"<header><h1>{len(sources)} runs side by side</h1>"
        f'<p class="soft">{text(", ".join(names))}.{same}</p></header><main>{told}'
        + section(
            "curves",
            "Equity",
            f'<ul class="key">{keys}</ul>',
            chart("equity", "Return since the start", "One line for each run", "tall"),
        )
        + section("figures", "Figures", grid(("Figure", *names), rows))
        + "</main>"
    )


def _swatch(place: int) -> str:
    return (
        '<svg class="swatch" viewBox="0 0 10 2" aria-hidden="true"><path class="line-'
        f'{place % LINES}{" dashed" if place >= LINES else ""}" d="M0 1h10"/></svg>'
    )
