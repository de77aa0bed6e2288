"""The page: head, sections, data and script, in one text.

Law: nothing is fetched (a policy in the page forbids it); every text of a run is escaped; numbers
of the page are those of metrics.json and manifest.json.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from trader.report.folder import write_file
from trader.report.html.data import curve_of_many, run_data
from trader.report.html.pack import packed_text
from trader.report.html.sections import one_run_body
from trader.report.html.sidebyside import many_runs_body
from trader.report.html.source import Source
from trader.report.html.sweeps import sweep_body

REPORT = "report.html"


def run_page(source: Source) -> str:
    """The page of one run."""
    data = run_data(source)
    return _page(source.run_id, one_run_body(source, data), data.value)


def runs_page(sources: Sequence[Source]) -> str:
    """Several runs side by side."""
    curves = [curve_of_many(source, source.run_id) for source in sources]
    title = f"{len(sources)} runs side by side"
    return _page(title, many_runs_body(sources), {"curves": curves, "tables": []})


def sweep_page(
    document: Mapping[str, Any], keys: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> str:
    """The page of a sweep, from its document and the rows of its table."""
    found = sweep_body(document, keys, rows)
    title = document["run_id"] or "sweep"
    return _page(title, found.body, {"tables": [found.table]})


def write_page(path: Path, page: str) -> None:
    """The page as a file, whole or not at all."""
    write_file(path, page)


def _page(title: str, body: str, data: dict[str, Any]) -> str:
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    script, style = _script(), _own("page.css")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)} · trader</title>",
            f"<style>{style}</style></head><body>",
            body,
            # base64 in JSON: no `<` can be in it
            f'<script type="application/json" id="data">{{"text":"{packed_text(text)}"}}</script>',
            f"<script>{script}</script></body></html>",
            "",
        )
    )


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


@cache
def _script() -> str:
    return _own("page.js") + _own("start.js")


@cache
def _own(name: str) -> str:
    return resources.files("trader.report.html").joinpath(name).read_text("utf-8")
