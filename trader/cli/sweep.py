"""`trader sweep`: many backtests over parameters, on all cores or a cluster."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader.cli.options import AsJson, ConfigFiles, OutFolder, Overrides

if TYPE_CHECKING:
    from trader.config.load import LoadedConfig


class Sampler(StrEnum):
    """How combinations are chosen."""

    grid = "grid"
    random = "random"
    tpe = "tpe"


class Objective(StrEnum):
    """What trials are judged by."""

    sharpe = "sharpe"
    sortino = "sortino"
    total_return = "total_return"
    final_equity = "final_equity"
    max_drawdown = "max_drawdown"


Varied = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="KEY=VALUES",
        help="Parameter to try: 5:50:5 is a range without its stop, 1,2,3 a list; repeatable.",
    ),
]


# house: parameters - the options of one command are its parameters
def command(
    config: ConfigFiles,
    param: Varied = None,
    overrides: Overrides = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=0, help="Worker processes; 0: one for each core.")
    ] = 0,
    sampler: Annotated[
        Sampler | None,
        typer.Option("--sampler", help="grid: every combination; random, tpe: --trials of them."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="How many trials random and tpe run.")
    ] = None,
    objective: Annotated[
        Objective | None,
        typer.Option("--objective", help="Figure to rank by; of max_drawdown the least."),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", min=2, help="Parts of the history for a check out of sample."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", metavar="URL", help="Dask scheduler to use: tcp://host:port."),
    ] = None,
    out: OutFolder = None,
    as_json: AsJson = False,
) -> None:
    """Run many backtests over parameters, and rank them."""
    from trader.cli import console
    from trader.cli.backtest import end_in_order
    from trader.cli.outcome import explaining
    from trader.config.load import load_config
    from trader.jobs.sweep.run import load_varied
    from trader.jobs.sweep.space import as_override, read_options

    end_in_order()
    params = read_options(param or ())

    def load(firsts: Mapping[str, Any]) -> "LoadedConfig":
        return load_config(config, [*map(as_override, firsts.items()), *(overrides or ())])

    loaded = load_varied(load, params)
    with explaining(loaded), console.own_stdout(), console.progress() as progress:
        from trader.jobs.backtest import RUNS, compile_notice
        from trader.jobs.sweep import run as sweeps
        from trader.jobs.sweep.workers import Crew

        if notice := compile_notice():
            console.log(notice)
        asked = {
            "params": params,
            "sampler": sampler and sampler.value,
            "trials": trials,
            "objective": objective and objective.value,
            "folds": folds,
        }
        plan = sweeps.plan_of(loaded, asked)
        order = sweeps.SweepOrder(loaded, config, plan, Crew(jobs, cluster), out or RUNS)
        swept = sweeps.sweep(order, progress)
    if as_json:
        return console.print_json(swept.document)
    from trader.report.sweepview import sweep_view

    console.out().print(sweep_view(swept.document, list(plan.params)))
