"""Which column of a file is which of ours, by its name as vendors write it.

Law: a name that the config gives, or our own, is taken as written; otherwise case, blanks and
signs do not matter, and the usual synonyms count. Two columns that could be the same one of ours
are a `DataError` that names both and the key that chooses.
"""

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trader.errors import DataError
from trader.tables.dialect import Notes

SHOWN, LISTED = 40, 400  # characters of a name, of all names, in a message
SYNONYMS: dict[str, tuple[tuple[str, ...], ...]] = {  # best first; names of one tier are equal
    "open": (("o", "opening", "openprice", "priceopen", "openingprice", "eroffnung", "erster"),),
    "high": (("h", "highprice", "pricehigh", "highest", "max", "hoch"),),
    "low": (("l", "lowprice", "pricelow", "lowest", "min", "tief"),),
    "close": (
        ("c", "closing", "closeprice", "priceclose", "closingprice", "closelast", "schluss"),
        ("schlusskurs", "last", "price"),
    ),
    "volume": (
        ("vol", "v", "realvolume", "volumen", "basevolume", "volumebase"),
        ("tickvol", "tickvolume"),
    ),
    "bid": (("bidprice", "bidclose", "closebid"),),
    "ask": (("askprice", "askclose", "closeask"),),
    "symbol": (("ticker", "instrument", "sym", "tic"),),
    "action": (),
}
MOMENTS = (  # a whole stamp
    (
        *("opentime", "barstart", "windowstart", "starttime", "opentimestamp", "timestampopen"),
        *("start", "begin", "begintime"),
    ),
    ("unix", "unixtimestamp", "unixtime", "epoch", "timestampms", "timestampns"),
    ("datetime", "timestamputc", "gmttime", "localtime", "utctime", "timeutc", "datetimeutc"),
    ("tsevent", "ts", "dateandtime", "datetimegmt", "dt", "zeitstempel", "t"),
)
DAYS = ("date", "day", "dateutc", "tradedate", "tradingday", "datum")
CLOCKS = ("time", "timeofday", "zeit", "uhrzeit", "hour")
CLOSES = ("closetime", "timestampclose", "endtime", "barend")
INDEX_NAMES = ("__index_level_0__", "index", "Index", "Unnamed: 0", "")
NEVER_USED = ("adjclose", "adjustedclose", "closeadj", "adjcloseprice")
TICKS = ("tickvol", "tickvolume")
OTHER_VOLUMES = re.compile("quote|taker|average|avg|mean|prev|notional|dollar")


def plain_name(name: str) -> str:
    """`<CLOSE>`, `Close`, `4. close` and `close_` are all `close`."""
    text = unicodedata.normalize("NFKD", re.sub(r"^\s*\d+\.\s+", "", name))
    return re.sub(r"[^a-z0-9]+", "", text.casefold())


KNOWN = {name for tiers in (*SYNONYMS.values(), MOMENTS) for tier in tiers for name in tier}
KNOWN |= {*SYNONYMS, "timestamp", *DAYS, *CLOCKS, *CLOSES, *NEVER_USED}


def columns_text(names: Sequence[str]) -> str:
    """`column a`, `columns a, b`, for messages."""
    return f"column{'s' * (len(names) > 1)} {', '.join(names)}"


@dataclass
class ColumnPlan:
    """Which column of a file is what: our name → the source's."""

    names: dict[str, str]
    symbol: str | None
    extra: tuple[str, ...] = ()
    clock: str | None = None  # a second column of the stamp, which holds the time of day
    ticks: str | None = None  # counts of trades, for a file whose volumes are all 0
    marks_close: bool = False  # the stamp's own name says that it marks the close


@dataclass
class WantedColumns:
    """What is looked for. `mapping` is our name → the name the config gives."""

    mapping: Mapping[str, str]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)  # who needs it, where not everybody
    is_plain: bool = False  # only names as written
    remedy: str = "rename them, or map them under feed.columns"


def plan_columns(
    path: Path,
    header: Sequence[str],
    wanted: WantedColumns,
    notes: Notes,
    index: str | None = None,
) -> ColumnPlan:
    """Find our columns in `header`; `DataError` names what is missing and the nearest there is.

    `index` is the column of which the file itself says that it is the index of times.
    """
    finder = _Finder(path, list(header), wanted)
    plan = ColumnPlan({}, None)
    finder.stamp(plan, index)
    for name in (*wanted.required, *wanted.optional):
        if name != "timestamp" and (found := finder.column(name)) is not None:
            plan.names[name] = found
    if "volume" in wanted.mapping and "volume" not in plan.names:
        finder.volume(plan, notes)
    missing = [name for name in wanted.required if name not in plan.names]
    if missing:
        raise finder.absent(missing)
    plan.symbol = plan.names.pop("symbol", None)
    if plain_name(plan.names.get("volume", "")) not in TICKS and "volume" in plan.names:
        plan.ticks = next((n for n in header if plain_name(n) in TICKS), None)
    used = {*plan.names.values(), plan.symbol, plan.clock}
    plan.extra = tuple(
        name for name in header if name not in used and name and not name.startswith("column ")
    )
    _tell(plan, wanted, notes)
    return plan


def _tell(plan: ColumnPlan, wanted: WantedColumns, notes: Notes) -> None:
    named = dict(plan.names) | ({} if plan.symbol is None else {"symbol": plan.symbol})
    renamed = [
        f"{source!r} is {name}" for name, source in named.items() if source != wanted.mapping[name]
    ]
    if plan.clock is not None:
        renamed.append(f"{plan.clock!r} its time of day")
    if renamed:
        notes.add(", ".join(renamed))
    for name in plan.extra:
        if plain_name(name) in NEVER_USED:
            notes.add(f"{name!r} is not used")


class _Finder:
    """Looks for columns in one header."""

    def __init__(self, path: Path, header: list[str], wanted: WantedColumns) -> None:
        self.path, self.header, self.wanted = path, header, wanted
        self.plain = [plain_name(name) for name in header]

    def column(self, name: str) -> str | None:
        """The column that is `name`; None where there is none."""
        asked = self.wanted.mapping[name]
        if asked in self.header:
            return asked
        if asked != name or self.wanted.is_plain:
            return None
        for tier in ((name,), *SYNONYMS.get(name, ())):
            if (found := self.only(name, tier)) is not None:
                return found
        return None

    def only(self, name: str, tier: Sequence[str]) -> str | None:
        """The one column whose name is in `tier`; `DataError` where there are several."""
        there = [self.header[i] for i, plain in enumerate(self.plain) if plain in tier]
        if len(there) > 1:
            raise DataError(
                f"{self.path}: {name} could be {' or '.join(map(repr, there))}; say which with "
                f"feed.columns.{name}"
            )
        return there[0] if there else None

    def volume(self, plan: ColumnPlan, notes: Notes) -> None:
        """The one column that is some volume (`Volume BTC`); of several none, which is told."""
        if self.wanted.mapping["volume"] != "volume" or self.wanted.is_plain:
            return
        there = [
            name
            for name, plain in zip(self.header, self.plain, strict=True)
            if plain.startswith("volume") or plain.endswith("volume")
            if not OTHER_VOLUMES.search(plain)
        ]
        if len(there) == 1:
            plan.names["volume"] = there[0]
        elif there:
            which = f"volume could be {' or '.join(map(repr, there))}"
            remedy = "say which with feed.columns.volume"
            if "volume" in self.wanted.required:
                reason = self.wanted.reasons.get("volume", "")
                raise DataError(f"{self.path}: {which}{reason}; {remedy}")
            notes.add(f"{which}: none is used, {remedy}")

    def stamp(self, plan: ColumnPlan, index: str | None) -> None:
        """The column of times, or the two of day and time of day."""
        found = self.column("timestamp")
        is_free = self.wanted.mapping["timestamp"] == "timestamp" and not self.wanted.is_plain
        if found is None and index is not None:
            found = index
        if found is None and is_free:
            found = self._moment(plan)
        if found is not None:
            plan.names["timestamp"] = found

    def _moment(self, plan: ColumnPlan) -> str | None:
        for tier in MOMENTS:
            if (found := self.only("timestamp", tier)) is not None:
                return found
        day, clock = self.only("timestamp", DAYS), self.only("timestamp", CLOCKS)
        if day is not None:
            plan.clock = clock
            return day
        if clock is not None:
            return clock
        if (found := self.only("timestamp", CLOSES)) is not None:
            plan.marks_close = True
            return found
        return next((name for name in INDEX_NAMES if name in self.header), None)

    def absent(self, missing: list[str]) -> DataError:
        """What is missing, the nearest there is, and who needs it."""
        wanted = self.wanted.mapping[missing[0]]
        known = {name[:SHOWN].lower(): name[:SHOWN] for name in self.header}
        near = difflib.get_close_matches(wanted.lower(), known, 1)
        hint = f"; nearest is {known[near[0]]!r}" if near else ""
        shown = ", ".join(known.values())
        shown = shown if len(shown) <= LISTED else f"{shown[:LISTED]}…"
        listed = columns_text([repr(self.wanted.mapping[name]) for name in missing])
        reason = self.wanted.reasons.get(missing[0], "") if len(missing) == 1 else ""
        return DataError(
            f"{self.path}: missing {listed}{reason}{hint}; "
            f"the columns are {shown} ({self.wanted.remedy})"
        )
