"""A journal written by the code of 2026-11-27 (core 1), as `trader replay` and `parity` take it.

The fixture is a real `trader paper` of commit 3f94d0e over 70 bars of the bundled data: shorts,
orders cut by throttles, partial fills, replaced orders, a drawdown limit crossed, three snapshots.
"""

import base64
import gzip
import hashlib
import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.journal_kit import records_of, spoiled
from trader.cli import app
from trader.engine.replay import replay
from trader.journal.records import JournalError
from trader.journal.rows import layouts, recorded_layouts, require_layouts

FIXTURE = Path(__file__).parents[1] / "journal" / "core1"
RUN = "20261129T104538Z-paper-demo"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / RUN
    folder.mkdir(parents=True)
    shutil.copy(FIXTURE / "config.resolved.yaml", folder)
    path = folder / "journal.sqlite"
    path.write_bytes(gzip.decompress((FIXTURE / "journal.sqlite.gz").read_bytes()))
    return path


def trader(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    code = app.run(list(args))
    return code, capsys.readouterr().out


@pytest.mark.process
def test_replay_makes_the_same_trades_and_tells_the_noise_of_floats(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = trader(capsys, "replay", str(journal.parent))
    assert code == 0
    assert out.startswith(f"PASS: {RUN} reproduces itself but for rounding\n")
    assert "70 decisions, 20 orders, 40 fills" in out
    assert "(fill price of ACME: 118.05999999999999, today 118.06)" in out
    code, out = trader(capsys, "replay", str(journal.parent), "--json")
    replayed = json.loads(out)
    assert (code, replayed["verdict"], replayed["rounded"]["kind"]) == (0, "pass", "FILL")
    code, out = trader(capsys, "parity", str(journal.parent), "--json")
    batch = json.loads(out)
    assert (code, batch["verdict"], batch["bars"], batch["fills"]) == (0, "pass", 70, 40)
    assert batch["digest"] == replayed["digest"]


FORGERIES: list[tuple[str, str, str, float]] = [  # record, its rows, their field, what is added
    ("FILL", "FILL", "price", 1e-9),
    ("FILL", "FILL", "slippage", 1e-5),
    ("FILL", "", "qty", 1.0),
    ("ORDER_INTENT", "ORDER", "volume", 1.0),
    ("DECISION", "ACCOUNT", "cash", 0.001),
    ("DECISION", "ACCOUNT", "executions", 1),
    ("CANCEL_ACK", "", "qty", -1.0),
    ("RUN_END", "ACCOUNT", "realized_pnl", 1e-5),
]


@pytest.mark.parametrize(("kind", "rows", "field", "more"), FORGERIES)
def test_a_changed_output_of_an_older_journal_is_found(
    journal: Path, kind: str, rows: str, field: str, more: float
) -> None:
    def spoil(data: dict[str, Any]) -> None:
        if rows:
            names = [name for name, _ in layouts_of(journal)[rows]]
            data[rows.lower()][names.index(field)] += more
        else:
            data[field] += more

    seq = spoiled(journal, kind, spoil)
    found = replay(journal).divergence
    assert found is not None
    assert (found.seq, found.kind) == (seq, kind)
    assert field in found.field


@pytest.mark.parametrize("place", [8 * 22, 8 * (23 + 3) + 6, 8 * (23 + 18)])
def test_a_changed_state_of_an_older_snapshot_is_found(journal: Path, place: int) -> None:
    """Executions of the account, mark of the position, id of the order that works."""
    seq = spoiled(journal, "SNAPSHOT", lambda data: _change_state(data, place), which=1)
    found = replay(journal).divergence
    assert found is not None
    assert (found.seq, found.kind) == (seq, "SNAPSHOT")


def test_nothing_goes_on_from_it_and_unknown_fields_are_refused(journal: Path) -> None:
    with pytest.raises(JournalError, match="--new"):
        require_layouts(layouts_of(journal))
    newer = {"FILL": [*layouts()["FILL"], ["venue", "<i8"]]}
    other_type = {"FILL": [["ts_ns", "<f8"]]}
    inputs = {"BAR": layouts()["BAR"][:-1]}
    for unknown in (newer, other_type, inputs):
        with pytest.raises(JournalError, match="does not know"):
            recorded_layouts(unknown)


def layouts_of(journal: Path) -> dict[str, list[list[str]]]:
    return records_of(journal)[0].data["layouts"]


def _change_state(data: dict[str, Any], place: int) -> None:
    state = bytearray(zlib.decompress(base64.b64decode(data["state"])))
    state[place] ^= 8
    data["state"] = base64.b64encode(zlib.compress(bytes(state))).decode("ascii")
    data["state_sha"] = hashlib.sha256(state).hexdigest()
