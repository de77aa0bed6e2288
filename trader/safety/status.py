"""`trader status`: what runs, what is halted and why, and how to clear it.

Law: standard library only; reads, never writes, and takes no lock for longer than a look.
"""

import math
import os
import time
from typing import Any

from trader.safety import latch, pending, records, registry, statedir

COUNTS = ("slices", "fills", "denied", "throttled", "feed_lag_s", "refused", "model")
LINE = 2_000  # characters of a line at most; what a file says may write nothing else to a terminal
ACCOUNT_KEYS = (
    "equity",
    "cash",
    "realized_pnl",
    "unrealized_pnl",
    "commissions",
    "daily_loss",
    "max_daily_loss",
    "drawdown_frac",
    "max_drawdown_frac",
)


def collect(home: str | None = None) -> dict[str, Any]:
    """`{latched, kills, runs}`, ready for JSON. Keys: docs/kill-switch.md."""
    place = home or statedir.home_path()
    kills = [_kill(kill) for kill in pending.pending_kills(place)]
    listed = [
        run
        for run in registry.all_runs(place)
        if registry.is_listed(run) or _is_held(place, run, kills)
    ]
    return {
        "latched": bool(kills),
        "kills": kills,
        "runs": [_run(run, kills) for run in listed],
    }


def _is_held(home: str, run: registry.Run, kills: list[dict[str, Any]]) -> bool:
    """Whether a stop that is still in force has ended a run, and it has left.

    Its page says so; or, where the stop is a file alone (`touch HALT`), it left after the file
    was made, or left halted and nothing was re-armed since (a file touched again is younger).
    """
    if latch.read_page(run.folder)[0] == latch.KILLED:
        return True
    left_ns = registry.left(run)[1]
    times = [kill.get("ts_ns") for kill in _binding(run, kills)]
    if not (times and left_ns):
        return False
    if any(isinstance(ts_ns, int) and ts_ns <= left_ns for ts_ns in times):
        return True
    told = registry.read_json(os.path.join(run.folder, registry.STATUS)) or {}
    scopes = (records.EVERYTHING, run.run_id)
    is_rearmed = records.is_rearmed_since(home, scopes, left_ns)
    return told.get("trading_state") == "HALTED" and not is_rearmed


def _binding(run: registry.Run, kills: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [kill for kill in kills if kill["scope"] in (records.EVERYTHING, run.run_id)]


def _kill(kill: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in kill.items() if key != "rearm"}
    return {**shown, "clear": f"trader rearm {kill['kill_id']} --reason TEXT"}


def _run(run: registry.Run, kills: list[dict[str, Any]]) -> dict[str, Any]:
    told = _finite(registry.read_json(os.path.join(run.folder, registry.STATUS)) or {})
    entry = run.entry or registry.left(run)[0]
    binding = _binding(run, kills)
    state, why, since_ns, clear = _state(run, told, binding)
    age_ns = time.monotonic_ns() - run.heartbeat_ns
    return {
        "run_id": run.run_id,
        "state": state,
        "why": why,
        "since": records.timestamp(since_ns) if isinstance(since_ns, int) else None,
        "clear": clear,
        "pid": run.runner.pid if run.runner and run.alive else None,
        "heartbeat_age_s": round(age_ns / 1e9, 3) if run.alive and run.heartbeat_ns else None,
        "mode": entry.get("mode", told.get("mode")),
        "run_dir": entry.get("run_dir", told.get("run_dir")),
        "cwd": entry.get("cwd"),
        "host": entry.get("host"),
        "started": _moment(entry.get("started_ns")),
        "updated": _moment(told.get("ts_ns")),
        "last_bar": _moment(told.get("last_bar_ns")),
        "last_bar_age_s": _age_s(told.get("last_bar_ns")),
        "trading_state": told.get("trading_state"),
        "positions": told.get("positions", []),
        "working_orders": told.get("working_orders"),
        "orders_sent": told.get("orders_sent"),
        "journal_head": told.get("journal_head"),
        **{key: told.get(key) for key in (*COUNTS, *ACCOUNT_KEYS)},
    }


def _finite(value: Any) -> Any:
    """A document without numbers that JSON, or whoever reads it, does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, int):
        return value if value.bit_length() < 1024 else None  # a float holds no more
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _moment(ts_ns: object) -> str | None:
    return records.timestamp(ts_ns) if isinstance(ts_ns, int) else None


def _age_s(ts_ns: object) -> float | None:
    """Seconds from a moment until now, by this machine's clock."""
    return round((time.time_ns() - ts_ns) / 1e9, 3) if isinstance(ts_ns, int) else None


def _state(
    run: registry.Run, told: dict[str, Any], binding: list[dict[str, Any]]
) -> tuple[str, str, object, str]:
    """State, why, since when, and what to do about it."""
    was = run.was
    if was == "dead" and not (binding and not run.entry):
        hang = os.path.join(run.folder, registry.HANG)
        why, clear = "the process has gone without a goodbye", "start it again: it will recover"
        if os.path.isfile(hang) and os.path.getsize(hang):
            why = f"{why}, after it hung: {hang}"
        if binding:
            why, clear = f"{why}; {binding[0]['code']}: {binding[0]['reason']}", binding[0]["clear"]
        return "dead", why, told.get("ts_ns"), clear
    if binding:
        first = binding[0]
        return "halted", f"{first['code']}: {first['reason']}", first.get("ts_ns"), first["clear"]
    if told.get("trading_state") == "HALTED":
        reason = str(told.get("reason", ""))
        return (
            "halted",
            reason,
            told.get("since_ns"),
            "a limit of its own config: it clears by that limit's rule",
        )
    if was in ("hung", "stopped"):
        pid = run.runner.pid if run.runner else 0
        what = "no heartbeat" if was == "hung" else "the process is suspended"
        todo = f"kill -CONT {pid}" if was == "stopped" else f"trader kill --run {run.run_id}"
        return was, what, told.get("ts_ns"), todo
    why = str(told.get("reason", "")) if told.get("trading_state") == "REDUCING" else ""
    return was, why, run.entry.get("started_ns"), ""


def render(found: dict[str, Any], home: str | None = None) -> str:
    """The same for a terminal, in plain lines."""
    lines = [f"state folder {pending.shown(home or statedir.home_path())}"]
    lines.append(_headline(found["kills"]))
    for kill in found["kills"]:
        what = "everything" if kill["scope"] == records.EVERYTHING else f"run {kill['scope']}"
        who = pending.by_whom(kill)
        when = f" at {kill['at']}" if kill.get("at") else ""
        lines.append(f"  {kill['kill_id']}  {kill['code']}  {what}{who}{when}")
        lines.append(f"    why: {pending.shown(str(kill['reason']))}")
        lines.append(f"    to clear: {kill['clear']}")
    count = len(found["runs"])
    lines.append(f"{count} run{'' if count == 1 else 's'}" if count else "no run is registered")
    for run in found["runs"]:
        lines.extend(_run_lines(run))
    return "".join(f"{pending.shown(line, LINE)}\n" for line in lines)


def _headline(kills: list[dict[str, Any]]) -> str:
    if any(kill["scope"] == records.EVERYTHING for kill in kills):
        return "TRADING IS STOPPED"
    stopped = ", ".join(dict.fromkeys(str(kill["scope"]) for kill in kills))
    return f"STOPPED: {stopped}" if kills else "no kill is in force"


def _run_lines(run: dict[str, Any]) -> list[str]:
    pid = f"pid {run['pid']}" if run["pid"] else "no process"
    beat = run["heartbeat_age_s"]
    alive = f", heartbeat {beat:g} s ago" if beat is not None else ""
    lines = [f"  {run['run_id']}  {run['state'].upper()}  {run['mode'] or '?'}, {pid}{alive}"]
    if run["why"]:
        since = f" (since {run['since']})" if run["since"] else ""
        lines.append(f"    why: {pending.shown(run['why'])}{since}")
    if run["clear"]:
        lines.append(f"    to clear: {run['clear']}")
    if run["trading_state"]:
        bar = f"last bar {run['last_bar']}" if run["last_bar"] else "no bar yet"
        if run["last_bar"] and run["pid"]:
            bar += f", {run['last_bar_age_s']:,.0f} s ago"
        sent = f"{_number(run['orders_sent'])} order{'' if run['orders_sent'] == 1 else 's'} sent"
        lines.append(
            f"    {run['trading_state']}  {bar}  {sent}, {_number(run['working_orders'])} working"
        )
        lines.extend(_count_lines(run))
    if isinstance(run["equity"], (int, float)):
        lines.append(
            f"    equity {_money(run['equity'])}  realised {_money(run['realized_pnl'])}  "
            f"unrealised {_money(run['unrealized_pnl'])}  "
            f"commissions {_money(run['commissions'])}  "
            f"daily loss {_money(run['daily_loss'])} of {_money(run['max_daily_loss'])}  "
            f"cash {_money(run['cash'])}"
        )
    for position in run["positions"] if isinstance(run["positions"], list) else []:
        if isinstance(position, dict):
            lines.append(
                f"    {position.get('symbol')}  {_number(position.get('qty'))} of "
                f"{_number(position.get('max_qty'))} at {_number(position.get('avg_price'))}, "
                f"mark {_number(position.get('mark'))}, "
                f"unrealised {_money(position.get('unrealized_pnl'))}"
            )
    return lines


def _count_lines(run: dict[str, Any]) -> list[str]:
    """How much came and went, and below it what went wrong, where something did."""
    parts = [f"{run[key]} {key}" for key in COUNTS[:4] if isinstance(run[key], int)]
    if isinstance(run["feed_lag_s"], (int, float)):
        parts.append(f"feed lag {_number(round(run['feed_lag_s'], 3))} s")
    wrong = []
    if isinstance(run["refused"], dict):
        wrong += [f"{_number(count)} bars {use}" for use, count in sorted(run["refused"].items())]
    model = run["model"] if isinstance(run["model"], dict) else {}
    if model.get("failures"):
        last = pending.shown(str(model.get("last_error")))
        wrong.append(f"{_number(model['failures'])} model failures ({last})")
    return [f"    {', '.join(line)}" for line in (parts, wrong) if line]


def _money(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, (int, float)) else "none"


def _number(value: object) -> str:
    return f"{value:,.10g}" if isinstance(value, (int, float)) else "none"
