"""The words and still tables of one run's page, in the order of reading."""

from collections.abc import Mapping
from typing import Any

from trader.report.html.data import MOST_ORDERS, RunData
from trader.report.html.figures import monthly_returns
from trader.report.html.markup import cards, chart, facts, flat, grid, section, text, warning
from trader.report.html.modelcard import model_parts
from trader.report.html.source import Source
from trader.report.labels import NOT_DEFINED, RETURNS, TRADES, money
from trader.report.notes import annual_note, benchmark_note, interval_words
from trader.report.reasons import note
from trader.report.tables import warnings

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LINKS = (
    ("figures", "Figures"),
    ("pictures", "Pictures"),
    ("calendar", "Months and days"),
    ("trades", "Trades"),
    ("refusals", "Denied and throttled"),
    ("fills", "Fills and orders"),
    ("data", "Data"),
    ("model", "Model"),
    ("rules", "Fill rule"),
    ("config", "Config and hashes"),
)
OUTCOMES = ("denied", "throttled", "trimmed", "held")
KEYS_HINT = (
    "Drag to move, double-click for all of it. With a picture in focus: arrow keys move, + and − "
    "zoom, 0 shows all, the wheel zooms."
)
FLATTERS = {
    "next_open": (
        "An order decided on a close fills at the next open, which it could really have had. What "
        "still flatters: the bar's open is taken as if one could trade any size there, unless "
        "broker.slippage, spread and the participation limit say otherwise."
    ),
    "same_close": (
        "Orders filled at the very close they were decided on, which no real order can do. The "
        "figures of this run are better than any trading of it could be."
    ),
}


def one_run_body(source: Source, data: RunData) -> str:
    """Everything between head and data."""
    manifest = source.manifest
    links = "".join(f'<a href="#s-{name}">{text(title)}</a>' for name, title in LINKS)
    head = (
        f"<header><h1>{text(manifest.get('name', source.run_id))}</h1>"
        f'<p class="soft">{text(source.run_id)} · {text(manifest["command"])} · '
        f"{text(source.metrics.get('first_slice'))} to {text(source.metrics.get('last_slice'))} · "
        f"{manifest['counts']['bars']:,} bars · digest <code>{text(manifest['digest'][:16])}"
        f'</code></p></header><nav aria-label="Sections">{links}</nav>'
    )
    parts = (
        _figures(source),
        _pictures(source, data),
        _calendar(source, data),
        _trades(source),
        _refusals(source, data),
        _fills(source, data),
        section("data", "Data", *_quality(source.quality), facts(_files(source))),
        section("model", "Model", *model_parts(manifest)),
        _rules(source),
        _config(source),
    )
    return f"{head}<main>{''.join(parts)}</main>"


def _figures(source: Source) -> str:
    metrics, intervals = source.metrics, source.metrics.get("intervals") or {}
    shown = []
    for label, key, form in (*RETURNS, *TRADES):
        value = metrics.get(key)
        figure = NOT_DEFINED if value is None else form(value)
        small = (metrics.get("undefined") or {}).get(key, "") if value is None else ""
        if value is not None and intervals.get(key):
            words = f"95 %: {interval_words(key, intervals[key])}"
            small = words.replace(" %", "\u00a0%")  # no line begins with the sign
        shown.append((label, figure, small))
    told = [warning(line) for line in warnings(source.manifest)]
    labels = {key: label for label, key, _ in (*RETURNS, *TRADES)}
    for key, line in (metrics.get("warnings") or {}).items():
        told.append(warning(f"{labels.get(key, key)}: {line}"))
    basis = f"{benchmark_note(metrics)} {annual_note(metrics)}".strip()
    if len(intervals) > 1:
        basis += (
            " The ranges below figures are 95 % intervals of a stationary bootstrap: how much of "
            "the figure could be luck of the order of days."
        )
    exact = facts(flat(metrics))
    return section(
        "figures",
        "Figures",
        *told,
        cards(shown),
        f'<p class="soft">{text(basis)}</p>',
        f"<details><summary>Every figure, exact, as in metrics.json</summary>{exact}</details>",
    )


def _pictures(source: Source, data: RunData) -> str:
    keys = (
        '<ul class="key"><li>▲ buy</li><li>▼ sell</li><li>■ stopped, liquidated or flattened</li>'
        "<li>● take profit</li></ul>"
    )
    parts = [f'<p class="soft hint">{text(KEYS_HINT)}</p>']
    why_not = source.market.why_not
    if source.market.bars is None and why_not:
        parts.append(f'<p class="soft">{text(f"Fills are shown without prices: {why_not}")}</p>')
    if data.bars_at_once > 1:
        parts.append(f'<p class="soft">One candle is {data.bars_at_once} bars at least.</p>')
    counts = source.manifest["counts"]
    for number, symbol in enumerate(source.manifest["symbols"]):
        told = f"Price with {counts['fills']:,} fills of the run; the tables below hold them all"
        parts.append(chart(f"price-{number}", f"Price and fills, {symbol}", told, "tall"))
    final, start = source.metrics["final_equity"], source.metrics["start_equity"]
    deepest = (source.metrics.get("max_drawdown") or 0.0) * 100.0
    parts += [
        keys,
        chart("equity", "Equity", f"From {money(start)} to {money(final)}"),
        chart("drawdown", "Drawdown", f"{deepest:.2f} % at the deepest"),
        chart("exposure", "Exposure", "Sum of the value of all positions, account currency"),
    ]
    if data.value["spells"]:
        parts.append('<p class="soft">Shaded: trading was reduced or halted, as named there.</p>')
    return section("pictures", "Pictures", *parts)


def _calendar(source: Source, data: RunData) -> str:
    limit = source.manifest["risk"].get("max_daily_loss")
    told = "no limit set" if limit is None else f"the limit of the loss is {money(limit)}"
    kind = "trading session" if data.days.is_session else "UTC day"
    rows = monthly_returns(data.days, float(source.metrics["start_equity"]))
    years: dict[str, dict[int, float | None]] = {}
    for row in rows:
        year, month = row["month"].split("-")
        years.setdefault(year, {})[int(month)] = row["return_frac"]
    cells = []
    for year, found in years.items():
        whole = 1.0
        for value in found.values():
            whole *= 1.0 + (value or 0.0)
        shown = [_share(found[month]) if month in found else "" for month in range(1, 13)]
        cells.append((year, *shown, _share(whole - 1.0)))
    return section(
        "calendar",
        "Months and days",
        chart("days", f"Profit and loss of each {kind}", told),
        "<h3>Return of each month</h3>",
        grid(("Year", *MONTHS, "Year"), cells),
    )


def _share(value: float | None) -> str:
    return NOT_DEFINED if value is None else f"{value * 100.0:+.2f} %"


def _trades(source: Source) -> str:
    metrics = source.metrics
    parts = [
        '<div class="pair"><div>',
        chart(
            "returns",
            "Returns of trades",
            "How many trades ended where; the farthest 1 % at the ends",
        ),
        "</div><div>",
        chart(
            "excursions",
            "Excursions of trades",
            "Across: how far a trade was against its entry. Up: how far it was for it",
        ),
        '<p class="soft">Across: worst point of a trade (MAE). Up: its best point (MFE). The '
        "farthest 1 % stand on the edge. ▲ won, ▼ lost.</p></div></div>",
    ]
    groups = metrics.get("by_group") or {}
    for title, key in (("symbol", "symbol"), ("side", "side"), ("exit", "exit_reason")):
        if groups.get(key):
            head = (title.capitalize(), "Trades", "Won", "P&L", "Profit factor", "Mean return")
            rows = [
                (
                    name,
                    f"{of['trades']:,}",
                    _share(of["win_rate"]).lstrip("+"),
                    money(of["pnl"]),
                    NOT_DEFINED if of["profit_factor"] is None else f"{of['profit_factor']:.2f}",
                    _share(of["average_trade"]),
                )
                for name, of in groups[key].items()
            ]
            parts += [f"<h3>By {title}</h3>", grid(head, rows)]
    return section(
        "trades", "Trades", *parts, "<h3>All closed trades</h3>", '<div id="trades"></div>'
    )


def _refusals(source: Source, data: RunData) -> str:
    risk = source.manifest["risk"]
    rows = []
    for outcome in OUTCOMES:
        for name, count in (risk.get(f"{outcome}_by_reason") or {}).items():
            told = note(name)
            rows.append((outcome, name, told.words, told.key, f"{count:,}"))
    table = grid(("Outcome", "Reason", "Because", "Config key", "Decisions"), rows, texts=4)
    left = data.refusals_left_out
    parts = [
        f'<p class="soft">{risk["requested"]:,} decisions asked for an order, '
        f"{risk['approved']:,} got one.</p>",
        table,
        chart("lanes", "When", "One lane for each reason; point at a mark for what was observed"),
        "<h3>Each of them</h3>",
        '<p class="soft">Equal ones in a row are one line.'
        + (f" {left:,} lines more are in decisions.parquet only." if left else "")
        + "</p>",
        '<div id="refusals"></div>',
    ]
    return section("refusals", "Denied, throttled, held", *parts)


def _fills(source: Source, data: RunData) -> str:
    parts = ['<div id="fills"></div>']
    if source.orders is not None and data.orders_left_out:
        left = f"The first {MOST_ORDERS:,}; {data.orders_left_out:,} more are in orders.parquet."
        parts.append(f'<h3>Orders</h3><p class="soft">{left}</p><div id="orders"></div>')
    elif source.orders is not None:
        parts.append('<h3>Orders</h3><div id="orders"></div>')
    return section("fills", "Fills and orders", *parts)


def _quality(quality: Mapping[str, Any]) -> list[str]:
    parts = [warning(line) for line in quality.get("warnings", ())]
    classes = quality.get("classes") or {}
    rows = [
        (name, found["rule"], found["policy"], f"{found['count']:,}")
        for name, found in classes.items()
        if isinstance(found, Mapping) and {"rule", "policy", "count"} <= set(found)
    ]
    if rows:
        parts.append(grid(("Check", "Rule", "What then", "Found"), rows, texts=3))
    told = [str(line) for line in quality.get("recognised", ())]
    return parts + [f'<p class="soft">Recognised: {text(line)}</p>' for line in told]


def _files(source: Source) -> list[tuple[str, Any]]:
    return [
        (str(file.get("path")), f"{file.get('rows', 0):,} rows, SHA-256 {file.get('sha256')}")
        for file in source.manifest.get("data", ())
    ]


def _rules(source: Source) -> str:
    rule = str(source.manifest["risk"].get("fill_rule"))
    doubtful = source.metrics.get("ambiguous_fills")
    rows: list[tuple[str, Any]] = [("broker.fill", rule)]
    if doubtful is not None:
        best = money(source.metrics["ambiguous_best"])
        rows.append(("ambiguous fills", f"{doubtful:,}; the kindest order of prices: {best} more"))
    return section(
        "rules",
        "Fill rule, and what flatters it",
        f"<p>{text(FLATTERS.get(rule, rule))}</p>",
        facts(rows),
    )


def _config(source: Source) -> str:
    manifest = source.manifest
    names = ("digest", "config_sha256", "code_sha256", "seed", "engine", "market_hours")
    rows: list[tuple[str, Any]] = [(name, manifest.get(name)) for name in names]
    rows += [("command line", " ".join(map(str, manifest.get("command_line", ()))))]
    rows += [("started", manifest.get("started_at")), ("finished", manifest.get("finished_at"))]
    rows += [("exit code", manifest.get("exit_code"))]
    rows += flat(manifest.get("versions", {}))
    config = (
        f'<h3>Config</h3><pre tabindex="0">{text(source.config_text)}</pre>'
        if source.config_text
        else ""
    )
    return section("config", "Config and hashes", facts(rows), config)
