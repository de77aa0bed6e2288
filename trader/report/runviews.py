"""`trader runs list` and `compare` on the screen, at 80 columns and without colour.

Law: made from the same documents that `--json` prints.
"""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trader.report.labels import NOT_DEFINED, RETURNS, TRADES, money
from trader.report.runs import BrokenRun, StoredRun

LISTED = (
    *("command", "name", "engine", "started_at", "finished_at", "exit_code", "digest"),
    "fill_rule",
)
LISTED_METRICS = (
    "start_equity",
    "final_equity",
    "total_return",
    "sharpe",
    "max_drawdown",
    "trades",
)
DIFFERENCES_SHOWN = 40
SAME_CLOSE = "WARNING: fills at the same close; do not trust these numbers"


def list_document(runs: Sequence[StoredRun], broken: Sequence[BrokenRun]) -> dict[str, Any]:
    """The JSON document of `trader runs list`."""
    return {
        "runs": [
            {
                "run_id": run.run_id,
                "run_dir": str(run.path),
                **{name: run.manifest.get(name) for name in LISTED},
                "trading_state": run.manifest["risk"].get("trading_state"),
                "bars": run.manifest["counts"].get("bars"),
                **{name: run.metrics.get(name) for name in LISTED_METRICS},
                "missing_files": list(run.missing),
            }
            for run in runs
        ],
        "unreadable": [{"run_dir": str(run.path), "problem": run.problem} for run in broken],
    }


def list_view(document: Mapping[str, Any], folder: str) -> Group:
    """Runs, newest first, and below them what could not be read."""
    runs, unreadable = document["runs"], document["unreadable"]
    parts: list[RenderableType] = []
    if not runs and unreadable:
        parts.append(Text(f"No finished runs in {folder}."))
    elif not runs:
        parts.append(Text(f"No runs in {folder}. `trader backtest -c FILE` makes one."))
    else:
        parts += [
            Text(f"Runs of the folder {folder}, newest first", overflow="fold"),
            _runs_table(runs),
        ]
    for run in runs:
        if run["fill_rule"] == "same_close":
            parts.append(Text(f"{run['run_id']}: {SAME_CLOSE}", style="bold red"))
        if run["missing_files"]:
            files = ", ".join(run["missing_files"])
            parts.append(Text(f"{run['run_id']}: incomplete, without {files}", style="yellow"))
    for entry in unreadable:
        parts.append(Text(f"{entry['run_dir']}: {entry['problem']}", style="red"))
    return Group(*parts)


def _runs_table(runs: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("Run", overflow="fold")
    for name in ("Return", "Sharpe", "Drawdown", "Trades"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Exit", justify="right", no_wrap=True)
    for run in runs:
        table.add_row(
            run["run_id"],
            *(
                _shown(name, run[name])
                for name in ("total_return", "sharpe", "max_drawdown", "trades")
            ),
            str(run["trading_state"]),
            str(run["exit_code"]),
        )
    return table


def comparison_view(document: Mapping[str, Any]) -> Group:
    """Metrics side by side, config differences, digests, first divergence."""
    letters = ascii_uppercase[: len(document["runs"])]
    parts: list[RenderableType] = []
    for letter, run, fill_rule in zip(
        letters, document["runs"], document["fill_rules"], strict=True
    ):
        parts.append(Text(f"{letter} = {run}"))
        if fill_rule == "same_close":
            parts.append(Text(f"    {SAME_CLOSE}", style="bold red"))
    parts.append(Text())
    parts += [_metrics_table(document, letters), Text()]
    parts += [Text(line) for line in _verdict(document, letters)]
    differences = document["config_differences"]
    if differences:
        parts += [Text(), _differences_table(differences, letters)]
    hidden = len(differences) - DIFFERENCES_SHOWN
    if hidden > 0:
        parts.append(Text(f"and {hidden} more keys; --json shows all"))
    return Group(*parts)


def _metrics_table(document: Mapping[str, Any], letters: str) -> Table:
    table = _lettered("Statistic", letters, "right")
    for name, values in document["counts"].items():
        table.add_row(name.capitalize(), *(f"{value:,}" for value in values))
    for label, key, _ in (*RETURNS, *TRADES):
        values = document["metrics"].get(key)
        if values is not None:
            table.add_row(label, *(_shown(key, value) for value in values))
    return table


def _differences_table(differences: Mapping[str, Sequence[Any]], letters: str) -> Table:
    table = _lettered("Config key", letters, "left")
    for key, values in list(differences.items())[:DIFFERENCES_SHOWN]:
        table.add_row(key, *(_config_text(value) for value in values))
    return table


def _lettered(title: str, letters: str, justify: Any) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(title, overflow="fold")
    for letter in letters:
        table.add_column(letter, justify=justify, overflow="fold")
    return table


def _verdict(document: Mapping[str, Any], letters: str) -> list[str]:
    """Equal or not, and where each run leaves the first one."""
    lines = []
    if document["digest_equal"]:
        lines.append("Digests are equal: same decisions, fills and equity, bit for bit.")
    else:
        lines.append("Digests differ.")
    if not document["same_data"]:
        lines.append("The data files differ.")
    if not document["same_code"]:
        lines.append("The code of trader differs.")
    if not document["config_differences"]:
        lines.append("The configs are equal.")
        if not document["same_model"]:
            lines.append("The model's files differ (weights, signals or code): see manifest.json.")
    for letter, parting in zip(letters[1:], document["divergence"], strict=True):
        lines += _parting_lines(letter, parting)
        lines += _apart_lines(letter, parting)
    return lines


def _apart_lines(letter: str, parting: Mapping[str, Any]) -> list[str]:
    """How far two runs are apart in all, where they are."""
    trades, gap = parting["trades"], parting["equity_gap"]
    lines = []
    if trades["only_first"] or trades["only_other"]:
        lines.append(
            f"Round trips: {trades['shared']:,} in both, {trades['only_first']:,} in A alone (P&L "
            f"{money(trades['only_first_pnl'])}), {trades['only_other']:,} in {letter} alone (P&L "
            f"{money(trades['only_other_pnl'])})."
        )
    if gap["largest"]:
        lines.append(
            f"Equity of {letter} less A: {money(gap['largest'])} at most, at {gap['largest_at']}; "
            f"{money(gap['at_end'])} at the end."
        )
    return lines


def _parting_lines(letter: str, parting: Mapping[str, Any]) -> list[str]:
    lines = []
    fill, equity = parting["fills"], parting["equity"]
    if fill:
        lines.append(f"{letter} leaves A at fill {fill['row']:,}:")
        lines += [
            f"  {name}: {text or 'no more fills'}"
            for name, text in (("A", fill["first"]), (letter, fill["other"]))
        ]
    if equity:
        fields = ", ".join(equity["fields"]) or "length"
        lines.append(f"{letter} leaves A at slice {equity['row']:,} in {fields}:")
        lines += [
            f"  {name}: " + (f"{row['timestamp']} equity {row['equity']!r}" if row else "ended")
            for name, row in (("A", equity["first"]), (letter, equity["other"]))
        ]
    return lines


def _shown(key: str, value: Any) -> str:
    if value is None:
        return NOT_DEFINED
    formats = {name: style for _, name, style in (*RETURNS, *TRADES)}
    return formats[key](value)


def _config_text(value: Any) -> str:
    """A config value as YAML has it."""
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)
