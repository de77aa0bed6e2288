"""A whole sweep: load the bars once, run every trial, keep each at once, say what came of them.

Law: a sweep that was broken off goes on in its folder where the same one is
asked for again: same config, parameters, data, model files and code.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trader.config.load import LoadedConfig
from trader.config.resolved import sha256
from trader.config.schema import Config
from trader.errors import ConfigError, TraderError
from trader.feeds.feed import data_hashes
from trader.feeds.sessions import sessions_per_year
from trader.jobs.sweep import record, verdict
from trader.jobs.sweep.figures import check_folds
from trader.jobs.sweep.market import market_key, opened_market, put_market
from trader.jobs.sweep.record import SweepFolder
from trader.jobs.sweep.sampling import Sampler, sampler_of
from trader.jobs.sweep.space import Space, space_of
from trader.jobs.sweep.store import ArrayStore, key_of
from trader.jobs.sweep.trial import Outcome, Sweepable
from trader.jobs.sweep.workers import Crew, Workers, with_cores
from trader.report.folder import create_live
from trader.report.html.page import REPORT, sweep_page, write_page
from trader.report.provenance import code_sha256
from trader.user_code.own_files import own_files
from trader.wiring import NOTHING, InMemory, search_paths

FORMAT = 1
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What is tried, and by what it is judged."""

    params: Mapping[str, Any]
    sampler: str = "grid"
    trials: int | None = None
    objective: str = "sharpe"
    folds: int | None = None


@dataclass(frozen=True)
class SweepOrder:
    """What was asked for."""

    loaded: LoadedConfig
    config_files: Sequence[Path]
    plan: Plan
    crew: Crew
    parent: Path | None  # where sweep folders go; None: nothing is kept
    given: InMemory = NOTHING


@dataclass(frozen=True)
class Swept:
    """A finished sweep."""

    document: dict[str, Any]  # as `--json` prints it
    table: Any  # Arrow


def plan_of(loaded: LoadedConfig, asked: Mapping[str, Any]) -> Plan:
    """The config's sweep section under what was asked for; None there leaves it."""
    section = loaded.config.sweep
    written: dict[str, Any] = {} if section is None else dict(section)
    written |= {name: value for name, value in asked.items() if value is not None}
    params = dict(written.pop("params", {}) if section is None else section.params)
    params |= asked.get("params") or {}
    written["params"] = params
    return Plan(**written)


def load_varied(
    load: Callable[[Mapping[str, Any]], LoadedConfig], params: Mapping[str, Any]
) -> LoadedConfig:
    """The config that trials vary; `load` is given overrides, and loads it.

    A config that is whole only with its parameters (a stop without its value) is loaded with their
    first values; one that is wrong with them, too, is refused for what is wrong without.
    """
    try:
        return load({})
    except ConfigError:
        if params:
            firsts = {one.key: one.values[0] for one in space_of(params).parameters}
            with suppress(ConfigError):
                return load(firsts)
        raise


def sweep(order: SweepOrder, progress: Progress | None = None) -> Swept:
    """Run all trials of `order`. Raises `TraderError`s of what no trial could mend."""
    began = time.perf_counter()
    space = space_of(order.plan.params)
    sampler = sampler_of(order.plan.sampler, space, order.plan.trials, order.loaded.config.seed)
    order = replace(order, crew=with_cores(order.crew))
    with _opened(order, space) as (folder, about):
        job = _job(order, folder)
        timing = {"load_s": time.perf_counter() - began}
        fresh: list[Outcome] = []

        def take(outcome: Outcome) -> None:
            folder.add(outcome)
            fresh.append(outcome)
            if progress is not None:
                progress("sweep", len(folder.outcomes), sampler.total)

        with Workers(job, order.crew) as workers:
            timing["start_s"] = time.perf_counter() - began - timing["load_s"]
            _run_all(sampler, workers, folder, order.plan.objective, take)
        timing["trials_s"] = _seconds(fresh)
        swept = _finish(order, space, folder, about)
        swept.document["resumed"] = sampler.total - len(fresh)
        timing["total_s"] = time.perf_counter() - began
        swept.document["timing"] = {name: round(value, 6) for name, value in timing.items()}
        return swept


def _run_all(
    sampler: Sampler,
    workers: Workers,
    folder: SweepFolder,
    objective: str,
    take: Callable[[Outcome], None],
) -> None:
    """Run what the sampler says and is not on record, and tell it the scores in order."""
    for batch in sampler.batches():
        missing = [task for task in batch if task[0] not in folder.outcomes]
        if missing:
            workers.run(missing, take)
        scores = []
        for number, _ in batch:
            one = folder.outcomes[number]
            scores.append(verdict.score({"state": one.state, **one.values}, objective))
        sampler.tell(scores)


def _seconds(outcomes: Sequence[Outcome]) -> float:
    """From the beginning of the first trial to the end of the last."""
    spans = [one.span for one in outcomes if one.span[1] > 0.0]
    return max(end for _, end in spans) - min(start for start, _ in spans) if spans else 0.0


def _job(order: SweepOrder, folder: SweepFolder) -> Sweepable:
    """What the workers are sent; the config's own bars are loaded, and refused, here."""
    config = order.loaded.config
    store = ArrayStore(folder.work)
    key = market_key(config)
    if not store.has(f"bars-{key}"):
        put_market(store, config, order.plan.params, order.given)
    check_folds(order.plan.folds, config, opened_market(store, key))
    files = tuple(str(Path(file).resolve()) for file in order.config_files)
    given = InMemory(model=order.given.model)  # the frame is in the folder
    tree, place = _without_sweep(order.loaded), str(folder.work.resolve())
    return Sweepable(tree, files, place, order.plan.folds or 0, tuple(order.plan.params), given)


def _without_sweep(loaded: LoadedConfig) -> Any:
    members = {name: node for name, node in loaded.tree.children if name != "sweep"}
    return replace(loaded.tree, value=members)


@contextmanager
def _opened(order: SweepOrder, space: Space) -> Iterator[tuple[SweepFolder, dict[str, Any]]]:
    """The sweep's folder: an unfinished one of the same sweep, a new, or a temporary one."""
    about = _about(order, space)
    if order.parent is None:
        with tempfile.TemporaryDirectory(prefix="trader-sweep-") as name:
            folder = SweepFolder(Path(name))
            try:
                yield folder, about
            finally:
                folder.close()
        return
    path = _unfinished(order.parent, about["identity"])
    if path is None:
        place = create_live(order.parent, "sweep", order.loaded.config.name, datetime.now(UTC))
        path = place.final
        record.write_about(path, about | {"run_id": place.run_id})
    about = record.about_sweep(path) or about
    folder = SweepFolder(path)
    try:
        yield folder, about
        shutil.rmtree(folder.work, ignore_errors=True)
    except TraderError:  # refused, or every trial failed: only what trials left is worth keeping
        shutil.rmtree(folder.work if folder.outcomes else path, ignore_errors=True)
        raise
    finally:
        folder.close()


def _unfinished(parent: Path, identity: str) -> Path | None:
    for path, about in record.sweeps_in(parent):
        if about.get("identity") == identity and about.get("state") != "done":
            return path
    return None


def _about(order: SweepOrder, space: Space) -> dict[str, Any]:
    """What sweep.json says at the beginning; `identity` is equal for the same sweep."""
    config = order.loaded.config.model_copy(update={"sweep": None})
    files = own_files(config, search_paths([Path(file) for file in order.config_files]))
    data = _data_key(order)
    plan = {**asdict(order.plan), "params": {one.key: one.values for one in space.parameters}}
    same = {
        "format": FORMAT,
        "name": config.name,
        "seed": config.seed,
        "config_sha256": sha256(config),  # without its sweep section
        "plan": plan,
        "data": data,
        "files": {key: file.sha256 for key, file in files.items()},
        "code_sha256": code_sha256(),
        "once": _nonce(config),
    }
    return {**same, "identity": key_of(same), "state": "running"}


def _nonce(config: Config) -> int:
    """Keeps a sweep of an object that has no hash from going on in another's folder."""
    return time.time_ns() if config.model.type == "object" and config.model.sha256 is None else 0


def _data_key(order: SweepOrder) -> str:
    """Names the data: the hash of every file that bars come from, or of the frame given."""
    return key_of(data_hashes(order.loaded.config, order.given.frame))


def _finish(order: SweepOrder, space: Space, folder: SweepFolder, about: dict[str, Any]) -> Swept:
    """Write the table, and say what the trials say."""
    outcomes = sorted(folder.outcomes.values(), key=lambda one: one.trial)
    rows = record.rows(outcomes, space.parameters)
    table, objective = record.table(rows, space.parameters), order.plan.objective
    best = verdict.ranking(rows, objective)
    done = [one for one in outcomes if one.state == "done"]
    if order.parent is not None:
        record.write_table(folder.path, table)
    if not done:
        raise ConfigError(f"all {len(outcomes):,} trials failed; the first: {outcomes[0].error}")
    counted = len(outcomes) + _earlier(order, folder, about)
    history = record.read_moments(folder.path / record.LINES)
    luck = verdict.overfitting(history, best[0] if best else None, counted)
    per_year = sessions_per_year(order.loaded.config.risk.market_hours)
    top = verdict.with_neighbours(best[: verdict.TOP], rows, space.parameters, objective)
    document = {
        "run_id": about.get("run_id", ""),
        "run_dir": "" if order.parent is None else str(folder.path),
        "trials": len(outcomes),
        "failed": len(outcomes) - len(done),
        "objective": objective,
        "sampler": order.plan.sampler,
        "jobs": order.crew.jobs,
        "best": best[0] if best else None,
        "top": top,
        "overfitting": luck,
        "in_words": verdict.in_words(luck, per_year),
        "folds": verdict.folds(history, objective, rows, per_year) if order.plan.folds else [],
        "errors": _errors(outcomes),
    }
    if order.parent is not None:
        keys = [parameter.key for parameter in space.parameters]
        if order.loaded.config.report:
            write_page(folder.path / REPORT, sweep_page(document, keys, rows))
        about |= {"state": "done", "trials": len(outcomes), "params": keys, "document": document}
        record.write_about(folder.path, about)
    return Swept(document, table)


def _errors(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How often each message of a failed trial came."""
    counts: dict[str, int] = {}
    for one in outcomes:
        if one.error:
            counts[one.error] = counts.get(one.error, 0) + 1
    return counts


def _earlier(order: SweepOrder, folder: SweepFolder, about: dict[str, Any]) -> int:
    """Trials of other sweeps in the same place on the same data, finished or not."""
    if order.parent is None:
        return 0
    count = 0
    for path, other in record.sweeps_in(order.parent):
        if other.get("data") == about["data"] and path.resolve() != folder.path.resolve():
            count += sum(1 for _ in record.read_lines(path / record.LINES))
    return count
