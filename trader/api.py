"""The Python face: `import trader; run = trader.backtest("config.yaml")`.

Law: a run from Python is the run of the command line: the same parts, the same digest, the same
errors. Nothing is read but what the config names and nothing is written unless asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trader.config.load import LoadedConfig, Source, load_config, sources_of
from trader.errors import ConfigError, UsageError
from trader.jobs.backtest import RUNS, Order, backtest_in_memory
from trader.jobs.backtest import backtest as backtest_to_folder
from trader.jobs.run_sources import DecisionKeeper, FinishedRun, RunOnDisk
from trader.report.labels import RETURNS, TRADES
from trader.report.runs import find_run
from trader.report.sketch import Picture, equity_picture
from trader.report.tables import warnings
from trader.wiring import InMemory

if TYPE_CHECKING:
    import pandas as pd

Config = Source | Sequence[Source]


def backtest(
    config: Config,
    *,
    set: Mapping[str, Any] | None = None,
    bars: "pd.DataFrame | None" = None,
    model: Any = None,
    save: str | Path | bool = False,
    engine: str = "batch",
) -> "Run":
    """Run a config over its history.

    `config` is a path, a mapping, or several of them, later ones over earlier ones; `set` holds
    overrides by dotted key. `bars` is a DataFrame in place of the feed and `model` a fitted object
    (or a callable) in place of a model file. `save` is the folder that gets a run folder, True for
    `runs/`; without it nothing is written. Raises the `TraderError`s of the command line.
    """
    if engine not in ("batch", "loop"):
        raise UsageError(f"engine is {engine!r}; use batch or loop")
    given = InMemory(bars, model)
    loaded = load_given(config, set, given)
    kept = DecisionKeeper()
    order = Order(
        loaded=loaded,
        config_files=files_of(config),
        engine=engine,
        parent=RUNS if save is True else Path(save or "."),
        command_line=("trader.backtest",),
        given=given,
        sinks=(kept.add,),
    )
    with explained(loaded):
        finished = backtest_to_folder(order) if save else backtest_in_memory(order)
    return Run(FinishedRun(finished, kept))


def load_run(path: str | Path) -> "Run":
    """The run of a folder, as `backtest` gave it: a path, or an id or `latest` under `runs/`."""
    return Run(RunOnDisk(find_run(str(path), RUNS)))


def load_given(
    config: Config, overrides: Mapping[str, Any] | None, given: InMemory
) -> LoadedConfig:
    """The config with what was given from Python written into it, under the overrides."""
    written: dict[str, Any] = {}
    if given.frame is not None:
        written |= {"feed.type": "frame", "feed.path": None, "feed.exchange": None}
    if given.model is not None:
        from trader.models.object_model import object_facts

        facts = object_facts(given.model)
        written["model"] = {"type": "object", "made_of": facts.made_of, "sha256": facts.sha256}
    return load_config(config, written | dict(overrides or {}))


def features(
    config: Config,
    *,
    bars: "pd.DataFrame | None" = None,
    set: Mapping[str, Any] | None = None,
) -> "pd.DataFrame":
    """What `trader features` writes: a row a bar, with `timestamp`, `symbol`, `warm`, `label`."""
    from trader.jobs.feature_matrix import feature_frame

    given = InMemory(bars)
    loaded = load_given(config, set, given)
    with explained(loaded):
        return feature_frame(loaded, files_of(config), given)


# house: parameters - the names of the public contract
def sweep(
    config: Config,
    params: Mapping[str, Any] | None = None,
    *,
    set: Mapping[str, Any] | None = None,
    bars: "pd.DataFrame | None" = None,
    model: Any = None,
    jobs: int = 1,
    sampler: str | None = None,
    trials: int | None = None,
    objective: str | None = None,
    folds: int | None = None,
    cluster: str | None = None,
    save: str | Path | bool = False,
) -> "pd.DataFrame":
    """Try parameters of a config; one row a trial, in the order of their numbers.

    `params` maps dotted keys to values (`range(5, 50, 5)`, a list, or a text as after `--param`),
    over those of the config's `sweep` section, as the other arguments are. `jobs` processes run
    the trials, 0 is one a core. `frame.attrs["sweep"]` is the document of `trader sweep --json`:
    the best trial, its neighbours, how much of it is luck. A combination that is wrong is a row
    with state `failed`. `save` is the folder for the sweep's own folder.
    """
    from trader.jobs.sweep.run import SweepOrder, load_varied, plan_of
    from trader.jobs.sweep.run import sweep as run_sweep
    from trader.jobs.sweep.workers import Crew

    given = InMemory(bars, model)
    overrides = dict(set or {})
    loaded = load_varied(
        lambda firsts: load_given(config, {**firsts, **overrides}, given), params or {}
    )
    asked = {"params": params, "sampler": sampler, "trials": trials}
    asked |= {"objective": objective, "folds": folds}
    order = SweepOrder(
        loaded=loaded,
        config_files=files_of(config),
        plan=plan_of(loaded, asked),
        crew=Crew(jobs, cluster),
        parent=(RUNS if save is True else Path(save)) if save else None,
        given=given,
    )
    with explained(loaded):
        swept = run_sweep(order)
    frame: pd.DataFrame = swept.table.to_pandas()
    frame.attrs["sweep"] = swept.document
    return frame


def files_of(config: Config) -> list[Path]:
    """The files among what a config is made of."""
    return [Path(one) for one in sources_of(config) if isinstance(one, str | Path)]


@contextmanager
def explained(loaded: LoadedConfig) -> Iterator[None]:
    """Put the place of its key in front of a `ConfigError` of what runs inside."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(loaded.explain(error), error.key) from error


class Run:
    """A finished run. Numbers are dictionaries, tables are DataFrames with times in UTC."""

    def __init__(self, source: FinishedRun | RunOnDisk) -> None:
        self._source = source

    @property
    def digest(self) -> str:
        """The hash over everything the run decided, filled and was worth."""
        return self._source.digest

    @property
    def run_id(self) -> str:
        """As its folder is named, or would be."""
        return str(self.document["run_id"])

    @property
    def path(self) -> Path | None:
        """The run folder; None for a run that was not saved."""
        return self._source.path

    @property
    def document(self) -> dict[str, Any]:
        """What `trader backtest --json` prints of the run."""
        return self._source.document

    @property
    def metrics(self) -> dict[str, Any]:
        """Statistics by name, as in metrics.json; None is undefined, and `undefined` says why."""
        metrics: dict[str, Any] = self.document["metrics"]
        return metrics

    @property
    def risk(self) -> dict[str, Any]:
        """What the limits did and how close they came."""
        risk: dict[str, Any] = self.document["risk"]
        return risk

    @cached_property
    def fills(self) -> "pd.DataFrame":
        """One row an execution, as fills.csv."""
        return self._source.tables.fills()

    @cached_property
    def trades(self) -> "pd.DataFrame":
        """One row a closed round trip, as trades.csv."""
        return self._source.tables.trades()

    @cached_property
    def equity(self) -> "pd.DataFrame":
        """One row a slice, as equity.parquet, indexed by time."""
        return self._source.tables.equity()

    @cached_property
    def decisions(self) -> "pd.DataFrame":
        """One row a decision, as decisions.parquet."""
        return self._source.tables.decisions()

    @cached_property
    def orders(self) -> "pd.DataFrame":
        """One row an order: what it was and how it ended, as orders.parquet."""
        return self._source.tables.orders()

    def report(self, path: str | Path = "report.html") -> Path:
        """Write the page of the run, one file that opens offline; returns its path."""
        from trader.report.html.page import write_page

        write_page(Path(path), self._source.page())
        return Path(path)

    def plot(self) -> Picture:
        """Equity and drawdown as a picture that a notebook shows; `save` writes it as SVG."""
        frame = self.equity
        columns = (frame[name].to_numpy() for name in ("equity", "drawdown_frac"))
        return equity_picture(frame["timestamp"].astype("int64").to_numpy(), *columns)

    def __repr__(self) -> str:
        document = self.document
        return (
            f"<trader.Run {self.run_id}: {document['bars']:,} bars, {document['fills']:,} fills, "
            f"final equity {document['final_equity']:,.2f}, digest {self.digest[:12]}>"
        )

    def _repr_html_(self) -> str:
        """The headline statistics, as a notebook shows them."""
        rows = [
            f"<tr><th style='text-align:left'>{escape(label)}</th><td>{escape(shown)}</td></tr>"
            for label, key, form in (*RETURNS, *TRADES)
            if (shown := _shown(self.metrics.get(key), form))
        ]
        told = [f"<p><b>{escape(line)}</b></p>" for line in warnings(self.document)]
        return (
            f"<div><p><b>{escape(self.run_id)}</b> digest <code>{self.digest[:12]}</code></p>"
            f"{''.join(told)}<table>{''.join(rows)}</table></div>"
        )


def _shown(value: Any, form: Any) -> str:
    return "" if value is None else str(form(value))
