"""`trader kill` as a command: requirements K1 to K12 that need no runner, and its manners."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from tests.harness.sender import Ledger
from tests.safety_kit import (
    die,
    held_run,
    is_latched,
    is_silent,
    kill_here,
    run_kill,
    runner_process,
    wait_for,
)
from trader.safety import arming, barrier, kill, latch, pending, records, registry, statedir, stop

STEPS_US = (
    r"^  page (\d+) µs, PERMIT and HALT (\d+) µs, durable (\d+) µs, acknowledged (\d+) µs "
    r"after the start$"
)
KEYS = ["kill_id", "code", "reason", "durable", "ack_us", "runs", "exit"]
HEAVY = re.compile(
    r"^(numpy|pandas|pydantic|typer|click|rich|numba|sklearn|talib|yaml|asyncio|multiprocessing"
    r"|trader\.(core|cli|config|run|journal|feeds|signals|report|wiring)|trader\.safety\.events)\b"
)


@pytest.fixture(autouse=True)
def no_latch_left_behind(trader_home):
    """The fallback folders are outside of pytest's own, and its paths come again."""
    yield
    for folder in statedir.fallback_folders(str(trader_home)):
        shutil.rmtree(folder, ignore_errors=True)


def home_of(path):
    return str(path)


@pytest.mark.process
def test_kill_imports_only_the_standard_library_and_the_light_modules(trader_home):
    modules = imported_by(trader_home, "-m", "trader", "kill", "--reason", "import test")
    assert "trader.safety.kill" in modules
    assert [name for name in modules if HEAVY.match(name)] == []
    bare = imported_by(trader_home, "-c", "pass")  # a distribution's own sitecustomize, .pth files
    loaded = {name.split(".")[0] for name in modules - bare} - {"trader"}
    foreign = loaded - set(sys.stdlib_module_names)
    assert [name for name in foreign if not re.match(r"_trader|__", name)] == []


def imported_by(home, *words):
    """The modules that a new interpreter imports."""
    words = [sys.executable, "-X", "importtime", *words]
    words = ["env", "-u", "COVERAGE_PROCESS_CONFIG", "-u", "COVERAGE_PROCESS_START", *words]
    done = run_kill(home, command=words)
    assert done.returncode == 0
    told = done.stderr.decode()
    return set(re.findall(r"^import time:\s+\d+ \|\s+\d+ \|\s*(\S+)$", told, re.MULTILINE))


@pytest.mark.process
def test_kill_of_nothing_latches_a_state_folder_that_did_not_exist(tmp_path):
    home = tmp_path / "not" / "yet"
    done = run_kill(home, "--reason", "no runner", "--json", cwd="/")
    document = json.loads(done.stdout)
    assert list(document) == KEYS
    assert (done.returncode, document["exit"], document["durable"]) == (0, 0, True)
    assert (document["code"], document["reason"]) == ("MANUAL_STOP", "no runner")
    assert document["runs"] == []
    assert document["ack_us"] > 0
    assert is_latched(home)
    assert os.stat(home).st_mode & 0o777 == 0o700
    assert [item["kill_id"] for item in pending.pending_kills(str(home))] == [document["kill_id"]]


@pytest.mark.process
def test_human_answer_names_everything_a_person_needs(trader_home):
    done = run_kill(trader_home, "--reason", "fat finger \x1b[31m")
    text = done.stdout.decode()
    kill_id = records.all_kills(str(trader_home))[0]["kill_id"]
    assert f"KILLED everything: {kill_id} MANUAL_STOP" in text
    assert "fat finger \\x1b[31m" in text
    assert "\x1b" not in text
    assert re.search(STEPS_US, text, re.MULTILINE)
    assert f"no live run is registered in {trader_home}" in text
    assert f"trader rearm {kill_id} --reason TEXT" in text


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--reason", "x"], "MANUAL_STOP"),
        (["--reason", "x", "--code", "CONNECTIVITY_LOSS"], "CONNECTIVITY_LOSS"),
        (["--reason", "x", "--code", "market_volatility"], "MARKET_VOLATILITY"),
        (["--reason", "x", "--code", "3"], "POSITION_LIMIT"),
        (["--reason", "hit the daily loss limit"], "DAILY_LOSS_LIMIT"),
        (["--reason=RISK_BREACH"], "RISK_BREACH"),
        (["--reason", "risk breach", "--code", "SYSTEM_ERROR"], "SYSTEM_ERROR"),
        (["--reason", "connection lost"], "CONNECTIVITY_LOSS"),
        (["--reason", "crash", "--code", " 5 "], "MARKET_VOLATILITY"),
        (["--reason", "2"], "MANUAL_STOP"),
    ],
)
def test_code_is_the_given_one_or_the_one_the_reason_names(trader_home, capfd, words, code):
    exit_code, document = kill_here(capfd, *words)
    assert (exit_code, document["code"]) == (0, code)
    assert latch.inspect(str(trader_home)).stamp.code == latch.CODES[code]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--reason", "x", "--code", "MANUAL_STOPP"], "did you mean MANUAL_STOP?"),
        (["--reason", "x", "--code", "zzzz"], "--code zzzz: not one of RISK_BREACH"),
        (["--reason", "x", "--code", "-x"], "--code -x: not one of"),
        (["--reason", "x", "--run", "-x"], "--run -x: no such run"),
        (["--reason", "x", "--run", "r2"], "no such run"),
        (["--reason", "x", "--run", "../.."], "no such run"),
        (["--reason", "x", "--run", "bad\x1bname"], "bad\\x1bname"),
        (["--reason", "x", "--run", ""], "--run : no such run"),
        (["--reason", "x", "--run", "r1", "--run", "r2"], "--run is there twice"),
        (["--reason", "x", "--code", "--"], "--code --: not one of"),
        (["--reason", "x", "--code=\x1b"], "--code \\x1b: not one of"),
        (["--reason", "x", "\x1b[31m"], "\\x1b[31m"),
        (["--reason", "x", "--wrong"], "--wrong"),
        (["--rea", "x"], "--rea"),
    ],
)
def test_wrong_usage_stops_nothing_and_says_so(trader_home, capfd, words, told):
    with held_run(trader_home, "r1"):
        assert kill.main(words) == 2
        streams = capfd.readouterr()
        assert told in streams.err
        assert "NOTHING WAS STOPPED" in streams.err
        assert streams.out == ""
        assert not is_latched(trader_home)


@pytest.mark.parametrize(
    "words",
    [[], ["--reason"], ["--reason", ""], ["-r", " \t\n"], ["-r"], ["--flatten", "--reason"]],
)
def test_kill_without_a_reason_stops_and_says_that_none_was_given(trader_home, capfd, words):
    assert kill.main(words) == 0
    assert is_latched(trader_home)
    streams = capfd.readouterr()
    assert "reason   no reason given" in streams.out
    assert "trader kill: no reason given; -r TEXT keeps yours with the stop" in streams.err
    (record,) = records.all_kills(str(trader_home))
    assert record["reason"] == "no reason given"
    assert record["flatten"] == ("--flatten" in words)


@pytest.mark.parametrize("words", [["-r", "-5 % in a minute"], ["-r=-5 % in a minute"]])
def test_kill_with_the_short_name_of_reason_keeps_it(trader_home, capfd, words):
    assert kill.main(words) == 0
    assert "no reason given" not in capfd.readouterr().err
    (record,) = records.all_kills(str(trader_home))
    assert record["reason"] == "-5 % in a minute"


def test_unknown_run_lists_the_runs_there_are(trader_home, capfd):
    assert kill.main(["--reason", "x", "--run", "demo-8"]) == 2
    assert "(not ended: none)" in capfd.readouterr().err
    with held_run(trader_home, "demo-7"), held_run(trader_home, "other"):
        assert kill.main(["--reason", "x", "--run", "demo-8"]) == 2
    assert "(not ended: demo-7, other)" in capfd.readouterr().err


def test_help_is_no_stop(trader_home, capfd):
    assert kill.main(["--help"]) == 0
    assert "--flatten" in capfd.readouterr().out
    assert os.listdir(trader_home) == []


@pytest.mark.parametrize(
    "reason", ["-5 % in a minute", "--reason", "-", "--", "--flatten", "==", "a=b"]
)
def test_reason_may_begin_with_a_dash(trader_home, capfd, reason):
    code, document = kill_here(capfd, "--reason", reason)
    assert (code, document["reason"]) == (0, reason)


@pytest.mark.process
@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (b"caf\xe9 \xff\xfe", "caf\\xe9 \\xff\\xfe"),
        (b"two\nlines\r\n\ttab", "two\nlines\r\n\ttab"),
        ("終わり".encode(), "終わり"),
        (b"x" * 100_000, "x" * 100_000),
    ],
)
def test_reason_of_any_bytes_in_any_locale(trader_home, reason, kept):
    for locale in ("C", "POSIX", "C.UTF-8"):
        words = [sys.executable, "-m", "trader", "kill", "--reason", reason, "--json"]
        env = {"LC_ALL": locale, "LANG": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        done = run_kill(trader_home, command=words, env=env)
        assert done.returncode == 0, done.stderr
        if locale == "C.UTF-8":
            assert json.loads(done.stdout)["reason"] == kept
        assert json.loads(done.stdout)["durable"]


def test_reason_of_a_megabyte_is_kept_whole_in_the_record(trader_home, capfd):
    assert kill_here(capfd, "--reason", "é" * 500_000)[0] == 0
    assert records.all_kills(str(trader_home))[0]["reason"] == "é" * 500_000
    assert latch.inspect(str(trader_home)).page == latch.KILLED


@pytest.mark.process
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "| true", ">/dev/full"])
def test_closed_full_and_broken_streams_do_not_keep_it_from_stopping(trader_home, closed):
    line = f"{sys.executable} -m trader kill --reason 'no terminal' {closed}"
    done = run_kill(trader_home, command=["bash", "-c", f"set -o pipefail; {line}"])
    assert done.returncode == 0, done.stderr
    assert is_latched(trader_home)
    assert latch.inspect(str(trader_home)).page == latch.KILLED  # nothing was printed into it
    assert len(records.all_kills(str(trader_home))) == 1


@pytest.mark.process
def test_pipe_that_nobody_reads_does_not_keep_it_from_finishing(trader_home):
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_end, b"x" * 65_536)
    os.set_blocking(write_end, True)
    words = [sys.executable, "-m", "trader", "kill", "--reason", "unread"]
    environ = {**os.environ, "TRADER_HOME": str(trader_home)}
    process = subprocess.Popen(words, stdout=write_end, env=environ)
    assert process.wait(timeout=30) == 0
    os.close(read_end)
    os.close(write_end)
    assert records.audited_ids(str(trader_home))


def test_second_kill_succeeds_is_recorded_and_keeps_the_first(trader_home, capfd):  # K7
    _, first = kill_here(capfd, "--reason", "first", "--code", "RISK_BREACH")
    code, second = kill_here(capfd, "--reason", "second", "--flatten")
    assert (code, second["durable"], second["exit"]) == (0, True, 0)
    found = [kill["kill_id"] for kill in pending.pending_kills(str(trader_home))]
    assert sorted(found) == sorted([first["kill_id"], second["kill_id"]])
    assert latch.inspect(str(trader_home)).stamp.kill_id == first["kill_id"]
    assert [item["flatten"] for item in records.all_kills(str(trader_home))] == [False, True]


def test_audit_line_says_who_what_and_how_it_went(trader_home, capfd):
    _, document = kill_here(capfd, "--reason", "audit me")
    with open(trader_home / "audit.jsonl", encoding="ascii") as file:
        entry = json.loads(file.read())
    assert (entry["event"], entry["kill_id"]) == ("KILL", document["kill_id"])
    assert (entry["reason"], entry["source"], entry["scope"]) == ("audit me", "human", "everything")
    assert (entry["uid"], entry["pid"]) == (os.getuid(), os.getpid())
    assert (entry["exit"], entry["durable"], entry["failures"]) == (0, True, [])
    assert entry["ack_mono_ns"] >= entry["page_mono_ns"] >= entry["ts_mono_ns"]


@pytest.mark.process
def test_one_run_is_stopped_and_the_other_goes_on(trader_home, tmp_path, capfd):  # K12
    home = str(trader_home)
    other = Ledger(tmp_path / "b")
    with (
        held_run(home, "a", cancel_timeout_s=0.0) as lease,
        runner_process(home, "busy", tmp_path / "b"),
    ):
        gate = lease.open_gate()
        wait_for(lambda: other.read()[0] > 10)
        code, document = kill_here(capfd, "--reason", "one", "--run", "sender")
        assert (code, [run["run_id"] for run in document["runs"]]) == (0, ["sender"])
        assert gate.stop_cause() == ""
        assert not is_latched(home)
        assert is_latched(statedir.run_folder(home, "sender"))
    assert [item["scope"] for item in pending.pending_kills(home)] == ["sender"]
    assert pending.pending_kills(home, "a") == []


@pytest.mark.process
@pytest.mark.parametrize("state", ["busy", "idle"])
def test_healthy_runner_leaves_by_itself_with_exit_code_7(trader_home, tmp_path, capfd, state):
    ledger = Ledger(tmp_path / "ledger")
    with runner_process(trader_home, state, tmp_path / "ledger") as runner:
        wait_for(lambda: ledger.read()[2])
        code, document = kill_here(capfd, "--reason", "healthy")
        assert runner.wait(timeout=10) == 7
    (run,) = document["runs"]
    assert list(run) == ["run_id", "was", "outcome", "barrier_us"]
    assert (code, run["run_id"], run["was"], run["outcome"]) == (0, "sender", "running", "halted")


@pytest.mark.process
def test_dead_runner_is_told_from_a_live_one(trader_home, tmp_path, capfd):
    ledger = Ledger(tmp_path / "ledger")
    with runner_process(trader_home, "busy", tmp_path / "ledger") as runner:
        wait_for(lambda: ledger.read()[0])
        runner.kill()
        runner.wait()
        code, document = kill_here(capfd, "--reason", "dead")
    assert code == 0
    assert [(run["was"], run["outcome"]) for run in document["runs"]] == [("dead", "already_dead")]


def test_runner_that_ended_well_is_not_listed(trader_home, capfd):
    with held_run(trader_home):
        pass
    assert kill_here(capfd, "--reason", "x")[1]["runs"] == []


@pytest.mark.process
def test_runner_that_will_not_leave_is_ended_after_its_time(trader_home, tmp_path, capfd):
    ledger = Ledger(tmp_path / "ledger")
    with runner_process(trader_home, "gil", tmp_path / "ledger") as runner:
        wait_for(lambda: is_silent(ledger))
        code = kill.main(["--reason", "hung in C"])
        assert code == 0
        assert runner.wait(timeout=5) == -9


@pytest.mark.long
def test_process_that_is_not_the_registered_one_is_never_signalled(trader_home, capfd):
    """A number used again: the registry names this very process with another start time."""
    with held_run(trader_home, "r1", barrier_ms=1.0, cancel_timeout_s=0.0) as lease:
        lease.open_gate()
        lease._write(
            registry.encode_runner(registry.Runner(os.getpid(), "1", registry.OPEN, 1)),
            latch.RUNNER_AT,
        )
        code, document = kill_here(capfd, "--reason", "reused pid")
    assert (code, document["exit"]) == (10, 10)
    assert [run["outcome"] for run in document["runs"]] == ["not_stopped"]


@pytest.mark.long
def test_live_run_with_an_unknown_process_and_gate_cannot_be_called_stopped(trader_home, capfd):
    with held_run(trader_home, "r1", barrier_ms=1.0, cancel_timeout_s=0.0) as lease:
        os.unlink(os.path.join(lease.folder, registry.GATE_LOCK))
        os.symlink("/dev/null", os.path.join(lease.folder, registry.GATE_LOCK))
        lease._write(bytes(64), latch.RUNNER_AT)
        os.unlink(os.path.join(lease.folder, registry.ENTRY))
        code, document = kill_here(capfd, "--reason", "unknown")
    assert (code, document["runs"][0]["outcome"]) == (10, "not_stopped")


def test_runs_that_cannot_be_listed_are_not_called_stopped(trader_home, capfd):
    (trader_home / "registry").write_text("a file where the folder should be")
    code, document = kill_here(capfd, "--reason", "blind")
    assert (code, document["durable"]) == (10, True)


def hangs(monkeypatch, module, name, home):
    """Makes one step wait until the test is over, for the state folder itself."""
    never, real = threading.Event(), getattr(module, name)

    def step(folder, *given):
        return never.wait() if str(folder) == str(home) else real(folder, *given)

    monkeypatch.setattr(kill, "FLUSHED_WITHIN_S", 0.2)
    monkeypatch.setattr(kill, "LISTED_WITHIN_S", 0.2)
    monkeypatch.setattr(module, name, step)
    return never


@pytest.mark.process
def test_disk_that_hangs_on_the_first_write_keeps_no_run_from_being_ended(
    trader_home, tmp_path, capfd, monkeypatch
):
    ledger = Ledger(tmp_path / "ledger")
    with runner_process(trader_home, "busy", tmp_path / "ledger") as runner:
        wait_for(lambda: ledger.read()[0] > 0)
        never = hangs(monkeypatch, latch, "engage_page", trader_home)
        try:
            code, document = kill_here(capfd, "--reason", "hung disk")
        finally:
            never.set()
        told = [(run["was"], run["outcome"]) for run in document["runs"]]
        assert (code, document["durable"], told) == (9, False, [("running", "killed")])
        assert runner.wait(10) == -signal.SIGKILL


def test_disk_that_does_not_even_list_the_runs_is_not_called_stopped(
    trader_home, capfd, monkeypatch
):
    never = hangs(monkeypatch, registry, "all_runs", trader_home)
    try:
        assert kill.main(["--reason", "hung disk"]) == 10
    finally:
        never.set()
    assert "THE RUNS ARE NOT KNOWN: runs: no answer from the disk" in capfd.readouterr().out
    assert is_latched(trader_home)


def test_beginning_of_an_id_names_the_one_run_that_has_it(trader_home, capfd):
    for name in ("demo-17", "demo-18", "other-1"):
        with held_run(trader_home, name) as lease:
            die(lease)
    assert kill.main(["--reason", "x", "--run", "demo-1"]) == 2
    assert "2 runs begin so" in capfd.readouterr().err
    code, document = kill_here(capfd, "--reason", "x", "--run", "other")
    assert [run["run_id"] for run in document["runs"]] == ["other-1"]
    assert (code, records.all_kills(str(trader_home))[-1]["scope"]) == (0, "other-1")


def test_disk_that_hangs_in_the_flush_delays_the_stop_by_its_deadline_only(
    trader_home, capfd, monkeypatch
):
    never = threading.Event()
    monkeypatch.setattr(kill, "FLUSHED_WITHIN_S", 0.2)
    real = latch.flush

    def flush(folder, done):
        return never.wait() if folder == str(trader_home) else real(folder, done)

    monkeypatch.setattr(latch, "flush", flush)
    try:
        code = kill.main(["--reason", "hung disk"])
    finally:
        never.set()
    streams = capfd.readouterr()
    assert code == 9
    assert "durable  NO" in streams.out
    assert "no answer in 0.2 s" in streams.err
    assert "may not outlive a reboot" in streams.err
    assert is_latched(trader_home)


def test_audit_sink_that_hangs_delays_nothing_but_its_own_line(trader_home, capfd, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(kill, "AUDITED_WITHIN_S", 0.2)
    monkeypatch.setattr(records, "audit", lambda *_: never.wait())
    try:
        assert kill.main(["--reason", "hung sink"]) == 0
    finally:
        never.set()
    assert "audit.jsonl: no answer" in capfd.readouterr().err


@pytest.mark.parametrize("sink", ["folder", "fifo", "link"])
def test_dead_audit_sink_is_spooled_and_taken_in_at_the_next_start(trader_home, capfd, sink):
    path = trader_home / "audit.jsonl"
    make = {"folder": os.mkdir, "fifo": os.mkfifo, "link": lambda p: os.symlink("/dev/full", p)}
    make[sink](path)
    code, document = kill_here(capfd, "--reason", "spool me")
    assert (code, document["durable"]) == (0, True)
    spooled = trader_home / "audit-spool" / f"{document['kill_id']}.json"
    assert json.loads(spooled.read_text())["reason"] == "spool me"
    arming.drop(str(path))
    taken = records.take_in_spool(str(trader_home))
    assert [item["kill_id"] for item in taken] == [document["kill_id"]]
    assert records.audited_ids(str(trader_home)) == {document["kill_id"]}
    assert not spooled.exists()
    assert pending.pending_kills(str(trader_home))[0]["kill_id"] == document["kill_id"]
    assert records.take_in_spool(str(trader_home)) == []


def test_thread_that_cannot_be_made_is_done_without(trader_home, capfd, monkeypatch):
    import _thread

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    assert kill_here(capfd, "--reason", "no threads")[0] == 0


def test_error_of_our_own_in_a_disk_step_is_told(trader_home, capfd, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(stop, "look_again", broken)
    assert kill.main(["--reason", "bug"]) == 9
    assert "ZeroDivisionError: a bug" in capfd.readouterr().err
    assert is_latched(trader_home)


def test_ctrl_c_while_waiting_ends_the_waiting_and_not_the_audit(trader_home, capfd, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(barrier, "see_off", interrupt)
    code, document = kill_here(capfd, "--reason", "impatient")
    assert code == 0
    assert records.audited_ids(str(trader_home)) == {document["kill_id"]}


@pytest.mark.process
def test_signals_do_not_end_the_stop_half_way(trader_home, tmp_path):
    """SIGINT, SIGTERM and SIGHUP all the way through: acknowledged, or not begun."""
    import time

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for delay_s in (0.015, 0.02, 0.025, 0.03):
            home = tmp_path / f"{number}-{delay_s}"
            words = [sys.executable, "-m", "trader", "kill", "--reason", "signals"]
            environ = {**os.environ, "TRADER_HOME": str(home)}
            process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ
            )
            time.sleep(delay_s)
            process.send_signal(number)
            out, _ = process.communicate(timeout=30)
            assert (b"KILLED" in out) == bool(is_latched(home) and home.exists())


def test_main_works_from_a_thread(trader_home):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(kill.main(["--reason", "thread"])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert is_latched(trader_home)


@pytest.mark.process
def test_module_can_be_run_by_itself(trader_home):
    words = [sys.executable, "-m", "trader.safety.kill", "--reason", "without the command line"]
    assert run_kill(trader_home, command=words).returncode == 0
    assert is_latched(trader_home)


@pytest.mark.process
def test_command_line_of_typer_reaches_the_same_code(trader_home):
    code = "import sys; from trader.cli.app import run; sys.exit(run(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "kill", "--reason", "typer"]
    assert run_kill(trader_home, command=words).returncode == 0
    assert records.all_kills(str(trader_home))[0]["reason"] == "typer"


@pytest.mark.long
def test_trouble_with_a_run_is_told_on_both_streams_and_in_the_audit(trader_home, capfd):
    with held_run(trader_home, "r1", barrier_ms=1.0, cancel_timeout_s=0.0) as lease:
        lease.open_gate()
        other = registry.Runner(os.getpid(), "1", registry.OPEN, 1)
        lease._write(registry.encode_runner(other), latch.RUNNER_AT)
        assert kill.main(["--reason", "trouble"]) == 10
    streams = capfd.readouterr()
    why = (
        f"pid {os.getpid()} is not to be found here, and somebody still holds the run (in another "
        "PID namespace?)"
    )
    assert re.search(
        rf"run r1: \w+ -> not_stopped \(barrier \d+ µs\) - {re.escape(why)}\n", streams.out
    )
    assert f"trader kill: run r1: {why}\n" in streams.err
    with open(trader_home / "audit.jsonl", encoding="ascii") as file:
        (run,) = json.loads(file.read())["runs"]
    assert (run["run_id"], run["outcome"], run["trouble"]) == ("r1", "not_stopped", why)


def test_quiet_kill_says_nothing_on_stderr(trader_home, capfd):
    assert kill.main(["--reason", "quiet"]) == 0
    assert capfd.readouterr().err == ""


def test_spooled_audit_line_is_told(trader_home, capfd):
    (trader_home / "audit.jsonl").mkdir()
    assert kill.main(["--reason", "no sink"]) == 0
    assert "trader kill: audit.jsonl: EISDIR" in capfd.readouterr().err


def test_signal_handlers_are_put_back(trader_home):

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    try:
        assert kill.main(["--reason", "handlers"]) == 0
        assert {signal.getsignal(number) for number in numbers} == {signal.SIG_DFL}
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@pytest.mark.process
def test_closed_standard_streams_are_plugged_so_that_no_file_takes_their_place(trader_home):
    code = """
import os
from trader.safety import kill
for fd in (0, 1, 2):
    os.close(fd)
assert kill.main(["--reason", "plugged"]) == 0
fd = os.open("/", os.O_RDONLY)
null = os.stat("/dev/null").st_rdev
os._exit(0 if fd == 3 and all(os.fstat(n).st_rdev == null for n in (0, 1, 2)) else 1)
"""
    assert run_kill(trader_home, command=[sys.executable, "-c", code]).returncode == 0


HELP = """\
usage: trader kill [-h] [-r [TEXT]] [--code CODE] [--run ID] [--flatten]
                   [--json]

Stop every run at once, or one. It stays stopped until `trader rearm`.

options:
  -h, --help            show this help message and exit
  -r [TEXT], --reason [TEXT]
                        why, in your words; it is kept (default: no reason
                        given)
  --code CODE           one of RISK_BREACH, DAILY_LOSS_LIMIT, POSITION_LIMIT,
                        CONCENTRATION_LIMIT, MARKET_VOLATILITY, SYSTEM_ERROR,
                        MANUAL_STOP, CONNECTIVITY_LOSS, or its number (default
                        MANUAL_STOP, or the one the reason names)
  --run ID              stop this run only (default: everything); the
                        beginning of its id will do
  --flatten             close positions, not only orders
  --json                print one JSON document

Exit codes: 0 durable and every run past its barrier; 2 usage, nothing
stopped; 9 stopped, not durable; 10 a run could not be stopped.
"""


def test_help_says_all_of_it_and_stops_nothing(trader_home, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert kill.main(["--help"]) == 0
    out, err = capfd.readouterr()
    wanted = HELP
    if sys.version_info >= (3, 13):  # it names the value once, and breaks lines elsewhere
        wanted = HELP.replace("-r [TEXT], ", "-r, ")
    else:
        assert out == HELP
    assert out.split() == wanted.split()
    assert err == ""
    assert not os.path.exists(os.path.join(trader_home, "HALT"))


def test_a_refusal_ends_by_saying_that_nothing_was_stopped(trader_home, capfd):
    assert kill.main(["--code", "zzzz"]) == 2
    assert capfd.readouterr().err.endswith("\ntrader kill: NOTHING WAS STOPPED\n")
    assert not os.path.exists(os.path.join(trader_home, "HALT"))


def test_the_account_is_whole_lines(trader_home, capfd):
    assert kill.main(["--reason", "whole lines"]) == 0
    out = capfd.readouterr().out
    assert out.endswith("--reason TEXT\n")
    assert "no live run is registered" in out
    assert "XX" not in out
    assert out.count("\n") == len(out.splitlines())


@pytest.mark.process
def test_each_step_is_told_with_its_own_microseconds(trader_home, capfd, monkeypatch):
    taken = []
    account = kill._account

    def kept(done, targets, ack_ns, code):
        taken.append((done.page_ns, done.visible_ns, done.durable_ns, ack_ns, done.started_ns))
        return account(done, targets, ack_ns, code)

    monkeypatch.setattr(kill, "_account", kept)
    with runner_process(trader_home, "idle", trader_home / "ledger"):
        wait_for(lambda: [run.was for run in registry.all_runs(str(trader_home))] == ["running"])
        assert kill.main(["--reason", "steps"]) == 0
    out = capfd.readouterr().out
    found = re.search(STEPS_US, out, re.MULTILINE)
    *moments, started_ns = taken[0]
    assert [int(text) for text in found.groups()] == [(at - started_ns) // 1000 for at in moments]
    assert moments == sorted(moments)
    assert re.search(r"^  run sender: running -> halted \(barrier \d+ µs\)$", out, re.MULTILINE)


def test_step_that_was_not_reached_is_told_as_such(trader_home):
    done = stop.Stop(str(trader_home), stop.StopOrder("none of it", 7))
    done.started_ns, done.visible_ns, done.durable_ns = 1_000_000, 1_002_000, 1_003_000
    told = "page not, PERMIT and HALT 2 µs, durable {}, acknowledged 4 µs after the start\n"
    for durable, word in ((False, "not"), (True, "3 µs")):
        done.page_ns, done.durable = 0, durable
        assert told.format(word) in kill._account(done, [], 1_004_000, 9)


def test_streams_that_are_closed_in_this_process_are_plugged(trader_home):
    saved = [os.dup(fd) for fd in (0, 1, 2)]
    try:
        for fd in (0, 1, 2):
            os.close(fd)
        code = kill.main(["--reason", "no streams"])
        plugged = [os.fstat(fd).st_rdev for fd in (0, 1, 2)]
    finally:
        for fd, kept in enumerate(saved):
            os.dup2(kept, fd)
            os.close(kept)
    assert (code, is_latched(trader_home)) == (0, True)
    assert plugged == [os.stat(os.devnull).st_rdev] * 3


def test_file_run_as_a_program_is_the_command(trader_home, monkeypatch):
    import runpy

    monkeypatch.setattr(sys, "argv", ["kill", "--reason", "as a program"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(kill.__file__, run_name="__main__")
    assert end.value.code == 0
    assert records.all_kills(str(trader_home))[0]["reason"] == "as a program"


@pytest.mark.process
def test_suspended_runner_outside_the_gate_is_past_its_barrier_and_ended_when_its_time_is_up(
    trader_home, tmp_path, capfd
):

    ledger = Ledger(tmp_path / "ledger")
    with runner_process(trader_home, "idle", tmp_path / "ledger") as runner:
        wait_for(lambda: ledger.read()[2])
        runner.send_signal(signal.SIGSTOP)
        wait_for(lambda: registry.all_runs(str(trader_home))[0].was == "stopped")
        code, document = kill_here(capfd, "--reason", "asleep")
        assert (code, document["runs"][0]["outcome"]) == (0, "halted")
        assert runner.wait(timeout=5) == -9


def test_signal_in_the_middle_of_the_stop_is_not_heard(trader_home, monkeypatch):

    heard, shut = [], stop.shut

    def interrupted(done):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP):
            os.kill(os.getpid(), number)
        shut(done)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)
    before = [signal.signal(number, lambda *told: heard.append(told)) for number in numbers]
    monkeypatch.setattr(stop, "shut", interrupted)
    try:
        assert kill.main(["--reason", "interrupted"]) == 0
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert (heard, is_latched(trader_home)) == ([], True)
