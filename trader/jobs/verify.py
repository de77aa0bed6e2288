"""A recorded run checked again: what `trader replay` and `trader parity` call.

Law: a journal is verified before it is believed: hashes, order and meaning first, then what can
be recomputed. Rules come from the journal; what it does not hold (features, model) from the
config that was written beside it, and only if that is the config the run ran on.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trader.config.load import LoadedConfig, load_config
from trader.config.resolved import sha256_of_yaml
from trader.core.book import Rules
from trader.engine.parity import parity
from trader.engine.recorded import Divergence, recorded_rules
from trader.engine.replay import replay
from trader.engine.ruleset import build_rules
from trader.errors import UsageError, VerificationError
from trader.feeds.sessions import session_table
from trader.jobs.market_changes import market_changes
from trader.journal import readback
from trader.journal.audit.verify import verify
from trader.journal.locate import find_journal
from trader.journal.records import UNJUDGEABLE, JournalError, Record
from trader.journal.rows import recorded_layouts
from trader.journal.store import damaged, read_records
from trader.models.model import open_model
from trader.wiring import build_features, search_paths

CONFIG = "config.resolved.yaml"
PASS, DIVERGED, CORRUPT = "pass", "diverged", "corrupt"
Document = dict[str, Any]


def replay_run(text: str, parent: Path) -> Document:
    """Replay the run that `text` means; its verdict, counts and first divergence."""

    def check(path: Path, start: Record) -> Document:
        rules = recorded_rules(start) or _config_rules(path, start)
        report = replay(path, rules)
        return {**asdict(report), **_verdict(report.divergence)}

    return _checked(find_journal(text, parent), check)


def parity_run(text: str, parent: Path, history: Path | None = None) -> Document:
    """Send the bars of the run that `text` means through the batch path; as `replay_run`.

    `history`: the folder of a download, beside which the run's bars are held as well.
    """

    def check(path: Path, start: Record) -> Document:
        config = _config(path, start).config
        rules = _with_all_actions(path, recorded_rules(start) or _config_rules(path, start))
        recorded = start.data.get("search_paths") or []
        paths = (*map(Path, recorded), *search_paths([path.parent / CONFIG]))
        features = build_features(config, rules.sessions, paths, rules.adjustments)
        model = open_model(config, features.names, config.symbols, paths)
        report = parity(path, rules, features, model)
        document = {**asdict(report), **_verdict(report.divergence)}
        if history is not None:
            document["market"] = market_changes(path, config, history)
        return document

    return _checked(find_journal(text, parent), check)


def _checked(path: Path, check: Callable[[Path, Record], Document]) -> Document:
    """The document of `check` if the journal is whole; of what is wrong with it otherwise."""
    found = verify(path)
    facts = {"run_id": found.run_id, "journal": str(path), "head": found.head}
    if not found.ok:
        problem = found.problems[0]
        divergence = Divergence(problem.seq, problem.kind, "record", problem.text, "a whole chain")
        return {**facts, "verdict": CORRUPT, "digest": None, "divergence": divergence.fields()}
    start = next(read_records(path), None)
    if start is None:
        raise JournalError(f"{path} is empty")
    recorded_layouts(start.data["layouts"])  # refused here where they are unknown
    try:
        return {**facts, **check(path, start)}
    except UNJUDGEABLE as error:
        raise damaged(path, error) from error


def _verdict(divergence: Divergence | None) -> Document:
    if divergence is None:
        return {"verdict": PASS, "divergence": None}
    return {"verdict": DIVERGED, "divergence": divergence.fields()}


def _config(path: Path, start: Record) -> LoadedConfig:
    """The config beside the journal; refused if it is not the one the run recorded."""
    file = path.parent / CONFIG
    if not file.is_file():
        raise UsageError(f"{file} is missing; it is written beside every run's journal")
    loaded = load_config([file], (), {})
    known = start.data["config_sha"]
    if loaded.sha256 == known:
        return loaded
    found = sha256_of_yaml(file.read_text(encoding="utf-8"))  # of before some keys were made
    if found != known:
        raise VerificationError(
            f"{file} is not the config the run ran on: it has hash {found[:12]}…, "
            f"the journal says {known[:12]}…"
        )
    return loaded


def _with_all_actions(path: Path, rules: Rules) -> Rules:
    """Rules with the corporate actions as the last process of a run knew them."""
    for record in read_records(path, types=("RUN_RESUME",)):
        later = recorded_rules(record)
        if later is not None:
            rules = rules._replace(adjustments=later.adjustments)
    return rules


def _config_rules(path: Path, start: Record) -> Rules:
    """Rules of the config beside the journal, over the hours its bars lie in."""
    config = _config(path, start).config
    stamps = [
        int(bar["ts_ns"])
        for record in read_records(path, types=("BAR",))
        for bar in readback.bars_of(record)
    ] or [start.wall_ns]
    hours = session_table(config.risk.market_hours, min(stamps), max(stamps))
    return build_rules(config, hours)
