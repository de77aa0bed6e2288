"""The terminal view of a paper run: what it holds, what it is worth, what it last did and why.

Law: draws what it was told and computes nothing of its own but shares. May be told from one thread
and drawn from another. Says every state in a word, so that it can be read without colour.
"""

import shutil
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trader.report.eventlines import event_line, number, one_line
from trader.report.labels import money

if TYPE_CHECKING:
    from rich.console import RenderableType

ROWS = 12  # symbols shown at least, more where the screen has room; the others are counted
AROUND = 8  # lines that are not symbols or happenings: head, money, hint, counts, one spare
HAPPENINGS = 8
TOLD = {"order_denied", "order_throttled", "order_sent", "order_filled"}
TOLD |= {"trading_state_changed", "limit_breach", "error", "trading_started"}
COUNTS = ("slices", "orders", "fills", "denied", "throttled")
COLOURS = {"ACTIVE": "green", "REDUCING": "yellow", "HALTED": "bold red"}
LONGEST_SYMBOL = 24


class PaperView:
    """What is on the screen of one run."""

    def __init__(self, name: str, symbols: Sequence[str]) -> None:
        self._name = name
        self._symbols = tuple(symbols)
        self._lock = threading.Lock()
        self._facts: dict[str, Any] = {}
        self._actions: dict[str, str] = {}  # last one of each symbol, with its reason
        self._touched: dict[str, int] = {}  # when a symbol last did something, as a count
        self._events = 0
        self._happenings: deque[str] = deque(maxlen=HAPPENINGS)

    def on_event(self, details: Mapping[str, Any]) -> None:
        """Take in a hook event."""
        event, symbol = str(details.get("event")), str(details.get("symbol", ""))
        with self._lock:
            self._events += 1
            if event == "action_generated":
                reason = details.get("reason")
                words = str(details.get("action"))
                self._actions[symbol] = words if reason == "NONE" else f"{words} {reason}"
            if event in TOLD:
                self._happenings.append(event_line(details))
                self._touched[symbol] = self._events

    def on_status(self, facts: Mapping[str, Any]) -> None:
        """Take in the facts of the run as they are now."""
        with self._lock:
            self._facts = dict(facts)

    def render(self) -> "RenderableType":
        """The view, for Rich."""
        from rich.console import Group
        from rich.text import Text

        with self._lock:
            facts = self._facts
            lines = [Text(line, overflow="ellipsis", no_wrap=True) for line in self._happenings]
            table = self._table(facts.get("positions") or {})
        hint = "Ctrl-C stops in order; `trader kill --reason TEXT` stops everything at once"
        # What a low screen cuts off at its foot is the oldest news, never how to stop.
        parts = [_headline(self._name, facts), Text(hint, style="dim", no_wrap=True)]
        parts += [_money(facts), _counters(facts), table, *reversed(lines)]
        return Group(*parts)

    def _table(self, held: Mapping[str, Mapping[str, float]]) -> "RenderableType":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        table.add_column("symbol", max_width=LONGEST_SYMBOL, overflow="ellipsis", no_wrap=True)
        for column in ("price", "position", "unrealised"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("last action", overflow="ellipsis", no_wrap=True)
        rows = max(ROWS, shutil.get_terminal_size().lines - AROUND - HAPPENINGS)
        shown = sorted(self._symbols, key=lambda symbol: self._rank(symbol, held))[:rows]
        for symbol in [name for name in self._symbols if name in shown]:
            row = held.get(symbol, {})
            cells = [number(row.get(key)) for key in ("price", "qty", "unrealized_pnl")]
            cells = [("-" if cell == "none" else cell) for cell in cells]
            table.add_row(Text(symbol), *cells, Text(self._actions.get(symbol, "-")))
        more = len(self._symbols) - len(shown)
        return Group(table, Text(f"and {more} more", style="dim")) if more else table

    def _rank(self, symbol: str, held: Mapping[str, Mapping[str, float]]) -> tuple[int, int]:
        """Held ones first, then those that did something last."""
        is_held = bool(held.get(symbol, {}).get("qty"))
        return 0 if is_held else 1, -self._touched.get(symbol, 0)


def _headline(name: str, facts: Mapping[str, Any]) -> "RenderableType":
    from rich.text import Text

    state = str(facts.get("trading_state") or "STARTING")
    line = Text(f"{name}  ", style="bold", overflow="ellipsis", no_wrap=True)
    line.append(state, style=COLOURS.get(state, ""))
    reason = facts.get("state_reason")
    if reason not in (None, "", "NONE"):
        line.append(f" {reason}")
    line.append(f"  {facts.get('timestamp') or 'no bar yet'}", style="")
    lag = facts.get("feed_lag_s")
    line.append(f"  feed lag {number(lag)} s" if isinstance(lag, (int, float)) else "")
    return line


def _money(facts: Mapping[str, Any]) -> "RenderableType":
    from rich.text import Text

    day, limit = facts.get("day_pnl"), facts.get("max_daily_loss")
    text = f"equity {_amount(facts.get('equity'))}  cash {_amount(facts.get('cash'))}"
    text += f"  unrealised {_amount(facts.get('open_pnl'))}\nP&L of the day {_amount(day)}"
    if isinstance(limit, (int, float)) and isinstance(day, (int, float)) and limit > 0:
        text += f", daily loss limit {_amount(limit)} ({max(0.0, -day) / limit:.0%} used)"
    return Text(text, overflow="ellipsis", no_wrap=True)


def _amount(value: Any) -> str:
    return money(value) if isinstance(value, (int, float)) else "-"


def _counters(facts: Mapping[str, Any]) -> "RenderableType":
    from rich.text import Text

    model, refused = facts.get("model") or {}, facts.get("refused") or {}
    text = ", ".join(f"{facts.get(name, 0)} {name}" for name in COUNTS)
    parts = []
    parts += [f"{count} bars {use}" for use, count in sorted(refused.items())]
    if model.get("failures"):
        last = one_line(str(model.get("last_error")))
        parts.append(f"{model['failures']} model failures ({last})")
    more = "\n" + ", ".join(parts) if parts else ""
    return Text(text + more, overflow="ellipsis", no_wrap=True)
