"""The latch: the files that stop trading, and the only code that writes them.

Law: standard library only, and nothing of `trader`: `trader kill` starts in tens of milliseconds.
A folder (the state folder, and one per run) trades while all three channels say so:

    kill.page   4096 bytes; byte 0 is 0 (armed) or the reason code. Written in place, never
                renamed over, so that whoever holds it open sees the change at once
    PERMIT      must exist
    HALT        must not exist (`touch HALT` stops trading without Python)

Anything unexpected - wrong size, magic, version or checksum, an unreadable file - is halted.
Nothing here opens: `arming.py` does, for `trader rearm` and for a folder that is new.
"""

import errno
import os
import struct
import sys
import zlib

CODES = {
    "RISK_BREACH": 1,
    "DAILY_LOSS_LIMIT": 2,
    "POSITION_LIMIT": 3,
    "CONCENTRATION_LIMIT": 4,
    "MARKET_VOLATILITY": 5,
    "SYSTEM_ERROR": 6,
    "MANUAL_STOP": 7,
    "CONNECTIVITY_LOSS": 8,
}
CODE_NAMES = {number: name for name, number in CODES.items()}

BY_TRADER = "by trader: "  # begins a HALT that no person made and no kill has a record of
PAGE, PERMIT, HALT = "kill.page", "PERMIT", "HALT"
ARMED, KILLED, DAMAGED, MISSING = "armed", "killed", "damaged", "missing"

PAGE_SIZE = 4096
MAGIC = b"TRDRKILL"
VERSION = 1
# magic, version, code, kill id, wall ns, uid, pid, length of text; a CRC-32 of these and the text
_FIELDS = struct.Struct("<8sII32sqIII")
_CRC = struct.Struct("<I")
_FIELDS_AT = 8
_TEXT_AT = _FIELDS_AT + _FIELDS.size + _CRC.size
TEXT_BYTES = 2048  # as much of the reason as the page keeps; the record keeps all of it
# Three regions outside the checksum: written by others while the page is armed or killed.
FLATTEN_AT = 2304
HEARTBEAT_AT = 2560
RUNNER_AT = 3072

_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
FILE_MODE = 0o660  # the folder decides who gets in; whoever does may stop


class Stamp:
    """Who stopped trading, when and why, as the page keeps it."""

    __slots__ = ("code", "flatten", "kill_id", "pid", "text", "uid", "wall_ns")

    def __init__(self, kill_id: str, code: int, text: str, wall_ns: int) -> None:
        self.kill_id, self.code, self.text, self.wall_ns = kill_id, code, text, wall_ns
        self.uid, self.pid = os.getuid(), os.getpid()
        self.flatten = False  # as the page tells it; may be of a later kill than the rest


class Channels:
    """What became of each channel of one folder: "" done, else why not."""

    __slots__ = ("created", "durable", "halt", "page", "permit")

    def __init__(self) -> None:
        self.page = self.permit = self.halt = "not tried"
        self.created = self.durable = False

    @property
    def visible(self) -> bool:
        """True when every reader of this folder now sees the stop."""
        return not (self.page and self.permit and self.halt)

    def failures(self) -> list[str]:
        """`channel: why` of each channel that could not be written."""
        told = (("kill.page", self.page), ("PERMIT", self.permit), ("HALT", self.halt))
        return [f"{name}: {why}" for name, why in told if why]


class Reading:
    """The three channels of one folder as found; `causes` is empty when it may trade."""

    __slots__ = ("causes", "page", "stamp")

    def __init__(self, page: str, stamp: Stamp | None, causes: list[str]) -> None:
        self.page, self.stamp, self.causes = page, stamp, causes


def page_bytes(stamp: Stamp | None) -> bytes:
    """A whole page: armed for None, else killed with that stamp."""
    head = bytes([stamp.code if stamp else 0])
    return (head + _region(stamp).rjust(_TEXT_AT + TEXT_BYTES - 1, b"\0")).ljust(PAGE_SIZE, b"\0")


def _region(stamp: Stamp | None) -> bytes:
    """Fields, checksum and text: everything from `_FIELDS_AT` to the end of the text."""
    if stamp is None:
        text, fields = b"", _FIELDS.pack(MAGIC, VERSION, 0, b"", 0, 0, 0, 0)
    else:
        text = stamp.text.encode("utf-8", "backslashreplace")[:TEXT_BYTES]
        who = (stamp.kill_id.encode(), stamp.wall_ns, stamp.uid & 0xFFFFFFFF, stamp.pid)
        fields = _FIELDS.pack(MAGIC, VERSION, stamp.code, *who, len(text))
    return fields + _CRC.pack(zlib.crc32(fields + text)) + text.ljust(TEXT_BYTES, b"\0")


ARMED_HEAD = page_bytes(None)[:_TEXT_AT]  # what the gate compares on every order


def decode_page(data: bytes) -> tuple[str, Stamp | None]:
    """ARMED, KILLED with its stamp, or DAMAGED. `data` is the file, read past its proper end."""
    if len(data) != PAGE_SIZE:
        return DAMAGED, None
    if data.startswith(ARMED_HEAD):
        return ARMED, None
    fields = data[_FIELDS_AT : _FIELDS_AT + _FIELDS.size]
    magic, version, code, kill_id, wall_ns, uid, pid, length = _FIELDS.unpack(fields)
    text = data[_TEXT_AT : _TEXT_AT + length]
    (crc,) = _CRC.unpack_from(data, _FIELDS_AT + _FIELDS.size)
    whole = magic == MAGIC and version == VERSION and crc == zlib.crc32(fields + text)
    if not (whole and data[0] and code):
        return DAMAGED, None
    name = kill_id.rstrip(b"\0").decode("ascii", "replace")
    stamp = Stamp(name, code, text.decode("utf-8", "replace"), wall_ns)
    stamp.uid, stamp.pid, stamp.flatten = uid, pid, data[FLATTEN_AT] != 0
    return KILLED, stamp


def read_page(folder: str) -> tuple[str, Stamp | None]:
    """State of the page of a folder; DAMAGED when it cannot be read, MISSING when not there."""
    return _look_at_page(folder)[:2]


def _look_at_page(folder: str) -> tuple[str, Stamp | None, str]:
    """State, stamp, and why trading is stopped, "" when it is not."""
    try:
        fd = os.open(os.path.join(folder, PAGE), os.O_RDONLY | _OPEN)
        try:
            page, stamp = decode_page(os.pread(fd, PAGE_SIZE + 1, 0))
        finally:
            os.close(fd)
    except FileNotFoundError:
        page, stamp = MISSING, None
    except OSError as error:
        return DAMAGED, None, f"{PAGE} cannot be read: {reason_of(error)}"
    return page, stamp, "" if page == ARMED else f"{PAGE} is {page}"


def inspect(folder: str) -> Reading:
    """Reads the three channels of a folder. Never raises: what cannot be read is a cause."""
    page, stamp, cause = _look_at_page(folder)
    causes = [cause] if cause else []
    if not os.path.lexists(os.path.join(folder, PERMIT)):
        causes.append(f"{PERMIT} is missing")
    if os.path.lexists(os.path.join(folder, HALT)):
        causes.append(f"{HALT} is there")
    return Reading(page, stamp, causes)


def engage_page(folder: str, stamp: Stamp, flatten: bool = False) -> Channels:
    """First channel: the page, effective at once for a runner that has it open.

    The first kill stays on the page (K7); a later one is in its record. Not durable yet: `flush`.
    """
    done = Channels()
    try:
        done.page = _write_page(folder, stamp, flatten, done)
    except OSError as error:
        done.page = reason_of(error)
    return done


def engage_names(folder: str, stamp: Stamp, done: Channels) -> None:
    """The other channels: PERMIT and HALT. Each is tried whatever became of the one before."""
    done.permit = _drop_permit(folder)
    done.halt = raise_halt(folder, stamp.kill_id)


def _write_page(folder: str, stamp: Stamp, flatten: bool, done: Channels) -> str:
    path = os.path.join(folder, PAGE)
    if not os.path.lexists(path):
        done.created = create_page(folder, page_bytes(stamp))
    fd = os.open(path, os.O_RDWR | _OPEN)
    try:
        found = os.pread(fd, PAGE_SIZE + 1, 0)
        if not found[:1] or found[0] == 0:
            os.pwrite(fd, bytes([stamp.code]), 0)  # effective from here on
        if decode_page(found)[0] != KILLED:
            os.pwrite(fd, _region(stamp), _FIELDS_AT)
        if flatten:
            os.pwrite(fd, b"\1", FLATTEN_AT)
    finally:
        os.close(fd)
    return ""


def _drop_permit(folder: str) -> str:
    try:
        os.unlink(os.path.join(folder, PERMIT))
    except FileNotFoundError:
        # Absent is a stop only where the folder is not taken for a new one.
        return "" if os.path.lexists(os.path.join(folder, PAGE)) else "the folder is new"
    except OSError as error:
        return reason_of(error)
    return ""


def raise_halt(folder: str, text: str) -> str:
    """Creates HALT with a line of text. "" when it is there afterwards, else why not."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN
    try:
        fd = os.open(os.path.join(folder, HALT), flags, FILE_MODE)
    except FileExistsError:
        return ""
    except OSError as error:
        return reason_of(error)
    try:
        os.write(fd, text.encode() + b"\n")
    except OSError:
        pass  # the name is the signal; its content is a courtesy, and the disk may be full
    finally:
        os.close(fd)
    return ""


def raise_own_halt(folder: str, why: str) -> str:
    """`raise_halt` by a run that found a stop without a record: HALT then says that no person did.

    `why` is one line of what it found.
    """
    return raise_halt(folder, BY_TRADER + why)


def flush(folder: str, done: Channels) -> None:
    """Makes what `engage` wrote survive a power cut, and says so in `done.durable`.

    A failed flush is never retried: the kernel may have dropped the data it could not write.
    """
    page = is_flushed(os.path.join(folder, PAGE)) and not done.page
    names = is_flushed(folder)
    done.durable = (page and (names or not done.created)) or (
        names and not (done.permit and done.halt)
    )


def is_flushed(path: str) -> bool:
    """Flushes a file or a folder to the medium; False when that failed."""
    try:
        sync_path(path)
    except OSError:
        return False
    return True


def sync_path(path: str) -> None:
    """Flushes a file or a folder to the medium; OSError when that failed.

    The one place that follows a link: the state folder itself may be one.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if sys.platform == "darwin":  # pragma: no cover - Apple: fsync may stay in the drive cache
            import fcntl

            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fsync(fd)
    finally:
        os.close(fd)


def create_page(folder: str, content: bytes) -> bool:
    """Puts a page there whole or not at all; False when there is one. OSError when it cannot."""
    path = os.path.join(folder, PAGE)
    fresh = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, FILE_MODE)
    try:
        os.fchmod(fd, FILE_MODE)  # whatever the umask: the group may stop
        if os.write(fd, content) != PAGE_SIZE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), fresh)
        os.fsync(fd)  # whole before it has the name
        os.link(fresh, path)
    except FileExistsError:
        return False
    finally:
        os.close(fd)
        os.unlink(fresh)
    return True


def reason_of(error: OSError) -> str:
    """An OSError in four words: `ENOSPC No space left on device`."""
    return f"{errno.errorcode.get(error.errno or 0, '?')} {error.strerror or error}"
