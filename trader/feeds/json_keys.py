"""Which key of a line of JSON is which of ours, and what a stamp that is a number counts.

Law: keys are matched as the columns of files are. A line alone does not show its whole column, so
the first number decides the unit for all that come after it.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from trader.config.schema import Config
from trader.errors import DataError
from trader.feeds.raw import dialect_of, wanted_columns
from trader.tables.column_names import ColumnPlan, WantedColumns, plan_columns
from trader.tables.dialect import AUTO, Notes
from trader.tables.epochs import CHOICES, UNITS, unit_of
from trader.tables.stamps import FIRST_NS, LAST_NS

STDIN = Path("stdin")
REMEMBERED = 64  # sets of keys; a writer has one, or a few

Tell = Callable[[str], None]


class LineKeys:
    """Our names of the keys of a feed's lines."""

    def __init__(self, config: Config, tell: Tell | None) -> None:
        wanted = wanted_columns(config)
        self.needs_volume = "volume" in wanted.required
        names = (*wanted.required, *wanted.optional)
        self._wanted = WantedColumns(wanted.mapping, (), names, is_plain=wanted.is_plain)
        self._plans: dict[tuple[str, ...], ColumnPlan] = {}
        self._tell = tell

    def plan(self, keys: tuple[str, ...]) -> ColumnPlan:
        """What the keys are; `DataError` where two could be the same one of ours."""
        plan = self._plans.get(keys)
        if plan is not None:
            return plan
        notes = Notes(STDIN)
        plan = plan_columns(STDIN, keys, self._wanted, notes)
        if len(self._plans) < REMEMBERED:
            self._plans[keys] = plan
            self.say(notes)
        return plan

    def say(self, notes: Notes) -> None:
        """Tell what was recognised, if anything was."""
        if notes.sentence and self._tell is not None:
            self._tell(notes.sentence)


class Counter:
    """Stamps of a feed's lines that are numbers."""

    def __init__(self, config: Config, say: Callable[[Notes], None]) -> None:
        self._unit = dialect_of(config).time_unit
        self._is_said = self._unit != AUTO
        self._say = say

    def ns(self, count: Decimal) -> int:
        """UTC nanoseconds; `DataError` for a number of no unit, or of another than the first."""
        unit = self._unit
        if not self._is_said:
            found = unit_of(float(count))
            if found is None:
                raise DataError(
                    f"{count} is a number that does not say its unit; set feed.time_unit to "
                    f"{CHOICES}, or write ISO-8601 (2024-03-04T14:30:00Z)"
                )
            if unit not in (AUTO, found):
                raise DataError(f"{count} looks like {found}, those before it like {unit}")
            unit = found
        stamp_ns = int(count * UNITS[unit])
        if not FIRST_NS <= stamp_ns <= LAST_NS:
            raise DataError(f"{count} is outside the years 1679 to 2260")
        if self._unit == AUTO:
            self._unit = unit
            notes = Notes(STDIN)
            notes.add(f"stamps are {unit} since 1970, UTC")
            self._say(notes)
        return stamp_ns
