"""Kill and re-arm records that were spooled are taken in once, by the runs they concern."""

import json

import pytest

from tests.core_kit import always_open, make_rules
from tests.journal_kit import StepClock, start_of
from trader.core.schema import KillSwitchReason
from trader.journal import entries as build
from trader.journal.audit.verify import verify_here
from trader.journal.log import Journal
from trader.journal.spool import ingest_spool

RULES = make_rules(always_open(0, 1), 2)
BEGAN = StepClock().now_ns + 1_000  # of the run, by its clock
LATER = BEGAN + 10**9


@pytest.fixture
def journal(tmp_path):
    """An open journal that began at BEGAN."""
    opened = Journal.create(tmp_path / "journal.sqlite", start_of(RULES), StepClock())
    assert next(opened.read()).wall_ns == BEGAN
    yield opened
    opened.close()


@pytest.fixture
def spool(tmp_path):
    """Writes an event into the spool folder; `.folder` is where."""
    folder = tmp_path / "audit-spool"
    folder.mkdir()

    def write(name, **event):
        (folder / f"{name}.json").write_text(json.dumps(event))

    write.folder = folder
    return write


def kill_event(kill_id="k1", **more):
    return {"kill_id": kill_id, "code": 7, "reason": "stop it", "wall_ns": LATER, **more}


def recorded(journal):
    return [(r.type, r.data.get("kill_id")) for r in journal.read(2) if r.type != "CHECKPOINT"]


def test_a_spooled_kill_is_appended_whole_and_flagged(journal, spool):
    spool(
        "k1", **kill_event(actor={"uid": 5}, mono_ns=3, runs=[{"run_id": "run-1", "was": "alive"}])
    )
    (entry,) = ingest_spool(journal, spool.folder)
    data = next(journal.read(types=("KILL",))).data
    assert data == {**entry.payload}
    assert (data["code_name"], data["spooled"], data["actor"]) == ("MANUAL_STOP", True, {"uid": 5})
    assert verify_here(journal.path).ok


def test_taking_the_same_folder_in_again_changes_nothing(journal, spool):
    spool("k1", **kill_event())
    spool("r1", **kill_event(type="REARM", wall_ns=LATER + 1))
    assert len(ingest_spool(journal, spool.folder)) == 2
    assert ingest_spool(journal, spool.folder) == []
    assert recorded(journal) == [("KILL", "k1"), ("REARM", "k1")]
    assert sorted(path.name for path in spool.folder.iterdir()) == ["k1.json", "r1.json"]


def test_events_come_in_the_order_they_happened_not_of_their_names(journal, spool):
    spool("a", **kill_event("k2", wall_ns=LATER + 5))
    spool("b", **kill_event("k1", type="REARM", wall_ns=LATER + 2))
    spool("c", **kill_event("k1", wall_ns=LATER))
    ingest_spool(journal, spool.folder)
    assert recorded(journal) == [("KILL", "k1"), ("REARM", "k1"), ("KILL", "k2")]
    assert verify_here(journal.path).ok


@pytest.mark.parametrize(
    ("event", "concerns"),
    [
        ({"wall_ns": BEGAN - 1}, False),  # before this run began
        ({"wall_ns": BEGAN - 1, "runs": ["run-1"]}, True),
        ({"scope": "run-1"}, True),
        ({"scope": "run-2"}, False),
        ({"scope": "run-2", "runs": [{"run_id": "run-2"}]}, False),
        ({"scope": "all", "runs": [{"run_id": "run-2"}]}, True),
        ({"runs": []}, True),
    ],
)
def test_only_what_concerns_this_run_is_taken_in(journal, spool, event, concerns):
    spool("k1", **kill_event(**event))
    assert bool(ingest_spool(journal, spool.folder)) is concerns


def test_a_rearm_of_a_kill_this_run_never_saw_is_left_out(journal, spool):
    spool("r1", **kill_event("k9", type="REARM"))
    assert ingest_spool(journal, spool.folder) == []


def test_a_rearm_by_a_clock_that_went_back_ends_its_kill(journal, spool):
    """Before the kill, and even before the run: fault 15."""
    spool("k1", **kill_event())
    spool("k2", **kill_event("k2", wall_ns=LATER + 5))
    for kill_id, wall_ns in (("k1", LATER - 5), ("k2", BEGAN - 10**12)):
        spool(f"rearm-{kill_id}", type="REARM", kill_id=kill_id, reason="go", wall_ns=wall_ns)
    ingest_spool(journal, spool.folder)
    assert recorded(journal) == [("KILL", "k1"), ("REARM", "k1"), ("KILL", "k2"), ("REARM", "k2")]
    assert verify_here(journal.path).ok


def test_a_rearm_from_before_the_run_ends_a_kill_that_the_journal_holds(journal, spool):
    journal.append([build.kill("k1", KillSwitchReason.MANUAL_STOP, "stop it", {})])
    spool("rearm-k1", type="REARM", kill_id="k1", reason="go", wall_ns=BEGAN - 10**12)
    ingest_spool(journal, spool.folder)
    assert recorded(journal) == [("KILL", "k1"), ("REARM", "k1")]


def test_missing_fields_have_sensible_values(journal, spool):
    spool("k7", code="RISK_BREACH", reason="breach", ts_ns=LATER)
    ingest_spool(journal, spool.folder)
    data = next(journal.read(types=("KILL",))).data
    assert (data["kill_id"], data["code"], data["wall_ns"]) == ("k7", 1, LATER)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"kill_id": "k1", "re',
        b"[1]",
        b"\xff\xfe",
        b'{"kill_id": "k1"}',
        b'{"kill_id": "k1", "reason": "x", "code": 77}',
        b'{"kill_id": "k1", "reason": "x", "code": 7, "wall_ns": "soon"}',
        b'{"kill_id": "k1", "reason": "x", "type": "GOSSIP"}',
    ],
)
def test_a_file_that_cannot_be_read_becomes_one_alert_and_is_left_alone(journal, spool, content):
    (spool.folder / "k1.json").write_bytes(content)
    spool("k2", **kill_event("k2"))
    kinds = [str(entry.type) for entry in ingest_spool(journal, spool.folder)]
    assert kinds == ["KILL", "ALERT"]
    alert = next(journal.read(types=("ALERT",))).data
    assert alert["kind"] == "SPOOL_UNREADABLE"
    assert "audit-spool/k1.json" in alert["text"]
    assert ingest_spool(journal, spool.folder) == []
    (spool.folder / "k1.json").write_bytes(b"{")
    again = ingest_spool(journal, spool.folder)
    assert len(again) == (content != b"{")
    assert (spool.folder / "k1.json").read_bytes() == b"{"
    assert verify_here(journal.path).ok


def test_the_files_of_the_kill_switch_are_understood_as_they_are(journal, tmp_path):
    kills, rearms = tmp_path / "kills", tmp_path / "rearms"
    for folder in (kills, rearms):
        folder.mkdir()
    kill = {
        "kill_id": "20261123T143000Z-1f00c3", "code": "MANUAL_STOP", "reason": "stop",
        "scope": "everything", "ts_ns": LATER, "at": "x", "uid": 0, "user": "root", "pid": 1,
        "rearm": None, "source": "human", "flatten": True, "ts_mono_ns": 12, "host": "h",
    }  # fmt: skip
    (kills / f"{kill['kill_id']}.json").write_text(json.dumps(kill))
    rearm = {"kill_id": kill["kill_id"], "reason": "fixed", "ts_ns": LATER}
    (rearms / f"{kill['kill_id']}.json").write_text(json.dumps(rearm))
    ingest_spool(journal, rearms, kills, tmp_path / "audit-spool")
    assert recorded(journal) == [("KILL", kill["kill_id"]), ("REARM", kill["kill_id"])]
    data = next(journal.read(types=("KILL",))).data
    assert (data["code"], data["mono_ns"], data["wall_ns"], data["flatten"]) == (7, 12, LATER, True)
    assert verify_here(journal.path).ok


def test_stops_whose_id_comes_up_again_are_each_ended_by_their_own_rearm(journal, spool):
    def rearmed(wall_ns):
        name = f"UNRECORDED@{wall_ns}"
        told = {"kill_id": name, "type": "REARM", "reason": "ok", "wall_ns": wall_ns}
        spool(name, **told, kill={"kill_id": "UNRECORDED"})
        return [entry.payload["kill_id"] for entry in ingest_spool(journal, spool.folder)]

    stop = build.kill("UNRECORDED", KillSwitchReason.MANUAL_STOP, "HALT is there", {})
    assert rearmed(BEGAN + 1) == []  # of a stop while the run was not there
    journal.append([stop])
    assert rearmed(BEGAN + 2) == []  # given before this stop
    assert rearmed(LATER) == ["UNRECORDED"]
    assert rearmed(LATER) == []
    journal.append([stop])
    assert rearmed(LATER + 1) == ["UNRECORDED"]
    assert verify_here(journal.path).ok


def test_the_same_kill_in_two_folders_is_taken_in_once(journal, spool, tmp_path):
    spool("k1", **kill_event())
    (tmp_path / "kills").mkdir()
    (tmp_path / "kills" / "k1.json").write_text(json.dumps(kill_event()))
    assert len(ingest_spool(journal, tmp_path / "kills", spool.folder)) == 1


def test_a_folder_that_does_not_exist_holds_nothing(journal, tmp_path):
    assert ingest_spool(journal, tmp_path / "nowhere") == []
    assert journal.head.seq == 1
