"""The id of a paper run is its own in the state folder, whatever folder its results are in."""

from datetime import UTC, datetime
from pathlib import Path

from tests.config_demo import DEMO
from trader.config.load import load_config
from trader.jobs.backtest import Order
from trader.jobs.paper.right_to_run import new_folder
from trader.safety import statedir
from trader.safety.lease import RunInfo, arm

AT = datetime(2026, 3, 4, 14, 30, tzinfo=UTC)


def test_two_runs_of_one_second_in_two_out_folders_have_two_ids(tmp_path: Path, trader_home: Path):
    (tmp_path / "demo.yaml").write_text(DEMO)
    loaded = load_config([tmp_path / "demo.yaml"])
    orders = [Order(loaded, [], "loop", tmp_path / name, ()) for name in ("one", "other")]
    first = new_folder(orders[0], AT)
    lease = arm(str(trader_home), first.name, RunInfo("paper", str(first)))
    second = new_folder(orders[1], AT)
    assert second.name == f"{first.name}-2"
    arm(str(trader_home), second.name, RunInfo("paper", str(second))).close()
    lease.close(over=True)
    assert statedir.registered(str(trader_home)) == [second.name]
    assert new_folder(orders[1], AT).name == first.name
