"""What the data gate found: counts by class, examples, and every dropped row.

Law: classes whose policy is `error` end the run together, each with its first rows and the remedy;
`warn` and `drop` are counted here and written to data_quality.json.
"""

from dataclasses import dataclass, field
from typing import Any

from trader.config.sections.feed import Quality

EXAMPLES = 5
DROPPED_LISTED = 1_000
RULES = {
    "no_session": "a bar of a day or more belongs to a session of risk.market_hours",
    "disorder": "stamps must not go back",
    "duplicate": "one bar per symbol and stamp",
    "revised": "one bar per symbol and stamp; this one has other values",
    "price": "prices must be finite and above 0",
    "ohlc": "low ≤ open, close ≤ high",
    "volume": "volume must be finite and not below 0",
    "jump": "a close further than feed.quality.max_jump from the one before",
    "gap": "bars missing inside trading hours",
}


def exact(value: float) -> str:
    """A number with all its digits: what breaks a rule may differ in the last one."""
    return repr(float(value)).removesuffix(".0")


@dataclass
class Finding:
    """One row (or gap) that broke a rule."""

    kind: str
    place: str  # file and line
    symbol: str
    timestamp: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        return {
            "rule": self.kind,
            "place": self.place,
            "symbol": self.symbol,
            "timestamp": self.timestamp,
            "detail": self.detail,
        }


@dataclass
class QualityReport:
    """Findings of all files together. `policies` is the config's section."""

    policies: Quality
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RULES, 0))
    examples: dict[str, list[Finding]] = field(default_factory=lambda: {k: [] for k in RULES})
    dropped: list[Finding] = field(default_factory=list)
    dropped_total: int = 0
    symbols: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing_bars: int = 0
    largest_gaps: list[dict[str, Any]] = field(default_factory=list)
    crossed_quotes: int = 0
    missing_quotes: int = 0
    off_grid: int = 0
    outside_hours: int = 0
    first_outside: str = ""  # its place
    unknown_symbols: dict[str, int] = field(default_factory=dict)
    extra_columns: list[str] = field(default_factory=list)
    beside_ticks: list[str] = field(default_factory=list)  # sentences
    overlapping: int = 0  # bars that were cut where the next one of their symbol opens
    open_ended: list[str] = field(default_factory=list)  # files whose last line has no line end
    recognised: list[str] = field(default_factory=list)  # sentences: how files were read
    splits: list[str] = field(default_factory=list)  # sentences: jumps that look like one
    resampled: dict[str, Any] | None = None  # what longer bars were made, and what they lack
    equal_by_last_bit: int = 0  # bars whose high or low lies beside another price by float noise

    def add(self, kind: str, count: int, findings: list[Finding]) -> None:
        """Count rows of one class and keep the first EXAMPLES of them."""
        self.counts[kind] += count
        self.examples[kind] += findings[: max(EXAMPLES - len(self.examples[kind]), 0)]

    def leaves_out(self, kind: str) -> bool:
        """Whether rows of a class are left out, so that the rules after it see sane rows only.

        A class whose policy is `error` ends the run once all of them are known, so its rows go too.
        """
        policy = getattr(self.policies, kind)
        return policy == "drop" or (policy == "error" and kind != "jump")

    def note_outside(self, count: int, place: str) -> None:
        """Bars during which the market is closed from end to end."""
        self.outside_hours += count
        self.first_outside = self.first_outside or place

    def drop(self, findings: list[Finding], count: int) -> None:
        """Remember dropped rows; only the first DROPPED_LISTED are listed."""
        self.dropped_total += count
        self.dropped.extend(findings[: max(DROPPED_LISTED - len(self.dropped), 0)])

    @property
    def failures(self) -> list[str]:
        """One complaint for each class that was found and whose policy is `error`."""
        return [
            self._complaint(kind)
            for kind in RULES
            if self.counts[kind] and getattr(self.policies, kind) == "error"
        ]

    def _complaint(self, kind: str) -> str:
        first, *others = self.examples[kind]
        lines = [
            f"{first.place}: {first.symbol} at {first.timestamp}: {first.detail} "
            f"({kind}: {RULES[kind]})"
        ]
        lines += [
            f"  also {finding.place}: {finding.symbol} at {finding.timestamp}: {finding.detail}"
            for finding in others
        ]
        more = self.counts[kind] - len(self.examples[kind])
        if more:
            lines.append(f"  and {more:,} more")
        others_policy = "warn" if kind == "gap" else "drop"
        others_policy += " (warn sorts the rows)" if kind == "disorder" else ""
        lines.append(f"  mend the data, or set feed.quality.{kind}: {others_policy}")
        return "\n".join(lines)

    @property
    def warnings(self) -> list[str]:
        """One plain sentence for each class that was found and let pass."""
        found = [
            f"{self.counts[kind]} × {kind} ({RULES[kind]}); "
            f"first: {self.examples[kind][0].place}, {self.examples[kind][0].detail}"
            for kind in RULES
            if self.counts[kind] and getattr(self.policies, kind) != "error"
        ]
        found[:0] = self.splits
        if self.equal_by_last_bit:
            found.append(
                f"{self.equal_by_last_bit:,} bars have a high or low that is off by the last bit "
                "of a price; taken as equal to it"
            )
        if self.crossed_quotes:
            found.append(f"{self.crossed_quotes} quotes with bid above ask")
        if self.overlapping:
            found.append(
                f"{self.overlapping:,} bars reach into the next one of their symbol, and are taken "
                "to end where it begins; look at bar_period_seconds"
            )
        if self.off_grid:
            found.append(f"{self.off_grid} bars are not stamped on the grid of the bar period")
        if self.outside_hours:
            bars = sum(known["rows"] for known in self.symbols.values())
            found.append(
                f"{self.outside_hours:,} of {bars:,} bars lie outside trading hours; first: "
                f"{self.first_outside}. If that is not meant, look at feed.timezone, "
                "feed.timestamp and risk.market_hours"
            )
        found += self.beside_ticks
        found += _of_resampling(self.resampled)
        if self.open_ended:
            names = ", ".join(self.open_ended[:8])
            found.append(f"the last line has no line end, and may have been cut off: {names}")
        if self.unknown_symbols:
            names = ", ".join(sorted(self.unknown_symbols)[:8])
            found.append(f"rows of symbols that are not instruments were left out: {names}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """What data_quality.json holds."""
        return {
            "recognised": self.recognised,
            "warnings": self.warnings,
            "classes": {
                kind: {
                    "count": self.counts[kind],
                    "policy": getattr(self.policies, kind),
                    "rule": RULES[kind],
                    "examples": [finding.as_dict() for finding in self.examples[kind]],
                }
                for kind in RULES
            },
            "missing_bars": self.missing_bars,
            "largest_gaps": self.largest_gaps,
            "dropped_total": self.dropped_total,
            "dropped": [finding.as_dict() for finding in self.dropped],
            "crossed_quotes": self.crossed_quotes,
            "missing_quotes": self.missing_quotes,
            "off_grid": self.off_grid,
            "overlapping": self.overlapping,
            "outside_hours": self.outside_hours,
            "unknown_symbols": self.unknown_symbols,
            "extra_columns": self.extra_columns,
            "open_ended": self.open_ended,
            "splits": self.splits,
            "equal_by_last_bit": self.equal_by_last_bit,
            "resampled": self.resampled,
            "symbols": self.symbols,
        }


def _of_resampling(told: dict[str, Any] | None) -> list[str]:
    """What longer bars lack, in sentences."""
    if told is None:
        return []
    found = []
    if told["lacking"]:
        found.append(
            f"{told['lacking']:,} of {told['bars']:,} bars of {told['to_seconds']:g} s lack bars "
            f"of the feed and are made of those that are there; first: {told['examples'][0]}"
        )
    if told["in_no_session"]:
        found.append(f"{told['in_no_session']:,} bars of the feed lie in no session: left out")
    if told["not_closed"]:
        found.append(
            f"the last {told['not_closed']:,} bars of the feed are in a bar that has not closed: "
            "left out"
        )
    return found
