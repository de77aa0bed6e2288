"""The state folder: where it is, who may use it, where the latch goes without it."""

import os
import pwd
import signal
import subprocess
import sys

import pytest

from trader.safety import arming, pending, processes, records, registry, statedir, stop


def test_state_folder_is_the_named_one_or_the_platforms(monkeypatch):
    monkeypatch.setenv("HOME", "/home/u")
    assert statedir.home_path({"TRADER_HOME": "/x/y"}) == "/x/y"
    assert statedir.home_path({"TRADER_HOME": "~/t"}) == "/home/u/t"
    assert statedir.home_path({"TRADER_HOME": "rel"}) == "/home/u/rel"
    if sys.platform.startswith("linux"):
        assert statedir.home_path({}) == "/home/u/.local/state/trader"
        assert statedir.home_path({"TRADER_HOME": ""}) == "/home/u/.local/state/trader"
        assert statedir.home_path({"XDG_STATE_HOME": "/s"}) == "/s/trader"
        assert statedir.home_path({"XDG_STATE_HOME": "s"}) == "/home/u/.local/state/trader"


def test_state_folder_is_the_same_from_every_working_folder(monkeypatch, tmp_path):
    """Whatever HOME says, and also where the working folder is gone."""
    users = pwd.getpwuid(os.getuid()).pw_dir
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for home in ("rel", "", "."):
        monkeypatch.setenv("HOME", home)
        assert statedir.home_path({"TRADER_HOME": "rel"}) == f"{users}/rel"
        assert statedir.home_path({"XDG_STATE_HOME": "rel"}).startswith(users)


def test_folders_are_private(tmp_path):
    statedir.make_folder(str(tmp_path / "a" / "b"))
    assert os.stat(tmp_path / "a" / "b").st_mode & 0o777 == 0o700
    statedir.make_folder(str(tmp_path / "a" / "b"))


def test_folders_in_a_group_folder_are_the_groups(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o770)
    statedir.make_folder(str(home / "registry"))
    assert os.stat(home / "registry").st_mode & 0o7777 == 0o2770
    statedir.share_with_group(str(home))
    assert os.stat(home).st_mode & 0o7777 == 0o2770
    statedir.share_with_group(str(tmp_path))
    assert os.stat(tmp_path).st_mode & 0o7777 == 0o700


def test_file_in_the_place_of_a_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        statedir.make_folder(str(tmp_path / "file"))


def test_fallbacks_are_named_by_the_state_folder_and_trusted_only_when_ours(tmp_path):
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "TMPDIR": str(tmp_path / "tmp")}
    for name in ("run", "tmp"):
        (tmp_path / name).mkdir()
    found = statedir.fallback_folders("/home/a", environ)
    assert found[0].startswith(str(tmp_path / "run" / "trader") + "/")
    assert any(path.startswith(f"{tmp_path}/tmp/trader-{os.getuid()}/") for path in found)
    assert any(path.startswith(f"/tmp/trader-{os.getuid()}/") for path in found)
    other = statedir.fallback_folders("/home/b", environ)
    assert not set(found) & set(other)
    assert statedir.make_fallback(found[0]) == ""
    assert statedir.make_fallback(found[0]) == ""
    assert found[0] in statedir.trusted_fallbacks("/home/a", environ)
    os.chmod(found[0], 0o755)
    assert found[0] not in statedir.trusted_fallbacks("/home/a", environ)
    assert "only uid" in statedir.make_fallback(found[0])


@pytest.mark.parametrize("trap", ["link", "file", "stranger"])
def test_fallback_that_somebody_else_prepared_is_not_used(tmp_path, trap):
    place = tmp_path / f"trader-{os.getuid()}"
    if trap == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    elif trap == "file":
        place.write_text("")
    else:
        if os.getuid() != 0:
            pytest.skip("needs root to make a folder of somebody else")
        place.mkdir(mode=0o700)
        os.chown(place, 12345, 12345)
    folder = str(place / "key")
    assert statedir.make_fallback(folder)
    environ = {"TMPDIR": str(tmp_path)}
    assert not [p for p in statedir.trusted_fallbacks("/h", environ) if p.startswith(str(tmp_path))]


def test_fallback_that_cannot_be_made_says_why():
    assert "No such file" in statedir.make_fallback("/proc/none/trader-0/key")


MOUNTS = """\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 21 0:40 / /mnt/net rw - nfs4 server:/x rw
31 30 0:41 / /mnt/net/local rw - xfs /dev/vdb rw
32 21 0:42 / /mnt/with\\040blank rw shared:1 - cifs //s/x rw
33 21 0:43 / /mnt/ssh rw - fuse.sshfs h:/ rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home/u", "ext4"),
        ("/mnt/network", "ext4"),
        ("/mnt/net", "nfs4"),
        ("/mnt/net/deep/er", "nfs4"),
        ("/mnt/net/local/x", "xfs"),
        ("/mnt/with blank/x", "cifs"),
        ("/mnt/ssh/x", "fuse.sshfs"),
    ],
)
def test_mount_type_is_that_of_the_nearest_mount(tmp_path, path, kind):
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    assert statedir.mount_type(path, str(table)) == kind
    assert kind.startswith(statedir.REMOTE) == (kind in ("nfs4", "cifs", "fuse.sshfs"))


def test_mount_type_without_a_table_is_not_known(tmp_path):
    assert statedir.mount_type("/", str(tmp_path / "none")) == ""
    assert statedir.unsafe_because(str(tmp_path)) == ""


def test_unreadable_parent_is_no_reason_to_fail(tmp_path):
    statedir.sync_folder(str(tmp_path / "none"))


def child(code="import time; time.sleep(60)"):
    return subprocess.Popen([sys.executable, "-c", code])


@pytest.mark.process
def test_sigkill_reaches_that_very_process_and_no_other():
    process = child()
    started = processes.start_token(process.pid)
    assert started
    assert processes.kill_process(process.pid, "1") == processes.GONE
    assert processes.kill_process(process.pid, "") == processes.GONE
    assert process.poll() is None
    assert processes.kill_process(process.pid, started) == ""
    assert process.wait(timeout=10) == -signal.SIGKILL
    assert processes.start_token(process.pid) == ""
    assert processes.kill_process(process.pid, started) == processes.GONE


@pytest.mark.process
def test_sigkill_works_where_there_are_no_process_handles(monkeypatch):
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    process = child()
    assert processes.kill_process(process.pid, processes.start_token(process.pid)) == ""
    assert process.wait(timeout=10) == -signal.SIGKILL


def test_process_of_somebody_else_cannot_be_killed_and_that_is_told(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.delattr(os, "pidfd_open", raising=False)
    monkeypatch.setattr(os, "kill", refuse)
    pid = os.getpid()
    told = processes.kill_process(pid, processes.start_token(pid))
    assert told == f"pid {pid}: Operation not permitted"


def test_process_that_ends_between_the_look_and_the_signal_is_gone(monkeypatch):
    def gone(*_):
        raise ProcessLookupError

    monkeypatch.delattr(os, "pidfd_open", raising=False)
    monkeypatch.setattr(os, "kill", gone)
    pid = os.getpid()
    assert processes.kill_process(pid, processes.start_token(pid)) == processes.GONE


@pytest.mark.process
def test_suspended_and_ended_processes_are_seen():
    process = child()
    os.kill(process.pid, signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert processes.is_stopped(process.pid)
    finally:
        process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie
    assert processes.start_token(process.pid) == ""
    process.wait()
    assert not processes.is_stopped(process.pid)


@pytest.mark.process
def test_start_time_is_asked_of_ps_where_there_is_no_proc(monkeypatch, tmp_path):
    shim = tmp_path / "ps"
    shim.write_text('#!/bin/sh\n[ "$4" = 42 ] && echo "Mon Nov 23 09:00:00 2026"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(processes, "PROC", False)
    assert processes.start_token(42) == "Mon Nov 23 09:00:00 2026"
    assert processes.start_token(43) == ""


def test_audit_line_that_does_not_fit_leaves_no_half_line(trader_home, monkeypatch):
    home = str(trader_home)
    assert records.audit(home, {"kill_id": "a", "event": "KILL"}) == ""
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[:5]))
        assert records.audit(home, {"kill_id": "b", "event": "KILL"}).startswith("ENOSPC")
    assert records.audit(home, {"kill_id": "c", "event": "KILL"}) == ""
    assert records.audited_ids(home) == {"a", "c"}


@pytest.mark.long
def test_audit_file_that_somebody_keeps_locked_is_given_up(trader_home):
    import fcntl

    home = str(trader_home)
    records.audit(home, {"kill_id": "a"})
    fd = os.open(os.path.join(home, "audit.jsonl"), os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert records.audit(home, {"kill_id": "b"}).startswith("EAGAIN")
    os.close(fd)


def test_audit_lines_that_are_no_kills_are_not_counted(trader_home):
    (trader_home / "audit.jsonl").write_bytes(b'garbage\n[1]\n{"event": "REARM", "kill_id": "x"}\n')
    assert records.audited_ids(str(trader_home)) == set()


def test_spool_stays_while_there_is_still_no_room(trader_home):
    home = str(trader_home)
    order = stop.StopOrder("spooled", 7)
    assert records.store(home, statedir.SPOOL, order.record()) == ""
    os.mkdir(trader_home / "audit.jsonl")
    assert records.take_in_spool(home) == []
    assert os.listdir(trader_home / "audit-spool") == [f"{order.kill_id}.json"]
    assert [kill["kill_id"] for kill in pending.pending_kills(home)] == [order.kill_id]
    arming.drop(os.path.join(home, "audit.jsonl"))
    assert len(records.take_in_spool(home)) == 1


def test_user_without_a_name_is_a_number():
    assert records.user_name(4_000_000_000) == "4000000000"


def test_foreign_files_in_the_runs_folder_are_passed_over(trader_home):
    (trader_home / "registry").mkdir()
    (trader_home / "registry" / ".hidden").mkdir()
    (trader_home / "registry" / "live-with blank").mkdir()
    (trader_home / "registry" / "live-r1").mkdir()
    assert [run.run_id for run in registry.all_runs(str(trader_home))] == ["r1"]
    assert pending.pending_kills(str(trader_home)) == []  # an empty folder is no stop


def test_what_was_there_before_a_folder_was_opened_to_its_group_becomes_the_groups(tmp_path):
    home = tmp_path / "home"
    statedir.make_folder(str(home / "registry" / "one"))
    (home / "kill.page").write_bytes(b"")
    home.chmod(0o770)
    statedir.share_with_group(str(home))
    gid = os.stat(home).st_gid
    for path in (home, home / "registry", home / "registry" / "one"):
        assert os.stat(path).st_mode & 0o7777 == 0o2770
        assert os.stat(path).st_gid == gid
    assert os.stat(home / "kill.page").st_gid == gid


def test_state_folder_behind_a_link_is_flushed_like_any_other(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    statedir.sync_folder(str(tmp_path / "link"))
