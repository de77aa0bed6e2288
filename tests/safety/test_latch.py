"""The latch on disk: page, PERMIT, HALT."""

import os
import struct

import pytest

from trader.core.schema import KillSwitchReason
from trader.safety import arming, latch

STAMP = latch.Stamp(
    "20261123T143000Z-1f00c3", 2, "loss of 1,000 reached", 1_795_000_000_000_000_000
)


def armed(folder):
    assert arming.arm_if_new(str(folder))
    return str(folder)


def engage(folder, stamp=STAMP, flatten=False):
    done = latch.engage_page(folder, stamp, flatten)
    latch.engage_names(folder, stamp, done)
    latch.flush(folder, done)
    return done


def page_of(folder):
    with open(os.path.join(folder, latch.PAGE), "rb") as file:
        return file.read()


def test_codes_are_those_of_the_core():
    assert {reason.name: int(reason) for reason in KillSwitchReason} == latch.CODES


def test_new_folder_is_armed_with_all_three_channels(tmp_path):
    reading = latch.inspect(armed(tmp_path))
    assert (reading.page, reading.stamp, reading.causes) == (latch.ARMED, None, [])
    assert len(page_of(tmp_path)) == latch.PAGE_SIZE
    assert os.stat(tmp_path / latch.PAGE).st_mode & 0o777 == 0o660


def test_armed_folder_is_not_armed_again(tmp_path):
    engage(armed(tmp_path))
    assert not arming.arm_if_new(str(tmp_path))
    assert len(latch.inspect(str(tmp_path)).causes) == 3


def test_engaging_uses_all_three_channels_and_is_durable(tmp_path):
    done = engage(armed(tmp_path))
    reading = latch.inspect(str(tmp_path))
    assert done.visible
    assert done.durable
    assert done.failures() == []
    assert reading.causes == ["kill.page is killed", "PERMIT is missing", "HALT is there"]


def test_page_tells_who_when_and_why(tmp_path):
    engage(armed(tmp_path))
    stamp = latch.inspect(str(tmp_path)).stamp
    assert (stamp.kill_id, stamp.code, stamp.text) == (STAMP.kill_id, 2, STAMP.text)
    assert (stamp.wall_ns, stamp.uid, stamp.pid) == (STAMP.wall_ns, os.getuid(), os.getpid())
    assert page_of(tmp_path)[0] == 2


def test_page_is_written_in_place_so_that_an_open_file_sees_it(tmp_path):
    fd = os.open(os.path.join(armed(tmp_path), latch.PAGE), os.O_RDONLY)
    engage(str(tmp_path))
    assert os.pread(fd, 1, 0) == b"\2"
    os.close(fd)


def test_second_kill_leaves_the_first_on_the_page(tmp_path):
    engage(armed(tmp_path))
    engage(str(tmp_path), latch.Stamp("second", 7, "again", 2), flatten=True)
    stamp = latch.inspect(str(tmp_path)).stamp
    assert (stamp.kill_id, stamp.code) == (STAMP.kill_id, 2)
    assert page_of(tmp_path)[latch.FLATTEN_AT] == 1


@pytest.mark.parametrize("position", range(80))
@pytest.mark.parametrize("killed", [False, True])
def test_every_flipped_bit_of_the_fields_halts(tmp_path, position, killed):
    armed(tmp_path)
    if killed:
        engage(str(tmp_path))
    whole = page_of(tmp_path)
    for bit in range(8):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << bit
        state = latch.decode_page(bytes(damaged))[0]
        assert state != latch.ARMED, (position, bit)


@pytest.mark.parametrize("size", [0, 1, 79, 80, 4095, 4097, 9000])
def test_page_of_another_size_is_damaged(size):
    page = latch.page_bytes(None)
    assert latch.decode_page(page[:size].ljust(size, b"\0"))[0] == latch.DAMAGED


@pytest.mark.parametrize("field", ["magic", "version"])
def test_page_of_another_kind_with_a_right_checksum_is_damaged(field):
    import zlib

    page = bytearray(latch.page_bytes(STAMP))
    at, value = (8, b"XXXXXXXX") if field == "magic" else (16, struct.pack("<I", 99))
    page[at : at + len(value)] = value
    length = struct.unpack_from("<I", page, 72)[0]
    struct.pack_into("<I", page, 76, zlib.crc32(bytes(page[8:76] + page[80 : 80 + length])))
    assert latch.decode_page(bytes(page))[0] == latch.DAMAGED


def test_byte_zero_alone_is_a_stop_before_the_fields_follow():
    page = b"\7" + latch.page_bytes(None)[1:]
    assert latch.decode_page(page) == (latch.DAMAGED, None)


def test_text_longer_than_the_page_keeps_is_cut():
    long = latch.Stamp("id", 7, "x" * 1_000_000, 1)
    page = latch.page_bytes(long)
    assert len(page) == latch.PAGE_SIZE
    assert latch.decode_page(page)[1].text == "x" * latch.TEXT_BYTES


def test_text_with_anything_in_it_survives():
    text = "zero \0, lone \udcff, new\nline, 終"
    found = latch.decode_page(latch.page_bytes(latch.Stamp("id", 7, text, 1)))[1].text
    assert found == "zero \0, lone \\udcff, new\nline, 終"


def test_damaged_page_is_given_the_stamp(tmp_path):
    path = os.path.join(armed(tmp_path), latch.PAGE)
    with open(path, "r+b") as file:
        file.write(b"\0garbage garbage")
    assert latch.inspect(str(tmp_path)).page == latch.DAMAGED
    engage(str(tmp_path))
    assert latch.inspect(str(tmp_path)).page in (latch.KILLED, latch.DAMAGED)
    assert page_of(tmp_path)[0] == 2


def test_empty_page_still_takes_the_stop(tmp_path):
    path = os.path.join(armed(tmp_path), latch.PAGE)
    os.truncate(path, 0)
    done = engage(str(tmp_path))
    assert done.visible
    assert page_of(tmp_path)[0] == 2
    assert latch.inspect(str(tmp_path)).page == latch.DAMAGED  # halted, whatever its size


def test_missing_page_is_made_killed(tmp_path):
    os.unlink(os.path.join(armed(tmp_path), latch.PAGE))
    assert latch.inspect(str(tmp_path)).causes == ["kill.page is missing"]
    done = engage(str(tmp_path))
    assert done.created
    assert latch.inspect(str(tmp_path)).page == latch.KILLED
    assert sorted(os.listdir(tmp_path)) == [latch.HALT, latch.PAGE]


def test_page_made_by_somebody_else_meanwhile_is_kept(tmp_path):
    assert latch.create_page(str(tmp_path), latch.page_bytes(STAMP))
    assert not latch.create_page(str(tmp_path), latch.page_bytes(None))
    assert latch.read_page(str(tmp_path))[0] == latch.KILLED
    assert os.listdir(tmp_path) == [latch.PAGE]


def test_page_that_does_not_fit_is_not_made(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda fd, data: 100)
    with pytest.raises(OSError, match="No space left"):
        latch.create_page(str(tmp_path), latch.page_bytes(None))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["folder", "link", "fifo"])
def test_page_that_is_no_file_is_damaged_and_the_other_channels_stop(tmp_path, kind):
    path = os.path.join(armed(tmp_path), latch.PAGE)
    os.unlink(path)
    {"folder": os.mkdir, "link": lambda p: os.symlink("/dev/zero", p), "fifo": os.mkfifo}[kind](
        path
    )
    assert latch.inspect(str(tmp_path)).page == latch.DAMAGED
    done = engage(str(tmp_path))
    assert done.page
    assert (done.permit, done.halt) == ("", "")
    assert done.visible
    assert done.durable


def test_failing_page_does_not_keep_the_others_from_being_tried(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(5, "Input/output error")

    armed(tmp_path)
    monkeypatch.setattr(os, "pwrite", broken)
    done = engage(str(tmp_path))
    assert done.failures() == ["kill.page: EIO Input/output error"]
    assert latch.inspect(str(tmp_path)).causes == ["PERMIT is missing", "HALT is there"]


def test_permit_that_cannot_be_removed_is_told(tmp_path):
    permit = os.path.join(armed(tmp_path), latch.PERMIT)
    os.unlink(permit)
    os.mkdir(permit)
    done = engage(str(tmp_path))
    assert done.permit.startswith(("EISDIR", "EPERM"))
    assert done.visible


def test_absent_permit_of_a_folder_that_took_nothing_is_no_stop(tmp_path):
    gone = str(tmp_path / "gone")
    done = engage(gone)
    assert not done.visible
    assert not done.durable
    assert done.permit == "the folder is new"
    assert len(done.failures()) == 3


def test_halt_without_room_for_its_text_still_halts(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert latch.raise_halt(str(tmp_path), "x") == ""
    assert os.path.exists(tmp_path / latch.HALT)


@pytest.mark.parametrize("make", [lambda p: os.symlink("/nowhere", p), os.mkdir, os.mkfifo])
def test_halt_of_any_kind_halts(tmp_path, make):
    make(os.path.join(armed(tmp_path), latch.HALT))
    assert latch.inspect(str(tmp_path)).causes == ["HALT is there"]
    assert latch.raise_halt(str(tmp_path), "x") == ""


def test_a_halt_of_the_run_itself_says_that_no_person_asked_for_it(tmp_path):
    assert latch.raise_own_halt(str(tmp_path), "a stop without a record") == ""
    assert (tmp_path / latch.HALT).read_text() == f"{latch.BY_TRADER}a stop without a record\n"
    assert latch.BY_TRADER


def test_failed_flush_is_not_durable(tmp_path, monkeypatch):
    def broken(_):
        raise OSError(5, "Input/output error")

    done = latch.engage_page(armed(tmp_path), STAMP)
    latch.engage_names(str(tmp_path), STAMP, done)
    monkeypatch.setattr(os, "fsync", broken)
    latch.flush(str(tmp_path), done)
    assert done.visible
    assert not done.durable


def test_unreadable_page_is_damaged(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(5, "Input/output error")

    armed(tmp_path)
    monkeypatch.setattr(os, "pread", broken)
    assert latch.read_page(str(tmp_path)) == (latch.DAMAGED, None)
    assert latch.inspect(str(tmp_path)).causes == [
        f"kill.page cannot be read: EIO {os.strerror(5)}"
    ]


def test_rearming_restores_all_channels_whatever_their_state(tmp_path):
    folder = armed(tmp_path)
    engage(folder)
    os.truncate(os.path.join(folder, latch.PAGE), 10)
    os.unlink(os.path.join(folder, latch.HALT))
    os.mkdir(os.path.join(folder, latch.HALT))
    arming.arm_folder(folder)
    assert latch.inspect(folder).causes == []
    os.unlink(os.path.join(folder, latch.PAGE))
    arming.arm_folder(folder)
    assert latch.inspect(folder).causes == []


def test_latch_lock_times_out_and_a_kill_waits_no_longer_than_told(tmp_path):
    home = str(tmp_path)
    assert arming.nobody_opens(home, 0.0) == -1
    with arming.LatchLock(home):
        assert arming.nobody_opens(home, 0.01) is None
        with (
            pytest.raises(TimeoutError, match="another start or re-arm"),
            arming.LatchLock(home, 0.0),
        ):
            pass
    hold = arming.nobody_opens(home, 0.01)
    os.close(hold)


def test_opening_files_is_left_to_arming(tmp_path):
    with open(latch.__file__, encoding="utf-8") as file:
        assert "trader." not in file.read().replace("`trader.", "")


def test_page_on_disk_is_frozen():
    """Byte for byte: pages written by this version must be read by every later one."""
    import zlib

    stamp = latch.Stamp("20261123T143000Z-1f00c3", 2, "why", 123)
    stamp.uid, stamp.pid = 70_000, 4_000_000
    fields = struct.pack(
        "<8sII32sqIII", b"TRDRKILL", 1, 2, b"20261123T143000Z-1f00c3", 123, 70_000, 4_000_000, 3
    )
    page = b"\2" + bytes(7) + fields + struct.pack("<I", zlib.crc32(fields + b"why")) + b"why"
    assert latch.page_bytes(stamp) == page.ljust(4096, b"\0")
    found = latch.decode_page(page.ljust(4096, b"\0"))[1]
    assert (found.uid, found.pid, found.wall_ns) == (70_000, 4_000_000, 123)
    empty = struct.pack("<8sII32sqIII", b"TRDRKILL", 1, 0, b"", 0, 0, 0, 0)
    armed_page = bytes(8) + empty + struct.pack("<I", zlib.crc32(empty))
    assert latch.page_bytes(None) == armed_page.ljust(4096, b"\0")
    assert armed_page == latch.ARMED_HEAD
    assert (latch.FLATTEN_AT, latch.HEARTBEAT_AT, latch.RUNNER_AT) == (2304, 2560, 3072)
    assert (latch.PAGE, latch.PERMIT, latch.HALT) == ("kill.page", "PERMIT", "HALT")
    assert (latch.ARMED, latch.KILLED, latch.DAMAGED, latch.MISSING) == (
        "armed", "killed", "damaged", "missing",
    )  # fmt: skip


def test_text_cut_inside_a_letter_and_an_id_of_odd_bytes_are_still_read():
    import zlib

    text = latch.decode_page(latch.page_bytes(latch.Stamp("id", 7, "x" + "é" * 2000, 1)))[1].text
    assert text == "x" + "é" * 1023 + "\N{REPLACEMENT CHARACTER}"
    fields = struct.pack("<8sII32sqIII", b"TRDRKILL", 1, 7, b"\xff\xfe", 1, 2, 3, 0)
    page = b"\7" + bytes(7) + fields + struct.pack("<I", zlib.crc32(fields))
    state, stamp = latch.decode_page(page.ljust(4096, b"\0"))
    assert (state, len(stamp.kill_id)) == (latch.KILLED, 2)


def test_channels_begin_untried_and_name_themselves():
    fresh = latch.Channels()
    assert (fresh.created, fresh.durable, fresh.visible) == (False, False, False)
    assert fresh.failures() == ["kill.page: not tried", "PERMIT: not tried", "HALT: not tried"]


def test_flatten_is_one_byte_and_only_on_demand(tmp_path):
    assert latch.Stamp("asked of nobody yet", 7, "", 1).flatten is False
    done = latch.engage_page(armed(tmp_path), STAMP)
    assert (done.page, page_of(tmp_path)[latch.FLATTEN_AT]) == ("", 0)
    assert latch.read_page(str(tmp_path))[1].flatten is False
    latch.engage_page(str(tmp_path), STAMP, flatten=True)
    assert page_of(tmp_path)[latch.FLATTEN_AT : latch.FLATTEN_AT + 4] == b"\1\0\0\0"
    assert latch.read_page(str(tmp_path))[1].flatten is True


def test_halt_names_the_kill(tmp_path):
    engage(armed(tmp_path))
    assert (tmp_path / latch.HALT).read_text() == f"{STAMP.kill_id}\n"


DURABLE = [  # page written, page flushed, names flushed, page new, PERMIT gone, HALT made: durable
    ("y", "y", "y", "n", "y", "y", True),
    ("y", "y", "n", "n", "y", "y", True),  # an old page needs no name
    ("y", "y", "n", "y", "y", "y", False),  # a new one does
    ("y", "n", "y", "n", "y", "y", True),  # by PERMIT and HALT
    ("n", "y", "y", "n", "y", "n", True),
    ("n", "y", "y", "n", "n", "y", True),
    ("n", "y", "y", "n", "n", "n", False),
    ("y", "n", "y", "n", "n", "n", False),
    ("y", "y", "y", "n", "n", "n", True),
    ("y", "y", "y", "y", "n", "n", True),
    ("n", "y", "n", "n", "y", "y", False),
    ("y", "n", "n", "n", "y", "y", False),
]


@pytest.mark.parametrize("case", DURABLE)
def test_durable_means_that_one_channel_survives_a_power_cut(tmp_path, monkeypatch, case):
    *facts, expected = case
    written, page_flushed, names_flushed, new, permit, halt = (fact == "y" for fact in facts)
    flushed = {str(tmp_path / latch.PAGE): page_flushed, str(tmp_path): names_flushed}
    monkeypatch.setattr(latch, "is_flushed", flushed.__getitem__)
    done = latch.Channels()
    done.created = new
    done.page, done.permit, done.halt = ("" if ok else "EIO" for ok in (written, permit, halt))
    latch.flush(str(tmp_path), done)
    assert done.durable is expected


def test_page_is_on_the_medium_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "link"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *given, name=name, real=real: (calls.append(name), real(*given))
        )
    latch.create_page(str(tmp_path), latch.page_bytes(None))
    assert calls == ["fsync", "link"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc")
def test_no_file_stays_open(tmp_path):
    def opened():
        return len(os.listdir("/proc/self/fd"))

    before = opened()
    engage(armed(tmp_path))
    latch.inspect(str(tmp_path))
    arming.arm_folder(str(tmp_path))
    assert opened() == before
