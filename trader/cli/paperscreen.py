"""Where a paper run is shown: a live view on a terminal, lines elsewhere, JSON where asked for.

Law: a screen never stops or delays trading. What it is told it takes in at once; writing and
drawing is done in a thread of its own, which may wait for a reader that is slow. A terminal or pipe
that goes away is noticed once and not written to again.
"""

import json
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from trader.cli import console

if TYPE_CHECKING:
    from rich.live import Live

    from trader.report.paperview import PaperView

DRAWN_EVERY_S = 0.25
LINES_WAITING = 200_000  # for a reader that is slow; what comes on top is counted, not kept
PATIENCE_S = 10.0  # with a reader that takes nothing at all, at the end
GONE = (OSError, ValueError, SystemExit)  # Rich leaves by SystemExit when a pipe is closed
NOTICED = {"trading_state_changed", "limit_breach", "error"}
LOGGED = NOTICED | {"trading_started"}  # the command tells the end
LOGGED |= {"order_denied", "order_throttled", "order_sent", "order_filled"}


class LineWriter:
    """Writes lines to a stream from a thread of its own."""

    def __init__(self, stream: TextIO) -> None:
        self.lost = 0
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(LINES_WAITING)
        self._written = 0
        self._thread = threading.Thread(target=self._write, name="lines", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Leave a line to be written; never waits."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Wait until everything is written, while the reader goes on taking it."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=PATIENCE_S)
        before = -1
        while self._thread.is_alive() and self._written != before:
            before = self._written
            self._thread.join(PATIENCE_S)

    @property
    def is_done(self) -> bool:
        """Whether all was written, or had nobody to be written to: nothing waits for a reader."""
        return not self._thread.is_alive()

    def _write(self) -> None:
        is_gone = False
        while (line := self._lines.get()) is not None:
            self._written += 1
            if is_gone:
                continue
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except GONE:
                is_gone = True


class Screen:
    """One run on one screen. Use as a context manager."""

    def __init__(self, view: "PaperView", events: TextIO | None = None) -> None:
        """`events`: where each event goes as JSON, in place of the live view."""
        self._view = view
        self._is_live = sys.stderr.isatty() and events is None
        self._json = None if events is None else LineWriter(events)
        self._log = None if self._is_live else LineWriter(sys.stderr)
        self._live: Live | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Screen":
        if self._is_live:
            from rich.live import Live

            self._live = Live(
                self._view.render(), console=console.err(), auto_refresh=False, transient=True
            )
            with suppress(*GONE):
                self._live.start()
            self._thread = threading.Thread(target=self._draw, name="screen", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(2.0)
        if self._live is not None:
            with suppress(*GONE):
                self._live.stop()
        writers = [writer for writer in (self._json, self._log) if writer is not None]
        for writer in writers:
            writer.close()
        lost = sum(writer.lost for writer in writers)
        if lost and (self._log is None or self._log.is_done):  # else nobody reads this either
            console.log(f"warning: {lost} lines were not read in time and are lost")

    def on_event(self, details: Mapping[str, Any]) -> None:
        """Take in a hook event, to be shown or printed."""
        from trader.report.eventlines import event_document, event_line

        self._view.on_event(details)
        if self._json is not None:
            self._json.put(json.dumps(event_document(details), allow_nan=False, default=str))
        if self._log is not None and details.get("event") in self._logged:
            self._log.put(event_line(details))

    @property
    def _logged(self) -> set[str]:
        """Events that get a line: with JSON on stdout, only what a person should notice."""
        return LOGGED if self._json is None else NOTICED

    def on_status(self, facts: Mapping[str, Any]) -> None:
        """Take in the facts of the run."""
        self._view.on_status(facts)

    def say(self, line: str) -> None:
        """A line for people, whatever is shown."""
        from trader.report.eventlines import one_line

        line = one_line(line)
        if self._log is not None:
            self._log.put(line)
        else:
            console.log(line)

    def _draw(self) -> None:
        render: Callable[[], Any] = self._view.render
        while not self._ended.wait(DRAWN_EVERY_S):
            assert self._live is not None
            try:
                self._live.update(render(), refresh=True)
            except GONE:
                return
