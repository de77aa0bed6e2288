"""`trader replay`: every run reproduces itself; whatever was changed is found and named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core_kit import Run, make_inputs
from tests.journal_kit import (
    Spoil,
    edit,
    finished_run,
    paper_run,
    records_of,
    resealed,
    rewrite,
    slices,
    spoiled,
)
from tests.replay_kit import recorded_run
from tests.tiers import cases
from trader.cli import app
from trader.core.apply import halt, refuse
from trader.core.schema import ACCOUNT, Reason
from trader.engine.replay import replay
from trader.journal import entries as build
from trader.journal.records import JournalError, encode


@settings(max_examples=cases(10), deadline=None)
@given(seed=st.integers(0, 10**6), symbols=st.integers(1, 3), count=st.integers(6, 40))
def test_any_run_reproduces_itself_with_the_digest_of_the_batch_engine(
    tmp_path_factory: pytest.TempPathFactory, seed: int, symbols: int, count: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    run = paper_run(folder, count, symbols, seed)
    run.snapshot()
    run.end()
    report = replay(run.path, run.rules)
    assert report.ok, report.divergence
    assert report.has_end
    records = records_of(run.path)
    bars = np.concatenate([_rows(record, "BAR") for record in records if record.type == "BAR"])
    actions = [row[1] for r in records if r.type == "ACTION" for row in r.data["rows"]]
    batch = Run(run.rules, make_inputs(bars, np.array(actions)))
    assert report.digest == batch.record.digest
    assert (report.decisions, report.fills) == (len(bars), len(batch.fills))


def _rows(record: Any, name: str) -> np.ndarray:
    from trader.journal.readback import bars_of

    assert record.type == name
    return bars_of(record)


def _row(field: int, value: Any) -> Spoil:
    return lambda data: data["rows"][0].__setitem__(field, value)


def _set(**changes: Any) -> Spoil:
    return lambda data: data.update(changes)


def _account(field: str, value: Any) -> Spoil:
    return _in("account", (ACCOUNT.names or ()).index(field), value)


def _in(name: str, field: int, value: Any) -> Spoil:
    return lambda data: data[name].__setitem__(field, value)


SPOILS: list[tuple[str, Spoil, str]] = [
    ("DECISION", _row(1, 17.0), "requested_qty"),
    ("DECISION", _row(2, 17.5), "approved_qty"),
    ("DECISION", _row(3, 0.125), "observed"),
    ("DECISION", _row(6, int(Reason.SPREAD)), "reason"),
    ("DECISION", _account("cash", 1.0), "cash"),
    ("DECISION", _account("equity", 1.0), "equity"),
    ("DECISION", _account("state_reason", 10**15), "state_reason"),
    ("DECISION", _set(events=[]), "event"),
    ("DECISION", _set(first=7), "first"),
    ("FILL", _in("fill", 4, 1.5), "price"),
    ("FILL", _set(price=1.5), "price"),
    ("FILL", _set(client_order_id="0" * 20), "client_order_id"),
    ("FILL", _set(symbol="NOPE"), "symbol"),
    ("ORDER_INTENT", _set(qty=1_000.0), "qty"),
    ("ORDER_INTENT", _in("order", 4, 1_000.0), "qty"),
    ("ORDER_INTENT", _set(client_order_id="0" * 20), "client_order_id"),
    ("SNAPSHOT", _set(positions={"ACME": 12345.0}), "positions"),
    ("RUN_END", _set(positions={"ACME": 12345.0}), "positions"),
    ("RUN_END", _account("cash", 0.5), "cash"),
    ("RUN_END", _set(digest="f" * 64), "digest"),
]


@pytest.mark.parametrize(
    ("kind", "spoil", "field"),
    SPOILS,
    ids=[f"{n}-{kind}-{field}" for n, (kind, _, field) in enumerate(SPOILS)],
)
def test_a_perfect_forgery_of_an_output_is_found_and_named(
    tmp_path: Path, kind: str, spoil: Spoil, field: str
) -> None:
    run = finished_run(tmp_path, 30)
    seq = spoiled(run.path, kind, spoil, which=-1 if field != "event" else 0)
    if field == "event":
        seq = _spoil_where_events_are(run.path)
    report = replay(run.path, run.rules)
    assert report.divergence is not None
    assert (report.divergence.seq, report.divergence.kind) == (seq, kind)
    assert field in report.divergence.field


def _spoil_where_events_are(path: Path) -> int:
    records = records_of(path)
    places = [i for i, r in enumerate(records) if r.type == "DECISION" and r.data["events"]]
    if not places:
        pytest.skip("no slice of this run has events")
    data = records[places[-1]].data
    data["events"] = []
    records[places[-1]] = records[places[-1]]._replace(payload=encode(data))
    rewrite(path, resealed(records))
    return records[places[-1]].seq


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("BAR", _row(4, 250.0)),  # close
        ("ACTION", lambda data: data["rows"][0].__setitem__(1, (data["rows"][0][1] + 1) % 3)),
        ("ACTION", _row(2, int(Reason.MODEL_TIMEOUT))),
    ],
)
def test_a_forged_input_shows_in_the_outputs_after_it(
    tmp_path: Path, kind: str, spoil: Spoil
) -> None:
    run = finished_run(tmp_path, 30)
    seq = spoiled(run.path, kind, spoil, which=10)
    report = replay(run.path, run.rules)
    assert report.divergence is not None
    assert report.divergence.seq > seq


def test_a_fill_of_an_order_that_was_rejected_is_found(tmp_path: Path) -> None:
    run = finished_run(tmp_path, 30)
    records = records_of(run.path)
    filled = next(r.data["client_order_id"] for r in records if r.type == "FILL")
    place = next(i for i, r in enumerate(records)
                 if r.type == "ORDER_ACK" and r.data["client_order_id"] == filled)  # fmt: skip
    payload = encode({"client_order_id": filled, "reason": "no"})
    records[place] = records[place]._replace(type="ORDER_REJECTED", payload=payload)
    rewrite(run.path, resealed(records))
    found = replay(run.path, run.rules).divergence
    assert found is not None
    assert (found.kind, "rejected" in found.recomputed) == ("FILL", True)


@pytest.mark.parametrize("kind", ["FILL", "DECISION", "ORDER_INTENT", "ACTION", "ORDER_SENT"])
def test_a_record_left_out_is_missed(tmp_path: Path, kind: str) -> None:
    run = finished_run(tmp_path, 30)
    records = records_of(run.path)
    place = [i for i, record in enumerate(records) if record.type == kind][3]
    left = records[:place] + records[place + 1 :]
    if kind == "ORDER_SENT":
        left.remove(records[place + 1])  # and its acknowledgement
    rewrite(run.path, resealed(left))
    assert not replay(run.path, run.rules).ok


def test_a_fill_told_twice_is_one_too_many(tmp_path: Path) -> None:
    run = finished_run(tmp_path, 30)
    records = records_of(run.path)
    place = next(i for i, record in enumerate(records) if record.type == "FILL")
    rewrite(run.path, resealed([*records[: place + 1], *records[place:]]))
    assert not replay(run.path, run.rules).ok


def test_inputs_recorded_again_after_a_crash_count_once(tmp_path: Path) -> None:
    run = finished_run(tmp_path, 30)
    records = records_of(run.path)
    place = [i for i, record in enumerate(records) if record.type == "BAR"][5]
    assert records[place + 1].type == "ACTION"
    again = [*records[: place + 2], *records[place:]]
    rewrite(run.path, resealed(again))
    assert replay(run.path, run.rules).ok


@pytest.mark.long
def test_a_run_cut_anywhere_by_a_crash_reproduces_itself_so_far(tmp_path: Path) -> None:
    run = finished_run(tmp_path, 12)
    records = records_of(run.path)
    for length in range(1, len(records)):
        rewrite(run.path, resealed(records[:length]))
        report = replay(run.path, run.rules)
        assert report.ok, (length, report.divergence)
        assert report.has_end == (records[length - 1].type == "RUN_END")


def test_refused_by_the_gate_is_refused_again(tmp_path: Path) -> None:
    run = paper_run(tmp_path, 6)
    original, refused = run._send, []

    def refuse_first(intent: Any) -> list[Any]:
        if refused:
            return original(intent)
        client_id = intent.payload["client_order_id"]
        refused.append(client_id)
        return [build.order_aborted(client_id, Reason.EXPIRED_UNSENT)]

    run._send = refuse_first  # type: ignore[method-assign]
    run._submits = lambda symbol: None  # type: ignore[attr-defined]
    bars = _later(run)
    for part in slices(bars):
        _feed_with_gate(run, part, refused)
    run.end()
    assert refused
    report = replay(run.path, run.rules)
    assert report.ok, report.divergence


def _later(run: Any) -> np.ndarray:
    from tests.core_kit import random_bars

    bars = random_bars(99, 20, 2)
    bars["ts_ns"] += int(run.book.account[0]["ts_ns"]) - int(bars["ts_ns"][0]) + 60 * 10**9
    return bars


def _feed_with_gate(run: Any, part: np.ndarray, refused: list[str]) -> None:
    """`PaperRun.feed`, with the gate's refusals told to the core before the next slice."""
    before = len(refused)
    import tests.journal_kit as kit

    submitted: list[tuple[int, int]] = []
    kept = kit.submit
    kit.submit = lambda book, symbol, order_id: submitted.append((symbol, order_id))
    try:
        run.feed(part, np.full(len(part), 1 + int(part["ts_ns"][0] // 60_000_000_000) % 2, np.int8))
    finally:
        kit.submit = kept
    for symbol, order_id in submitted:
        if run.client_ids[order_id] in refused[before:]:
            reason = int(Reason.EXPIRED_UNSENT)
            refuse(run.book, run.rules, symbol, order_id, reason, run.out)
        else:
            kept(run.book, symbol, order_id)


def test_killed_is_killed_again_at_the_same_place(tmp_path: Path) -> None:
    run = paper_run(tmp_path, 20)
    run.journal.append([build.kill("k1", 7, "enough", {})])
    halt(run.book, run.rules, int(Reason.KILLED), run.out)
    for part in slices(_later(run)):
        run.feed(part, np.ones(len(part), np.int8))
    run.end()
    report = replay(run.path, run.rules)
    assert report.ok, report.divergence
    seq = spoiled(run.path, "KILL", _set(core_reason=int(Reason.SYSTEM_ERROR)))
    report = replay(run.path, run.rules)
    assert report.divergence is not None
    assert report.divergence.seq > seq


def test_a_journal_without_rules_needs_them(tmp_path: Path) -> None:
    run = finished_run(tmp_path, 3)
    with pytest.raises(JournalError, match="rules"):
        replay(run.path)


# --- command line ---


def trader(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = app.run(args)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


@pytest.mark.process
@pytest.mark.parametrize("own_rules", [True, False])
def test_replay_of_a_true_run_prints_pass_and_its_digest(
    home: Path, capsys: pytest.CaptureFixture[str], own_rules: bool
) -> None:
    run = recorded_run(home / "20240101T000000Z-paper-demo", own_rules=own_rules)
    code, out, _ = trader(capsys, "replay", "latest")
    digest = replay(run.path, run.rules).digest
    assert code == 0
    assert out.startswith("PASS: 20240101T000000Z-paper-demo")
    assert f"digest {digest}" in out
    code, out, _ = trader(capsys, "replay", "20240101", "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["verdict"], document["digest"]) == ("pass", digest)
    assert document["divergence"] is None


@pytest.mark.process
def test_replay_of_a_forgery_exits_8_and_shows_both_values(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recorded_run(home / "20240101T000000Z-paper-demo")
    seq = spoiled(run.path, "DECISION", _account("ts_ns", 5), which=20)
    code, out, _ = trader(capsys, "replay")
    assert code == 8
    assert f"record {seq}" in out
    code, out, _ = trader(capsys, "replay", "--json")
    found = json.loads(out)["divergence"]
    assert code == 8
    assert (found["seq"], found["kind"], found["recorded"]) == (seq, "DECISION", "5")
    assert found["recomputed"] != "5"


@pytest.mark.process
def test_replay_of_an_edited_journal_exits_8_and_says_where(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recorded_run(home / "20240101T000000Z-paper-demo")
    edit(run.path, ("UPDATE records SET wall_ns = wall_ns + 1 WHERE seq = 9", ()))
    code, out, _ = trader(capsys, "replay", str(run.path.parent))
    assert code == 8
    assert "record 9 (hash)" in out


def test_replay_of_an_unknown_run_is_a_usage_error(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = trader(capsys, "replay", "nope")
    assert code == 2
    assert "nope" in err


@pytest.mark.process
def test_a_config_that_was_changed_is_not_taken_for_the_runs_own(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recorded_run(home / "20240101T000000Z-paper-demo", own_rules=False)
    config = run.path.parent / "config.resolved.yaml"
    config.write_text(config.read_text().replace("base_size: 100", "base_size: 99"))
    for command in ("replay", "parity"):
        code, _, err = trader(capsys, command)
        assert code == 8
        assert "not the config the run ran on" in err
